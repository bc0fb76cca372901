//! Actions runs, jobs, logs and workflows by REST.

use std::io::{Cursor, Write as _};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use time::OffsetDateTime;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::{number, repos};
use crate::{
    clock::json_time,
    forge::Forge,
    model::{CheckRun, Job, Repository, State, Step, WorkflowRun},
    permissions::Level,
    reply::{self, Answer, Refusal, with_type},
    request::Request,
};

/// Everything below `/repos/{owner}/{name}/actions`.
///
/// # Errors
/// As GitHub: 404, 403 without `actions`.
pub fn route(forge: &Forge, request: &Request, repo_id: u64, rest: &[&str]) -> Answer {
    let level = if request.method == Method::GET { Level::Read } else { Level::Write };
    repos::allow(forge, request, repo_id, "actions", level)?;
    let of_run = |id: &str, show: fn(&View<'_>) -> Answer| -> Answer {
        let id = number(id)?;
        forge.with_repo(repo_id, |state, repo| {
            let run = repo.run(id).ok_or_else(Refusal::not_found)?;
            show(&View { request, state, repo, run })
        })?
    };
    match (request.method.as_str(), rest) {
        ("GET", ["runs"]) => list(forge, request, repo_id),
        ("GET", ["runs", id] | ["runs", id, "attempts", _]) => {
            of_run(id, |view| reply::ok(&view.describe()))
        }
        ("GET", ["runs", id, "jobs"] | ["runs", id, "attempts", _, "jobs"]) => {
            of_run(id, |view| view.jobs())
        }
        ("GET", ["runs", id, "logs"] | ["runs", id, "attempts", _, "logs"]) => {
            of_run(id, |view| view.logs())
        }
        ("GET", ["runs", id, "artifacts"]) => {
            of_run(id, |_| reply::ok(&json!({"total_count": 0, "artifacts": []})))
        }
        ("POST", ["runs", id, "rerun"]) => rerun(forge, repo_id, number(id)?, |_| true),
        ("POST", ["runs", id, "rerun-failed-jobs"]) => {
            rerun(forge, repo_id, number(id)?, |job| job.conclusion.as_deref() != Some("success"))
        }
        (_, ["jobs", ..]) => job_route(forge, request, repo_id, rest),
        ("GET", ["workflows"]) => workflows(forge, request, repo_id),
        ("GET", ["workflows", id]) => workflow(forge, request, repo_id, id),
        ("GET", ["workflows", id, "runs"]) => of_workflow(forge, request, repo_id, id),
        _ => Err(Refusal::not_found()),
    }
}

fn job_route(forge: &Forge, request: &Request, repo_id: u64, rest: &[&str]) -> Answer {
    match (request.method.as_str(), rest) {
        ("GET", ["jobs", id]) => job(forge, request, repo_id, number(id)?, |view, job| {
            reply::ok(&view.describe_job(job))
        }),
        ("GET", ["jobs", id, "logs"]) => job(forge, request, repo_id, number(id)?, |view, job| {
            let log: String = job.steps.iter().map(|step| view.log(step)).collect();
            Ok(reply::text(StatusCode::OK, log))
        }),
        ("POST", ["jobs", id, "rerun"]) => rerun_job(forge, repo_id, number(id)?),
        _ => Err(Refusal::not_found()),
    }
}

/// A run within its repository, on its way into an answer.
struct View<'a> {
    request: &'a Request,
    state: &'a State,
    repo: &'a Repository,
    run: &'a WorkflowRun,
}

impl View<'_> {
    fn describe(&self) -> Value {
        let (run, full_name) = (self.run, self.state.full_name(self.repo));
        let url = self.request.api_url(&format!("/repos/{full_name}/actions/runs/{}", run.id));
        let repository = repos::describe(self.request, self.state, self.repo);
        json!({
            "id": run.id,
            "name": run.workflow,
            "node_id": format!("WFR_{}", run.id),
            "path": run.path,
            "display_title": run.title,
            "head_branch": run.head_branch,
            "head_sha": run.head_sha,
            "head_commit": {"id": run.head_sha, "message": run.title},
            "event": run.event,
            "status": run.status,
            "conclusion": run.conclusion,
            "workflow_id": workflow_id(self.repo, &run.workflow),
            "check_suite_id": run.id,
            "run_number": run.run_number,
            "run_attempt": run.attempt,
            "created_at": json_time(run.created_at),
            "updated_at": json_time(run.updated_at),
            "run_started_at": json_time(run.created_at),
            "url": url,
            "jobs_url": format!("{url}/jobs"),
            "logs_url": format!("{url}/logs"),
            "rerun_url": format!("{url}/rerun"),
            "html_url": self.request.html_url(&format!("/{full_name}/actions/runs/{}", run.id)),
            "pull_requests": [],
            "head_repository": repository,
            "repository": repository,
        })
    }

    fn describe_job(&self, job: &Job) -> Value {
        let full_name = self.state.full_name(self.repo);
        let (begun, ended) = (json_time(self.run.created_at), json_time(self.run.updated_at));
        let done = job.status == "completed";
        let steps: Vec<Value> = job
            .steps
            .iter()
            .zip(1..)
            .map(|(step, number): (_, u64)| {
                let status = if step.conclusion.is_some() { "completed" } else { "queued" };
                json!({
                    "name": step.name,
                    "number": number,
                    "status": status,
                    "conclusion": step.conclusion,
                    "started_at": begun,
                    "completed_at": step.conclusion.as_ref().map(|_| &ended),
                })
            })
            .collect();
        let page = format!("/{full_name}/actions/runs/{}/job/{}", self.run.id, job.id);
        json!({
            "id": job.id,
            "run_id": self.run.id,
            "run_attempt": self.run.attempt,
            "name": job.name,
            "status": job.status,
            "conclusion": job.conclusion,
            "head_sha": self.run.head_sha,
            "started_at": begun,
            "completed_at": done.then_some(&ended),
            "steps": steps,
            "html_url": self.request.html_url(&page),
            "check_run_url":
                self.request.api_url(&format!("/repos/{full_name}/check-runs/{}", job.id)),
        })
    }

    fn jobs(&self) -> Answer {
        let all: Vec<Value> = self.run.jobs.iter().map(|job| self.describe_job(job)).collect();
        reply::ok(&json!({"total_count": all.len(), "jobs": self.request.page(all)}))
    }

    /// What a step printed, each line with its time, as GitHub stores it.
    fn log(&self, step: &Step) -> String {
        let at = json_time(self.run.updated_at).replace('Z', ".0000000Z");
        step.log.lines().map(|line| format!("{at} {line}\n")).collect()
    }

    /// A ZIP archive with a file per step, `<job>/<number>_<step>.txt`.
    fn logs(&self) -> Answer {
        if self.run.status != "completed" {
            return Err(Refusal::not_found());
        }
        let archive = self.archive().map_err(|error| Refusal::internal(&error))?;
        Ok(with_type(StatusCode::OK, "application/zip", archive))
    }

    fn archive(&self) -> zip::result::ZipResult<Vec<u8>> {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        for (index, job) in self.run.jobs.iter().enumerate() {
            // A name with a slash would become a directory.
            let name = job.name.replace('/', "");
            let whole: String = job.steps.iter().map(|step| self.log(step)).collect();
            archive.start_file(format!("{index}_{name}.txt"), options)?;
            archive.write_all(whole.as_bytes())?;
            for (step, number) in job.steps.iter().zip(1..) {
                let file = format!("{name}/{number}_{}.txt", step.name.replace('/', ""));
                archive.start_file(file, options)?;
                archive.write_all(self.log(step).as_bytes())?;
            }
        }
        Ok(archive.finish()?.into_inner())
    }
}

fn list(forge: &Forge, request: &Request, repo_id: u64) -> Answer {
    runs(forge, request, repo_id, |_, _| true)
}

fn of_workflow(forge: &Forge, request: &Request, repo_id: u64, id: &str) -> Answer {
    runs(forge, request, repo_id, |repo, run| names_workflow(repo, &run.workflow, &run.path, id))
}

fn names_workflow(repo: &Repository, name: &str, path: &str, id: &str) -> bool {
    id.parse() == Ok(workflow_id(repo, name)) || path.rsplit('/').next() == Some(id)
}

fn runs(
    forge: &Forge,
    request: &Request,
    repo_id: u64,
    wanted: impl Fn(&Repository, &WorkflowRun) -> bool,
) -> Answer {
    let equals = |name, value: &str| request.query(name).is_none_or(|wanted| wanted == value);
    let all: Vec<Value> = forge.with_repo(repo_id, |state, repo| {
        let fits = |run: &&WorkflowRun| {
            let outcome = run.conclusion.as_deref().unwrap_or_default();
            wanted(repo, run)
                && equals("branch", &run.head_branch)
                && equals("event", &run.event)
                && equals("head_sha", &run.head_sha)
                && (equals("status", &run.status) || equals("status", outcome))
        };
        let listed = repo.runs.iter().rev().filter(fits);
        listed.map(|run| View { request, state, repo, run }.describe()).collect()
    })?;
    reply::ok(&json!({"total_count": all.len(), "workflow_runs": request.page(all)}))
}

fn job(
    forge: &Forge,
    request: &Request,
    repo_id: u64,
    id: u64,
    show: impl Fn(&View<'_>, &Job) -> Answer,
) -> Answer {
    forge.with_repo(repo_id, |state, repo| {
        let jobs = repo.runs.iter().flat_map(|run| run.jobs.iter().map(move |job| (run, job)));
        let found = jobs.into_iter().find(|(_, job)| job.id == id);
        let (run, job) = found.ok_or_else(Refusal::not_found)?;
        show(&View { request, state, repo, run }, job)
    })?
}

/// Queues a finished run again: one attempt more, and the jobs that `again` picks start over.
fn rerun(forge: &Forge, repo_id: u64, id: u64, again: impl Fn(&Job) -> bool) -> Answer {
    let now = forge.clock.now();
    forge.change_repo(repo_id, |repo| {
        let run = repo.runs.iter_mut().find(|run| run.id == id).ok_or_else(Refusal::not_found)?;
        if run.status != "completed" {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "This workflow is already running"));
        }
        run.attempt += 1;
        "queued".clone_into(&mut run.status);
        run.conclusion = None;
        run.updated_at = now;
        for job in run.jobs.iter_mut().filter(|job| again(job)) {
            "queued".clone_into(&mut job.status);
            job.conclusion = None;
            for step in &mut job.steps {
                step.conclusion = None;
            }
        }
        let run = run.clone();
        mirror_checks(repo, &run, now);
        Ok(())
    })?;
    Ok(reply::json_reply(StatusCode::CREATED, &json!({})))
}

fn rerun_job(forge: &Forge, repo_id: u64, id: u64) -> Answer {
    let run = forge.with_repo(repo_id, |_, repo| {
        repo.runs.iter().find(|run| run.jobs.iter().any(|job| job.id == id)).map(|run| run.id)
    })?;
    rerun(forge, repo_id, run.ok_or_else(Refusal::not_found)?, |job| job.id == id)
}

/// A workflow has the id of its first run; it has no record of its own.
pub fn workflow_id(repo: &Repository, name: &str) -> u64 {
    repo.runs.iter().find(|run| run.workflow == name).map_or(0, |run| run.id)
}

fn describe_workflow(repo: &Repository, run: &WorkflowRun) -> Value {
    json!({
        "id": workflow_id(repo, &run.workflow),
        "name": run.workflow,
        "path": run.path,
        "state": "active",
    })
}

fn workflows(forge: &Forge, request: &Request, repo_id: u64) -> Answer {
    let all: Vec<Value> = forge.with_repo(repo_id, |_, repo| {
        let first = |run: &&WorkflowRun| workflow_id(repo, &run.workflow) == run.id;
        repo.runs.iter().filter(first).map(|run| describe_workflow(repo, run)).collect()
    })?;
    reply::ok(&json!({"total_count": all.len(), "workflows": request.page(all)}))
}

fn workflow(forge: &Forge, _request: &Request, repo_id: u64, id: &str) -> Answer {
    let found = forge.with_repo(repo_id, |_, repo| {
        let run =
            repo.runs.iter().find(|run| names_workflow(repo, &run.workflow, &run.path, id))?;
        Some(describe_workflow(repo, run))
    })?;
    reply::ok(&found.ok_or_else(Refusal::not_found)?)
}

/// Makes each job of a run a check run of its commit, as Actions does; the ids are the same.
pub fn mirror_checks(repo: &mut Repository, run: &WorkflowRun, now: OffsetDateTime) {
    for job in &run.jobs {
        repo.check_runs.retain(|check| check.id != job.id);
        repo.check_runs.push(CheckRun {
            id: job.id,
            head_sha: run.head_sha.clone(),
            name: job.name.clone(),
            status: job.status.clone(),
            conclusion: job.conclusion.clone(),
            details_url: Some(format!("/actions/runs/{}/job/{}", run.id, job.id)),
            started_at: run.created_at,
            completed_at: (job.status == "completed").then_some(now),
        });
    }
}

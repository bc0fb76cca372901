//! Check runs and Actions runs as tests report them: no workflow runs here by itself.

use crate::{
    forge::Forge,
    model::{CheckRun, Job, State, WorkflowRun},
    operations::{Result, repository_id, unknown},
    rest::runs::mirror_checks,
    spec::{CheckSpec, JobSpec, RunChange, RunSpec},
};

/// Reports a check run on a commit.
///
/// # Errors
/// For an unknown repository or commit.
pub async fn put_check(forge: &Forge, named: (&str, &str), spec: &CheckSpec) -> Result<u64> {
    let repo_id = forge.store.read(|state| repository_id(state, named))?;
    let head_sha = commit(forge, repo_id, &spec.commit).await?;
    let now = forge.clock.now();
    forge.store.write(|state| {
        let id = state.fresh_id();
        let repo = state.repositories.get_mut(&repo_id);
        let repo = repo.ok_or_else(|| unknown("repository", repo_id))?;
        repo.check_runs.retain(|run| run.name != spec.name || run.head_sha != head_sha);
        repo.check_runs.push(CheckRun {
            id,
            head_sha,
            name: spec.name.clone(),
            status: spec.status.clone(),
            conclusion: spec.conclusion.clone(),
            details_url: None,
            started_at: now,
            completed_at: (spec.status == "completed").then_some(now),
        });
        Ok(id)
    })
}

async fn commit(forge: &Forge, repo_id: u64, name: &str) -> Result<String> {
    forge.git(repo_id).resolve(name).await.ok_or_else(|| unknown("commit", name))
}

/// Reports an Actions run with its jobs; each job is a check run of its commit, too.
///
/// # Errors
/// For an unknown repository or branch.
pub async fn put_run(forge: &Forge, named: (&str, &str), spec: &RunSpec) -> Result<u64> {
    let repo_id = forge.store.read(|state| repository_id(state, named))?;
    let head_sha = commit(forge, repo_id, &format!("refs/heads/{}", spec.branch)).await?;
    let title = forge.git(repo_id).run(&["show", "--no-patch", "--format=%s", &head_sha]).await;
    let now = forge.clock.now();
    forge.store.write(|state| {
        let id = state.fresh_id();
        let jobs: Vec<Job> = spec.jobs.iter().map(|job| fresh_job(state, spec, job)).collect();
        let repo = state.repositories.get_mut(&repo_id);
        let repo = repo.ok_or_else(|| unknown("repository", repo_id))?;
        let run_number = repo.runs.iter().filter(|run| run.workflow == spec.workflow).count();
        let run = WorkflowRun {
            id,
            workflow: spec.workflow.clone(),
            path: format!(".github/workflows/{}.yml", spec.workflow.to_ascii_lowercase()),
            title: title.unwrap_or_default(),
            head_branch: spec.branch.clone(),
            head_sha,
            event: spec.event.clone(),
            status: spec.status.clone(),
            conclusion: spec.conclusion.clone(),
            attempt: 1,
            run_number: run_number as u64 + 1,
            jobs,
            created_at: now,
            updated_at: now,
        };
        mirror_checks(repo, &run, now);
        repo.runs.push(run);
        Ok(id)
    })
}

fn fresh_job(state: &mut State, run: &RunSpec, job: &JobSpec) -> Job {
    Job {
        id: state.fresh_id(),
        name: job.name.clone(),
        status: job.status.clone().unwrap_or_else(|| run.status.clone()),
        conclusion: job.conclusion.clone().or_else(|| run.conclusion.clone()),
        steps: job.steps.clone(),
    }
}

/// Moves an Actions run on.
///
/// # Errors
/// For an unknown repository or run.
pub fn change_run(
    forge: &Forge,
    named: (&str, &str),
    run_id: u64,
    change: &RunChange,
) -> Result<()> {
    let now = forge.clock.now();
    forge.store.write(|state| {
        let repo_id = repository_id(state, named)?;
        let repo = state.repositories.get_mut(&repo_id);
        let repo = repo.ok_or_else(|| unknown("repository", repo_id))?;
        let run = repo.runs.iter_mut().find(|run| run.id == run_id);
        let run = run.ok_or_else(|| unknown("run", run_id))?;
        for job in run.jobs.iter_mut().filter(|job| job.status != "completed") {
            job.status = change.status.clone().unwrap_or_else(|| job.status.clone());
            job.conclusion = change.conclusion.clone().or_else(|| job.conclusion.clone());
        }
        run.status = change.status.clone().unwrap_or_else(|| run.status.clone());
        run.conclusion = change.conclusion.clone().or_else(|| run.conclusion.clone());
        run.updated_at = now;
        let run = run.clone();
        mirror_checks(repo, &run, now);
        Ok(())
    })
}

//! Check runs and commit statuses by REST.

use http::Method;
use serde_json::{Value, json};

use super::{number, repos, text_field};
use crate::{
    clock::json_time,
    forge::Forge,
    model::{CheckRun, CommitStatus},
    permissions::Level,
    reply::{self, Answer, Refusal},
    request::Request,
};

/// `/check-runs`, `/statuses/{sha}`, and `/commits/{ref}/(check-runs|status|statuses)`.
///
/// # Errors
/// As GitHub: 404, 403 without `checks` or `statuses`, 422.
pub async fn route(forge: &Forge, request: &Request, repo_id: u64, rest: &[&str]) -> Answer {
    let level = if request.method == Method::GET { Level::Read } else { Level::Write };
    let checks = rest.contains(&"check-runs");
    let permission = if checks { "checks" } else { "statuses" };
    repos::allow(forge, request, repo_id, permission, level)?;
    match (request.method.as_str(), rest) {
        ("POST", ["check-runs"]) => create(forge, request, repo_id).await,
        ("GET", ["check-runs", id]) => show(forge, request, repo_id, number(id)?),
        ("PATCH", ["check-runs", id]) => edit(forge, request, repo_id, number(id)?),
        ("GET", ["check-runs", _, "annotations"]) => reply::ok(&json!([])),
        ("GET", ["commits", name, "check-runs"]) => list(forge, request, repo_id, name).await,
        ("GET", ["commits", name, "status"]) => combined(forge, request, repo_id, name).await,
        ("POST", ["statuses", sha]) => set_status(forge, request, repo_id, sha).await,
        _ => Err(Refusal::not_found()),
    }
}

/// True for what [`route`] answers.
pub fn owns(rest: &[&str]) -> bool {
    matches!(rest, ["check-runs" | "statuses", ..] | ["commits", _, "check-runs" | "status"])
}

async fn commit(forge: &Forge, repo_id: u64, name: &str) -> Result<String, Refusal> {
    let missing = || Refusal::unprocessable(format!("No commit found for SHA: {name}"));
    forge.git(repo_id).resolve(name).await.ok_or_else(missing)
}

async fn create(forge: &Forge, request: &Request, repo_id: u64) -> Answer {
    let body = request.json()?;
    let head_sha = commit(forge, repo_id, text_field(&body, "CheckRun", "head_sha")?).await?;
    let (id, now) = (forge.fresh_id(), forge.clock.now());
    let text = |field: &str| body[field].as_str().map(str::to_owned);
    let conclusion = text("conclusion");
    let usual = if conclusion.is_some() { "completed" } else { "queued" };
    let run = CheckRun {
        id,
        head_sha,
        name: text_field(&body, "CheckRun", "name")?.to_owned(),
        status: text("status").unwrap_or_else(|| usual.to_owned()),
        completed_at: conclusion.is_some().then_some(now),
        conclusion,
        details_url: text("details_url"),
        started_at: now,
    };
    let made = describe(&run);
    forge.change_repo(repo_id, |repo| {
        repo.check_runs.push(run);
        Ok(())
    })?;
    reply::created(&made)
}

fn show(forge: &Forge, _request: &Request, repo_id: u64, id: u64) -> Answer {
    let found = forge.with_repo(repo_id, |_, repo| {
        repo.check_runs.iter().find(|run| run.id == id).map(describe)
    })?;
    reply::ok(&found.ok_or_else(Refusal::not_found)?)
}

fn edit(forge: &Forge, request: &Request, repo_id: u64, id: u64) -> Answer {
    let (body, now) = (request.json()?, forge.clock.now());
    forge.change_repo(repo_id, |repo| {
        let run = repo.check_runs.iter_mut().find(|run| run.id == id);
        let run = run.ok_or_else(Refusal::not_found)?;
        if let Some(status) = body["status"].as_str() {
            status.clone_into(&mut run.status);
        }
        if let Some(conclusion) = body["conclusion"].as_str() {
            run.conclusion = Some(conclusion.to_owned());
            "completed".clone_into(&mut run.status);
            run.completed_at = Some(now);
        }
        Ok(())
    })?;
    show(forge, request, repo_id, id)
}

async fn list(forge: &Forge, request: &Request, repo_id: u64, name: &str) -> Answer {
    let sha = commit(forge, repo_id, name).await?;
    let all: Vec<Value> = forge.with_repo(repo_id, |_, repo| {
        repo.check_runs.iter().filter(|run| run.head_sha == sha).map(describe).collect()
    })?;
    reply::ok(&json!({"total_count": all.len(), "check_runs": request.page(all)}))
}

async fn combined(forge: &Forge, request: &Request, repo_id: u64, name: &str) -> Answer {
    let sha = commit(forge, repo_id, name).await?;
    let statuses = forge.with_repo(repo_id, |_, repo| newest(&repo.statuses, &sha))?;
    let worst = ["error", "failure", "pending"]
        .into_iter()
        .find(|state| statuses.iter().any(|status| status.state == *state));
    let state = match worst {
        Some("error") => "failure",
        Some(state) => state,
        None if statuses.is_empty() => "pending",
        None => "success",
    };
    let listed: Vec<Value> = statuses.iter().map(describe_status).collect();
    let count = listed.len();
    let statuses = request.page(listed);
    reply::ok(&json!({"state": state, "sha": sha, "total_count": count, "statuses": statuses}))
}

/// The newest status of each context on a commit.
pub fn newest(statuses: &[CommitStatus], sha: &str) -> Vec<CommitStatus> {
    let mut found: Vec<CommitStatus> = Vec::new();
    for status in statuses.iter().rev().filter(|status| status.sha == sha) {
        if found.iter().all(|known| known.context != status.context) {
            found.push(status.clone());
        }
    }
    found.reverse();
    found
}

async fn set_status(forge: &Forge, request: &Request, repo_id: u64, sha: &str) -> Answer {
    let body = request.json()?;
    let sha = commit(forge, repo_id, sha).await?;
    let state = text_field(&body, "Status", "state")?;
    if !matches!(state, "success" | "failure" | "error" | "pending") {
        return Err(Refusal::validation("Status", "state", "invalid", ""));
    }
    let status = CommitStatus {
        id: forge.fresh_id(),
        sha,
        context: body["context"].as_str().unwrap_or("default").to_owned(),
        state: state.to_owned(),
        description: body["description"].as_str().unwrap_or_default().to_owned(),
        target_url: body["target_url"].as_str().map(str::to_owned),
        created_at: forge.clock.now(),
    };
    let made = describe_status(&status);
    forge.change_repo(repo_id, |repo| {
        repo.statuses.push(status);
        Ok(())
    })?;
    reply::created(&made)
}

fn describe(run: &CheckRun) -> Value {
    json!({
        "id": run.id,
        "name": run.name,
        "head_sha": run.head_sha,
        "status": run.status,
        "conclusion": run.conclusion,
        "details_url": run.details_url,
        "started_at": json_time(run.started_at),
        "completed_at": run.completed_at.map(json_time),
    })
}

fn describe_status(status: &CommitStatus) -> Value {
    json!({
        "id": status.id,
        "state": status.state,
        "context": status.context,
        "description": status.description,
        "target_url": status.target_url,
        "created_at": json_time(status.created_at),
    })
}

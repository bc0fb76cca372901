//! Issues, comments and labels by REST.

use http::Method;
use serde_json::{Value, json};

use super::{number, pulls::author, repos, text_field, users};
use crate::{
    clock::json_time,
    forge::Forge,
    issues,
    model::{Comment, Issue, OpenState, Repository, State},
    permissions::Level,
    reply::{self, Answer, Refusal},
    request::Request,
};

/// Everything below `/repos/{owner}/{name}/issues`.
///
/// # Errors
/// As GitHub: 404, 403 without `issues` (or `pull_requests`, for the number of one), 422.
pub fn route(forge: &Forge, request: &Request, repo_id: u64, rest: &[&str]) -> Answer {
    let level = if request.method == Method::GET { Level::Read } else { Level::Write };
    let is_pull = match rest.first().and_then(|id| id.parse().ok()) {
        Some(id) => forge.with_repo(repo_id, |_, repo| repo.pull(id).is_some())?,
        None => false,
    };
    let permission = if is_pull { "pull_requests" } else { "issues" };
    repos::allow(forge, request, repo_id, permission, level)?;
    match (request.method.as_str(), rest) {
        ("GET", []) => list(forge, request, repo_id),
        ("POST", []) => create(forge, request, repo_id),
        ("GET", [id]) => show(forge, request, repo_id, number(id)?),
        ("PATCH", [id]) => edit(forge, request, repo_id, number(id)?),
        ("GET", [id, "comments"]) => comments(forge, request, repo_id, number(id)?),
        ("POST", [id, "comments"]) => comment(forge, request, repo_id, number(id)?),
        _ => Err(Refusal::not_found()),
    }
}

/// `open` or `closed`.
pub fn state_word(state: OpenState) -> &'static str {
    match state {
        OpenState::Open => "open",
        OpenState::Closed => "closed",
    }
}

fn list(forge: &Forge, request: &Request, repo_id: u64) -> Answer {
    let wanted = request.query("state").unwrap_or("open");
    let all: Vec<Value> = forge.with_repo(repo_id, |state, repo| {
        let fits = |issue: &&Issue| wanted == "all" || wanted == state_word(issue.state);
        let listed = repo.issues.iter().rev().filter(fits);
        listed.map(|issue| describe_common(request, state, repo, issue, "issues")).collect()
    })?;
    reply::ok(&Value::Array(request.page(all)))
}

fn create(forge: &Forge, request: &Request, repo_id: u64) -> Answer {
    let body = request.json()?;
    let title = text_field(&body, "Issue", "title")?;
    let text = body["body"].as_str().unwrap_or_default();
    let by = author(forge, request)?;
    let number = issues::open(forge, repo_id, by, (title, text), texts(&body["labels"]))?;
    reply::created(&one(forge, request, repo_id, number)?)
}

fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

fn one(forge: &Forge, request: &Request, repo_id: u64, number: u64) -> Result<Value, Refusal> {
    let found = forge.with_repo(repo_id, |state, repo| {
        let kind = if repo.pull(number).is_some() { "pull" } else { "issues" };
        let issue = issues::find(repo, number)?;
        Some(describe_common(request, state, repo, issue, kind))
    })?;
    found.ok_or_else(Refusal::not_found)
}

fn show(forge: &Forge, request: &Request, repo_id: u64, number: u64) -> Answer {
    reply::ok(&one(forge, request, repo_id, number)?)
}

fn edit(forge: &Forge, request: &Request, repo_id: u64, number: u64) -> Answer {
    let body = request.json()?;
    edit_common(forge, repo_id, number, &body)?;
    match body["state"].as_str() {
        Some("closed") => issues::set_state(forge, repo_id, number, OpenState::Closed)?,
        Some("open") => issues::set_state(forge, repo_id, number, OpenState::Open)?,
        _ => {}
    }
    show(forge, request, repo_id, number)
}

/// Title, body, labels and assignees, of those that are given.
///
/// # Errors
/// 404 for an unknown number.
pub fn edit_common(forge: &Forge, repo_id: u64, number: u64, body: &Value) -> Result<(), Refusal> {
    issues::change(forge, repo_id, number, |issue| {
        if let Some(title) = body["title"].as_str() {
            title.clone_into(&mut issue.title);
        }
        if let Some(text) = body["body"].as_str() {
            text.clone_into(&mut issue.body);
        }
        if body["labels"].is_array() {
            issue.labels = texts(&body["labels"]);
        }
        if body["assignees"].is_array() {
            issue.assignees = texts(&body["assignees"]);
        }
    })
}

fn comments(forge: &Forge, request: &Request, repo_id: u64, number: u64) -> Answer {
    let all = forge.with_repo(repo_id, |state, repo| {
        let comments = &issues::find(repo, number)?.comments;
        Some(comments.iter().map(|one| describe_comment(request, state, one)).collect::<Vec<_>>())
    })?;
    reply::ok(&Value::Array(request.page(all.ok_or_else(Refusal::not_found)?)))
}

fn comment(forge: &Forge, request: &Request, repo_id: u64, number: u64) -> Answer {
    let body = request.json()?;
    let text = text_field(&body, "IssueComment", "body")?;
    let id = issues::comment(forge, (repo_id, number), author(forge, request)?, text)?;
    let made = forge.with_repo(repo_id, |state, repo| {
        let comment = issues::find(repo, number)?.comments.iter().find(|one| one.id == id)?;
        Some(describe_comment(request, state, comment))
    })?;
    reply::created(&made.ok_or_else(Refusal::not_found)?)
}

fn describe_comment(request: &Request, state: &State, comment: &Comment) -> Value {
    json!({
        "id": comment.id,
        "user": state.accounts.get(&comment.author_id).map(|one| users::simple(request, one)),
        "body": comment.body,
        "created_at": json_time(comment.created_at),
        "updated_at": json_time(comment.created_at),
    })
}

/// What issues and pull requests have in common; `page` is the part of the web address.
pub fn describe_common(
    request: &Request,
    state: &State,
    repo: &Repository,
    issue: &Issue,
    page: &str,
) -> Value {
    let full_name = state.full_name(repo);
    let number = issue.number;
    let labels: Vec<Value> =
        issue.labels.iter().map(|name| json!({"name": name, "color": "ededed"})).collect();
    let assignees: Vec<Value> = issue
        .assignees
        .iter()
        .filter_map(|login| state.account(login))
        .map(|one| users::simple(request, one))
        .collect();
    json!({
        "id": issue.id,
        "number": number,
        "url": request.api_url(&format!("/repos/{full_name}/issues/{number}")),
        "html_url": request.html_url(&format!("/{full_name}/{page}/{number}")),
        "title": issue.title,
        "body": issue.body,
        "state": state_word(issue.state),
        "user": state.accounts.get(&issue.author_id).map(|one| users::simple(request, one)),
        "labels": labels,
        "assignees": assignees,
        "comments": issue.comments.len(),
        "created_at": json_time(issue.created_at),
        "updated_at": json_time(issue.updated_at),
        "closed_at": issue.closed_at.map(json_time),
    })
}

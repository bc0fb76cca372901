//! Pull requests by REST.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{issues, number, repos, text_field, users};
use crate::{
    clock::json_time,
    forge::Forge,
    model::{OpenState, Pull, Repository, Review, ReviewState, State},
    permissions::Level,
    pulls::{self, MergeRequest, NewPull},
    reply::{self, Answer, Refusal},
    request::Request,
};

const PERMISSION: &str = "pull_requests";

/// Everything below `/repos/{owner}/{name}/pulls`.
///
/// # Errors
/// As GitHub: 404, 403 without `pull_requests`, 422 for what is not valid.
pub async fn route(forge: &Forge, request: &Request, repo_id: u64, rest: &[&str]) -> Answer {
    let level = if request.method == Method::GET { Level::Read } else { Level::Write };
    let permission = if rest.get(1) == Some(&"merge") { "contents" } else { PERMISSION };
    repos::allow(forge, request, repo_id, permission, level)?;
    pulls::refresh(forge, repo_id).await?;
    match (request.method.as_str(), rest) {
        ("GET", []) => list(forge, request, repo_id),
        ("POST", []) => create(forge, request, repo_id).await,
        ("GET", [id]) => show(forge, request, repo_id, number(id)?).await,
        ("PATCH", [id]) => edit(forge, request, repo_id, number(id)?),
        ("PUT", [id, "merge"]) => merge(forge, request, repo_id, number(id)?).await,
        ("GET", [id, "commits"]) => commits(forge, request, repo_id, number(id)?).await,
        ("GET", [id, "reviews"]) => reviews(forge, request, repo_id, number(id)?),
        ("POST", [id, "reviews"]) => review(forge, request, repo_id, number(id)?),
        _ => Err(Refusal::not_found()),
    }
}

fn list(forge: &Forge, request: &Request, repo_id: u64) -> Answer {
    let wanted = request.query("state").unwrap_or("open");
    let head = request.query("head").map(|head| head.rsplit(':').next().unwrap_or(head));
    let base = request.query("base");
    let all: Vec<Value> = forge.with_repo(repo_id, |state, repo| {
        let fits = |pull: &&Pull| {
            (wanted == "all" || wanted == issues::state_word(pull.issue.state))
                && head.is_none_or(|head| head == pull.head)
                && base.is_none_or(|base| base == pull.base)
        };
        let listed = repo.pulls.iter().rev().filter(fits);
        listed.map(|pull| describe(request, state, repo, pull)).collect()
    })?;
    reply::ok(&Value::Array(request.page(all)))
}

async fn create(forge: &Forge, request: &Request, repo_id: u64) -> Answer {
    let body = request.json()?;
    let new = NewPull {
        title: text_field(&body, "PullRequest", "title")?.to_owned(),
        body: body["body"].as_str().unwrap_or_default().to_owned(),
        head: text_field(&body, "PullRequest", "head")?.to_owned(),
        head_repo: head_repo(forge, request, repo_id, &body)?,
        base: text_field(&body, "PullRequest", "base")?.to_owned(),
        draft: body["draft"].as_bool().unwrap_or_default(),
    };
    let number = pulls::open(forge, repo_id, author(forge, request)?, &new).await?;
    reply::created(&one(forge, request, repo_id, number)?)
}

/// The head's repository when `head_repo` names one that the token reaches: `owner/name`, or the
/// name alone of one of the base's owner.
fn head_repo(
    forge: &Forge,
    request: &Request,
    repo_id: u64,
    body: &Value,
) -> Result<Option<u64>, Refusal> {
    let Some(name) = body["head_repo"].as_str() else { return Ok(None) };
    let found = forge.with_repo(repo_id, |state, repo| {
        let beside = (state.login(repo.owner_id), name);
        let (owner, name) = name.split_once('/').unwrap_or(beside);
        let other = state.repository(owner, name)?;
        let seen = request.caller.may(state, other, "contents", Level::Read).is_ok();
        seen.then_some(other.id)
    })?;
    let invalid = || Refusal::validation("PullRequest", "head_repo", "invalid", "");
    found.map(Some).ok_or_else(invalid)
}

/// Account that the caller writes as: the App's bot.
///
/// # Errors
/// 401 without a token.
pub fn author(forge: &Forge, request: &Request) -> Result<u64, Refusal> {
    request.caller.token()?.ok_or_else(Refusal::requires_authentication)?;
    let bot = forge.store.read(|state| state.bot().map(|bot| bot.id));
    bot.ok_or_else(Refusal::not_found)
}

fn one(forge: &Forge, request: &Request, repo_id: u64, number: u64) -> Result<Value, Refusal> {
    forge
        .with_repo(repo_id, |state, repo| {
            repo.pull(number).map(|pull| describe(request, state, repo, pull))
        })?
        .ok_or_else(Refusal::not_found)
}

async fn show(forge: &Forge, request: &Request, repo_id: u64, number: u64) -> Answer {
    let accept = request.header("accept").unwrap_or_default();
    let git_form = ["diff", "patch"].into_iter().find(|form| accept.contains(*form));
    let Some(form) = git_form else {
        return reply::ok(&one(forge, request, repo_id, number)?);
    };
    let (base, head) = forge
        .with_repo(repo_id, |_, repo| {
            repo.pull(number).map(|pull| (pull.base_sha.clone(), pull.head_sha.clone()))
        })?
        .ok_or_else(Refusal::not_found)?;
    let range = format!("{base}...{head}");
    let args = match form {
        "patch" => vec!["log", "--reverse", "--format=email", "-p", range.as_str()],
        _ => vec!["diff", range.as_str()],
    };
    let text = forge.git(repo_id).bytes(&args).await;
    Ok(reply::text(StatusCode::OK, text.map_err(|error| Refusal::internal(&error))?))
}

fn edit(forge: &Forge, request: &Request, repo_id: u64, number: u64) -> Answer {
    let body = request.json()?;
    issues::edit_common(forge, repo_id, number, &body)?;
    if let Some(base) = body["base"].as_str() {
        pulls::change(forge, repo_id, number, |pull| {
            base.clone_into(&mut pull.base);
            Ok(())
        })?;
    }
    match body["state"].as_str() {
        Some("closed") => pulls::set_state(forge, repo_id, number, OpenState::Closed)?,
        Some("open") => pulls::set_state(forge, repo_id, number, OpenState::Open)?,
        _ => {}
    }
    reply::ok(&one(forge, request, repo_id, number)?)
}

async fn merge(forge: &Forge, request: &Request, repo_id: u64, number: u64) -> Answer {
    let body = request.json()?;
    let text = |field: &str| body[field].as_str().map(str::to_owned);
    let wanted = MergeRequest {
        method: pulls::Method::parse(&body["merge_method"])?,
        title: text("commit_title"),
        message: text("commit_message"),
        expected_head: text("sha"),
    };
    let by = author(forge, request)?;
    let sha = pulls::merge(forge, (repo_id, number), by, &wanted).await?;
    let message = "Pull Request successfully merged";
    reply::ok(&json!({"sha": sha, "merged": true, "message": message}))
}

async fn commits(forge: &Forge, request: &Request, repo_id: u64, number: u64) -> Answer {
    let (base, head) = forge
        .with_repo(repo_id, |_, repo| {
            repo.pull(number).map(|pull| (pull.base_sha.clone(), pull.head_sha.clone()))
        })?
        .ok_or_else(Refusal::not_found)?;
    let list = pulls::commits_between(&forge.git(repo_id), &base, &head).await;
    let list = list.map_err(|error| Refusal::internal(&error))?;
    let mut all = Vec::new();
    for sha in list {
        all.push(super::commits::describe(forge, request, repo_id, &sha).await?);
    }
    reply::ok(&Value::Array(request.page(all)))
}

fn reviews(forge: &Forge, request: &Request, repo_id: u64, number: u64) -> Answer {
    let all = forge.with_repo(repo_id, |state, repo| {
        let reviews = &repo.pull(number)?.reviews;
        Some(reviews.iter().map(|one| describe_review(request, state, one)).collect::<Vec<_>>())
    })?;
    reply::ok(&Value::Array(request.page(all.ok_or_else(Refusal::not_found)?)))
}

fn review(forge: &Forge, request: &Request, repo_id: u64, number: u64) -> Answer {
    let body = request.json()?;
    let state = parse_event(body["event"].as_str())?;
    let text = body["body"].as_str().unwrap_or_default();
    let by = author(forge, request)?;
    let id = pulls::review(forge, (repo_id, number), by, (state, text))?;
    let made = forge.with_repo(repo_id, |known, repo| {
        let review = repo.pull(number)?.reviews.iter().find(|review| review.id == id)?;
        Some(describe_review(request, known, review))
    })?;
    reply::ok(&made.ok_or_else(Refusal::not_found)?)
}

/// Verdict by the `event` that submits it.
///
/// # Errors
/// 422 for another word.
pub fn parse_event(event: Option<&str>) -> Result<ReviewState, Refusal> {
    match event {
        Some("APPROVE") => Ok(ReviewState::Approved),
        Some("REQUEST_CHANGES") => Ok(ReviewState::ChangesRequested),
        Some("COMMENT") => Ok(ReviewState::Commented),
        _ => Err(Refusal::validation("PullRequestReview", "event", "invalid", "")),
    }
}

fn describe_review(request: &Request, state: &State, review: &Review) -> Value {
    json!({
        "id": review.id,
        "user": state.accounts.get(&review.author_id).map(|one| users::simple(request, one)),
        "body": review.body,
        "state": review.state,
        "commit_id": review.commit,
        "submitted_at": json_time(review.submitted_at),
    })
}

/// The pull request as GitHub's JSON has it.
pub fn describe(request: &Request, state: &State, repo: &Repository, pull: &Pull) -> Value {
    let full_name = state.full_name(repo);
    let number = pull.issue.number;
    let mut all = issues::describe_common(request, state, repo, &pull.issue, "pull");
    let end = |branch: &str, sha: &str, of: Option<&Repository>| {
        let owner = of.map(|of| state.login(of.owner_id)).unwrap_or_default();
        json!({
            "label": format!("{owner}:{branch}"),
            "ref": branch,
            "sha": sha,
            "repo": of.map(|of| repos::describe(request, state, of)),
        })
    };
    let head_repo = pull.head_repo.map_or(Some(repo), |id| state.repositories.get(&id));
    let more = json!({
        "url": request.api_url(&format!("/repos/{full_name}/pulls/{number}")),
        "diff_url": request.html_url(&format!("/{full_name}/pull/{number}.diff")),
        "draft": pull.draft,
        "merged": pull.merge.is_some(),
        "merged_at": pull.merge.as_ref().map(|merge| json_time(merge.at)),
        "merge_commit_sha": pull.merge.as_ref().map(|merge| merge.commit.clone()),
        "head": end(&pull.head, &pull.head_sha, head_repo),
        "base": end(&pull.base, &pull.base_sha, Some(repo)),
        "requested_reviewers": pull.requested_reviewers,
    });
    if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
        all.extend(more);
    }
    all
}

//! Repositories, and the way to everything below them.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::{app, checks, commits, issues, moved, number, pulls, runs, users};
use crate::{
    clock::json_time,
    forge::Forge,
    model::{Repository, State},
    permissions::Level,
    reply::{self, Answer, Refusal},
    request::Request,
};

/// Everything below `/repos/{owner}/{name}`.
///
/// # Errors
/// 404 for a repository that is not there or that the caller may not see; else what is below.
pub async fn by_name(
    forge: &Arc<Forge>,
    request: &Request,
    (owner, name): (&str, &str),
    rest: &[&str],
) -> Answer {
    if rest == ["installation"] && request.method == Method::GET {
        return app::of_name(forge, request, (owner, name));
    }
    let (here, moved_to) = forge.store.read(|state| {
        let here = state.repository(owner, name).map(|repo| repo.id);
        let renamed = state.renamed_repository(owner, name);
        let visible =
            renamed.filter(|repo| request.caller.may(state, repo, "metadata", Level::Read).is_ok());
        (here, visible.map(|repo| repo.id))
    });
    match (here, moved_to) {
        (Some(id), _) => below(forge, request, id, rest).await,
        (None, Some(id)) => Ok(moved(request, id, rest)),
        (None, None) => {
            request.caller.token()?;
            Err(Refusal::not_found())
        }
    }
}

/// Everything below `/repositories/{id}`.
///
/// # Errors
/// As [`by_name`].
pub async fn by_id(forge: &Arc<Forge>, request: &Request, id: &str, rest: &[&str]) -> Answer {
    let id = number(id)?;
    if rest == ["installation"] && request.method == Method::GET {
        return app::of_repository(forge, request, id);
    }
    below(forge, request, id, rest).await
}

async fn below(forge: &Arc<Forge>, request: &Request, id: u64, rest: &[&str]) -> Answer {
    allow(forge, request, id, "metadata", Level::Read)?;
    match rest {
        [] if request.method == Method::GET => show(forge, request, id),
        ["pulls", rest @ ..] => pulls::route(forge, request, id, rest).await,
        ["issues", rest @ ..] => issues::route(forge, request, id, rest),
        ["actions", rest @ ..] => runs::route(forge, request, id, rest),
        rest if checks::owns(rest) => checks::route(forge, request, id, rest).await,
        ["branches" | "commits" | "contents" | "git" | "readme", ..] => {
            commits::route(forge, request, id, rest).await
        }
        _ => Err(Refusal::not_found()),
    }
}

/// Whether the caller may do something at `level` of `permission` with this repository.
///
/// # Errors
/// As [`Caller::may`](crate::auth::Caller::may).
pub fn allow(
    forge: &Forge,
    request: &Request,
    id: u64,
    permission: &str,
    level: Level,
) -> Result<(), Refusal> {
    forge.with_repo(id, |state, repo| request.caller.may(state, repo, permission, level))?
}

fn show(forge: &Forge, request: &Request, id: u64) -> Answer {
    reply::ok(&forge.with_repo(id, |state, repo| describe(request, state, repo))?)
}

/// The repository as GitHub's JSON has it.
pub fn describe(request: &Request, state: &State, repo: &Repository) -> Value {
    let full_name = state.full_name(repo);
    let owner = state.accounts.get(&repo.owner_id);
    let token = request.caller.token().ok().flatten();
    let writes = token.is_some_and(|token| {
        token.covers(state, repo) && token.permissions.allows("contents", Level::Write)
    });
    let open_issues =
        repo.issues.iter().filter(|issue| issue.state == crate::model::OpenState::Open).count();
    json!({
        "id": repo.id,
        "node_id": format!("R_{}", repo.id),
        "name": repo.name,
        "full_name": full_name,
        "private": repo.private,
        "visibility": if repo.private { "private" } else { "public" },
        "owner": owner.map(|account| users::simple(request, account)),
        "description": repo.description,
        "fork": repo.fork_of.is_some(),
        "archived": false,
        "disabled": false,
        "default_branch": repo.default_branch,
        "open_issues_count": open_issues,
        "has_issues": true,
        "allow_merge_commit": true,
        "allow_squash_merge": true,
        "allow_rebase_merge": true,
        "permissions": {"admin": false, "maintain": false, "push": writes, "triage": false,
            "pull": true},
        "url": request.api_url(&format!("/repos/{full_name}")),
        "html_url": request.html_url(&format!("/{full_name}")),
        "clone_url": request.html_url(&format!("/{full_name}.git")),
        "created_at": json_time(repo.created_at),
        "updated_at": json_time(repo.created_at),
        "pushed_at": json_time(repo.created_at),
    })
}

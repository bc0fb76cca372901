//! The REST API: a file per resource, and the table that leads to them.

pub mod app;
pub mod checks;
pub mod commits;
pub mod issues;
pub mod pulls;
pub mod repos;
pub mod runs;
pub mod tokens;
pub mod users;

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::json;

use crate::{
    forge::Forge,
    reply::{self, Answer, Refusal},
    request::Request,
};

/// Answers a REST call.
///
/// # Errors
/// What the resource refuses; 404 for an address GitHub has not (or this forge does not play).
pub async fn route(forge: &Arc<Forge>, request: &Request) -> Answer {
    let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
    let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
    let method = &request.method;
    match segments.as_slice() {
        [] if method == get => root(request),
        ["meta"] if method == get => meta(),
        ["rate_limit"] if method == get => rate_limit(forge),
        ["app"] if method == get => app::show(forge, request),
        ["app", "installations"] if method == get => app::installations(forge, request),
        ["app", "installations", id] if method == get => app::by_id(forge, request, id),
        ["app", "installations", id, "access_tokens"] if method == post => {
            tokens::mint(forge, request, id).await
        }
        ["installation", "token"] if method == delete => tokens::revoke(forge, request),
        ["installation", "repositories"] if method == get => tokens::repositories(forge, request),
        ["user"] if method == get => users::myself(request),
        ["user", id] if method == get => users::by_id(forge, request, id),
        ["users", login] if method == get => users::by_login(forge, request, login),
        ["users", login, "keys"] if method == get => users::keys(forge, request, login),
        ["orgs", login] if method == get => users::by_login(forge, request, login),
        ["orgs" | "users", login, "installation"] if method == get => {
            app::of_account(forge, request, login)
        }
        ["repos", owner, name, rest @ ..] => {
            repos::by_name(forge, request, (owner, name), rest).await
        }
        ["repositories", id, rest @ ..] => repos::by_id(forge, request, id, rest).await,
        _ => Err(Refusal::not_found()),
    }
}

fn root(request: &Request) -> Answer {
    reply::ok(&json!({
        "current_user_url": request.api_url("/user"),
        "repository_url": request.api_url("/repos/{owner}/{repo}"),
    }))
}

/// Version that the Enterprise mount claims to be.
pub const ENTERPRISE_VERSION: &str = "3.17.0";

fn meta() -> Answer {
    reply::ok(&json!({
        "verifiable_password_authentication": false,
        "installed_version": ENTERPRISE_VERSION,
    }))
}

fn rate_limit(forge: &Forge) -> Answer {
    let reset = forge.clock.now().unix_timestamp() + 3600;
    let core = json!({"limit": 5000, "remaining": 5000, "reset": reset, "used": 0});
    reply::ok(&json!({"resources": {"core": core, "graphql": core}, "rate": core}))
}

/// A numeric path segment.
///
/// # Errors
/// 404 for anything else.
pub fn number(segment: &str) -> Result<u64, Refusal> {
    segment.parse().map_err(|_| Refusal::not_found())
}

/// A required text field of a JSON body.
///
/// # Errors
/// 422 when it is missing or no text.
pub fn text_field<'a>(
    body: &'a serde_json::Value,
    resource: &str,
    field: &str,
) -> Result<&'a str, Refusal> {
    body[field].as_str().filter(|text| !text.is_empty()).ok_or_else(|| {
        Refusal::validation(resource, field, "missing_field", &format!("{field} is missing"))
    })
}

/// The redirect of a call that names a repository by an old name.
pub fn moved(request: &Request, repo_id: u64, rest: &[&str]) -> reply::Reply {
    let status = if request.method == Method::GET {
        StatusCode::MOVED_PERMANENTLY
    } else {
        StatusCode::TEMPORARY_REDIRECT
    };
    let mut path = format!("/repositories/{repo_id}");
    for segment in rest {
        path.push('/');
        path.push_str(segment);
    }
    reply::redirect(status, &request.api_url(&path))
}

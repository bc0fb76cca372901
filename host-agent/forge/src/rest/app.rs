//! The App and its installations, by JWT.

use http::StatusCode;
use serde_json::{Value, json};

use super::{moved, number, users};
use crate::{
    clock::json_time,
    forge::Forge,
    model::{AccountKind, Installation, State},
    reply::{self, Answer, Refusal, Reply},
    request::Request,
};

/// `GET /app`.
///
/// # Errors
/// 401 without the App's JWT, here and below.
pub fn show(forge: &Forge, request: &Request) -> Answer {
    request.caller.as_app()?;
    reply::ok(&forge.store.read(|state| {
        let app = &state.app;
        let owner = state.accounts.values().find(|account| account.kind != AccountKind::Bot);
        json!({
            "id": app.id,
            "client_id": app.client_id,
            "slug": app.slug,
            "name": app.name,
            "node_id": format!("A_{}", app.id),
            "owner": owner.map(|account| users::simple(request, account)),
            "html_url": request.html_url(&format!("/apps/{}", app.slug)),
            "permissions": asked_permissions(state),
            "events": [],
            "installations_count": state.installations.len(),
        })
    }))
}

/// What the App asks for: all that any owner accepted.
fn asked_permissions(state: &State) -> Value {
    let mut asked = crate::permissions::Permissions::default().with_metadata();
    for installation in state.installations.values() {
        for (name, level) in installation.permissions.iter() {
            if !asked.allows(name, level) {
                asked.set(name, level);
            }
        }
    }
    json!(asked)
}

/// `GET /app/installations`.
///
/// # Errors
/// 401 without the App's JWT.
pub fn installations(forge: &Forge, request: &Request) -> Answer {
    request.caller.as_app()?;
    let all: Vec<Value> = forge.store.read(|state| {
        state.installations.values().map(|one| describe(request, state, one)).collect()
    });
    reply::ok(&Value::Array(request.page(all)))
}

/// `GET /app/installations/{id}`.
///
/// # Errors
/// 404 for an id that is no installation of this App.
pub fn by_id(forge: &Forge, request: &Request, id: &str) -> Answer {
    request.caller.as_app()?;
    let id = number(id)?;
    let found = forge.store.read(|state| {
        state.installations.get(&id).map(|installation| describe(request, state, installation))
    });
    reply::ok(&found.ok_or_else(Refusal::not_found)?)
}

/// `GET /users/{login}/installation` and the same below `/orgs`.
///
/// # Errors
/// 404 for an unknown account and for one without the App.
pub fn of_account(forge: &Forge, request: &Request, login: &str) -> Answer {
    request.caller.as_app()?;
    let found = forge.store.read(|state| {
        let installation = state.installation_of(state.account(login)?.id)?;
        Some(describe(request, state, installation))
    });
    reply::ok(&found.ok_or_else(Refusal::not_found)?)
}

/// `GET /repos/{owner}/{name}/installation`.
///
/// # Errors
/// 404 when there is no such repository, the App is not installed on its account, or the
/// repository was not chosen: one answer for all.
pub fn of_name(forge: &Forge, request: &Request, (owner, name): (&str, &str)) -> Answer {
    request.caller.as_app()?;
    let renamed = forge.store.read(|state| {
        if let Some(repo) = state.repository(owner, name) {
            return (Some(repo.id), None);
        }
        let former = state.renamed_repository(owner, name).filter(|repo| {
            state.installation_of(repo.owner_id).is_some_and(|one| state.covers(one, repo))
        });
        (None, former.map(|repo| repo.id))
    });
    match renamed {
        (Some(id), _) => of_repository(forge, request, id),
        (None, Some(id)) => Ok(moved(request, id, &["installation"])),
        (None, None) => Err(Refusal::not_found()),
    }
}

/// `GET /repositories/{id}/installation`, where the redirect of a renamed one leads.
///
/// # Errors
/// As [`of_name`].
pub fn of_repository(forge: &Forge, request: &Request, id: u64) -> Answer {
    request.caller.as_app()?;
    let found = forge.store.read(|state| {
        let repo = state.repositories.get(&id)?;
        let installation = state.installation_of(repo.owner_id)?;
        state.covers(installation, repo).then(|| describe(request, state, installation))
    });
    reply::ok(&found.ok_or_else(Refusal::not_found)?)
}

fn describe(request: &Request, state: &State, installation: &Installation) -> Value {
    let id = installation.id;
    let account = state.accounts.get(&installation.account_id);
    let suspended = installation.suspended.then(|| json_time(installation.created_at));
    json!({
        "id": id,
        "client_id": state.app.client_id,
        "app_id": state.app.id,
        "app_slug": state.app.slug,
        "account": account.map(|account| users::simple(request, account)),
        "target_id": installation.account_id,
        "target_type": account.map(|account| account.kind.as_str()),
        "repository_selection": selection(installation.repositories.as_ref()),
        "permissions": installation.permissions,
        "events": [],
        "access_tokens_url":
            request.api_url(&format!("/app/installations/{id}/access_tokens")),
        "repositories_url": request.api_url("/installation/repositories"),
        "html_url": request.html_url(&format!("/settings/installations/{id}")),
        "created_at": json_time(installation.created_at),
        "updated_at": json_time(installation.created_at),
        "single_file_name": null,
        "suspended_at": suspended,
        "suspended_by": null,
    })
}

/// The pages on which GitHub lets an owner install the App or choose its repositories: here the
/// admin API does it, and they say so.
pub fn page(segments: &[String]) -> Option<Reply> {
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["apps", _, "installations", "new", ..] | ["settings", "installations", _] => {
            let text =
                "The App is installed, and gets repositories, with `hatchery forge app install`.\n";
            Some(reply::text(StatusCode::OK, text))
        }
        _ => None,
    }
}

/// GitHub's word for a restriction to chosen repositories, or none.
pub fn selection(chosen: Option<&Vec<u64>>) -> &'static str {
    if chosen.is_some() { "selected" } else { "all" }
}

//! Accounts and their public keys.

use http::StatusCode;
use serde_json::{Value, json};

use super::number;
use crate::{
    forge::Forge,
    model::Account,
    reply::{self, Answer, Refusal, Reply},
    request::Request,
};

/// `GET /user`: an installation is no user.
///
/// # Errors
/// Always.
pub fn myself(request: &Request) -> Answer {
    match request.caller.token()? {
        Some(_) => {
            Err(Refusal::new(StatusCode::FORBIDDEN, "Resource not accessible by integration"))
        }
        None => Err(Refusal::requires_authentication()),
    }
}

/// `GET /users/{login}`, also of a bot: `/users/<slug>%5Bbot%5D`.
///
/// # Errors
/// 404 for an unknown login.
pub fn by_login(forge: &Forge, request: &Request, login: &str) -> Answer {
    request.caller.token()?;
    let found = forge.store.read(|state| state.account(login).map(|one| public(request, one)));
    reply::ok(&found.ok_or_else(Refusal::not_found)?)
}

/// `GET /user/{id}`.
///
/// # Errors
/// 404 for an unknown id.
pub fn by_id(forge: &Forge, request: &Request, id: &str) -> Answer {
    request.caller.token()?;
    let id = number(id)?;
    let found = forge.store.read(|state| state.accounts.get(&id).map(|one| public(request, one)));
    reply::ok(&found.ok_or_else(Refusal::not_found)?)
}

/// `GET /users/{login}/keys`.
///
/// # Errors
/// 404 for an unknown login.
pub fn keys(forge: &Forge, request: &Request, login: &str) -> Answer {
    request.caller.token()?;
    let keys = forge.store.read(|state| state.account(login).map(|one| one.keys.clone()));
    let keys = keys.ok_or_else(Refusal::not_found)?;
    let listed: Vec<Value> =
        keys.iter().zip(1..).map(|(key, id): (_, u64)| json!({"id": id, "key": key})).collect();
    reply::ok(&Value::Array(request.page(listed)))
}

/// `/<login>.keys`: 200 with one key a line, empty without keys; 404 for an unknown login.
pub fn key_lines(forge: &Forge, login: &str) -> Reply {
    let keys = forge.store.read(|state| state.account(login).map(|one| one.keys.clone()));
    match keys {
        Some(keys) => {
            let lines: String = keys.iter().map(|key| format!("{key}\n")).collect();
            reply::text(StatusCode::OK, lines)
        }
        None => reply::text(StatusCode::NOT_FOUND, "Not Found"),
    }
}

/// The short form of an account that other resources hold.
pub fn simple(request: &Request, account: &Account) -> Value {
    let login = &account.login;
    json!({
        "login": login,
        "id": account.id,
        "node_id": format!("U_{}", account.id),
        "type": account.kind.as_str(),
        "site_admin": false,
        "url": request.api_url(&format!("/users/{login}")),
        "html_url": request.html_url(&format!("/{login}")),
        "avatar_url": request.html_url(&format!("/{login}.png")),
    })
}

fn public(request: &Request, account: &Account) -> Value {
    let mut user = simple(request, account);
    user["name"] = Value::Null;
    user["email"] = Value::Null;
    user
}

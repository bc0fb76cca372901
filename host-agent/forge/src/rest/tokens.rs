//! Installation tokens: minting, revoking, and what one covers.

use base64::Engine as _;
use http::StatusCode;
use rsa::rand_core::{OsRng, RngCore as _};
use serde_json::{Value, json};
use time::Duration;

use super::{app::selection, number, repos};
use crate::{
    auth::digest,
    clock::json_time,
    faults::FaultKind,
    forge::Forge,
    model::{App, Installation, State, TokenRecord},
    permissions::{Excess, Permissions},
    reply::{self, Answer, Refusal},
    request::Request,
    spec::TokenFormat,
};

/// Life of an installation token: one hour, which nobody can change (GitHub REST, "Create an
/// installation access token for an app").
pub const LIFE: Duration = Duration::HOUR;

/// Life of this installation's tokens: GitHub's, unless a test wants to see one end.
fn life(installation: &Installation) -> Duration {
    installation.token_seconds.map_or(LIFE, |seconds| Duration::seconds(seconds.into()))
}

/// Repositories that one mint may name.
const MOST_REPOSITORIES: usize = 500;

const NO_SUCH_REPOSITORY: &str = "There is at least one repository that does not exist or is not \
     accessible to the parent installation.";

/// `POST /app/installations/{id}/access_tokens`.
///
/// # Errors
/// 401 without the App's JWT, 404 for an unknown installation, 403 for a suspended one, 422 for
/// repositories or permissions beyond it.
pub async fn mint(forge: &Forge, request: &Request, id: &str) -> Answer {
    request.caller.as_app()?;
    let id = number(id)?;
    let body = request.json()?;
    forge.gate.pass().await;
    let widened = forge.faults.strike_mint();
    let format = match request.header("x-github-stateless-s2s-token") {
        Some("enabled") => TokenFormat::Stateless,
        Some("disabled") => TokenFormat::Short,
        _ => forge.token_format,
    };
    let now = forge.clock.now();
    let minted = forge.store.write(|state| {
        let installation = state.installations.get(&id).ok_or_else(Refusal::not_found)?;
        if installation.suspended {
            return Err(Refusal::suspended());
        }
        let mut chosen = chosen_repositories(state, installation, &body)?;
        let mut permissions = chosen_permissions(installation, &body)?;
        widen(&widened, installation, &mut chosen, &mut permissions);
        let token = fresh_token(format, &state.app, now.unix_timestamp());
        let record = TokenRecord {
            sha256: digest(&token),
            installation_id: id,
            repositories: chosen,
            permissions,
            created_at: now,
            expires_at: now + life(installation),
        };
        let answer = describe(request, state, installation, &token, &record);
        state.tokens.retain(|old| old.expires_at > now);
        state.tokens.push(record);
        Ok(answer)
    })?;
    forge.calls.count_mint();
    reply::created(&minted)
}

fn widen(
    faults: &[FaultKind],
    installation: &Installation,
    chosen: &mut Option<Vec<u64>>,
    permissions: &mut Permissions,
) {
    if faults.contains(&FaultKind::WidenMint) {
        *chosen = None;
    }
    if faults.contains(&FaultKind::WidenPermissions) {
        permissions.clone_from(&installation.permissions);
    }
}

fn describe(
    request: &Request,
    state: &State,
    installation: &Installation,
    token: &str,
    record: &TokenRecord,
) -> Value {
    let selected = record.repositories.as_ref().or(installation.repositories.as_ref());
    let mut answer = json!({
        "token": token,
        "expires_at": json_time(record.expires_at),
        "permissions": record.permissions,
        "repository_selection": selection(selected),
    });
    if let Some(chosen) = &record.repositories {
        let repositories = chosen.iter().filter_map(|id| state.repositories.get(id));
        let listed: Vec<Value> =
            repositories.map(|repo| repos::describe(request, state, repo)).collect();
        answer["repositories"] = Value::Array(listed);
    }
    answer
}

/// Ids that the body asks for; `None` when it asks for none, which means all: an empty list is
/// read so too, the reading that is worst for a careless caller.
fn chosen_repositories(
    state: &State,
    installation: &Installation,
    body: &Value,
) -> Result<Option<Vec<u64>>, Refusal> {
    let (names, ids) = (list(body, "repositories")?, list(body, "repository_ids")?);
    if names.len() + ids.len() > MOST_REPOSITORIES {
        return Err(Refusal::unprocessable(
            "Invalid request.\n\nNo more than 500 repositories may be requested.",
        ));
    }
    let mut chosen = Vec::new();
    for wanted in names.iter().chain(ids) {
        let found = match wanted {
            Value::String(name) => state.repository(state.login(installation.account_id), name),
            Value::Number(id) => id.as_u64().and_then(|id| state.repositories.get(&id)),
            _ => None,
        };
        let repo = found.filter(|repo| state.covers(installation, repo));
        let id = repo.ok_or_else(|| Refusal::unprocessable(NO_SUCH_REPOSITORY))?.id;
        if !chosen.contains(&id) {
            chosen.push(id);
        }
    }
    Ok(if chosen.is_empty() { None } else { Some(chosen) })
}

fn list<'a>(body: &'a Value, field: &str) -> Result<&'a [Value], Refusal> {
    let kind = if field == "repositories" { Value::is_string } else { Value::is_u64 };
    match &body[field] {
        Value::Null => Ok(&[]),
        Value::Array(items) if items.iter().all(kind) => Ok(items),
        _ => Err(Refusal::unprocessable(format!(
            "Invalid request.\n\nFor 'properties/{field}', the value is not of the right type."
        ))),
    }
}

fn chosen_permissions(installation: &Installation, body: &Value) -> Result<Permissions, Refusal> {
    const NOT_GRANTED: &str = "The permissions requested are not granted to this installation.";
    if body["permissions"].is_null() {
        return Ok(installation.permissions.clone());
    }
    let asked: Permissions = serde_json::from_value(body["permissions"].clone())
        .map_err(|_| Refusal::unprocessable("Invalid request.\n\nFor 'properties/permissions'."))?;
    if asked.unknown_name().is_some() {
        return Err(Refusal::unprocessable(NOT_GRANTED));
    }
    match asked.excess_over(&installation.permissions) {
        Some(Excess::NotGranted) => Err(Refusal::unprocessable(NOT_GRANTED)),
        Some(Excess::LevelTooHigh) => Err(Refusal::unprocessable(
            "The level of access for permissions requested are not granted to this installation.",
        )),
        None => Ok(asked.with_metadata()),
    }
}

/// A token nobody had before. Its text means nothing: the forge looks up the digest.
fn fresh_token(format: TokenFormat, app: &App, now: i64) -> String {
    match format {
        TokenFormat::Short => format!("ghs_{}", letters_and_digits(36)),
        TokenFormat::Stateless => loop {
            let token = stateless_token(app, now);
            // Real ones nearly always have both; a test must never meet one that has not.
            if token.contains('-') && token.matches('_').count() > 2 {
                return token;
            }
        },
    }
}

fn letters_and_digits(length: usize) -> String {
    const ALPHABET: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyzAZ";
    let mut bytes = vec![0; length];
    OsRng.fill_bytes(&mut bytes);
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect()
}

fn stateless_token(app: &App, now: i64) -> String {
    let base64 = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut signature = [0; 256];
    OsRng.fill_bytes(&mut signature);
    let header = base64.encode(r#"{"alg":"RS256","typ":"JWT"}"#);
    let claims = json!({
        "iss": "local-forge", "exp": now + LIFE.whole_seconds(), "iat": now,
        "jti": letters_and_digits(32),
    });
    let claims = base64.encode(claims.to_string());
    format!("ghs_{}_{header}.{claims}.{}", app.id, base64.encode(signature))
}

/// `DELETE /installation/token`: ends the token that asks for it.
///
/// # Errors
/// 401 without an installation token.
pub fn revoke(forge: &Forge, request: &Request) -> Answer {
    let token = request.caller.token()?.ok_or_else(Refusal::requires_authentication)?;
    forge.store.write(|state| state.tokens.retain(|record| record.sha256 != token.sha256));
    reply::no_content()
}

/// `GET /installation/repositories`.
///
/// # Errors
/// 401 or 403 without an installation token.
pub fn repositories(forge: &Forge, request: &Request) -> Answer {
    let token = request.caller.token()?.ok_or_else(|| {
        Refusal::new(StatusCode::FORBIDDEN, "Resource not accessible by integration")
    })?;
    let all: Vec<Value> = forge.store.read(|state| {
        let covered = state.repositories.values().filter(|repo| token.covers(state, repo));
        covered.map(|repo| repos::describe(request, state, repo)).collect()
    });
    let count = all.len();
    reply::ok(&json!({
        "total_count": count,
        "repository_selection": selection(token.repositories.as_ref()),
        "repositories": request.page(all),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> App {
        App {
            id: 7,
            client_id: "Iv23".into(),
            slug: "hatchery".into(),
            name: "Hatchery".into(),
            public_key_pem: String::new(),
        }
    }

    #[test]
    fn tokens_have_the_forms_of_github() {
        let short = fresh_token(TokenFormat::Short, &app(), 0);
        assert_eq!(short.len(), 40);
        assert!(short.starts_with("ghs_"));
        let long = fresh_token(TokenFormat::Stateless, &app(), 1_795_000_000);
        assert!(long.starts_with("ghs_7_ey"));
        assert!((500..560).contains(&long.len()), "{}", long.len());
        assert_eq!(long.split('.').count(), 3);
    }
}

//! The admin API: HTTP/1.1 and JSON on a Unix socket in the data directory, readable by the
//! forge's user only. The crate page lists its calls.

use std::{
    convert::Infallible,
    io,
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    sync::Arc,
    time::Duration,
};

use http::{Method, Request as HttpRequest, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::{body::Incoming, service::service_fn};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::json_time,
    forge::Forge,
    model::State,
    operations::{self as operate, OperationError},
    reply::{Reply, json_reply},
    reports,
    request::{BODY_LIMIT, decode_segments},
    rest::app::selection,
    server,
};

/// Name of the socket in the data directory.
pub const SOCKET: &str = "admin.sock";

/// Time for the body of a call.
const BODY_DEADLINE: Duration = Duration::from_secs(60);

/// Listens on the admin socket; one that a dead forge left is replaced.
pub(crate) fn bind(data_dir: &Path) -> io::Result<UnixListener> {
    let path = data_dir.join(SOCKET);
    if UnixStream::connect(&path).is_ok() {
        let error = "another forge serves this data directory; end it or take another directory";
        return Err(io::Error::new(io::ErrorKind::AddrInUse, error));
    }
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves one connection of the socket.
pub(crate) async fn serve(
    forge: Arc<Forge>,
    stream: tokio::net::UnixStream,
    stop: &CancellationToken,
) {
    let service = service_fn(move |request: HttpRequest<Incoming>| {
        let forge = Arc::clone(&forge);
        async move { Ok::<_, Infallible>(answer(&forge, request).await) }
    });
    server::drive(stream, service, stop).await;
}

/// Why an admin call was not done.
enum Failure {
    NoSuchCall,
    Body(String),
    Operation(OperationError),
}

impl From<OperationError> for Failure {
    fn from(error: OperationError) -> Self {
        Self::Operation(error)
    }
}

impl Failure {
    fn into_reply(self) -> Reply {
        let (status, error) = match self {
            Self::NoSuchCall => (StatusCode::NOT_FOUND, "no such admin call".to_owned()),
            Self::Body(error) => (StatusCode::BAD_REQUEST, error),
            Self::Operation(error) => {
                let status = match &error {
                    OperationError::Unknown { .. } => StatusCode::NOT_FOUND,
                    OperationError::Taken { .. } => StatusCode::CONFLICT,
                    OperationError::Name(_) => StatusCode::BAD_REQUEST,
                    OperationError::Seed { .. } => StatusCode::INTERNAL_SERVER_ERROR,
                };
                (status, chain(&error))
            }
        };
        json_reply(status, &json!({"error": error}))
    }
}

/// An error with its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// A call, taken apart.
struct Call {
    method: Method,
    segments: Vec<String>,
    body: Vec<u8>,
}

impl Call {
    fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let body = if self.body.is_empty() { b"{}" } else { self.body.as_slice() };
        serde_json::from_slice(body).map_err(|error| Failure::Body(error.to_string()))
    }
}

async fn answer(forge: &Forge, request: HttpRequest<Incoming>) -> Reply {
    let (parts, body) = request.into_parts();
    let read = timeout(BODY_DEADLINE, Limited::new(body, BODY_LIMIT).collect()).await;
    let Ok(Ok(body)) = read else {
        return Failure::Body("the body is too long or did not arrive".to_owned()).into_reply();
    };
    let Some(segments) = decode_segments(parts.uri.path()) else {
        return Failure::NoSuchCall.into_reply();
    };
    let call = Call { method: parts.method, segments, body: body.to_bytes().to_vec() };
    let result = match call.segments.first().map(String::as_str) {
        Some("repositories") => repositories(forge, &call).await,
        Some("state" | "accounts" | "installations") => owners(forge, &call),
        _ => switches(forge, &call),
    };
    forge.store.persisted().await;
    match result {
        Ok(value) => json_reply(StatusCode::OK, &value),
        Err(failure) => failure.into_reply(),
    }
}

/// Calls about accounts and installations.
fn owners(forge: &Forge, call: &Call) -> Result<Value, Failure> {
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    let id = |id: u64| json!({"id": id});
    match (call.method.as_str(), segments.as_slice()) {
        ("GET", ["state"]) => Ok(forge.store.read(summary)),
        ("POST", ["accounts"]) => Ok(id(operate::put_account(forge, &call.json()?)?)),
        ("PUT", ["accounts", login, "keys"]) => {
            let Keys { keys } = call.json()?;
            operate::set_keys(forge, login, keys)?;
            done()
        }
        ("PATCH", ["accounts", login]) => {
            let Rename { login: new } = call.json()?;
            operate::rename_account(forge, login, &new)?;
            done()
        }
        ("POST", ["installations"]) => Ok(id(operate::put_installation(forge, &call.json()?)?)),
        ("PATCH", ["installations", id]) => {
            operate::change_installation(forge, number(id)?, &call.json()?)?;
            done()
        }
        ("DELETE", ["installations", id]) => {
            operate::delete_installation(forge, number(id)?)?;
            done()
        }
        _ => Err(Failure::NoSuchCall),
    }
}

/// Calls about repositories and what lives in them.
async fn repositories(forge: &Forge, call: &Call) -> Result<Value, Failure> {
    let segments: Vec<&str> = call.segments.iter().skip(1).map(String::as_str).collect();
    let id = |id: u64| Ok(json!({"id": id}));
    match (call.method.as_str(), segments.as_slice()) {
        ("POST", []) => id(operate::create_repository(forge, &call.json()?).await?),
        ("PATCH", [owner, name]) => {
            operate::change_repository(forge, (owner, name), &call.json()?)?;
            done()
        }
        ("DELETE", [owner, name]) => {
            operate::delete_repository(forge, (owner, name)).await?;
            done()
        }
        ("POST", [owner, name, "checks"]) => {
            id(reports::put_check(forge, (owner, name), &call.json()?).await?)
        }
        ("POST", [owner, name, "runs"]) => {
            id(reports::put_run(forge, (owner, name), &call.json()?).await?)
        }
        ("PATCH", [owner, name, "runs", run]) => {
            reports::change_run(forge, (owner, name), number(run)?, &call.json()?)?;
            done()
        }
        _ => Err(Failure::NoSuchCall),
    }
}

/// Calls about how the forge behaves and what it saw.
fn switches(forge: &Forge, call: &Call) -> Result<Value, Failure> {
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    match (call.method.as_str(), segments.as_slice()) {
        ("GET", ["tokens"]) => Ok(tokens(forge)),
        ("DELETE", ["tokens", sha256]) => {
            operate::end_token(forge, sha256)?;
            done()
        }
        ("GET", ["calls"]) => Ok(json!({
            "total": forge.calls.total(),
            "mints": forge.calls.mints(),
            "calls": forge.calls.list(),
        })),
        ("DELETE", ["calls"]) => {
            forge.calls.clear();
            done()
        }
        ("POST", ["faults"]) => Ok(json!({"id": forge.faults.add(call.json()?)})),
        ("GET", ["faults"]) => Ok(json!({"faults": forge.faults.list()})),
        ("DELETE", ["faults"]) => {
            forge.faults.clear_all();
            done()
        }
        ("DELETE", ["faults", id]) => Ok(json!({"cleared": forge.faults.clear(number(id)?)})),
        ("GET", ["clock"]) => Ok(clock(forge)),
        ("PUT", ["clock"]) => {
            let Offset { offset_seconds } = call.json()?;
            forge.clock.set_offset_seconds(offset_seconds);
            Ok(clock(forge))
        }
        ("GET", ["mint-gate"]) => Ok(gate(forge)),
        ("PUT", ["mint-gate"]) => {
            let Held { held } = call.json()?;
            forge.gate.set_held(held);
            Ok(gate(forge))
        }
        _ => Err(Failure::NoSuchCall),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rename {
    login: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Offset {
    offset_seconds: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Held {
    held: bool,
}

fn done() -> Result<Value, Failure> {
    Ok(json!({}))
}

fn number(segment: &str) -> Result<u64, Failure> {
    segment.parse().map_err(|_| Failure::NoSuchCall)
}

fn clock(forge: &Forge) -> Value {
    json!({
        "offset_seconds": forge.clock.offset_seconds(),
        "now": json_time(forge.clock.now()),
    })
}

fn gate(forge: &Forge) -> Value {
    json!({"held": forge.gate.held(), "waiting": forge.gate.waiting()})
}

/// Tokens that are good now, by digest: the forge does not keep them.
fn tokens(forge: &Forge) -> Value {
    let now = forge.clock.now();
    forge.store.read(|state| {
        let live = state.tokens.iter().filter(|token| token.expires_at > now);
        let listed: Vec<Value> = live
            .map(|token| {
                json!({
                    "sha256": token.sha256,
                    "installation_id": token.installation_id,
                    "repositories": token.repositories,
                    "permissions": token.permissions,
                    "created_at": json_time(token.created_at),
                    "expires_at": json_time(token.expires_at),
                })
            })
            .collect();
        json!({"tokens": listed})
    })
}

fn summary(state: &State) -> Value {
    let accounts: Vec<Value> = state
        .accounts
        .values()
        .map(|one| json!({"id": one.id, "login": one.login, "kind": one.kind, "keys": one.keys}))
        .collect();
    let repositories: Vec<Value> = state
        .repositories
        .values()
        .map(|repo| {
            json!({
                "id": repo.id,
                "full_name": state.full_name(repo),
                "public": !repo.private,
                "default_branch": repo.default_branch,
                "pulls": repo.pulls,
                "issues": repo.issues,
            })
        })
        .collect();
    json!({
        "app": {"id": state.app.id, "client_id": state.app.client_id, "slug": state.app.slug},
        "accounts": accounts,
        "repositories": repositories,
        "installations": installations(state),
    })
}

fn installations(state: &State) -> Vec<Value> {
    state
        .installations
        .values()
        .map(|one| {
            json!({
                "id": one.id,
                "account": state.login(one.account_id),
                "repository_selection": selection(one.repositories.as_ref()),
                "repository_ids": state.reach(one),
                "permissions": one.permissions,
                "suspended": one.suspended,
            })
        })
        .collect()
}

//! git-lfs: the batch API and objects in the data directory (git-lfs `docs/api/batch.md`).

use std::{io, path::PathBuf};

use futures_util::TryStreamExt as _;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio_util::io::ReaderStream;

use super::access::{Admission, GitPath, Intent, admit};
use crate::{
    auth::Caller,
    forge::Forge,
    reply::{Refusal, Reply, text, with_type},
    request::BODY_LIMIT,
};

const MEDIA_TYPE: &str = "application/vnd.git-lfs+json";

/// Answers a call below `info/lfs/`.
pub async fn serve(
    forge: &Forge,
    caller: &Caller,
    (path, rest): (&GitPath, &str),
    request: Request<Incoming>,
    scheme: &str,
) -> Reply {
    let put = request.method() == Method::PUT;
    let intent = if put { Intent::Push } else { Intent::Fetch };
    let repo_id = match admit(forge, caller, path, (intent, None)) {
        Admission::Enter(entry) => entry.repo_id,
        Admission::Answer(reply) => return *reply,
    };
    match (request.method(), rest.strip_prefix("objects/")) {
        (&Method::POST, Some("batch")) => {
            batch(forge, caller, (path, repo_id), request, scheme).await
        }
        (&Method::GET, Some(oid)) if is_oid(oid) => download(forge, repo_id, oid).await,
        (&Method::PUT, Some(oid)) if is_oid(oid) => {
            let stored = store(forge, repo_id, oid, request.into_body()).await;
            stored.unwrap_or_else(|error| Refusal::internal(&error).into_reply())
        }
        // git-lfs takes 404 for a server without locks, and goes on.
        _ => with_type(StatusCode::NOT_FOUND, MEDIA_TYPE, r#"{"message":"Not Found"}"#),
    }
}

/// 64 lower-case hex digits: nothing that could leave the directory of objects.
fn is_oid(oid: &str) -> bool {
    oid.len() == 64
        && oid.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn object(forge: &Forge, repo_id: u64, oid: &str) -> PathBuf {
    forge.data_dir.join("lfs").join(repo_id.to_string()).join(oid)
}

async fn batch(
    forge: &Forge,
    caller: &Caller,
    (path, repo_id): (&GitPath, u64),
    request: Request<Incoming>,
    scheme: &str,
) -> Reply {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let base = format!(
        "{scheme}://{}/{}/{}.git/info/lfs/objects",
        host.unwrap_or_default(),
        path.owner,
        path.name
    );
    let authorization = request.headers().get(header::AUTHORIZATION).cloned();
    let Ok(body) = Limited::new(request.into_body(), BODY_LIMIT).collect().await else {
        return Refusal::bad_json().into_reply();
    };
    let Ok(asked) = serde_json::from_slice::<Value>(&body.to_bytes()) else {
        return Refusal::bad_json().into_reply();
    };
    let upload = asked["operation"] == "upload";
    if upload && let Admission::Answer(reply) = admit(forge, caller, path, (Intent::Push, None)) {
        return *reply;
    }
    let mut objects = Vec::new();
    for wanted in asked["objects"].as_array().map(Vec::as_slice).unwrap_or_default() {
        objects.push(offer(forge, repo_id, wanted, upload, (&base, authorization.as_ref())).await);
    }
    let answer = json!({"transfer": "basic", "objects": objects, "hash_algo": "sha256"});
    with_type(StatusCode::OK, MEDIA_TYPE, answer.to_string())
}

/// What to do for one object: an action, nothing (it is here already), or an error.
async fn offer(
    forge: &Forge,
    repo_id: u64,
    wanted: &Value,
    upload: bool,
    (base, authorization): (&str, Option<&HeaderValue>),
) -> Value {
    let oid = wanted["oid"].as_str().filter(|oid| is_oid(oid));
    let mut offered = json!({"oid": wanted["oid"], "size": wanted["size"]});
    let Some(oid) = oid else {
        offered["error"] = json!({"code": 422, "message": "Validation Error"});
        return offered;
    };
    let here = tokio::fs::try_exists(object(forge, repo_id, oid)).await.unwrap_or(false);
    match (upload, here) {
        (true, true) => return offered,
        (false, false) => {
            offered["error"] = json!({"code": 404, "message": "Object does not exist"});
            return offered;
        }
        (true, false) | (false, true) => {}
    }
    let mut action = json!({"href": format!("{base}/{oid}")});
    if let Some(value) = authorization.and_then(|value| value.to_str().ok()) {
        action["header"] = json!({"Authorization": value});
    }
    offered["authenticated"] = json!(true);
    offered["actions"] = json!({if upload { "upload" } else { "download" }: action});
    offered
}

async fn download(forge: &Forge, repo_id: u64, oid: &str) -> Reply {
    match tokio::fs::File::open(object(forge, repo_id, oid)).await {
        Ok(file) => {
            let pieces = ReaderStream::new(file).map_ok(Frame::data);
            let mut reply = Reply::new(StreamBody::new(pieces).boxed_unsync());
            let media_type = HeaderValue::from_static("application/octet-stream");
            reply.headers_mut().insert(header::CONTENT_TYPE, media_type);
            reply
        }
        Err(_) => text(StatusCode::NOT_FOUND, "Not Found"),
    }
}

/// Takes an object in, if its bytes are what its name says.
async fn store(forge: &Forge, repo_id: u64, oid: &str, mut body: Incoming) -> io::Result<Reply> {
    let path = object(forge, repo_id, oid);
    let dir = path.parent().unwrap_or(&forge.data_dir);
    tokio::fs::create_dir_all(dir).await?;
    let beside = tempfile_in(dir, forge.fresh_id());
    let mut file = tokio::fs::File::create(&beside).await?;
    let mut hash = Sha256::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(io::Error::other)?;
        if let Ok(data) = frame.into_data() {
            hash.update(&data);
            file.write_all(&data).await?;
        }
    }
    file.flush().await?;
    let got: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if got != oid {
        tokio::fs::remove_file(&beside).await?;
        return Ok(text(StatusCode::UNPROCESSABLE_ENTITY, "content does not match its oid"));
    }
    tokio::fs::rename(&beside, &path).await?;
    Ok(text(StatusCode::OK, ""))
}

fn tempfile_in(dir: &std::path::Path, id: u64) -> PathBuf {
    dir.join(format!("incoming-{id}"))
}

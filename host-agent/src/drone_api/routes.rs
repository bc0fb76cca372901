//! From a request to its answer. Attested first, read second, answered last.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hatchery_protocol::wire::{TokenRejected, TokenReply, route};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body as _, Incoming};
use secrecy::zeroize::Zeroizing;
use time::format_description::well_known::Rfc3339;

use super::problem::Refused;
use super::query::TokenQuery;
use super::stream::SharedPeer;
use crate::credentials::attest::{Attested, Refusal};
use crate::credentials::token::Live;
use crate::credentials::{Credentials, Forge, MIN_VALID};
use crate::secret::Token;
use hatchery_protocol::DroneName;

/// Largest body of a `POST`, in bytes.
const BODY_MAX: usize = 4096;
/// Longest time that one answer may take: two calls to a slow forge and some.
const ANSWER_DEADLINE: Duration = Duration::from_secs(45);

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// What is answered with a token.
pub struct Reply {
    /// Its media type.
    pub kind: &'static str,
    /// Its body.
    pub body: Bytes,
}

/// The answer to a `GET` of `target` where that is for a token in the cache and nothing has to be
/// waited for. `None`: [`answer`] decides.
pub fn cached<F: Forge>(
    credentials: &Credentials<F>,
    attested: &Attested,
    target: &str,
) -> Option<Reply> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match path {
        route::SEED_TOKEN => {
            credentials.cached(attested, &[], MIN_VALID).map(|live| text_token(&live))
        }
        route::TOKEN => {
            let query = TokenQuery::parse(query).ok()?;
            let min_valid = query.min_valid.unwrap_or(MIN_VALID);
            let live = credentials.cached(attested, &query.repositories, min_valid)?;
            json_token(&live).ok()
        }
        _ => None,
    }
}

/// Answers one request; never fails, because a refusal is an answer.
pub async fn answer<F: Forge>(
    credentials: &Credentials<F>,
    drone: &DroneName,
    peer: &SharedPeer,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let routed = Box::pin(route(credentials, drone, peer, request));
    match tokio::time::timeout(ANSWER_DEADLINE, routed).await {
        Ok(Ok(response)) => response,
        Ok(Err(refused)) => refused.into_response(),
        Err(_) => Refused::internal("it took too long; try again in a moment").into_response(),
    }
}

async fn route<F: Forge>(
    credentials: &Credentials<F>,
    drone: &DroneName,
    peer: &SharedPeer,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Refused> {
    let (head, body) = request.into_parts();
    let body = read_body(&head.method, body).await?;
    // After the body: its writers count too.
    let attested = attest(credentials, drone, peer).await?;
    match (&head.method, head.uri.path()) {
        (&Method::GET, route::SEED_TOKEN) => {
            let live = credentials.token(&attested, &[], MIN_VALID).await?;
            still(credentials, peer, &attested).await?;
            Ok(text_token(&live).into())
        }
        (&Method::GET, route::TOKEN) => {
            let query = TokenQuery::parse(head.uri.query().unwrap_or_default())
                .map_err(|error| Refused::bad_request(error.to_string()))?;
            let min_valid = query.min_valid.unwrap_or(MIN_VALID);
            let live = credentials.token(&attested, &query.repositories, min_valid).await?;
            still(credentials, peer, &attested).await?;
            Ok(json_token(&live)?.into())
        }
        (&Method::POST, route::TOKEN_REJECTED) => {
            let rejected: TokenRejected = serde_json::from_slice(&body).map_err(|_| {
                Refused::bad_request("the body is JSON with the token's sha256 in hex")
            })?;
            credentials.reject(&attested, &rejected.sha256).await;
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::NO_CONTENT;
            Ok(response)
        }
        (&Method::GET, route::IDENTITY) => {
            let identity = credentials.identity(&attested).await;
            let body = serde_json::to_vec(&identity)
                .map_err(|_| Refused::internal("the identity does not serialize"))?;
            Ok(Reply { kind: JSON, body: Bytes::from(body) }.into())
        }
        _ => Err(Refused::not_found()),
    }
}

/// Proves that everybody who wrote this request is a process of the drone.
async fn attest<F: Forge>(
    credentials: &Credentials<F>,
    drone: &DroneName,
    peer: &SharedPeer,
) -> Result<Attested, Refused> {
    let (verdict, pid) = {
        let peer = peer.lock();
        let record = credentials.records().find(drone).ok_or(Refusal::NoContainer);
        (record.and_then(|record| peer.attest(record)), peer.pid())
    };
    match verdict {
        Ok(attested) => Ok(attested),
        Err(refusal) => {
            credentials.refused(drone, Some(pid), &refusal).await;
            Err(Refused::forbidden(&refusal))
        }
    }
}

/// The forge may have taken seconds: proves again before the secret goes out.
async fn still<F: Forge>(
    credentials: &Credentials<F>,
    peer: &SharedPeer,
    attested: &Attested,
) -> Result<(), Refused> {
    let gone = peer.lock().remains().err();
    match gone {
        None => Ok(()),
        Some(refusal) => {
            credentials.refused(attested.drone(), Some(attested.pid()), &refusal).await;
            Err(Refused::forbidden(&refusal))
        }
    }
}

async fn read_body(method: &Method, body: Incoming) -> Result<Bytes, Refused> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if method != Method::POST {
        return Err(Refused::bad_request("this request has no body"));
    }
    let read = Limited::new(body, BODY_MAX).collect().await;
    read.map(http_body_util::Collected::to_bytes)
        .map_err(|_| Refused::bad_request(format!("the body has at most {BODY_MAX} bytes")))
}

fn text_token(live: &Live) -> Reply {
    Reply { kind: TEXT, body: Bytes::from_owner(Secret(Arc::clone(&live.token))) }
}

fn json_token(live: &Live) -> Result<Reply, Refused> {
    let failed = || Refused::internal("the token does not serialize");
    let reply = TokenReply {
        token: live.token.expose().to_owned(),
        expires_at: live.expires_at.format(&Rfc3339).map_err(|_| failed())?,
        expires_at_unix: live.expires_at.unix_timestamp(),
        repositories: live.repositories.clone(),
        permissions: live.permissions.clone(),
        host: live.host.clone(),
    };
    // Room for all of it, so that growing leaves no copy behind.
    let mut body = Zeroizing::new(Vec::with_capacity(live.token.expose().len() + 4096));
    let written = serde_json::to_writer(&mut *body, &reply);
    drop(Zeroizing::new(reply.token));
    written.map_err(|_| failed())?;
    Ok(Reply { kind: JSON, body: Bytes::from_owner(body) })
}

impl From<Reply> for Response<Full<Bytes>> {
    fn from(reply: Reply) -> Self {
        let mut response = Response::new(Full::new(reply.body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// A token as a body, without a copy of it.
struct Secret(Arc<Token>);

impl AsRef<[u8]> for Secret {
    fn as_ref(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }
}

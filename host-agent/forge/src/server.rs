//! Connections: TLS, HTTP/1.1, and what each call passes before a resource sees it.

use std::{io, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Request as HttpRequest, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    auth::{self, Caller},
    calls::Call,
    clock::http_date,
    faults::FaultKind,
    forge::Forge,
    git::{self, access::GitPath},
    graphql,
    reply::{self, Refusal, Reply},
    request::{BODY_LIMIT, Mount, Request, decode_query, decode_segments},
    rest,
};

/// Time for a TLS handshake, and for a request's head.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);

/// Time that a call under way gets to end at a shutdown.
pub const DRAIN: Duration = Duration::from_secs(5);

/// Time for the body of a REST or GraphQL call.
const BODY_DEADLINE: Duration = Duration::from_secs(60);

/// Versions of the REST API that exist.
const API_VERSIONS: &[&str] = &["2022-11-28", "2026-03-10"];

/// Accepts connections until `stop`; each is a task of `tasks`.
pub async fn accept(
    forge: Arc<Forge>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, or the peer was quicker: neither ends the listener.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        // Answers are short: waiting for more to send only costs time.
        let _ = stream.set_nodelay(true);
        let (forge, tls, stop) = (Arc::clone(&forge), tls.clone(), stop.clone());
        tasks.spawn(async move {
            let Some(tls) = tls else { return serve(forge, stream, "http", &stop).await };
            let shaken = tokio::select! {
                () = stop.cancelled() => return,
                shaken = timeout(HEAD_DEADLINE, tls.accept(stream)) => shaken,
            };
            if let Ok(Ok(stream)) = shaken {
                serve(forge, stream, "https", &stop).await;
            }
        });
    }
}

async fn serve<I>(forge: Arc<Forge>, io: I, scheme: &'static str, stop: &CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(move |request| {
        let forge = Arc::clone(&forge);
        async move { answer(&forge, request, scheme).await }
    });
    drive(io, service, stop).await;
}

/// Serves a connection until it ends. After `stop` the call under way still gets its answer, if
/// that comes soon.
pub async fn drive<I, S>(io: I, service: S, stop: &CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Service<HttpRequest<Incoming>, Response = Reply>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_DEADLINE);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(io), service));
    // A client that hangs up in the middle is its own affair, here and below.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = timeout(DRAIN, connection).await;
}

/// The error that makes hyper close a connection without an answer.
fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "cut by a fault")
}

async fn answer(
    forge: &Arc<Forge>,
    request: HttpRequest<Incoming>,
    scheme: &'static str,
) -> Result<Reply, io::Error> {
    let (mount, path) = mount(request.uri());
    let mut caller = auth::identify(forge, request.headers());
    let mut call = log_entry(&request, &path, &caller);
    let struck = strike(forge, request.method().as_str(), &path).await;
    if struck.cut {
        forge.calls.push(call);
        return Err(cut());
    }
    if struck.bad_credentials {
        caller = Caller::Refused(Refusal::bad_credentials());
    }
    let mut reply = match struck.reply {
        Some(reply) => reply,
        None => dispatch(forge, request, caller, (scheme, mount, &path)).await,
    };
    forge.store.persisted().await;
    call.status = reply.status().as_u16();
    forge.calls.push(call);
    finish(forge, mount, reply.headers_mut());
    match struck.cut_after {
        Some(bytes) => cut_short(reply, bytes).await,
        None => Ok(reply),
    }
}

fn log_entry(request: &HttpRequest<Incoming>, path: &str, caller: &Caller) -> Call {
    Call {
        method: request.method().to_string(),
        path: path.to_owned(),
        status: 0,
        caller: caller.as_str().to_owned(),
        token_sha256: match caller {
            Caller::Installation(token) => Some(token.sha256.chars().take(12).collect()),
            Caller::Anonymous | Caller::App | Caller::Refused(_) => None,
        },
    }
}

/// What the faults that are on do to a call.
#[derive(Default)]
struct Struck {
    cut: bool,
    cut_after: Option<u64>,
    bad_credentials: bool,
    reply: Option<Reply>,
}

/// Waits out the delays and collects the rest.
async fn strike(forge: &Forge, method: &str, path: &str) -> Struck {
    let mut struck = Struck::default();
    for fault in forge.faults.strike(method, path) {
        match fault {
            FaultKind::Delay { milliseconds } => {
                tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            }
            FaultKind::Cut => struck.cut = true,
            FaultKind::CutAfter { bytes } => struck.cut_after = Some(bytes),
            FaultKind::BadCredentials => struck.bad_credentials = true,
            FaultKind::Status { status, message } => {
                struck.reply = Some(status_reply(status, message));
            }
            FaultKind::RateLimit { retry_after, reset_seconds, status } => {
                struck.reply = Some(rate_limited(forge, retry_after, reset_seconds, status));
            }
            // They strike where a token is minted.
            FaultKind::WidenMint | FaultKind::WidenPermissions => {}
        }
    }
    struck
}

fn status_reply(status: u16, message: Option<String>) -> Reply {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let usual = status.canonical_reason().unwrap_or("Unknown");
    Refusal::new(status, message.unwrap_or_else(|| usual.to_owned())).into_reply()
}

/// Takes the mount off a path.
fn mount(uri: &Uri) -> (Mount, String) {
    let path = uri.path();
    match path.strip_prefix("/api/v3") {
        Some("") => (Mount::Enterprise, "/".to_owned()),
        Some(rest) if rest.starts_with('/') => (Mount::Enterprise, rest.to_owned()),
        _ if path == "/api/graphql" => (Mount::Enterprise, "/graphql".to_owned()),
        _ => (Mount::Root, path.to_owned()),
    }
}

async fn dispatch(
    forge: &Arc<Forge>,
    request: HttpRequest<Incoming>,
    caller: Caller,
    (scheme, mount, path): (&'static str, Mount, &str),
) -> Reply {
    let Some(segments) = decode_segments(path) else {
        return Refusal::new(StatusCode::BAD_REQUEST, "Bad Request").into_reply();
    };
    if mount == Mount::Root {
        if let Some(git) = GitPath::parse(&segments).filter(|_| !is_api(&segments)) {
            return git::access::serve(forge, &caller, &git, request, scheme).await;
        }
        if let [file] = segments.as_slice()
            && let Some(login) = file.strip_suffix(".keys")
        {
            return rest::users::key_lines(forge, login);
        }
        if let Some(page) = rest::app::page(&segments) {
            return page;
        }
    }
    if let Err(refusal) = check_headers(request.headers()) {
        return *refusal;
    }
    let origin = format!("{scheme}://{}", host(&request));
    let (parts, body) = request.into_parts();
    let body = match read_body(body).await {
        Ok(body) => body,
        Err(refusal) => return refusal.into_reply(),
    };
    let query = decode_query(parts.uri.query().unwrap_or_default());
    let (method, headers) = (parts.method, parts.headers);
    let request = Request { method, segments, query, headers, body, caller, origin, mount };
    let answer = if path == "/graphql" {
        graphql::answer(forge, &request).await
    } else {
        rest::route(forge, &request).await
    };
    answer.unwrap_or_else(Refusal::into_reply)
}

async fn read_body(body: Incoming) -> Result<Vec<u8>, Refusal> {
    match timeout(BODY_DEADLINE, Limited::new(body, BODY_LIMIT).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(_)) => Err(Refusal::bad_json()),
        Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "Request Timeout")),
    }
}

/// Owners that GitHub keeps for itself, so that `/repos/x/info/refs` is no git path.
fn is_api(segments: &[String]) -> bool {
    let first = segments.first().map(String::as_str);
    matches!(first, Some("repos" | "repositories" | "app" | "orgs" | "users" | "installation"))
}

fn host(request: &HttpRequest<Incoming>) -> &str {
    let named = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    named.or_else(|| request.uri().authority().map(http::uri::Authority::as_str)).unwrap_or("")
}

/// What GitHub demands of every API call.
fn check_headers(headers: &HeaderMap) -> Result<(), Box<Reply>> {
    if headers.get(header::USER_AGENT).is_none_or(HeaderValue::is_empty) {
        return Err(Box::new(reply::text(
            StatusCode::FORBIDDEN,
            "\r\nRequest forbidden by administrative rules. Please make sure your request has a \
             User-Agent header (https://docs.github.com/en/rest/overview/\
             resources-in-the-rest-api#user-agent-required). Check \
             https://developer.github.com for other possible causes.\r\n",
        )));
    }
    let version = headers.get("x-github-api-version").map(|value| value.to_str());
    match version {
        None => Ok(()),
        Some(Ok(version)) if API_VERSIONS.contains(&version) => Ok(()),
        Some(_) => Err(Box::new(
            Refusal::new(
                StatusCode::BAD_REQUEST,
                "The X-GitHub-Api-Version header names no version of this API.",
            )
            .into_reply(),
        )),
    }
}

fn rate_limited(forge: &Forge, retry_after: Option<u64>, reset: u64, status: u16) -> Reply {
    let message = if retry_after.is_some() {
        "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
    } else {
        "API rate limit exceeded for installation."
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
    let mut reply = Refusal::new(status, message).into_reply();
    let headers = reply.headers_mut();
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    } else {
        let at = forge.clock.now().unix_timestamp().saturating_add_unsigned(reset);
        headers.insert("x-ratelimit-remaining", HeaderValue::from(0));
        headers.insert("x-ratelimit-reset", HeaderValue::from(at));
    }
    reply
}

/// Header lines that every answer carries.
fn finish(forge: &Forge, mount: Mount, headers: &mut HeaderMap) {
    let now = forge.clock.now();
    if let Ok(date) = HeaderValue::try_from(http_date(now)) {
        headers.insert(header::DATE, date);
    }
    let id = format!("LF00:{:X}:{:X}", now.unix_timestamp(), forge.calls.total());
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert("x-github-request-id", id);
    }
    if mount == Mount::Enterprise {
        let version = HeaderValue::from_static(rest::ENTERPRISE_VERSION);
        headers.insert("x-github-enterprise-version", version);
    }
    let reset = HeaderValue::from(now.unix_timestamp() + 3600);
    for (name, value) in [
        ("x-ratelimit-limit", HeaderValue::from(5000)),
        ("x-ratelimit-remaining", HeaderValue::from(4999)),
        ("x-ratelimit-reset", reset),
    ] {
        headers.entry(name).or_insert(value);
    }
}

/// Promises the whole body, sends its first bytes, then breaks the connection.
async fn cut_short(reply: Reply, bytes: u64) -> Result<Reply, io::Error> {
    let (mut parts, body) = reply.into_parts();
    let whole = body.collect().await?.to_bytes();
    let kept = usize::try_from(bytes).unwrap_or(usize::MAX).min(whole.len());
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
    let first = Ok(hyper::body::Frame::data(whole.slice(..kept)));
    let pieces = futures_util::stream::iter([first, Err(cut())]);
    Ok(Reply::from_parts(parts, http_body_util::StreamBody::new(pieces).boxed_unsync()))
}

//! `git http-backend` as a CGI program: request and answer are streamed, and the program ends with
//! the connection.

use std::{
    io,
    pin::Pin,
    process::Stdio,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdout, Command},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::io::ReaderStream;

use super::{
    access::{Entry, header},
    hooks, scrubbed,
};
use crate::{
    forge::Forge,
    reply::{Body, Refusal, Reply, text},
};

/// Longest time until the program has written its head: it reads a whole push before.
const HEAD_DEADLINE: Duration = Duration::from_secs(300);

/// Longest silence between two pieces of the answer.
const PIECE_DEADLINE: Duration = Duration::from_secs(120);

/// Most bytes that a CGI head may have.
const HEAD_LIMIT: usize = 16 << 10;

/// Hands a git call that was admitted on to `git http-backend`.
pub async fn serve(forge: &Forge, entry: &Entry, rest: &str, request: Request<Incoming>) -> Reply {
    match run(forge, entry, rest, request).await {
        Ok(reply) => reply,
        Err(error) => Refusal::internal(&error).into_reply(),
    }
}

async fn run(
    forge: &Forge,
    entry: &Entry,
    rest: &str,
    request: Request<Incoming>,
) -> io::Result<Reply> {
    let mut command = scrubbed(&forge.data_dir);
    describe(&mut command, &request, &format!("/{}.git/{rest}", entry.repo_id));
    command.env("GIT_PROJECT_ROOT", forge.data_dir.join("git"));
    hooks::configure(&mut command, &forge.data_dir, entry);
    command.arg("http-backend").stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(Stdio::null());
    let mut child = command.spawn()?;
    let feeder = feed(&mut child, request.into_body());
    let mut stdout = child.stdout.take().ok_or_else(|| io::Error::other("no output pipe"))?;
    let head = timeout(HEAD_DEADLINE, read_head(&mut stdout)).await;
    let (head, left_over) = head.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let mut reply = Response::new(stream(Running { child, feeder }, stdout, left_over));
    apply(&head, &mut reply);
    Ok(reply)
}

/// The CGI variables of this request (RFC 3875).
fn describe(command: &mut Command, request: &Request<Incoming>, path: &str) {
    let headers = request.headers();
    command
        .env("GATEWAY_INTERFACE", "CGI/1.1")
        .env("REQUEST_METHOD", request.method().as_str())
        .env("PATH_INFO", path)
        .env("QUERY_STRING", request.uri().query().unwrap_or_default())
        .env("REMOTE_ADDR", "127.0.0.1")
        // A user makes http-backend allow pushes; who may push was decided before.
        .env("REMOTE_USER", "x-access-token")
        .env("GIT_HTTP_EXPORT_ALL", "1");
    let passed = [
        ("content-type", "CONTENT_TYPE"),
        ("content-length", "CONTENT_LENGTH"),
        ("content-encoding", "HTTP_CONTENT_ENCODING"),
        ("git-protocol", "GIT_PROTOCOL"),
    ];
    for (name, variable) in passed {
        if let Some(value) = header(headers, name) {
            command.env(variable, value);
        }
    }
}

/// Copies the request's body into the program; ends with the program or the body.
fn feed(child: &mut Child, mut body: Incoming) -> JoinHandle<()> {
    let stdin = child.stdin.take();
    tokio::spawn(async move {
        let Some(mut stdin) = stdin else { return };
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { continue };
            if stdin.write_all(&data).await.is_err() {
                return;
            }
        }
    })
}

async fn read_head(stdout: &mut ChildStdout) -> io::Result<(Vec<u8>, Bytes)> {
    let mut buffer = BytesMut::with_capacity(4096);
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let mut head = buffer.split_to(end + 4);
            head.truncate(end);
            return Ok((head.to_vec(), buffer.freeze()));
        }
        if buffer.len() > HEAD_LIMIT || stdout.read_buf(&mut buffer).await? == 0 {
            return Err(io::Error::other("git http-backend gave no head"));
        }
    }
}

fn apply(head: &[u8], reply: &mut Reply) {
    for line in head.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"status") {
            let code = value.get(..3).and_then(|code| StatusCode::from_bytes(code).ok());
            *reply.status_mut() = code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        } else if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            reply.headers_mut().insert(name, value);
        }
    }
}

/// The program and the task that feeds it; both end when the answer is dropped.
struct Running {
    child: Child,
    feeder: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.feeder.abort();
        // `kill_on_drop` does the rest, and the runtime reaps.
        let _ = self.child.start_kill();
    }
}

fn stream(running: Running, stdout: ChildStdout, left_over: Bytes) -> Body {
    let first = futures_util::stream::iter((!left_over.is_empty()).then_some(Ok(left_over)));
    let pieces = first.chain(ReaderStream::new(stdout));
    let output = Output { pieces: Box::pin(pieces), _running: running };
    let timed = futures_util::stream::unfold(Some(output), |output| async {
        let mut output = output?;
        match timeout(PIECE_DEADLINE, output.next()).await {
            Ok(Some(Ok(piece))) => Some((Ok(Frame::data(piece)), Some(output))),
            Ok(Some(Err(error))) => Some((Err(error), None)),
            Ok(None) => None,
            Err(_) => Some((Err(io::ErrorKind::TimedOut.into()), None)),
        }
    });
    StreamBody::new(timed).boxed_unsync()
}

struct Output {
    pieces: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
    _running: Running,
}

impl Stream for Output {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.poll_next_unpin(cx)
    }
}

/// 400 to what is no smart git request.
pub fn not_smart() -> Reply {
    text(
        StatusCode::FORBIDDEN,
        "Please upgrade your git client. GitHub no longer supports git \
        over dumb-http: https://github.com/blog/809-git-dumb-http-transport-to-be-turned-off-in-90-days",
    )
}

//! Answers: JSON, problem details, and bodies that go on for as long as their events do.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future;
use futures_util::stream::{self, Stream, StreamExt as _};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;
use tokio_util::io::ReaderStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::api::{Event, EventKind, Failure, FailureKind, NDJSON, PROBLEM_JSON, Problem};
use crate::credentials::trail::{Trail, Wanted};
use crate::lifecycle::LogSource;

/// Lines of the audit log that may be read ahead of a client.
const LINES_AHEAD: usize = 64;

/// How often the end of the audit log is looked at for more.
const GROWS: Duration = Duration::from_millis(200);

/// An answer of the control API.
pub(super) type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// `value` as JSON.
pub(super) fn json(value: &impl Serialize) -> Reply {
    match serde_json::to_vec(value) {
        Ok(body) => whole(StatusCode::OK, "application/json", body),
        Err(error) => {
            problem(&Failure::new(FailureKind::Failed, "cannot write the answer").caused_by(&error))
        }
    }
}

/// Done, with nothing to say.
pub(super) fn nothing() -> Reply {
    whole(StatusCode::NO_CONTENT, "text/plain", Vec::new())
}

/// A failure as problem details.
pub(super) fn problem(failure: &Failure) -> Reply {
    let status = status(failure.kind);
    let problem = Problem {
        kind: format!("urn:hatchery:{}", kind_name(failure.kind)),
        title: failure.message.clone(),
        status: status.as_u16(),
        detail: failure.hints.join("\n"),
        failure: failure.clone(),
    };
    // Strings and numbers alone: it always becomes JSON; empty JSON reads as a failure too.
    whole(status, PROBLEM_JSON, serde_json::to_vec(&problem).unwrap_or_default())
}

/// The name of a kind in JSON.
fn kind_name(kind: FailureKind) -> String {
    match serde_json::to_value(kind) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(_) | Err(_) => "failed".to_owned(),
    }
}

fn status(kind: FailureKind) -> StatusCode {
    match kind {
        FailureKind::Usage => StatusCode::BAD_REQUEST,
        FailureKind::NoDrone | FailureKind::NoRepository => StatusCode::NOT_FOUND,
        FailureKind::Exists | FailureKind::Busy | FailureKind::WorkWouldBeLost => {
            StatusCode::CONFLICT
        }
        FailureKind::Refused => StatusCode::FORBIDDEN,
        FailureKind::NoCapacity => StatusCode::INSUFFICIENT_STORAGE,
        FailureKind::Outside => StatusCode::BAD_GATEWAY,
        FailureKind::Engine => StatusCode::FAILED_DEPENDENCY,
        FailureKind::NoHostAgent | FailureKind::Interrupted => StatusCode::SERVICE_UNAVAILABLE,
        FailureKind::Failed | FailureKind::OutOfMemory => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The events of one operation up to its last. Its guard cancels the operation when the client
/// leaves: nobody else would end it.
pub(super) fn operation(events: mpsc::Receiver<Event>, guard: DropGuard) -> Reply {
    let lines = stream::unfold(Some((events, guard)), |state| async move {
        let (mut events, guard) = state?;
        let event = events.recv().await?;
        let last = matches!(event.kind, EventKind::Done { .. } | EventKind::Failed { .. });
        Some((line(&event), (!last).then_some((events, guard))))
    });
    streamed(NDJSON, lines)
}

/// Every event until the client leaves or the host agent ends.
pub(super) fn events(receiver: broadcast::Receiver<Event>, end: CancellationToken) -> Reply {
    let lines = stream::unfold((receiver, end), |(mut receiver, end)| async move {
        let received = tokio::select! {
            () = end.cancelled() => return None,
            received = receiver.recv() => received,
        };
        let event = match received {
            Ok(event) => event,
            Err(RecvError::Lagged(lost)) => lagged(lost),
            Err(RecvError::Closed) => return None,
        };
        Some((line(&event), (receiver, end)))
    });
    streamed(NDJSON, lines)
}

fn lagged(lost: u64) -> Event {
    let text = format!("{lost} events were lost: they were read too slowly");
    Event { at: OffsetDateTime::now_utc(), drone: None, kind: EventKind::Notice { text } }
}

fn line(event: &Event) -> Bytes {
    let mut line = serde_json::to_vec(event).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

/// Lines of the audit log; with `follow` on until the client leaves or that is cancelled.
///
/// # Errors
/// When the log cannot be opened.
pub(super) async fn audit(
    path: PathBuf,
    wanted: Wanted,
    follow: Option<CancellationToken>,
) -> Result<Reply, Failure> {
    let unreadable = {
        let message = format!("cannot read the audit log {}", path.display());
        move |error: &(dyn std::error::Error + 'static)| {
            Failure::new(FailureKind::Failed, message).caused_by(error)
        }
    };
    let opening = tokio::task::spawn_blocking(move || Trail::open(&path, wanted)).await;
    let trail = opening.unwrap_or_else(|error| Err(io::Error::other(error)));
    let mut trail = trail.map_err(|error| unreadable(&error))?;
    let (sender, lines) = mpsc::channel(LINES_AHEAD);
    // Ends by itself at the end of the log, or when nobody reads or follows any more.
    tokio::task::spawn_blocking(move || {
        loop {
            match trail.next_line() {
                Ok(Some(line)) => {
                    if sender.blocking_send(Bytes::from(line)).is_err() {
                        return;
                    }
                }
                Ok(None) if follow.as_ref().is_some_and(|end| !end.is_cancelled()) => {
                    std::thread::sleep(GROWS);
                    if sender.is_closed() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => return tracing::warn!(%error, "the audit log cannot be read on"),
            }
        }
    });
    let lines =
        stream::unfold(lines, |mut lines| async move { Some((lines.recv().await?, lines)) });
    Ok(streamed(NDJSON, lines))
}

/// A log, streamed where it is a file.
///
/// # Errors
/// When the file is gone.
pub(super) async fn log(source: LogSource) -> Result<Reply, Failure> {
    const TEXT: &str = "text/plain; charset=utf-8";
    let path = match source {
        LogSource::Container(text) => return Ok(whole(StatusCode::OK, TEXT, text.into_bytes())),
        LogSource::File(path) => path,
    };
    let file = tokio::fs::File::open(&path).await.map_err(|error| {
        let message = format!("cannot read the log {}", path.display());
        Failure::new(FailureKind::Failed, message).caused_by(&error)
    })?;
    // `scan` ends the stream at the first error.
    let chunks = ReaderStream::new(file).scan(path, |path, chunk| {
        let broke_off = |error: &_| tracing::warn!(path = %path.display(), %error, "log broke off");
        future::ready(chunk.inspect_err(broke_off).ok())
    });
    Ok(streamed(TEXT, chunks))
}

fn whole(status: StatusCode, media_type: &'static str, body: Vec<u8>) -> Reply {
    reply(status, media_type, Full::new(Bytes::from(body)).boxed_unsync())
}

fn streamed(media_type: &'static str, chunks: impl Stream<Item = Bytes> + Send + 'static) -> Reply {
    let frames = chunks.map(|chunk| Ok(Frame::data(chunk)));
    reply(StatusCode::OK, media_type, StreamBody::new(frames).boxed_unsync())
}

fn reply(
    status: StatusCode,
    media_type: &'static str,
    body: UnsyncBoxBody<Bytes, Infallible>,
) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    reply
}

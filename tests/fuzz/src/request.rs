//! A request on a drone's socket: its head, and the query in that.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hatchery::fuzzing::{Scope, TokenQuery, plain_get, reading, scope};
use hatchery::records::Record;
use http::{Method, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use serde_json::json;

use super::names::plain;
use super::text;

/// Bytes of a connection that hyper reads at a time: a head is never there at once.
const PIECE: usize = 100;

/// What a connection's bytes are read as: the quick way and hyper agree on every request that both
/// take, no connection has a second one, and no query reaches what was not granted.
pub fn request(data: &[u8]) {
    let heads = as_hyper_reads(data);
    assert!(heads.len() <= 1, "{heads:?}");
    for head in &heads {
        query(head.uri.query().unwrap_or_default());
    }
    let Some(target) = plain_get(data) else { return };
    nothing_but_a_head(data, target);
    // Anything else is no path that is answered.
    if target.starts_with('/') {
        let [head] = heads.as_slice() else { unreachable!("hyper refuses {data:?}") };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        assert_eq!(head.method, Method::GET);
        assert_eq!((head.uri.path(), head.uri.query().unwrap_or_default()), (path, query));
        assert!(!head.has_body, "{data:?}");
    }
}

/// The bytes are a first line with `target`, lines that announce no body, and an empty one.
fn nothing_but_a_head(data: &[u8], target: &str) {
    let text = String::from_utf8_lossy(data).to_ascii_lowercase();
    let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let first = lines.by_ref().find(|line| !line.is_empty());
    assert_eq!(first, Some(format!("get {} http/1.1", target.to_ascii_lowercase()).as_str()));
    let lines: Vec<_> = lines.collect();
    let Some(([.., ""], headers)) = lines.split_last_chunk::<2>().map(|(a, b)| (b, a)) else {
        unreachable!("it does not end with an empty line: {data:?}")
    };
    for line in headers {
        let (name, _) = line.split_once(':').unwrap_or((line, ""));
        let special = ["content-length", "transfer-encoding", "expect", "upgrade"];
        assert!(!name.is_empty() && !special.contains(&name.trim()), "{data:?}");
    }
}

/// A request as hyper hands it on.
#[derive(Debug)]
struct Head {
    method: Method,
    uri: Uri,
    has_body: bool,
}

fn as_hyper_reads(data: &[u8]) -> Vec<Head> {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
    }
    let heads = RefCell::new(vec![]);
    let service = service_fn(|request: Request<Incoming>| {
        let has_body = !request.body().is_end_stream();
        let (head, _) = request.into_parts();
        heads.borrow_mut().push(Head { method: head.method, uri: head.uri, has_body });
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    });
    let wire = Wire(data.iter().copied().collect());
    // How it ends says nothing about what was read.
    let served = async { reading().serve_connection(wire, service).await };
    let _ = RUNTIME.with(|runtime| runtime.block_on(served));
    heads.into_inner()
}

/// A client that has written everything, and reads nothing.
struct Wire(VecDeque<u8>);

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let count = buffer.remaining().min(PIECE).min(self.0.len());
        let piece: Vec<u8> = self.0.drain(..count).collect();
        buffer.put_slice(&piece);
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The query of `GET /v1/token`, as it stands behind the `?`.
pub fn token_query(data: &[u8]) {
    if let Some(text) = text(data) {
        query(text);
    }
}

/// What is taken names plain repositories and reads the same when it is written plainly; and what
/// is reached is what was asked for and granted, by a reading of our own.
fn query(query: &str) {
    thread_local!(static RECORD: Record = record());
    let Ok(parsed) = TokenQuery::parse(query) else { return };
    assert!(parsed.repositories.len() <= 32);
    parsed.repositories.iter().for_each(plain);
    let mut canonical: Vec<String> =
        parsed.repositories.iter().map(|name| format!("repo={name}")).collect();
    canonical.extend(parsed.min_valid.map(|limit| format!("min_valid={}", limit.as_secs())));
    assert_eq!(TokenQuery::parse(&canonical.join("&")).as_ref(), Ok(&parsed), "{query:?}");
    let reached = RECORD.with(|record| scope(record, &parsed.repositories));
    let asked = asked(query);
    let expected: Option<Vec<u64>> = asked.iter().map(|name| granted(name)).collect();
    match (reached, expected) {
        (Ok(Scope::Primary), Some(ids)) => assert!(ids.is_empty(), "{query:?}"),
        (Ok(Scope::Repositories(reached)), Some(mut ids)) => {
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(reached, ids, "{query:?}");
        }
        (Err(_), None) => {}
        (reached, ids) => unreachable!("{reached:?}, not {ids:?}, by {query:?}"),
    }
}

/// A drone that was granted two repositories, one of which had another name.
fn record() -> Record {
    let record = json!({
        "drone": "acme-web",
        "repo": {"host": "github.com", "name": "acme/web"},
        "repo_id": 7,
        "grants": [
            {"repo_id": 7, "name": "acme/web", "permissions": {}},
            {"repo_id": 9, "name": "Acme/Docs", "former_names": ["acme/old"], "permissions": {}},
        ],
        "grant_version": 1,
        "desired": "running",
        "created_at": "1970-01-01T00:00:00Z",
    });
    serde_json::from_value(record).expect("a record")
}

/// The id that the record above has for a name.
fn granted(name: &str) -> Option<u64> {
    match name.strip_suffix(".git").unwrap_or(name) {
        "acme/web" => Some(7),
        "acme/docs" | "acme/old" => Some(9),
        _ => None,
    }
}

/// Every `repo` of a query, unescaped once, in lower case.
fn asked(query: &str) -> Vec<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let named = pairs.filter(|(key, _)| unescaped(key) == "repo");
    named.map(|(_, value)| unescaped(value).to_ascii_lowercase()).collect()
}

fn unescaped(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).unwrap_or((piece, ""));
        bytes.extend(u8::from_str_radix(digits, 16));
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

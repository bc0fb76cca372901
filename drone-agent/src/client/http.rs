//! As much of HTTP/1.1 as one request with one answer needs.

use super::AskError;
use super::connection::Connection;

/// Longest head taken, in bytes.
const HEAD_MAX: usize = 8 * 1024;
/// Longest body taken, in bytes: the identity of a drone with hundreds of repositories.
const BODY_MAX: usize = 1024 * 1024;
/// Most headers taken.
const HEADERS_MAX: usize = 32;

/// A complete answer.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// How the end of a body is told.
#[derive(Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// A parsed head and its length in bytes.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    framing: Framing,
    length: usize,
}

/// The bytes of a request after which the connection closes.
pub(super) fn request(method: &str, target: &str, body: Option<&[u8]>) -> Vec<u8> {
    let mut head = format!(
        "{method} {target} HTTP/1.1\r\nhost: localhost\r\nuser-agent: drone-agent/{}\r\nconnection: close\r\n",
        env!("CARGO_PKG_VERSION")
    );
    if let Some(body) = body {
        let length = body.len();
        head.push_str(&format!("content-type: application/json\r\ncontent-length: {length}\r\n"));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body.unwrap_or_default());
    bytes
}

/// Reads one answer to its end.
pub(super) fn read_response(connection: &mut Connection) -> Result<Response, AskError> {
    let mut received = Vec::with_capacity(4096);
    let head = loop {
        let more = fill(connection, &mut received)?;
        match parse_head(&received)? {
            Some(head) => break head,
            None if received.len() > HEAD_MAX => return Err(garbled("its head is too long")),
            None if !more => return Err(garbled("it ends within the head")),
            None => {}
        }
    };
    let mut rest = received.split_off(head.length);
    loop {
        if let Some(body) = whole_body(&head.framing, &rest)? {
            return Ok(Response { status: head.status, body });
        }
        if rest.len() > BODY_MAX {
            return Err(garbled("it is too long"));
        }
        if !fill(connection, &mut rest)? {
            return match head.framing {
                Framing::UntilClose => Ok(Response { status: head.status, body: rest }),
                Framing::Length(_) | Framing::Chunked => Err(garbled("it ends too early")),
            };
        }
    }
}

/// Appends what has arrived; false: nothing will come any more.
fn fill(connection: &mut Connection, received: &mut Vec<u8>) -> Result<bool, AskError> {
    let mut piece = [0; 4096];
    let length = connection.receive(&mut piece)?;
    received.extend(piece.iter().take(length));
    Ok(length > 0)
}

/// The head, once it is complete.
fn parse_head(received: &[u8]) -> Result<Option<Head>, AskError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(received).map_err(|error| garbled(&error.to_string()))?;
    let httparse::Status::Complete(length) = parsed else { return Ok(None) };
    let status = response.code.ok_or_else(|| garbled("it has no status"))?;
    Ok(Some(Head { status, framing: framing(status, response.headers)?, length }))
}

/// How the body ends, refusing what can be read in two ways.
fn framing(status: u16, headers: &[httparse::Header<'_>]) -> Result<Framing, AskError> {
    let values = |name: &'static str| {
        headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name))
    };
    if status == 204 || status == 304 {
        return Ok(Framing::Length(0));
    }
    let lengths: Vec<_> = values("content-length").collect();
    match (values("transfer-encoding").next(), lengths.as_slice()) {
        (None, []) => Ok(Framing::UntilClose),
        (None, [length]) => std::str::from_utf8(length.value)
            .ok()
            .and_then(|text| text.parse().ok())
            .filter(|&length| length <= BODY_MAX)
            .map(Framing::Length)
            .ok_or_else(|| garbled("its length is none, or too great")),
        (Some(coding), []) if coding.value.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        _ => Err(garbled("its length is told in two ways")),
    }
}

/// The body, once `rest` (all after the head) holds the whole of it. One that lasts until the
/// connection closes never does.
fn whole_body(framing: &Framing, rest: &[u8]) -> Result<Option<Vec<u8>>, AskError> {
    match framing {
        Framing::Length(length) => Ok(rest.get(..*length).map(<[u8]>::to_vec)),
        Framing::Chunked => dechunk(rest),
        Framing::UntilClose => Ok(None),
    }
}

/// The chunks' contents, once the last chunk is there. Trailers are left unread.
fn dechunk(mut rest: &[u8]) -> Result<Option<Vec<u8>>, AskError> {
    let mut body = Vec::new();
    loop {
        let parsed =
            httparse::parse_chunk_size(rest).map_err(|_| garbled("a chunk has no size"))?;
        let httparse::Status::Complete((start, size)) = parsed else { return Ok(None) };
        let size = usize::try_from(size).ok().filter(|&size| size <= BODY_MAX);
        let size = size.ok_or_else(|| garbled("a chunk is too long"))?;
        if size == 0 {
            return Ok(Some(body));
        }
        let Some(chunk) = rest.get(start..start + size) else { return Ok(None) };
        body.extend_from_slice(chunk);
        rest = match rest.get(start + size..) {
            Some([b'\r', b'\n', next @ ..]) => next,
            Some([] | [b'\r']) => return Ok(None),
            _ => return Err(garbled("a chunk is longer than its size")),
        };
    }
}

fn garbled(what: &str) -> AskError {
    AskError::Garbled(what.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_says_what_follows_it() {
        let text = String::from_utf8(request("POST", "/x", Some(b"{}"))).expect("text");
        assert!(text.starts_with("POST /x HTTP/1.1\r\nhost: localhost\r\n"), "{text}");
        assert!(text.ends_with("content-length: 2\r\n\r\n{}"), "{text}");
    }

    #[test]
    fn each_way_to_end_a_body_is_understood() {
        let head = |text: &str| parse_head(text.as_bytes()).expect("a head").expect("all of it");
        let ok = "HTTP/1.1 200 OK\r\n";
        assert_eq!(head(&format!("{ok}Content-Length: 5\r\n\r\n")).framing, Framing::Length(5));
        assert_eq!(
            head(&format!("{ok}transfer-encoding: Chunked\r\n\r\n")).framing,
            Framing::Chunked
        );
        assert_eq!(head(&format!("{ok}\r\n")).framing, Framing::UntilClose);
        assert_eq!(head("HTTP/1.1 204 No Content\r\n\r\n").framing, Framing::Length(0));
        assert_eq!(parse_head(b"HTTP/1.1 200 OK\r\ncontent-").expect("so far good"), None);
    }

    #[test]
    fn an_answer_of_two_lengths_is_refused() {
        for headers in [
            "content-length: 1\r\ncontent-length: 1\r\n",
            "content-length: 1\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: gzip\r\n",
            "content-length: -1\r\n",
            "content-length: 99999999999\r\n",
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{headers}\r\n");
            assert!(parse_head(text.as_bytes()).is_err(), "{headers}");
        }
    }

    #[test]
    fn chunks_are_joined_and_none_is_taken_early() {
        let whole = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
        assert_eq!(dechunk(whole).expect("chunks").as_deref(), Some(&b"abcde"[..]));
        for end in 0..whole.len() - 4 {
            assert_eq!(dechunk(&whole[..end]).expect("a part"), None, "{end}");
        }
        assert!(dechunk(b"3\r\nabcd\r\n").is_err());
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_head(&bytes);
            let _ = dechunk(&bytes);
        }
    }
}

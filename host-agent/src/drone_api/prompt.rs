//! A token from the cache, answered at once: no task waits, no byte is read twice by two parsers.
//!
//! The request is only peeked at. When it is a plain `GET` for a token that is there, written by the
//! process that connected and by no other, it is answered and taken out of the socket. When
//! anything is different, or only in doubt, nothing has happened: hyper reads it from the start
//! ([`super::thorough`]), and what is wrong with it is said there.
//!
//! Why: served by hyper on the host agent's runtime such an answer took 34 us (median, on one core),
//! where a bare echo took 10, and one on tokio alone 16. hyper was 4 of them, proofs of identity 6,
//! wake-ups, registrations and timers most of the rest. Here it takes 17.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use hatchery_protocol::DroneName;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

use super::routes::{self, Reply};
use super::stream::{CHUNK, receive};
use super::thorough::HEADERS_MAX;
use crate::credentials::attest::Peer;
use crate::credentials::{Credentials, Forge};

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It got its answer, or hung up.
    Answered,
    /// Its request is not there yet.
    NotYet,
    /// It needs a thorough look; nothing was read.
    Another,
}

/// Answers what can be answered at once.
pub fn answer<F: Forge>(
    credentials: &Credentials<F>,
    drone: &DroneName,
    peer: &Peer,
    stream: &UnixStream,
) -> Outcome {
    let mut chunk = [0; CHUNK];
    let (count, writer) = match receive(stream, &mut chunk, RecvFlags::PEEK) {
        Ok((0, _)) => return Outcome::Answered,
        Ok(peeked) => peeked,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Outcome::NotYet,
        Err(_) => return Outcome::Another,
    };
    let Some(request) = chunk.get_mut(..count) else { return Outcome::Another };
    let reply = plain_get(request).and_then(|target| {
        let record = credentials.records().find(drone)?;
        let attested = peer.attest_alone(record, writer)?;
        routes::cached(credentials, &attested, target)
    });
    let Some(reply) = reply else { return Outcome::Another };
    if let Err(error) = send(stream, &reply, request) {
        tracing::debug!(%drone, %error, "a connection ended badly");
    }
    Outcome::Answered
}

/// The target of a request that is there as a whole, and is nothing but a `GET` without a body.
pub fn plain_get(request: &[u8]) -> Option<&str> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let whole = parsed.parse(request).ok()? == httparse::Status::Complete(request.len());
    // What these mean for the request is not decided here.
    let special = ["content-length", "transfer-encoding", "expect", "upgrade"];
    let is_special = |name: &str| special.iter().any(|it| name.eq_ignore_ascii_case(it));
    let plain = parsed.method == Some("GET") && parsed.version == Some(1);
    if !whole || !plain || parsed.headers.iter().any(|header| is_special(header.name)) {
        return None;
    }
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"/?&=._%~-".contains(&byte);
    parsed.path.filter(|target| target.bytes().all(harmless))
}

/// Sends the answer, and takes out of the socket what was answered: a socket that is closed with
/// bytes unread resets the connection. Only afterwards, because the kernel wakes who waits for the
/// answer a first time, for nothing, when its request is read.
fn send(stream: &UnixStream, reply: &Reply, request: &mut [u8]) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {}\r\ncache-control: no-store\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        reply.kind,
        reply.body.len()
    );
    let slices = [IoSlice::new(head.as_bytes()), IoSlice::new(&reply.body)];
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let sent = rustix::net::sendmsg(stream, &slices, &mut SendAncillaryBuffer::default(), flags)?;
    stream.shutdown(Shutdown::Write)?;
    rustix::net::recv(stream, request, RecvFlags::DONTWAIT)?;
    // An empty socket takes pages at once.
    if sent < head.len() + reply.body.len() { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_and_plain_get_is_answered_at_once() {
        for (request, target) in [
            ("GET /token HTTP/1.1\r\n\r\n", Some("/token")),
            ("GET /token HTTP/1.1\r\nHost: x\r\nUser-Agent: y\r\n\r\n", Some("/token")),
            (
                "GET /v1/token?repo=a/b&x=%41 HTTP/1.1\r\nX: y\r\n\r\n",
                Some("/v1/token?repo=a/b&x=%41"),
            ),
            // Not there as a whole, or more than one.
            ("", None),
            ("GET /token HTTP/1.1\r\nHost: x\r\n", None),
            ("GET /token HTTP/1.1\r\n\r\nx", None),
            ("GET /token HTTP/1.1\r\n\r\nGET /token HTTP/1.1\r\n\r\n", None),
            // Another request.
            ("POST /token HTTP/1.1\r\n\r\n", None),
            ("get /token HTTP/1.1\r\n\r\n", None),
            ("GET /token HTTP/1.0\r\n\r\n", None),
            ("GET /token\r\n\r\n", None),
            // With a body, or what may announce one.
            ("GET /token HTTP/1.1\r\nContent-Length: 0\r\n\r\n", None),
            ("GET /token HTTP/1.1\r\ncontent-LENGTH: 1\r\n\r\nx", None),
            ("GET /token HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", None),
            ("GET /token HTTP/1.1\r\nExpect: 100-continue\r\n\r\n", None),
            ("GET /token HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", None),
            // Lines that could be read in two ways.
            ("GET /token HTTP/1.1\r\nContent-Length : 1\r\n\r\n", None),
            ("GET /token HTTP/1.1\r\nX: y\r\n z\r\n\r\n", None),
            ("GET /token HTTP/1.1\r\nX\0: y\r\n\r\n", None),
            ("GET /tok\u{e9}n HTTP/1.1\r\n\r\n", None),
            ("GET /token#x HTTP/1.1\r\n\r\n", None),
            ("GET /to\"ken HTTP/1.1\r\n\r\n", None),
        ] {
            assert_eq!(plain_get(request.as_bytes()), target, "{request:?}");
        }
        let many = format!("GET /token HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(HEADERS_MAX + 1));
        assert_eq!(plain_get(many.as_bytes()), None);
    }
}

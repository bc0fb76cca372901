//! For `scripts/bench`: its bare echo and attestation, nothing else. What an answer takes longer
//! than the bare echo's is what attestation costs each request.
//!
//!     attesting_echo SOCKET RECORD     RECORD: the drone's file in the state directory

use std::io::{self, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

use hatchery::credentials::attest::Peer;
use hatchery::records::Record;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

/// As many bytes as the bare echo's answer.
const ANSWER: usize = 640;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(socket), Some(record)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("usage: attesting_echo SOCKET RECORD"));
    };
    let record: Arc<Record> = Arc::new(serde_json::from_slice(&std::fs::read(record)?)?);
    let listener = UnixListener::bind(socket)?;
    rustix::net::sockopt::set_socket_passcred(&listener, true)?;
    let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    answer.resize(ANSWER, b'x');
    for stream in listener.incoming() {
        let mut stream = stream?;
        // Without an answer the probe fails.
        if attested(&stream, &record)? {
            stream.write_all(&answer)?;
        }
    }
    Ok(())
}

/// As a drone's socket does it: a handle on who connected at once, and the proof for the writer once
/// the request is there.
fn attested(stream: &UnixStream, record: &Arc<Record>) -> io::Result<bool> {
    let peer = Peer::of(stream).map_err(io::Error::other)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut request = [0; 2048];
    let mut parts = [IoSliceMut::new(&mut request)];
    rustix::net::recvmsg(stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let writer = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmCredentials(of) => u32::try_from(of.pid.as_raw_pid()).ok(),
        _ => None,
    });
    Ok(peer.attest_alone(Arc::clone(record), writer).is_some())
}

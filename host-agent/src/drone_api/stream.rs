//! A connection whose every read carries its writer.
//!
//! The kernel never gives bytes of two writers in one read while `SO_PASSCRED` is set, so what
//! hyper parses was written by processes that [`Peer`] knows of.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use tokio::io::{AsyncWrite as _, Interest};
use tokio::net::UnixStream;

use crate::credentials::attest::Peer;

/// Bytes read at once: a request's head is seldom more than 200.
pub const CHUNK: usize = 2048;

/// The peer of one connection, shared between reading and answering.
#[derive(Debug, Clone)]
pub struct SharedPeer(Arc<Mutex<Peer>>);

impl SharedPeer {
    /// Shares it.
    pub fn new(peer: Peer) -> Self {
        Self(Arc::new(Mutex::new(peer)))
    }

    /// Looks at it. Never held across an await: the guard is not `Send`.
    pub fn lock(&self) -> MutexGuard<'_, Peer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A drone's connection.
#[derive(Debug)]
pub struct AttestedStream {
    stream: UnixStream,
    peer: SharedPeer,
}

impl AttestedStream {
    /// Reads from `stream` and tells `peer` of each writer.
    pub fn new(stream: UnixStream, peer: SharedPeer) -> Self {
        Self { stream, peer }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (count, writer) = receive(&self.stream, buffer, RecvFlags::empty())?;
        if count > 0 {
            self.peer.lock().wrote(writer);
        }
        Ok(count)
    }
}

/// Reads what is there, and who wrote it; `None`: the kernel does not say.
///
/// # Errors
/// Among others when nothing is there yet.
pub fn receive(
    socket: impl AsFd,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> io::Result<(usize, Option<u32>)> {
    // Room for credentials and nothing else: the kernel closes descriptors that do not fit.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut buffers = [IoSliceMut::new(buffer)];
    let flags = flags | RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(socket, &mut buffers, &mut control, flags)?;
    let mut writer = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmCredentials(credentials) = message {
            writer = u32::try_from(credentials.pid.as_raw_pid()).ok();
        }
    }
    Ok((received.bytes, writer))
}

impl Read for AttestedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut chunk = [0; CHUNK];
        let room = CHUNK.min(cursor.remaining());
        loop {
            ready!(self.stream.poll_read_ready(context))?;
            let room = chunk.get_mut(..room).unwrap_or_default();
            match self.stream.try_io(Interest::READABLE, || self.receive(room)) {
                Ok(count) => {
                    cursor.put_slice(chunk.get(..count).unwrap_or_default());
                    return Poll::Ready(Ok(()));
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Write for AttestedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

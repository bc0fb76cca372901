//! A connection to the drone's socket on which everything has one common deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::AskError;

/// Time for which a host agent that is just restarting is waited for: an upgrade of the server
/// should not fail a push.
const RESTART_GRACE: Duration = Duration::from_secs(3);
/// Pause between two attempts while it restarts.
const RESTART_PAUSE: Duration = Duration::from_millis(50);

/// An open connection.
pub(super) struct Connection {
    stream: UnixStream,
    deadline: Instant,
}

impl Connection {
    /// Connects to `socket`; all that follows on the connection ends `limit` from now.
    pub(super) fn open(socket: &Path, limit: Duration) -> Result<Self, AskError> {
        let started = Instant::now();
        let deadline = started + limit;
        loop {
            let source = match connect_before(socket, deadline) {
                Ok(stream) => return Ok(Self { stream, deadline }),
                Err(source) => source,
            };
            let restarting =
                matches!(source.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused);
            if source.kind() == ErrorKind::NotFound && !is_expected(socket) {
                return Err(AskError::Absent { socket: socket.to_owned() });
            }
            if !restarting || started.elapsed() >= RESTART_GRACE {
                return Err(AskError::Down { socket: socket.to_owned(), source });
            }
            sleep(RESTART_PAUSE);
        }
    }

    /// Writes all of `bytes`.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), AskError> {
        self.stream.set_write_timeout(Some(self.left()?)).map_err(AskError::Broken)?;
        self.stream.write_all(bytes).map_err(late_or_broken)
    }

    /// Reads what is there into `buffer`; 0: the other side has sent everything.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, AskError> {
        loop {
            self.stream.set_read_timeout(Some(self.left()?)).map_err(AskError::Broken)?;
            match self.stream.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other.map_err(late_or_broken),
            }
        }
    }

    /// What is left of the limit.
    fn left(&self) -> Result<Duration, AskError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(AskError::Late) } else { Ok(left) }
    }
}

/// Whether a host agent belongs here: its socket exists, or its directory is a mount whose socket
/// is just being replaced. (An image made from a drone still has the directory, but no mount.)
pub(super) fn is_expected(socket: &Path) -> bool {
    let device = |path: &Path| path.metadata().map(|meta| meta.dev()).ok();
    let Some(dir) = socket.parent() else { return false };
    socket.exists() || (device(dir).is_some() && device(dir) != dir.parent().and_then(device))
}

/// A connect that cannot hang on a full backlog: Linux bounds it by the send timeout.
fn connect_before(socket: &Path, deadline: Instant) -> io::Result<UnixStream> {
    let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    set_socket_timeout(&fd, Timeout::Send, Some(left))?;
    loop {
        match connect(&fd, &SocketAddrUnix::new(socket)?) {
            Ok(()) => return Ok(UnixStream::from(fd)),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// A timed-out read or write reports `WouldBlock`.
fn late_or_broken(error: io::Error) -> AskError {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => AskError::Late,
        _ => AskError::Broken(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_place_without_a_socket_is_not_a_drone() {
        let dir = tempfile::tempdir().expect("a directory");
        let found = Connection::open(&dir.path().join("agent.sock"), Duration::from_secs(5));
        assert!(matches!(found, Err(AskError::Absent { .. })));
        assert!(!is_expected(&dir.path().join("gone/agent.sock")));
    }

    #[test]
    fn a_mounted_directory_without_a_socket_is_a_drone_whose_host_agent_is_away() {
        assert!(is_expected(Path::new("/proc/agent.sock")));
    }

    #[test]
    fn a_listener_that_never_answers_is_given_up() {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("agent.sock");
        let _listener = UnixListener::bind(&socket).expect("a listener");
        let mut connection =
            Connection::open(&socket, Duration::from_millis(30)).expect("connected");
        assert!(matches!(connection.receive(&mut [0; 8]), Err(AskError::Late)));
    }

    #[test]
    fn a_host_agent_that_comes_back_in_time_is_reached() {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("agent.sock");
        drop(UnixListener::bind(&socket).expect("a listener")); // leaves a dead socket behind
        let path = socket.clone();
        let restarted = std::thread::spawn(move || {
            std::fs::remove_file(&path).and_then(|()| UnixListener::bind(&path))
        });
        // Between the two calls there is no socket at all; whichever moment is hit, it connects
        // or says that this is no drone, and never reports a broken host agent.
        let found = Connection::open(&socket, Duration::from_secs(5));
        assert!(matches!(found, Ok(_) | Err(AskError::Absent { .. })));
        assert!(restarted.join().expect("joined").is_ok());
    }
}

//! Proof that whoever sits at the other end of a drone's socket is a process of that drone.
//!
//! The order matters: take a handle on the process when its connection is accepted, read its
//! cgroup, compare the container, and only then prove that the handle still is the process that
//! connected. A pid that was used again in between fails the last step.
//!
//! A connected descriptor can be handed on to another container and keeps its connector's
//! credentials. So each read carries its writer (`SO_PASSCRED`), and every writer of a request is
//! attested like the connector.
//!
//! Only this module makes an [`Attested`]: holding one is the proof.

use std::borrow::Cow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use hatchery_protocol::DroneName;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::{PeerCredentials, PeerPidfd};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::cgroup::{self, CgroupError};
use crate::records::Record;

/// Writers other than the connector that one connection may have; more is no program of ours.
const MAX_WRITERS: usize = 8;

/// Largest cgroup file looked at, in bytes: 13 hierarchies of long names fit twice.
const CGROUP_FILE_MAX: usize = 8192;

/// Why a peer is not attested. For the log and the audit; the peer gets a bland answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The kernel names no process that this namespace can see.
    #[error("the peer is a process outside of this host agent's pid namespace")]
    NoPid,
    /// It ended before it could be looked at.
    #[error("process {0} is gone")]
    Gone(u32),
    /// It is not in one container.
    #[error("process {pid}: {source}")]
    Cgroup {
        /// The process.
        pid: u32,
        /// What its cgroup file says.
        source: CgroupError,
    },
    /// It is in a container that is not this drone's.
    #[error("process {pid} is in container {container}, which is not this drone's")]
    Container {
        /// The process.
        pid: u32,
        /// The container it is in.
        container: String,
    },
    /// The drone has no container yet, or its record is gone.
    #[error("the drone has no container")]
    NoContainer,
    /// More processes write to one connection than a client of ours has.
    #[error("more than {MAX_WRITERS} processes wrote to one connection")]
    Writers,
    /// The kernel refused to say.
    #[error("cannot look at the peer: {0}")]
    Kernel(#[from] Errno),
}

/// A process that can be told from a later one with the same pid.
#[derive(Debug)]
struct Process {
    pid: u32,
    handle: Handle,
}

#[derive(Debug)]
enum Handle {
    /// From `SO_PEERPIDFD` (Linux 6.5): made by the kernel for the very process that connected.
    Pidfd(OwnedFd),
    /// An open `/proc/<pid>`: fails with `ESRCH` once that process is gone.
    Directory(OwnedFd),
}

impl Process {
    /// Opens `/proc/<pid>`.
    fn open(pid: u32) -> Result<Self, Refusal> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(proc_path(pid, ""), flags, Mode::empty()) {
            Ok(directory) => Ok(Self { pid, handle: Handle::Directory(directory) }),
            Err(Errno::NOENT | Errno::SRCH) => Err(Refusal::Gone(pid)),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Reads one of its files below `/proc` through the handle.
    fn read<'a>(&self, name: &str, buffer: &'a mut [u8]) -> Result<Cow<'a, str>, Refusal> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = match &self.handle {
            Handle::Pidfd(_) => rustix::fs::open(proc_path(self.pid, name), flags, Mode::empty()),
            Handle::Directory(directory) => {
                rustix::fs::openat(directory, name, flags, Mode::empty())
            }
        };
        file.and_then(|file| read_some(&file, buffer)).map_err(|errno| match errno {
            Errno::NOENT | Errno::SRCH => Refusal::Gone(self.pid),
            other => other.into(),
        })
    }

    /// Whether it runs still, and so has had its pid all the time since the handle was taken.
    fn is_alive(&self) -> Result<bool, Refusal> {
        match &self.handle {
            Handle::Pidfd(pidfd) => {
                // A pidfd becomes readable when its process has ended (pidfd_open(2)).
                let mut polled = [PollFd::new(pidfd, PollFlags::IN)];
                Ok(rustix::event::poll(&mut polled, Some(&Timespec::default()))? == 0)
            }
            Handle::Directory(_) => match self.read("stat", &mut [0; CGROUP_FILE_MAX]) {
                Ok(stat) => Ok(!is_zombie(&stat)),
                Err(Refusal::Gone(_)) => Ok(false),
                Err(refusal) => Err(refusal),
            },
        }
    }

    /// Compares the process's container with `container`, then proves that it was this process.
    fn attest(&self, container: &str) -> Result<(), Refusal> {
        let verdict = self.compare(container);
        if self.is_alive()? { verdict } else { Err(Refusal::Gone(self.pid)) }
    }

    fn compare(&self, container: &str) -> Result<(), Refusal> {
        let mut buffer = [0; CGROUP_FILE_MAX];
        // On v1 the kernel writes down a dozen hierarchies, a microsecond each. One that says yes
        // is enough, for only the host puts processes there; a no is given by the whole file.
        if own_cpusets() {
            let cpuset = self.read("cpuset", &mut buffer)?;
            if cgroup::container_of(cpuset.trim_end()) == Some(container) {
                return Ok(());
            }
        }
        match cgroup::container_id(&self.read("cgroup", &mut buffer)?) {
            Ok(found) if found == container => Ok(()),
            Ok(found) => Err(Refusal::Container { pid: self.pid, container: found.to_owned() }),
            Err(source) => Err(Refusal::Cgroup { pid: self.pid, source }),
        }
    }
}

/// Whether this machine has cpusets in a hierarchy of cgroup v1.
fn own_cpusets() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        std::fs::read_to_string("/proc/self/cgroup")
            .is_ok_and(|text| cgroup::has_own_cpusets(&text))
    })
}

/// `/proc/<pid>/<name>`.
fn proc_path(pid: u32, name: &str) -> String {
    format!("/proc/{pid}/{name}")
}

/// Reads a file of `/proc`, up to the buffer. Those read here are one record each, which the kernel
/// gives whole where there is room: after a read that left some no second one asks for the end.
fn read_some<'a>(file: &OwnedFd, buffer: &'a mut [u8]) -> rustix::io::Result<Cow<'a, str>> {
    let mut length = 0;
    while let Some(room) = buffer.get_mut(length..).filter(|room| !room.is_empty()) {
        match rustix::io::read(file, room) {
            Ok(0) => break,
            Ok(count) => {
                length += count;
                let read = buffer.get(..length).unwrap_or_default();
                if length < buffer.len() && read.ends_with(b"\n") {
                    break;
                }
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()))
}

/// Whether a `/proc/<pid>/stat` is that of a process that has ended but was not waited for. The
/// state follows the last `)`: the name before it may hold anything.
fn is_zombie(stat: &str) -> bool {
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    matches!(state, Some('Z' | 'X') | None)
}

/// The other end of one connection: who connected, and whoever else wrote to it.
#[derive(Debug)]
pub struct Peer {
    connector: Process,
    writers: Vec<Process>,
    /// A writer that could not be held: sticks to the connection.
    refused: Option<Refusal>,
}

impl Peer {
    /// Takes a handle on the process that connected `socket`; call it right after accept.
    ///
    /// # Errors
    /// When the kernel names no process, or it is gone.
    pub fn of(socket: impl AsFd) -> Result<Self, Refusal> {
        let credentials = getsockopt(&socket.as_fd(), PeerCredentials).map_err(same)?;
        let pid = u32::try_from(credentials.pid()).unwrap_or(0);
        if pid == 0 {
            return Err(Refusal::NoPid);
        }
        let connector = match pidfd(socket.as_fd())? {
            Some(pidfd) => Process { pid, handle: Handle::Pidfd(pidfd) },
            None => Process::open(pid)?,
        };
        Ok(Self { connector, writers: Vec::new(), refused: None })
    }

    /// Notes who wrote what was just read; `None`: the kernel did not say, which is a refusal.
    pub fn wrote(&mut self, pid: Option<u32>) {
        let known =
            |pid| pid == self.connector.pid || self.writers.iter().any(|writer| writer.pid == pid);
        if self.refused.is_some() || pid.is_some_and(known) {
            return;
        }
        let held = match pid {
            None | Some(0) => Err(Refusal::NoPid),
            Some(_) if self.writers.len() == MAX_WRITERS => Err(Refusal::Writers),
            Some(pid) => Process::open(pid),
        };
        match held {
            Ok(writer) => self.writers.push(writer),
            Err(refusal) => self.refused = Some(refusal),
        }
    }

    /// Proves that everybody who wrote to this connection so far is a process of the drone.
    ///
    /// # Errors
    /// With the reason, which is for the log alone.
    pub fn attest(&self, record: Arc<Record>) -> Result<Attested, Refusal> {
        if let Some(refusal) = &self.refused {
            return Err(refusal.clone());
        }
        let container = record.container_id.as_deref().ok_or(Refusal::NoContainer)?;
        for writer in &self.writers {
            writer.attest(container)?;
        }
        // Last: that the connector lives proves that its pid stood for it in all reads before.
        self.connector.attest(container)?;
        Ok(Attested { record, pid: self.connector.pid })
    }

    /// Attests one request that `writer` wrote, where that is the connector and nobody else wrote
    /// before. `None` where it is not so, or not proven: [`Peer::attest`] looks anew, and says why.
    pub fn attest_alone(&self, record: Arc<Record>, writer: Option<u32>) -> Option<Attested> {
        self.is_alone(writer).then(|| self.attest(record).ok()).flatten()
    }

    fn is_alone(&self, writer: Option<u32>) -> bool {
        writer == Some(self.connector.pid) && self.writers.is_empty() && self.refused.is_none()
    }

    /// Proves once more, after a wait, that who connected lives still: what it was attested as, it
    /// is, for a process does not leave its container.
    ///
    /// # Errors
    /// [`Refusal::Gone`].
    pub fn remains(&self) -> Result<(), Refusal> {
        if self.connector.is_alive()? { Ok(()) } else { Err(Refusal::Gone(self.connector.pid)) }
    }

    /// The process that connected.
    pub fn pid(&self) -> u32 {
        self.connector.pid
    }
}

/// The peer's pidfd; `None` where the kernel has none (before 6.5).
fn pidfd(socket: BorrowedFd<'_>) -> Result<Option<OwnedFd>, Refusal> {
    match getsockopt(&socket, PeerPidfd).map_err(same) {
        Ok(pidfd) => Ok(Some(pidfd)),
        Err(Errno::NOPROTOOPT | Errno::INVAL) => Ok(None),
        Err(Errno::SRCH | Errno::NODATA) => Err(Refusal::NoPid),
        Err(errno) => Err(errno.into()),
    }
}

/// The same error in the words of the other crate: nix alone has `SO_PEERPIDFD`.
fn same(errno: nix::errno::Errno) -> Errno {
    Errno::from_raw_os_error(errno as i32)
}

/// A request that was written by processes of one drone alone.
#[derive(Debug)]
pub struct Attested {
    record: Arc<Record>,
    pid: u32,
}

impl Attested {
    /// The drone.
    pub fn drone(&self) -> &DroneName {
        &self.record.drone
    }

    /// Its record at the time of the proof.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The process that connected.
    pub fn pid(&self) -> u32 {
        self.pid
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    /// Names the socket that a run of this test binary connects to.
    const SOCKET: &str = "HATCHERY_TEST_SOCKET";

    fn record(container: Option<&str>) -> Arc<Record> {
        let value = serde_json::json!({
            "drone": "acme-web",
            "repo": { "host": "github.com", "name": "acme/web" },
            "repo_id": 7,
            "grants": [],
            "grant_version": 1,
            "desired": "running",
            "container_id": container,
            "created_at": "2026-01-01T00:00:00Z",
        });
        Arc::new(serde_json::from_value(value).expect("a record"))
    }

    #[test]
    fn a_process_elsewhere_is_refused_whatever_the_container() {
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        let mut peer = Peer::of(&ours).expect("this process");
        assert_eq!(peer.pid(), std::process::id());
        peer.wrote(Some(std::process::id()));
        assert!(peer.remains().is_ok());
        assert_eq!(peer.attest(record(None)).expect_err("none"), Refusal::NoContainer);
        let refusal = peer.attest(record(Some(&"0".repeat(64)))).expect_err("elsewhere");
        assert!(matches!(refusal, Refusal::Cgroup { .. } | Refusal::Container { .. }), "{refusal}");
    }

    #[test]
    fn only_what_the_connector_alone_wrote_is_attested_as_such() {
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        let mut peer = Peer::of(&ours).expect("this process");
        let own = std::process::id();
        assert!(peer.is_alone(Some(own)));
        for writer in [None, Some(0), Some(1), Some(own + 1)] {
            assert!(!peer.is_alone(writer), "{writer:?}");
        }
        // This process is in no container.
        assert!(peer.attest_alone(record(Some(&"0".repeat(64))), Some(own)).is_none());
        peer.wrote(Some(1));
        assert!(!peer.is_alone(Some(own)));
    }

    #[test]
    fn a_writer_that_cannot_be_held_taints_the_connection() {
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        for writer in [None, Some(0)] {
            let mut peer = Peer::of(&ours).expect("this process");
            peer.wrote(writer);
            peer.wrote(Some(std::process::id()));
            let refusal = peer.attest(record(Some(&"0".repeat(64)))).expect_err("tainted");
            assert_eq!(refusal, Refusal::NoPid);
        }
    }

    /// Not a test of its own: what [`who_has_ended_is_refused`] runs.
    #[test]
    fn connects_and_ends() {
        if let Some(socket) = std::env::var_os(SOCKET) {
            UnixStream::connect(socket).expect("connect");
        }
    }

    #[test]
    fn who_has_ended_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("s");
        let listener = UnixListener::bind(&socket).expect("bind");
        let ended = std::process::Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", "credentials::attest::tests::connects_and_ends"])
            .env(SOCKET, &socket)
            .output()
            .expect("run");
        assert!(ended.status.success());
        let (stream, _) = listener.accept().expect("accept");
        let refusal = match Peer::of(&stream) {
            Ok(peer) => peer.attest(record(Some(&"0".repeat(64)))).expect_err("ended"),
            Err(refusal) => refusal,
        };
        assert!(matches!(refusal, Refusal::Gone(_) | Refusal::NoPid), "{refusal}");
    }

    #[test]
    fn a_directory_handle_tells_the_living_from_the_dead() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let process = Process::open(child.id()).expect("alive");
        assert!(process.is_alive().expect("a verdict"));
        child.kill().expect("kill");
        child.wait().expect("wait");
        assert!(!process.is_alive().expect("a verdict"));
        assert_eq!(process.attest(&"0".repeat(64)), Err(Refusal::Gone(child.id())));
    }

    #[test]
    fn a_process_that_was_not_waited_for_counts_as_gone() {
        assert!(is_zombie("12 (a) b (c) Z 1 12 12"));
        assert!(is_zombie("12 (a"));
        assert!(!is_zombie("12 (x) Z) S 1 12 12"));
    }
}

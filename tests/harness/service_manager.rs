//! As much of systemd as a host agent can tell: the notify socket (`sd_notify(3)`), descriptors that
//! are passed at start (`sd_listen_fds(3)`), and a store for what the service hands over. Where the
//! manuals leave a choice, it does what systemd does.

use std::fs::File;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use crate::wait_until;

/// `SD_LISTEN_FDS_START`.
const FIRST: i32 = 3;

/// `FileDescriptorStoreMax=`.
const STORE_MAX: usize = 64;

/// Longest wait for a message.
const LIMIT: Duration = Duration::from_secs(40);

/// A service manager with one service, `Type=notify`, `NotifyAccess=main`. Its sockets and store
/// live as long as it does, whatever becomes of the service.
#[derive(Debug)]
pub struct ServiceManager {
    notify: PathBuf,
    /// The socket unit's.
    control: UnixListener,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The service's process; messages of others do not count.
    main: Option<u32>,
    store: Vec<(String, OwnedFd)>,
    /// Assignments since the service was started, in order, but those about the store.
    told: Vec<String>,
}

impl ServiceManager {
    /// Listens on `control` for the service, as hatchery.socket does, and in `directory` for what
    /// the service has to say.
    pub fn start(directory: &Path, control: &Path) -> Self {
        let notify = directory.join("notify");
        let socket = UnixDatagram::bind(&notify).expect("the notify socket");
        rustix::net::sockopt::set_socket_passcred(&socket, true).expect("credentials of senders");
        let parent = control.parent().expect("a directory");
        std::fs::create_dir_all(parent).expect("the runtime directory");
        let control_socket = UnixListener::bind(control).expect("the control socket");
        std::fs::set_permissions(control, std::fs::Permissions::from_mode(0o660)).expect("a mode");
        let seen = Arc::<Mutex<Seen>>::default();
        let told = Arc::clone(&seen);
        // Ends with the test run, as the socket's end would be a message of nobody's.
        std::thread::spawn(move || {
            while let Some(message) = Message::receive(&socket) {
                lock(&told).take(message);
            }
        });
        Self { notify, control: control_socket, seen }
    }

    /// Has `command` started as the service: with everything that is passed to it.
    pub fn prepare(&self, command: Command) -> Command {
        let mut seen = self.lock();
        seen.main = None;
        seen.told.clear();
        seen.drop_broken();
        let duplicate = |fd: &OwnedFd| fd.try_clone().expect("a duplicate");
        let control = OwnedFd::from(self.control.try_clone().expect("a duplicate"));
        // The socket unit's first, then the store's.
        let passed = std::iter::once(("control".to_owned(), control))
            .chain(seen.store.iter().map(|(name, fd)| (name.clone(), duplicate(fd))));
        let (names, descriptors): (Vec<_>, Vec<_>) = passed.unzip();
        let mut service = with_own_pid(&command);
        service.env("NOTIFY_SOCKET", &self.notify);
        service.env("LISTEN_FDS", names.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        let mappings = (FIRST..).zip(descriptors);
        let mappings = mappings.map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
        service.fd_mappings(mappings.collect()).expect("numbers of its own for each");
        service
    }

    /// Which process it started: that one may speak.
    pub fn started(&self, pid: u32) {
        self.lock().main = Some(pid);
    }

    /// Waits until the service has told this since it was started.
    pub fn wait_for(&self, assignment: &str) {
        wait_until(&format!("{assignment} of the service"), LIMIT, || {
            self.told().iter().any(|told| told == assignment).then_some(())
        });
    }

    /// What the service has told since it was started.
    pub fn told(&self) -> Vec<String> {
        self.lock().told.clone()
    }

    /// Forgets what the service has told.
    pub fn forget_told(&self) {
        self.lock().told.clear();
    }

    /// Names of what is in the store.
    pub fn stored(&self) -> Vec<String> {
        self.lock().store.iter().map(|(name, _)| name.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }
}

impl Seen {
    fn take(&mut self, message: Message) {
        // NotifyAccess=main. A service that was just started is known by its first message: who
        // else would have been given the socket's name.
        if self.main.is_some_and(|main| main != message.pid) {
            return;
        }
        let value = |name: &str| {
            let prefix = format!("{name}=");
            message.lines.iter().rev().find_map(|line| line.strip_prefix(&prefix))
        };
        let name = value("FDNAME").filter(|name| is_name(name));
        if value("FDSTORE") == Some("1") {
            let name = name.unwrap_or("stored").to_owned();
            for descriptor in message.descriptors {
                let known = self.store.iter().any(|(_, one)| same(one, &descriptor));
                if !known && self.store.len() < STORE_MAX {
                    self.store.push((name.clone(), descriptor));
                }
            }
        } else if value("FDSTOREREMOVE") == Some("1") {
            if let Some(name) = name {
                self.store.retain(|(known, _)| known != name);
            }
        } else {
            self.told.extend(message.lines);
        }
    }

    /// Descriptors with `EPOLLHUP` or `EPOLLERR` leave the store by themselves.
    fn drop_broken(&mut self) {
        self.store.retain(|(_, descriptor)| {
            let mut polled = [PollFd::new(descriptor, PollFlags::empty())];
            let events = rustix::event::poll(&mut polled, Some(&Timespec::default()));
            events.expect("descriptors of ours") == 0
        });
    }
}

/// A datagram on the notify socket.
struct Message {
    pid: u32,
    lines: Vec<String>,
    descriptors: Vec<OwnedFd>,
}

impl Message {
    fn receive(socket: &UnixDatagram) -> Option<Self> {
        let mut bytes = [0; 4096];
        let mut space =
            [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253), ScmCredentials(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let got = rustix::net::recvmsg(socket.as_fd(), &mut parts, &mut control, flags).ok()?;
        let (mut pid, mut descriptors) = (0, Vec::new());
        for message in control.drain() {
            match message {
                RecvAncillaryMessage::ScmRights(passed) => descriptors.extend(passed),
                RecvAncillaryMessage::ScmCredentials(credentials) => {
                    pid = credentials.pid.as_raw_nonzero().get().unsigned_abs();
                }
                _ => {}
            }
        }
        let text = String::from_utf8_lossy(bytes.get(..got.bytes)?).into_owned();
        let lines = text.lines().map(str::to_owned).collect();
        Some(Self { pid, lines, descriptors })
    }
}

/// ASCII without control characters and colons, 255 at most.
fn is_name(name: &str) -> bool {
    let fine = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b':';
    !name.is_empty() && name.len() <= 255 && name.bytes().all(fine)
}

/// Whether two descriptors are of one object.
fn same(one: &OwnedFd, other: &OwnedFd) -> bool {
    let id = |fd: &OwnedFd| {
        let file = File::from(fd.try_clone().expect("a duplicate"));
        let found = file.metadata().expect("metadata");
        (found.dev(), found.ino())
    };
    id(one) == id(other)
}

/// The same command by way of a shell that knows its own process id: it stays the same to the end.
fn with_own_pid(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "LISTEN_PID=$$ exec \"$@\"", "sh"]);
    shell.arg(command.get_program()).args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    shell
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The service manager, by systemd's protocols: what it hands over (`sd_listen_fds(3)`), what it is
//! told (`sd_notify(3)`), and the descriptors that it keeps (`FDSTORE=1`).

use std::ffi::{OsStr, OsString};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use rustix::time::ClockId;

use crate::config::env;
use crate::credentials::keeper::Keeper;

/// Number of the first descriptor that is passed.
const FIRST: RawFd = 3;

/// More than any unit may keep: a number beyond this is a mistake.
const MOST: RawFd = 1 << 16;

/// How long the service manager may take for a message; it reads them before anything else.
const LIMIT: Duration = Duration::from_secs(2);

/// The service manager that started this process.
#[derive(Debug)]
pub struct ServiceManager {
    socket: OsString,
}

impl ServiceManager {
    /// The one that wants to hear from this process; `None` where nobody does.
    pub fn of_process() -> Option<Self> {
        let socket = std::env::var_os(env::NOTIFY_SOCKET).filter(|socket| !socket.is_empty())?;
        Some(Self { socket })
    }

    /// Start is finished, or a reload; all that was opened answers.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn ready(&self, status: &str) -> io::Result<()> {
        self.send(&format!("READY=1\nSTATUS={status}\n"), None)
    }

    /// A reload begins; [`ServiceManager::ready`] ends it.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn reloading(&self) -> io::Result<()> {
        let now = rustix::time::clock_gettime(ClockId::Monotonic);
        let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}\n"), None)
    }

    /// The end begins.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn stopping(&self) -> io::Result<()> {
        self.send("STOPPING=1\n", None)
    }

    fn send(&self, message: &str, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let address = address(&self.socket)?;
        let flags = SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        set_socket_timeout(&socket, Timeout::Send, Some(LIMIT))?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = descriptor.as_slice();
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::Error::other("no room for a descriptor"));
        }
        let text = [IoSlice::new(message.as_bytes())];
        rustix::net::sendmsg_addr(&socket, &address, &text, &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

impl Keeper for ServiceManager {
    fn keep(&self, name: &str, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        self.send(&format!("FDSTORE=1\nFDNAME={name}\n"), Some(descriptor))
    }

    fn let_go(&self, name: &str) -> io::Result<()> {
        self.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}\n"), None)
    }
}

/// A path, or with `@` before it a name in the abstract namespace.
fn address(socket: &OsStr) -> io::Result<SocketAddrUnix> {
    match socket.as_bytes() {
        [b'@', name @ ..] => Ok(SocketAddrUnix::new_abstract_name(name)?),
        path => Ok(SocketAddrUnix::new(path)?),
    }
}

/// What the service manager passed to this process, with its names: sockets that it listens on for
/// us, and what [`Keeper::keep`] gave it. Call it once, and before anything else opens files.
///
/// # Errors
/// When what the environment says is not so.
pub fn passed() -> io::Result<Vec<(String, OwnedFd)>> {
    let variable = |name| std::env::var(name).ok();
    let (pid, count) = (variable(env::LISTEN_PID), variable(env::LISTEN_FDS));
    let names = variable(env::LISTEN_FDNAMES);
    let named = described(std::process::id(), pid.as_deref(), count.as_deref(), names.as_deref())?;
    if named.is_empty() {
        return Ok(vec![]);
    }
    // All of them before the first error: none must stay open that nobody serves.
    let owned: Vec<io::Result<_>> =
        named.into_iter().map(|(name, number)| Ok((name, own(number)?))).collect();
    owned.into_iter().collect()
}

/// A descriptor with an owner, closed at exec, for a number that nobody owns: this process hands it
/// to itself. (`pidfd_getfd` does the same and is for debuggers, which the unit's filter refuses.)
fn own(number: RawFd) -> io::Result<OwnedFd> {
    let (from, to) = UnixStream::pair()?;
    let (text, rights) = ([IoSlice::new(&[0])], [number]);
    let rights = [ControlMessage::ScmRights(&rights)];
    let sent = sendmsg::<()>(from.as_raw_fd(), &text, &rights, MsgFlags::empty(), None);
    nix::unistd::close(number)?;
    sent?;
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut text = [IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(&to, &mut text, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let owned = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    owned.ok_or_else(|| io::Error::other("a passed descriptor did not arrive"))
}

/// Names and numbers of what the variables say is passed to the process `me`.
fn described(
    me: u32,
    pid: Option<&str>,
    count: Option<&str>,
    names: Option<&str>,
) -> io::Result<Vec<(String, RawFd)>> {
    let wrong = |variable: &str, value: &str| {
        let message = format!("{variable} is {value:?}, which is not as sd_listen_fds(3) has it");
        io::Error::new(io::ErrorKind::InvalidInput, message)
    };
    let (Some(pid), Some(count)) = (pid, count) else { return Ok(vec![]) };
    let pid_number: u32 = pid.parse().map_err(|_| wrong(env::LISTEN_PID, pid))?;
    if pid_number != me {
        return Ok(vec![]);
    }
    let count_number: RawFd = count.parse().map_err(|_| wrong(env::LISTEN_FDS, count))?;
    if !(0..=MOST).contains(&count_number) {
        return Err(wrong(env::LISTEN_FDS, count));
    }
    let numbers = FIRST..FIRST + count_number;
    let Some(names) = names.filter(|_| count_number > 0) else {
        return Ok(numbers.map(|number| ("unknown".to_owned(), number)).collect());
    };
    let list: Vec<_> = names.split(':').map(str::to_owned).collect();
    if list.len() == numbers.len() {
        Ok(list.into_iter().zip(numbers).collect())
    } else {
        Err(wrong(env::LISTEN_FDNAMES, names))
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use super::*;

    /// A message as the service manager gets it: text and number of descriptors.
    fn received(socket: &UnixDatagram) -> (String, usize) {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [io::IoSliceMut::new(&mut bytes)];
        let got = rustix::net::recvmsg(socket, &mut parts, &mut control, RecvFlags::empty())
            .expect("a message");
        let descriptors = control
            .drain()
            .map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => descriptors.count(),
                _ => 0,
            })
            .sum();
        (String::from_utf8_lossy(&bytes[..got.bytes]).into_owned(), descriptors)
    }

    #[test]
    fn the_service_manager_understands_every_message() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let listening = UnixDatagram::bind(&path).expect("bind");
        let manager = ServiceManager { socket: path.into() };
        manager.ready("50 drones").expect("sent");
        assert_eq!(received(&listening), ("READY=1\nSTATUS=50 drones\n".to_owned(), 0));
        manager.stopping().expect("sent");
        assert_eq!(received(&listening), ("STOPPING=1\n".to_owned(), 0));
        manager.reloading().expect("sent");
        let (reloading, _) = received(&listening);
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("the time");
        assert!(time.trim_end().parse::<u64>().is_ok_and(|time| time > 0), "{reloading}");
        manager.keep("drone-a.1.2", listening.as_fd()).expect("sent");
        assert_eq!(received(&listening), ("FDSTORE=1\nFDNAME=drone-a.1.2\n".to_owned(), 1));
        manager.let_go("drone-a.1.2").expect("sent");
        assert_eq!(received(&listening), ("FDSTOREREMOVE=1\nFDNAME=drone-a.1.2\n".to_owned(), 0));
    }

    #[test]
    fn it_may_listen_in_the_abstract_namespace() {
        let name = format!("hatchery-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("an address");
        let listening = UnixDatagram::bind_addr(&address).expect("bind");
        let manager = ServiceManager { socket: format!("@{name}").into() };
        manager.ready("").expect("sent");
        assert_eq!(received(&listening).0, "READY=1\nSTATUS=\n");
    }

    #[test]
    fn one_that_is_gone_is_an_error_and_no_wait() {
        let manager = ServiceManager { socket: "/nonexistent/notify".into() };
        manager.ready("").expect_err("nobody there");
    }

    #[test]
    fn a_number_gets_an_owner() {
        use std::io::Write as _;
        use std::os::fd::IntoRawFd as _;
        let (one, other) = UnixStream::pair().expect("a pair");
        let mut owned = UnixStream::from(own(one.into_raw_fd()).expect("owned"));
        let flags = rustix::io::fcntl_getfd(&owned).expect("flags");
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        owned.write_all(b"x").expect("written");
        drop(owned);
        let all = std::io::read_to_string(other).expect("ends, as no duplicate is left");
        assert_eq!(all, "x");
    }

    #[test]
    fn what_is_passed_has_a_name_and_a_number() {
        let passed = |pid, count, names| described(7, pid, count, names);
        let two = [("control".to_owned(), 3), ("drone-a.1.2".to_owned(), 4)];
        assert_eq!(passed(Some("7"), Some("2"), Some("control:drone-a.1.2")).expect("two"), two);
        let unnamed = passed(Some("7"), Some("1"), None).expect("one");
        assert_eq!(unnamed, [("unknown".to_owned(), 3)]);
        // Another process's, or nothing.
        for (pid, count) in [(Some("8"), Some("2")), (None, Some("2")), (Some("7"), None)] {
            assert_eq!(passed(pid, count, None).expect("nothing"), []);
        }
        for (pid, count, names) in [
            ("x", "1", "a"),
            ("7", "-1", "a"),
            ("7", "99999999", "a"),
            ("7", "2", "a"),
            ("7", "1", "a:b"),
        ] {
            passed(Some(pid), Some(count), Some(names)).expect_err("wrong");
        }
    }
}

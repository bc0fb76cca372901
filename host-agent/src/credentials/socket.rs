//! Drones' sockets on disk: `sockets/<drone>/agent.sock`.
//!
//! The directory is what a drone has mounted, so it is never made anew while there is one. All
//! names are looked up below an open directory and no symbolic link is followed. A socket is
//! bound under another name, given its options and mode, and then moved into place: nobody meets
//! one that is half made, and a stale one is replaced without a gap.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use hatchery_protocol::DroneName;
use hatchery_protocol::paths::SOCKET_NAME;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::keeper::FileId;

/// Only the host agent lists the drones.
const SOCKETS_MODE: u32 = 0o700;
/// Any user of the drone passes through, none lists or writes.
const DRONE_MODE: u32 = 0o711;
/// Any user of the drone connects: attestation decides.
const SOCKET_MODE: u32 = 0o666;
/// Where a new socket is bound first.
const FRESH_NAME: &str = "agent.sock.new";

/// Makes the drone's directory where it is missing and listens on its socket. Every connection
/// that it accepts tells of each read who wrote it.
///
/// # Errors
/// When something there is not ours or not what it must be.
pub fn listen(sockets: &Path, drone: &DroneName) -> io::Result<UnixListener> {
    let directory = drone_directory(sockets, drone)?;
    refuse_other(&directory, SOCKET_NAME)?;
    refuse_other(&directory, FRESH_NAME)?;
    remove(&directory, FRESH_NAME)?;
    // By way of the open directory: no component can be swapped, and no path is too long.
    let bound = PathBuf::from(format!("/proc/self/fd/{}/{FRESH_NAME}", directory.as_raw_fd()));
    let listener = UnixListener::bind(&bound)?;
    rustix::net::sockopt::set_socket_passcred(&listener, true)?;
    rustix::fs::chmodat(
        &directory,
        FRESH_NAME,
        Mode::from_raw_mode(SOCKET_MODE),
        AtFlags::empty(),
    )?;
    rustix::fs::renameat(&directory, FRESH_NAME, &directory, SOCKET_NAME)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Which file the drone's socket is.
///
/// # Errors
/// When there is none.
pub fn file(sockets: &Path, drone: &DroneName) -> io::Result<FileId> {
    let directory = open_below(&open_directory(sockets)?, drone.as_str())?;
    let stat = rustix::fs::statat(&directory, SOCKET_NAME, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileId { device: stat.st_dev, inode: stat.st_ino })
}

/// Makes a listening socket that was bound to `bound` before ready to be accepted on, as
/// [`listen`] does.
///
/// # Errors
/// When it is not the socket that the drone has mounted.
pub fn adopt(
    sockets: &Path,
    drone: &DroneName,
    listener: &UnixListener,
    bound: FileId,
) -> io::Result<()> {
    use rustix::net::{AddressFamily, SocketType, sockopt};
    let other = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    let family = (sockopt::socket_domain(listener)?, sockopt::socket_type(listener)?);
    let listens = sockopt::socket_acceptconn(listener)?;
    if family != (AddressFamily::UNIX, SocketType::STREAM) || !listens {
        return Err(other("it is no listening Unix socket"));
    }
    // Owners and modes, as of a new one.
    let directory = drone_directory(sockets, drone)?;
    refuse_other(&directory, SOCKET_NAME)?;
    if file(sockets, drone)? != bound {
        return Err(other("another socket has taken its place"));
    }
    sockopt::set_socket_passcred(listener, true)?;
    listener.set_nonblocking(true)
}

/// Removes the drone's socket and directory. Nothing happens when they are gone.
///
/// # Errors
/// When something is in it that is not ours, or it cannot be removed.
pub fn remove_directory(sockets: &Path, drone: &DroneName) -> io::Result<()> {
    let sockets = open_directory(sockets)?;
    let directory = match open_below(&sockets, drone.as_str()) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    for name in [SOCKET_NAME, FRESH_NAME] {
        refuse_other(&directory, name)?;
        remove(&directory, name)?;
    }
    Ok(rustix::fs::unlinkat(&sockets, drone.as_str(), AtFlags::REMOVEDIR)?)
}

fn drone_directory(sockets: &Path, drone: &DroneName) -> io::Result<OwnedFd> {
    match rustix::fs::mkdir(sockets, Mode::from_raw_mode(SOCKETS_MODE)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    let sockets = open_directory(sockets)?;
    own(&sockets, SOCKETS_MODE)?;
    match rustix::fs::mkdirat(&sockets, drone.as_str(), Mode::from_raw_mode(DRONE_MODE)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    let directory = open_below(&sockets, drone.as_str())?;
    own(&directory, DRONE_MODE)?;
    Ok(directory)
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, DIRECTORY, Mode::empty())?)
}

fn open_below(parent: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(parent, name, DIRECTORY, Mode::empty())
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Makes sure of owner and mode, whatever the umask was.
fn own(directory: &OwnedFd, mode: u32) -> io::Result<()> {
    let stat = rustix::fs::fstat(directory)?;
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        let message = format!("a socket directory belongs to user {}, not to ours", stat.st_uid);
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    if stat.st_mode & 0o7777 != mode {
        rustix::fs::fchmod(directory, Mode::from_raw_mode(mode))?;
    }
    Ok(())
}

/// Refuses to touch what is there unless it is a socket.
fn refuse_other(directory: &OwnedFd, name: &str) -> io::Result<()> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Socket => Ok(()),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("{name} in the drone's socket directory is not a socket; remove it by hand"),
        )),
    }
}

fn remove(directory: &OwnedFd, name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn drone() -> DroneName {
        "acme-web".parse().expect("a name")
    }

    #[test]
    fn the_directory_outlives_a_restart_and_the_socket_answers_again() {
        let state = tempfile::tempdir().expect("a directory");
        let sockets = state.path().join("sockets");
        let first = listen(&sockets, &drone()).expect("listen");
        let directory = sockets.join("acme-web");
        let inode = directory.metadata().expect("metadata").ino();
        drop(first);
        let _second = listen(&sockets, &drone()).expect("listen again");
        UnixStream::connect(directory.join(SOCKET_NAME)).expect("connect");
        assert_eq!(directory.metadata().expect("metadata").ino(), inode);
        for (path, mode) in
            [(&sockets, 0o700), (&directory, 0o711), (&directory.join(SOCKET_NAME), 0o666)]
        {
            let permissions = path.metadata().expect("metadata").permissions();
            assert_eq!(permissions.mode() & 0o777, mode, "{}", path.display());
        }
        assert!(!directory.join(FRESH_NAME).exists());
    }

    #[test]
    fn a_long_path_is_no_hindrance() {
        let state = tempfile::tempdir().expect("a directory");
        let sockets = state.path().join("s".repeat(120));
        listen(&sockets, &drone()).expect("listen");
    }

    #[test]
    fn what_is_not_a_socket_is_left_alone() {
        let state = tempfile::tempdir().expect("a directory");
        let (sockets, elsewhere) = (state.path().join("sockets"), state.path().join("elsewhere"));
        drop(listen(&sockets, &drone()).expect("listen"));
        std::fs::write(&elsewhere, "precious").expect("write");
        let socket = sockets.join("acme-web").join(SOCKET_NAME);
        std::fs::remove_file(&socket).expect("remove");
        std::os::unix::fs::symlink(&elsewhere, &socket).expect("a link");
        assert!(listen(&sockets, &drone()).is_err());
        assert!(remove_directory(&sockets, &drone()).is_err());
        assert_eq!(std::fs::read_to_string(&elsewhere).expect("read"), "precious");
    }

    #[test]
    fn a_link_in_place_of_the_directory_is_not_followed() {
        let state = tempfile::tempdir().expect("a directory");
        let (sockets, elsewhere) = (state.path().join("sockets"), state.path().join("elsewhere"));
        drop(listen(&sockets, &"acme-api".parse().expect("a name")).expect("listen"));
        std::fs::create_dir(&elsewhere).expect("a directory");
        std::os::unix::fs::symlink(&elsewhere, sockets.join("acme-web")).expect("a link");
        assert!(listen(&sockets, &drone()).is_err());
        assert_eq!(std::fs::read_dir(&elsewhere).expect("list").count(), 0);
    }

    #[test]
    fn removing_leaves_nothing_and_may_be_repeated() {
        let state = tempfile::tempdir().expect("a directory");
        let sockets = state.path().join("sockets");
        drop(listen(&sockets, &drone()).expect("listen"));
        remove_directory(&sockets, &drone()).expect("remove");
        remove_directory(&sockets, &drone()).expect("again");
        assert_eq!(std::fs::read_dir(&sockets).expect("list").count(), 0);
    }
}

//! The control socket's file, and the lock that makes this host agent the only one.

use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _,
};
use std::os::unix::net::{UnixListener as BlockingListener, UnixStream as BlockingStream};
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::net::sockopt;
use tokio::net::UnixListener;

use crate::config::Paths;
use crate::control::{CONTROL_GROUP, control_group};
use crate::lifecycle::{Failure, FailureKind};

/// Makes the runtime and the state directory where missing, and locks the latter.
pub(super) fn lock_state(paths: &Paths) -> Result<File, Failure> {
    make_directory(&paths.runtime, 0o755)?;
    make_directory(&paths.state, 0o700)?;
    let path = paths.state.join("serve.lock");
    let lock = File::create(&path).map_err(|error| cannot("write", &path, &error))?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(Errno::WOULDBLOCK) => Err(runs_already(&paths.state)),
        Err(error) => Err(cannot("lock", &path, &error)),
    }
}

fn make_directory(path: &Path, mode: u32) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(|error| cannot("make the directory", path, &error))
}

/// Binds the socket. A socket file on which nobody answers was left by a host agent that was
/// killed, and is replaced.
pub(super) fn bind(path: &Path) -> Result<UnixListener, Failure> {
    match BlockingStream::connect(path) {
        Ok(_) => return Err(runs_already(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && is_socket(path) => {
            std::fs::remove_file(path).map_err(|error| cannot("replace", path, &error))?;
        }
        Err(error) => return Err(cannot("use", path, &error)),
    }
    // Until its mode is widened here, nobody but this user can connect to it.
    let listener = UnixListener::bind(path).map_err(|error| cannot("bind", path, &error))?;
    let mode = if hand_to_group(path)? { 0o660 } else { 0o600 };
    std::fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(|error| cannot("set the mode of", path, &error))?;
    Ok(listener)
}

/// Hands the socket to the group, where there is one; returns whether its group may have it then.
/// An ordinary user's own group may have other members, who are not to command drones.
fn hand_to_group(path: &Path) -> Result<bool, Failure> {
    let root = rustix::process::geteuid().is_root();
    let Some(group) = control_group() else { return Ok(root) };
    match rustix::fs::chown(path, None, Some(group)) {
        Ok(()) => Ok(true),
        Err(Errno::PERM) if !root => {
            tracing::warn!("not in the group `{CONTROL_GROUP}`: this user alone commands drones");
            Ok(false)
        }
        Err(error) => Err(cannot("hand to the group", path, &error)),
    }
}

/// Takes a socket that the service manager listens on for us, if it is the one that clients use.
pub(super) fn adopt(listener: BlockingListener, path: &Path) -> Result<UnixListener, Failure> {
    let cannot = |error: &io::Error| cannot("take over the passed socket for", path, error);
    let bound = listener.local_addr().map_err(|error| cannot(&error))?;
    let there = bound.as_pathname().is_some_and(|bound| same_file(bound, path));
    if !there || !sockopt::socket_acceptconn(&listener).map_err(|error| cannot(&error.into()))? {
        let message = format!("the passed control socket is {bound:?}, not {}", path.display());
        return Err(Failure::new(FailureKind::Usage, message).hint(
            "give hatchery.socket this ListenStream=, or HATCHERY_RUNTIME_DIR its directory",
        ));
    }
    listener.set_nonblocking(true).map_err(|error| cannot(&error))?;
    UnixListener::from_std(listener).map_err(|error| cannot(&error))
}

/// Whether two paths lead to one file: `/var/run` is `/run`.
fn same_file(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino()));
    matches!((id(one), id(other)), (Ok(one), Ok(other)) if one == other)
}

/// Connecting to a plain file is refused as to a dead socket; only the latter may be replaced.
fn is_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

fn runs_already(place: &Path) -> Failure {
    let message = format!("another host agent runs already: it has {}", place.display());
    Failure::new(FailureKind::Busy, message).hint("stop it first: `systemctl stop hatchery`").hint(
        "or give this one its own HATCHERY_RUNTIME_DIR, HATCHERY_STATE_DIR and HATCHERY_CONFIG",
    )
}

fn cannot(what: &str, path: &Path, error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(FailureKind::Failed, format!("cannot {what} {}", path.display())).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(directory: &Path) -> Paths {
        Paths {
            config: directory.join("config.toml"),
            seal_key: directory.join("seal.key"),
            runtime: directory.join("run"),
            state: directory.join("state"),
            feature_dir: directory.join("feature"),
        }
    }

    #[test]
    fn a_second_host_agent_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let paths = paths(directory.path());
        let first = lock_state(&paths).expect("the first");
        assert_eq!(lock_state(&paths).expect_err("the second").kind, FailureKind::Busy);
        drop(first);
        lock_state(&paths).expect("after the first has ended");
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("control.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a dead socket"));
        let live = bind(&path).expect("replaced");
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        let shared = rustix::process::geteuid().is_root() || control_group().is_some();
        assert_eq!(mode & 0o777, if shared { 0o660 } else { 0o600 });
        assert_eq!(bind(&path).expect_err("live").kind, FailureKind::Busy);
        drop(live);
    }

    #[tokio::test]
    async fn a_socket_that_was_passed_is_taken_if_clients_find_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, other) = (directory.path().join("control.sock"), directory.path().join("o"));
        let passed = BlockingListener::bind(&path).expect("bind");
        let _elsewhere = BlockingListener::bind(&other).expect("bind");
        let duplicate = || passed.try_clone().expect("a duplicate");
        assert_eq!(adopt(duplicate(), &other).expect_err("another").kind, FailureKind::Usage);
        let linked = directory.path().join("linked");
        std::os::unix::fs::symlink(directory.path(), &linked).expect("a link");
        adopt(duplicate(), &linked.join("control.sock")).expect("the same file");
        let listener = adopt(duplicate(), &path).expect("taken");
        let _client = BlockingStream::connect(&path).expect("connect");
        listener.accept().await.expect("accepted");
        let (pair, _) = BlockingStream::pair().expect("a pair");
        adopt(BlockingListener::from(std::os::fd::OwnedFd::from(pair)), &path)
            .expect_err("it does not listen");
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("control.sock");
        std::fs::write(&path, "precious").expect("write");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let _entered = runtime.as_ref().expect("a runtime").enter();
        assert!(bind(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).expect("still there"), "precious");
    }
}

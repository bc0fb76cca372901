//! Drones' listening sockets, kept beyond the end of this process: connections that are made while
//! there is no host agent wait in the kernel for the next one.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use hatchery_protocol::DroneName;

use super::keeper::{FileId, Keeper, Kept};
use super::socket;

/// The sockets that a keeper has, and those that it handed to this process. Without a keeper they
/// live and end with the process.
#[derive(Default)]
pub struct KeptSockets {
    keeper: OnceLock<Arc<dyn Keeper>>,
    /// Handed over and not yet opened.
    inherited: Mutex<HashMap<DroneName, Vec<(FileId, UnixListener)>>>,
    /// Under which names they are kept.
    names: Mutex<HashMap<DroneName, Kept>>,
}

impl KeptSockets {
    /// Has them kept from now on. Once.
    pub fn use_keeper(&self, keeper: Arc<dyn Keeper>) {
        // A second one would not have what the first one has.
        let _ = self.keeper.set(keeper);
    }

    /// Takes a socket that was kept; what it is shows when its drone is opened.
    pub fn inherit(&self, drone: DroneName, file: FileId, descriptor: OwnedFd) {
        self.inherited().entry(drone).or_default().push((file, UnixListener::from(descriptor)));
    }

    /// Listens on the drone's socket: on the one that was kept, if it is the one that the drone has
    /// mounted. Blocks.
    ///
    /// # Errors
    /// As [`socket::listen`].
    pub fn listen(&self, sockets: &Path, drone: &DroneName) -> io::Result<UnixListener> {
        let inherited = self.inherited().remove(drone).unwrap_or_default();
        let mut adopted = None;
        for (file, listener) in inherited {
            let kept = Kept::Socket { drone: drone.clone(), file };
            match socket::adopt(sockets, drone, &listener, file) {
                Ok(()) => {
                    self.names().insert(drone.clone(), kept);
                    adopted = Some(listener);
                }
                Err(error) => {
                    tracing::warn!(%drone, %error, "a kept socket is dropped");
                    self.let_go(&kept);
                }
            }
        }
        match adopted {
            Some(listener) => Ok(listener),
            None => self.listen_anew(sockets, drone),
        }
    }

    fn listen_anew(&self, sockets: &Path, drone: &DroneName) -> io::Result<UnixListener> {
        let listener = socket::listen(sockets, drone)?;
        if let Some(keeper) = self.keeper.get() {
            let kept = socket::file(sockets, drone).and_then(|file| {
                let kept = Kept::Socket { drone: drone.clone(), file };
                keeper.keep(&kept.to_string(), listener.as_fd()).map(|()| kept)
            });
            match kept {
                Ok(kept) => drop(self.names().insert(drone.clone(), kept)),
                Err(error) => tracing::warn!(%drone, %error, "its socket ends with this process"),
            }
        }
        Ok(listener)
    }

    /// Ends the keeping of a drone's socket: whoever connects is refused from now on. Blocks.
    pub fn close(&self, drone: &DroneName) {
        let kept = self.names().remove(drone);
        if let Some(kept) = kept {
            self.let_go(&kept);
        }
    }

    /// Drops what was handed over for drones that are no more. Blocks.
    pub fn close_others(&self) {
        let others = std::mem::take(&mut *self.inherited());
        for (drone, listeners) in others {
            tracing::info!(%drone, "there is no such drone any more: its kept socket is dropped");
            for (file, _) in listeners {
                self.let_go(&Kept::Socket { drone: drone.clone(), file });
            }
        }
    }

    fn let_go(&self, kept: &Kept) {
        if let Some(keeper) = self.keeper.get()
            && let Err(error) = keeper.let_go(&kept.to_string())
        {
            tracing::warn!(%kept, %error, "the service manager keeps a descriptor for nobody");
        }
    }

    fn inherited(&self) -> MutexGuard<'_, HashMap<DroneName, Vec<(FileId, UnixListener)>>> {
        self.inherited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn names(&self) -> MutexGuard<'_, HashMap<DroneName, Kept>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::super::keeper::double::Shelf;
    use super::*;

    fn drone() -> DroneName {
        "acme-web".parse().expect("a name")
    }

    /// The next process, with everything that the keeper has.
    fn after(shelf: &Arc<Shelf>) -> KeptSockets {
        let next = KeptSockets::default();
        next.use_keeper(shelf.clone());
        for (name, descriptor) in shelf.hand_over() {
            match name.parse().expect("a name of ours") {
                Kept::Socket { drone, file } => next.inherit(drone, file, descriptor),
                Kept::Tokens { .. } => panic!("{name}"),
            }
        }
        next
    }

    #[test]
    fn who_connects_in_between_waits_for_the_next_host_agent() {
        let state = tempfile::tempdir().expect("a directory");
        let (sockets, shelf) = (state.path().join("sockets"), Arc::new(Shelf::default()));
        drop(after(&shelf).listen(&sockets, &drone()).expect("listen"));
        let path = sockets.join("acme-web/agent.sock");
        let _waiting = UnixStream::connect(&path).expect("it is not refused");
        let next = after(&shelf);
        let listener = next.listen(&sockets, &drone()).expect("adopted");
        listener.accept().expect("the one who waited");
        assert_eq!(shelf.names().len(), 1, "kept once");
        next.close(&drone());
        drop(listener);
        assert_eq!(shelf.names(), Vec::<String>::new());
        UnixStream::connect(&path).expect_err("closed");
    }

    #[test]
    fn a_socket_that_the_drone_does_not_see_is_dropped() {
        let state = tempfile::tempdir().expect("a directory");
        let (sockets, shelf) = (state.path().join("sockets"), Arc::new(Shelf::default()));
        drop(after(&shelf).listen(&sockets, &drone()).expect("listen"));
        // As a host agent that was started by hand did.
        drop(socket::listen(&sockets, &drone()).expect("another in its place"));
        let next = after(&shelf);
        let listener = next.listen(&sockets, &drone()).expect("a new one");
        let _client = UnixStream::connect(sockets.join("acme-web/agent.sock")).expect("connect");
        listener.accept().expect("the new one is the one that is seen");
        drop((next, listener));
        let file = || socket::file(&sockets, &drone()).expect("its file");
        let before = file();
        let _adopted = after(&shelf).listen(&sockets, &drone()).expect("the one that was kept");
        assert_eq!((file(), shelf.names().len()), (before, 1));
    }

    #[test]
    fn what_does_not_listen_is_dropped() {
        let state = tempfile::tempdir().expect("a directory");
        let (sockets, shelf) = (state.path().join("sockets"), Arc::new(Shelf::default()));
        drop(after(&shelf).listen(&sockets, &drone()).expect("listen"));
        let next = KeptSockets::default();
        next.use_keeper(shelf);
        let file = socket::file(&sockets, &drone()).expect("its file");
        let (one, _other) = UnixStream::pair().expect("a pair");
        next.inherit(drone(), file, one.into());
        let listener = next.listen(&sockets, &drone()).expect("a new one");
        let _client = UnixStream::connect(sockets.join("acme-web/agent.sock")).expect("connect");
        listener.accept().expect("a socket that listens");
    }

    #[test]
    fn sockets_of_drones_that_are_no_more_are_let_go() {
        let state = tempfile::tempdir().expect("a directory");
        let (sockets, shelf) = (state.path().join("sockets"), Arc::new(Shelf::default()));
        drop(after(&shelf).listen(&sockets, &drone()).expect("listen"));
        after(&shelf).close_others();
        assert_eq!(shelf.names(), Vec::<String>::new());
    }

    #[test]
    fn a_keeper_that_does_not_keep_is_no_hindrance() {
        let state = tempfile::tempdir().expect("a directory");
        let shelf = Arc::new(Shelf::broken());
        after(&shelf).listen(&state.path().join("sockets"), &drone()).expect("listen");
    }
}

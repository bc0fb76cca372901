//! The drones' thread: all their sockets in turn.
//!
//! A token from the cache is answered here and needs no other thread to wake up. One drone's flood
//! leaves the others what they had: a turn is one connection of each drone that has one, and of a
//! connection only what is answered without any wait is done here ([`super::prompt`], some ten
//! microseconds). So a request waits for one connection of every other drone, not for a flood of
//! them; and who asks once gets its turn before who asks all the time gets the next. What takes
//! longer goes on on the host agent's runtime ([`super::thorough`]), with a bound on how much of it
//! one drone has there.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::listener::Server;
use super::prompt::{self, Outcome};
use super::thorough;
use crate::credentials::Forge;
use crate::credentials::attest::Peer;

/// Key of the bell; sockets have later ones.
const BELL: u64 = 0;
/// Sockets in one turn at most; the kernel has those that were left out come first in the next.
const AT_ONCE: usize = 64;
/// Wait after an accept that failed for want of something, such as descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What the drones' thread is told.
pub enum Word<F> {
    /// A socket to answer on.
    Open(u64, Socket<F>),
    /// One to answer on no more.
    Close(u64),
    /// One that has its turn again.
    Resume(u64),
    /// Closes all of them.
    End,
}

/// A drone's socket, as the drones' thread has it.
pub struct Socket<F> {
    server: Arc<Server<F>>,
    listener: UnixListener,
    /// Who closes the drone's socket waits until it is.
    _open: TaskTrackerToken,
}

/// Tells the drones' thread.
pub struct Teller<F> {
    words: mpsc::Sender<Word<F>>,
    bell: Arc<OwnedFd>,
    keys: AtomicU64,
}

impl<F: Forge> Teller<F> {
    /// Has a drone's socket answered; returns its key.
    pub fn open(&self, server: Arc<Server<F>>, listener: UnixListener) -> u64 {
        let key = self.keys.fetch_add(1, Ordering::Relaxed);
        let open = server.tasks.token();
        self.tell(Word::Open(key, Socket { server, listener, _open: open }));
        key
    }

    /// Says something. Nobody hears it after the end.
    pub fn tell(&self, word: Word<F>) {
        if self.words.send(word).is_ok() {
            // Fails only when the bell rings since 2^64 words.
            let _ = rustix::io::write(&*self.bell, &1u64.to_ne_bytes());
        }
    }
}

/// What the thread works on.
pub struct Turns<F> {
    epoll: OwnedFd,
    bell: Arc<OwnedFd>,
    words: mpsc::Receiver<Word<F>>,
    teller: Arc<Teller<F>>,
    sockets: HashMap<u64, Socket<F>>,
}

impl<F: Forge> Turns<F> {
    /// No sockets yet, and who tells of them.
    ///
    /// # Errors
    /// When the kernel gives no descriptors.
    pub fn new() -> io::Result<(Self, Arc<Teller<F>>)> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        epoll::add(&epoll, &*bell, EventData::new_u64(BELL), EventFlags::IN)?;
        let (sender, words) = mpsc::channel();
        let keys = AtomicU64::new(BELL + 1);
        let teller = Arc::new(Teller { words: sender, bell: Arc::clone(&bell), keys });
        let turns =
            Self { epoll, bell, words, teller: Arc::clone(&teller), sockets: HashMap::new() };
        Ok((turns, teller))
    }

    /// Answers until it is told to end.
    pub fn run(mut self) {
        let mut ready: Vec<Event> = Vec::with_capacity(AT_ONCE);
        loop {
            ready.clear();
            let room = rustix::buffer::spare_capacity(&mut ready);
            match epoll::wait(&self.epoll, room, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    return tracing::error!(%error, "cannot wait for drones any more");
                }
            }
            for event in &ready {
                let data = event.data;
                match data.u64() {
                    BELL if self.hears_the_end() => return,
                    BELL => {}
                    key => self.turn(key),
                }
            }
        }
    }

    /// Does what was told. Whether that was to end.
    fn hears_the_end(&mut self) -> bool {
        // Fails only when it did not ring.
        let _ = rustix::io::read(&*self.bell, &mut [0; 8]);
        while let Ok(word) = self.words.try_recv() {
            match word {
                Word::Open(key, socket) => self.open(key, socket),
                Word::Close(key) => drop(self.sockets.remove(&key)),
                Word::Resume(key) => self.watch(key, EventFlags::IN),
                Word::End => return true,
            }
        }
        false
    }

    fn open(&mut self, key: u64, socket: Socket<F>) {
        let added =
            epoll::add(&self.epoll, &socket.listener, EventData::new_u64(key), EventFlags::IN);
        match added {
            Ok(()) => drop(self.sockets.insert(key, socket)),
            Err(error) => {
                tracing::error!(drone = %socket.server.drone, %error, "cannot listen on its socket");
            }
        }
    }

    fn watch(&self, key: u64, events: EventFlags) {
        let Some(socket) = self.sockets.get(&key) else { return };
        let changed = epoll::modify(&self.epoll, &socket.listener, EventData::new_u64(key), events);
        if let Err(error) = changed {
            tracing::error!(drone = %socket.server.drone, %error, "cannot listen on its socket");
        }
    }

    /// One connection of one drone. A bug that one request meets is not the others' end.
    fn turn(&self, key: u64) {
        let Some(Socket { server, listener, .. }) = self.sockets.get(&key) else { return };
        let Ok(permit) = Arc::clone(&server.permits).try_acquire_owned() else {
            let permits = Arc::clone(&server.permits);
            return self.pause(key, server, async move { drop(permits.acquire_owned().await) });
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        match rustix::net::accept_with(listener, flags) {
            Ok(stream) => {
                let answering = AssertUnwindSafe(|| connection(server, stream.into(), permit));
                if catch_unwind(answering).is_err() {
                    tracing::error!(drone = %server.drone, "a request was not answered");
                }
            }
            // It hung up meanwhile.
            Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => {}
            Err(error) => {
                tracing::warn!(drone = %server.drone, %error, "cannot accept a connection");
                self.pause(key, server, tokio::time::sleep(ACCEPT_PAUSE));
            }
        }
    }

    /// Takes no connections of a drone `until` then.
    fn pause(
        &self,
        key: u64,
        server: &Server<F>,
        until: impl Future<Output = ()> + Send + 'static,
    ) {
        self.watch(key, EventFlags::empty());
        let (stop, teller) = (server.stop.clone(), Arc::clone(&self.teller));
        server.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = until => teller.tell(Word::Resume(key)),
            }
        });
    }
}

/// Answers at once if that is possible, else lets it go on elsewhere.
fn connection<F: Forge>(server: &Arc<Server<F>>, stream: UnixStream, permit: OwnedSemaphorePermit) {
    // The handle on the process first: what comes later may be another's.
    let peer = Peer::of(&stream);
    let outcome = match &peer {
        Ok(peer) => prompt::answer(&server.credentials, &server.drone, peer, &stream),
        Err(_) => Outcome::Another,
    };
    if outcome == Outcome::Another {
        let going_on = Arc::clone(server);
        server.spawn(async move {
            thorough::serve(going_on, stream, peer).await;
            drop(permit);
        });
    }
}

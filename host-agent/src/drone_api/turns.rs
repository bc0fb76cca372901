//! The drones' thread: all their sockets in turn.
//!
//! A token from the cache is answered here and needs no other thread to wake up. One drone's flood
//! leaves the others what they had: a turn is one connection of each drone that has one, and of a
//! connection only what is answered without any wait is done here ([`super::prompt`], some ten
//! microseconds). So a request waits for one connection of every other drone, not for a flood of
//! them; and who asks once gets its turn before who asks all the time gets the next. What takes
//! longer goes on on the host agent's runtime ([`super::thorough`]), with a bound on how much of it
//! one drone has there.
//!
//! A connection often is there before its request: on a core that both share, connecting wakes this
//! thread before the client can write. One such connection of each drone waits here, for a moment
//! ([`PATIENCE`]).

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::listener::Server;
use super::prompt::{self, Outcome};
use super::thorough;
use crate::credentials::Forge;
use crate::credentials::attest::{Peer, Refusal};

/// Key of the bell; sockets have later ones.
const BELL: u64 = 0;
/// Sockets in one turn at most; the kernel has those that were left out come first in the next.
const AT_ONCE: usize = 64;
/// Wait after an accept that failed for want of something, such as descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long a connection waits here for its request; a slower one goes on elsewhere.
const PATIENCE: Duration = Duration::from_millis(2);

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
    /// Whether one of its connections is among those that wait.
    waits: bool,
    /// Who closes the drone's socket waits until it is.
    _open: TaskTrackerToken,
}

/// A connection whose request is not there yet.
struct Waiting<F> {
    /// Key of its drone's socket.
    socket: u64,
    connection: Connection<F>,
    until: Instant,
}

/// One connection of a drone.
struct Connection<F> {
    server: Arc<Server<F>>,
    stream: UnixStream,
    peer: Result<Peer, Refusal>,
    permit: OwnedSemaphorePermit,
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
        let key = self.key();
        let open = server.tasks.token();
        self.tell(Word::Open(key, Socket { server, listener, waits: false, _open: open }));
        key
    }

    fn key(&self) -> u64 {
        self.keys.fetch_add(1, Ordering::Relaxed)
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
    /// By keys that grow, so that the first has waited longest.
    waiting: BTreeMap<u64, Waiting<F>>,
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
        let turns = Self {
            epoll,
            bell,
            words,
            teller: Arc::clone(&teller),
            sockets: HashMap::new(),
            waiting: BTreeMap::new(),
        };
        Ok((turns, teller))
    }

    /// Answers until it is told to end.
    pub fn run(mut self) {
        let mut ready: Vec<Event> = Vec::with_capacity(AT_ONCE);
        loop {
            ready.clear();
            let room = rustix::buffer::spare_capacity(&mut ready);
            match epoll::wait(&self.epoll, room, self.patience().as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    return tracing::error!(%error, "cannot wait for drones any more");
                }
            }
            for event in &ready {
                let data = event.data;
                match data.u64() {
                    BELL if self.hears_the_end() => return self.end(),
                    BELL => {}
                    key => match self.waiting.remove(&key) {
                        Some(waiting) => self.request(waiting),
                        None => self.turn(key),
                    },
                }
            }
            self.lose_patience();
        }
    }

    /// How long to wait for anything at all.
    fn patience(&self) -> Option<Timespec> {
        let (_, first) = self.waiting.first_key_value()?;
        first.until.saturating_duration_since(Instant::now()).try_into().ok()
    }

    fn lose_patience(&mut self) {
        while self.waiting.first_key_value().is_some_and(|(_, it)| it.until <= Instant::now()) {
            let Some((_, first)) = self.waiting.pop_first() else { return };
            self.go_on_elsewhere(first);
        }
    }

    fn end(mut self) {
        while let Some((_, waiting)) = self.waiting.pop_first() {
            self.go_on_elsewhere(waiting);
        }
    }

    /// Does what was told. Whether that was to end.
    fn hears_the_end(&mut self) -> bool {
        // Fails only when it did not ring.
        let _ = rustix::io::read(&*self.bell, &mut [0; 8]);
        while let Ok(word) = self.words.try_recv() {
            match word {
                Word::Open(key, socket) => self.open(key, socket),
                Word::Close(key) => {
                    self.sockets.remove(&key);
                    self.waiting.retain(|_, waiting| waiting.socket != key);
                }
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

    /// One connection of one drone.
    fn turn(&mut self, key: u64) {
        let Some(Socket { server, listener, waits, .. }) = self.sockets.get(&key) else { return };
        let Ok(permit) = Arc::clone(&server.permits).try_acquire_owned() else {
            let permits = Arc::clone(&server.permits);
            return self.pause(key, server, async move { drop(permits.acquire_owned().await) });
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        match rustix::net::accept_with(listener, flags) {
            Ok(stream) => {
                let (waits, server, stream) = (*waits, Arc::clone(server), stream.into());
                // The handle on the process first: what comes later may be another's.
                let peer = Peer::of(&stream);
                let connection = Connection { server, stream, peer, permit };
                match connection.answer() {
                    Outcome::Answered => {}
                    Outcome::NotYet if !waits => self.wait(key, connection),
                    Outcome::NotYet | Outcome::Another => connection.go_on_elsewhere(),
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

    /// Lets a connection wait for its request.
    fn wait(&mut self, socket: u64, connection: Connection<F>) {
        let key = self.teller.key();
        let data = EventData::new_u64(key);
        if epoll::add(&self.epoll, &connection.stream, data, EventFlags::IN).is_err() {
            return connection.go_on_elsewhere();
        }
        if let Some(socket) = self.sockets.get_mut(&socket) {
            socket.waits = true;
        }
        let until = Instant::now() + PATIENCE;
        self.waiting.insert(key, Waiting { socket, connection, until });
    }

    /// The request of a connection that waited, or its end.
    fn request(&mut self, waiting: Waiting<F>) {
        match waiting.connection.answer() {
            Outcome::Answered => self.waits_no_more(waiting.socket),
            Outcome::NotYet | Outcome::Another => self.go_on_elsewhere(waiting),
        }
    }

    fn go_on_elsewhere(&mut self, waiting: Waiting<F>) {
        self.waits_no_more(waiting.socket);
        // Else this thread would hear of it again.
        if let Err(error) = epoll::delete(&self.epoll, &waiting.connection.stream) {
            tracing::error!(%error, "cannot hand on a connection");
        }
        waiting.connection.go_on_elsewhere();
    }

    fn waits_no_more(&mut self, socket: u64) {
        if let Some(socket) = self.sockets.get_mut(&socket) {
            socket.waits = false;
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

impl<F: Forge> Connection<F> {
    /// Answers at once if that is possible. A bug that one request meets is not the others' end.
    fn answer(&self) -> Outcome {
        let Self { server, stream, peer, .. } = self;
        let Ok(peer) = peer else { return Outcome::Another };
        let answering = || prompt::answer(&server.credentials, &server.drone, peer, stream);
        catch_unwind(AssertUnwindSafe(answering)).unwrap_or_else(|_| {
            tracing::error!(drone = %server.drone, "a request was not answered");
            Outcome::Answered
        })
    }

    /// Lets it go on on the host agent's runtime.
    fn go_on_elsewhere(self) {
        let Self { server, stream, peer, permit } = self;
        let going_on = Arc::clone(&server);
        server.spawn(async move {
            thorough::serve(going_on, stream, peer).await;
            drop(permit);
        });
    }
}

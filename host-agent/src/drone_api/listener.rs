//! Accepts a drone's connections: few at once, with deadlines, each on a task of its own. The
//! tasks belong to the drone's socket; closing it ends them.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hatchery_protocol::DroneName;
use http::Request;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioTimer;
use time::OffsetDateTime;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::problem::Refused;
use super::routes;
use super::stream::{AttestedStream, SharedPeer};
use crate::credentials::attest::Peer;
use crate::credentials::{Budget, Credentials, Forge};

/// Connections of one drone at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 16;
/// Time for a request's head, and between requests of one connection.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);
/// Longest life of a connection.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(60);
/// Largest head of a request, in bytes.
const HEAD_MAX: usize = 8192;
/// Most header lines of a request.
const HEADERS_MAX: usize = 32;
/// Requests of one drone at once, and per second after that: a twentieth of one core.
const REQUESTS: (u32, f64) = (20_000, 2_000.0);
/// Wait after an accept that failed for want of something, such as descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long requests under way may go on at the end of the host agent.
const DRAIN: Duration = Duration::from_secs(5);

/// Answers on every drone's socket until cancelled; then waits a little for requests under way.
/// Returns at once when somebody else has taken the sockets.
pub async fn serve<F: Forge>(credentials: Arc<Credentials<F>>, shutdown: CancellationToken) {
    let Some(mut sockets) = credentials.take_sockets() else { return };
    let listeners = TaskTracker::new();
    loop {
        let socket = tokio::select! {
            () = shutdown.cancelled() => break,
            socket = sockets.recv() => socket,
        };
        let Some(socket) = socket else { break };
        let drone = socket.drone.clone();
        let tasks = socket.tasks.clone();
        match UnixListener::from_std(socket.listener) {
            Ok(listener) => {
                let server = Server {
                    credentials: Arc::clone(&credentials),
                    drone: Arc::new(drone),
                    tasks: tasks.clone(),
                    all: listeners.clone(),
                    stop: socket.stop,
                    shutdown: shutdown.clone(),
                    budget: Arc::new(Mutex::new(budget())),
                };
                let accepting = listeners.track_future(server.accept(listener));
                tasks.spawn(accepting);
            }
            Err(error) => tracing::error!(%drone, %error, "cannot listen on the drone's socket"),
        }
    }
    listeners.close();
    if tokio::time::timeout(DRAIN, listeners.wait()).await.is_err() {
        tracing::warn!("requests of drones were still under way at the end");
    }
}

fn budget() -> Budget {
    Budget::new(REQUESTS.0, REQUESTS.1, OffsetDateTime::now_utc())
}

/// One drone's socket.
struct Server<F> {
    credentials: Arc<Credentials<F>>,
    drone: Arc<DroneName>,
    tasks: TaskTracker,
    all: TaskTracker,
    stop: CancellationToken,
    shutdown: CancellationToken,
    budget: Arc<Mutex<Budget>>,
}

impl<F: Forge> Server<F> {
    async fn accept(self, listener: UnixListener) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = self.shutdown.cancelled() => return,
                accepted = next(&listener, &permits) => accepted,
            };
            match accepted {
                Ok((stream, permit)) => {
                    let connection = self.all.track_future(self.connection(stream));
                    self.tasks.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(drone = %self.drone, %error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// What serves one connection, until it ends, takes too long, or the drone's socket closes.
    fn connection(&self, stream: UnixStream) -> impl Future<Output = ()> + Send + use<F> {
        let (credentials, drone) = (Arc::clone(&self.credentials), Arc::clone(&self.drone));
        let (budget, stop, shutdown) =
            (Arc::clone(&self.budget), self.stop.clone(), self.shutdown.clone());
        async move {
            // The handle on the process first: what comes later may be another's.
            let peer = match Peer::of(&stream) {
                Ok(peer) => SharedPeer::new(peer),
                Err(refusal) => return credentials.refused(&drone, None, &refusal).await,
            };
            let answering = answering(credentials, Arc::clone(&drone), peer.clone(), budget);
            let serving = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_DEADLINE)
                .max_buf_size(HEAD_MAX)
                .max_headers(HEADERS_MAX)
                .serve_connection(AttestedStream::new(stream, peer), answering);
            let mut serving = std::pin::pin!(serving);
            let ended = tokio::select! {
                ended = &mut serving => ended,
                () = stop.cancelled() => return,
                () = shutdown.cancelled() => {
                    serving.as_mut().graceful_shutdown();
                    serving.await
                }
                () = tokio::time::sleep(CONNECTION_DEADLINE) => return,
            };
            if let Err(error) = ended {
                tracing::debug!(%drone, %error, "a connection ended badly");
            }
        }
    }
}

/// What hyper calls with each request of a connection.
fn answering<F: Forge>(
    credentials: Arc<Credentials<F>>,
    drone: Arc<DroneName>,
    peer: SharedPeer,
    budget: Arc<Mutex<Budget>>,
) -> impl HttpService<Incoming, ResBody = Full<Bytes>, Error = Infallible, Future: Send> {
    service_fn(move |request: Request<Incoming>| {
        let (credentials, drone) = (Arc::clone(&credentials), Arc::clone(&drone));
        let (peer, spent) = (peer.clone(), spend(&budget));
        async move {
            Ok::<_, Infallible>(match spent {
                Ok(()) => routes::answer(&credentials, &drone, &peer, request).await,
                Err(refused) => refused.into_response(),
            })
        }
    })
}

async fn next(
    listener: &UnixListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(UnixStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

fn spend(budget: &Mutex<Budget>) -> Result<(), Refused> {
    let taken =
        budget.lock().unwrap_or_else(PoisonError::into_inner).take(OffsetDateTime::now_utc());
    taken.map_err(|wait| Refused::busy("this drone asks too often".to_owned(), wait))
}

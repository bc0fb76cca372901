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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use hatchery_protocol::wire::{Problem, problem};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::adapters::github::GitHub;
    use crate::adapters::github::rig::{Rig, rig};

    struct Served {
        rig: Rig,
        credentials: Arc<Credentials<GitHub>>,
        shutdown: CancellationToken,
        serving: tokio::task::JoinHandle<()>,
        socket: PathBuf,
    }

    async fn served() -> Served {
        let rig = rig().await;
        let drone = rig.drone(&[("acme/web", &[("contents", "write")])]).drone.clone();
        rig.records
            .update(&drone, |record| record.container_id = Some("0".repeat(64)))
            .expect("a container");
        let credentials = Credentials::new(
            Arc::clone(&rig.config),
            Arc::clone(&rig.records),
            Arc::clone(&rig.github),
        );
        let credentials = Arc::new(credentials.expect("credentials"));
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(serve(Arc::clone(&credentials), shutdown.clone()));
        credentials.open_drone(&drone).await.expect("opened");
        let socket = rig.config.paths.sockets().join(drone.as_str()).join("agent.sock");
        Served { rig, credentials, shutdown, serving, socket }
    }

    /// Sends text, and reads until the other side closes.
    async fn exchange(served: &Served, request: &str) -> String {
        let mut stream = UnixStream::connect(&served.socket).await.expect("connect");
        stream.write_all(request.as_bytes()).await.expect("write");
        let mut answer = Vec::new();
        // What was not read of the request resets the connection, after the answer.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).expect("text")
    }

    #[tokio::test]
    async fn who_is_not_of_the_drone_gets_a_bland_refusal_and_the_log_the_reason() {
        let served = served().await;
        for path in ["/token", "/v1/token?repo=acme/web", "/v1/identity", "/nothing"] {
            let answer =
                exchange(&served, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
            let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
            assert!(head.starts_with("HTTP/1.1 403 "), "{path}: {head}");
            let problem: Problem = serde_json::from_str(body).expect("a problem");
            assert_eq!(problem.kind, problem::FORBIDDEN);
            assert!(!body.contains("container") && !body.contains("cgroup"), "{body}");
        }
        assert_eq!(served.rig.forge.calls().len(), 0);
        let Served { rig, credentials, shutdown, serving, .. } = served;
        shutdown.cancel();
        serving.await.expect("drained");
        credentials.run(shutdown).await;
        let lines = rig.audit();
        assert_eq!(lines.len(), 4, "{lines:?}");
        for line in lines {
            assert_eq!(line["event"], "attest");
            assert_eq!(line["pid"], std::process::id());
            assert!(line["reason"].as_str().is_some_and(|reason| reason.contains("cgroup")
                || reason.contains("container")), "{line}");
        }
    }

    #[tokio::test]
    async fn what_no_client_of_ours_sends_is_refused() {
        let served = served().await;
        for (request, status) in [
            (format!("GET /token HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(HEAD_MAX)), "431"),
            (format!("GET /token HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(HEADERS_MAX + 1)), "431"),
            ("GET /token HTTP/1.1\r\nContent-Length: 1\r\n\r\nx".to_owned(), "400"),
            (
                "GET /token HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx".to_owned(),
                "400",
            ),
            ("nonsense\r\n\r\n".to_owned(), "400"),
        ] {
            let answer = exchange(&served, &request).await;
            let begin: String = request.chars().take(60).collect();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{begin:?}: {answer}");
        }
    }

    #[tokio::test]
    async fn closing_a_drone_ends_its_connections_and_opening_brings_it_back() {
        let served = served().await;
        let drone = "acme-web".parse().expect("a drone");
        let mut idle = UnixStream::connect(&served.socket).await.expect("connect");
        served.credentials.close_drone(&drone).await;
        let mut rest = Vec::new();
        // Reset or closed: either way it is over.
        let _ = idle.read_to_end(&mut rest).await;
        assert!(UnixStream::connect(&served.socket).await.is_err());
        served.credentials.open_drone(&drone).await.expect("opened again");
        let answer = exchange(&served, "GET /token HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        served.credentials.close_drone(&drone).await;
        served.credentials.remove_drone(&drone).await.expect("removed");
        assert!(!served.socket.exists());
    }
}

//! Opens and closes the drones' sockets, and says when the drones' thread ([`super::turns`]) ends.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hatchery_protocol::DroneName;
use time::OffsetDateTime;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::turns::{Teller, Turns, Word};
use crate::credentials::{Budget, Credentials, DroneSocket, Forge};

/// Connections of one drone at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 16;
/// Refusals of one drone's socket at once, and per second after that.
const REFUSALS: (u32, f64) = (1000, 10.0);
/// How long requests under way may go on at the end of the host agent.
const DRAIN: Duration = Duration::from_secs(5);
/// Stack of the drones' thread, in bytes.
const STACK: usize = 512 << 10;

/// One drone's socket.
pub struct Server<F> {
    /// Whose credentials are handed out,
    pub credentials: Arc<Credentials<F>>,
    /// to this drone.
    pub drone: DroneName,
    /// Cancelled when the drone's socket closes.
    pub stop: CancellationToken,
    /// Cancelled at the end of the host agent.
    pub shutdown: CancellationToken,
    /// What is left of refusals that are told one by one.
    pub refusals: Mutex<Budget>,
    /// One for each connection.
    pub permits: Arc<Semaphore>,
    /// This drone's tasks.
    pub tasks: TaskTracker,
    /// All drones' tasks.
    pub all: TaskTracker,
    /// The host agent's runtime.
    pub main: Handle,
}

impl<F: Forge> Server<F> {
    /// Lets a task go on elsewhere than on the drones' thread.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(self.all.track_future(task), &self.main);
    }
}

/// Starts to answer on every drone's socket, until cancelled. What is returned ends after requests
/// under way have, or a little later. Needs a runtime, which gets what takes longer.
///
/// # Errors
/// When the drones' thread cannot start, or somebody else has taken the sockets.
pub fn start<F: Forge>(
    credentials: Arc<Credentials<F>>,
    shutdown: CancellationToken,
) -> io::Result<impl Future<Output = ()> + Send + use<F>> {
    let taken = || io::Error::other("somebody else answers on the drones' sockets");
    let sockets = credentials.take_sockets().ok_or_else(taken)?;
    let (turns, teller) = Turns::new()?;
    let (ending, ended) = oneshot::channel::<()>();
    let builder = std::thread::Builder::new().name("drones".to_owned()).stack_size(STACK);
    let thread = builder.spawn(move || {
        // Dropped at the end, whatever ends it.
        let _ending = ending;
        turns.run();
    })?;
    Ok(async move {
        serve(credentials, sockets, shutdown, teller, ended).await;
        if thread.join().is_err() {
            tracing::error!("the thread that answers drones failed");
        }
    })
}

async fn serve<F: Forge>(
    credentials: Arc<Credentials<F>>,
    mut sockets: mpsc::UnboundedReceiver<DroneSocket>,
    shutdown: CancellationToken,
    teller: Arc<Teller<F>>,
    ended: oneshot::Receiver<()>,
) {
    let all = TaskTracker::new();
    loop {
        let socket = tokio::select! {
            () = shutdown.cancelled() => break,
            socket = sockets.recv() => socket,
        };
        let Some(DroneSocket { drone, listener, stop, tasks }) = socket else { break };
        let refusals = Budget::new(REFUSALS.0, REFUSALS.1, OffsetDateTime::now_utc());
        let server = Arc::new(Server {
            credentials: Arc::clone(&credentials),
            drone,
            stop,
            shutdown: shutdown.clone(),
            refusals: Mutex::new(refusals),
            permits: Arc::new(Semaphore::new(CONNECTIONS)),
            tasks,
            all: all.clone(),
            main: Handle::current(),
        });
        let key = teller.open(Arc::clone(&server), listener);
        let (teller, closing) = (Arc::clone(&teller), Arc::clone(&server));
        server.spawn(async move {
            tokio::select! {
                () = closing.stop.cancelled() => teller.tell(Word::Close(key)),
                () = closing.shutdown.cancelled() => {}
            }
        });
    }
    teller.tell(Word::End);
    // What waited there goes on among all the others.
    let _ = ended.await;
    all.close();
    if tokio::time::timeout(DRAIN, all.wait()).await.is_err() {
        tracing::warn!("requests of drones were still under way at the end");
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use hatchery_protocol::wire::{Problem, problem};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;

    use super::super::thorough::{HEAD_MAX, HEADERS_MAX};
    use super::*;
    use crate::adapters::github::GitHub;
    use crate::adapters::github::rig::{Rig, rig};
    use crate::records::Record;

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
        let serving = start(Arc::clone(&credentials), shutdown.clone()).expect("started");
        let serving = tokio::spawn(serving);
        credentials.open_drone(&drone).await.expect("opened");
        let socket = rig.config.paths.sockets().join(drone.as_str()).join("agent.sock");
        Served { rig, credentials, shutdown, serving, socket }
    }

    /// Sends text, and reads until the other side closes.
    async fn exchange(served: &Served, request: &str) -> String {
        exchange_on(&served.socket, request).await
    }

    async fn exchange_on(socket: &Path, request: &str) -> String {
        let mut stream = UnixStream::connect(socket).await.expect("connect");
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
    async fn who_holds_all_its_connections_keeps_nobody_else_waiting() {
        let served = served().await;
        let records = &served.rig.records;
        let web = records.find(&"acme-web".parse().expect("a drone")).expect("a record");
        let api = Record { drone: "acme-api".parse().expect("a drone"), ..Record::clone(&web) };
        let api = records.create(api).expect("a record");
        served.credentials.open_drone(&api.drone).await.expect("opened");
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            held.push(UnixStream::connect(&served.socket).await.expect("connect"));
        }
        let ask = "GET /token HTTP/1.1\r\nHost: x\r\n\r\n";
        let (other, own) = tokio::join!(
            async {
                let socket = served.rig.config.paths.sockets().join("acme-api/agent.sock");
                let answer = exchange_on(&socket, ask).await;
                drop(held);
                answer
            },
            exchange(&served, ask)
        );
        assert!(other.starts_with("HTTP/1.1 403 "), "{other}");
        assert!(own.starts_with("HTTP/1.1 403 "), "{own}");
    }

    #[tokio::test]
    async fn a_connection_is_good_for_one_request() {
        let served = served().await;
        for ask in ["GET /token HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nA: b\r\n\r\n"] {
            let answer = exchange(&served, &ask.repeat(3)).await;
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
            assert!(answer.contains("connection: close"), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_request_may_come_later_than_its_connection() {
        let served = served().await;
        let ask = "GET /token HTTP/1.1\r\nHost: x\r\n\r\n";
        let mut early = Vec::new();
        for _ in 0..3 {
            early.push(UnixStream::connect(&served.socket).await.expect("connect"));
        }
        // Answered after the others were accepted: one of them waits, two go on elsewhere.
        assert!(exchange(&served, ask).await.starts_with("HTTP/1.1 403 "));
        for mut stream in early {
            stream.write_all(ask.as_bytes()).await.expect("write");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        }
        // Who waits and hangs up leaves the place to the next.
        drop(UnixStream::connect(&served.socket).await.expect("connect"));
        assert!(exchange(&served, ask).await.starts_with("HTTP/1.1 403 "));
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
        // A program that another test starts holds a copy until it executes.
        let closed = async {
            while UnixStream::connect(&served.socket).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DRAIN, closed).await.expect("nobody listens");
        served.credentials.open_drone(&drone).await.expect("opened again");
        let answer = exchange(&served, "GET /token HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        served.credentials.close_drone(&drone).await;
        served.credentials.remove_drone(&drone).await.expect("removed");
        assert!(!served.socket.exists());
    }
}

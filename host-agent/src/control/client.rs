//! The control API's client: one connection a request, which is all that a command needs, with the
//! least to do before the first byte.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::api::{
    ConnectRequest, DroneGrants, DroneList, DroneStatus, Event, ExecPlan, Failure, FailureKind,
    OPERATION_HEADER, Problem, SlayRequest, SpawnRequest, Version,
};
use super::segment::encode;

/// The socket is local: who does not take a connection by then hangs.
const CONNECT: Duration = Duration::from_secs(5);

/// Questions are answered from Docker and memory.
const ANSWER: Duration = Duration::from_secs(30);

/// Changes wait for containers to stop and start.
const CHANGE: Duration = Duration::from_secs(180);

/// An answer in JSON has so many bytes at most: some thousand drones.
const ANSWER_MAX: usize = 16 << 20;

/// One event has so many bytes at most; its `failed` may hold the end of a log.
const EVENT_MAX: usize = 4 << 20;

/// A host agent behind its control socket.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// The host agent that listens on `socket`; connects to nothing yet.
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// The host agent's version.
    ///
    /// # Errors
    /// [`FailureKind::NoHostAgent`] where none answers.
    pub async fn version(&self) -> Result<Version, Failure> {
        self.ask(Method::GET, "/v1/version", ANSWER).await
    }

    /// Every drone.
    ///
    /// # Errors
    /// The host agent's failure, or none answers.
    pub async fn list(&self) -> Result<DroneList, Failure> {
        self.ask(Method::GET, "/v1/drones", ANSWER).await
    }

    /// One drone, named by its name or repository.
    ///
    /// # Errors
    /// The host agent's failure, or none answers.
    pub async fn status(&self, drone: &str) -> Result<DroneStatus, Failure> {
        self.ask(Method::GET, &drone_path(drone, ""), ANSWER).await
    }

    /// How to run something in a drone.
    ///
    /// # Errors
    /// The host agent's failure, or none answers.
    pub async fn exec_plan(&self, drone: &str) -> Result<ExecPlan, Failure> {
        self.ask(Method::GET, &drone_path(drone, "/exec"), ANSWER).await
    }

    /// Stops a drone for good.
    ///
    /// # Errors
    /// The host agent's failure, or none answers.
    pub async fn burrow(&self, drone: &str) -> Result<DroneStatus, Failure> {
        self.ask(Method::POST, &drone_path(drone, "/burrow"), CHANGE).await
    }

    /// Starts a drone again.
    ///
    /// # Errors
    /// The host agent's failure, or none answers.
    pub async fn unburrow(&self, drone: &str) -> Result<DroneStatus, Failure> {
        self.ask(Method::POST, &drone_path(drone, "/unburrow"), CHANGE).await
    }

    /// Takes in a container whose seal is not right.
    ///
    /// # Errors
    /// The host agent's failure, or none answers.
    pub async fn adopt(&self, drone: &str) -> Result<DroneStatus, Failure> {
        self.ask(Method::POST, &drone_path(drone, "/adopt"), CHANGE).await
    }

    /// What a drone reaches.
    ///
    /// # Errors
    /// The host agent's failure, or none answers.
    pub async fn repositories(&self, drone: &str) -> Result<DroneGrants, Failure> {
        self.ask(Method::GET, &drone_path(drone, "/repositories"), ANSWER).await
    }

    /// Lets a drone reach a repository, or changes how it does.
    ///
    /// # Errors
    /// The host agent's failure, or none answers.
    pub async fn connect(
        &self,
        drone: &str,
        request: &ConnectRequest,
    ) -> Result<DroneGrants, Failure> {
        let body = serde_json::to_vec(request).map_err(|error| self.broke_off(&error))?;
        self.ask_with(Method::POST, &drone_path(drone, "/repositories"), body.into(), CHANGE).await
    }

    /// Takes a repository from a drone.
    ///
    /// # Errors
    /// The host agent's failure, or none answers.
    pub async fn disconnect(&self, drone: &str, repo: &str) -> Result<DroneGrants, Failure> {
        let path = drone_path(drone, &format!("/repositories/{}", encode(repo)));
        self.ask(Method::DELETE, &path, CHANGE).await
    }

    /// Starts a spawn.
    ///
    /// # Errors
    /// When it could not even start.
    pub async fn spawn(&self, request: &SpawnRequest) -> Result<Operation, Failure> {
        self.operate("/v1/drones", request).await
    }

    /// Starts a rebuild.
    ///
    /// # Errors
    /// When it could not even start.
    pub async fn rebuild(&self, drone: &str) -> Result<Operation, Failure> {
        self.operate(&drone_path(drone, "/rebuild"), &()).await
    }

    /// Starts a slay.
    ///
    /// # Errors
    /// When it could not even start.
    pub async fn slay(&self, drone: &str, request: &SlayRequest) -> Result<Operation, Failure> {
        self.operate(&drone_path(drone, "/slay"), request).await
    }

    /// Asks an operation to stop and roll back; its own events tell how that ends.
    ///
    /// # Errors
    /// When it has ended already, or no host agent answers.
    pub async fn cancel(&self, operation: &str) -> Result<(), Failure> {
        let path = format!("/v1/operations/{}/cancel", encode(operation));
        let answer = self.send(Method::POST, &path, Bytes::new(), ANSWER).await?;
        self.accepted(answer).await.map(drop)
    }

    /// The log of spawn and hooks, or the container's own output.
    ///
    /// # Errors
    /// The host agent's failure, or none answers.
    pub async fn logs(&self, drone: &str, container: bool) -> Result<Chunks, Failure> {
        let source = if container { "container" } else { "spawn" };
        let path = drone_path(drone, &format!("/logs?source={source}"));
        let answer = self.send(Method::GET, &path, Bytes::new(), ANSWER).await?;
        self.accepted(answer).await
    }

    /// Lines of the audit log: of one drone, not older than `since` (RFC 3339), and on as they come.
    ///
    /// # Errors
    /// The host agent's failure, or none answers.
    pub async fn audit(
        &self,
        drone: Option<&str>,
        since: Option<&str>,
        follow: bool,
    ) -> Result<Lines, Failure> {
        let drone = drone.map(|drone| format!("drone={}", encode(drone)));
        let since = since.map(|since| format!("since={}", encode(since)));
        let query: Vec<_> = drone
            .into_iter()
            .chain(since)
            .chain(follow.then(|| "follow=true".to_owned()))
            .collect();
        let path = if query.is_empty() {
            "/v1/audit".to_owned()
        } else {
            format!("/v1/audit?{}", query.join("&"))
        };
        let answer = self.send(Method::GET, &path, Bytes::new(), ANSWER).await?;
        Ok(Lines { chunks: self.accepted(answer).await?, read: BytesMut::new() })
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        limit: Duration,
    ) -> Result<T, Failure> {
        self.ask_with(method, path, Bytes::new(), limit).await
    }

    async fn ask_with<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        limit: Duration,
    ) -> Result<T, Failure> {
        let answer = self.send(method, path, body, limit).await?;
        let bytes = self.accepted(answer).await?.collect(limit).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.broke_off(&error))
    }

    async fn operate(&self, path: &str, request: &impl Serialize) -> Result<Operation, Failure> {
        let body = serde_json::to_vec(request).map_err(|error| self.broke_off(&error))?;
        let body = if body == b"null" { Bytes::new() } else { body.into() };
        let answer = self.send(Method::POST, path, body, ANSWER).await?;
        let header = answer.0.headers().get(OPERATION_HEADER);
        let id = header.and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
        let chunks = self.accepted(answer).await?;
        Ok(Operation { id, lines: Lines { chunks, read: BytesMut::new() } })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        limit: Duration,
    ) -> Result<Answer, Failure> {
        let connecting = timeout(CONNECT, UnixStream::connect(&self.socket));
        let stream = connecting
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|error| no_host_agent(&self.socket, &error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broke_off(&error))?;
        let connection = AbortOnDropHandle::new(tokio::spawn(async move {
            // Its error reaches the sender, too, which can say what was asked.
            let _ = connection.await;
        }));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "hatchery")
            .body(Full::new(body))
            .map_err(|error| self.broke_off(&error))?;
        let answering = timeout(limit, sender.send_request(request));
        let answer = answering
            .await
            .map_err(|late| self.broke_off(&late))?
            .map_err(|error| self.broke_off(&error))?;
        Ok(Answer(answer, connection))
    }

    /// The body of an answer that is no failure.
    async fn accepted(&self, answer: Answer) -> Result<Chunks, Failure> {
        let Answer(response, connection) = answer;
        let (head, body) = response.into_parts();
        let chunks = Chunks { body, socket: self.socket.clone(), _connection: connection };
        if head.status.is_success() {
            return Ok(chunks);
        }
        let bytes = chunks.collect(ANSWER).await?;
        let problem: Result<Problem, _> = serde_json::from_slice(&bytes);
        Err(problem.map_or_else(
            |_| {
                let media_type = head.headers.get(CONTENT_TYPE);
                let message = format!("unexpected answer {} ({media_type:?})", head.status);
                Failure::new(FailureKind::Failed, message)
            },
            |problem| problem.failure,
        ))
    }

    fn broke_off(&self, error: &(dyn std::error::Error + 'static)) -> Failure {
        broke_off(&self.socket, error)
    }
}

/// An answer's head, with the connection that its body still comes over.
struct Answer(Response<Incoming>, AbortOnDropHandle<()>);

/// The body of an answer as it comes.
#[derive(Debug)]
pub struct Chunks {
    body: Incoming,
    socket: PathBuf,
    _connection: AbortOnDropHandle<()>,
}

impl Chunks {
    /// The next piece; `None` at the end. Waits as long as it takes: a build may be silent for
    /// minutes, and a host agent that ends ends the connection.
    ///
    /// # Errors
    /// When the host agent broke off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| broke_off(&self.socket, &error))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    async fn collect(self, limit: Duration) -> Result<Bytes, Failure> {
        let socket = self.socket;
        let collecting = timeout(limit, Limited::new(self.body, ANSWER_MAX).collect());
        let collected = collecting.await.map_err(|late| broke_off(&socket, &late))?;
        collected.map(|body| body.to_bytes()).map_err(|error| broke_off(&socket, error.as_ref()))
    }
}

/// The body of an answer, line by line.
#[derive(Debug)]
pub struct Lines {
    chunks: Chunks,
    read: BytesMut,
}

impl Lines {
    /// The next line with its end; `None` after the last.
    ///
    /// # Errors
    /// When the host agent broke off, or sends a line without end.
    pub async fn next(&mut self) -> Result<Option<BytesMut>, Failure> {
        loop {
            if let Some(end) = self.read.iter().position(|&byte| byte == b'\n') {
                return Ok(Some(self.read.split_to(end + 1)));
            }
            if self.read.len() > EVENT_MAX {
                return Err(broke_off(&self.chunks.socket, &io::Error::other("endless line")));
            }
            match self.chunks.next().await? {
                Some(chunk) => self.read.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}

/// A spawn, rebuild or slay under way. Dropping it cancels the operation.
#[derive(Debug)]
pub struct Operation {
    id: String,
    lines: Lines,
}

impl Operation {
    /// What [`Client::cancel`] takes.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The next event; `None` after the last, which is `done` or `failed`.
    ///
    /// # Errors
    /// When the host agent broke off or sent what is no event.
    pub async fn next(&mut self) -> Result<Option<Event>, Failure> {
        let Some(line) = self.lines.next().await? else { return Ok(None) };
        let event = serde_json::from_slice(&line);
        event.map(Some).map_err(|error| broke_off(&self.lines.chunks.socket, &error))
    }
}

fn drone_path(drone: &str, rest: &str) -> String {
    format!("/v1/drones/{}{rest}", encode(drone))
}

fn broke_off(socket: &Path, error: &(dyn std::error::Error + 'static)) -> Failure {
    let message = format!("the host agent on {} broke off", socket.display());
    Failure::new(FailureKind::Failed, message)
        .hint("see its log: `journalctl -u hatchery`, or where `hatchery serve` runs")
        .caused_by(error)
}

fn no_host_agent(socket: &Path, error: &io::Error) -> Failure {
    let message = format!("no host agent answers on {}", socket.display());
    let failure = Failure::new(FailureKind::NoHostAgent, message).caused_by(error);
    if error.kind() == io::ErrorKind::PermissionDenied {
        return failure.hint(
            "use sudo, or join the group `hatchery` and log in again: `sudo usermod -aG hatchery $USER`",
        );
    }
    failure
        .hint("start it: `systemctl start hatchery`, or `hatchery serve` where there is no systemd")
}

//! A control server over a double that holds, fails and counts.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hatchery_protocol::DroneName;
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use hatchery::config::{self, Locations, env};
use hatchery::control::Drones;
use hatchery::control::api::{
    ConnectRequest, DroneGrants, DroneList, DroneRef, DroneState, DroneStatus, DroneSummary, Event,
    EventKind, ExecPlan, Failure, FailureKind, Phase, SlayRequest, SpawnRequest, Step,
};
use hatchery::control::client::Client;
use hatchery::control::server::Server;
use hatchery::lifecycle::{LogSource, Progress};

/// What the double did, as tests wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Did {
    Nothing,
    Started,
    Cancelled,
    RolledBack,
    Finished,
}

/// One drone, `acme-web`. Spawn and burrow wait at a gate.
pub struct Double {
    pub gate: Semaphore,
    /// Rollbacks wait here; open unless a test closes it.
    pub rollback: Semaphore,
    pub did: watch::Sender<Did>,
    pub events: broadcast::Sender<Event>,
    /// What stands where Docker's client is.
    docker: &'static str,
    audit: std::path::PathBuf,
}

pub fn status() -> DroneStatus {
    DroneStatus {
        summary: DroneSummary {
            drone: "acme-web".parse().expect("a name"),
            repo: "acme/web".parse().expect("a repository"),
            forge: "github.com".parse().expect("a host"),
            state: DroneState::Running,
            container_id: None,
            up_since: None,
            cpu_percent: None,
            memory_bytes: None,
            memory_limit_bytes: None,
            workspace_bytes: None,
            workspace_measured_at: None,
            out_of_memory: false,
        },
        image: None,
        ports: vec![],
        grants: vec![],
        references: std::collections::BTreeMap::new(),
        last_token_at: None,
        health: vec![],
        events: vec![],
    }
}

impl Double {
    /// Waits until a test opens the gate.
    async fn pass(&self) {
        self.did.send_replace(Did::Started);
        self.gate.acquire().await.expect("the gate is never closed").forget();
    }
}

impl Drones for Double {
    fn find(&self, drone: &DroneRef) -> Result<DroneName, Failure> {
        match drone.to_string().as_str() {
            "acme-web" | "acme/web" => Ok(status().summary.drone),
            other => Err(Failure::new(FailureKind::NoDrone, format!("no drone {other}"))
                .hint("`hatchery list` shows the drones")),
        }
    }

    async fn spawn(
        &self,
        _: SpawnRequest,
        progress: Progress,
    ) -> Result<Option<DroneStatus>, Failure> {
        let step = |phase| {
            let duration_ms = (phase != Phase::Start).then_some(1234);
            EventKind::Step { step: Step::Build, phase, duration_ms, error: None }
        };
        progress.tell(None, step(Phase::Start)).await;
        let text = "step 1/3 \x1b[2Jof the Dockerfile".to_owned();
        progress.tell(None, EventKind::Progress { step: Step::Build, text }).await;
        let text = "published ports are left out".to_owned();
        progress.tell(None, EventKind::Notice { text }).await;
        tokio::select! {
            () = self.pass() => {}
            () = progress.cancelled() => {
                self.did.send_replace(Did::Cancelled);
                self.rollback.acquire().await.expect("never closed").forget();
                progress.tell(None, step(Phase::Failed)).await;
                self.did.send_replace(Did::RolledBack);
                return Err(Failure::new(FailureKind::Interrupted, "rolled back"));
            }
        }
        progress.tell(None, step(Phase::End)).await;
        self.did.send_replace(Did::Finished);
        Ok(Some(status()))
    }

    async fn rebuild(&self, _: &DroneName, _: Progress) -> Result<DroneStatus, Failure> {
        Err(Failure::new(FailureKind::Engine, "the build failed"))
    }

    async fn slay(
        &self,
        _: &DroneName,
        request: SlayRequest,
        _: Progress,
    ) -> Result<Vec<String>, Failure> {
        Ok(vec![format!("forced: {}", request.force)])
    }

    async fn burrow(&self, _: &DroneName) -> Result<DroneStatus, Failure> {
        self.pass().await;
        self.did.send_replace(Did::Finished);
        Ok(status())
    }

    async fn unburrow(&self, _: &DroneName) -> Result<DroneStatus, Failure> {
        unreachable!("a defect");
    }

    async fn adopt(&self, _: &DroneName) -> Result<DroneStatus, Failure> {
        Ok(status())
    }

    fn repositories(&self, drone: &DroneName) -> Result<DroneGrants, Failure> {
        Ok(DroneGrants { drone: drone.clone(), grants: vec![], notices: vec![] })
    }

    async fn connect(
        &self,
        drone: &DroneName,
        request: &ConnectRequest,
    ) -> Result<DroneGrants, Failure> {
        let notices = vec![format!("connected: {}", request.repo)];
        Ok(DroneGrants { notices, ..self.repositories(drone)? })
    }

    async fn disconnect(&self, drone: &DroneName, repo: &str) -> Result<DroneGrants, Failure> {
        let notices = vec![format!("disconnected: {repo}")];
        Ok(DroneGrants { notices, ..self.repositories(drone)? })
    }

    async fn list(&self) -> Result<DroneList, Failure> {
        Ok(DroneList { drones: vec![status().summary] })
    }

    async fn status(&self, _: &DroneName) -> Result<DroneStatus, Failure> {
        Ok(status())
    }

    async fn exec_plan(&self, _: &DroneName) -> Result<ExecPlan, Failure> {
        Ok(ExecPlan {
            container_id: "0123abcd".to_owned(),
            user: "vscode".to_owned(),
            workdir: "/workspaces/web".to_owned(),
            env: vec![],
            docker: self.docker.to_owned(),
            docker_socket: "/var/run/docker.sock".to_owned(),
        })
    }

    async fn logs(&self, _: &DroneName, container: bool) -> Result<LogSource, Failure> {
        Ok(if container {
            LogSource::Container("said\n".to_owned())
        } else {
            LogSource::File("/nonexistent/acme-web.log".into())
        })
    }

    fn audit_log(&self) -> std::path::PathBuf {
        self.audit.clone()
    }

    fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

/// A server over a double in a directory of its own.
pub struct Host {
    pub client: Client,
    pub double: Arc<Double>,
    pub shutdown: CancellationToken,
    pub served: JoinHandle<()>,
    pub directory: tempfile::TempDir,
}

impl Host {
    pub fn start() -> Self {
        Self::with_docker("no-such-docker")
    }

    /// With `docker` where Docker's client is.
    pub fn with_docker(docker: &'static str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let config = config(directory.path());
        let server = Server::bind(&config, None).expect("bind");
        let double = Arc::new(Double {
            gate: Semaphore::new(0),
            rollback: Semaphore::new(1),
            did: watch::channel(Did::Nothing).0,
            events: broadcast::channel(16).0,
            docker,
            audit: config.paths.audit(),
        });
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(server.serve(Arc::clone(&double), shutdown.clone()));
        let client = Client::new(config.paths.control_socket());
        Self { client, double, shutdown, served, directory }
    }

    pub async fn until(&self, did: Did) {
        let mut watched = self.double.did.subscribe();
        within(watched.wait_for(|now| *now == did)).await.expect("the double lives");
    }

    /// Tells the server to stop and waits for its drain.
    pub async fn stop(self) {
        self.shutdown.cancel();
        within(self.served).await.expect("the server ends well");
    }
}

pub fn config(directory: &Path) -> config::Config {
    let file = directory.join("config.toml");
    let text = "[[forge]]\napp = { client_id = \"Iv23\", private_key_file = \"app.pem\" }\n";
    std::fs::write(&file, text).expect("write");
    let variable = |name: &str| match name {
        env::RUNTIME_DIR => Some(OsString::from(directory.join("run"))),
        env::STATE_DIR => Some(OsString::from(directory.join("state"))),
        _ => None,
    };
    let locations = Locations { root: true, variable: &variable, executable: None };
    config::load(Some(&file), &locations).expect("load")
}

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("in time")
}

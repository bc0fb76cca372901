//! What happens to drones: spawn, rebuild, burrow, slay, adopt, and bringing Docker to the state
//! that is wanted. Never prints; never sees a type of Docker's or an HTTP status.

pub mod checkouts;
pub mod devcontainers;
pub mod engine;
pub mod failure;
pub mod network;
pub mod progress;
pub mod request;
pub mod view;

use std::path::PathBuf;
use std::sync::Arc;

use hatchery_protocol::DroneName;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

pub use failure::{Failure, FailureKind};
pub use progress::Progress;

use crate::config::Config;
use crate::credentials::{Credentials, Forge};
use crate::records::RecordStore;
use request::{DroneRef, SlayRequest, SpawnRequest};
use view::{DroneList, DroneStatus, Event, ExecPlan};

/// Everything that can be done to drones.
pub struct Lifecycle<F, E> {
    config: Arc<Config>,
    records: Arc<RecordStore>,
    credentials: Arc<Credentials<F>>,
    engine: Arc<E>,
    events: broadcast::Sender<Event>,
}

/// What `logs` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSource {
    /// The newest log of spawn, rebuild and hooks on the host.
    File(PathBuf),
    /// The container's own output so far.
    Container(String),
}

impl<F: Forge, E: Send + Sync + 'static> Lifecycle<F, E> {
    /// Takes what it works with; does nothing yet.
    pub fn new(
        config: Arc<Config>,
        records: Arc<RecordStore>,
        credentials: Arc<Credentials<F>>,
        engine: Arc<E>,
    ) -> Arc<Self> {
        let (events, _) = broadcast::channel(1024);
        Arc::new(Self { config, records, credentials, engine, events })
    }

    /// Which drone is meant.
    ///
    /// # Errors
    /// [`FailureKind::NoDrone`].
    pub fn find(&self, drone: &DroneRef) -> Result<DroneName, Failure> {
        let _ = drone;
        unimplemented!()
    }

    /// Spawns a drone; rolls back when it fails or `progress` is cancelled.
    ///
    /// # Errors
    /// What failed, after the rollback.
    pub async fn spawn(
        &self,
        request: SpawnRequest,
        progress: Progress,
    ) -> Result<DroneStatus, Failure> {
        let _ = (request, progress);
        unimplemented!()
    }

    /// Builds anew from the workspace's devcontainer.json and replaces the container.
    ///
    /// # Errors
    /// What failed; the old container runs again.
    pub async fn rebuild(
        &self,
        drone: &DroneName,
        progress: Progress,
    ) -> Result<DroneStatus, Failure> {
        let _ = (drone, progress);
        unimplemented!()
    }

    /// Stops a drone and leaves it stopped.
    ///
    /// # Errors
    /// When Docker fails.
    pub async fn burrow(&self, drone: &DroneName) -> Result<DroneStatus, Failure> {
        let _ = drone;
        unimplemented!()
    }

    /// Starts a burrowed or stopped drone.
    ///
    /// # Errors
    /// When there is no capacity, or Docker fails.
    pub async fn unburrow(&self, drone: &DroneName) -> Result<DroneStatus, Failure> {
        let _ = drone;
        unimplemented!()
    }

    /// Removes a drone and everything it had. Returns what was removed, a line each.
    ///
    /// # Errors
    /// [`FailureKind::WorkWouldBeLost`] without `force`.
    pub async fn slay(
        &self,
        drone: &DroneName,
        request: SlayRequest,
        progress: Progress,
    ) -> Result<Vec<String>, Failure> {
        let _ = (drone, request, progress);
        unimplemented!()
    }

    /// Takes in a container with our labels whose seal is not right (state `unknown`).
    ///
    /// # Errors
    /// When the forge does not know its repository.
    pub async fn adopt(&self, drone: &DroneName) -> Result<DroneStatus, Failure> {
        let _ = drone;
        unimplemented!()
    }

    /// Every drone, known and unknown.
    ///
    /// # Errors
    /// When Docker does not answer.
    pub async fn list(&self) -> Result<DroneList, Failure> {
        unimplemented!()
    }

    /// One drone in detail.
    ///
    /// # Errors
    /// When there is none or Docker does not answer.
    pub async fn status(&self, drone: &DroneName) -> Result<DroneStatus, Failure> {
        let _ = drone;
        unimplemented!()
    }

    /// How to run something in a running drone. Answers from memory where it can: `exec` is on
    /// somebody's critical path.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn exec_plan(&self, drone: &DroneName) -> Result<ExecPlan, Failure> {
        let _ = drone;
        unimplemented!()
    }

    /// The log of spawn and hooks, or with `container` the container's own output.
    ///
    /// # Errors
    /// When there is none.
    pub async fn logs(&self, drone: &DroneName, container: bool) -> Result<LogSource, Failure> {
        let _ = (drone, container);
        unimplemented!()
    }

    /// Every event from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Heals what a killed host agent left, follows Docker's events and measures workspaces until
    /// cancelled; then waits for operations under way.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let _ = (shutdown, &self.config, &self.records, &self.credentials, &self.engine);
        unimplemented!()
    }
}

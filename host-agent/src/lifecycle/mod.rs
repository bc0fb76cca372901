//! What happens to drones: spawn, rebuild, burrow, slay, adopt, and bringing Docker to the state
//! that is wanted. Never prints; never sees a type of Docker's or an HTTP status.
//!
//! One operation a drone at a time ([`operations`]). What is true is in Docker's labels and the
//! records; [`known`] only spares questions, and [`journal`] only tells.

pub mod capacity;
pub mod checkouts;
pub mod devcontainers;
pub mod engine;
pub mod failure;
pub mod features;
pub mod network;
pub mod phase;
pub mod progress;
pub mod registries;
pub mod request;
pub mod seal;
pub mod suitability;
pub mod view;

mod adopt;
mod burrow;
mod compose_memo;
mod engine_facts;
mod exec_plan;
mod explain;
mod grants;
mod journal;
mod known;
mod labels;
mod list;
mod naming;
mod operations;
mod passwd;
mod rebuild;
mod reconcile;
mod slay;
mod spawn;
mod stage;
mod status;
mod telling;
mod undo;
mod unsaved;
mod watch;
mod workspace_size;

use std::path::PathBuf;
use std::sync::Arc;

use hatchery_protocol::DroneName;
use tokio::sync::{Mutex, broadcast};
use tokio_util::sync::CancellationToken;

pub use failure::{Failure, FailureKind};
pub use progress::Progress;

use crate::config::Config;
use crate::credentials::{Credentials, Forge};
use crate::records::{Record, RecordError, RecordStore};
use engine::ContainerEngine;
use journal::Journal;
use known::Known;
use operations::Operations;
use request::{ConnectRequest, DroneRef, SlayRequest, SpawnRequest};
use seal::SealKey;
use telling::{LogFile, Telling};
use view::{DroneGrants, DroneList, DroneStatus, Event, ExecPlan};

/// Everything that can be done to drones.
pub struct Lifecycle<F, E> {
    config: Arc<Config>,
    records: Arc<RecordStore>,
    credentials: Arc<Credentials<F>>,
    engine: Arc<E>,
    seal: SealKey,
    journal: Arc<Journal>,
    known: Known,
    operations: Operations,
    /// Held while a name and a place are taken.
    reserving: Mutex<()>,
    /// Cancelled when the host agent stops: operations under way are rolled back.
    stopping: CancellationToken,
}

/// What `logs` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSource {
    /// The newest log of spawn, rebuild and hooks on the host.
    File(PathBuf),
    /// The container's own output so far.
    Container(String),
}

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    /// Takes what it works with; does nothing yet.
    pub fn new(
        config: Arc<Config>,
        records: Arc<RecordStore>,
        credentials: Arc<Credentials<F>>,
        engine: Arc<E>,
        seal: SealKey,
    ) -> Arc<Self> {
        Arc::new(Self {
            config,
            records,
            credentials,
            engine,
            seal,
            journal: Arc::default(),
            known: Known::default(),
            operations: Operations::default(),
            reserving: Mutex::default(),
            stopping: CancellationToken::new(),
        })
    }

    /// Which drone is meant.
    ///
    /// # Errors
    /// [`FailureKind::NoDrone`].
    pub fn find(&self, drone: &DroneRef) -> Result<DroneName, Failure> {
        match drone {
            // Unknown containers have no record, yet a name that `adopt` and `slay` take.
            DroneRef::Name(name) => Ok(name.clone()),
            DroneRef::Repo(repo) => {
                let all = self.records.all();
                let here = || all.iter().filter(|record| record.repo.host == repo.host);
                here()
                    .find(|record| *record.name_now() == repo.name)
                    .or_else(|| here().find(|record| record.repo.name == repo.name))
                    .map(|record| record.drone.clone())
                    .or_else(|| DroneName::natural(&repo.name))
                    .ok_or_else(|| explain::no_drone(drone))
            }
        }
    }

    /// Spawns a drone; rolls back when it fails or `progress` is cancelled. `None` after a dry run.
    ///
    /// # Errors
    /// What failed, after the rollback.
    pub async fn spawn(
        &self,
        request: SpawnRequest,
        progress: Progress,
    ) -> Result<Option<DroneStatus>, Failure> {
        let telling = Telling::new(progress, Arc::clone(&self.journal));
        Box::pin(self.spawn_drone(request, telling)).await
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
        let telling = Telling::new(progress, Arc::clone(&self.journal));
        Box::pin(self.rebuild_drone(drone, telling)).await
    }

    /// Stops a drone and leaves it stopped.
    ///
    /// # Errors
    /// When Docker fails.
    pub async fn burrow(&self, drone: &DroneName) -> Result<DroneStatus, Failure> {
        self.burrow_drone(drone).await
    }

    /// Starts a burrowed or stopped drone.
    ///
    /// # Errors
    /// When there is no capacity, or Docker fails.
    pub async fn unburrow(&self, drone: &DroneName) -> Result<DroneStatus, Failure> {
        self.unburrow_drone(drone).await
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
        let telling = Telling::new(progress, Arc::clone(&self.journal));
        Box::pin(self.slay_drone(drone, request, telling)).await
    }

    /// Takes in a container with our labels whose seal is not right (state `unknown`).
    ///
    /// # Errors
    /// When the forge does not know its repository.
    pub async fn adopt(&self, drone: &DroneName) -> Result<DroneStatus, Failure> {
        self.adopt_drone(drone).await
    }

    /// What a drone reaches.
    ///
    /// # Errors
    /// When there is none.
    pub fn repositories(&self, drone: &DroneName) -> Result<DroneGrants, Failure> {
        self.grants_of(drone)
    }

    /// Lets a drone reach a repository, or changes how it does, from its next request on.
    ///
    /// # Errors
    /// When there is no such drone or repository, or the App cannot give the permissions.
    pub async fn connect(
        &self,
        drone: &DroneName,
        request: &ConnectRequest,
    ) -> Result<DroneGrants, Failure> {
        self.connect_repo(drone, request).await
    }

    /// Takes a repository from a drone, and back what was minted for it.
    ///
    /// # Errors
    /// When it is the drone's own, or was not connected.
    pub async fn disconnect(&self, drone: &DroneName, repo: &str) -> Result<DroneGrants, Failure> {
        self.disconnect_repo(drone, repo).await
    }

    /// Every drone, known and unknown.
    ///
    /// # Errors
    /// When Docker does not answer.
    pub async fn list(&self) -> Result<DroneList, Failure> {
        self.list_drones().await
    }

    /// One drone in detail.
    ///
    /// # Errors
    /// When there is none or Docker does not answer.
    pub async fn status(&self, drone: &DroneName) -> Result<DroneStatus, Failure> {
        self.status_of(drone).await
    }

    /// How to run something in a running drone. Answers from memory where it can: `exec` is on
    /// somebody's critical path.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn exec_plan(&self, drone: &DroneName) -> Result<ExecPlan, Failure> {
        self.plan_exec(drone).await
    }

    /// The log of spawn and hooks, or with `container` the container's own output.
    ///
    /// # Errors
    /// When there is none.
    pub async fn logs(&self, drone: &DroneName, container: bool) -> Result<LogSource, Failure> {
        if container {
            let found = self.container_of(drone).await?;
            return Ok(LogSource::Container(self.engine.output(&found.id, 1000).await?));
        }
        let path = LogFile::path(&self.config.paths.logs(), drone);
        if tokio::fs::try_exists(&path).await.unwrap_or(false) {
            return Ok(LogSource::File(path));
        }
        match self.records.find(drone) {
            None => Err(explain::no_drone(drone)),
            Some(_) => Err(Failure::new(FailureKind::Failed, format!("{drone} has no log"))
                .hint(format!("its container's own output: `hatchery logs --container {drone}`"))),
        }
    }

    /// Where the audit log lies.
    pub fn audit_log(&self) -> PathBuf {
        self.config.paths.audit()
    }

    /// Every event from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.journal.subscribe()
    }

    /// Heals what a killed host agent left, follows Docker's events and measures workspaces until
    /// cancelled; then waits for operations under way.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let watching = self.watch(&shutdown);
        let measuring = self.measure_workspaces(&shutdown);
        tokio::join!(watching, measuring);
        self.stop();
        self.operations.idle().await;
    }

    /// Interrupts operations under way: they are rolled back, and say why.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Changes a record, off the runtime's workers: it waits for the disk.
    async fn update_record(
        &self,
        drone: &DroneName,
        change: impl FnOnce(&mut Record) + Send + 'static,
    ) -> Result<Arc<Record>, Failure> {
        let drone = drone.clone();
        self.change_records(move |records| records.update(&drone, change)).await
    }

    /// Does something that waits for the disk with the records.
    async fn change_records<T: Send + 'static>(
        &self,
        change: impl FnOnce(&RecordStore) -> Result<T, RecordError> + Send + 'static,
    ) -> Result<T, Failure> {
        let records = Arc::clone(&self.records);
        Ok(blocking(move || change(&records)).await?)
    }
}

/// Runs what waits for the disk or computes for long, off the runtime's workers.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and this future with it.
            Err(_) => std::future::pending().await,
        },
    }
}

//! What the control API needs of the lifecycle, in one place: the seam at which tests put a double
//! that holds, fails and counts.

use std::future::Future;
use std::path::PathBuf;

use hatchery_protocol::DroneName;
use tokio::sync::broadcast;

use super::api::{
    ConnectRequest, DroneGrants, DroneList, DroneRef, DroneStatus, Event, ExecPlan, Failure,
    SlayRequest, SpawnRequest,
};
use crate::credentials::Forge;
use crate::lifecycle::engine::ContainerEngine;
use crate::lifecycle::{Lifecycle, LogSource, Progress};

/// An answer that may take its time.
type Answer<T> = Result<T, Failure>;

/// Everything that can be asked about drones. Each function is the one of [`Lifecycle`] with its
/// name.
#[expect(missing_docs, reason = "documented at Lifecycle")]
pub trait Drones: Send + Sync + 'static {
    fn find(&self, drone: &DroneRef) -> Answer<DroneName>;
    fn spawn(
        &self,
        request: SpawnRequest,
        progress: Progress,
    ) -> impl Future<Output = Answer<Option<DroneStatus>>> + Send;
    fn rebuild(
        &self,
        drone: &DroneName,
        progress: Progress,
    ) -> impl Future<Output = Answer<DroneStatus>> + Send;
    fn slay(
        &self,
        drone: &DroneName,
        request: SlayRequest,
        progress: Progress,
    ) -> impl Future<Output = Answer<Vec<String>>> + Send;
    fn burrow(&self, drone: &DroneName) -> impl Future<Output = Answer<DroneStatus>> + Send;
    fn unburrow(&self, drone: &DroneName) -> impl Future<Output = Answer<DroneStatus>> + Send;
    fn adopt(&self, drone: &DroneName) -> impl Future<Output = Answer<DroneStatus>> + Send;
    fn repositories(&self, drone: &DroneName) -> Answer<DroneGrants>;
    fn connect(
        &self,
        drone: &DroneName,
        request: &ConnectRequest,
    ) -> impl Future<Output = Answer<DroneGrants>> + Send;
    fn disconnect(
        &self,
        drone: &DroneName,
        repo: &str,
    ) -> impl Future<Output = Answer<DroneGrants>> + Send;
    fn list(&self) -> impl Future<Output = Answer<DroneList>> + Send;
    fn status(&self, drone: &DroneName) -> impl Future<Output = Answer<DroneStatus>> + Send;
    fn exec_plan(&self, drone: &DroneName) -> impl Future<Output = Answer<ExecPlan>> + Send;
    fn logs(
        &self,
        drone: &DroneName,
        container: bool,
    ) -> impl Future<Output = Answer<LogSource>> + Send;
    fn audit_log(&self) -> PathBuf;
    fn subscribe(&self) -> broadcast::Receiver<Event>;
}

impl<F: Forge, E: ContainerEngine> Drones for Lifecycle<F, E> {
    fn find(&self, drone: &DroneRef) -> Answer<DroneName> {
        Self::find(self, drone)
    }

    async fn spawn(
        &self,
        request: SpawnRequest,
        progress: Progress,
    ) -> Answer<Option<DroneStatus>> {
        Self::spawn(self, request, progress).await
    }

    async fn rebuild(&self, drone: &DroneName, progress: Progress) -> Answer<DroneStatus> {
        Self::rebuild(self, drone, progress).await
    }

    async fn slay(
        &self,
        drone: &DroneName,
        request: SlayRequest,
        progress: Progress,
    ) -> Answer<Vec<String>> {
        Self::slay(self, drone, request, progress).await
    }

    async fn burrow(&self, drone: &DroneName) -> Answer<DroneStatus> {
        Self::burrow(self, drone).await
    }

    async fn unburrow(&self, drone: &DroneName) -> Answer<DroneStatus> {
        Self::unburrow(self, drone).await
    }

    async fn adopt(&self, drone: &DroneName) -> Answer<DroneStatus> {
        Self::adopt(self, drone).await
    }

    fn repositories(&self, drone: &DroneName) -> Answer<DroneGrants> {
        Self::repositories(self, drone)
    }

    async fn connect(&self, drone: &DroneName, request: &ConnectRequest) -> Answer<DroneGrants> {
        Self::connect(self, drone, request).await
    }

    async fn disconnect(&self, drone: &DroneName, repo: &str) -> Answer<DroneGrants> {
        Self::disconnect(self, drone, repo).await
    }

    async fn list(&self) -> Answer<DroneList> {
        Self::list(self).await
    }

    async fn status(&self, drone: &DroneName) -> Answer<DroneStatus> {
        Self::status(self, drone).await
    }

    async fn exec_plan(&self, drone: &DroneName) -> Answer<ExecPlan> {
        Self::exec_plan(self, drone).await
    }

    async fn logs(&self, drone: &DroneName, container: bool) -> Answer<LogSource> {
        Self::logs(self, drone, container).await
    }

    fn audit_log(&self) -> PathBuf {
        Self::audit_log(self)
    }

    fn subscribe(&self) -> broadcast::Receiver<Event> {
        Self::subscribe(self)
    }
}

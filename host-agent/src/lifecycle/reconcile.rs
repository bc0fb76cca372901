//! Bringing what is there to what is wanted: at start, and at each of the engine's events.

use hatchery_protocol::DroneName;
use tokio_util::sync::CancellationToken;

use super::engine::{Container, ContainerEngine, RunState};
use super::failure::Failure;
use super::list::{observed, own_containers};
use super::operations::HOUSEKEEPING;
use super::phase::{self, Action};
use super::progress::Progress;
use super::stage::Stage;
use super::telling::Telling;
use super::view::DroneState;
use super::{Lifecycle, blocking, labels};
use crate::credentials::Forge;
use crate::records::{OperationKind, Record};

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    /// Everything: sockets, operations that were killed, lost records, wanted states.
    pub(super) async fn reconcile(&self) {
        // Sockets first: a drone that is healed or started asks for its identity.
        for record in self.records.all() {
            if let Err(error) = self.credentials.open_drone(&record.drone).await {
                tracing::error!(drone = %record.drone, %error, "cannot listen on its socket");
            }
        }
        self.finish_operations().await;
        self.tell_what_the_engine_lacks().await;
        if let Err(failure) = self.ready_network().await {
            tracing::warn!(%failure, "the network of drones is not ready");
        }
        let label = format!("{}=true", labels::MANAGED);
        match self.engine.containers(&[label]).await {
            Ok(containers) => self.reconcile_containers(containers).await,
            Err(error) => tracing::warn!(%error, "cannot compare drones with containers"),
        }
    }

    /// Operations that were under way when the host agent was killed.
    async fn finish_operations(&self) {
        for record in self.records.all() {
            let drone = &record.drone;
            if self.operations.on(drone).is_some() {
                continue;
            }
            match record.operation.as_ref().map(|operation| operation.kind) {
                Some(OperationKind::Spawn | OperationKind::Slay) => self.finish_undo(drone).await,
                Some(OperationKind::Rebuild) => self.finish_rebuild(drone).await,
                Some(OperationKind::Kept) | None => {}
            }
        }
    }

    async fn reconcile_containers(&self, containers: Vec<Container>) {
        let mut own = own_containers(containers);
        for container in own.values() {
            self.heal_record(container).await;
        }
        for record in self.records.all() {
            let container = own.remove(&record.drone);
            self.bring_to_wanted(&record, container.as_ref()).await;
        }
    }

    /// One drone.
    pub(super) async fn reconcile_drone(&self, drone: &DroneName) {
        let found = match self.find_container(drone).await {
            Ok(found) => found,
            Err(failure) => {
                tracing::warn!(%drone, %failure, "cannot compare the drone with its container");
                return;
            }
        };
        if let Some(container) = &found {
            self.heal_record(container).await;
        }
        if let Some(record) = self.records.find(drone) {
            self.bring_to_wanted(&record, found.as_ref()).await;
        }
    }

    async fn bring_to_wanted(&self, record: &Record, container: Option<&Container>) {
        let drone = &record.drone;
        if record.operation.is_some() {
            return;
        }
        let Ok(claimed) = self.operations.begin_now(drone, HOUSEKEEPING) else { return };
        let by_hand = container.is_some_and(|found| self.known.is_stopped_by_hand(&found.id));
        let done = match phase::next(record.desired, observed(container)) {
            Action::Nothing => Ok(()),
            // Somebody stopped it while we watched: their business until they start it again.
            Action::Start if by_hand => {
                self.announce(drone, DroneState::Stopped);
                Ok(())
            }
            Action::Start => {
                tracing::info!(%drone, "it should run and does not: starting it");
                self.start_all(drone).await
            }
            Action::Stop => {
                tracing::info!(%drone, "it is burrowed and runs: stopping it");
                self.stop_all(drone).await
            }
            Action::ReportLost => {
                self.announce(drone, DroneState::Lost);
                Ok(())
            }
        };
        drop(claimed);
        if let Err(failure) = done {
            tracing::warn!(%drone, %failure, "the drone cannot be brought to what is wanted");
        }
    }

    /// Removes what a killed spawn or slay left.
    async fn finish_undo(&self, drone: &DroneName) {
        let Ok(_claimed) = self.operations.begin_now(drone, HOUSEKEEPING) else { return };
        tracing::info!(%drone, "an operation was cut off: removing what is left of the drone");
        self.engine.end_orphans(&Stage::root(&self.config.paths, drone)).await;
        // Nobody listens: the receiver is dropped, and telling goes on without it.
        let (progress, _) = Progress::new(CancellationToken::new());
        let telling = Telling::new(progress, self.journal.clone()).about(drone, None);
        match self.undo(drone, &telling).await {
            Ok(_) => self.drop_log(drone).await,
            Err(failure) => {
                tracing::error!(%drone, %failure, "the clean-up is not complete; it goes on later");
            }
        }
    }

    /// Boots a drone as its labels say: where its own entrypoint could not, and after a start.
    pub(super) async fn boot_by_labels(&self, container: &Container) -> Result<(), Failure> {
        let label = |name: &str| container.labels.get(name).map(String::as_str);
        let (Some(user), Some(clone)) = (label(labels::USER), label(labels::CLONE)) else {
            return Ok(());
        };
        self.boot(&container.id, clone, user).await
    }

    /// Removes stages that no operation uses. One that was cut off has its own clean-up, which ends
    /// what still works in its stage first.
    pub(super) async fn drop_stages(&self) {
        let all = Stage::all(&self.config.paths);
        for drone in blocking(move || Stage::staged(&all)).await {
            let record = self.records.find(&drone);
            if record.is_none_or(|record| record.operation.is_none()) {
                self.drop_stage(&drone).await;
            }
        }
    }

    /// Whether a container runs.
    pub(super) fn runs(container: &Container) -> bool {
        container.state == RunState::Running
    }

    /// Brings back what a killed rebuild replaced.
    async fn finish_rebuild(&self, drone: &DroneName) {
        let Ok(_claimed) = self.operations.begin_now(drone, HOUSEKEEPING) else { return };
        tracing::info!(%drone, "a rebuild was cut off: bringing back what was there before");
        self.engine.end_orphans(&Stage::root(&self.config.paths, drone)).await;
        if let Err(failure) = self.heal_rebuild(drone).await {
            tracing::error!(%drone, %failure, "the container of before is not back");
        }
        self.drop_stage(drone).await;
    }
}

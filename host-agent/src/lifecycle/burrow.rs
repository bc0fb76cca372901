//! `burrow` and `unburrow`: what the user wants of a drone, on record first, then done.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hatchery_protocol::DroneName;
use time::OffsetDateTime;

use super::engine::{ContainerEngine, RunState};
use super::failure::Failure;
use super::view::{DroneState, DroneStatus, Event, EventKind};
use super::{Lifecycle, capacity, explain, labels};
use crate::credentials::Forge;
use crate::records::{Desired, Record};

/// How long processes of a drone have to end by themselves: Docker's own default.
pub(super) const GRACE: Duration = Duration::from_secs(10);

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    pub(super) async fn burrow_drone(&self, drone: &DroneName) -> Result<DroneStatus, Failure> {
        self.record_of(drone)?;
        let _claimed = self.operations.begin(drone, "burrow").await?;
        self.container_of(drone).await?;
        self.update_record(drone, |record| record.desired = Desired::Burrowed).await?;
        self.stop_all(drone).await?;
        self.credentials.revoke_drone(drone).await;
        self.announce(drone, DroneState::Burrowed);
        self.status_of(drone).await
    }

    pub(super) async fn unburrow_drone(&self, drone: &DroneName) -> Result<DroneStatus, Failure> {
        self.record_of(drone)?;
        let _claimed = self.operations.begin(drone, "unburrow").await?;
        let container = self.container_of(drone).await?;
        if container.state != RunState::Running {
            let facts = self.engine.facts().await?;
            let running = self.running_drones().await?;
            capacity::check(&self.config.limits, running, capacity::measure(&facts.root_dir))?;
        }
        self.update_record(drone, |record| record.desired = Desired::Running).await?;
        self.start_all(drone).await?;
        self.announce(drone, DroneState::Running);
        self.status_of(drone).await
    }

    /// Stops the drone and its siblings, and keeps the engine from starting them at boot.
    pub(super) async fn stop_all(&self, drone: &DroneName) -> Result<(), Failure> {
        for container in self.containers_of(drone).await? {
            self.engine.set_restarts(&container.id, false).await?;
        }
        self.stop_within(drone, GRACE).await
    }

    /// Stops the drone and its siblings, all at once.
    pub(super) async fn stop_within(
        &self,
        drone: &DroneName,
        grace: Duration,
    ) -> Result<(), Failure> {
        let containers = self.containers_of(drone).await?;
        let stops = containers.iter().map(|container| self.engine.stop(&container.id, grace));
        let stopped = join_all(stops).await;
        for container in &containers {
            self.known.forget_container(&container.id);
        }
        stopped.into_iter().collect::<Result<(), _>>().map_err(Failure::from)
    }

    /// Starts the drone's siblings and then the drone, boots it, and has the engine start them at
    /// boot from now on.
    pub(super) async fn start_all(&self, drone: &DroneName) -> Result<(), Failure> {
        self.ready_network().await?;
        let mut containers = self.containers_of(drone).await?;
        containers.sort_by_key(|container| container.labels.contains_key(labels::DRONE));
        for container in &containers {
            self.engine.set_restarts(&container.id, true).await?;
            self.engine.start(&container.id).await?;
            self.known.stopped_by_hand(&container.id, false);
            self.known.forget_container(&container.id);
        }
        if let Some(container) = self.find_container(drone).await? {
            self.boot_by_labels(&container).await?;
        }
        Ok(())
    }

    /// How many drones run.
    pub(super) async fn running_drones(&self) -> Result<usize, Failure> {
        let containers = self.engine.containers(&[format!("{}=true", labels::MANAGED)]).await?;
        let own = super::list::own_containers(containers);
        Ok(own.values().filter(|container| container.state == RunState::Running).count())
    }

    /// The drone's record.
    ///
    /// # Errors
    /// `NoDrone`.
    pub(super) fn record_of(&self, drone: &DroneName) -> Result<Arc<Record>, Failure> {
        self.records.find(drone).ok_or_else(|| explain::no_drone(drone))
    }

    /// Tells everybody who watches what a drone's state is now.
    pub(super) fn announce(&self, drone: &DroneName, state: DroneState) {
        self.journal.record(Event {
            at: OffsetDateTime::now_utc(),
            drone: Some(drone.clone()),
            kind: EventKind::State { state },
        });
    }
}

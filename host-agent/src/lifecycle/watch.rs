//! Following the engine: its events keep memory and drones in step with what happens by hand.

use std::time::Duration;

use hatchery_protocol::DroneName;
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::engine::{ContainerEngine, EngineEvent, EngineEventKind};
use super::view::{DroneState, Event, EventKind};
use super::{Lifecycle, labels};
use crate::credentials::Forge;
use crate::records::Desired;

/// Events that the engine may be ahead.
const AHEAD: usize = 256;

/// Pause before the engine is asked again that did not answer.
const PAUSE: Duration = Duration::from_secs(1);

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    /// Until cancelled: everything once, then event by event; again whenever the engine was away.
    pub(super) async fn watch(&self, shutdown: &CancellationToken) {
        self.drop_stages().await;
        while !shutdown.is_cancelled() {
            let (sender, mut events) = mpsc::channel(AHEAD);
            let work = async {
                // Events first: what happens during the look is looked at again.
                self.known.following(true);
                self.reconcile().await;
                while let Some(event) = events.recv().await {
                    self.took_place(event).await;
                }
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                error = self.engine.follow(sender) => {
                    tracing::warn!(%error, "Docker's events have ended; trying again");
                }
                () = work => {}
            }
            self.known.following(false);
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    async fn took_place(&self, event: EngineEvent) {
        let Some(drone) = event.labels.get(labels::DRONE) else { return };
        let Ok(drone) = drone.parse::<DroneName>() else { return };
        self.known.forget_container(&event.container);
        let record = self.records.find(&drone);
        let current = record.as_ref().and_then(|record| record.container_id.clone());
        if current.as_deref().is_some_and(|id| id != event.container) {
            // A predecessor, or a container that only looks.
            return;
        }
        match event.kind {
            EngineEventKind::OutOfMemory => {
                self.known.out_of_memory(&event.container, true);
                self.publish(&drone, EventKind::OutOfMemory);
                return;
            }
            EngineEventKind::Started => {
                self.known.out_of_memory(&event.container, false);
                self.known.stopped_by_hand(&event.container, false);
            }
            EngineEventKind::Stopped => self.known.stopped_by_hand(&event.container, true),
            EngineEventKind::Died | EngineEventKind::Removed => {}
        }
        // An operation under way knows what it does.
        if self.operations.on(&drone).is_none() {
            if event.kind == EngineEventKind::Started {
                self.started_by_hand(&drone).await;
            }
            self.reconcile_drone(&drone).await;
        }
    }

    /// Whoever starts a burrowed drone wants it to run.
    async fn started_by_hand(&self, drone: &DroneName) {
        let Some(record) = self.records.find(drone) else { return };
        if record.desired == Desired::Burrowed {
            tracing::info!(%drone, "it was started by hand: not burrowed any more");
            let unburrowed = self.update_record(drone, |record| record.desired = Desired::Running);
            if let Err(failure) = unburrowed.await {
                tracing::warn!(%drone, %failure, "the record cannot be changed");
            }
        }
        self.publish(drone, EventKind::State { state: DroneState::Running });
        if let Ok(Some(container)) = self.find_container(drone).await
            && Self::runs(&container)
            && let Err(failure) = self.boot_by_labels(&container).await
        {
            tracing::warn!(%drone, %failure, "the boot after a start failed");
        }
    }

    pub(super) fn publish(&self, drone: &DroneName, kind: EventKind) {
        let at = OffsetDateTime::now_utc();
        self.journal.record(Event { at, drone: Some(drone.clone()), kind });
    }
}

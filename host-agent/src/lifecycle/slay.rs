//! `slay`: not before it is sure that no work is lost; then nothing of the drone is left.

use std::time::Duration;

use hatchery_protocol::DroneName;
use time::OffsetDateTime;

use super::engine::ContainerEngine;
use super::failure::{Failure, FailureKind};
use super::request::SlayRequest;
use super::telling::Telling;
use super::view::Step;
use super::{Lifecycle, explain};
use crate::credentials::Forge;
use crate::records::{Operation, OperationKind};

/// How long processes have to end by themselves when nothing of what they write stays.
const SLAY_GRACE: Duration = Duration::from_secs(2);

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    pub(super) async fn slay_drone(
        &self,
        drone: &DroneName,
        request: SlayRequest,
        telling: Telling,
    ) -> Result<Vec<String>, Failure> {
        let telling = telling.about(drone, None);
        let known = self.records.find(drone).is_some();
        // Asked even where the record is enough: an engine that is away is no unsaved work.
        let found = self.containers_of(drone).await?;
        if !known && found.is_empty() {
            return Err(explain::no_drone(drone));
        }
        let claimed = self.operations.begin(drone, "slay").await?;
        if !request.force {
            let checking = self.or_interrupted(&telling, self.nothing_is_lost(drone));
            telling.step(Step::Inspect, checking).await?;
        }
        // From here on it goes through: half a slay is worse than a whole one.
        if known {
            let operation = Operation {
                kind: OperationKind::Slay,
                step: Step::Stop.name().to_owned(),
                started_at: OffsetDateTime::now_utc(),
            };
            self.update_record(drone, move |record| record.operation = Some(operation)).await?;
        }
        telling.step(Step::Stop, self.stop_within(drone, SLAY_GRACE)).await?;
        let removed = telling.step(Step::Remove, self.undo(drone, &telling)).await?;
        self.drop_log(drone).await;
        self.journal.forget(drone);
        drop(claimed);
        Ok(removed)
    }

    /// Refuses when work would be lost.
    async fn nothing_is_lost(&self, drone: &DroneName) -> Result<(), Failure> {
        let lost = self.unsaved_work(drone).await;
        if lost.is_empty() {
            return Ok(());
        }
        Err(Failure::new(
            FailureKind::WorkWouldBeLost,
            format!("{drone} has work that is nowhere else"),
        )
        .details(lost)
        .hint(format!("save it: `hatchery exec {drone} git push`"))
        .hint(format!("or lose it: `hatchery slay --force {drone}`")))
    }
}

//! `status`: one drone in detail, and what is wrong with it.

use std::collections::BTreeMap;
use std::time::Duration;

use hatchery_protocol::DroneName;
use time::OffsetDateTime;

use super::engine::ContainerEngine;
use super::failure::Failure;
use super::view::{DroneState, DroneStatus, DroneSummary};
use super::{Lifecycle, explain, grants};
use crate::credentials::{Forge, permissions};
use crate::records::Record;

/// Share of the memory limit, in percent, above which a drone is said to be nearly out of it.
const NEARLY_FULL: u64 = 95;

/// How long a repository that a drone asked for in vain is shown, and how many of them.
const REFUSED_SHOWN: Duration = Duration::from_secs(24 * 60 * 60);
const REFUSALS_SHOWN: usize = 5;

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    pub(super) async fn status_of(&self, drone: &DroneName) -> Result<DroneStatus, Failure> {
        let record = self.records.find(drone);
        let container = self.find_container(drone).await?;
        let ids: Vec<String> = container.iter().map(|found| found.id.clone()).collect();
        let usage: BTreeMap<_, _> =
            ids.iter().cloned().zip(self.engine.usage(&ids).await).collect();
        let summary = self
            .summary(record.as_deref(), container.as_ref(), &usage)
            .await
            .ok_or_else(|| explain::no_drone(drone))?;
        let detail = match &container {
            Some(found) => self.engine.container(&found.id).await?,
            None => None,
        };
        let ports = match detail.as_ref().and_then(|detail| detail.pid) {
            Some(pid) => self.engine.listening_ports(pid).await,
            None => vec![],
        };
        let grants = record.as_deref().map(grants::views).unwrap_or_default();
        Ok(DroneStatus {
            image: detail.map(|detail| detail.container.image),
            ports,
            grants,
            references: record.as_ref().map(|it| it.references.clone()).unwrap_or_default(),
            last_token_at: self.credentials.last_token_at(drone),
            health: self.health(&summary, record.as_deref()),
            events: self.journal.of(drone),
            summary,
        })
    }

    fn health(&self, summary: &DroneSummary, record: Option<&Record>) -> Vec<String> {
        let drone = &summary.drone;
        let mut wrong = vec![];
        match summary.state {
            DroneState::Lost => wrong.push(format!(
                "its container was removed; `hatchery rebuild {drone}` makes it again on its volumes"
            )),
            DroneState::Unknown => wrong.push(format!(
                "its labels are not sealed by this host, so it gets no credentials; \
                 `hatchery adopt {drone}` takes it in"
            )),
            DroneState::Stopped => wrong
                .push(format!("it should run and does not; `hatchery unburrow {drone}` starts it")),
            DroneState::Failed => {
                wrong.push(format!("its spawn failed and was kept; `hatchery slay {drone}` ends it"));
            }
            DroneState::Spawning | DroneState::Running | DroneState::Burrowed => {}
        }
        if summary.out_of_memory {
            wrong.push("something in it was killed for memory since it was started".to_owned());
        }
        if let Some((used, limit)) = summary.memory_bytes.zip(summary.memory_limit_bytes)
            && used.saturating_mul(100) > limit.saturating_mul(NEARLY_FULL)
        {
            wrong.push(format!("it uses over {NEARLY_FULL} % of the memory that it may"));
        }
        let lately = OffsetDateTime::now_utc() - REFUSED_SHOWN;
        for repo in self.credentials.refused_since(drone, lately).iter().rev().take(REFUSALS_SHOWN)
        {
            wrong.push(format!(
                "it asked for {repo}, which it was not granted; \
                 `hatchery repo connect {drone} {repo}` grants it"
            ));
        }
        wrong.extend(record.into_iter().flat_map(|record| self.lacking(record)));
        wrong.extend(self.known.what_is_wrong_with_the_network());
        wrong
    }

    fn lacking(&self, record: &Record) -> Vec<String> {
        let lacking = self.credentials.lacking(record).into_iter();
        let told = lacking.map(|(repo, missing)| {
            let missing = permissions::list(&missing);
            format!(
                "the App's installation on {} lacks {missing} for {repo}, and the drone goes without; \
                 once its owner accepts them: `hatchery repo connect {} {repo} --permissions {}`",
                repo.owner(),
                record.drone,
                missing.replace(' ', ",")
            )
        });
        told.collect()
    }
}

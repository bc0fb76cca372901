//! `list`: one question to the engine, whatever the number of drones; the rest is read from
//! memory and from cgroups.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use hatchery_protocol::{DroneName, RepoId};

use super::engine::{Container, ContainerDetail, ContainerEngine, RunState, Usage};
use super::failure::{Failure, FailureKind};
use super::phase::{self, Observed};
use super::view::{DroneList, DroneState, DroneSummary};
use super::{Lifecycle, explain, labels};
use crate::credentials::Forge;
use crate::records::{OperationKind, Record};

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    pub(super) async fn list_drones(&self) -> Result<DroneList, Failure> {
        let containers = self.engine.containers(&[format!("{}=true", labels::MANAGED)]).await?;
        let mut own = own_containers(containers);
        let mut rows = vec![];
        for record in self.records.all() {
            let container = own.remove(&record.drone);
            let unsealed = container.as_ref().is_some_and(|found| !self.is_ours(found, &record));
            rows.push((record.drone.clone(), Some(record), container.filter(|_| !unsealed)));
        }
        rows.extend(own.into_iter().map(|(drone, container)| (drone, None, Some(container))));
        rows.sort_by(|one, other| one.0.cmp(&other.0));
        let ids: Vec<String> =
            rows.iter().filter_map(|(.., found)| Some(found.as_ref()?.id.clone())).collect();
        let usage: BTreeMap<String, Usage> =
            ids.iter().cloned().zip(self.engine.usage(&ids).await).collect();
        let summaries = rows.iter().map(async |(_, record, container)| {
            self.summary(record.as_deref(), container.as_ref(), &usage).await
        });
        let drones = join_all(summaries).await.into_iter().flatten().collect();
        Ok(DroneList { drones })
    }

    /// Whether a container is the one that the record means: its name alone proves nothing.
    fn is_ours(&self, container: &Container, record: &Record) -> bool {
        record.container_id.as_deref() == Some(container.id.as_str())
            || labels::claim(&container.labels, &self.seal).is_some_and(|claim| claim.sealed)
    }

    /// One row; `None` for a container whose labels name no repository.
    pub(super) async fn summary(
        &self,
        record: Option<&Record>,
        container: Option<&Container>,
        usage: &BTreeMap<String, Usage>,
    ) -> Option<DroneSummary> {
        let claim = container.and_then(|found| labels::claim(&found.labels, &self.seal));
        let (drone, repo) = match (record, claim) {
            (Some(record), _) => {
                let (host, name) = (record.repo.host.clone(), record.name_now().clone());
                (record.drone.clone(), RepoId { host, name })
            }
            (None, Some(claim)) => (claim.drone, claim.repo),
            (None, None) => return None,
        };
        let detail = match container {
            Some(found) if found.state == RunState::Running => self.detail(&found.id).await,
            Some(_) | None => None,
        };
        let used = container.and_then(|found| usage.get(&found.id)).copied().unwrap_or_default();
        let size = self.known.size(&drone);
        Some(DroneSummary {
            state: self.state(record, container),
            container_id: container.map(|found| found.id.clone()),
            up_since: detail.as_ref().and_then(|detail| detail.up_since),
            cpu_percent: used.cpu_percent,
            memory_bytes: used.memory_bytes,
            memory_limit_bytes: detail.as_ref().and_then(|detail| detail.memory_limit),
            workspace_bytes: size.map(|(bytes, _)| bytes),
            workspace_measured_at: size.map(|(_, at)| at),
            out_of_memory: container.is_some_and(|found| self.known.is_out_of_memory(&found.id))
                || detail.is_some_and(|detail| detail.out_of_memory),
            repo: repo.name,
            forge: repo.host,
            drone,
        })
    }

    /// What is known of a container, asked for once after each of its events.
    async fn detail(&self, id: &str) -> Option<ContainerDetail> {
        if let Some(detail) = self.known.detail(id) {
            return Some(detail);
        }
        let detail = self.engine.container(id).await.ok().flatten()?;
        self.known.saw(&detail);
        Some(detail)
    }

    fn state(&self, record: Option<&Record>, container: Option<&Container>) -> DroneState {
        let Some(record) = record else { return DroneState::Unknown };
        if let Some(operation) = &record.operation {
            match operation.kind {
                OperationKind::Spawn | OperationKind::Rebuild => return DroneState::Spawning,
                OperationKind::Kept => return DroneState::Failed,
                OperationKind::Slay => {}
            }
        }
        phase::state(record.desired, observed(container))
    }

    /// The container of a drone, as the engine has it now.
    ///
    /// # Errors
    /// `NoDrone` when there is neither record nor container; `Failed` when it is lost.
    pub(super) async fn container_of(&self, drone: &DroneName) -> Result<Container, Failure> {
        match self.find_container(drone).await? {
            Some(container) => Ok(container),
            None if self.records.find(drone).is_some() => {
                let message = format!("the container of {drone} is lost");
                Err(Failure::new(FailureKind::Failed, message)
                    .hint(format!("make it again on its volumes: `hatchery rebuild {drone}`"))
                    .hint(format!("or give it up: `hatchery slay {drone}`")))
            }
            None => Err(explain::no_drone(drone)),
        }
    }

    /// The container of a drone; `None` when the engine has none.
    pub(super) async fn find_container(
        &self,
        drone: &DroneName,
    ) -> Result<Option<Container>, Failure> {
        let found = self.engine.containers(&[labels::id_label(drone)]).await?;
        Ok(own_containers(found).remove(drone))
    }
}

/// What there is of a container.
pub(super) fn observed(container: Option<&Container>) -> Observed {
    match container.map(|found| found.state) {
        None => Observed::Absent,
        Some(RunState::Running) => Observed::Running,
        Some(RunState::Created | RunState::Exited) => Observed::Stopped,
    }
}

/// Each drone's own container: not its predecessor, not one that only looks, no sibling.
pub(super) fn own_containers(containers: Vec<Container>) -> BTreeMap<DroneName, Container> {
    let own = |container: Container| {
        let drone: DroneName = container.labels.get(labels::DRONE)?.parse().ok()?;
        let user = container.labels.contains_key(labels::USER);
        // Names of other containers of ours have a dot; a container with forged labels may be
        // called anything, and shows up as unknown.
        let other = !user && container.name.starts_with(&format!("{drone}."));
        let old = container.name == labels::old_container(&drone);
        (!other && !old).then_some((drone, container))
    };
    containers.into_iter().filter_map(own).collect()
}

//! `reserve` and `grant`: a name, room on the machine, the record, the grants and the socket.

use std::collections::{BTreeMap, BTreeSet};

use hatchery_protocol::DroneName;
use hatchery_protocol::wire::Permissions;
use time::OffsetDateTime;

use super::super::engine::{ContainerEngine, RunState};
use super::super::failure::{Failure, FailureKind};
use super::super::operations::Claimed;
use super::super::view::Step;
use super::super::{Lifecycle, capacity, labels, naming};
use super::resolve::Resolved;
use crate::credentials::Forge;
use crate::records::{Desired, Grant, Operation, OperationKind, Record, SpawnChoices};

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    /// Makes the record: from here on there is something to undo.
    pub(super) async fn reserve(
        &self,
        resolved: &Resolved,
        choices: &SpawnChoices,
    ) -> Result<(Record, Claimed), Failure> {
        // Two spawns at once must not both take the last place, or the same name.
        let _turn = self.reserving.lock().await;
        // Another spawn of the same repository may have come this far since it was resolved.
        self.has_no_drone(resolved)?;
        let facts = self.engine.facts().await?;
        let containers = self.engine.containers(&[]).await?;
        let taken = |name: &DroneName| {
            self.records.find(name).is_some()
                || containers.iter().any(|container| container.name == name.as_str())
        };
        let drone = naming::name_for(&resolved.repo, taken)
            .map_err(|error| Failure::new(FailureKind::Failed, error.to_string()))?;
        let mut busy: BTreeSet<String> = containers
            .iter()
            .filter(|container| container.state == RunState::Running)
            .filter_map(|container| container.labels.get(labels::DRONE).cloned())
            .collect();
        busy.extend(self.under_way());
        capacity::check(&self.config.limits, busy.len(), capacity::measure(&facts.root_dir))?;
        let claimed = self.operations.begin(&drone, "spawn").await?;
        let record = self.change_records({
            let record = new_record(drone, resolved, choices.clone());
            move |records| records.create(record)
        });
        Ok((Record::clone(&*record.await?), claimed))
    }

    /// Drones whose spawn is under way: they will run.
    fn under_way(&self) -> Vec<String> {
        let spawning = |record: &Record| matches!(&record.operation, Some(operation) if operation.kind == OperationKind::Spawn);
        let all = self.records.all();
        all.iter().filter(|record| spawning(record)).map(|r| r.drone.to_string()).collect()
    }

    /// Gives the drone its primary repository, as far as the installation goes, and its socket.
    /// Returns a notice for each permission that the installation lacks.
    pub(super) async fn grant(
        &self,
        drone: &DroneName,
        resolved: &Resolved,
    ) -> Result<Vec<String>, Failure> {
        let missing = self.grant_primary(drone, resolved).await?;
        self.credentials.open_drone(drone).await.map_err(|error| {
            let message = format!("cannot make the socket of {drone}");
            Failure::new(FailureKind::Failed, message).caused_by(&error)
        })?;
        Ok(missing)
    }

    /// The same without a socket.
    pub(super) async fn grant_primary(
        &self,
        drone: &DroneName,
        resolved: &Resolved,
    ) -> Result<Vec<String>, Failure> {
        let wanted = self.config.permissions_for(&resolved.repo.name);
        let (permissions, missing) = within(wanted, &resolved.found.installation_permissions);
        if permissions.is_empty() {
            let message = format!("the App's installation has no permission on {}", resolved.repo);
            return Err(Failure::new(FailureKind::Outside, message).hint(
                "give the App at least `contents: write` and accept it on the installation",
            ));
        }
        let grant = Grant::new(resolved.found.id, resolved.repo.name.clone(), permissions);
        self.credentials.granting(&*self.record_of(drone)?, &grant, "spawn").await;
        self.update_record(drone, move |record| record.put_grant(grant)).await?;
        Ok(missing)
    }
}

fn new_record(drone: DroneName, resolved: &Resolved, choices: SpawnChoices) -> Record {
    Record {
        drone,
        repo: resolved.repo.clone(),
        repo_id: resolved.found.id,
        grants: vec![],
        grant_version: 0,
        desired: Desired::Running,
        container_id: None,
        tailnet_node: None,
        references: BTreeMap::new(),
        operation: Some(Operation {
            kind: OperationKind::Spawn,
            step: Step::Reserve.name().to_owned(),
            started_at: OffsetDateTime::now_utc(),
        }),
        choices,
        created_at: OffsetDateTime::now_utc(),
    }
}

/// The wanted permissions that the installation has, each at the lower of both levels, and a
/// sentence for each that it lacks: asking for one of those would fail the whole mint.
pub(in crate::lifecycle) fn within(
    wanted: &Permissions,
    installed: &Permissions,
) -> (Permissions, Vec<String>) {
    let rank = |level: &str| ["read", "write", "admin"].iter().position(|known| *known == level);
    let (mut granted, mut missing) = (Permissions::new(), vec![]);
    for (name, level) in wanted {
        match installed.get(name) {
            Some(has) if rank(has) < rank(level) => {
                granted.insert(name.clone(), has.clone());
                missing.push(format!(
                    "the App's installation has the permission {name}: {has} only, not {level}; \
                     so does the drone"
                ));
            }
            Some(_) => {
                granted.insert(name.clone(), level.clone());
            }
            // Every installation has it, and some forges do not list it.
            None if name == "metadata" => {}
            None => missing.push(format!(
                "the App's installation lacks the permission {name}: {level}; the drone goes without"
            )),
        }
    }
    (granted, missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permissions(list: &[(&str, &str)]) -> Permissions {
        list.iter().map(|(name, level)| ((*name).to_owned(), (*level).to_owned())).collect()
    }

    #[test]
    fn a_grant_never_exceeds_the_installation() {
        let wanted = permissions(&[("contents", "write"), ("issues", "write"), ("checks", "read")]);
        let installed = permissions(&[("contents", "read"), ("checks", "write")]);
        let (granted, missing) = within(&wanted, &installed);
        assert_eq!(granted, permissions(&[("contents", "read"), ("checks", "read")]));
        assert!(missing[0].contains("contents: read only") && missing[1].contains("issues"));
        assert_eq!(missing.len(), 2);
    }
}

//! Taking in containers that have no record: by themselves with the right seal, by `adopt` without.

use std::collections::BTreeMap;

use hatchery_protocol::DroneName;
use time::OffsetDateTime;

use super::engine::{Container, ContainerEngine};
use super::failure::{Failure, FailureKind};
use super::labels::Claim;
use super::operations::HOUSEKEEPING;
use super::view::{DroneState, DroneStatus};
use super::{Lifecycle, explain, labels, spawn};
use crate::credentials::{Forge, ForgeRepository};
use crate::records::{Desired, Grant, Record, SpawnChoices};

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    pub(super) async fn adopt_drone(&self, drone: &DroneName) -> Result<DroneStatus, Failure> {
        if let Some(record) = self.records.find(drone) {
            return Err(explain::exists(&record));
        }
        let _claimed = self.operations.begin(drone, "adopt").await?;
        let container = self.container_of(drone).await?;
        let claim = labels::claim(&container.labels, &self.seal).ok_or_else(|| {
            let message = format!("the labels of {drone} name no repository");
            Failure::new(FailureKind::Refused, message)
                .hint("slay it and spawn the repository again")
        })?;
        let found = self.credentials.resolve(&claim.repo).await?;
        if found.id != claim.repo_id {
            let message =
                format!("{} is another repository than when {drone} was made", claim.repo);
            return Err(Failure::new(FailureKind::Refused, message));
        }
        self.take_in(&container, &claim, &found, "adopt").await?;
        self.status_of(drone).await
    }

    /// A sealed container whose record was lost gets its primary repository back, if the forge
    /// still gives the same name to the same repository.
    pub(super) async fn heal_record(&self, container: &Container) {
        let Some(claim) = labels::claim(&container.labels, &self.seal) else { return };
        let drone = claim.drone.clone();
        if !claim.sealed || self.records.find(&drone).is_some() {
            return;
        }
        let Ok(_claimed) = self.operations.begin_now(&drone, HOUSEKEEPING) else { return };
        match self.credentials.resolve(&claim.repo).await {
            Ok(found) if found.id == claim.repo_id && found.name == claim.repo.name => {
                match self.take_in(container, &claim, &found, "seal").await {
                    Ok(()) => tracing::info!(%drone, "its lost record is made again"),
                    Err(error) => tracing::warn!(%drone, %error, "its record cannot be made again"),
                }
            }
            Ok(_) => tracing::warn!(%drone, "its repository is another one now: left unknown"),
            Err(error) => tracing::warn!(%drone, %error, "its repository cannot be asked about"),
        }
    }

    async fn take_in(
        &self,
        container: &Container,
        claim: &Claim,
        found: &ForgeRepository,
        by: &str,
    ) -> Result<(), Failure> {
        let wanted = self.config.permissions_for(&found.name);
        let (permissions, _) = spawn::within(wanted, &found.installation_permissions);
        let grant = Grant::new(found.id, found.name.clone(), permissions);
        let record = Record {
            drone: claim.drone.clone(),
            repo: claim.repo.clone(),
            repo_id: claim.repo_id,
            grants: vec![grant.clone()],
            grant_version: 1,
            desired: Desired::Running,
            container_id: Some(container.id.clone()),
            tailnet_node: None,
            references: BTreeMap::new(),
            operation: None,
            choices: SpawnChoices::default(),
            created_at: OffsetDateTime::now_utc(),
        };
        self.credentials.granting(&record, &grant, by).await;
        self.change_records(move |records| records.create(record)).await?;
        self.credentials.open_drone(&claim.drone).await.map_err(|error| {
            let message = format!("cannot make the socket of {}", claim.drone);
            Failure::new(FailureKind::Failed, message).caused_by(&error)
        })?;
        self.announce(&claim.drone, DroneState::Running);
        Ok(())
    }
}

//! `repo disconnect`: takes a grant away, and every token of the drone with it.

use hatchery_protocol::DroneName;
use hatchery_protocol::wire::Permissions;

use super::Lifecycle;
use super::connect::on_forge_of;
use super::engine::ContainerEngine;
use super::failure::{Failure, FailureKind};
use super::request::DisconnectRequest;
use super::view::{ChangeKind, EventKind, GrantChange};
use crate::credentials::Forge;
use crate::records::ForgeRepoId;

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    pub(super) async fn disconnect_repository(
        &self,
        drone: &DroneName,
        request: DisconnectRequest,
    ) -> Result<GrantChange, Failure> {
        let repo = on_forge_of(&*self.record_of(drone)?, &request.repo)?;
        let named = |id: Option<ForgeRepoId>| {
            let record = self.ready_for_grants(drone)?;
            let grant = match id {
                None => record.grant_named(&repo.name),
                Some(id) => record.grants.iter().find(|grant| grant.repo_id == id),
            };
            Ok::<_, Failure>((grant.cloned(), record.clone()))
        };
        // Works while the forge is down; it is asked for a name alone that the record does not have.
        let id = match named(None)?.0 {
            Some(grant) => Some(grant.repo_id),
            None => self.credentials.resolve(&repo).await.ok().map(|found| found.id),
        };
        let _turn = self.granting.lock().await;
        let (Some(grant), record) = named(id)? else {
            let (permissions, change) = (Permissions::new(), ChangeKind::Unchanged);
            let (drone, repo) = (drone.clone(), repo.name);
            return Ok(GrantChange { drone, repo, permissions, change, notices: vec![] });
        };
        if grant.repo_id == record.repo_id {
            let message = format!("{} is the repository that {drone} was spawned for", grant.name);
            return Err(Failure::new(FailureKind::Refused, message)
                .hint(format!(
                    "make it read-only: `hatchery repo connect {drone} {} --read-only`",
                    grant.name
                ))
                .hint(format!("or end the drone: `hatchery slay {drone}`")));
        }
        self.credentials.withdrawing(&record, &grant, "repo disconnect").await;
        let gone = grant.repo_id;
        self.update_record(drone, move |record| record.drop_grant(gone)).await?;
        self.credentials.revoke_drone(drone).await;
        self.publish(drone, EventKind::Notice { text: format!("withdrawn: {}", grant.name) });
        Ok(GrantChange {
            drone: drone.clone(),
            repo: grant.name,
            permissions: Permissions::new(),
            change: ChangeKind::Disconnected,
            notices: vec![],
        })
    }
}

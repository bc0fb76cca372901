//! `repo list`, `connect` and `disconnect`: which repositories a drone reaches, live. Grants are on
//! record before anybody hears of them, and by the forge's id, never by name.

use hatchery_protocol::wire::Permissions;
use hatchery_protocol::{DroneName, RepoId};

use super::engine::ContainerEngine;
use super::failure::{Failure, FailureKind};
use super::request::ConnectRequest;
use super::view::{DroneGrants, GrantView};
use super::{Lifecycle, spawn};
use crate::credentials::permissions::includes;
use crate::credentials::{Forge, ForgeRepository};
use crate::records::{Grant, Record};

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    pub(super) fn grants_of(&self, drone: &DroneName) -> Result<DroneGrants, Failure> {
        Ok(view(&*self.record_of(drone)?))
    }

    pub(super) async fn connect_repo(
        &self,
        drone: &DroneName,
        request: &ConnectRequest,
    ) -> Result<DroneGrants, Failure> {
        let record = self.record_of(drone)?;
        let repo = self.repo_for(&record, &request.repo)?;
        let _claimed = self.operations.begin(drone, "repo connect").await?;
        let found = self.credentials.resolve(&repo).await?;
        let (permissions, notices) = self.wanted(&repo, request, &found)?;
        let record = self.record_of(drone)?;
        let before = record.grants.iter().find(|grant| grant.repo_id == found.id);
        let before = before.map(|grant| grant.permissions.clone());
        let grant = Grant::new(found.id, found.name, permissions.clone());
        if before.as_ref() != Some(&permissions) {
            self.credentials.granting(&record, &grant, "repo connect").await;
        }
        let after = self.update_record(drone, move |record| record.put_grant(grant)).await?;
        // What was minted may have more than the new grant: it ends now, not within the hour.
        if before.is_some_and(|before| !includes(&permissions, &before)) {
            self.credentials.revoke_drone(drone).await;
        }
        Ok(DroneGrants { notices, ..view(&after) })
    }

    pub(super) async fn disconnect_repo(
        &self,
        drone: &DroneName,
        repo: &str,
    ) -> Result<DroneGrants, Failure> {
        let record = self.record_of(drone)?;
        let repo = self.repo_for(&record, repo)?;
        let _claimed = self.operations.begin(drone, "repo disconnect").await?;
        let record = self.record_of(drone)?;
        let Some(grant) = record.grant_named(&repo.name).cloned() else {
            let message = format!("{drone} is not connected to {}", repo.name);
            return Err(Failure::new(FailureKind::NoRepository, message)
                .hint(format!("see what it reaches: `hatchery repo list {drone}`")));
        };
        if grant.repo_id == record.repo_id {
            let message = format!("{} is {drone}'s own repository", repo.name);
            return Err(Failure::new(FailureKind::Refused, message)
                .hint(format!(
                    "to make it read-only: `hatchery repo connect {drone} {} --read-only`",
                    repo.name
                ))
                .hint(format!("to be rid of it: `hatchery slay {drone}`")));
        }
        let id = grant.repo_id;
        self.credentials.withdrawing(&record, &grant, "repo disconnect").await;
        let after = self.update_record(drone, move |record| record.drop_grant(id)).await?;
        self.credentials.revoke_drone(drone).await;
        Ok(view(&after))
    }

    /// The repository that is named, on the drone's own forge: its socket serves no other.
    fn repo_for(&self, record: &Record, text: &str) -> Result<RepoId, Failure> {
        let host = &record.repo.host;
        let usage = |message| Failure::new(FailureKind::Usage, message);
        let repo = RepoId::parse(text, host).map_err(|error| usage(error.to_string()))?;
        if repo.host == *host {
            return Ok(repo);
        }
        let message = format!("{} is on {}, {} on {host}", repo.name, repo.host, record.drone);
        Err(usage(message).hint("a drone reaches repositories of its own forge"))
    }

    /// The permissions of a new grant, and what the installation lacks of the usual ones. What was
    /// asked for by name and cannot be had is an error.
    fn wanted(
        &self,
        repo: &RepoId,
        request: &ConnectRequest,
        found: &ForgeRepository,
    ) -> Result<(Permissions, Vec<String>), Failure> {
        let mut wanted = match &request.permissions {
            Some(named) => named.clone(),
            None => self.config.permissions_for(&found.name).clone(),
        };
        if request.read_only {
            wanted.values_mut().for_each(|level| "read".clone_into(level));
        }
        wanted.entry("metadata".to_owned()).or_insert_with(|| "read".to_owned());
        let (permissions, missing) = spawn::within(&wanted, &found.installation_permissions);
        if request.permissions.is_some() && !missing.is_empty() {
            let message = format!("the App cannot give all of this on {repo}");
            return Err(Failure::new(FailureKind::Refused, message)
                .details(missing)
                .hint("add them to the App's permissions; the account's owner then accepts them"));
        }
        if permissions.is_empty() {
            let message = format!("the App's installation gives nothing on {repo}");
            return Err(Failure::new(FailureKind::Refused, message)
                .hint("add permissions to the App; the account's owner then accepts them"));
        }
        Ok((permissions, missing))
    }
}

/// Grants as people see them, the drone's own repository first.
pub(super) fn views(record: &Record) -> Vec<GrantView> {
    let view = |grant: &Grant| GrantView {
        repo: grant.name.clone(),
        repo_id: grant.repo_id,
        permissions: grant.permissions.clone(),
        primary: grant.repo_id == record.repo_id,
    };
    let mut views: Vec<GrantView> = record.grants.iter().map(view).collect();
    views.sort_by(|one, other| (!one.primary, &one.repo).cmp(&(!other.primary, &other.repo)));
    views
}

fn view(record: &Record) -> DroneGrants {
    DroneGrants { drone: record.drone.clone(), grants: views(record), notices: vec![] }
}

//! `repo list`, `connect` and `disconnect`: which repositories a drone reaches, live. Grants are on
//! record before anybody hears of them, and by the forge's id, never by name.

use hatchery_protocol::wire::Permissions;
use hatchery_protocol::{DroneName, RepoId};

use super::engine::ContainerEngine;
use super::failure::{Failure, FailureKind};
use super::request::ConnectRequest;
use super::view::{DroneGrants, GrantView};
use super::{Lifecycle, spawn};
use crate::credentials::permissions::{has_read, includes, read_only};
use crate::credentials::{Forge, ForgeRepository};
use crate::records::{Grant, Record};

/// The level by which a permission is taken away.
const NO_LEVEL: &str = "none";

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
        can_be_had(request)?;
        let _claimed = self.operations.begin(drone, "repo connect").await?;
        let found = self.credentials.resolve(&repo).await?;
        let record = self.record_of(drone)?;
        let before = record.grants.iter().find(|grant| grant.repo_id == found.id);
        let before = before.map(|grant| grant.permissions.clone());
        let (permissions, notices) = self.wanted(&repo, request, &found, before.as_ref())?;
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

    /// The permissions of a grant, which has `before` now, and what the installation lacks of them.
    /// What was asked for by name and cannot be had is an error.
    fn wanted(
        &self,
        repo: &RepoId,
        request: &ConnectRequest,
        found: &ForgeRepository,
        before: Option<&Permissions>,
    ) -> Result<(Permissions, Vec<String>), Failure> {
        let wanted = asked_for(request, before, self.config.permissions_for(&found.name));
        let (permissions, missing) = spawn::within(&wanted, &found.installation_permissions);
        let mut named = wanted;
        named
            .retain(|name, _| request.permissions.as_ref().is_some_and(|it| it.contains_key(name)));
        let (_, refused) = spawn::within(&named, &found.installation_permissions);
        if !refused.is_empty() {
            let message = format!("the App cannot give all of this on {repo}");
            return Err(Failure::new(FailureKind::Refused, message)
                .details(refused)
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

/// Refuses levels that no permission of that name has.
fn can_be_had(request: &ConnectRequest) -> Result<(), Failure> {
    let named = request.permissions.iter().flatten();
    match named.into_iter().find(|(name, level)| *level == "read" && !has_read(name)) {
        Some((name, _)) => {
            let message = format!("{name} can be written or not: there is no {name}=read");
            Err(Failure::new(FailureKind::Usage, message)
                .hint(format!("{name}=none takes it away")))
        }
        None => Ok(()),
    }
}

/// What a `repo connect` asks for: what is named comes on top of what the grant has, else of what is
/// `usual`. Where nothing is named and nothing lowered, the grant goes back to the usual.
fn asked_for(
    request: &ConnectRequest,
    before: Option<&Permissions>,
    usual: &Permissions,
) -> Permissions {
    let changes = request.permissions.is_some() || request.read_only;
    let mut wanted = match before {
        _ if request.only => Permissions::new(),
        Some(before) if changes => before.clone(),
        _ => usual.clone(),
    };
    wanted.extend(request.permissions.clone().unwrap_or_default());
    wanted.retain(|_, level| level != NO_LEVEL);
    if request.read_only {
        wanted = read_only(&wanted);
    }
    // Every token has it.
    wanted.entry("metadata".to_owned()).or_insert_with(|| "read".to_owned());
    wanted
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

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Permissions {
        let pairs = text.split(' ').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').expect("NAME=LEVEL"));
        pairs.map(|(name, level)| (name.to_owned(), level.to_owned())).collect()
    }

    /// Named permissions, and whether `--only` and `--read-only` are given.
    fn asked(named: &str, only: bool, read_only: bool, before: Option<&str>) -> Permissions {
        let permissions = (!named.is_empty()).then(|| set(named));
        let request = ConnectRequest { repo: "acme/web".to_owned(), permissions, only, read_only };
        asked_for(&request, before.map(set).as_ref(), &set("contents=write checks=read"))
    }

    #[test]
    fn what_is_named_is_added_and_the_rest_stays() {
        const READ: Option<&str> = Some("contents=read issues=write");
        for (named, before, expected) in [
            ("", None, "contents=write checks=read"),
            ("", READ, "contents=write checks=read"),
            ("workflows=write", None, "contents=write checks=read workflows=write"),
            ("workflows=write", READ, "contents=read issues=write workflows=write"),
            ("contents=write", READ, "contents=write issues=write"),
            ("issues=none pages=none", READ, "contents=read"),
        ] {
            let expected = set(&format!("{expected} metadata=read"));
            assert_eq!(asked(named, false, false, before), expected, "{named:?} on {before:?}");
        }
        assert_eq!(asked("pages=read", true, false, READ), set("pages=read metadata=read"));
    }

    #[test]
    fn read_only_lowers_and_takes_what_cannot_be_read() {
        const BEFORE: Option<&str> = Some("contents=write workflows=write");
        assert_eq!(asked("", false, true, BEFORE), set("contents=read metadata=read"));
        let lowered = set("contents=read checks=read metadata=read");
        assert_eq!(asked("", false, true, None), lowered);
        assert_eq!(asked("issues=write", true, true, BEFORE), set("issues=read metadata=read"));
    }
}

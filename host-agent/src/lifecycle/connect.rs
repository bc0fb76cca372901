//! `repo connect`: grants a running drone another repository, or other permissions on one.
//!
//! Nothing is restarted: the next token that the drone asks for goes by the new grants.

use std::sync::Arc;

use hatchery_protocol::wire::Permissions;
use hatchery_protocol::{DroneName, RepoId};

use super::engine::ContainerEngine;
use super::failure::{Failure, FailureKind};
use super::request::{ConnectRequest, WantedPermissions};
use super::view::{ChangeKind, EventKind, GrantChange, GrantList, GrantView};
use super::{Lifecycle, explain, spawn};
use crate::config::is_permission;
use crate::credentials::permissions::{includes, read_only};
use crate::credentials::{Forge, ForgeRepository};
use crate::records::{Grant, OperationKind, Record};

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    pub(super) fn grants_of(&self, drone: &DroneName) -> Result<GrantList, Failure> {
        let record = self.record_of(drone)?;
        let forge = record.repo.host.clone();
        Ok(GrantList { drone: drone.clone(), forge, grants: views(&record) })
    }

    pub(super) async fn connect_repository(
        &self,
        drone: &DroneName,
        request: ConnectRequest,
    ) -> Result<GrantChange, Failure> {
        check_permissions(&request.permissions)?;
        let repo = on_forge_of(&*self.record_of(drone)?, &request.repo)?;
        let found = self.credentials.resolve(&repo).await?;
        // One after the other: what is granted depends on what was.
        let _turn = self.granting.lock().await;
        let record = self.ready_for_grants(drone)?;
        let before = record.grants.iter().find(|grant| grant.repo_id == found.id);
        let wanted = self.wanted(&request.permissions, before, &found);
        let (permissions, notices) = match before {
            Some(before) if before.permissions == wanted => (wanted, vec![]),
            _ => spawn::within(&wanted, &found.installation_permissions),
        };
        if permissions.keys().all(|name| name == "metadata") {
            let message = format!("the App's installation has none of these permissions on {repo}");
            return Err(Failure::new(FailureKind::Refused, message).details(notices).hint(
                "give the App more permissions in its settings, and accept them on the installation",
            ));
        }
        let change = match before {
            None => ChangeKind::Connected,
            Some(before) if before.permissions == permissions => ChangeKind::Unchanged,
            Some(_) => ChangeKind::Changed,
        };
        let narrowed = before.is_some_and(|it| !includes(&permissions, &it.permissions));
        let grant = Grant::new(found.id, found.name.clone(), permissions.clone());
        self.put_grant(&record, grant, change).await?;
        if narrowed {
            self.credentials.revoke_drone(drone).await;
        }
        Ok(GrantChange { drone: drone.clone(), repo: found.name, permissions, change, notices })
    }

    /// The permissions that a request stands for.
    fn wanted(
        &self,
        request: &WantedPermissions,
        before: Option<&Grant>,
        found: &ForgeRepository,
    ) -> Permissions {
        let configured = self.config.permissions_for(&found.name);
        let kept = || before.map_or(configured, |grant| &grant.permissions).clone();
        match request {
            WantedPermissions::Kept => kept(),
            WantedPermissions::Configured => configured.clone(),
            WantedPermissions::ReadOnly => read_only(configured),
            WantedPermissions::Exactly(permissions) => permissions.clone(),
            WantedPermissions::Also(more) => {
                let mut permissions = kept();
                permissions.extend(more.clone());
                permissions
            }
        }
    }

    /// The audit log first: a grant without a trace must not be, even when the host agent is killed
    /// in between.
    async fn put_grant(
        &self,
        record: &Record,
        grant: Grant,
        change: ChangeKind,
    ) -> Result<(), Failure> {
        let drone = record.drone.clone();
        let what = match change {
            ChangeKind::Unchanged | ChangeKind::Disconnected => None,
            ChangeKind::Connected => Some("granted"),
            ChangeKind::Changed => Some("changed"),
        };
        if what.is_some() {
            self.credentials.granting(record, &grant, "repo connect").await;
        }
        let told =
            what.map(|what| format!("{what}: {} ({})", grant.name, list(&grant.permissions)));
        self.update_record(&drone, move |record| record.put_grant(grant)).await?;
        if let Some(text) = told {
            self.publish(&drone, EventKind::Notice { text });
        }
        Ok(())
    }

    /// The record of a drone whose grants may be changed.
    ///
    /// # Errors
    /// `Busy` before it has its own grant, and while it is slain.
    pub(super) fn ready_for_grants(&self, drone: &DroneName) -> Result<Arc<Record>, Failure> {
        let record = self.record_of(drone)?;
        let slain = record.operation.as_ref().is_some_and(|it| it.kind == OperationKind::Slay);
        if slain || record.primary().is_none() {
            let what = if slain { "slain" } else { "spawned" };
            return Err(Failure::new(FailureKind::Busy, format!("{drone} is being {what}"))
                .hint(format!("wait for it: `hatchery status {drone}`")));
        }
        Ok(record)
    }
}

/// The repository that a user names, on the drone's forge.
///
/// # Errors
/// `Usage` when it is none, or on another forge.
pub(super) fn on_forge_of(record: &Record, text: &str) -> Result<RepoId, Failure> {
    let usage = |message: String| Failure::new(FailureKind::Usage, message);
    let host = &record.repo.host;
    let repo = RepoId::parse(text, host).map_err(|error| usage(error.to_string()))?;
    if repo.host == *host {
        return Ok(repo);
    }
    Err(usage(format!("{repo} is not on {host}, where {} is at home", record.drone))
        .hint("a drone's credentials are for one forge: spawn a drone for that repository"))
}

/// What a drone may reach, for people: its own repository first.
pub(super) fn views(record: &Record) -> Vec<GrantView> {
    let mut views: Vec<GrantView> = record
        .grants
        .iter()
        .map(|grant| GrantView {
            repo: grant.name.clone(),
            repo_id: grant.repo_id,
            permissions: grant.permissions.clone(),
            primary: grant.repo_id == record.repo_id,
        })
        .collect();
    views.sort_by(|one, other| (!one.primary, &one.repo).cmp(&(!other.primary, &other.repo)));
    views
}

/// `contents=write, issues=read`.
fn list(permissions: &Permissions) -> String {
    let each = permissions.iter().map(|(name, level)| format!("{name}={level}"));
    each.collect::<Vec<_>>().join(", ")
}

fn check_permissions(wanted: &WantedPermissions) -> Result<(), Failure> {
    let permissions = match wanted {
        WantedPermissions::Exactly(permissions) | WantedPermissions::Also(permissions) => {
            permissions
        }
        WantedPermissions::Kept | WantedPermissions::Configured | WantedPermissions::ReadOnly => {
            return Ok(());
        }
    };
    let odd = permissions.iter().find(|(name, level)| !is_permission(name, level));
    match odd {
        None if !permissions.is_empty() => Ok(()),
        None => Err(explain::permissions("no permission is named".to_owned())),
        Some((name, level)) => {
            Err(explain::permissions(format!("{name}={level} is no permission")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records;

    #[test]
    fn the_drones_own_repository_comes_first() {
        let mut record = records::tests::record("acme-web");
        for (id, name) in [(9, "acme/b"), (7, "acme/web"), (8, "acme/a")] {
            record.grants.push(Grant::new(id, name.parse().expect("a name"), Permissions::new()));
        }
        let names: Vec<_> = views(&record).iter().map(|view| view.repo.to_string()).collect();
        assert_eq!(names, ["acme/web", "acme/a", "acme/b"]);
    }

    #[test]
    fn a_repository_elsewhere_is_no_matter_of_grants() {
        let record = records::tests::record("acme-web");
        assert!(on_forge_of(&record, "acme/api").is_ok());
        assert!(on_forge_of(&record, "https://github.com/acme/api.git").is_ok());
        for text in ["git.acme.test/acme/api", "acme", "acme/.."] {
            let failure = on_forge_of(&record, text).expect_err(text);
            assert_eq!(failure.kind, FailureKind::Usage, "{text}");
        }
    }

    #[test]
    fn what_is_no_permission_is_refused_before_anybody_is_asked() {
        let set = |name: &str, level: &str| Permissions::from([(name.into(), level.into())]);
        for permissions in
            [Permissions::new(), set("contents", "all"), set("con tents", "read"), set("", "read")]
        {
            let failure = check_permissions(&WantedPermissions::Exactly(permissions));
            assert_eq!(failure.expect_err("refused").kind, FailureKind::Usage);
        }
        assert!(check_permissions(&WantedPermissions::Also(set("workflows", "write"))).is_ok());
    }
}

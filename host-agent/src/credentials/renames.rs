//! Following repositories that were renamed or moved to another account: by id, always.
//!
//! Each mint tells what its repositories are called now, and the record keeps it. A drone whose
//! remotes have the new name already would be refused before anything is minted; so a refusal has
//! the forge asked, in the background, what the drone's own repositories are called. It is never
//! asked about the name that was refused, and what a drone can cause is bounded: names that were
//! told a moment ago, names that another drone's repository has, and all but one refusal a minute
//! cause nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use hatchery_protocol::wire::Permissions;
use hatchery_protocol::{DroneName, RepoName};
use time::OffsetDateTime;

use super::broker::Broker;
use super::forge::{Forge, ForgeError, InstallationId, MintRequest};
use super::token::TokenError;
use crate::records::{ForgeRepoId, Grant, Record};

/// A name that the forge told so long ago is taken as the present one.
const FRESH: Duration = Duration::from_secs(60);
/// Repositories looked at in one go, those whose names were told longest ago.
const LOOKED_AT: usize = 100;

impl<F: Forge> Broker<F> {
    /// Takes over what the forge calls a drone's repositories now.
    pub(super) async fn learn_names(
        &self,
        record: &Record,
        names: &BTreeMap<ForgeRepoId, RepoName>,
    ) {
        self.installations.named(&record.repo.host, names.keys().copied());
        let known = |grant: &Grant| names.get(&grant.repo_id).is_none_or(|now| *now == grant.name);
        if record.grants.iter().all(known) {
            return;
        }
        let (records, drone, names) =
            (Arc::clone(&self.records), record.drone.clone(), names.clone());
        let learning = tokio::task::spawn_blocking(move || {
            records.update(&drone, |record| {
                names.iter().for_each(|(id, name)| record.learn_name(*id, name));
            })
        });
        match learning.await {
            Ok(Ok(_)) => tracing::info!(drone = %record.drone, "a granted repository was renamed"),
            Ok(Err(error)) => {
                tracing::warn!(drone = %record.drone, %error, "a new name is not recorded");
            }
            Err(error) => tracing::error!(%error, "recording a name broke off"),
        }
    }

    /// Takes note of a request that failed. When names in it were not granted, has the forge asked
    /// whether repositories that were granted have one of them by now.
    pub(super) fn was_refused(
        self: &Arc<Self>,
        record: &Record,
        asked: &[RepoName],
        error: &TokenError,
    ) {
        let TokenError::NotGranted { .. } = error else { return };
        let foreign = asked.iter().filter(|name| record.grant_named(name).is_none());
        let names: &[RepoName] = &foreign.cloned().collect::<Vec<_>>();
        let now = OffsetDateTime::now_utc();
        self.refusals().note(&record.drone, names, now);
        let worth_it = self.stale(record).next().is_some() && !self.are_others(record, names);
        if worth_it && self.refusals().may_look(&record.drone, now) {
            let (broker, record) = (Arc::clone(self), record.clone());
            self.tasks.spawn(async move { broker.look_for_names(&record).await });
        }
    }

    /// Grants whose repositories may be called otherwise by now.
    fn stale<'a>(&'a self, record: &'a Record) -> impl Iterator<Item = &'a Grant> {
        let host = &record.repo.host;
        record
            .grants
            .iter()
            .filter(move |grant| self.installations.may_be_renamed(host, grant, FRESH))
    }

    /// Whether each of these is known to be a repository that the drone was not granted.
    fn are_others(&self, record: &Record, names: &[RepoName]) -> bool {
        let ours = |id| record.grants.iter().any(|grant| grant.repo_id == id);
        let all = self.records.all();
        let others: Vec<&Grant> = all
            .iter()
            .filter(|other| other.repo.host == record.repo.host)
            .flat_map(|other| &other.grants)
            .filter(|grant| !ours(grant.repo_id))
            .collect();
        names.iter().all(|name| others.iter().any(|grant| grant.name == *name))
    }

    async fn look_for_names(&self, record: &Record) {
        let host = &record.repo.host;
        let grants: Vec<&Grant> = self.stale(record).take(LOOKED_AT).collect();
        let mut by_installation: BTreeMap<InstallationId, Vec<&Grant>> = BTreeMap::new();
        for grant in grants {
            match self.installation_of(host, grant).await {
                Ok(found) => by_installation.entry(found.id).or_default().push(grant),
                Err(error) => self.no_name(record, grant, &error),
            }
        }
        for (installation, grants) in by_installation {
            let asked = self.ask_for_names(record, installation, &grants).await;
            if let Err(ForgeError::InstallationGone { .. }) = asked {
                // One of them moved, and spoils the answer for all.
                self.installations.forget(host, grants.iter().copied());
                for grant in grants {
                    if let Err(error) = self.ask_for_name(record, grant).await {
                        self.no_name(record, grant, &error);
                    }
                }
            }
        }
    }

    async fn ask_for_name(&self, record: &Record, grant: &Grant) -> Result<(), ForgeError> {
        let installation = self.installation_of(&record.repo.host, grant).await?;
        self.ask_for_names(record, installation.id, &[grant]).await
    }

    /// Asks with a token that opens metadata alone, and is taken back at once.
    async fn ask_for_names(
        &self,
        record: &Record,
        installation: InstallationId,
        grants: &[&Grant],
    ) -> Result<(), ForgeError> {
        let request = MintRequest {
            host: record.repo.host.clone(),
            installation,
            repositories: grants.iter().map(|grant| grant.repo_id).collect(),
            permissions: Permissions::from([("metadata".to_owned(), "read".to_owned())]),
        };
        let minted = self.forge.mint(&request).await?;
        if let Err(error) = self.forge.revoke(&request.host, &minted.token).await {
            tracing::debug!(host = %request.host, %error, "a metadata token is left to end by itself");
        }
        self.learn_names(record, &minted.repositories).await;
        Ok(())
    }

    fn no_name(&self, record: &Record, grant: &Grant, error: &ForgeError) {
        tracing::debug!(drone = %record.drone, repo = %grant.name, %error, "its name was not told");
        if matches!(error, ForgeError::NotFound { .. } | ForgeError::InstallationGone { .. }) {
            self.installations.lost(&record.repo.host, grant.repo_id);
        }
    }

    /// What a drone was refused since then, the newest last.
    pub fn refused_since(&self, drone: &DroneName, then: OffsetDateTime) -> Vec<RepoName> {
        self.refusals().since(drone, then)
    }

    /// A drone was granted a repository of this name.
    pub fn granted(&self, drone: &DroneName, name: &RepoName) {
        self.refusals().granted(drone, name);
    }

    fn refusals(&self) -> std::sync::MutexGuard<'_, super::refusals::Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use local_forge::{RepositoryChange, RepositorySpec};

    use super::super::audit::Audit;
    use super::super::grants;
    use super::*;
    use crate::adapters::github::GitHub;
    use crate::adapters::github::rig::{Rig, names, rig};

    const WRITE: &[(&str, &str)] = &[("contents", "write")];

    fn broker(rig: &Rig) -> Arc<Broker<GitHub>> {
        std::fs::create_dir_all(&rig.config.paths.state).expect("a directory");
        let audit = Arc::new(Audit::open(&rig.config.paths.audit()).expect("the log"));
        Broker::new(Arc::clone(&rig.github), Arc::clone(&rig.records), audit)
    }

    fn rename(rig: &Rig, from: (&str, &str), to: (&str, &str)) {
        let change = RepositoryChange {
            owner: Some(to.0.to_owned()),
            name: Some(to.1.to_owned()),
            ..Default::default()
        };
        rig.forge.change_repository(from.0, from.1, &change).expect("renamed");
    }

    /// Has a drone refused a name, and waits for what that causes.
    async fn refused(broker: &Arc<Broker<GitHub>>, record: &Record, name: &str) {
        let asked = names(&[name]);
        let error = grants::scope(record, &asked).expect_err("not granted");
        broker.was_refused(record, &asked, &error);
        broker.tasks.close();
        broker.tasks.wait().await;
        broker.tasks.reopen();
    }

    fn now(rig: &Rig, record: &Record) -> Arc<Record> {
        rig.records.find(&record.drone).expect("the record")
    }

    #[tokio::test]
    async fn a_refused_name_has_the_drones_own_repositories_looked_at_and_nothing_else() {
        let rig = rig().await;
        let broker = broker(&rig);
        let record = rig.drone(&[("acme/web", WRITE), ("other/tools", WRITE)]);
        rename(&rig, ("acme", "web"), ("acme", "site"));
        rename(&rig, ("other", "tools"), ("acme", "tools"));
        refused(&broker, &record, "acme/site").await;
        let record = now(&rig, &record);
        for (name, was) in [("acme/site", "acme/web"), ("acme/tools", "other/tools")] {
            let [new, old] = [name, was].map(|name| grants::scope(&record, &names(&[name])));
            assert_eq!(new.expect("by its new name"), old.expect("by its old name"), "{name}");
        }
        assert_eq!(rig.live_tokens(), Vec::<String>::new(), "the token for looking is taken back");
        let asked_by_name = rig.forge.calls().iter().any(|call| call.path.contains("site"));
        assert!(!asked_by_name, "{:?}", rig.forge.calls());
        assert_eq!(record.grant_version, 1, "a name is no grant");
    }

    #[tokio::test]
    async fn a_flood_of_refused_names_costs_the_forge_one_look() {
        let rig = rig().await;
        let broker = broker(&rig);
        let record = rig.drone(&[("acme/web", WRITE)]);
        for number in 0..20 {
            refused(&broker, &record, &format!("acme/r{number}")).await;
        }
        assert_eq!(rig.forge.mints(), 1);
        assert_eq!(broker.refused_since(&record.drone, OffsetDateTime::UNIX_EPOCH).len(), 16);
    }

    #[tokio::test]
    async fn names_told_a_moment_ago_and_those_of_others_cause_no_call() {
        let rig = rig().await;
        let broker = broker(&rig);
        let record = rig.drone(&[("acme/web", WRITE)]);
        let other = Record {
            drone: "acme-api".parse().expect("a name"),
            repo: rig.repo("acme/api"),
            repo_id: rig.id("acme/api"),
            grants: vec![Grant::new(
                rig.id("acme/api"),
                rig.repo("acme/api").name,
                crate::adapters::github::rig::permissions(WRITE),
            )],
            ..crate::records::tests::record("acme-api")
        };
        rig.records.create(other).expect("a record");
        refused(&broker, &record, "acme/api").await;
        assert_eq!(rig.forge.calls().len(), 0, "another drone's repository");
        broker.installations.named(&record.repo.host, [rig.id("acme/web")]);
        refused(&broker, &record, "acme/docs").await;
        assert_eq!(rig.forge.calls().len(), 0, "the names are fresh");
    }

    #[tokio::test]
    async fn a_repository_that_is_lost_does_not_hide_the_names_of_others() {
        let rig = rig().await;
        let broker = broker(&rig);
        let record = rig.drone(&[("acme/web", WRITE), ("acme/api", WRITE)]);
        let stranger =
            RepositorySpec { owner: "stranger".into(), name: "x".into(), ..Default::default() };
        rig.forge.create_repository(&stranger).await.expect("an account without the App");
        // Known to be in one installation, until one of them leaves it.
        for grant in &record.grants {
            broker.installations.of(&record.repo.host, grant).await.expect("installed");
        }
        rename(&rig, ("acme", "api"), ("stranger", "api"));
        rename(&rig, ("acme", "web"), ("acme", "site"));
        refused(&broker, &record, "acme/site").await;
        assert_eq!(now(&rig, &record).name_now().to_string(), "acme/site");
    }

    #[tokio::test]
    async fn tokens_from_before_a_transfer_are_dropped_by_whoever_looks_it_up() {
        let rig = rig().await;
        let broker = broker(&rig);
        let record = rig.drone(&[("acme/web", WRITE), ("acme/api", WRITE)]);
        let ask = async |record: &Record, name: &str| {
            let scope = grants::scope(record, &names(&[name])).expect("granted");
            broker.token_for(record, &scope, Duration::from_secs(300)).await.expect("a token")
        };
        let before = [ask(&record, "acme/web").await, ask(&record, "acme/api").await];
        rename(&rig, ("acme", "web"), ("other", "web"));
        let stale = ask(&record, "acme/web").await;
        assert_eq!(stale.sha256, before[0].sha256, "the forge tells nobody of it");
        broker.find(&rig.repo("other/web")).await.expect("found");
        let after = ask(&record, "acme/web").await;
        assert_eq!(after.repository_list(), "other/web", "by its old name, at once");
        let same = ask(&record, "acme/api").await;
        assert_eq!(same.sha256, before[1].sha256, "the others stay");
        // And by the look that a refused name causes.
        rename(&rig, ("other", "web"), ("acme", "site"));
        broker.installations.forget(&record.repo.host, &record.grants);
        let grant = record.primary().expect("the primary");
        broker.ask_for_name(&record, grant).await.expect("told");
        assert_eq!(ask(&now(&rig, &record), "acme/site").await.repository_list(), "acme/site");
    }

    #[tokio::test]
    async fn an_old_name_that_another_repository_has_now_opens_nothing_of_it() {
        let rig = rig().await;
        let broker = broker(&rig);
        let record = rig.drone(&[("acme/web", WRITE)]);
        let id = rig.id("acme/web");
        rename(&rig, ("acme", "web"), ("other", "web"));
        let spec =
            RepositorySpec { owner: "acme".into(), name: "web".into(), ..Default::default() };
        rig.forge.create_repository(&spec).await.expect("another under the old name");
        let scope = grants::scope(&record, &names(&["acme/web"])).expect("granted by id");
        let min_valid = Duration::from_secs(300);
        let live = broker.token_for(&record, &scope, min_valid).await.expect("a token");
        let opens = rig
            .forge
            .state(|state| state.tokens.iter().map(|t| t.repositories.clone()).collect::<Vec<_>>());
        assert_eq!(opens, [Some(vec![id])], "the one that was granted, in its new account");
        assert_eq!(live.repository_list(), "other/web");
    }
}

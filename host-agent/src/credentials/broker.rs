//! Tokens for drones: grants first, then the cache, then the forge.
//!
//! Concurrent requests share one call to the forge. That call belongs to the broker, not to who
//! asked first: a client that hangs up does not end it for the others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hatchery_protocol::wire::Permissions;
use hatchery_protocol::{DroneName, ForgeHost, RepoId, RepoName};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::audit::{Audit, Event, Line};
use super::cache::{Answer, Cache, Flight, Landing};
use super::forge::{Forge, ForgeError, ForgeRepository, Installation, InstallationId, MintRequest};
use super::grants::{self, Scope};
use super::installations::Installations;
use super::permissions;
use super::refusals::Refusals;
use super::revoke::Revoker;
use super::token::{Live, TokenError};
use super::vault::{Left, Vault};
use crate::records::{ForgeRepoId, Grant, Record, RecordStore};

/// How often tokens in use are looked over for a refresh.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How long a request waits for a forge that hangs while there is a token that is good still; less
/// than clients wait for their answer.
const FORGE_PATIENCE: Duration = Duration::from_secs(3);
/// How long slay waits for its tokens to be taken back; after that it goes on in the background.
const REVOKE_PATIENCE: Duration = Duration::from_secs(3);
/// How long the end of the host agent waits for calls under way.
const DRAIN: Duration = Duration::from_secs(5);

/// The broker of all drones' tokens.
pub struct Broker<F> {
    pub(super) forge: Arc<F>,
    pub(super) records: Arc<RecordStore>,
    audit: Arc<Audit>,
    pub(super) installations: Installations<F>,
    pub(super) refusals: Mutex<Refusals>,
    cache: Mutex<Cache>,
    revoker: Revoker<F>,
    vault: Arc<Vault>,
    pub(super) tasks: TaskTracker,
    stop: CancellationToken,
}

impl<F: Forge> Broker<F> {
    /// Idle.
    pub fn new(forge: Arc<F>, records: Arc<RecordStore>, audit: Arc<Audit>) -> Arc<Self> {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let vault = Arc::new(Vault::default());
        let revoker =
            Revoker::new(Arc::clone(&forge), Arc::clone(&audit), tasks.clone(), stop.clone())
                .with_vault(Arc::clone(&vault));
        let installations = Installations::new(Arc::clone(&forge));
        let (cache, refusals) = (Mutex::default(), Mutex::default());
        Arc::new(Self {
            forge,
            records,
            audit,
            installations,
            refusals,
            cache,
            revoker,
            vault,
            tasks,
            stop,
        })
    }

    /// Where live tokens are kept beyond the end of this process.
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// Takes over a token of the host agent before this one. It is served to nobody, as its scope
    /// was not kept; it ends with its drone's next revocation, or now where nobody needs it.
    pub fn take_over(&self, left: Left) {
        let Left { drone, live, ending } = left;
        if ending || self.records.find(&drone).is_none() {
            drop(self.revoker.revoke(drone, live));
        } else {
            self.cache().remember(&drone, live, OffsetDateTime::now_utc());
        }
    }

    /// Finds a repository on its forge. The forge takes a token for that, which must be taken back
    /// even if whoever asked does not wait for the answer.
    ///
    /// # Errors
    /// As [`Forge::repository`].
    pub async fn find(&self, repo: &RepoId) -> Result<ForgeRepository, ForgeError> {
        let (forge, wanted) = (Arc::clone(&self.forge), repo.clone());
        let finding = self.tasks.spawn(async move { forge.repository(&wanted).await });
        let found = finding.await.unwrap_or_else(|error| {
            let message = format!("the search for {repo} broke off: {error}");
            Err(ForgeError::Unreachable { host: repo.host.clone(), message })
        })?;
        self.installations.found(&repo.host, &found);
        self.covered_by(&repo.host, found.id, found.installation);
        Ok(found)
    }

    /// The installation that covers a granted repository. Tokens from another one are served no
    /// more: it moved to another account since.
    pub(super) async fn installation_of(
        &self,
        host: &ForgeHost,
        grant: &Grant,
    ) -> Result<Installation, ForgeError> {
        let found = self.installations.of(host, grant).await?;
        self.covered_by(host, grant.repo_id, found.id);
        Ok(found)
    }

    fn covered_by(&self, host: &ForgeHost, id: ForgeRepoId, installation: InstallationId) {
        if self.cache().drop_stranded(host, id, installation) {
            tracing::info!(%host, id, "a repository moved to another account: its tokens are dropped");
        }
    }

    /// The token for `scope` that is there already, and good for so long that nothing needs to be
    /// done about it. `None`: [`Broker::token_for`].
    pub fn cached(&self, record: &Record, scope: &Scope, min_valid: Duration) -> Option<Arc<Live>> {
        let (version, now) = (record.grant_version, OffsetDateTime::now_utc());
        self.cache().fresh(&record.drone, version, scope, min_valid, now)
    }

    /// A token for `scope` with more than `min_valid` of its life left, where the forge can be
    /// asked; else one that is valid still.
    ///
    /// # Errors
    /// When there is none; see [`TokenError`].
    pub async fn token_for(
        self: &Arc<Self>,
        record: &Record,
        scope: &Scope,
        min_valid: Duration,
    ) -> Result<Arc<Live>, TokenError> {
        let (drone, now) = (&record.drone, OffsetDateTime::now_utc());
        let answer = self.cache().ask(drone, record.grant_version, scope, min_valid, now)?;
        let live = match answer {
            Answer::Serve { live, refresh } => {
                if let Some(landing) = refresh {
                    self.fly(landing);
                }
                live
            }
            Answer::Wait { flight, fallback, start } => {
                if let Some(landing) = start {
                    self.fly(landing);
                }
                Self::landed_or_valid(flight, fallback).await?
            }
        };
        self.cache().served(drone, OffsetDateTime::now_utc());
        Ok(live)
    }

    /// What a flight brings; where it brings none, or takes long, a token that is good still.
    async fn landed_or_valid(
        flight: Flight,
        fallback: Option<Arc<Live>>,
    ) -> Result<Arc<Live>, TokenError> {
        let Some(valid) = fallback else { return flight.await };
        match tokio::time::timeout(FORGE_PATIENCE, flight.clone()).await {
            Ok(Err(error)) if !Self::may_fall_back(&error, &valid) => Err(error),
            Ok(Err(_)) => Ok(valid),
            Ok(Ok(live)) => Ok(live),
            // The flight goes on, for who asks next.
            Err(_) if valid.expires_at > OffsetDateTime::now_utc() => Ok(valid),
            Err(_) => flight.await,
        }
    }

    /// The forge is out of reach, and this token still good.
    fn may_fall_back(error: &TokenError, live: &Live) -> bool {
        let TokenError::Forge { source, .. } = error else { return false };
        let out_of_reach = matches!(
            **source,
            ForgeError::Unreachable { .. }
                | ForgeError::RateLimited { .. }
                | ForgeError::BadApp { .. }
        );
        out_of_reach && live.expires_at > OffsetDateTime::now_utc()
    }

    /// Starts a flight to the forge, owned by the broker.
    fn fly(self: &Arc<Self>, landing: Landing) {
        let broker = Arc::clone(self);
        self.tasks.spawn(async move {
            let minted = broker.mint(&landing).await;
            match &minted {
                Err(error) if error.cost_a_call() => {
                    tracing::warn!(drone = %landing.drone, %error, "no token was minted");
                }
                // As often as a drone likes.
                Err(error) => {
                    tracing::debug!(drone = %landing.drone, %error, "the forge was not asked");
                }
                Ok(_) => {}
            }
            let drone = landing.drone.clone();
            let late = broker.cache().land(landing, minted, OffsetDateTime::now_utc());
            if let Some(live) = late {
                drop(broker.revoker.revoke(drone, live));
            }
        });
    }

    async fn mint(&self, landing: &Landing) -> Result<Live, TokenError> {
        let gone = || TokenError::Revoked(landing.drone.clone());
        let record = self.records.find(&landing.drone).ok_or_else(gone)?;
        if record.grant_version != landing.version {
            return Err(gone());
        }
        let minted = match self.mint_once(&record, &landing.scope).await {
            Err(TokenError::Forge { source, .. })
                if matches!(*source, ForgeError::InstallationGone { .. }) =>
            {
                // Moved to another account, renamed, or other permissions: look again, once.
                self.installations.forget(&record.repo.host, &record.grants);
                self.mint_once(&record, &landing.scope).await
            }
            other => other,
        }?;
        // Before anybody has it: killed from now on, this process leaves it to the next one.
        self.vault.put(&landing.drone, &minted).await;
        let mut line = Line::new(Event::Mint, &landing.drone).token(&minted.sha256);
        line.container = record.container_id.as_deref();
        line.repository = Some(minted.repository_list());
        line.permissions = Some(&minted.permissions);
        self.audit.write(line).await;
        Ok(minted)
    }

    async fn mint_once(&self, record: &Record, scope: &Scope) -> Result<Live, TokenError> {
        let request = self.request(record, scope).await?;
        let minted = self.forge.mint(&request).await.map_err(forge_error(record.name_now()))?;
        self.learn_names(record, &minted.repositories).await;
        Ok(Live::new(request.host, request.installation, minted))
    }

    /// Turns a scope into what the forge is asked for: one installation, ids, and the permissions
    /// that all of the grants and the installation have.
    async fn request(&self, record: &Record, scope: &Scope) -> Result<MintRequest, TokenError> {
        let host = &record.repo.host;
        let (first, others) = members(record, scope)?;
        let installation =
            self.installation_of(host, first).await.map_err(forge_error(&first.name))?;
        let mut covered = vec![first];
        for grant in others {
            match (self.installation_of(host, grant).await, scope) {
                (Ok(found), _) if found.id == installation.id => covered.push(grant),
                // Only what happens to be in reach goes with the primary repository.
                (_, Scope::Primary) => {}
                (Ok(_), Scope::Repositories(_)) => {
                    return Err(TokenError::ManyInstallations {
                        one: first.name.clone(),
                        other: grant.name.clone(),
                    });
                }
                (Err(source), Scope::Repositories(_)) => {
                    return Err(forge_error(&grant.name)(source));
                }
            }
        }
        let granted: Permissions = match scope {
            Scope::Primary => first.permissions.clone(),
            Scope::Repositories(_) => {
                permissions::intersection(covered.iter().map(|grant| &grant.permissions))
            }
        };
        let permissions = permissions::lowest(&granted, &installation.permissions);
        if permissions.is_empty() {
            return Err(TokenError::NoPermissions { repo: first.name.clone() });
        }
        Ok(MintRequest {
            host: host.clone(),
            installation: installation.id,
            repositories: covered.iter().map(|grant| grant.repo_id).collect(),
            permissions,
        })
    }

    /// Drops the drone's token with this SHA-256: the forge did not take it. Whether it did.
    pub fn reject(&self, drone: &DroneName, sha256: &str) -> bool {
        self.cache().reject(drone, sha256, OffsetDateTime::now_utc())
    }

    /// Drops what is cached for a drone; what was minted is remembered for [`Broker::revoke`].
    pub fn clear(&self, drone: &DroneName) {
        self.cache().clear(drone);
    }

    /// Takes back every token of a drone: tried at once, and on in the background where the forge
    /// does not answer.
    pub async fn revoke(&self, drone: &DroneName) {
        let minted = self.cache().take_minted(drone);
        let revoked = minted.into_iter().map(|live| self.revoker.revoke(drone.clone(), live));
        let all = futures_util::future::join_all(revoked);
        if tokio::time::timeout(REVOKE_PATIENCE, all).await.is_err() {
            tracing::warn!(%drone, "the forge is slow to take tokens back; it is tried on");
        }
    }

    /// Forgets a drone that is no more.
    pub fn remove(&self, drone: &DroneName) {
        self.cache().remove(drone);
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).remove(drone);
    }

    /// When the drone last got a token.
    pub fn last_token_at(&self, drone: &DroneName) -> Option<OffsetDateTime> {
        self.cache().last_token_at(drone)
    }

    /// Refreshes tokens in use until cancelled; then waits a little for calls under way.
    pub async fn run(self: &Arc<Self>, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = ticks.tick() => {
                    let due = self.cache().sweep(OffsetDateTime::now_utc());
                    due.into_iter().for_each(|landing| self.fly(landing));
                    self.vault.sweep(OffsetDateTime::now_utc()).await;
                }
            }
        }
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(DRAIN, self.tasks.wait()).await.is_err() {
            tracing::warn!("calls to a forge were still under way at the end");
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forge_error(repo: &RepoName) -> impl FnOnce(ForgeError) -> TokenError {
    let repo = repo.clone();
    move |source| TokenError::Forge { repo, source: Arc::new(source) }
}

/// The grants that a scope is about, the one that decides on the installation first.
fn members<'a>(
    record: &'a Record,
    scope: &Scope,
) -> Result<(&'a Grant, Vec<&'a Grant>), TokenError> {
    let none = || TokenError::NoGrants(record.drone.clone());
    match scope {
        Scope::Primary => {
            let primary = record.primary().ok_or_else(none)?;
            Ok((primary, grants::companions(record, primary).collect()))
        }
        Scope::Repositories(ids) => {
            let mut members = Vec::with_capacity(ids.len());
            for id in ids {
                members.push(
                    record.grants.iter().find(|grant| grant.repo_id == *id).ok_or_else(none)?,
                );
            }
            let first = *members.first().ok_or_else(none)?;
            Ok((first, members.into_iter().skip(1).collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use local_forge::{FaultKind, FaultSpec, InstallationChange, RepositoryChange};

    use super::*;
    use crate::adapters::github::GitHub;
    use crate::adapters::github::rig::{Rig, names, rig};

    const WRITE: &[(&str, &str)] = &[("contents", "write"), ("issues", "write")];
    const READ: &[(&str, &str)] = &[("contents", "read")];
    const MIN_VALID: Duration = Duration::from_secs(300);

    fn broker(rig: &Rig) -> (Arc<Broker<GitHub>>, Arc<Audit>) {
        std::fs::create_dir_all(&rig.config.paths.state).expect("a directory");
        let audit = Arc::new(Audit::open(&rig.config.paths.audit()).expect("the log"));
        let (forge, records) = (Arc::clone(&rig.github), Arc::clone(&rig.records));
        (Broker::new(forge, records, Arc::clone(&audit)), audit)
    }

    async fn ask(
        broker: &Arc<Broker<GitHub>>,
        record: &Record,
        repositories: &[&str],
    ) -> Result<Arc<Live>, TokenError> {
        let scope = grants::scope(record, &names(repositories))?;
        broker.token_for(record, &scope, MIN_VALID).await
    }

    #[tokio::test]
    async fn concurrent_requests_share_one_mint() {
        let rig = rig().await;
        let (broker, _audit) = broker(&rig);
        let record = rig.drone(&[("acme/web", WRITE)]);
        let gate = rig.forge.hold_mint();
        let asks =
            futures_util::future::join_all((0..50).map(|_| ask(&broker, &record, &["acme/web"])));
        let (answers, ()) = tokio::join!(asks, async {
            gate.arrived().await;
            gate.open();
        });
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(rig.forge.mints(), 1);
        ask(&broker, &record, &["acme/web"]).await.expect("from the cache");
        assert_eq!(rig.forge.mints(), 1);
    }

    #[tokio::test]
    async fn who_hangs_up_does_not_end_the_mint_for_others() {
        let rig = rig().await;
        let (broker, _audit) = broker(&rig);
        let record = rig.drone(&[("acme/web", WRITE)]);
        let gate = rig.forge.hold_mint();
        let first = {
            let (broker, record) = (Arc::clone(&broker), Arc::clone(&record));
            tokio::spawn(async move { ask(&broker, &record, &[]).await.map(drop) })
        };
        gate.arrived().await;
        first.abort();
        let second = ask(&broker, &record, &[]);
        let (answer, ()) = tokio::join!(second, async { gate.open() });
        assert!(answer.is_ok());
        assert_eq!(rig.forge.mints(), 1);
    }

    #[tokio::test]
    async fn who_hangs_up_on_a_search_leaves_no_token() {
        let rig = rig().await;
        let (broker, _audit) = broker(&rig);
        let repo = rig.drone(&[("acme/web", WRITE)]).repo.clone();
        let gate = rig.forge.hold_mint();
        let searching = {
            let broker = Arc::clone(&broker);
            tokio::spawn(async move { broker.find(&repo).await.map(drop) })
        };
        gate.arrived().await;
        searching.abort();
        gate.open();
        let stop = CancellationToken::new();
        stop.cancel();
        broker.run(stop).await;
        assert_eq!(rig.forge.mints(), 1);
        assert!(rig.forge.state(|state| state.tokens.is_empty()), "it was taken back");
    }

    #[tokio::test]
    async fn what_was_not_granted_never_reaches_the_forge() {
        let rig = rig().await;
        let (broker, _audit) = broker(&rig);
        let record = rig.drone(&[("acme/web", WRITE)]);
        for wanted in [&["acme/api"][..], &["acme/web", "acme/api"], &["other/tools"]] {
            let error = ask(&broker, &record, wanted).await.expect_err("not granted");
            assert!(matches!(error, TokenError::NotGranted { .. }), "{error}");
        }
        assert_eq!(rig.forge.calls().len(), 0);
    }

    #[tokio::test]
    async fn a_token_has_what_grants_and_installation_both_have() {
        let rig = rig().await;
        let (broker, _audit) = broker(&rig);
        let record = rig.drone(&[("acme/web", WRITE), ("acme/api", READ), ("acme/docs", WRITE)]);
        let own = ask(&broker, &record, &[]).await.expect("a token");
        assert_eq!(own.repository_list(), "acme/web,acme/docs", "those with all its permissions");
        assert_eq!(own.permissions["contents"], "write");
        assert_eq!(own.permissions["issues"], "read", "the installation has no more");
        let both = ask(&broker, &record, &["acme/api", "acme/web"]).await.expect("a token");
        assert_eq!(both.permissions["contents"], "read");
        assert!(!both.permissions.contains_key("issues"));
        let again = ask(&broker, &record, &["acme/web", "ACME/api"]).await.expect("a token");
        assert_eq!(again.sha256, both.sha256, "whatever the order");
    }

    #[tokio::test]
    async fn no_token_spans_two_installations() {
        let rig = rig().await;
        let (broker, _audit) = broker(&rig);
        let record = rig.drone(&[("acme/web", WRITE), ("other/tools", WRITE)]);
        let error = ask(&broker, &record, &["acme/web", "other/tools"]).await.expect_err("no");
        assert!(matches!(error, TokenError::ManyInstallations { .. }), "{error}");
        let own = ask(&broker, &record, &[]).await.expect("a token");
        assert_eq!(own.repository_list(), "acme/web");
        ask(&broker, &record, &["other/tools"]).await.expect("one at a time");
    }

    #[tokio::test]
    async fn while_the_forge_is_down_a_valid_token_is_served() {
        let rig = rig().await;
        let (broker, _audit) = broker(&rig);
        let record = rig.drone(&[("acme/web", WRITE)]);
        let scope = grants::scope(&record, &[]).expect("a scope");
        // One with less life left than is asked for, so that the forge is asked, in vain.
        let now = OffsetDateTime::now_utc();
        let answer = broker.cache().ask(&record.drone, 1, &scope, MIN_VALID, now);
        let Ok(Answer::Wait { start: Some(landing), .. }) = answer else {
            panic!("nothing is cached yet");
        };
        let minted = broker.mint(&landing).await.expect("minted");
        let old = Live { expires_at: now + Duration::from_secs(60), ..minted };
        let sha256 = old.sha256.clone();
        assert!(broker.cache().land(landing, Ok(old), now).is_none());
        rig.forge.add_fault(FaultSpec::everywhere(FaultKind::Cut));
        rig.forge.clear_calls();
        let served = broker.token_for(&record, &scope, MIN_VALID).await.expect("the old one");
        assert_eq!(served.sha256, sha256);
        assert!(!rig.forge.calls().is_empty(), "the forge was asked");
        broker.clear(&record.drone);
        let error = broker.token_for(&record, &scope, MIN_VALID).await.expect_err("nothing cached");
        assert!(matches!(error, TokenError::Forge { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_rejected_token_is_replaced_but_not_in_a_flood() {
        let rig = rig().await;
        let (broker, _audit) = broker(&rig);
        let record = rig.drone(&[("acme/web", WRITE)]);
        let first = ask(&broker, &record, &[]).await.expect("a token");
        assert!(!broker.reject(&record.drone, &"0".repeat(64)), "somebody else's");
        assert!(broker.reject(&record.drone, &first.sha256));
        let mut last = ask(&broker, &record, &[]).await.expect("another");
        assert_ne!(last.sha256, first.sha256);
        let mut replaced = 1;
        for _ in 0..10 {
            replaced += u32::from(broker.reject(&record.drone, &last.sha256));
            last = ask(&broker, &record, &[]).await.expect("a token");
        }
        assert_eq!(replaced, 2);
    }

    #[tokio::test]
    async fn new_grants_end_the_old_tokens_service_and_slay_ends_them_all() {
        let rig = rig().await;
        let (broker, audit) = broker(&rig);
        let record = rig.drone(&[("acme/web", WRITE)]);
        let old = ask(&broker, &record, &[]).await.expect("a token");
        let changed =
            rig.records.update(&record.drone, |record| record.grant_version += 1).expect("changed");
        let new = ask(&broker, &changed, &[]).await.expect("a token");
        assert_ne!(old.sha256, new.sha256);
        assert!(matches!(ask(&broker, &record, &[]).await, Err(TokenError::Revoked(_))));
        assert_eq!(rig.live_tokens().len(), 2);
        broker.revoke(&record.drone).await;
        assert_eq!(rig.live_tokens(), Vec::<String>::new());
        audit.close().await;
        let revoked = rig.audit().iter().filter(|line| line["event"] == "revoke").count();
        assert_eq!(revoked, 2);
    }

    #[tokio::test]
    async fn a_mint_that_comes_home_after_slay_is_taken_back() {
        let rig = rig().await;
        let (broker, _audit) = broker(&rig);
        let record = rig.drone(&[("acme/web", WRITE)]);
        let gate = rig.forge.hold_mint();
        let asking = ask(&broker, &record, &[]);
        let (answer, ()) = tokio::join!(asking, async {
            gate.arrived().await;
            broker.revoke(&record.drone).await;
            gate.open();
        });
        assert!(matches!(answer, Err(TokenError::Revoked(_))));
        broker.stop.cancel();
        broker.tasks.close();
        tokio::time::timeout(DRAIN, broker.tasks.wait()).await.expect("revoked");
        assert_eq!(rig.live_tokens(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_renamed_or_transferred_repository_is_found_again() {
        let rig = rig().await;
        let (broker, _audit) = broker(&rig);
        let record = rig.drone(&[("acme/web", WRITE)]);
        ask(&broker, &record, &["acme/web"]).await.expect("a token");
        let change = RepositoryChange {
            name: Some("site".to_owned()),
            owner: Some("other".to_owned()),
            ..Default::default()
        };
        rig.forge.change_repository("acme", "web", &change).expect("moved");
        broker.clear(&record.drone);
        let moved = ask(&broker, &record, &["acme/web"]).await.expect("by its old name");
        assert_eq!(moved.repository_list(), "other/site");
        let record = rig.records.find(&record.drone).expect("the record");
        assert_eq!(record.name_now().to_string(), "other/site", "as the mint told");
        let by_new_name = ask(&broker, &record, &["other/site"]).await.expect("by its new name");
        assert_eq!(by_new_name.sha256, moved.sha256);
    }

    #[tokio::test]
    async fn a_suspended_installation_ends_what_is_cached() {
        let rig = rig().await;
        let (broker, _audit) = broker(&rig);
        let record = rig.drone(&[("acme/web", WRITE)]);
        let live = ask(&broker, &record, &[]).await.expect("a token");
        let id = rig.forge.state(|state| state.installations.values().next().map(|it| it.id));
        let change = InstallationChange { suspended: Some(true), ..Default::default() };
        rig.forge.change_installation(id.expect("one"), &change).expect("suspended");
        assert!(broker.reject(&record.drone, &live.sha256));
        let error = ask(&broker, &record, &[]).await.expect_err("suspended");
        assert!(error.to_string().contains("suspended"), "{error}");
    }

    #[tokio::test]
    async fn who_asks_while_the_forge_limits_us_loses_nothing_by_it() {
        let rig = rig().await;
        let (broker, _audit) = broker(&rig);
        let record = rig.drone(&[("acme/web", WRITE), ("other/tools", WRITE)]);
        let limited = FaultKind::RateLimit { retry_after: None, reset_seconds: 60, status: 403 };
        let path = format!("/app/installations/{}/", rig.installation("acme"));
        rig.forge.add_fault(FaultSpec::everywhere(limited).on(&path).times(1));
        for _ in 0..100 {
            let error = ask(&broker, &record, &["acme/web"]).await.expect_err("limited");
            let TokenError::Forge { source, .. } = &error else { panic!("{error:?}") };
            assert!(matches!(**source, ForgeError::RateLimited { .. }), "{error}");
        }
        let mints = || rig.forge.calls().iter().filter(|call| call.path.starts_with(&path)).count();
        assert_eq!(mints(), 1, "the forge was left alone");
        for _ in 0..100 {
            let both = ask(&broker, &record, &["acme/web", "other/tools"]).await;
            assert!(matches!(both, Err(TokenError::ManyInstallations { .. })));
        }
        // Another account has its own limit, and the drone all but one of its budget.
        ask(&broker, &record, &["other/tools"]).await.expect("a token");
    }

    #[tokio::test]
    async fn a_flood_of_mints_is_held_back_before_it_reaches_the_forge() {
        let rig = rig().await;
        let (broker, _audit) = broker(&rig);
        let record = rig.drone(&[("acme/web", WRITE)]);
        rig.forge.add_fault(
            FaultSpec::everywhere(FaultKind::Status { status: 500, message: None })
                .on("/app/installations"),
        );
        let mut asked = 0;
        let busy = loop {
            asked += 1;
            let error = ask(&broker, &record, &[]).await.expect_err("in trouble");
            if matches!(error, TokenError::Busy { .. }) || asked > 100 {
                break error;
            }
        };
        assert!(matches!(busy, TokenError::Busy { .. }), "{busy} after {asked}");
    }
}

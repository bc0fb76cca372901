//! Who may have which token: attestation, grants, the broker that mints and caches, the audit log.
//!
//! [`Credentials`] is the whole of it as lifecycle, `drone_api` and `serve` see it. Sockets are
//! opened here, because lifecycle decides when; `drone_api` takes them over and answers on them.

pub mod attest;
pub mod audit;
mod broker;
mod budget;
mod cache;
pub(crate) mod cgroup;
pub mod forge;
pub(crate) mod grants;
mod installations;
pub mod keeper;
mod kept_sockets;
mod never_asked;
pub mod permissions;
mod refusals;
mod renames;
mod revoke;
mod socket;
mod succession;
pub mod token;
pub mod trail;
mod vault;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hatchery_protocol::wire::{GrantedRepo, Identity, MIN_VALID_DEFAULT, Permissions};
use hatchery_protocol::{DroneName, ForgeHost, RepoId, RepoName};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use budget::Budget;
pub use forge::{Forge, ForgeError, ForgeRepository};

use crate::config::Config;
use crate::records::{Grant, Record, RecordStore};
use crate::secret::Token;
use attest::{Attested, Refusal};
use audit::{Audit, Event, Line, Verdict};
use broker::Broker;
use forge::Installation;
use keeper::{Keeper, Kept};
use kept_sockets::KeptSockets;
use permissions::{beyond, includes, lowest};
use token::{Live, TokenError};

/// How long a closing socket's connections may take to end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// How long a drone's identity waits for the forge to name the bot.
const IDENTITY_PATIENCE: Duration = Duration::from_secs(3);

/// A drone's socket, to be answered on until `stop`.
#[derive(Debug)]
pub struct DroneSocket {
    /// Whose.
    pub drone: DroneName,
    /// Accepts without blocking.
    pub listener: std::os::unix::net::UnixListener,
    /// Cancelled when the drone's socket closes.
    pub stop: CancellationToken,
    /// Every task that serves this socket: closing waits for them.
    pub tasks: TaskTracker,
}

#[derive(Debug)]
struct Open {
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// The credential service of all drones.
pub struct Credentials<F> {
    forge: Arc<F>,
    records: Arc<RecordStore>,
    config: Arc<Config>,
    audit: Arc<Audit>,
    broker: Arc<Broker<F>>,
    /// PEM of the private CAs, by forge.
    authorities: BTreeMap<ForgeHost, String>,
    kept: Arc<KeptSockets>,
    open: Mutex<HashMap<DroneName, Open>>,
    opened: mpsc::UnboundedSender<DroneSocket>,
    sockets: Mutex<Option<mpsc::UnboundedReceiver<DroneSocket>>>,
}

impl<F: Forge> Credentials<F> {
    /// Opens the audit log; listens nowhere yet.
    ///
    /// # Errors
    /// When the state directory cannot be used, or a forge's `ca_file` not be read.
    pub fn new(
        config: Arc<Config>,
        records: Arc<RecordStore>,
        forge: Arc<F>,
    ) -> std::io::Result<Self> {
        std::fs::create_dir_all(&config.paths.state)?;
        let audit = Arc::new(Audit::open(&config.paths.audit())?);
        let broker = Broker::new(Arc::clone(&forge), Arc::clone(&records), Arc::clone(&audit));
        let mut authorities = BTreeMap::new();
        for forge in &config.forges {
            if let Some(path) = &forge.ca_file {
                authorities.insert(forge.host.clone(), std::fs::read_to_string(path)?);
            }
        }
        let (opened, sockets) = mpsc::unbounded_channel();
        let (open, sockets) = (Mutex::default(), Mutex::new(Some(sockets)));
        let kept = Arc::default();
        Ok(Self { forge, records, config, audit, broker, authorities, kept, open, opened, sockets })
    }

    /// Has sockets and live tokens kept beyond the end of this process, and takes over what was
    /// kept for it: names and descriptors. Before anything else happens.
    pub async fn use_keeper(&self, keeper: Arc<dyn Keeper>, kept: Vec<(String, OwnedFd)>) {
        self.kept.use_keeper(Arc::clone(&keeper));
        self.broker.vault().use_keeper(Arc::clone(&keeper));
        let (sockets, vault) = (Arc::clone(&self.kept), Arc::clone(self.broker.vault()));
        let taken = tokio::task::spawn_blocking(move || {
            let mut tokens = Vec::new();
            for (name, descriptor) in kept {
                match name.parse() {
                    Ok(Kept::Socket { drone, file }) => sockets.inherit(drone, file, descriptor),
                    Ok(Kept::Tokens { drone, number }) => tokens.push((drone, number, descriptor)),
                    Err(error) => {
                        let gone = keeper.let_go(&name).is_ok();
                        tracing::warn!(name, %error, gone, "a descriptor of nobody's was kept");
                    }
                }
            }
            vault.take_over(tokens)
        });
        for left in taken.await.unwrap_or_default() {
            self.broker.take_over(left);
        }
    }

    /// Opens every drone that has a record, and drops what was kept for others.
    pub async fn open_all(&self) {
        for record in self.records.all() {
            if let Err(error) = self.open_drone(&record.drone).await {
                tracing::error!(drone = %record.drone, %error, "cannot listen on its socket");
            }
        }
        let sockets = Arc::clone(&self.kept);
        // Fails only when the runtime ends.
        let _ = tokio::task::spawn_blocking(move || sockets.close_others()).await;
    }

    /// Finds a repository on its forge.
    ///
    /// # Errors
    /// As [`Forge::repository`].
    pub async fn resolve(&self, repo: &RepoId) -> Result<ForgeRepository, ForgeError> {
        self.broker.find(repo).await
    }

    /// Makes the drone's socket directory and listens on its socket. A drone that has one already
    /// keeps it (the directory is never recreated while a container exists). Needs its record.
    ///
    /// # Errors
    /// When the directory or the socket cannot be made.
    pub async fn open_drone(&self, drone: &DroneName) -> std::io::Result<()> {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        {
            let mut open = self.open();
            if open.contains_key(drone) {
                return Ok(());
            }
            open.insert(drone.clone(), Open { stop: stop.clone(), tasks: tasks.clone() });
        }
        let (sockets, name) = (self.config.paths.sockets(), drone.clone());
        let kept = Arc::clone(&self.kept);
        let listening = tokio::task::spawn_blocking(move || kept.listen(&sockets, &name)).await;
        match listening.map_err(io::Error::other).and_then(|result| result) {
            Ok(listener) => {
                let drone = drone.clone();
                // Fails only when nobody serves any more, at the end of the host agent.
                let _ = self.opened.send(DroneSocket { drone, listener, stop, tasks });
                Ok(())
            }
            Err(error) => {
                self.open().remove(drone);
                Err(error)
            }
        }
    }

    /// Stops listening for a drone and drops what is cached for it; the directory stays.
    pub async fn close_drone(&self, drone: &DroneName) {
        self.broker.clear(drone);
        let open = self.open().remove(drone);
        if let Some(Open { stop, tasks }) = open {
            stop.cancel();
            tasks.close();
            if tokio::time::timeout(CLOSE_PATIENCE, tasks.wait()).await.is_err() {
                tracing::warn!(%drone, "connections to the drone's socket are slow to end");
            }
            let (kept, name) = (Arc::clone(&self.kept), drone.clone());
            // Fails only when the runtime ends.
            let _ = tokio::task::spawn_blocking(move || kept.close(&name)).await;
        }
        // Once more: a request that was under way may have filled it again.
        self.broker.clear(drone);
    }

    /// Takes back every token minted for a drone, retried in the background until each has ended.
    pub async fn revoke_drone(&self, drone: &DroneName) {
        self.broker.revoke(drone).await;
    }

    /// Removes the drone's socket directory; its listener must be closed and container gone.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub async fn remove_drone(&self, drone: &DroneName) -> std::io::Result<()> {
        self.broker.remove(drone);
        let (sockets, name) = (self.config.paths.sockets(), drone.clone());
        let removed =
            tokio::task::spawn_blocking(move || socket::remove_directory(&sockets, &name)).await;
        match removed.map_err(io::Error::other).and_then(|result| result) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// The drone's primary token for the host's own clone, cached and audited like the drone's.
    ///
    /// # Errors
    /// As minting.
    pub async fn clone_token(&self, drone: &DroneName) -> Result<Arc<Token>, ForgeError> {
        let Some(record) = self.records.find(drone) else {
            // Slain meanwhile. Its forge went with the record; the first one stands in.
            let message = format!("{drone} has no record");
            let host = self.config.default_forge().clone();
            return Err(ForgeError::InstallationGone { host, message });
        };
        let wanted = [record.name_now().clone()];
        let live = self.token_for(&record, None, &wanted, MIN_VALID).await.map_err(|error| {
            error.into_forge_error(record.repo.host.clone(), record.repo.name.clone())
        })?;
        Ok(Arc::clone(&live.token))
    }

    /// When the drone last got a token.
    pub fn last_token_at(&self, drone: &DroneName) -> Option<OffsetDateTime> {
        self.broker.last_token_at(drone)
    }

    /// Serves until cancelled: refreshes tokens in use, retries revocations; ends with a drain.
    /// Nothing that happens to credentials after its end is audited.
    pub async fn run(self: Arc<Self>, shutdown: tokio_util::sync::CancellationToken) {
        self.broker.run(shutdown).await;
        self.audit.close().await;
    }

    /// The sockets that are opened from now on, and those that were opened before. Once.
    pub fn take_sockets(&self) -> Option<mpsc::UnboundedReceiver<DroneSocket>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// A token for repositories of the drone that asks; without any, for its own.
    ///
    /// # Errors
    /// See [`TokenError`]; what was not granted is refused before the forge is asked.
    pub async fn token(
        &self,
        peer: &Attested,
        repositories: &[RepoName],
        min_valid: Duration,
    ) -> Result<Arc<Live>, TokenError> {
        self.token_for(peer.record(), Some(peer.pid()), repositories, min_valid).await
    }

    /// The same where it is in the cache and nothing has to be waited for: neither the forge nor
    /// the audit log. `None`: [`Credentials::token`] decides.
    pub fn cached(
        &self,
        peer: &Attested,
        repositories: &[RepoName],
        min_valid: Duration,
    ) -> Option<Arc<Live>> {
        let record = peer.record();
        let scope = grants::scope(record, repositories).ok()?;
        let live = self.broker.cached(record, &scope, min_valid)?;
        let told = self.audit.write_now(&record.drone, |line| {
            tell(line, record, Some(peer.pid()), &live);
        });
        told.then_some(live)
    }

    async fn token_for(
        &self,
        record: &Record,
        pid: Option<u32>,
        repositories: &[RepoName],
        min_valid: Duration,
    ) -> Result<Arc<Live>, TokenError> {
        let answer = match grants::scope(record, repositories) {
            Ok(scope) => self.broker.token_for(record, &scope, min_valid).await,
            Err(error) => Err(error),
        };
        let event = if answer.is_ok() { Event::Token } else { Event::Refuse };
        let mut line = Line::new(event, &record.drone);
        match &answer {
            Ok(live) => tell(&mut line, record, pid, live),
            Err(error) => {
                line.container = record.container_id.as_deref();
                line.pid = pid;
                line.repository = Some(token::list(repositories));
                line.reason = Some(error.to_string());
                self.broker.was_refused(record, repositories, error);
            }
        }
        self.audit.write(line).await;
        answer
    }

    /// Takes the word of a drone that the forge did not accept a token, named by its SHA-256: the
    /// next request gets another, at most every few seconds.
    pub async fn reject(&self, peer: &Attested, sha256: &str) {
        if self.broker.reject(peer.drone(), sha256) {
            let mut line = Line::new(Event::Reject, peer.drone()).token(sha256);
            line.container = peer.record().container_id.as_deref();
            line.pid = Some(peer.pid());
            self.audit.write(line).await;
        }
    }

    /// Writes down that somebody was turned away at a drone's socket.
    pub async fn refused(&self, drone: &DroneName, pid: Option<u32>, refusal: &Refusal) {
        let mut line = Line::new(Event::Attest, drone);
        line.pid = pid;
        line.reason = Some(refusal.to_string());
        // Who floods the audit log must not flood this one instead.
        if self.audit.write(line).await {
            tracing::warn!(%drone, pid, %refusal, "a caller was turned away");
        }
    }

    /// Writes down that `grant` is in the drone's record from now on, and waits until that is on
    /// disk: call it before the record changes. `by` is what granted it.
    pub async fn granting(&self, record: &Record, grant: &Grant, by: &str) {
        self.about_grant(Event::Grant, record, grant, by).await;
        self.broker.granted(&record.drone, &grant.name);
    }

    /// Writes down that `grant` is taken away, as [`Credentials::granting`] does.
    pub async fn withdrawing(&self, record: &Record, grant: &Grant, by: &str) {
        self.about_grant(Event::Withdraw, record, grant, by).await;
    }

    async fn about_grant(&self, event: Event, record: &Record, grant: &Grant, by: &str) {
        let mut line = Line::new(event, &record.drone);
        line.container = record.container_id.as_deref();
        line.repository = Some(grant.name.to_string());
        line.permissions = Some(&grant.permissions);
        line.reason = Some(by.to_owned());
        self.audit.write_through(line).await;
    }

    /// Writes down what the policy decided about something that the drone's repository asks for.
    pub async fn judged(&self, record: &Record, verdict: Verdict, what: String) {
        let mut line = Line::new(Event::Policy, &record.drone);
        line.repository = Some(record.name_now().to_string());
        line.verdict = Some(verdict);
        line.reason = Some(what);
        self.audit.write(line).await;
    }

    /// Writes down what a drone is made from: a reference, and what it is just now.
    pub async fn made_from(&self, record: &Record, reference: &str, digest: &str) {
        let what = format!("made from {reference}: {digest}");
        self.judged(record, Verdict::Allow, what).await;
    }

    /// What the drone was refused since then, the newest last.
    pub fn refused_since(&self, drone: &DroneName, then: OffsetDateTime) -> Vec<RepoName> {
        self.broker.refused_since(drone, then)
    }

    /// What the App's installations lack of a drone's grants, and of what such grants usually have,
    /// by repository. As far as they are known: nobody is asked.
    pub fn lacking(&self, record: &Record) -> Vec<(RepoName, Permissions)> {
        let mut lacking = vec![];
        for grant in &record.grants {
            let known = self.broker.installations.known(&record.repo.host, grant.repo_id);
            let Some(Installation { permissions: held, .. }) = known else { continue };
            let usual = self.config.permissions_for(&grant.name);
            let mut missing = beyond(&grant.permissions, &held);
            // A grant that was narrowed on purpose lacks nothing else.
            if includes(&grant.permissions, &lowest(usual, &held)) {
                missing.extend(beyond(usual, &held));
            }
            if !missing.is_empty() {
                lacking.push((grant.name.clone(), missing));
            }
        }
        lacking
    }

    /// What the drone is told about itself. Works while the forge is down.
    pub async fn identity(&self, peer: &Attested) -> Identity {
        let record = peer.record();
        let host = &record.repo.host;
        let others = record.grants.iter().filter(|grant| grant.repo_id != record.repo_id);
        let granted = record.primary().into_iter().chain(others).map(|grant| GrantedRepo {
            // An App is installed once on each account, so the account stands for it.
            installation: format!("{host}/{}", grant.name.owner().to_ascii_lowercase()),
            name: grant.name.clone(),
            permissions: grant.permissions.clone(),
        });
        Identity {
            drone: record.drone.clone(),
            repo: record.name_now().clone(),
            forge: host.clone(),
            git_url: self
                .config
                .forge(host)
                .map_or_else(|| format!("https://{host}"), |forge| forge.git_url.clone()),
            granted: granted.collect(),
            host_agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            git_identity: self.git_identity(host).await,
            ca_pem: self.authorities.get(host).cloned(),
        }
    }

    async fn git_identity(&self, host: &ForgeHost) -> Option<hatchery_protocol::wire::GitIdentity> {
        if let Some(configured) = self.config.git_identity.as_ref() {
            return Some(configured.clone());
        }
        let asked = tokio::time::timeout(IDENTITY_PATIENCE, self.forge.bot_identity(host)).await;
        match asked {
            Ok(Ok(bot)) => Some(bot),
            Ok(Err(error)) => {
                tracing::warn!(%host, %error, "the forge does not name the App's bot");
                None
            }
            Err(_) => {
                tracing::warn!(%host, "the forge is slow to name the App's bot");
                None
            }
        }
    }

    /// The records that grants are read from.
    pub fn records(&self) -> &RecordStore {
        &self.records
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn open(&self) -> MutexGuard<'_, HashMap<DroneName, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fills in a line on the token that a process of a drone gets; `None`: the host agent itself.
fn tell<'a>(line: &mut Line<'a>, record: &'a Record, pid: Option<u32>, live: &'a Live) {
    line.container = record.container_id.as_deref();
    line.pid = pid;
    line.repository = Some(live.repository_list());
    line.permissions = Some(&live.permissions);
    line.token_sha256_prefix = audit::prefix(&live.sha256);
}

/// Life that a token has left without being asked for more.
pub const MIN_VALID: Duration = Duration::from_secs(MIN_VALID_DEFAULT);

//! A forge that runs, and what a test does with it.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::{net::UnixListener, task::JoinHandle, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    admin,
    calls::Call,
    faults::FaultSpec,
    forge::Forge,
    model::State,
    operations::{self, OperationError},
    reports,
    server::DRAIN,
    spec::{
        AccountSpec, CheckSpec, InstallationChange, InstallationSpec, RepositoryChange,
        RepositorySpec, RunChange, RunSpec,
    },
};

#[derive(Debug)]
pub(crate) struct Endpoints {
    pub(crate) tls: Option<SocketAddr>,
    pub(crate) plain: Option<SocketAddr>,
    pub(crate) host: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Tasks {
    pub(crate) stop: CancellationToken,
    pub(crate) tracker: TaskTracker,
    pub(crate) saver: JoinHandle<()>,
}

/// A running forge. Dropping it ends it; [`shutdown`](Self::shutdown) waits until calls under way
/// have their answers.
#[derive(Debug)]
pub struct RunningForge {
    forge: Arc<Forge>,
    endpoints: Endpoints,
    tasks: Tasks,
    ca_pem: String,
    app_private_key_pem: String,
}

impl RunningForge {
    pub(crate) fn new(
        forge: Arc<Forge>,
        endpoints: Endpoints,
        tasks: Tasks,
        (ca_pem, app_private_key_pem): (String, String),
    ) -> Self {
        Self { forge, endpoints, tasks, ca_pem, app_private_key_pem }
    }

    pub(crate) fn forge(&self) -> &Arc<Forge> {
        &self.forge
    }

    pub(crate) fn serve_admin(&self, listener: UnixListener) {
        let (forge, stop) = (Arc::clone(&self.forge), self.tasks.stop.clone());
        let tracker = self.tasks.tracker.clone();
        self.tasks.tracker.spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = stop.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                let Ok((stream, _)) = accepted else {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                };
                let (forge, stop) = (Arc::clone(&forge), stop.clone());
                tracker.spawn(async move { admin::serve(forge, stream, &stop).await });
            }
        });
    }

    /// Where it listens with TLS; where it listens without, when it has no TLS listener.
    pub fn addr(&self) -> SocketAddr {
        let addr = self.endpoints.tls.or(self.endpoints.plain);
        addr.expect("a forge without a listener does not start")
    }

    /// Where it listens without TLS.
    pub fn plain_addr(&self) -> Option<SocketAddr> {
        self.endpoints.plain
    }

    /// Base of git's URLs and of web pages: `https://host[:port]`, without a slash at the end.
    pub fn url(&self) -> String {
        let addr = self.addr();
        let scheme = if self.endpoints.tls.is_some() { "https" } else { "http" };
        let host = self.endpoints.host.clone().unwrap_or_else(|| match addr {
            SocketAddr::V4(addr) => addr.ip().to_string(),
            SocketAddr::V6(addr) => format!("[{}]", addr.ip()),
        });
        match (scheme, addr.port()) {
            ("https", 443) | ("http", 80) => format!("{scheme}://{host}"),
            (_, port) => format!("{scheme}://{host}:{port}"),
        }
    }

    /// Base of the REST API as on GitHub Enterprise Server. The API answers below [`url`] too, as
    /// on `api.github.com`.
    ///
    /// [`url`]: Self::url
    pub fn api_url(&self) -> String {
        format!("{}/api/v3", self.url())
    }

    /// Base of the listener without TLS, if there is one.
    pub fn plain_url(&self) -> Option<String> {
        self.endpoints.plain.map(|addr| format!("http://{addr}"))
    }

    /// Certificate of the authority that clients must trust, PEM. Also [`ca_path`](Self::ca_path).
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// File of [`ca_pem`](Self::ca_pem).
    pub fn ca_path(&self) -> PathBuf {
        self.forge.data_dir.join(crate::tls::CA_FILE)
    }

    /// Private key of the App, PKCS#1 PEM. Also [`app_private_key_path`](Self::app_private_key_path).
    pub fn app_private_key_pem(&self) -> &str {
        &self.app_private_key_pem
    }

    /// File of [`app_private_key_pem`](Self::app_private_key_pem), 0600.
    pub fn app_private_key_path(&self) -> PathBuf {
        self.forge.data_dir.join(crate::app_key::KEY_FILE)
    }

    /// Client id of the App, the `iss` of its JWT.
    pub fn app_client_id(&self) -> String {
        self.forge.store.read(|state| state.app.client_id.clone())
    }

    /// Numeric id of the App.
    pub fn app_id(&self) -> u64 {
        self.forge.store.read(|state| state.app.id)
    }

    /// Socket of the admin API.
    pub fn admin_socket(&self) -> PathBuf {
        self.forge.data_dir.join(admin::SOCKET)
    }

    /// Bare git directory of a repository, to look at what arrived.
    pub fn git_dir(&self, owner: &str, name: &str) -> Option<PathBuf> {
        let id = self.state(|state| state.repository(owner, name).map(|repo| repo.id))?;
        Some(self.forge.git_dir(id))
    }

    /// Looks at everything the forge knows; keep it short, the forge waits meanwhile.
    pub fn state<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.forge.store.read(look)
    }

    /// Tokens minted.
    pub fn mints(&self) -> u64 {
        self.forge.calls.mints()
    }

    /// Calls answered, oldest first; the last 10 000.
    pub fn calls(&self) -> Vec<Call> {
        self.forge.calls.list()
    }

    /// Calls with this method whose path (without `/api/v3`) begins so.
    pub fn count(&self, method: &str, path: &str) -> usize {
        let fits = |call: &&Call| call.method == method && call.path.starts_with(path);
        self.calls().iter().filter(fits).count()
    }

    /// Forgets calls and counts.
    pub fn clear_calls(&self) {
        self.forge.calls.clear();
    }

    /// Switches a fault on; the id clears it.
    pub fn add_fault(&self, fault: FaultSpec) -> u64 {
        self.forge.faults.add(fault)
    }

    /// Clears one fault; false when it was not on.
    pub fn clear_fault(&self, id: u64) -> bool {
        self.forge.faults.clear(id)
    }

    /// Clears all faults.
    pub fn clear_faults(&self) {
        self.forge.faults.clear_all();
    }

    /// Lets the forge's clock run ahead of the machine's by so many seconds (behind, if negative).
    pub fn set_clock_offset(&self, seconds: i64) {
        self.forge.clock.set_offset_seconds(seconds);
    }

    /// Moves the forge's clock on, so that tokens expire.
    pub fn advance_clock(&self, seconds: i64) {
        self.forge.clock.advance(seconds);
    }

    /// Holds every mint up from now on, until the gate is opened or dropped.
    #[must_use = "dropping the gate opens it"]
    pub fn hold_mint(&self) -> MintGate {
        self.forge.gate.set_held(true);
        MintGate { forge: Arc::clone(&self.forge) }
    }

    /// Creates an account, or gives an existing one new keys; returns its id.
    ///
    /// # Errors
    /// For a name that cannot be.
    pub fn put_account(&self, spec: &AccountSpec) -> Result<u64, OperationError> {
        operations::put_account(&self.forge, spec)
    }

    /// Replaces the keys of an account.
    ///
    /// # Errors
    /// For an unknown login.
    pub fn set_keys(&self, login: &str, keys: Vec<String>) -> Result<(), OperationError> {
        operations::set_keys(&self.forge, login, keys)
    }

    /// Creates a repository with its seed and returns its id; one that exists is left as it is.
    ///
    /// # Errors
    /// For a name that cannot be, and when the seed fails.
    pub async fn create_repository(&self, spec: &RepositorySpec) -> Result<u64, OperationError> {
        operations::create_repository(&self.forge, spec).await
    }

    /// Renames, transfers, publishes or hides a repository.
    ///
    /// # Errors
    /// For an unknown repository or owner, and for a name that is taken or cannot be.
    pub fn change_repository(
        &self,
        owner: &str,
        name: &str,
        change: &RepositoryChange,
    ) -> Result<(), OperationError> {
        operations::change_repository(&self.forge, (owner, name), change)
    }

    /// Installs the App on an account, or sets what it may do there; returns the installation's id.
    ///
    /// # Errors
    /// For unknown repositories.
    pub fn put_installation(&self, spec: &InstallationSpec) -> Result<u64, OperationError> {
        operations::put_installation(&self.forge, spec)
    }

    /// Ends a token, by its SHA-256 in lower-case hex, behind its holder's back.
    ///
    /// # Errors
    /// For a digest that no live token has.
    pub fn end_token(&self, sha256: &str) -> Result<(), OperationError> {
        operations::end_token(&self.forge, sha256)
    }

    /// Suspends an installation, or changes what it reaches or how long its tokens live.
    ///
    /// # Errors
    /// For an unknown installation or repository.
    pub fn change_installation(
        &self,
        id: u64,
        change: &InstallationChange,
    ) -> Result<(), OperationError> {
        operations::change_installation(&self.forge, id, change)
    }

    /// Reports a check run on a commit.
    ///
    /// # Errors
    /// For an unknown repository or commit.
    pub async fn put_check(
        &self,
        owner: &str,
        name: &str,
        spec: &CheckSpec,
    ) -> Result<u64, OperationError> {
        reports::put_check(&self.forge, (owner, name), spec).await
    }

    /// Reports an Actions run with its jobs and their logs; returns its id.
    ///
    /// # Errors
    /// For an unknown repository or branch.
    pub async fn put_run(
        &self,
        owner: &str,
        name: &str,
        spec: &RunSpec,
    ) -> Result<u64, OperationError> {
        reports::put_run(&self.forge, (owner, name), spec).await
    }

    /// Moves an Actions run on.
    ///
    /// # Errors
    /// For an unknown repository or run.
    pub fn change_run(
        &self,
        owner: &str,
        name: &str,
        run_id: u64,
        change: &RunChange,
    ) -> Result<(), OperationError> {
        reports::change_run(&self.forge, (owner, name), run_id, change)
    }

    /// Stops listening, gives calls under way five seconds, and leaves the state in its file.
    pub async fn shutdown(self) {
        self.tasks.stop.cancel();
        self.tasks.tracker.close();
        // What does not end by itself in time is ended by the runtime, as on a drop.
        let _ = timeout(DRAIN * 2, self.tasks.tracker.wait()).await;
        let _ = timeout(DRAIN, self.forge.store.persisted()).await;
    }
}

impl Drop for RunningForge {
    fn drop(&mut self) {
        self.tasks.stop.cancel();
        self.tasks.tracker.close();
        self.tasks.saver.abort();
        // A socket that nobody serves would only mislead; it may be gone already.
        let _ = std::fs::remove_file(self.admin_socket());
    }
}

/// Holds mints up until it is opened or dropped.
#[derive(Debug)]
pub struct MintGate {
    forge: Arc<Forge>,
}

impl MintGate {
    /// Returns once a mint waits before the gate.
    pub async fn arrived(&self) {
        self.forge.gate.arrived().await;
    }

    /// How many mints wait.
    pub fn waiting(&self) -> u64 {
        self.forge.gate.waiting()
    }

    /// Lets them pass.
    pub fn open(self) {}
}

impl Drop for MintGate {
    fn drop(&mut self) {
        self.forge.gate.set_held(false);
    }
}

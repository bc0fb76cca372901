//! Describing a forge, and starting it.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    admin, app_key,
    clock::Clock,
    forge::Forge,
    git::hooks,
    listen::{self, ListenError},
    model::{App, State},
    operations::{self, OperationError},
    running::{Endpoints, RunningForge, Tasks},
    server,
    spec::{AccountSpec, InstallationSpec, RepositorySpec, TokenFormat},
    state::Store,
    tls,
};

/// Why the forge did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No address was given.
    #[error("the local forge needs an address to listen on")]
    NoListener,
    /// An address cannot be used.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The data directory cannot be used.
    #[error("cannot use the data directory {}", path.display())]
    DataDir {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What was described cannot be created.
    #[error("cannot set the forge up")]
    Seed(#[from] OperationError),
}

/// The App as described.
#[derive(Debug, Clone)]
struct AppSpec {
    id: u64,
    client_id: String,
    slug: String,
    private_key_pem: Option<String>,
}

/// A forge that is being described. See [`LocalForge::builder`](crate::LocalForge::builder).
#[derive(Debug)]
pub struct Builder {
    data_dir: PathBuf,
    hosts: Vec<String>,
    tls: Option<SocketAddr>,
    plain: Option<SocketAddr>,
    app: AppSpec,
    token_format: TokenFormat,
    accounts: Vec<AccountSpec>,
    repositories: Vec<RepositorySpec>,
    installations: Vec<InstallationSpec>,
}

impl Builder {
    pub(crate) fn new(data_dir: &Path) -> Self {
        let app = AppSpec {
            id: 1_234_567,
            client_id: "Iv23liLocalForgeTest".to_owned(),
            slug: "hatchery".to_owned(),
            private_key_pem: None,
        };
        Self {
            data_dir: data_dir.to_owned(),
            hosts: Vec::new(),
            tls: None,
            plain: None,
            app,
            token_format: TokenFormat::default(),
            accounts: Vec::new(),
            repositories: Vec::new(),
            installations: Vec::new(),
        }
    }

    /// Adds a host name (or address) to the server's certificate; the first one is used in URLs.
    #[must_use]
    pub fn host(mut self, name: &str) -> Self {
        self.hosts.push(name.to_owned());
        self
    }

    /// Listens with TLS here; port 0 takes a free one. Loopback and private addresses only.
    #[must_use]
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.tls = Some(addr);
        self
    }

    /// Listens without TLS here, too. For tests.
    #[must_use]
    pub fn listen_plain(mut self, addr: SocketAddr) -> Self {
        self.plain = Some(addr);
        self
    }

    /// Numeric id, client id and slug of the App; a data directory that has an App keeps its own.
    #[must_use]
    pub fn app(mut self, id: u64, client_id: &str, slug: &str) -> Self {
        self.app.id = id;
        client_id.clone_into(&mut self.app.client_id);
        slug.clone_into(&mut self.app.slug);
        self
    }

    /// The App's private key (PKCS#1 PEM) instead of the kept or a new one: making one takes a
    /// second or two without optimisation.
    #[must_use]
    pub fn app_private_key(mut self, pem: &str) -> Self {
        self.app.private_key_pem = Some(pem.to_owned());
        self
    }

    /// Form of tokens when a mint does not force one; stateless by default, as on github.com.
    #[must_use]
    pub fn token_format(mut self, format: TokenFormat) -> Self {
        self.token_format = format;
        self
    }

    /// Adds an account.
    #[must_use]
    pub fn account(mut self, spec: AccountSpec) -> Self {
        self.accounts.push(spec);
        self
    }

    /// Adds a repository; its owner need not be added.
    #[must_use]
    pub fn repository(mut self, spec: RepositorySpec) -> Self {
        self.repositories.push(spec);
        self
    }

    /// Installs the App on an account.
    #[must_use]
    pub fn installation(mut self, spec: InstallationSpec) -> Self {
        self.installations.push(spec);
        self
    }

    /// Starts listening. Over a data directory that was used before, everything is as it was;
    /// what is described here and missing there is added.
    ///
    /// # Errors
    /// When an address or the data directory cannot be used, or what is described cannot be.
    pub async fn start(self) -> Result<RunningForge, StartError> {
        if self.tls.is_none() && self.plain.is_none() {
            return Err(StartError::NoListener);
        }
        let tls_listener = bind(self.tls).await?;
        let plain_listener = bind(self.plain).await?;
        let hosts = tls::names_for(&self.hosts, self.tls.map(|addr| addr.ip()));
        let opened = self.open(hosts).await?;
        let forge = opened.forge;
        let stop = CancellationToken::new();
        let tracker = TaskTracker::new();
        let saver = Arc::clone(&forge);
        let saver = tokio::spawn(async move { saver.store.keep_saving().await });
        let tasks = Tasks { stop, tracker, saver };
        let endpoints = Endpoints {
            tls: local_addr(tls_listener.as_ref()),
            plain: local_addr(plain_listener.as_ref()),
            host: self.hosts.first().cloned(),
        };
        let acceptor = TlsAcceptor::from(opened.tls);
        for (listener, tls) in [(tls_listener, Some(acceptor)), (plain_listener, None)] {
            if let Some(listener) = listener {
                let (forge, stop) = (Arc::clone(&forge), tasks.stop.clone());
                let tracker = tasks.tracker.clone();
                tasks.tracker.spawn(server::accept(forge, listener, tls, stop, tracker));
            }
        }
        let running =
            RunningForge::new(forge, endpoints, tasks, (opened.ca_pem, opened.private_key_pem));
        let admin = UnixListener::from_std(opened.admin)
            .map_err(|source| StartError::DataDir { path: self.data_dir.clone(), source })?;
        running.serve_admin(admin);
        self.seed(running.forge()).await?;
        running.forge().store.persisted().await;
        Ok(running)
    }

    async fn open(&self, hosts: Vec<String>) -> Result<Opened, StartError> {
        let (app, format, dir) = (self.app.clone(), self.token_format, self.data_dir.clone());
        let opened = tokio::task::spawn_blocking(move || open(&dir, &hosts, app, format)).await;
        opened
            .map_err(io::Error::other)
            .and_then(|result| result)
            .map_err(|source| StartError::DataDir { path: self.data_dir.clone(), source })
    }

    async fn seed(&self, forge: &Forge) -> Result<(), OperationError> {
        operations::ensure_bot(forge);
        for spec in &self.accounts {
            operations::put_account(forge, spec)?;
        }
        for spec in &self.repositories {
            operations::create_repository(forge, spec).await?;
        }
        for spec in &self.installations {
            let account = &spec.account;
            let known = forge.store.read(|state| {
                state.account(account).is_some_and(|one| state.installation_of(one.id).is_some())
            });
            if !known {
                operations::put_installation(forge, spec)?;
            }
        }
        Ok(())
    }
}

struct Opened {
    forge: Arc<Forge>,
    tls: Arc<rustls::ServerConfig>,
    admin: std::os::unix::net::UnixListener,
    ca_pem: String,
    private_key_pem: String,
}

/// Makes or reads everything in the data directory; blocking.
fn open(
    dir: &Path,
    hosts: &[String],
    app: AppSpec,
    token_format: TokenFormat,
) -> io::Result<Opened> {
    for below in ["git", "lfs"] {
        std::fs::create_dir_all(dir.join(below))?;
    }
    let data_dir = dir.canonicalize()?;
    // First of all: it proves that no other forge serves this directory.
    let admin = admin::bind(&data_dir)?;
    hooks::install(&data_dir)?;
    let (private_key_pem, public_key_pem) =
        app_key::load_or_make(&data_dir, app.private_key_pem.as_deref())?;
    let (ca_pem, tls) = tls::load_or_make(&data_dir, hosts)?;
    let fresh = || {
        State::new(App {
            id: app.id,
            client_id: app.client_id,
            name: app.slug.clone(),
            slug: app.slug,
            public_key_pem: String::new(),
        })
    };
    let mut state = Store::load(&data_dir)?.unwrap_or_else(fresh);
    state.app.public_key_pem = public_key_pem;
    let forge = Forge {
        store: Store::new(&data_dir, state),
        clock: Clock::default(),
        faults: Default::default(),
        calls: Default::default(),
        gate: Default::default(),
        token_format,
        data_dir,
    };
    Ok(Opened { forge: Arc::new(forge), tls, admin, ca_pem, private_key_pem })
}

async fn bind(addr: Option<SocketAddr>) -> Result<Option<TcpListener>, ListenError> {
    match addr {
        Some(addr) => listen::bind(addr).await.map(Some),
        None => Ok(None),
    }
}

fn local_addr(listener: Option<&TcpListener>) -> Option<SocketAddr> {
    listener.and_then(|listener| listener.local_addr().ok())
}

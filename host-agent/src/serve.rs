//! The composition root: wires adapters, lifecycle, credentials and the two APIs together, and
//! ends them in order.
//!
//! A service manager is told when all sockets answer; it passes the control socket in, and keeps
//! drones' sockets and live tokens from one host agent for the next.
//!
//! Tasks: the control API's server, the drones' sockets (and their thread), the credential service (refresh and
//! revocation), the lifecycle (reconcile and events). A signal cancels one token: the APIs stop
//! taking requests and drain, operations under way are rolled back, and last the credential
//! service ends, which the others still need for that. A second signal ends the process at once.
//! SIGHUP is no such signal: it has the configuration read again.

mod reload;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tokio::signal::unix::{self, SignalKind};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::adapters::Machine;
use crate::adapters::github::GitHub;
use crate::adapters::systemd::{self, ServiceManager};
use crate::config::Config;
use crate::control::server::Server;
use crate::credentials::Credentials;
use crate::drone_api;
use crate::lifecycle::seal::SealKey;
use crate::lifecycle::{Failure, FailureKind, Lifecycle};
use crate::records::RecordStore;

/// How long drain and rollbacks may take before the process ends anyway; what is left then is
/// healed at the next start. Below systemd's 90 s.
const GRACE: Duration = Duration::from_secs(75);

/// Runs the host agent until it is told to stop.
///
/// # Errors
/// When something that it cannot run without is missing.
pub async fn run(config: Config) -> Result<(), Failure> {
    let passed = Passed::of_process()?;
    keep_memory_private();
    let config = Arc::new(config);
    let shutdown = CancellationToken::new();
    let mut signals = Signals::new()?;
    // First of all: it locks the state directory, so that there is one writer.
    let server = Server::bind(&config, passed.control)?;
    let (credentials, lifecycle) = wire(Arc::clone(&config))?;
    let manager = Told(ServiceManager::of_process().map(Arc::new));
    manager.keep_for(&credentials, passed.kept).await;
    let last = CancellationToken::new();
    let keeping = tokio::spawn(credentials.clone().run(last.clone()));
    let mut tasks = JoinSet::new();
    tasks.spawn(answering(credentials.clone(), shutdown.clone())?);
    // Before Docker is looked at, which may not be there yet: it starts drones by itself, and they
    // ask at once.
    credentials.open_all().await;
    tasks.spawn(lifecycle.clone().run(shutdown.clone()));
    let serving = tokio::spawn(server.serve(Arc::clone(&lifecycle), shutdown.clone()));
    manager.tell(|manager| manager.ready("answering")).await;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "the host agent runs");

    while let Asked::Reload = signals.next().await {
        reload::reload(&config, &lifecycle, &manager).await;
    }
    tracing::info!("stopping");
    lifecycle.stop();
    manager.tell(|manager| manager.stopping()).await;
    shutdown.cancel();
    let drain = async {
        // Held to the end: a second host agent waits until this one has let go of everything.
        let _state_lock = serving.await;
        while tasks.join_next().await.is_some() {}
        last.cancel();
        let _ = keeping.await;
    };
    tokio::select! {
        () = drain => tracing::info!("stopped"),
        () = tokio::time::sleep(GRACE) => tracing::warn!("stopped with operations cut off"),
        () = signals.stop() => tracing::warn!("stopped at once, as asked twice"),
    }
    Ok(())
}

/// What answers on the drones' sockets until `shutdown`.
fn answering(
    credentials: Arc<Credentials<GitHub>>,
    shutdown: CancellationToken,
) -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
    drone_api::start(credentials, shutdown).map_err(|error| {
        Failure::new(FailureKind::Failed, "cannot answer on drones' sockets").caused_by(&error)
    })
}

/// Descriptors that the service manager passed to this process.
struct Passed {
    /// The control socket.
    control: Option<OwnedFd>,
    /// What it kept for us.
    kept: Vec<(String, OwnedFd)>,
}

impl Passed {
    /// `FileDescriptorName=` of hatchery.socket.
    const CONTROL: &str = "control";

    fn of_process() -> Result<Self, Failure> {
        let passed = systemd::passed().map_err(|error| {
            let message = "cannot take what the service manager passed";
            Failure::new(FailureKind::Failed, message)
                .caused_by(&error)
                .hint("`journalctl -u hatchery` says what systemd did")
        })?;
        let (control, kept): (Vec<_>, Vec<_>) =
            passed.into_iter().partition(|(name, _)| name == Self::CONTROL);
        Ok(Self { control: control.into_iter().next().map(|(_, descriptor)| descriptor), kept })
    }
}

/// The service manager, if somebody wants to hear how it goes.
struct Told(Option<Arc<ServiceManager>>);

impl Told {
    /// Has it keep sockets and live tokens, and takes over what it `kept`.
    async fn keep_for(&self, credentials: &Credentials<GitHub>, kept: Vec<(String, OwnedFd)>) {
        if let Some(manager) = self.0.clone() {
            credentials.use_keeper(manager, kept).await;
        }
    }

    /// Tells it off the runtime's workers; it does without what does not arrive.
    async fn tell(&self, message: fn(&ServiceManager) -> io::Result<()>) {
        let Some(manager) = self.0.clone() else { return };
        let told = tokio::task::spawn_blocking(move || message(&manager)).await;
        if let Ok(Err(error)) = told {
            tracing::warn!(%error, "the service manager does not listen");
        }
    }
}

/// The credential service and the lifecycle on their adapters; nothing runs yet.
type Wired = (Arc<Credentials<GitHub>>, Arc<Lifecycle<GitHub, Machine>>);

fn wire(config: Arc<Config>) -> Result<Wired, Failure> {
    let state = |error: std::io::Error| {
        let message = format!("cannot use {}", config.paths.state.display());
        Failure::new(FailureKind::Failed, message).caused_by(&error)
    };
    let records = Arc::new(RecordStore::load(&config.paths.records()).map_err(state)?);
    let seal = SealKey::load(&config.paths.seal_key).map_err(|error| {
        let message = format!("cannot use the seal key {}", config.paths.seal_key.display());
        Failure::new(FailureKind::Failed, message).caused_by(&error)
    })?;
    let forge = GitHub::load(&config).map_err(|error| {
        Failure::new(FailureKind::Usage, "a [[forge]] cannot be used").caused_by(&error)
    })?;
    let credentials = Credentials::new(config.clone(), records.clone(), Arc::new(forge));
    let credentials = Arc::new(credentials.map_err(state)?);
    let machine = Arc::new(Machine::new(&config).map_err(state)?);
    let lifecycle = Lifecycle::new(config, records, credentials.clone(), machine, seal);
    Ok((credentials, lifecycle))
}

/// Tokens live in memory only: no core dump, no debugger of another process of the same user.
fn keep_memory_private() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core dumps stay possible");
    }
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "other processes of this user may read this one's memory");
    }
}

/// What a signal asks for.
enum Asked {
    Reload,
    Stop,
}

/// SIGTERM and SIGINT, and SIGHUP.
struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hangup: unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            unix::signal(kind).map_err(|error| {
                Failure::new(FailureKind::Failed, "cannot listen for signals").caused_by(&error)
            })
        };
        let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        let hangup = listen(SignalKind::hangup())?;
        Ok(Self { terminate: listen(terminate)?, interrupt: listen(interrupt)?, hangup })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    async fn stop(&mut self) {
        while let Asked::Reload = self.next().await {}
    }
}

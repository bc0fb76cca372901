//! The composition root: wires adapters, lifecycle, credentials and the two APIs together, and
//! ends them in order.
//!
//! Tasks: the control API's server, the drones' sockets (and their thread), the credential service
//! (refresh and revocation), the lifecycle (reconcile and events). A signal cancels one token: the
//! APIs stop taking requests and drain, operations under way are rolled back, and last the
//! credential service ends, which the others still need for that. A second signal ends the process
//! at once.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::adapters::Machine;
use crate::adapters::github::GitHub;
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
    keep_memory_private();
    let config = Arc::new(config);
    let shutdown = CancellationToken::new();
    let mut signals = Signals::new()?;
    // First of all: it locks the state directory, so that there is one writer.
    let server = Server::bind(&config)?;
    let (credentials, lifecycle) = wire(config)?;
    let last = CancellationToken::new();
    let keeping = tokio::spawn(credentials.clone().run(last.clone()));
    let mut tasks = JoinSet::new();
    tasks.spawn(drone_api::start(credentials, shutdown.clone()).map_err(|error| {
        Failure::new(FailureKind::Failed, "cannot answer on drones' sockets").caused_by(&error)
    })?);
    tasks.spawn(lifecycle.clone().run(shutdown.clone()));
    let serving = tokio::spawn(server.serve(lifecycle, shutdown.clone()));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "the host agent runs");

    signals.next().await;
    tracing::info!("stopping");
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
        () = signals.next() => tracing::warn!("stopped at once, as asked twice"),
    }
    Ok(())
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

/// SIGTERM and SIGINT.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(FailureKind::Failed, "cannot listen for signals").caused_by(&error)
            })
        };
        let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        Ok(Self { terminate: listen(terminate)?, interrupt: listen(interrupt)? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

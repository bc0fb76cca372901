//! Implementations of the traits that lifecycle and credentials own. Adapters import upwards only
//! and never know what a drone means to a user.

mod classic_builder;
mod cli_home;
mod cut_off;
pub mod devcontainer_cli;
pub mod docker;
pub mod engine_namespace;
pub mod exec;
pub mod firewall;
pub mod git;
pub mod github;
mod hook_watch;
pub mod registry;
pub mod systemd;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tokio::sync::{OnceCell, RwLock, Semaphore};

use crate::config::{Config, Programs, env};
use docker::usage::CpuSamples;

/// The machine that drones run on: Docker, the devcontainer CLI, git and the firewall. One type,
/// because the lifecycle needs all of them of one and the same machine.
#[derive(Debug)]
pub struct Machine {
    programs: Programs,
    /// Home of the programs run here: Docker's and the CLI's own configuration lies there.
    home: PathBuf,
    /// An empty directory of ours: where programs run that need no particular one.
    scratch: PathBuf,
    docker: OnceLock<bollard::Docker>,
    builds: Arc<Semaphore>,
    build_permits: u32,
    builder: OnceCell<devcontainer_cli::BuilderKind>,
    unswept: classic_builder::Unswept,
    /// This program as Docker's client for hooks; `None` where it cannot be.
    hook_client: Option<PathBuf>,
    /// Set once Compose was seen to be there.
    compose: OnceCell<()>,
    cpu: CpuSamples,
    /// Shared by whatever is being made on the engine.
    making: Arc<RwLock<()>>,
    cut_off: cut_off::LastCutOff,
}

impl Machine {
    /// The machine as the configuration names it; asks it nothing yet.
    ///
    /// # Errors
    /// When the cache directory cannot be made.
    pub fn new(config: &Config) -> std::io::Result<Self> {
        let scratch = config.paths.cache().join("run");
        std::fs::create_dir_all(&scratch)?;
        cli_home::clear(&scratch)?;
        let permits = config.limits.build_concurrency.max(1);
        let hook_client = hook_client(&scratch);
        Ok(Self { hook_client, ..Self::with(config.programs.clone(), scratch, permits) })
    }

    /// The machine for somebody who makes nothing on it, beside a host agent or without one;
    /// `scratch` is an empty directory.
    pub fn apart(programs: Programs, scratch: &Path) -> Self {
        Self::with(programs, scratch.to_owned(), 1)
    }

    fn with(programs: Programs, scratch: PathBuf, permits: u32) -> Self {
        let home = std::env::var_os("HOME").map_or_else(|| scratch.clone(), PathBuf::from);
        Self {
            docker: OnceLock::new(),
            programs,
            hook_client: None,
            home,
            scratch,
            builds: Arc::new(Semaphore::new(permits as usize)),
            build_permits: permits,
            builder: OnceCell::new(),
            unswept: classic_builder::Unswept::default(),
            compose: OnceCell::new(),
            cpu: CpuSamples::default(),
            making: Arc::default(),
            cut_off: cut_off::LastCutOff::default(),
        }
    }
}

/// Makes this program's other name. Without it hooks run as the CLI runs them.
fn hook_client(scratch: &Path) -> Option<PathBuf> {
    let link = scratch.join(env::HOOK_CLIENT);
    let _ = std::fs::remove_file(&link);
    let made = std::env::current_exe().and_then(|own| std::os::unix::fs::symlink(own, &link));
    made.inspect_err(|error| tracing::warn!(%error, "what hooks start will end with them")).ok()?;
    Some(link)
}

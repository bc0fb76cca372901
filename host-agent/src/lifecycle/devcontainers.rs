//! What the lifecycle needs of the devcontainer CLI; `adapters::devcontainer_cli` implements it.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::mpsc;

use crate::config::format_duration;

/// Something that a child process said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputLine {
    /// For the log file.
    Log(String),
    /// For the log file alone, never shown with a failure: commands, stack traces.
    Trace(String),
    /// What it does now; for the log file and the person who waits.
    Progress(String),
}

/// Where lines of output go.
pub type Output = mpsc::UnboundedSender<OutputLine>;

/// An image to build.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildRequest {
    /// The staged checkout.
    pub workspace: PathBuf,
    /// Its devcontainer.json.
    pub config: PathBuf,
    /// Name of the image.
    pub image: String,
    /// Features added to the configuration's: reference -> options.
    pub features: Map<String, Value>,
    /// Which lock file lies beside the configuration.
    pub lock: Lock,
    /// A file for notes of what a build leaves behind: [`Devcontainers::sweep`] takes them.
    pub notes: PathBuf,
    /// How long it may take.
    pub limit: Duration,
}

/// A lock file of features beside a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// There is none, and none is to be.
    None,
    /// The repository's, which has to be complete.
    Repository,
    /// One of ours, with what the configuration itself does not pin.
    Ours,
}

/// A Compose drone to bring up.
#[derive(Debug, Clone, PartialEq)]
pub struct UpRequest {
    /// The staged checkout.
    pub workspace: PathBuf,
    /// What stands in for its devcontainer.json.
    pub config: PathBuf,
    /// `hatchery.drone=<drone>`; no other, and no `=` in the value.
    pub id_label: String,
    /// Compose project.
    pub project: String,
    /// How long it may take.
    pub limit: Duration,
}

/// Hooks to run in a container.
#[derive(Debug, Clone, PartialEq)]
pub struct HooksRequest {
    /// The staged checkout.
    pub workspace: PathBuf,
    /// What stands in for its devcontainer.json.
    pub config: PathBuf,
    /// `hatchery.drone=<drone>`.
    pub id_label: String,
    /// Full id of the container.
    pub container: String,
    /// Compose project, where there is one.
    pub project: Option<String>,
    /// How long each of them may take.
    pub hook_limit: Duration,
    /// What runs them in the container, so that what they start outlives them; words with a space
    /// between. `None`: nothing does.
    pub runner: Option<String>,
}

/// Why the CLI did not do it.
#[derive(Debug, thiserror::Error)]
pub enum DevcontainerError {
    /// It said so itself.
    #[error("{message}")]
    Failed {
        /// Its description of what failed.
        message: String,
    },
    /// It took too long and was ended.
    #[error("{command} took longer than {} s and was ended", limit.as_secs())]
    Deadline {
        /// The subcommand.
        command: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
    /// A hook took too long: it is waited for no more.
    #[error("{hook} did not end within {}", format_duration(*limit))]
    Hook {
        /// `postCreateCommand` and the like.
        hook: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// There is no Docker Compose, or one too old: the CLI's own words for that name neither.
    #[error(
        "a Compose file needs Docker Compose 2 or newer: `docker compose version` says {said:?}"
    )]
    NoCompose {
        /// What the client said, its first line.
        said: String,
    },
    /// It cannot be run.
    #[error("cannot run {program}")]
    Run {
        /// The program as configured.
        program: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// The devcontainer CLI.
pub trait Devcontainers {
    /// Builds an image, features and metadata label included. As many at once as the engine's
    /// builder and the configuration allow; others wait.
    fn build(
        &self,
        request: &BuildRequest,
        output: Output,
    ) -> impl Future<Output = Result<(), DevcontainerError>> + Send;

    /// Sees that Compose is there.
    ///
    /// # Errors
    /// [`DevcontainerError::NoCompose`].
    fn check_compose(&self) -> impl Future<Output = Result<(), DevcontainerError>> + Send;

    /// Creates and starts a Compose drone without running hooks; returns the container's id.
    fn up(
        &self,
        request: &UpRequest,
        output: Output,
    ) -> impl Future<Output = Result<String, DevcontainerError>> + Send;

    /// Removes what a build that was cut off noted in `notes` and nothing needs. Others do so
    /// themselves.
    fn sweep(&self, notes: &Path) -> impl Future<Output = ()> + Send;

    /// Whether `image` is a name that the CLI gave, on its own account, to something that it made of
    /// the checkout at `workspace`.
    fn is_byproduct(&self, image: &str, workspace: &Path) -> bool;

    /// Ends what a killed host agent left running on the stage at `workspace`: a build would go on
    /// and name its image after everything was cleaned up.
    fn end_orphans(&self, workspace: &Path) -> impl Future<Output = ()> + Send;

    /// Runs the lifecycle hooks that have not run yet.
    fn run_hooks(
        &self,
        request: &HooksRequest,
        output: Output,
    ) -> impl Future<Output = Result<(), DevcontainerError>> + Send;
}

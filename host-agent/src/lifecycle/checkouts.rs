//! What the lifecycle needs of git on the host; `adapters::git` implements it.

use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::devcontainers::OutputLine;
use crate::secret::Token;

/// A repository to clone into a directory of the host's.
#[derive(Debug, Clone)]
pub struct CloneRequest {
    /// `https://host/owner/repo.git`, without credentials; what the clone's remote will be.
    pub url: String,
    /// Branch or tag; `None`: the default branch.
    pub branch: Option<String>,
    /// Directory that must not exist yet; its parent must.
    pub target: PathBuf,
    /// Opens the repository; never in arguments, environment or files.
    pub token: Arc<Token>,
    /// A private CA in PEM.
    pub ca_file: Option<PathBuf>,
    /// Address of the URL's host where DNS does not know it.
    pub address: Option<IpAddr>,
    /// How long it may take.
    pub limit: Duration,
}

/// Why there is no clone.
#[derive(Debug, thiserror::Error)]
pub enum CloneError {
    /// The branch does not exist there.
    #[error("{url} has no branch or tag {branch:?}")]
    NoBranch {
        /// The repository.
        url: String,
        /// What was asked for.
        branch: String,
    },
    /// The forge was not reached or refused.
    #[error("cannot clone {url}: {message}")]
    Refused {
        /// The repository.
        url: String,
        /// The last of git's words.
        message: String,
    },
    /// It took too long.
    #[error("cloning {url} took longer than {} s", limit.as_secs())]
    Deadline {
        /// The repository.
        url: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// git or the disk failed.
    #[error("cannot clone {url}")]
    Host {
        /// The repository.
        url: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// git on the host. Only ever in trees that no drone has written.
pub trait Checkouts {
    /// Clones with full history, without submodules, LFS contents, hooks or any configuration of
    /// the host's; progress goes to `lines`.
    fn clone_repository(
        &self,
        request: &CloneRequest,
        lines: mpsc::UnboundedSender<OutputLine>,
    ) -> impl Future<Output = Result<(), CloneError>> + Send;

    /// Id of the tree that is checked out at `path` within the fresh clone `root`; `None` when the
    /// commit has no such path.
    fn tree_id(
        &self,
        root: &std::path::Path,
        path: &str,
    ) -> impl Future<Output = Result<Option<String>, CloneError>> + Send;
}

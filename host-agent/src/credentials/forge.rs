//! What credentials need of a forge, in their own words; `adapters::github` implements it.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use hatchery_protocol::wire::Permissions;
use hatchery_protocol::{ForgeHost, RepoId, RepoName};
use time::OffsetDateTime;

use crate::records::ForgeRepoId;
use crate::secret::Token;

/// An App's installation on one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstallationId(pub u64);

/// The installation that covers a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Its number.
    pub id: InstallationId,
    /// What its owner granted the App.
    pub permissions: Permissions,
}

/// A repository as the forge knows it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeRepository {
    /// Its number.
    pub id: ForgeRepoId,
    /// Its name now, which differs from the one asked for after a rename.
    pub name: RepoName,
    /// The branch that a clone checks out.
    pub default_branch: String,
    /// The installation that covers it.
    pub installation: InstallationId,
    /// What the installation really has.
    pub installation_permissions: Permissions,
}

/// What a token shall open. Never empty in repositories or permissions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MintRequest {
    /// The forge.
    pub host: ForgeHost,
    /// The installation to mint from.
    pub installation: InstallationId,
    /// Repositories by id, at least one.
    pub repositories: Vec<ForgeRepoId>,
    /// Permissions, at least one.
    pub permissions: Permissions,
}

/// A fresh token, compared with what was asked for: never wider.
#[derive(Debug)]
pub struct Minted {
    /// The secret.
    pub token: Token,
    /// Its end, by the host's clock.
    pub expires_at: OffsetDateTime,
    /// What it opens, by id.
    pub repositories: BTreeMap<ForgeRepoId, RepoName>,
    /// What it may do there.
    pub permissions: Permissions,
}

/// Why the forge did not do it. Callers branch on these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForgeError {
    /// No such repository, or the App is not installed on it: the forge does not say which.
    #[error("{repo} was not found on {host}, or the App is not installed on it")]
    NotFound {
        /// The forge.
        host: ForgeHost,
        /// The repository asked for.
        repo: RepoName,
        /// Whether the App is installed on the account, but not (or not visibly) on this repository.
        installed: bool,
        /// The page on which that is changed, where it is known.
        install_url: Option<String>,
    },
    /// The installation is gone or does not cover a repository any more: find it again.
    #[error("the App's installation on {host} does not cover this any more: {message}")]
    InstallationGone {
        /// The forge.
        host: ForgeHost,
        /// The forge's words, cut and redacted.
        message: String,
    },
    /// The installation's owner suspended it.
    #[error("the App's installation on {host} is suspended; its owner must unsuspend it")]
    Suspended {
        /// The forge.
        host: ForgeHost,
    },
    /// The App's key or id is wrong, or clocks differ.
    #[error("{host} refuses the App's credentials: {message}")]
    BadApp {
        /// The forge.
        host: ForgeHost,
        /// The forge's words, cut and redacted.
        message: String,
    },
    /// Too many requests.
    #[error("{host} limits the rate of requests for another {} s", retry_after.as_secs())]
    RateLimited {
        /// The forge.
        host: ForgeHost,
        /// How long to wait.
        retry_after: Duration,
        /// It said so just now; else it was left alone.
        asked: bool,
    },
    /// No usable answer: network, TLS, time-out, status 5xx.
    #[error("{host} did not answer: {message}")]
    Unreachable {
        /// The forge.
        host: ForgeHost,
        /// What went wrong, without secrets.
        message: String,
    },
    /// The answer was wider than the request, and the token was revoked.
    #[error("{host} answered with more than was asked for; the token was revoked")]
    Surplus {
        /// The forge.
        host: ForgeHost,
    },
    /// No `[[forge]]` has this host.
    #[error("no forge is configured for {host}")]
    NotConfigured {
        /// The host asked for.
        host: ForgeHost,
    },
}

/// A forge that issues App installation tokens.
pub trait Forge: Send + Sync + 'static {
    /// Finds a repository: its id, name now, installation and that installation's permissions.
    fn repository(
        &self,
        repo: &RepoId,
    ) -> impl Future<Output = Result<ForgeRepository, ForgeError>> + Send;

    /// Finds the installation that covers a repository by its id, whatever it is called now; `name`
    /// is what it was called last.
    fn installation(
        &self,
        host: &ForgeHost,
        id: ForgeRepoId,
        name: &RepoName,
    ) -> impl Future<Output = Result<Installation, ForgeError>> + Send;

    /// Mints a token and compares the answer with the request.
    fn mint(
        &self,
        request: &MintRequest,
    ) -> impl Future<Output = Result<Minted, ForgeError>> + Send;

    /// Takes a token back. A token that the forge no longer knows counts as revoked.
    fn revoke(
        &self,
        host: &ForgeHost,
        token: &Token,
    ) -> impl Future<Output = Result<(), ForgeError>> + Send;

    /// Name and email of the App's bot, for commits.
    fn bot_identity(
        &self,
        host: &ForgeHost,
    ) -> impl Future<Output = Result<hatchery_protocol::wire::GitIdentity, ForgeError>> + Send;
}

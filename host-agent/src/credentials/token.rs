//! A token that is alive, and why there is none.

use std::sync::Arc;
use std::time::Duration;

use hatchery_protocol::wire::Permissions;
use hatchery_protocol::{DroneName, ForgeHost, RepoName};
use time::OffsetDateTime;

use super::forge::{ForgeError, InstallationId, Minted};
use crate::records::ForgeRepoId;
use crate::secret::Token;

/// A token of one drone, kept in memory until it ends or is taken back.
#[derive(Debug)]
pub struct Live {
    /// The secret, wiped when the last user lets go of it.
    pub token: Arc<Token>,
    /// The forge that it is for.
    pub host: ForgeHost,
    /// Its end by the host's clock.
    pub expires_at: OffsetDateTime,
    /// What it opens, as the forge spells it now.
    pub repositories: Vec<RepoName>,
    /// The same by their numbers; none where that was not kept.
    pub repository_ids: Vec<ForgeRepoId>,
    /// The installation that it was minted from, where that was kept.
    pub installation: Option<InstallationId>,
    /// What it may do there.
    pub permissions: Permissions,
    /// SHA-256 of the secret, in hex.
    pub sha256: String,
}

impl Live {
    /// Takes what the forge made.
    pub fn new(host: ForgeHost, installation: InstallationId, minted: Minted) -> Self {
        Self {
            sha256: minted.token.sha256(),
            token: Arc::new(minted.token),
            host,
            expires_at: minted.expires_at,
            repository_ids: minted.repositories.keys().copied().collect(),
            installation: Some(installation),
            repositories: minted.repositories.into_values().collect(),
            permissions: minted.permissions,
        }
    }

    /// Whether this is a token for a repository that another installation covers by now: it opens
    /// nothing there any more.
    pub fn is_stranded(&self, host: &ForgeHost, id: ForgeRepoId, covers: InstallationId) -> bool {
        let opened = self.host == *host && self.repository_ids.contains(&id);
        opened && self.installation.is_some_and(|minted_from| minted_from != covers)
    }

    /// `owner/repo` of all it opens, separated by commas.
    pub fn repository_list(&self) -> String {
        list(&self.repositories)
    }
}

/// Names separated by commas, which none of them contains.
pub fn list(names: &[RepoName]) -> String {
    names.iter().map(RepoName::to_string).collect::<Vec<_>>().join(",")
}

/// Why a drone gets no token. Cloned to everybody who waited for the same answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TokenError {
    /// There is no such drone, or it has no grant on its own repository.
    #[error("{0} has no grants; on the server: `hatchery status {0}`")]
    NoGrants(DroneName),
    /// Refused before the forge was asked.
    #[error(
        "{drone} was not granted {repo}; on the server: `hatchery repo connect {drone} {repo}`; \
         if a granted repository was just renamed to it, try again in a minute"
    )]
    NotGranted {
        /// The drone.
        drone: DroneName,
        /// What it asked for.
        repo: RepoName,
    },
    /// One token cannot span two installations.
    #[error(
        "{one} and {other} lie in two installations of the App, and no token covers both: \
         ask for one at a time"
    )]
    ManyInstallations {
        /// One of them.
        one: RepoName,
        /// One elsewhere.
        other: RepoName,
    },
    /// The grants, or what the installation has of them, leave nothing to ask for.
    #[error(
        "no permission is left on {repo}: the App's installation has none of those granted; \
         its owner must accept the App's permissions"
    )]
    NoPermissions {
        /// The (first) repository.
        repo: RepoName,
    },
    /// The drone asked for too many new tokens.
    #[error("{drone} asks for too many tokens; try again in {} s", retry_after.as_secs().max(1))]
    Busy {
        /// The drone.
        drone: DroneName,
        /// When there may be one again.
        retry_after: Duration,
    },
    /// The drone was stopped or its grants changed while the token was made.
    #[error("the grants of {0} changed meanwhile; ask again")]
    Revoked(DroneName),
    /// The forge did not make one.
    #[error("no token for {repo}: {source}")]
    Forge {
        /// The (first) repository.
        repo: RepoName,
        /// Why; shared by all who waited.
        source: Arc<ForgeError>,
    },
}

impl TokenError {
    /// Whether the forge had to be asked to find that out.
    pub fn cost_a_call(&self) -> bool {
        match self {
            Self::Forge { source, .. } => {
                !matches!(**source, ForgeError::RateLimited { asked: false, .. })
            }
            Self::NoGrants(_)
            | Self::NotGranted { .. }
            | Self::ManyInstallations { .. }
            | Self::NoPermissions { .. }
            | Self::Busy { .. }
            | Self::Revoked(_) => false,
        }
    }

    /// In the words of the seam, for the host's own clone.
    pub fn into_forge_error(self, host: ForgeHost, repo: RepoName) -> ForgeError {
        match self {
            Self::Forge { source, .. } => Arc::unwrap_or_clone(source),
            Self::Busy { retry_after, .. } => {
                ForgeError::RateLimited { host, retry_after, asked: false }
            }
            Self::NoGrants(_) | Self::NotGranted { .. } => {
                ForgeError::NotFound { host, repo, installed: false, install_url: None }
            }
            other @ (Self::ManyInstallations { .. }
            | Self::NoPermissions { .. }
            | Self::Revoked(_)) => {
                ForgeError::InstallationGone { host, message: other.to_string() }
            }
        }
    }
}

//! GitHub, and what speaks as it does: github.com, Enterprise Server, the local forge.
//!
//! Talks to the App's few endpoints itself, because everything that matters lies in their details:
//! headers that carry the forge's clock and limits, the repositories and permissions that an
//! answer names, redirects of renamed repositories.

mod answer;
mod app;
mod error;
mod http;
mod jwt;
mod limit;
mod pages;
mod redact;
mod resolve;

#[cfg(test)]
pub(crate) mod rig;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use hatchery_protocol::wire::{GitIdentity, Permissions};
use hatchery_protocol::{ForgeHost, RepoId, RepoName};

use crate::config::{Config, ForgeConfig};
use crate::credentials::forge::{
    Forge, ForgeError, ForgeRepository, Installation, MintRequest, Minted,
};
use crate::records::ForgeRepoId;
use crate::secret::Token;
use answer::AppAnswer;
use app::App;

/// Why a configured forge cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// A file of the configuration cannot be read.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Not a private key.
    #[error("{path} is not an RSA private key in PEM (PKCS#1 or PKCS#8)")]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// Not a certificate.
    #[error("{path} holds no certificate in PEM")]
    Authority {
        /// The file.
        path: PathBuf,
    },
    /// The API's address is not one.
    #[error("`api_url` of {host} is not an https address (plain http to loopback only)")]
    Url {
        /// The forge.
        host: ForgeHost,
    },
}

/// An App as its forge knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnApp {
    /// Its name in URLs.
    pub slug: String,
    /// What it asks its installations for.
    pub permissions: Permissions,
}

/// One of the App's installations, as its forge knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnInstallation {
    /// The account that it is on.
    pub account: String,
    /// What its owner accepted.
    pub permissions: Permissions,
    /// Its owner suspended it.
    pub suspended: bool,
    /// The page where its owner changes it.
    pub page: Option<String>,
}

/// Every configured forge, by host.
#[derive(Debug)]
pub struct GitHub {
    apps: BTreeMap<ForgeHost, Arc<App>>,
}

impl GitHub {
    /// Reads keys and certificates of all forges; connects nowhere. Blocks for their files.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn load(config: &Config) -> Result<Self, SetUpError> {
        let app = |forge: &ForgeConfig| Ok((forge.host.clone(), Arc::new(App::load(forge)?)));
        Ok(Self { apps: config.forges.iter().map(app).collect::<Result<_, _>>()? })
    }

    /// The App on `host`, as the forge knows it.
    ///
    /// # Errors
    /// When the forge does not answer, or refuses the App's key, id or clock.
    pub async fn own_app(&self, host: &ForgeHost) -> Result<OwnApp, ForgeError> {
        let AppAnswer { slug, permissions, .. } = self.app(host)?.own().await?;
        Ok(OwnApp { slug, permissions })
    }

    /// The App's first hundred installations on `host`.
    ///
    /// # Errors
    /// As [`GitHub::own_app`].
    pub async fn own_installations(
        &self,
        host: &ForgeHost,
    ) -> Result<Vec<OwnInstallation>, ForgeError> {
        let found = self.app(host)?.installations().await?.into_iter();
        let own = found.map(|it| OwnInstallation {
            account: it.account.map_or_else(|| it.id.to_string(), |account| account.login),
            permissions: it.permissions,
            suspended: it.suspended_at.is_some(),
            page: it.html_url,
        });
        Ok(own.collect())
    }

    fn app(&self, host: &ForgeHost) -> Result<&Arc<App>, ForgeError> {
        self.apps.get(host).ok_or_else(|| ForgeError::NotConfigured { host: host.clone() })
    }
}

impl Forge for GitHub {
    async fn repository(&self, repo: &RepoId) -> Result<ForgeRepository, ForgeError> {
        self.app(&repo.host)?.repository(&repo.name).await
    }

    async fn installation(
        &self,
        host: &ForgeHost,
        id: ForgeRepoId,
        name: &RepoName,
    ) -> Result<Installation, ForgeError> {
        self.app(host)?.installation(id, name).await
    }

    async fn mint(&self, request: &MintRequest) -> Result<Minted, ForgeError> {
        self.app(&request.host)?.mint(request).await
    }

    async fn revoke(&self, host: &ForgeHost, token: &Token) -> Result<(), ForgeError> {
        self.app(host)?.revoke(token).await
    }

    async fn bot_identity(&self, host: &ForgeHost) -> Result<GitIdentity, ForgeError> {
        self.app(host)?.bot_identity().await
    }
}

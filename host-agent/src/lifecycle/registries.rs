//! What the lifecycle needs of registries; `adapters::registry` implements it.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use super::devcontainers::Output;

/// A feature as its registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureManifest {
    /// The same feature by its digest: `ghcr.io/owner/features/name@sha256:...`.
    pub pinned: String,
    /// Its `devcontainer-feature.json`; old features do not have it in their manifest.
    pub metadata: Option<String>,
}

/// Why a registry gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It has no such thing, or none for this server.
    #[error("the registry has no {what} {reference}, or does not show it to this server")]
    Unknown {
        /// `feature` or `image`.
        what: &'static str,
        /// Its reference.
        reference: String,
    },
    /// It does not answer, or refuses.
    #[error("the {what} {reference} cannot be had from its registry")]
    Refused {
        /// `feature` or `image`.
        what: &'static str,
        /// Its reference.
        reference: String,
        /// What was said about it.
        said: Vec<String>,
    },
    /// It took too long.
    #[error("{reference} was not had from its registry within {} s", limit.as_secs())]
    Deadline {
        /// The reference.
        reference: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The program that asks cannot be run.
    #[error("cannot run {program}")]
    Run {
        /// The program as configured.
        program: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// Registries, with the server's own credentials for them.
pub trait Registries {
    /// Looks a feature up in its registry; contacts no other.
    fn feature(
        &self,
        reference: &str,
    ) -> impl Future<Output = Result<FeatureManifest, RegistryError>> + Send;

    /// Brings an image to the engine.
    fn pull(
        &self,
        reference: &str,
        output: Output,
    ) -> impl Future<Output = Result<(), RegistryError>> + Send;
}

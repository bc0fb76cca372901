//! Who may have which token: attestation, grants, the broker that mints and caches, the audit log.
//!
//! [`Credentials`] is the whole of it as lifecycle and `serve` see it.

pub mod forge;

use std::sync::Arc;

use hatchery_protocol::{DroneName, RepoId};
use time::OffsetDateTime;

pub use forge::{Forge, ForgeError, ForgeRepository};

use crate::config::Config;
use crate::records::RecordStore;
use crate::secret::Token;

/// The credential service of all drones.
#[derive(Debug)]
pub struct Credentials<F> {
    forge: Arc<F>,
    records: Arc<RecordStore>,
    config: Arc<Config>,
}

impl<F: Forge> Credentials<F> {
    /// Opens the audit log; listens nowhere yet.
    ///
    /// # Errors
    /// When the state directory cannot be used.
    pub fn new(
        config: Arc<Config>,
        records: Arc<RecordStore>,
        forge: Arc<F>,
    ) -> std::io::Result<Self> {
        Ok(Self { forge, records, config })
    }

    /// Finds a repository on its forge.
    ///
    /// # Errors
    /// As [`Forge::repository`].
    pub async fn resolve(&self, repo: &RepoId) -> Result<ForgeRepository, ForgeError> {
        self.forge.repository(repo).await
    }

    /// Makes the drone's socket directory and listens on its socket. A drone that has one already
    /// keeps it (the directory is never recreated while a container exists). Needs its record.
    ///
    /// # Errors
    /// When the directory or the socket cannot be made.
    pub async fn open_drone(&self, drone: &DroneName) -> std::io::Result<()> {
        let _ = drone;
        unimplemented!()
    }

    /// Stops listening for a drone and drops what is cached for it; the directory stays.
    pub async fn close_drone(&self, drone: &DroneName) {
        let _ = drone;
        unimplemented!()
    }

    /// Takes back every token minted for a drone, retried in the background until each has ended.
    pub async fn revoke_drone(&self, drone: &DroneName) {
        let _ = drone;
        unimplemented!()
    }

    /// Removes the drone's socket directory; its listener must be closed and container gone.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub async fn remove_drone(&self, drone: &DroneName) -> std::io::Result<()> {
        let _ = drone;
        unimplemented!()
    }

    /// The drone's primary token for the host's own clone, cached and audited like the drone's.
    ///
    /// # Errors
    /// As minting.
    pub async fn clone_token(&self, drone: &DroneName) -> Result<Arc<Token>, ForgeError> {
        let _ = drone;
        unimplemented!()
    }

    /// When the drone last got a token.
    pub fn last_token_at(&self, drone: &DroneName) -> Option<OffsetDateTime> {
        let _ = drone;
        None
    }

    /// Serves until cancelled: refreshes tokens in use, retries revocations; ends with a drain.
    pub async fn run(self: Arc<Self>, shutdown: tokio_util::sync::CancellationToken) {
        let _ = shutdown;
        unimplemented!()
    }

    /// The records that grants are read from.
    pub fn records(&self) -> &RecordStore {
        &self.records
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

//! What can be asked of the lifecycle; the control API carries these as JSON.

use std::fmt;

use hatchery_protocol::wire::Permissions;
use hatchery_protocol::{DroneName, RepoId};
use serde::{Deserialize, Serialize};

use crate::records::SpawnChoices;

/// How a user names a drone: by its name or its repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DroneRef {
    /// `acme-web`.
    Name(DroneName),
    /// `acme/web`.
    Repo(RepoId),
}

impl fmt::Display for DroneRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Repo(repo) => repo.name.fmt(f),
        }
    }
}

/// `spawn`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpawnRequest {
    /// The repository, in any spelling that [`RepoId::parse`] takes.
    pub repo: String,
    /// What to do differently from the configuration.
    #[serde(default)]
    pub choices: SpawnChoices,
    /// Keep a drone whose spawn failed, in state `failed`.
    #[serde(default)]
    pub keep_failed: bool,
    /// Go no further than the policy, say what it found, and leave nothing behind.
    #[serde(default)]
    pub dry_run: bool,
}

/// `repo connect`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectRequest {
    /// The repository, in any spelling that [`RepoId::parse`] takes; bare, on the drone's forge.
    pub repo: String,
    /// Added to what the drone has there, else to the configured ones; level `none` takes one away.
    /// `None`: the configured ones that the App has.
    #[serde(default)]
    pub permissions: Option<Permissions>,
    /// Nothing but `permissions`, and `metadata: read`.
    #[serde(default)]
    pub only: bool,
    /// None of them above level `read`.
    #[serde(default)]
    pub read_only: bool,
}

/// `slay`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlayRequest {
    /// Go on although work would be lost.
    #[serde(default)]
    pub force: bool,
    /// Drop the repository's SSH host key too.
    #[serde(default)]
    pub forget: bool,
}

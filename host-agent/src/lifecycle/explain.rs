//! How the errors of engine, forge, git and devcontainer CLI become failures that people read.

use super::checkouts::CloneError;
use super::devcontainers::DevcontainerError;
use super::engine::EngineError;
use super::failure::{Failure, FailureKind};
use super::registries::RegistryError;
use crate::credentials::ForgeError;
use crate::records::{OperationKind, Record, RecordError};

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let failure = Self::new(FailureKind::Engine, error.to_string());
        let failure = match std::error::Error::source(&error) {
            Some(source) => failure.caused_by(source),
            None => failure,
        };
        match &error {
            EngineError::Unreachable { .. } => failure
                .hint("start Docker: `systemctl start docker`")
                .hint("is it elsewhere? set [programs] docker_socket"),
            EngineError::Refused { message, .. } if is_full(message) => failure.hint(DISK_FULL),
            EngineError::Deadline { .. } => {
                failure.hint("look at Docker's log: `journalctl -u docker`")
            }
            EngineError::Absent { .. }
            | EngineError::Conflict { .. }
            | EngineError::Refused { .. } => failure,
        }
    }
}

/// What to do about a full disk.
pub const DISK_FULL: &str = "the disk is full: slay drones or run `docker system prune`";

/// Whether a message says that the disk is full, in the engine's words or in a program's.
pub fn is_full(message: &str) -> bool {
    message.to_ascii_lowercase().contains("no space left on device")
}

impl From<ForgeError> for Failure {
    fn from(error: ForgeError) -> Self {
        let kind = match &error {
            ForgeError::NotFound { .. } | ForgeError::InstallationGone { .. } => {
                FailureKind::NoRepository
            }
            ForgeError::NotConfigured { .. } => FailureKind::Usage,
            ForgeError::Suspended { .. }
            | ForgeError::BadApp { .. }
            | ForgeError::RateLimited { .. }
            | ForgeError::Unreachable { .. }
            | ForgeError::Surplus { .. } => FailureKind::Outside,
        };
        let failure = Self::new(kind, error.to_string());
        match error {
            ForgeError::NotFound { install_url, installed, host, repo } => {
                let what = if installed { "add it to the repositories of" } else { "install" };
                let page = install_url.unwrap_or_else(|| format!("in its settings on {host}"));
                failure
                    .hint("check the spelling of owner/repo")
                    .hint(format!("or {what} the App on {}: {page}", repo.owner()))
            }
            ForgeError::InstallationGone { host, .. } => {
                failure.hint(format!("install the App on the repository again, on {host}"))
            }
            ForgeError::Suspended { host, .. } => {
                failure.hint(format!("its owner unsuspends it in the account's settings on {host}"))
            }
            ForgeError::BadApp { .. } => failure.hint(
                "check client_id (or app_id) and private_key_file of this [[forge]], and the clock",
            ),
            ForgeError::RateLimited { .. } => failure.hint("try again then"),
            ForgeError::Unreachable { host, .. } => {
                failure.hint(format!("is {host} up, and api_url right? try again when it answers"))
            }
            ForgeError::Surplus { .. } => failure.hint("this is a fault of the forge; report it"),
            ForgeError::NotConfigured { host } => {
                failure.hint(format!("add a [[forge]] section with host = \"{host}\""))
            }
        }
    }
}

impl From<CloneError> for Failure {
    fn from(error: CloneError) -> Self {
        let kind = match &error {
            CloneError::NoBranch { .. } => FailureKind::NoRepository,
            CloneError::Refused { .. } | CloneError::Deadline { .. } => FailureKind::Outside,
            CloneError::Host { .. } => FailureKind::Failed,
        };
        let mut failure = Self::new(kind, error.to_string());
        if let Some(source) = std::error::Error::source(&error) {
            failure = failure.caused_by(source);
        }
        match error {
            CloneError::NoBranch { .. } => failure.hint("name an existing one with --branch"),
            CloneError::Refused { .. } | CloneError::Deadline { .. } | CloneError::Host { .. } => {
                failure
            }
        }
    }
}

impl From<DevcontainerError> for Failure {
    fn from(error: DevcontainerError) -> Self {
        let failure = Self::new(FailureKind::Engine, error.to_string());
        match &error {
            DevcontainerError::Run { source, .. } => failure
                .caused_by(source)
                .hint("install it: `npm install -g @devcontainers/cli`")
                .hint("is it elsewhere? set [programs] devcontainer"),
            DevcontainerError::NoCompose { .. } => failure.hint(
                "install it: docker-compose-plugin (Docker's own packages), docker-compose-v2 \
                 (Ubuntu) or docker-compose (Debian 13 and newer)",
            ),
            DevcontainerError::Hook { .. } => {
                failure.hint("does it wait for something? for more time set [limits] hook_timeout")
            }
            DevcontainerError::Failed { .. } | DevcontainerError::Deadline { .. } => failure,
        }
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        let message = error.to_string();
        match error {
            RegistryError::Refused { said, .. } if said.iter().any(|line| is_full(line)) => {
                Self::new(FailureKind::Engine, message).details(said).hint(DISK_FULL)
            }
            RegistryError::Refused { reference, said, .. } => Self::new(
                FailureKind::Outside,
                message,
            )
            .details(said)
            .hint(format!(
                "does the server reach the registry of {reference}? a private one needs `docker \
                     login` there"
            )),
            RegistryError::Unknown { .. } => Self::new(FailureKind::Outside, message)
                .hint("is it spelled right? a private one needs `docker login` on the server"),
            RegistryError::Deadline { .. } => Self::new(FailureKind::Outside, message)
                .hint("does the server reach the registry? try again when it answers"),
            RegistryError::Run { source, .. } => Self::new(FailureKind::Engine, message)
                .caused_by(&source)
                .hint("is it elsewhere? set [programs] devcontainer and docker"),
        }
    }
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Self {
        match &error {
            RecordError::Exists(drone) => {
                Self::new(FailureKind::Exists, format!("drone {drone} is being spawned already"))
            }
            RecordError::Absent(drone) => no_drone(drone),
            RecordError::Io { source, .. } => {
                Self::new(FailureKind::Failed, error.to_string()).caused_by(source)
            }
        }
    }
}

/// The drone is there already, or on its way.
pub fn exists(record: &Record) -> Failure {
    let drone = &record.drone;
    let kind = record.operation.as_ref().map(|operation| operation.kind);
    if kind == Some(OperationKind::Spawn) {
        return Failure::new(
            FailureKind::Exists,
            format!("drone {drone} is being spawned already"),
        )
        .hint(format!("see how far it is: `hatchery status {drone}`"));
    }
    Failure::new(FailureKind::Exists, format!("drone {drone} exists already"))
        .hint(format!("get in: `hatchery exec {drone} bash`"))
        .hint(format!("start over: `hatchery slay {drone}` first"))
}

/// There is no such drone.
pub fn no_drone(drone: &dyn std::fmt::Display) -> Failure {
    Failure::new(FailureKind::NoDrone, format!("there is no drone {drone}"))
        .hint("see which there are: `hatchery list`")
}

//! What the lifecycle says about drones: the JSON of `list`, `status` and events (design, "Command
//! line"; only new fields may come).

use std::collections::BTreeMap;

use hatchery_protocol::wire::Permissions;
use hatchery_protocol::{DroneName, ForgeHost, RepoName};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::failure::Failure;
use crate::policy::Report;

/// A drone's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DroneState {
    /// A spawn or rebuild is under way.
    Spawning,
    /// Up.
    Running,
    /// Stopped because the user wants it so.
    Burrowed,
    /// Stopped although it should run.
    Stopped,
    /// A spawn failed and was kept (`--keep-failed`).
    Failed,
    /// A record without a container.
    Lost,
    /// A container with our labels and no right seal.
    Unknown,
}

/// One drone in `list`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DroneSummary {
    /// Its name.
    pub drone: DroneName,
    /// Its repository.
    pub repo: RepoName,
    /// The forge.
    pub forge: ForgeHost,
    /// Its state.
    pub state: DroneState,
    /// Full id of its container.
    pub container_id: Option<String>,
    /// Since when it runs.
    #[serde(with = "time::serde::rfc3339::option", default)]
    pub up_since: Option<OffsetDateTime>,
    /// CPU use, 100 being one CPU.
    pub cpu_percent: Option<f64>,
    /// Memory in use without the page cache.
    pub memory_bytes: Option<u64>,
    /// Memory limit.
    pub memory_limit_bytes: Option<u64>,
    /// Size of the workspace volume, measured in the background.
    pub workspace_bytes: Option<u64>,
    /// When it was measured.
    #[serde(with = "time::serde::rfc3339::option", default)]
    pub workspace_measured_at: Option<OffsetDateTime>,
    /// The kernel killed it, or something in it, for memory since it was started.
    #[serde(default)]
    pub out_of_memory: bool,
}

/// Answer of `list`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DroneList {
    /// Ordered by name.
    pub drones: Vec<DroneSummary>,
}

/// Answer of `status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DroneStatus {
    /// The same as in `list`.
    #[serde(flatten)]
    pub summary: DroneSummary,
    /// The image it runs.
    pub image: Option<String>,
    /// TCP ports that something in it listens on.
    pub ports: Vec<u16>,
    /// What it may reach.
    pub grants: Vec<GrantView>,
    /// What its image was made from: reference -> digest of the time, or an image's id.
    #[serde(default)]
    pub references: BTreeMap<String, String>,
    /// When it last got a token.
    #[serde(with = "time::serde::rfc3339::option", default)]
    pub last_token_at: Option<OffsetDateTime>,
    /// What is wrong with it, in sentences; empty: nothing known.
    pub health: Vec<String>,
    /// The last events of it, oldest first.
    pub events: Vec<Event>,
}

/// What a drone reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroneGrants {
    /// Its name.
    pub drone: DroneName,
    /// Its own repository's first.
    pub grants: Vec<GrantView>,
    /// What a change could not give of the configured permissions, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

/// A grant as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantView {
    /// The repository.
    pub repo: RepoName,
    /// Its number on the forge.
    pub repo_id: u64,
    /// The permissions granted.
    pub permissions: Permissions,
    /// The drone's own repository: cannot be disconnected.
    #[serde(default)]
    pub primary: bool,
}

/// A step of an operation; the names are fixed by the design ("Spawn").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Forge: repository, id, installation.
    Resolve,
    /// Name, capacity, record.
    Reserve,
    /// Grants, socket.
    Grant,
    /// Clone into the stage and the volume.
    Clone,
    /// What devcontainer.json asks for.
    Policy,
    /// The image.
    Build,
    /// The container.
    Create,
    /// Comparison of container and policy.
    Inspect,
    /// Boot as root.
    Boot,
    /// Lifecycle hooks.
    Hooks,
    /// Ready.
    Ready,
    /// Rebuild and slay: stop of the container.
    Stop,
    /// Slay: removal of everything that the drone had.
    Remove,
}

/// Where a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It began.
    Start,
    /// It ended well.
    End,
    /// It failed.
    Failed,
}

/// Something that happened, as one NDJSON line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Which drone; absent before it has a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drone: Option<DroneName>,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventKind {
    /// A step began, ended or failed.
    Step {
        /// Which.
        step: Step,
        /// Where it is.
        phase: Phase,
        /// How long it took; at its end only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration_ms: Option<u64>,
        /// Why it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// How far a step is: what git, the build or a hook does now.
    Progress {
        /// Which step.
        step: Step,
        /// What it does, one line without control characters.
        text: String,
    },
    /// Something that the user should know and that stops nothing.
    Notice {
        /// The sentence.
        text: String,
    },
    /// The drone's state changed.
    State {
        /// The new one.
        state: DroneState,
    },
    /// What the policy found, in a dry run.
    Policy {
        /// All of it, counted.
        #[serde(flatten)]
        report: Report,
    },
    /// The kernel killed it, or something in it, for memory.
    OutOfMemory,
    /// Last line of a successful operation.
    Done {
        /// The drone now; absent after slay.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<Box<DroneStatus>>,
        /// What slay removed or what else is worth saying, one line each.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        report: Vec<String>,
    },
    /// Last line of a failed one.
    Failed {
        /// Why.
        failure: Box<Failure>,
    },
}

/// How to run something in a drone: the client hands itself over to Docker's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecPlan {
    /// Full id of the container.
    pub container_id: String,
    /// The remote user.
    pub user: String,
    /// The workspace folder.
    pub workdir: String,
    /// `remoteEnv` of the configuration, `NAME=value`; no secrets.
    pub env: Vec<String>,
    /// Docker's client as configured.
    pub docker: String,
    /// The engine's socket.
    pub docker_socket: String,
}

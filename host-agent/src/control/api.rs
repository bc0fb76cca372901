//! What goes over the control socket: the lifecycle's own types, and what carries them.

use serde::{Deserialize, Serialize};

pub use crate::credentials::trail::AuditLine;
pub use crate::lifecycle::failure::{Failure, FailureKind};
pub use crate::lifecycle::request::{ConnectRequest, DroneRef, SlayRequest, SpawnRequest};
pub use crate::lifecycle::view::{
    DroneGrants, DroneList, DroneState, DroneStatus, DroneSummary, Event, EventKind, ExecPlan,
    GrantView, Phase, Step,
};
pub use crate::records::SpawnChoices;

/// Header in which spawn, rebuild and slay name their operation: a number that
/// `/v1/operations/{id}/cancel` takes.
pub const OPERATION_HEADER: &str = "hatchery-operation";

/// Media type of events, a JSON object a line.
pub const NDJSON: &str = "application/x-ndjson";

/// Media type of failures.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Answer of `GET /v1/version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The host agent's version.
    pub version: String,
}

/// RFC 9457 problem details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:hatchery:<kind>`, stable.
    #[serde(rename = "type")]
    pub kind: String,
    /// What happened.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What to do now.
    pub detail: String,
    /// The whole of it.
    pub failure: Failure,
}

//! The control API: HTTP/1.1 with JSON on `control.sock`, events as NDJSON.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/version` | [`api::Version`] |
//! | `GET /v1/drones` | [`api::DroneList`] |
//! | `POST /v1/drones` | [`api::SpawnRequest`]; events, the last `done` or `failed` |
//! | `GET /v1/drones/{drone}` | [`api::DroneStatus`] |
//! | `POST /v1/drones/{drone}/burrow`, `/unburrow`, `/adopt` | [`api::DroneStatus`] |
//! | `POST /v1/drones/{drone}/rebuild`, `/slay` | events; slay takes [`api::SlayRequest`] |
//! | `GET /v1/drones/{drone}/exec` | [`api::ExecPlan`] |
//! | `GET /v1/drones/{drone}/logs?source=spawn` or `container` | text |
//! | `GET /v1/audit?drone=..&since=..&follow=true` | lines of the audit log, `since` in RFC 3339 |
//! | `GET /v1/events` | events of all drones until the client leaves |
//! | `POST /v1/operations/{id}/cancel` | nothing; the operation's own answer says how it ended |
//!
//! `{drone}` is a drone's name, or a repository as `owner%2Frepo`. Spawn, rebuild and slay name
//! their operation in the header `hatchery-operation`. Cancelling it, or leaving, rolls it back; who
//! cancels and reads on learns how that went. Failures are RFC 9457 problem details
//! ([`api::Problem`]) with the whole [`api::Failure`] in them.

pub mod api;
pub mod client;
mod drones;
mod group;
mod operations;
mod reply;
mod route;
mod segment;
pub mod server;

pub use drones::Drones;
pub use group::{CONTROL_GROUP, control_group};

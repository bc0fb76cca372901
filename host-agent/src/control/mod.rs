//! The control API: HTTP/1.1 with JSON on `control.sock`, events as NDJSON.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/version` | `{"version"}` |
//! | `GET /v1/drones` | [`crate::lifecycle::view::DroneList`] |
//! | `POST /v1/drones` | [`crate::lifecycle::request::SpawnRequest`]; events, the last `done` or `failed` |
//! | `GET /v1/drones/{drone}` | [`crate::lifecycle::view::DroneStatus`] |
//! | `POST /v1/drones/{drone}/burrow`, `/unburrow`, `/adopt` | `DroneStatus` |
//! | `POST /v1/drones/{drone}/rebuild`, `/slay` | events |
//! | `GET /v1/drones/{drone}/exec` | [`crate::lifecycle::view::ExecPlan`] |
//! | `GET /v1/drones/{drone}/logs?source=spawn` or `container` | text |
//! | `GET /v1/events` | events of all drones until the client leaves |
//!
//! `{drone}` is a drone's name, or a repository as `owner%2Frepo`. A client that leaves during
//! spawn, rebuild or slay cancels it, and what it did is rolled back.

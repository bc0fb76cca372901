//! The wire contract between a drone and its host agent.
//!
//! Binaries inside running drones are older than the host agent after every upgrade, so everything
//! here only grows: fields are added, never renamed or given another meaning, and unknown fields
//! are ignored. `tests/fixtures/v1/` holds a JSON sample of every released shape.

mod drone_name;
pub mod paths;
mod repo;
pub mod wire;

pub use drone_name::{DroneName, DroneNameError};
pub use repo::{ForgeHost, RepoId, RepoName, RepoParseError};

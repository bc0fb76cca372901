//! Hatchery on the server: spawns devcontainers ("drones") and hands them narrow, short-lived
//! credentials.
//!
//! Two ways lead in: command line -> [`control`] -> [`lifecycle`] (spawn, rebuild, burrow, slay,
//! reconcile), and a drone's socket -> [`drone_api`] -> [`credentials`] (attest, grants, broker,
//! audit). Both use traits that they own; [`adapters`] implement them and import upwards only;
//! [`serve`] alone wires them together, and [`doctor`] looks at what they will need.

pub mod adapters;
pub mod cli;
pub mod config;
pub mod control;
pub mod credentials;
pub mod doctor;
pub mod drone_api;
#[doc(hidden)]
pub mod fuzzing;
pub mod lifecycle;
pub mod policy;
pub mod policy_check;
pub mod records;
pub mod secret;
pub mod serve;

//! Drives the real parts: dockerd, the devcontainer CLI, git, gh, the local forge, `hatchery` and
//! the drone's binary, as a user would. `scripts/testbed` brings up what it needs and says in the
//! environment where it is; a part that is missing is a failure, never a skipped test.
//!
//! A test begins by taking its turn: [`World::shared`] beside others, [`World::alone`] when it
//! takes the engine or the forge away from everybody. Repositories have an owner of their own in
//! each test, so that drones, installations and calls to the forge can be told apart.

#![allow(clippy::panic, clippy::print_stderr, reason = "this is tests' own code, in a library")]

pub mod bed;
pub mod drone;
pub mod forge;
pub mod host_agent;
pub mod http;
pub mod inventory;
pub mod listener;
pub mod nursery;
pub mod operation;
pub mod ordinary_user;
pub mod registry;
pub mod repo;
pub mod run;
pub mod service_manager;
pub mod wait;
mod watch;
pub mod world;

pub use bed::{Bed, Engine};
pub use drone::Drone;
pub use forge::Forge;
pub use host_agent::HostAgent;
pub use inventory::Inventory;
pub use listener::Listener;
pub use operation::Operation;
pub use ordinary_user::OrdinaryUser;
pub use registry::Registry;
pub use repo::{Repo, RepoBuilder};
pub use run::Run;
pub use service_manager::ServiceManager;
pub use wait::wait_until;
pub use watch::Watch;
pub use world::{Turn, World};

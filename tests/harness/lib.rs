//! Drives the real parts: dockerd, the devcontainer CLI, git, gh, the local forge, `hatchery` and
//! the drone's binary, as a user would. `scripts/testbed` brings up what it needs and says in the
//! environment where it is; a part that is missing is a failure, never a skipped test.

pub mod bed;
pub mod repo;
pub mod run;
pub mod wait;
pub mod world;

pub use bed::{Bed, Engine};
pub use repo::Repo;
pub use run::Run;
pub use wait::wait_until;
pub use world::World;

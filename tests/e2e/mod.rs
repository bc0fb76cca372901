//! What a user can do, end to end.

mod burrow;
mod dockerd_restarted;
mod gh_inside;
mod git_inside;
mod host_agent_killed;
mod not_granted;
mod rebuild;
mod slay;
mod spawn_compose;
mod spawn_dockerfile;
mod spawn_image;
mod users;

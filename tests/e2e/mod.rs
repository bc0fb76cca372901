//! What a user can do, end to end.

mod adopt;
mod burrow;
mod capacity;
mod classic_builder;
mod dockerd_restarted;
mod events;
mod exec;
mod gh_inside;
mod git_inside;
mod host_agent_killed;
mod interrupted;
mod lists;
mod network;
mod not_granted;
mod out_of_memory;
mod rebuild;
mod renamed;
mod seed_design;
mod slay;
mod spawn_compose;
mod spawn_dockerfile;
mod spawn_image;
mod systemd;
mod two_spawns;
mod users;
mod workspace;

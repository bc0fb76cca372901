//! What goes wrong around Hatchery, and what it then says, returns and leaves behind: nothing.

mod configuration;
mod disk_full;
mod docker_down;
mod forge;
mod forge_down;
mod hooks;

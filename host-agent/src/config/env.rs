//! Every environment variable that the host agent and its command line read, declared once.

/// Configuration file, instead of `/etc/hatchery/config.toml`.
pub const CONFIG: &str = "HATCHERY_CONFIG";
/// Directory of `control.sock`, instead of `/run/hatchery`.
pub const RUNTIME_DIR: &str = "HATCHERY_RUNTIME_DIR";
/// State directory, instead of `/var/lib/hatchery`.
pub const STATE_DIR: &str = "HATCHERY_STATE_DIR";
/// The built-in feature's directory.
pub const FEATURE_DIR: &str = "HATCHERY_FEATURE_DIR";
/// `1`: no Zerg lines, as `--plain`.
pub const PLAIN: &str = "HATCHERY_PLAIN";
/// Filter of the log in the manner of `RUST_LOG` (`hatchery=debug,hyper=info`).
pub const LOG: &str = "HATCHERY_LOG";
/// Set to anything but nothing: no colour (no-color.org).
pub const NO_COLOR: &str = "NO_COLOR";
/// `dumb`: no colour and no live progress.
pub const TERM: &str = "TERM";
/// Docker's own: `unix:///path` names the engine's socket.
pub const DOCKER_HOST: &str = "DOCKER_HOST";
/// Docker's own: unset for the client that `exec` becomes, where it would win over the socket.
pub const DOCKER_CONTEXT: &str = "DOCKER_CONTEXT";
/// Not a variable: what this program is called when it stands in for Docker's client, for hooks.
pub const HOOK_CLIENT: &str = "docker-for-hooks";
/// Docker's client as configured, for [`HOOK_CLIENT`].
pub const HOOK_DOCKER: &str = "HATCHERY_HOOK_DOCKER";
/// What hooks are run by in the drone: words without spaces, for [`HOOK_CLIENT`].
pub const HOOK_RUNNER: &str = "HATCHERY_HOOK_RUNNER";
/// Home of a user without root.
pub const HOME: &str = "HOME";
/// XDG base directory of configuration.
pub const XDG_CONFIG_HOME: &str = "XDG_CONFIG_HOME";
/// XDG base directory of state.
pub const XDG_STATE_HOME: &str = "XDG_STATE_HOME";
/// XDG base directory of sockets.
pub const XDG_RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";
/// systemd's own: where the service manager listens; set for units with `Type=notify`.
pub const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
/// systemd's own: the process that the passed descriptors are for.
pub const LISTEN_PID: &str = "LISTEN_PID";
/// systemd's own: how many descriptors were passed.
pub const LISTEN_FDS: &str = "LISTEN_FDS";
/// systemd's own: their names, separated by colons.
pub const LISTEN_FDNAMES: &str = "LISTEN_FDNAMES";

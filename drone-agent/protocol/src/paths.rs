//! Where things lie inside a drone. Each path is written here and nowhere else.

/// The mounted directory that holds the drone's socket.
pub const DRONE_DIR: &str = "/run/drone-agent";
/// Environment variable that moves [`DRONE_DIR`].
pub const DRONE_DIR_ENV: &str = "DRONE_AGENT_DIR";
/// The socket's file name within that directory.
pub const SOCKET_NAME: &str = "agent.sock";
/// The seed design's path: a symbolic link to the socket.
pub const SEED_SOCKET: &str = "/var/run/github-creds.sock";
/// The installed binary.
pub const BINARY: &str = "/usr/local/bin/drone-agent";
/// The link under which git calls the binary as a credential helper.
pub const CREDENTIAL_HELPER: &str = "/usr/local/bin/git-credential-hatchery";
/// The volume that outlives a rebuild.
pub const STATE_DIR: &str = "/var/lib/drone-agent";
/// The workspace volume's mount point.
pub const WORKSPACES: &str = "/workspaces";

/// Directory that `drone-agent boot` owns: nothing in it is secret, all of it is rewritten at boot.
pub const SETTINGS_DIR: &str = "/etc/drone-agent";
/// Git settings of the drone, within [`SETTINGS_DIR`]. The system's git configuration includes
/// this file; where it does not exist (Codespaces, a local editor) git ignores the include.
pub const GIT_SETTINGS: &str = "/etc/drone-agent/gitconfig";
/// Certificates of the forge's private authority alone, for git. Absent without one.
pub const FORGE_CA: &str = "/etc/drone-agent/forge-ca.pem";
/// The system's certificates and the forge's, for gh. Absent without a private authority.
pub const CA_BUNDLE: &str = "/etc/drone-agent/ca-bundle.pem";
/// Git's system-wide configuration.
pub const SYSTEM_GIT_CONFIG: &str = "/etc/gitconfig";
/// Directory put ahead of everything in PATH; holds the `gh` wrapper.
pub const WRAPPERS_DIR: &str = "/usr/local/share/drone-agent/bin";
/// What a `boot` that went to the background has to say.
pub const BOOT_LOG: &str = "/var/log/drone-agent.log";

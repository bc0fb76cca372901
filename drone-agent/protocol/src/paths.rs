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

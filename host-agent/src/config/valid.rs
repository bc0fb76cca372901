//! What the rest of the program sees: checked, with units in the types. Names and defaults are the
//! design's ("Configuration").

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hatchery_protocol::wire::Permissions;
use hatchery_protocol::{ForgeHost, RepoName};

use super::live::Live;
use super::pattern::matches_repository;

/// The whole configuration; what is [`Live`] changes when the file is loaded again.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[limits]`.
    pub limits: Live<Limits>,
    /// `[drone]`.
    pub drone: Live<DroneDefaults>,
    /// `[[forge]]`: never empty, the first is the default for a bare `owner/repo`.
    pub forges: Vec<ForgeConfig>,
    /// `[git]`: identity of commits made in drones; `None`: the App's bot.
    pub git_identity: Live<Option<hatchery_protocol::wire::GitIdentity>>,
    /// `[ssh]`.
    pub ssh: Live<SshConfig>,
    /// `[network]`.
    pub network: Live<NetworkConfig>,
    /// `[features]`.
    pub features: Live<FeatureConfig>,
    /// `[registries] allow`: hosts that images and features may come from.
    pub registries_allow: Live<Vec<String>>,
    /// `[[grants]]`, in order.
    pub grants: Live<Vec<GrantRule>>,
    /// `[[policy]]`, in order.
    pub policy: Live<Vec<PolicyRule>>,
    /// `[programs]`: the commands to run.
    pub programs: Programs,
    /// Where things lie on the host.
    pub paths: Paths,
}

/// `[limits]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Running drones at most; 0: no limit.
    pub max_drones: u32,
    /// Less free memory than this, in bytes: no further drone.
    pub free_memory_floor: u64,
    /// Less free disk than this, in bytes: no spawn, no build.
    pub free_disk_floor: u64,
    /// Builds at once; with the classic builder always one.
    pub build_concurrency: u32,
    /// How long a lifecycle hook may take.
    pub hook_timeout: Duration,
}

/// `[drone]`: defaults of every drone.
#[derive(Debug, Clone, PartialEq)]
pub struct DroneDefaults {
    /// Memory limit in bytes.
    pub memory_bytes: u64,
    /// CPUs; the engine refuses more than the host has, so it is capped there.
    pub cpus: f64,
    /// Processes and threads at most.
    pub pids: i64,
    /// Image for repositories without a devcontainer.json; empty: refuse.
    pub image: String,
    /// Asked for on every repository, as far as the installation has them.
    pub permissions: Permissions,
}

/// `[[forge]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeConfig {
    /// `github.com`.
    pub host: ForgeHost,
    /// REST base without a trailing slash.
    pub api_url: String,
    /// git base without a trailing slash.
    pub git_url: String,
    /// `KEYS_URL/<user>.keys`.
    pub keys_url: String,
    /// A private CA in PEM; git and gh in drones trust it for this forge too.
    pub ca_file: Option<PathBuf>,
    /// The address to use for `host` where DNS does not know it, on the host and in drones.
    pub address: Option<IpAddr>,
    /// The App.
    pub app: AppConfig,
}

/// `app = { client_id | app_id, private_key_file }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppConfig {
    /// `iss` of the App's JWT: the client id, or the app id in decimal.
    pub issuer: String,
    /// PEM, PKCS#1 or PKCS#8.
    pub private_key_file: PathBuf,
}

/// `[ssh]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshConfig {
    /// Port of sshd in drones.
    pub port: u16,
    /// Forge users whose keys open every drone.
    pub users: Vec<String>,
}

/// `[network]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkConfig {
    /// Networks of Compose drones are /28s of this.
    pub pool: (IpAddr, u8),
    /// TCP ports of the host that drones may reach.
    pub host_ports: Vec<u16>,
    /// Resolvers for drones; empty: Docker's.
    pub dns: Vec<IpAddr>,
    /// Whether drones are kept from the host and its networks. Without it no drone is spawned
    /// unless this is false.
    pub firewall: bool,
}

/// `[features]`: injected without touching the repository.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureConfig {
    /// The drone feature.
    pub drone: DroneFeature,
    /// OCI reference of the sshd feature; empty: not injected.
    pub sshd: String,
    /// More features, reference -> options.
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// Where the drone feature comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DroneFeature {
    /// The one that came with this program, from [`Paths::feature_dir`].
    BuiltIn,
    /// An OCI reference.
    Reference(String),
}

/// `[[grants]]`: what drones may do with some repositories, in place of `[drone] permissions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRule {
    /// Patterns on `owner/repo`, `*` within a part, case ignored.
    pub repositories: Vec<String>,
    /// Asked for there, as far as the installation has them.
    pub permissions: Permissions,
}

/// `[[policy]]`: what some repositories may do that others may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRule {
    /// Patterns on `owner/repo`, `*` within a part, case ignored.
    pub repositories: Vec<String>,
    /// Policy keys that are permitted there.
    pub allow: Vec<String>,
}

/// `[programs]`: the commands `docker` and `devcontainer`, and the engine's socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// Docker's client.
    pub docker: PathBuf,
    /// The devcontainer CLI.
    pub devcontainer: PathBuf,
    /// git, for clones on the host.
    pub git: PathBuf,
    /// The engine's socket, `/var/run/docker.sock` or what `DOCKER_HOST=unix://...` names.
    pub docker_socket: PathBuf,
}

/// Where things lie on the host (design, "State").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Configuration file.
    pub config: PathBuf,
    /// `seal.key`, beside the configuration.
    pub seal_key: PathBuf,
    /// Runtime directory with `control.sock`.
    pub runtime: PathBuf,
    /// State directory.
    pub state: PathBuf,
    /// The built-in feature: a directory with `devcontainer-feature.json` and `bin/`.
    pub feature_dir: PathBuf,
}

impl Paths {
    /// The control API's socket.
    pub fn control_socket(&self) -> PathBuf {
        control_socket(&self.runtime)
    }

    /// Records, one file a drone.
    pub fn records(&self) -> PathBuf {
        self.state.join("drones")
    }

    /// Directory of all drones' socket directories, 0700.
    pub fn sockets(&self) -> PathBuf {
        self.state.join("sockets")
    }

    /// The append-only audit log.
    pub fn audit(&self) -> PathBuf {
        self.state.join("audit.jsonl")
    }

    /// Logs of spawns: output of git, the devcontainer CLI and hooks.
    pub fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }

    /// Staged checkouts and other things that may be removed while nothing runs.
    pub fn cache(&self) -> PathBuf {
        self.state.join("cache")
    }
}

/// The control API's socket in a runtime directory.
pub(super) fn control_socket(runtime: &Path) -> PathBuf {
    runtime.join("control.sock")
}

impl Config {
    /// The forge of a bare `owner/repo`: the first one.
    pub fn default_forge(&self) -> &ForgeHost {
        &self.forges.first().expect("`load` refuses a file without a forge").host
    }

    /// What a grant on a repository has unless it is said otherwise: the first `[[grants]]` rule for
    /// it, else `[drone] permissions`.
    pub fn permissions_for(&self, repo: &RepoName) -> &Permissions {
        let is_for = |rule: &&GrantRule| {
            rule.repositories.iter().any(|pattern| matches_repository(pattern, repo))
        };
        self.grants.iter().find(is_for).map_or(&self.drone.permissions, |rule| &rule.permissions)
    }

    /// The forge with this host, if it is configured.
    pub fn forge(&self, host: &ForgeHost) -> Option<&ForgeConfig> {
        self.forges.iter().find(|forge| &forge.host == host)
    }
}

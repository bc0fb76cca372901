//! Every key of a Compose service and its verdict. One that is not here is refused.

use super::super::finding::Permit;

/// What happens to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Confined to the drone.
    Keep,
    /// Needless here.
    Strip(&'static str),
    /// Reaches the host, and nothing permits it.
    Refuse(&'static str),
    /// Refused unless a rule permits it.
    Ask(Permit, &'static str),
    /// Judged by its content.
    Judge,
}

const LIMITS: Rule = Rule::Strip("the host sets the limits");
const HOST_SETS: Rule = Rule::Strip("the host sets it itself");
const WEIGHS: Rule = Rule::Refuse("it weighs the drone against the host");
const DEVICES: Rule = Rule::Ask(Permit::Devices, "devices belong to the host");
const SOCKET: Rule = Rule::Refuse("Docker's socket is root on the host");

/// The table, by name: Compose's `compose-spec.json`, and what older versions knew.
const KEYS: [(&str, Rule); 100] = [
    ("annotations", Rule::Refuse("it configures the host's container runtime")),
    ("attach", HOST_SETS),
    ("blkio_config", WEIGHS),
    ("build", Rule::Judge),
    ("cap_add", Rule::Judge),
    ("cap_drop", Rule::Keep),
    ("cgroup", Rule::Judge),
    ("cgroup_parent", WEIGHS),
    ("command", Rule::Keep),
    ("configs", Rule::Judge),
    ("container_name", HOST_SETS),
    ("cpu_count", LIMITS),
    ("cpu_percent", LIMITS),
    ("cpu_period", LIMITS),
    ("cpu_quota", LIMITS),
    ("cpu_rt_period", WEIGHS),
    ("cpu_rt_runtime", WEIGHS),
    ("cpu_shares", LIMITS),
    ("cpus", LIMITS),
    ("cpuset", LIMITS),
    ("credential_spec", Rule::Refuse("it reads a file of the host")),
    ("depends_on", Rule::Keep),
    ("deploy", Rule::Judge),
    ("develop", Rule::Strip("it watches files on the host")),
    ("device_cgroup_rules", DEVICES),
    ("devices", Rule::Judge),
    ("dns", HOST_SETS),
    ("dns_opt", HOST_SETS),
    ("dns_search", HOST_SETS),
    ("domainname", HOST_SETS),
    ("driver_opts", HOST_SETS),
    ("entrypoint", Rule::Keep),
    ("env_file", Rule::Judge),
    ("environment", Rule::Judge),
    ("expose", Rule::Keep),
    ("extends", Rule::Judge),
    ("external_links", Rule::Refuse("it reaches other containers")),
    ("extra_hosts", Rule::Keep),
    ("gpus", DEVICES),
    ("group_add", Rule::Keep),
    ("healthcheck", Rule::Keep),
    ("hostname", HOST_SETS),
    ("image", Rule::Judge),
    ("init", Rule::Keep),
    ("ipc", Rule::Judge),
    ("isolation", HOST_SETS),
    ("label_file", Rule::Refuse("it reads a file of the host")),
    ("labels", Rule::Judge),
    ("links", Rule::Keep),
    ("logging", Rule::Judge),
    ("mac_address", HOST_SETS),
    ("mem_limit", LIMITS),
    ("mem_reservation", LIMITS),
    ("mem_swappiness", LIMITS),
    ("memswap_limit", LIMITS),
    ("models", Rule::Refuse("a model runs beside the drone, not in it")),
    ("net", Rule::Refuse("the key is network_mode")),
    ("network_mode", Rule::Judge),
    ("networks", Rule::Judge),
    ("oom_kill_disable", Rule::Judge),
    ("oom_score_adj", WEIGHS),
    ("pid", Rule::Judge),
    ("pids_limit", LIMITS),
    ("platform", Rule::Keep),
    ("ports", Rule::Strip("ports are not published: the tailnet reaches every port")),
    ("post_start", Rule::Judge),
    ("pre_stop", Rule::Judge),
    ("privileged", Rule::Judge),
    ("profiles", Rule::Keep),
    ("provider", Rule::Refuse("it runs a program on the host")),
    ("pull_policy", HOST_SETS),
    ("pull_refresh_after", HOST_SETS),
    ("read_only", Rule::Keep),
    ("restart", HOST_SETS),
    ("runtime", Rule::Refuse("it chooses the host's container runtime")),
    ("scale", HOST_SETS),
    ("secrets", Rule::Judge),
    ("security_opt", Rule::Judge),
    ("shm_size", Rule::Keep),
    ("stdin_open", Rule::Keep),
    ("stop_grace_period", Rule::Keep),
    ("stop_signal", Rule::Keep),
    ("storage_opt", LIMITS),
    ("sysctls", Rule::Judge),
    ("tmpfs", Rule::Judge),
    ("tty", Rule::Keep),
    ("ulimits", Rule::Judge),
    ("use_api_socket", SOCKET),
    ("user", Rule::Keep),
    ("userns_mode", Rule::Judge),
    ("uts", Rule::Judge),
    ("volume_driver", Rule::Refuse("a volume driver can name any path of the host")),
    ("volumes", Rule::Judge),
    ("volumes_from", Rule::Judge),
    ("working_dir", Rule::Keep),
    ("cpu_reservation", LIMITS),
    ("log_driver", Rule::Refuse("a log driver writes to the host or the network")),
    ("log_opt", Rule::Refuse("a log driver writes to the host or the network")),
    ("dockerfile", Rule::Refuse("the key is build.dockerfile")),
    ("name", HOST_SETS),
];

/// The verdict on a key.
pub fn rule(key: &str) -> Rule {
    if key.starts_with("x-") {
        return Rule::Strip("an extension field, read by nobody here");
    }
    KEYS.iter()
        .find(|(name, _)| *name == key)
        .map_or(Rule::Refuse("not a key that the policy knows"), |(_, rule)| *rule)
}

//! The last net: what the created container really has, against what was allowed.

/// What inspecting the container shows, in the engine's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// `HostConfig.Privileged`.
    pub privileged: bool,
    /// `HostConfig.CapAdd`.
    pub cap_add: Vec<String>,
    /// `HostConfig.SecurityOpt`.
    pub security_opt: Vec<String>,
    /// `Mounts`: binds and volumes.
    pub mounts: Vec<ObservedMount>,
    /// `HostConfig.Devices` (path on the host), `DeviceRequests` and `DeviceCgroupRules`, as text.
    pub devices: Vec<String>,
    /// `HostConfig.NetworkMode`.
    pub network_mode: String,
    /// Names of the networks it is attached to.
    pub networks: Vec<String>,
    /// `HostConfig.PidMode`.
    pub pid_mode: String,
    /// `HostConfig.IpcMode`.
    pub ipc_mode: String,
    /// `HostConfig.UTSMode`.
    pub uts_mode: String,
    /// `HostConfig.UsernsMode`.
    pub userns_mode: String,
    /// `HostConfig.CgroupnsMode`.
    pub cgroupns_mode: String,
    /// `HostConfig.CgroupParent`.
    pub cgroup_parent: String,
    /// Published ports, as `80/tcp`.
    pub published_ports: Vec<String>,
    /// `HostConfig.VolumesFrom`.
    pub volumes_from: Vec<String>,
    /// `HostConfig.OomScoreAdj`.
    pub oom_score_adj: i64,
    /// `HostConfig.OomKillDisable`.
    pub oom_kill_disable: bool,
    /// Labels whose names begin with `hatchery.`.
    pub hatchery_labels: Vec<String>,
}

/// One entry of `Mounts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedMount {
    /// `bind`, `volume`, `tmpfs`, ...
    pub kind: String,
    /// Path on the host for a bind, name for a volume.
    pub source: String,
    /// Where.
    pub target: String,
    /// Whether it is writable.
    pub writable: bool,
    /// Driver of a volume.
    pub driver: String,
}

/// What the container may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    /// `privileged`.
    pub privileged: bool,
    /// Capabilities, without `CAP_`.
    pub cap_add: Vec<String>,
    /// Security options.
    pub security_opt: Vec<String>,
    /// Host paths that may be bound: the socket directory, and what rules permit.
    pub binds: Vec<String>,
    /// Names of volumes that may be mounted.
    pub volumes: Vec<String>,
    /// Devices that rules permit.
    pub devices: Vec<String>,
    /// Networks it may be on; a network mode must be one of them, or `container:` of `siblings`.
    pub networks: Vec<String>,
    /// Full ids of its own Compose project's containers, whose namespaces it may share.
    pub siblings: Vec<String>,
    /// Host namespaces that rules permit: `pid`, `ipc`, `uts`, `userns`, `cgroupns`.
    pub host_namespaces: Vec<String>,
    /// Labels of ours that we set ourselves.
    pub hatchery_labels: Vec<String>,
}

/// Everything that the container has and should not, a sentence each. Empty: as allowed.
pub fn deviations(observed: &Observed, allowed: &Allowed) -> Vec<String> {
    let _ = (observed, allowed);
    unimplemented!()
}

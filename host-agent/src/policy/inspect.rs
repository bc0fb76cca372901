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
    let mut found = vec![];
    if observed.privileged && !allowed.privileged {
        found.push("it is privileged".to_owned());
    }
    let caps = observed.cap_add.iter().map(|name| bare_capability(name));
    let known: Vec<String> = allowed.cap_add.iter().map(|name| bare_capability(name)).collect();
    surplus("the capability", caps, &known, &mut found);
    let privileged = observed.privileged;
    let options = observed.security_opt.iter().filter(|option| {
        // The engine's own addition to a privileged container, which has no labels anyway.
        weakens(option) && !(privileged && option.as_str() == "label=disable")
    });
    let options = options.cloned();
    surplus("the security option", options, &allowed.security_opt, &mut found);
    surplus("the device", observed.devices.iter().cloned(), &allowed.devices, &mut found);
    let labels = observed.hatchery_labels.iter().cloned();
    surplus("the label", labels, &allowed.hatchery_labels, &mut found);
    mounts(observed, allowed, &mut found);
    networks(observed, allowed, &mut found);
    namespaces(observed, allowed, &mut found);
    for port in &observed.published_ports {
        found.push(format!("it publishes the port {port}"));
    }
    let foreign = |from: &&String| {
        let container = from.split(':').next().unwrap_or(from);
        !allowed.siblings.iter().any(|sibling| sibling == container)
    };
    for container in observed.volumes_from.iter().filter(foreign) {
        found.push(format!("it has the volumes of {container}"));
    }
    if !observed.cgroup_parent.is_empty() {
        found.push(format!("its cgroup lies below {}", observed.cgroup_parent));
    }
    // An engine without root gives its containers its own weight, which is more, never less.
    if observed.oom_score_adj < 0 || observed.oom_kill_disable {
        found.push("the kernel spares it when memory runs out".to_owned());
    }
    found
}

fn surplus(
    what: &str,
    observed: impl Iterator<Item = String>,
    allowed: &[String],
    found: &mut Vec<String>,
) {
    let extra = observed.filter(|one| !allowed.contains(one));
    found.extend(extra.map(|one| format!("it has {what} {one}")));
}

fn bare_capability(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
}

/// Whether a security option takes confinement away; the engine adds some of its own accord.
fn weakens(option: &str) -> bool {
    let (name, value) = option.split_once(['=', ':']).unwrap_or((option, ""));
    !matches!((name, value), ("no-new-privileges", "" | "true") | ("seccomp", "builtin"))
}

fn mounts(observed: &Observed, allowed: &Allowed, found: &mut Vec<String>) {
    for mount in &observed.mounts {
        let ObservedMount { kind, source, target, driver, .. } = mount;
        let fine = match kind.as_str() {
            "bind" => allowed.binds.contains(source),
            "volume" => {
                matches!(driver.as_str(), "" | "local")
                    && (allowed.volumes.contains(source) || is_anonymous(source))
            }
            "tmpfs" => true,
            _ => false,
        };
        if !fine {
            found.push(format!("it has the {kind} {source:?} at {target}"));
        }
    }
}

/// Volumes without a name get 64 hexadecimal digits from the engine.
fn is_anonymous(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

fn networks(observed: &Observed, allowed: &Allowed, found: &mut Vec<String>) {
    let mode = observed.network_mode.as_str();
    let fine = match mode.strip_prefix("container:") {
        Some(id) => allowed.siblings.iter().any(|sibling| sibling == id),
        None => mode == "none" || allowed.networks.iter().any(|network| network == mode),
    };
    if !fine {
        found.push(format!("its network mode is {mode:?}"));
    }
    surplus("the network", observed.networks.iter().cloned(), &allowed.networks, found);
}

fn namespaces(observed: &Observed, allowed: &Allowed, found: &mut Vec<String>) {
    let modes = [
        ("pid", &observed.pid_mode),
        ("ipc", &observed.ipc_mode),
        ("uts", &observed.uts_mode),
        ("userns", &observed.userns_mode),
        ("cgroupns", &observed.cgroupns_mode),
    ];
    for (kind, mode) in modes {
        let fine = match (kind, mode.as_str()) {
            (_, "" | "private") | ("ipc", "shareable" | "none") => true,
            // Where cgroup v1 rules, the engine's default is the host's and nothing is written.
            (_, "host") => allowed.host_namespaces.iter().any(|known| known == kind),
            (_, mode) => mode
                .strip_prefix("container:")
                .is_some_and(|id| allowed.siblings.iter().any(|sibling| sibling == id)),
        };
        if !fine {
            found.push(format!("its {kind} namespace is {mode:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed() -> Allowed {
        Allowed {
            cap_add: vec!["SYS_PTRACE".to_owned()],
            binds: vec!["/var/lib/hatchery/sockets/acme-web".to_owned()],
            volumes: vec!["hatchery-acme-web".to_owned()],
            networks: vec!["hatchery".to_owned()],
            siblings: vec!["abc".to_owned()],
            hatchery_labels: vec!["hatchery.drone".to_owned()],
            ..Allowed::default()
        }
    }

    fn observed() -> Observed {
        Observed {
            cap_add: vec!["CAP_SYS_PTRACE".to_owned()],
            mounts: vec![
                mount("bind", "/var/lib/hatchery/sockets/acme-web"),
                mount("volume", "hatchery-acme-web"),
                mount("volume", &"a1".repeat(32)),
                mount("tmpfs", ""),
            ],
            network_mode: "hatchery".to_owned(),
            networks: vec!["hatchery".to_owned()],
            ipc_mode: "private".to_owned(),
            hatchery_labels: vec!["hatchery.drone".to_owned()],
            ..Observed::default()
        }
    }

    fn mount(kind: &str, source: &str) -> ObservedMount {
        ObservedMount {
            kind: kind.to_owned(),
            source: source.to_owned(),
            target: "/x".to_owned(),
            writable: true,
            driver: String::new(),
        }
    }

    #[test]
    fn what_was_allowed_is_no_deviation() {
        assert_eq!(deviations(&observed(), &allowed()), Vec::<String>::new());
        let shared = Observed {
            network_mode: "container:abc".to_owned(),
            volumes_from: vec!["abc:ro".to_owned()],
            ..observed()
        };
        assert!(deviations(&shared, &allowed()).is_empty());
    }

    #[test]
    fn everything_beyond_it_is() {
        let text = |text: &str| text.to_owned();
        let with = |change: &dyn Fn(&mut Observed)| {
            let mut observed = observed();
            change(&mut observed);
            observed
        };
        let table = [
            with(&|o| o.privileged = true),
            with(&|o| o.cap_add.push(text("SYS_ADMIN"))),
            with(&|o| o.security_opt.push(text("seccomp=unconfined"))),
            with(&|o| o.security_opt.push(text("no-new-privileges=false"))),
            with(&|o| o.devices.push(text("/dev/kvm"))),
            with(&|o| o.hatchery_labels.push(text("hatchery.seal"))),
            with(&|o| o.mounts.push(mount("bind", "/etc"))),
            with(&|o| o.mounts.push(mount("volume", "hatchery-acme-api"))),
            with(&|o| o.mounts.push(mount("npipe", "x"))),
            with(&|o| o.mounts[1].driver = text("sshfs")),
            with(&|o| o.network_mode = text("host")),
            with(&|o| o.network_mode = text("container:def")),
            with(&|o| o.networks.push(text("bridge"))),
            with(&|o| o.pid_mode = text("host")),
            with(&|o| o.pid_mode = text("container:def")),
            with(&|o| o.ipc_mode = text("host")),
            with(&|o| o.uts_mode = text("host")),
            with(&|o| o.userns_mode = text("host")),
            with(&|o| o.cgroupns_mode = text("host")),
            with(&|o| o.published_ports.push(text("80/tcp"))),
            with(&|o| o.volumes_from.push(text("def"))),
            with(&|o| o.cgroup_parent = text("/system.slice")),
            with(&|o| o.oom_score_adj = -500),
            with(&|o| o.oom_kill_disable = true),
        ];
        for observed in table {
            assert_eq!(deviations(&observed, &allowed()).len(), 1, "{observed:?}");
        }
        let weighted = with(&|o| o.oom_score_adj = 200);
        assert_eq!(deviations(&weighted, &allowed()), Vec::<String>::new());
    }
}

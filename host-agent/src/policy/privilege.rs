//! Capabilities, security options, namespaces and devices: the same verdicts wherever they are
//! asked for, in devcontainer.json, `runArgs`, Compose or an image's metadata.

use super::finding::Permit;
use super::ledger::{Ledger, Place};
use super::node::Node;

/// Docker's default set, and `SYS_PTRACE` for debuggers, which works on the drone's own processes.
const HARMLESS_CAPABILITIES: [&str; 15] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
    "SYS_PTRACE",
];

/// What the superseded Tailscale feature's manual asks for.
const TAILSCALE_CAPABILITIES: [&str; 2] = ["NET_ADMIN", "NET_RAW"];
/// The same, as a device.
const TAILSCALE_DEVICE: &str = "/dev/net/tun";

/// Whether something is wanted: `true`, and every other value but those that plainly say no.
/// Compose takes `yes` and `"1"` for true, JavaScript nearly everything.
pub fn is_wanted(node: &Node) -> bool {
    match node.scalar() {
        Some(word) => {
            let word = word.to_ascii_lowercase();
            !matches!(word.as_str(), "false" | "no" | "n" | "off" | "f" | "0" | "")
        }
        None => !node.is_null(),
    }
}

/// A capability that is wanted; `Some`: its name without `CAP_`.
pub fn judge_capability(name: &str, place: &Place, ledger: &mut Ledger<'_>) -> Option<String> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned();
    if ledger.tailscale_superseded && TAILSCALE_CAPABILITIES.contains(&bare.as_str()) {
        ledger.strip(place, format!("{bare} was for Tailscale, which Hatchery joins without it"));
        return None;
    }
    if HARMLESS_CAPABILITIES.contains(&bare.as_str()) {
        return Some(bare);
    }
    if bare.is_empty()
        || !bare.bytes().all(|b| b.is_ascii_uppercase() || b"_0123456789".contains(&b))
    {
        ledger.refuse(place, format!("{name:?} is not a capability"));
        return None;
    }
    let reason = format!("the capability {bare} reaches beyond the drone");
    ledger.ask(Permit::Capabilities, place, reason).then_some(bare)
}

/// A security option that is wanted; `Some`: it is set.
pub fn judge_security_opt(option: &str, place: &Place, ledger: &mut Ledger<'_>) -> Option<String> {
    let (name, value) = option.split_once(['=', ':']).unwrap_or((option, ""));
    match (name, value) {
        ("no-new-privileges", "" | "true") => Some("no-new-privileges".to_owned()),
        ("no-new-privileges", "false") => None,
        ("seccomp", "unconfined") if !ledger.scope.permits(Permit::SecurityOpt) => {
            ledger.strip(place, "ptrace works under the engine's own seccomp profile");
            None
        }
        ("label", _) if !ledger.scope.permits(Permit::SecurityOpt) => {
            ledger.strip(place, "the host decides on SELinux labels");
            None
        }
        ("seccomp", "builtin") | ("apparmor", "docker-default") => None,
        ("seccomp", path) if path != "unconfined" => {
            ledger.refuse(place, "a seccomp profile is a file that the host reads");
            None
        }
        _ => ledger
            .ask(Permit::SecurityOpt, place, format!("{option:?} weakens the drone's confinement"))
            .then(|| option.to_owned()),
    }
}

/// `privileged`; `true`: it is granted.
pub fn judge_privileged(place: &Place, ledger: &mut Ledger<'_>) -> bool {
    ledger.ask(Permit::Privileged, place, "a privileged container owns the host")
}

/// A device; `true`: it is granted.
pub fn judge_device(device: &str, place: &Place, ledger: &mut Ledger<'_>) -> bool {
    let source = device.split_once(':').map_or(device, |(source, _)| source);
    if ledger.tailscale_superseded && source == TAILSCALE_DEVICE {
        ledger.strip(place, "the device was for Tailscale, which Hatchery joins without it");
        return false;
    }
    ledger.ask(Permit::Devices, place, format!("the device {source:?} belongs to the host"))
}

/// A namespace mode (`--pid`, `ipc:`): `true` when the host's is granted.
pub fn judge_namespace(kind: &str, mode: &str, place: &Place, ledger: &mut Ledger<'_>) -> bool {
    match mode {
        "" | "private" | "none" => false,
        "shareable" if kind == "ipc" => {
            ledger.strip(place, "nothing outside the drone shares it");
            false
        }
        _ if kind == "userns" && mode.starts_with("keep-id") => {
            ledger.strip(place, "it is for Podman");
            false
        }
        "host" => ledger.ask(
            Permit::HostNamespaces,
            place,
            format!("the host's {kind} namespace shows and touches what is not the drone's"),
        ),
        other => {
            ledger.refuse(place, format!("{other:?}: the {kind} namespace is the drone's own"));
            false
        }
    }
}

/// A network (`--network`, `network_mode`): `true` when the host's is granted.
pub fn judge_network(mode: &str, place: &Place, ledger: &mut Ledger<'_>) -> bool {
    let name = mode.split(',').next().unwrap_or(mode);
    let name = name.strip_prefix("name=").unwrap_or(name);
    match name {
        "host" => ledger.ask(
            Permit::HostNetwork,
            place,
            "the host's network reaches its services and every drone",
        ),
        "" | "bridge" | "default" | "none" => {
            ledger.strip(place, "the host sets the drone's network");
            false
        }
        other => {
            ledger.refuse(place, format!("{other:?} is a network that is not the drone's own"));
            false
        }
    }
}

/// A label; `true`: it is set.
pub fn judge_label(name: &str, place: &Place, ledger: &mut Ledger<'_>) -> bool {
    const RESERVED: [&str; 4] = ["hatchery.", "devcontainer.", "com.docker.", "dev.containers."];
    let lower = name.to_ascii_lowercase();
    if RESERVED.iter().any(|prefix| lower.starts_with(prefix)) {
        ledger.refuse(place, format!("labels like {name:?} say which container is whose"));
        return false;
    }
    true
}

/// A limit of processes; `true`: it is set.
pub fn judge_ulimit(name: &str, place: &Place, ledger: &mut Ledger<'_>) -> bool {
    if matches!(name, "rtprio" | "rttime" | "nice") {
        ledger.refuse(place, "it weighs the drone's processes against the host's");
        return false;
    }
    true
}

/// A kernel parameter; `true`: it is one of the container's own.
pub fn judge_sysctl(name: &str, place: &Place, ledger: &mut Ledger<'_>) -> bool {
    const IPC: [&str; 5] =
        ["kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue.", "kernel.domainname"];
    let own = name.starts_with("net.") || IPC.iter().any(|prefix| name.starts_with(prefix));
    if !own {
        ledger.refuse(place, format!("{name:?} is a parameter of the host's kernel"));
    }
    own
}

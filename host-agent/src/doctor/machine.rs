//! What the machine lets this user do: firewall, attestation, directories, the socket's group.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt::PeerPidfd};
use rustix::fs::{Access, access};

use super::Check;
use crate::adapters::engine_namespace::Namespace;
use crate::adapters::exec::Run;
use crate::config::{Config, Locations, Paths};
use crate::control::CONTROL_GROUP;
use crate::lifecycle::network::WITHOUT_FIREWALL;

/// How long a look at the firewall may take, waiting for its lock included.
const LIMIT: Duration = Duration::from_secs(15);
/// Lists rules, which takes what setting them does.
const LIST: [&str; 4] = ["-w", "10", "-S", "INPUT"];
/// Longest path that a Unix socket can be bound to (unix(7)).
const SOCKET_PATH_MAX: usize = 107;

/// Whether drones can be kept from the host, each other's networks and tailnets.
pub(super) async fn firewall(config: Option<&Config>, socket: &Path) -> Check {
    const NAME: &str = "firewall";
    if config.is_some_and(|config| !config.network.firewall) {
        return Check::warn(
            NAME,
            "[network] firewall is false: drones reach the host's own ports, cloud metadata and \
             the host's tailnet",
            "keep drones from these by a firewall of your own",
        );
    }
    let mut families = vec!["iptables"];
    if Path::new("/proc/sys/net/ipv6").exists() {
        families.push("ip6tables");
    }
    for family in families {
        let entered = Namespace::of_engine(socket).await.enter(family, &LIST);
        let (program, arguments) = match entered {
            Ok(entered) => entered,
            Err(reason) => {
                let found = format!("the firewall cannot be set: {reason}; no drone is spawned");
                return Check::fail(NAME, found, WITHOUT_FIREWALL);
            }
        };
        if let Err(reason) = list_rules(program, arguments).await {
            return Check::fail(NAME, reason, "install the packages iptables and util-linux");
        }
    }
    Check::ok(NAME, "drones are kept from the host by iptables")
}

async fn list_rules(program: String, arguments: Vec<String>) -> Result<(), String> {
    let run = Run {
        program: (&program).into(),
        arguments: arguments.into_iter().map(Into::into).collect(),
        environment: vec![],
        home: "/".into(),
        directory: "/".into(),
        input: None,
        limit: LIMIT,
    };
    match run.output().await {
        Ok((status, ..)) if status.success() => Ok(()),
        Ok((_, _, said)) => Err(format!("{program}: {}", said.lines().next().unwrap_or("failed"))),
        Err(error) => Err(format!("{program} cannot be run: {error}")),
    }
}

/// Whether this user may look at other users' processes, which callers inside drones are.
pub(super) fn attestation() -> Check {
    const NAME: &str = "attestation";
    // The first process is root's wherever this runs.
    if let Err(error) = std::fs::read("/proc/1/cgroup") {
        let found = format!("processes of other users cannot be looked at (/proc/1: {error})");
        let hint = "mount /proc without hidepid, or run `hatchery serve` as root: until then no \
                    drone gets a token";
        return Check::fail(NAME, found, hint);
    }
    let pidfd = UnixStream::pair().ok().is_some_and(|(one, _)| getsockopt(&one, PeerPidfd).is_ok());
    let handle = if pidfd { "process handles" } else { "open /proc directories" };
    Check::ok(NAME, format!("callers are told apart by {handle}"))
}

/// Whether the runtime and the state directory can be used; makes neither.
pub(super) fn directories(paths: &Paths) -> Vec<Check> {
    let socket = paths.control_socket();
    let length = socket.as_os_str().len();
    let runtime = if length > SOCKET_PATH_MAX {
        let found = format!("{} has {length} characters", socket.display());
        let hint = format!("a socket's path has at most {SOCKET_PATH_MAX}: HATCHERY_RUNTIME_DIR");
        Check::fail("runtime directory", found, hint)
    } else {
        directory("runtime directory", &paths.runtime, "HATCHERY_RUNTIME_DIR")
    };
    vec![runtime, directory("state directory", &paths.state, "HATCHERY_STATE_DIR")]
}

fn directory(name: &'static str, path: &Path, variable: &str) -> Check {
    let hint = || format!("hand it to the user of `hatchery serve`, or set {variable}");
    let shown = path.display();
    match path.metadata() {
        Ok(found) if !found.is_dir() => {
            Check::fail(name, format!("{shown} is no directory"), hint())
        }
        Ok(found) if found.uid() != rustix::process::geteuid().as_raw() => {
            let found = format!("{shown} belongs to user {}", found.uid());
            Check::warn(name, found, "ask as the user of `hatchery serve`, or see who made it")
        }
        Ok(_) => writable(name, path, "is there", hint()),
        Err(error) if error.kind() == ErrorKind::NotFound => match nearest(path) {
            Some(parent) => writable(name, &parent, "is where it can be made", hint()),
            None => Check::fail(name, format!("{shown} cannot be made"), hint()),
        },
        Err(error) => Check::fail(name, format!("cannot look at {shown}: {error}"), hint()),
    }
}

fn writable(name: &'static str, path: &Path, how: &str, hint: String) -> Check {
    match access(path, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Check::ok(name, format!("{} {how}", path.display())),
        Err(error) => {
            Check::fail(name, format!("cannot write to {}: {error}", path.display()), hint)
        }
    }
}

/// The nearest ancestor that exists.
fn nearest(path: &Path) -> Option<PathBuf> {
    path.ancestors().skip(1).find(|one| one.is_dir()).map(Path::to_owned)
}

/// Who may use the control socket besides the host agent's user.
pub(super) fn group(at: &Locations<'_>) -> Check {
    const NAME: &str = "control group";
    let Some(group) = crate::control::control_group() else {
        let who = if at.root { "root" } else { "this user" };
        return Check::ok(NAME, format!("{who} alone may command drones here"));
    };
    let member = at.root
        || rustix::process::getegid() == group
        || rustix::process::getgroups().is_ok_and(|groups| groups.contains(&group));
    if member {
        return Check::ok(NAME, format!("members of `{CONTROL_GROUP}` may command drones"));
    }
    Check::warn(
        NAME,
        format!("this user is not in the group `{CONTROL_GROUP}`"),
        format!(
            "a host agent of root lets members command it: `sudo usermod -aG {CONTROL_GROUP} \
             $USER`, and log in anew; they are root in effect"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_directory_that_can_be_made_is_not_made() {
        let base = tempfile::tempdir().expect("a directory");
        let inside = base.path().join("a/b");
        assert_eq!(directory("x", &inside, "X").verdict, Verdict::Ok);
        assert_eq!(std::fs::read_dir(base.path()).expect("list").count(), 0);
        let file = base.path().join("file");
        std::fs::write(&file, "").expect("write");
        assert_eq!(directory("x", &file, "X").verdict, Verdict::Fail);
        assert_eq!(directory("x", &file.join("below"), "X").verdict, Verdict::Fail);
    }

    #[test]
    fn a_runtime_directory_too_deep_for_a_socket_is_a_failure() {
        let paths = |runtime: String| Paths {
            config: "/c".into(),
            seal_key: "/k".into(),
            runtime: runtime.into(),
            state: "/".into(),
            feature_dir: "/f".into(),
        };
        let deep = directories(&paths(format!("/tmp/{}", "d".repeat(100))));
        assert_eq!(deep[0].verdict, Verdict::Fail, "{deep:?}");
        assert!(deep[0].message.contains("characters"), "{deep:?}");
    }

    #[tokio::test]
    async fn a_firewall_that_is_waived_is_a_warning() {
        let rig = crate::adapters::github::rig::rig().await;
        let network = crate::config::NetworkConfig::clone(&rig.config.network);
        let network = crate::config::NetworkConfig { firewall: false, ..network };
        let config = Config { network: network.into(), ..Config::clone(&rig.config) };
        let check = firewall(Some(&config), Path::new("/nonexistent")).await;
        assert_eq!(check.verdict, Verdict::Warn);
        assert!(check.message.contains("firewall is false"), "{}", check.message);
    }

    #[test]
    fn this_machine_attests() {
        assert_eq!(attestation().verdict, Verdict::Ok);
    }
}

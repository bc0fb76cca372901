//! Which container a process is in, read from its `/proc/<pid>/cgroup`. Pure text.
//!
//! Every line is `hierarchy:controllers:path` (cgroups(7)); on cgroup v1 there is a line for each
//! hierarchy, on v2 one. The container is the **outermost** component of a path that is named as
//! runtimes name containers. Whatever lies below it (a nested Docker, a service manager inside)
//! still is that container, and a cgroup that a container makes below its own counts for nothing,
//! even when it is named after somebody else's container.

/// Length of a container's full id, in hex digits.
const ID_LENGTH: usize = 64;

/// What Podman writes before the id: by systemd, by its cgroupfs driver, with `--cgroups=split`.
const PODMAN: [&str; 2] = ["libpod", "libpod-payload"];

/// Podman's own process beside each container: it runs as the host's, and is not in it.
const MONITOR: &str = "libpod-conmon";

/// Why a process is not in one container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CgroupError {
    /// A process of the host, or of something that is no container.
    #[error("its cgroup is not one of a container")]
    NoContainer,
    /// Its hierarchies disagree: nothing that a container runtime does.
    #[error("its cgroups name two containers, {0} and {1}")]
    TwoContainers(String, String),
    /// Not what the kernel writes.
    #[error("a line of its cgroup file has no path: {0:?}")]
    Line(String),
}

/// The full id of the container that `text`, the content of a `/proc/<pid>/cgroup`, is about.
///
/// # Errors
/// When no line or not every line with a container names the same one.
pub fn container_id(text: &str) -> Result<&str, CgroupError> {
    let mut found: Option<&str> = None;
    for line in text.lines() {
        let path = line.splitn(3, ':').nth(2).ok_or_else(|| CgroupError::Line(line.to_owned()))?;
        match (found, container_of(path)) {
            (None, Some(id)) => found = Some(id),
            (Some(first), Some(id)) if first != id => {
                return Err(CgroupError::TwoContainers(first.to_owned(), id.to_owned()));
            }
            (_, None) | (Some(_), Some(_)) => {}
        }
    }
    found.ok_or(CgroupError::NoContainer)
}

/// The full id of the container that one cgroup path belongs to: its outermost one.
pub fn container_of(path: &str) -> Option<&str> {
    path.split('/').find_map(id_of)
}

/// Whether `text`, a `/proc/<pid>/cgroup`, has cpusets in a hierarchy of cgroup v1. There each
/// process has a cpuset of its own container; on v2 it may be an outer one's.
pub fn has_own_cpusets(text: &str) -> bool {
    text.lines()
        .filter_map(|line| line.split(':').nth(1))
        .any(|controllers| controllers.split(',').any(|controller| controller == "cpuset"))
}

/// The id in one path component: `<id>` (cgroupfs driver), `<runtime>-<id>.scope` (systemd), and
/// what Podman makes of both.
fn id_of(component: &str) -> Option<&str> {
    let (runtime, id) = match component.strip_suffix(".scope") {
        Some(unit) => unit.rsplit_once('-')?,
        None => {
            let podman = component.rsplit_once('-').filter(|(name, _)| PODMAN.contains(name));
            podman.unwrap_or(("", component))
        }
    };
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (runtime != MONITOR && id.len() == ID_LENGTH && id.bytes().all(hex)).then_some(id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "3d2b6c1f0e9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c";
    const OTHER: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

    #[test]
    fn a_process_of_a_container_is_found() {
        for (what, text) in [
            ("v1, cgroupfs", format!("3:cpuset:/docker/{ID}\n2:cpuacct:/docker/{ID}\n0::/\n")),
            ("v1, named hierarchy", format!("9:name=systemd:/docker/{ID}\n8:pids:/docker/{ID}\n")),
            ("v2, cgroupfs", format!("0::/docker/{ID}\n")),
            ("v2, systemd", format!("0::/system.slice/docker-{ID}.scope\n")),
            ("v2, systemd, below", format!("0::/system.slice/docker-{ID}.scope/init.scope\n")),
            (
                "v2, rootless",
                format!(
                    "0::/user.slice/user-1000.slice/user@1000.service/app.slice/docker-{ID}.scope"
                ),
            ),
            ("v1, hybrid", format!("1:cpu:/docker/{ID}\n0::/system.slice/containerd.service\n")),
            ("another cgroup parent", format!("0::/drones.slice/docker-{ID}.scope\n")),
            ("seen from a cgroup namespace", format!("0::/../{ID}\n")),
            ("podman", format!("0::/machine.slice/libpod-{ID}.scope/container\n")),
            ("a Docker in the drone", format!("0::/docker/{ID}/docker/{OTHER}\n")),
            (
                "a forged name below",
                format!("0::/system.slice/docker-{ID}.scope/docker-{OTHER}.scope\n"),
            ),
        ] {
            assert_eq!(container_id(&text), Ok(ID), "{what}");
        }
    }

    /// A file that was captured from a real process.
    macro_rules! captured {
        ($name:literal) => {
            ($name, include_str!(concat!("testdata/cgroup/", $name)))
        };
    }

    /// Beginnings of the ids of the captured containers; nothing where the process is in none.
    #[test]
    fn what_real_engines_write_is_understood() {
        for ((name, text), begins) in [
            (captured!("docker-v1-cgroupfs"), "f3ea0481"),
            (captured!("docker-v1-cgroupfs-forged"), "ddb58822"),
            (captured!("docker-v1-systemd"), "3cdc0595"),
            (captured!("docker-v1-systemd-forged"), "63ce850e"),
            (captured!("podman-v1-cgroupfs"), "66e7e1fb"),
            (captured!("podman-v1-systemd"), "f234dd05"),
            (captured!("podman-v1-rootless"), ""),
            (captured!("docker-v2-systemd"), "1e9c3ee5"),
            (captured!("docker-v2-systemd-nested"), "a6bfac50"),
            (captured!("docker-v2-systemd-forged"), "41397fe2"),
            (captured!("docker-v2-cgroupfs"), "50a5969a"),
            (captured!("docker-rootless"), "f36f2f30"),
            (captured!("docker-rootless-forged"), "34029365"),
            (captured!("podman-systemd"), "2453ea91"),
            (captured!("podman-systemd-forged"), "3758e6c0"),
            (captured!("podman-systemd-monitor"), ""),
            (captured!("podman-split"), "e60076b1"),
            (captured!("podman-cgroupfs"), "ddca931e"),
            (captured!("podman-cgroupfs-forged"), "08100e91"),
            (captured!("podman-rootless-systemd"), "dba88f56"),
            (captured!("podman-rootless-monitor"), ""),
            (captured!("podman-rootless-cgroupfs"), "bf9d58e8"),
            (captured!("podman-rootless-cgroupfs-forged"), "3fc2b801"),
        ] {
            match container_id(text) {
                Ok(id) => assert!(!begins.is_empty() && id.starts_with(begins), "{name}: {id}"),
                Err(error) => assert!(
                    begins.is_empty() && error == CgroupError::NoContainer,
                    "{name}: {error}"
                ),
            }
            // The controllers of version 2 alone, as most machines have it.
            let unified = text.lines().find(|line| line.starts_with("0::")).expect("a line");
            if name != "podman-v1-systemd" {
                assert_eq!(container_id(unified).ok(), container_id(text).ok(), "{name}");
            }
        }
    }

    #[test]
    fn what_is_no_container_is_refused() {
        for text in [
            "",
            "0::/\n",
            "0::/user.slice/user-0.slice/session-1.scope\n",
            "0::/system.slice/docker.service\n",
            "0::/system.slice/docker-.scope\n",
            "0::/docker/buildkit/w2n5rm1qk0m1p7zlyq2ka8t6h\n",
            &format!("0::/docker/{}\n", &ID[..63]),
            &format!("0::/docker/{ID}0\n"),
            &format!("0::/docker/{}\n", ID.to_uppercase()),
            &format!("0::/docker/{ID} (deleted)\n"),
            &format!("0::/machine.slice/libpod-conmon-{ID}.scope\n"),
            &format!("0::/libpod_parent/libpod-conmon-{ID}\n"),
            &format!("0::/machine.slice/machine-libpod_pod_{ID}.slice\n"),
            &format!("0::/drones/mine-{ID}\n"),
        ] {
            assert_eq!(container_id(text), Err(CgroupError::NoContainer), "{text:?}");
        }
    }

    #[test]
    fn cpusets_count_on_v1_alone() {
        assert!(has_own_cpusets(&format!("4:memory:/docker/{ID}\n3:cpuset:/docker/{ID}\n0::/\n")));
        assert!(has_own_cpusets("2:cpu,cpuacct:/\n1:cpuset,freezer:/\n"));
        assert!(!has_own_cpusets("0::/system.slice/hatchery.service\n"));
        assert_eq!(container_of(&format!("/docker/{ID}")), Some(ID));
        assert_eq!(container_of("/"), None);
    }

    #[test]
    fn hierarchies_that_disagree_are_refused() {
        let text = format!("2:cpu:/docker/{ID}\n1:pids:/docker/{OTHER}\n");
        assert!(matches!(container_id(&text), Err(CgroupError::TwoContainers(_, _))));
        assert!(matches!(container_id("no colons\n"), Err(CgroupError::Line(_))));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_found_is_an_id(text in "([0-9]:[a-z]*:)?(/|docker|-|[0-9a-f]{64}|\\.scope|\n|\\PC){0,12}") {
            if let Ok(id) = container_id(&text) {
                prop_assert_eq!(id.len(), ID_LENGTH);
                prop_assert!(text.contains(id));
            }
        }

        #[test]
        fn nothing_below_a_container_changes_whose_it_is(below in "(/[a-z0-9.-]{1,70}){0,4}") {
            let text = format!("0::/docker/{ID}{below}\n");
            prop_assert_eq!(container_id(&text), Ok(ID));
        }
    }
}

//! Docker, the devcontainer CLI and git.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixStream;

use super::Check;
use crate::adapters::docker;
use crate::adapters::exec::{ExecError, Run};
use crate::config::{Config, Programs};
use crate::lifecycle::engine::Limits;
use crate::lifecycle::suitability::{Lack, lack};

/// How long each program may take to say its version.
const LIMIT: Duration = Duration::from_secs(20);
/// Oldest engine that works at all, and the oldest with BuildKit.
const ENGINE_LEAST: (u32, u32) = (20, 10);
const BUILDKIT_LEAST: (u32, u32) = (23, 0);
/// The devcontainer CLI that Hatchery is tested with.
const CLI_TESTED: (u32, u32) = (0, 89);

/// Stands for the limits of a configuration that is not there.
const LIMITED: Limits = Limits { memory_bytes: 1, cpus: 1.0, pids: 1 };

/// The programs, and where they are looked for.
struct Tools<'a> {
    programs: &'a Programs,
    /// This shell's PATH and, after it, the directory of `hatchery` itself: a service's PATH begins
    /// with what was installed beside it.
    path: OsString,
}

/// Looks at `programs`; `beside` is the directory of `hatchery` itself.
pub(super) async fn examine(
    programs: &Programs,
    config: Option<&Config>,
    beside: Option<&Path>,
) -> Vec<Check> {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(beside) = beside {
        path.push(":");
        path.push(beside);
    }
    let tools = Tools { programs, path };
    let mut checks = engine(&tools).await;
    // One that answers was asked about more than that.
    if checks.len() > 1 {
        checks.push(confinement(&programs.docker_socket, config).await);
    }
    checks.push(devcontainer(&tools).await);
    checks.push(git(&tools).await);
    checks
}

async fn engine(tools: &Tools<'_>) -> Vec<Check> {
    let programs = tools.programs;
    if let Some(unreachable) = socket(&programs.docker_socket).await {
        return vec![unreachable];
    }
    let ask = ["version", "--format", "{{.Server.Version}}"];
    let version = match tools.say(&programs.docker, &ask).await {
        Ok(version) => version,
        Err(reason) => {
            let hint = "install Docker's client, or name it with `docker` in [programs]";
            return vec![Check::fail("docker", reason, hint)];
        }
    };
    let socket = programs.docker_socket.display();
    let podman = docker::facts_at(&programs.docker_socket).await.is_ok_and(|facts| facts.podman);
    let found = if podman {
        let found = format!("Podman {version} answers on {socket}");
        Check::warn("docker", found, "see `confinement`")
    } else if numbers(&version) < ENGINE_LEAST {
        let found = format!("Docker Engine {version} on {socket} is too old");
        Check::fail("docker", found, "20.10 or newer is needed, 23 or newer for BuildKit")
    } else {
        Check::ok("docker", format!("Docker Engine {version} answers on {socket}"))
    };
    let (builder, compose) = tokio::join!(builder(tools, &version), compose(tools));
    vec![found, builder, compose]
}

/// Whether the engine can confine drones, with the limits that they are to have.
async fn confinement(socket: &Path, config: Option<&Config>) -> Check {
    const NAME: &str = "confinement";
    let facts = match docker::facts_at(socket).await {
        Ok(facts) => facts,
        Err(error) => {
            let hint = "its log: `journalctl -u docker`";
            return Check::fail(NAME, format!("the engine does not say what it is: {error}"), hint);
        }
    };
    let wanted = config.map_or(LIMITED, |config| Limits {
        memory_bytes: config.drone.memory_bytes,
        cpus: config.drone.cpus,
        pids: config.drone.pids,
    });
    match lack(&facts, &wanted) {
        Some(Lack { what, hint }) => Check::fail(NAME, what, hint),
        None if facts.rootless => {
            Check::ok(NAME, "the engine runs without root, and holds drones to their limits")
        }
        None => Check::ok(NAME, "the engine holds drones to their limits"),
    }
}

async fn builder(tools: &Tools<'_>, engine: &str) -> Check {
    let plugin = tools.say(&tools.programs.docker, &["buildx", "version"]).await;
    if plugin.is_ok() && numbers(engine) >= BUILDKIT_LEAST {
        return Check::ok("builder", "BuildKit builds images, several at once");
    }
    Check::warn(
        "builder",
        "the classic builder builds images, one at a time",
        "Docker Engine 23 or newer with the plugin buildx (package docker-buildx) has BuildKit",
    )
}

async fn compose(tools: &Tools<'_>) -> Check {
    match tools.say(&tools.programs.docker, &["compose", "version", "--short"]).await {
        Ok(version) => Check::ok("compose", format!("Compose {version}")),
        Err(_) => Check::warn(
            "compose",
            "Docker's client has no plugin `compose`: repositories with a Compose file cannot be spawned",
            "install the package docker-compose-plugin, docker-compose-v2 or docker-compose",
        ),
    }
}

/// Whether somebody listens on the engine's socket and lets this user in; `None`: yes.
async fn socket(path: &Path) -> Option<Check> {
    let shown = path.display();
    let reason = match tokio::time::timeout(LIMIT, UnixStream::connect(path)).await {
        Ok(Ok(_)) => return None,
        Ok(Err(error)) => error,
        Err(_) => {
            let hint = "its log: `journalctl -u docker`";
            return Some(Check::fail("docker", format!("nobody answers on {shown}"), hint));
        }
    };
    let hint = match reason.kind() {
        ErrorKind::PermissionDenied => {
            "let this user in, and log in anew: `sudo usermod -aG docker $USER`; members of that \
             group are root in effect"
        }
        _ => "install Docker, or start it: `systemctl start docker`",
    };
    Some(Check::fail("docker", format!("Docker does not answer on {shown}: {reason}"), hint))
}

async fn devcontainer(tools: &Tools<'_>) -> Check {
    const NAME: &str = "devcontainer";
    let install = "npm install -g @devcontainers/cli, or name it with `devcontainer` in [programs]";
    match tools.say(&tools.programs.devcontainer, &["--version"]).await {
        Ok(version) if numbers(&version) >= CLI_TESTED => {
            Check::ok(NAME, format!("devcontainer CLI {version}"))
        }
        Ok(version) => {
            let found = format!(
                "devcontainer CLI {version}; tested is {}.{} or newer",
                CLI_TESTED.0, CLI_TESTED.1
            );
            Check::warn(NAME, found, install)
        }
        Err(reason) => Check::fail(NAME, reason, install),
    }
}

async fn git(tools: &Tools<'_>) -> Check {
    match tools.say(&tools.programs.git, &["--version"]).await {
        Ok(version) => Check::ok("git", version),
        Err(reason) => {
            Check::fail("git", reason, "install git, or name it with `git` in [programs]")
        }
    }
}

impl Tools<'_> {
    /// The first line that a program prints, or why it prints none.
    async fn say(&self, program: &Path, arguments: &[&str]) -> Result<String, String> {
        let mut host = OsString::from("unix://");
        host.push(&self.programs.docker_socket);
        let run = Run {
            program: self.find(program),
            arguments: arguments.iter().map(Into::into).collect(),
            environment: vec![("DOCKER_HOST", host), ("PATH", self.path.clone())],
            home: std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from),
            directory: "/".into(),
            input: None,
            limit: LIMIT,
        };
        let shown = format!("`{} {}`", program.display(), arguments.join(" "));
        match run.output().await {
            Ok((status, out, err)) => {
                let said = out.lines().next().unwrap_or_default();
                if status.success() && !said.is_empty() {
                    return Ok(said.to_owned());
                }
                Err(format!("{shown}: {}", err.lines().next().unwrap_or("it failed")))
            }
            Err(ExecError::Io(error)) => Err(format!("{shown} cannot be run: {error}")),
            Err(error @ ExecError::Deadline(_)) => Err(format!("{shown}: {error}")),
        }
    }

    /// A command's file; one that is nowhere stays a name, and the kernel says so.
    fn find(&self, program: &Path) -> PathBuf {
        if program.components().count() > 1 {
            return program.to_owned();
        }
        let mut places = std::env::split_paths(&self.path).map(|place| place.join(program));
        places.find(|file| file.is_file()).unwrap_or_else(|| program.to_owned())
    }
}

/// The first two numbers of a version.
fn numbers(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beside_hatchery_is_found_after_the_path() {
        let beside = tempfile::tempdir().expect("a directory");
        std::fs::write(beside.path().join("tool"), "").expect("a file");
        let programs = Programs {
            docker: "docker".into(),
            devcontainer: "devcontainer".into(),
            git: "git".into(),
            docker_socket: "/nonexistent".into(),
        };
        let mut path = OsString::from("/nonexistent:");
        path.push(beside.path());
        let tools = Tools { programs: &programs, path };
        assert_eq!(tools.find(Path::new("tool")), beside.path().join("tool"));
        assert_eq!(tools.find(Path::new("other")), Path::new("other"));
        assert_eq!(tools.find(Path::new("/a/tool")), Path::new("/a/tool"));
    }

    #[test]
    fn versions_compare_by_their_numbers() {
        assert!(numbers("20.10.24+dfsg1") >= ENGINE_LEAST);
        assert!(numbers("19.03.8") < ENGINE_LEAST);
        assert!(numbers("0.100.0") > CLI_TESTED);
        assert!(numbers("unknown") < CLI_TESTED);
    }
}

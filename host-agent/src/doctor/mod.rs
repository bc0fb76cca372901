//! Looks for what would keep `hatchery serve` from its work on this machine, for this user. Needs no
//! host agent and no configuration, changes nothing, and names the next step for whatever is wrong.

mod agent;
mod forge;
mod machine;
mod programs;

use std::path::Path;

use serde::Serialize;

use crate::config::{self, Config, ConfigError, Locations, Programs, env};

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, with less than it could; the message says what is missing.
    Warn,
    /// It does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is, the same in every release.
    pub name: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// What was found.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Check {
    fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, message: message.into(), hint: None }
    }

    fn warn(name: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let hint = Some(hint.into());
        Self { name, verdict: Verdict::Warn, message: message.into(), hint }
    }

    fn fail(name: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, ..Self::warn(name, message, hint) }
    }
}

/// Looks at everything, in the order in which things need each other. `file` is `--config`.
pub async fn examine(file: Option<&Path>, at: &Locations<'_>) -> Vec<Check> {
    let loaded = config::load(file, at);
    let mut checks = vec![configuration(&loaded)];
    let config = loaded.ok();
    let programs = config.as_ref().map_or_else(|| usual(at), |config| config.programs.clone());
    let beside = at.executable.as_deref().and_then(Path::parent);
    checks.extend(programs::examine(&programs, config.as_ref(), beside).await);
    for forge in config.iter().flat_map(|config| &config.forges) {
        checks.extend(forge::examine(config.as_ref(), forge).await);
    }
    checks.push(machine::firewall(config.as_ref(), &programs.docker_socket).await);
    checks.push(machine::attestation());
    checks.extend(machine::directories(&at.paths(file)));
    checks.push(machine::group(at));
    checks.push(agent::examine(at).await);
    checks
}

fn configuration(loaded: &Result<Config, ConfigError>) -> Check {
    const NAME: &str = "configuration";
    match loaded {
        Ok(config) => Check::ok(NAME, format!("{} is in order", config.paths.config.display())),
        Err(error @ ConfigError::Unreadable { source, .. }) => Check::fail(
            NAME,
            format!("{error}: {source}"),
            "name it with --config or HATCHERY_CONFIG; README.md shows how to write one",
        ),
        Err(error @ ConfigError::Wrong { problems, .. }) => {
            let lines = problems.iter().map(|problem| {
                let key = if problem.key.is_empty() { "" } else { &format!(" {}:", problem.key) };
                format!("line {}:{key} {}", problem.line, problem.message)
            });
            let lines = lines.collect::<Vec<_>>().join("; ");
            Check::fail(NAME, format!("{error}: {lines}"), "mend these lines")
        }
    }
}

/// What runs where no configuration says otherwise.
fn usual(at: &Locations<'_>) -> Programs {
    let host = (at.variable)(env::DOCKER_HOST);
    let socket = host.as_ref().and_then(|host| host.to_str()?.strip_prefix("unix://"));
    Programs {
        docker: "docker".into(),
        devcontainer: "devcontainer".into(),
        git: "git".into(),
        docker_socket: socket.unwrap_or("/var/run/docker.sock").into(),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[tokio::test]
    async fn a_machine_without_anything_gets_a_hint_for_each_fault() {
        let empty = tempfile::tempdir().expect("a directory");
        let home = empty.path().to_owned();
        let variable = |name: &str| match name {
            env::HOME => Some(OsString::from(&home)),
            env::DOCKER_HOST => Some("unix:///nonexistent/docker.sock".into()),
            _ => None,
        };
        let at = Locations { root: false, variable: &variable, executable: None };
        let checks = examine(None, &at).await;
        let of = |name: &str| checks.iter().find(|check| check.name == name).expect("looked at");
        assert_eq!(of("configuration").verdict, Verdict::Fail);
        assert_eq!(of("docker").verdict, Verdict::Fail);
        assert_eq!(of("host agent").verdict, Verdict::Warn);
        for check in &checks {
            assert_eq!(check.hint.is_none(), check.verdict == Verdict::Ok, "{check:?}");
        }
        let made = std::fs::read_dir(empty.path()).expect("list").count();
        assert_eq!(made, 0, "it changes nothing");
    }

    #[test]
    fn what_is_wrong_with_a_configuration_is_all_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("config.toml");
        std::fs::write(&file, "[limits]\nmax_drones = \"x\"\nnone = 1\n").expect("write");
        let at = Locations { root: true, variable: &|_| None, executable: None };
        let check = configuration(&config::load(Some(&file), &at));
        assert_eq!(check.verdict, Verdict::Fail);
        for part in ["line 2: limits.max_drones:", "line 3: limits.none:", "forge"] {
            assert!(check.message.contains(part), "no {part}: {}", check.message);
        }
    }
}

//! Whether an engine is one that drones can be confined by. What it cannot do is said before
//! anything is made; an engine that drops a limit without a word gets no drone that wants it.

use super::Lifecycle;
use super::engine::{ContainerEngine, EngineFacts, Holds, Limits};
use super::failure::{Failure, FailureKind};
use crate::credentials::Forge;
use crate::records::SpawnChoices;

/// One thing that an engine lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// What, and why it matters.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

/// How an engine of a user's gets its controllers.
const DELEGATE: &str = "on cgroup v2 have systemd delegate them: `systemctl edit user@.service`, \
    with `[Service]` and `Delegate=cpu cpuset io memory pids`, and log in anew";

/// The first thing that the engine lacks for drones with these limits; `None`: they can be spawned.
pub fn lack(facts: &EngineFacts, wanted: &Limits) -> Option<Lack> {
    if facts.podman {
        return Some(Lack {
            what: "Podman answers, and it does not keep drones apart: of a network made through \
                   Docker's API it drops the setting that its containers must not talk"
                .to_owned(),
            hint: "use Docker Engine, with root or without, and name its socket: \
                   `DOCKER_HOST=unix:///run/user/1000/docker.sock hatchery serve`"
                .to_owned(),
        });
    }
    if !facts.holds.cgroups {
        return Some(Lack {
            what:
                "this engine gives containers no cgroups (cgroup driver `none`): nobody can tell \
                   which drone asks for a token, and no limit holds"
                    .to_owned(),
            hint: "without root Docker needs cgroup v2 and a systemd of the user's: \
                   `dockerd-rootless-setuptool.sh install`"
                .to_owned(),
        });
    }
    unheld(facts.holds, wanted)
}

/// The limits that the engine would drop.
fn unheld(holds: Holds, wanted: &Limits) -> Option<Lack> {
    let (names, keys): (Vec<_>, Vec<_>) = [
        ("memory", "`memory = \"0\"`", wanted.memory_bytes > 0 && !holds.memory),
        ("CPUs", "`cpus = 0`", wanted.cpus > 0.0 && !holds.cpus),
        ("processes", "`pids = 0`", wanted.pids > 0 && !holds.pids),
    ]
    .into_iter()
    .filter_map(|(name, key, unheld)| unheld.then_some((name, key)))
    .unzip();
    (!names.is_empty()).then(|| Lack {
        what: format!(
            "this engine cannot hold a drone to its limits: the kernel's controllers for {} are \
             not its to use",
            names.join(", ")
        ),
        hint: format!("{DELEGATE}; or go without limits: {} in [drone]", keys.join(" and ")),
    })
}

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    /// Sees that drones with these limits can be confined here, before anything is made for one.
    pub(super) async fn can_confine(&self, choices: &SpawnChoices) -> Result<(), Failure> {
        let facts = self.engine.facts().await?;
        refuse(lack(&facts, &self.limits_of(choices, facts.cpus)))?;
        self.guard_network().await
    }

    /// Says in the log what the engine lacks, for whoever starts a host agent on it.
    pub(super) async fn tell_what_the_engine_lacks(&self) {
        let Ok(facts) = self.engine.facts().await else { return };
        let limits = self.limits_of(&SpawnChoices::default(), facts.cpus);
        if let Some(Lack { what, hint }) = lack(&facts, &limits) {
            tracing::warn!(%hint, "no drone can be spawned: {what}");
        }
    }

    /// The limits of a drone: what was asked for at spawn, else the configuration's, never more CPUs
    /// than there are.
    pub(super) fn limits_of(&self, choices: &SpawnChoices, cpus: f64) -> Limits {
        let defaults = &self.config.drone;
        Limits {
            memory_bytes: choices.memory_bytes.unwrap_or(defaults.memory_bytes),
            cpus: choices.cpus.unwrap_or(defaults.cpus).min(cpus),
            pids: defaults.pids,
        }
    }
}

fn refuse(lack: Option<Lack>) -> Result<(), Failure> {
    let Some(Lack { what, hint }) = lack else { return Ok(()) };
    Err(Failure::new(FailureKind::Engine, what).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(podman: bool, holds: Holds) -> EngineFacts {
        EngineFacts {
            major: 26,
            api: (1, 45),
            cpus: 2.0,
            root_dir: "/".into(),
            podman,
            rootless: true,
            holds,
        }
    }

    const ALL: Holds = Holds { cgroups: true, memory: true, cpus: true, pids: true };
    const SOME: Limits = Limits { memory_bytes: 1 << 30, cpus: 2.0, pids: 4096 };

    #[test]
    fn an_engine_that_confines_is_taken() {
        assert_eq!(lack(&facts(false, ALL), &SOME), None);
        assert!(refuse(None).is_ok());
    }

    #[test]
    fn a_limit_that_would_be_dropped_is_named_with_the_setting_that_waives_it() {
        // As systemd delegates by itself: memory and processes.
        let found = lack(&facts(false, Holds { cpus: false, ..ALL }), &SOME).expect("a lack");
        assert!(found.what.ends_with("for CPUs are not its to use"), "{}", found.what);
        assert!(found.hint.contains("Delegate=cpu"), "{}", found.hint);
        assert!(found.hint.contains("`cpus = 0` in [drone]"), "{}", found.hint);
        let none = Holds { cgroups: true, memory: false, cpus: false, pids: false };
        let found = lack(&facts(false, none), &SOME).expect("a lack");
        let waived = "`memory = \"0\"` and `cpus = 0` and `pids = 0`";
        assert!(found.hint.contains(waived), "{}", found.hint);
        let free = Limits { memory_bytes: 0, cpus: 0.0, pids: 0 };
        assert_eq!(lack(&facts(false, none), &free), None);
    }

    #[test]
    fn without_cgroups_or_on_podman_nothing_is_spawned() {
        let free = Limits { memory_bytes: 0, cpus: 0.0, pids: 0 };
        let found = lack(&facts(false, Holds { cgroups: false, ..ALL }), &free).expect("a lack");
        assert!(found.what.contains("which drone asks"), "{}", found.what);
        let found = lack(&facts(true, ALL), &free).expect("a lack");
        assert!(found.what.starts_with("Podman answers"), "{}", found.what);
        let failure = refuse(Some(found)).expect_err("refused");
        assert_eq!((failure.kind, failure.hints.len()), (FailureKind::Engine, 1));
    }
}

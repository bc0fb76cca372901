//! What is there: on the engine, in a host agent's directories, and at the forge.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crate::{Bed, HostAgent, Repo, Run, wait_until};

/// Everything that an operation could leave behind, one line a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory(BTreeSet<String>);

impl Inventory {
    /// Everything on the host agent's engine and in its directories.
    pub fn of(agent: &HostAgent) -> Self {
        let mut things = engine(agent.world().bed);
        files_below(agent.home(), &mut things);
        Self(things)
    }

    /// What is there now and was not before.
    pub fn since(&self, before: &Self) -> Vec<String> {
        self.0.difference(&before.0).cloned().collect()
    }

    /// Whether something in it has this in its line.
    pub fn mentions(&self, text: &str) -> bool {
        self.0.iter().any(|thing| thing.contains(text))
    }
}

/// Asserts that nothing is left of a drone: not on the engine, not with the host agent, no token.
/// Logs of a spawn that failed stay, to be read.
///
/// # Panics
/// When something is left.
pub fn assert_nothing_left(agent: &HostAgent, repo: &Repo) {
    let drone = repo.drone();
    let Inventory(things) = Inventory::of(agent);
    let left: Vec<_> = things
        .into_iter()
        .filter(|thing| thing.contains(&drone) && !thing.contains("/s/logs/"))
        .collect();
    assert!(left.is_empty(), "left of {drone}: {left:#?}\n{}", agent.log());
    assert_eq!(agent.state(&drone), None, "{drone} is listed still");
    assert_eq!(repo.tokens(), 0, "live tokens of {drone}");
}

/// Asserts that nothing is there of a drone that was not before, whether its host agent runs or not.
/// Logs stay, to be read.
///
/// # Panics
/// When something is left.
pub fn assert_nothing_since(before: &Inventory, agent: &HostAgent, repo: &Repo) {
    let drone = repo.drone();
    let new: Vec<_> = Inventory::of(agent)
        .since(before)
        .into_iter()
        .filter(|thing| thing.contains(&drone) && !thing.contains("/s/logs/"))
        .collect();
    assert!(new.is_empty(), "left of {drone}: {new:#?}\n{}", agent.log());
    assert_no_process_of(repo);
}

/// Asserts that nothing at all is there that was not before, whatever it is called, and that nothing
/// is gone; on an engine that nobody else uses meanwhile. What outlives a drone by design (the host key of its repository, audit
/// log, logs) stays.
///
/// # Panics
/// When something is left, or gone.
pub fn assert_as_before(before: &Inventory, agent: &HostAgent) {
    let kept = |thing: &String| {
        let outlives = ["/s/hostkeys", "/s/audit.jsonl", "/s/logs", "serve.log"];
        // Directories of the host agent's, made when they are needed first.
        let places = ["/s/cache/stage", "/s/sockets", "/s/compose"];
        outlives.iter().any(|name| thing.contains(name))
            || places.iter().any(|name| thing.ends_with(name))
    };
    let new: Vec<_> =
        Inventory::of(agent).since(before).into_iter().filter(|thing| !kept(thing)).collect();
    assert!(new.is_empty(), "left behind: {new:#?}\n{}", agent.log());
    let gone: Vec<_> = before.since(&Inventory::of(agent));
    let gone: Vec<_> = gone.into_iter().filter(|thing| !thing.starts_with("file ")).collect();
    assert!(gone.is_empty(), "somebody else's, and gone: {gone:#?}\n{}", agent.log());
}

/// Asserts that no process on the host works on a drone: git, the devcontainer CLI, Docker's client.
///
/// # Panics
/// When one does.
pub fn assert_no_process_of(repo: &Repo) {
    let drone = repo.drone();
    let left = Run::of(std::process::Command::new("pgrep").args(["-af", &drone]));
    assert_eq!(left.stdout, "", "processes of {drone}");
}

/// Waits until nothing is left of a drone but its tokens: those of a host agent that was killed live
/// on to their expiry.
///
/// # Panics
/// When something stays.
pub fn wait_until_gone(agent: &HostAgent, repo: &Repo) {
    let drone = repo.drone();
    let what = format!("everything of {drone} to be gone");
    wait_until(&what, Duration::from_secs(60), || {
        let Inventory(things) = Inventory::of(agent);
        let here = |thing: &String| thing.contains(&drone) && !thing.contains("/s/logs/");
        (!things.iter().any(here) && agent.state(&drone).is_none()).then_some(())
    });
}

fn engine(bed: Bed) -> BTreeSet<String> {
    let listings: [(&str, &[&str]); 4] = [
        ("container", &["ps", "--all", "--no-trunc", "--format", "{{.Names}} {{.ID}} {{.Image}}"]),
        ("volume", &["volume", "ls", "--format", "{{.Name}}"]),
        ("network", &["network", "ls", "--format", "{{.Name}}"]),
        (
            "image",
            &["images", "--all", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"],
        ),
    ];
    let mut things = BTreeSet::new();
    for (kind, args) in listings {
        let listed = bed.docker(args);
        things.extend(listed.ok().lines().map(|line| format!("{kind} {line}")));
    }
    things
}

fn files_below(folder: &Path, things: &mut BTreeSet<String>) {
    // A folder that goes away meanwhile holds nothing.
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files_below(&path, things);
        }
        things.insert(format!("file {}", path.display()));
    }
}

/// Removes what an earlier run left on an engine that stayed up.
pub(crate) fn clear(bed: Bed) {
    let listings: [(&[&str], &[&str]); 3] = [
        (&["ps", "-aq", "--filter", "label=hatchery.managed"], &["rm", "-fv"]),
        (&["ps", "-aq", "--filter", "label=com.docker.compose.project"], &["rm", "-fv"]),
        (&["volume", "ls", "-q", "--filter", "label=hatchery.managed"], &["volume", "rm", "-f"]),
    ];
    for (list, remove) in listings {
        let listed = bed.docker(list);
        let ids: Vec<&str> = listed.ok().lines().collect();
        if !ids.is_empty() {
            bed.docker(&[remove, &ids].concat()).ok();
        }
    }
}

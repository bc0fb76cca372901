//! What a slay would lose: uncommitted and untracked files, stashes, commits and worktrees that are
//! on no remote. git never runs on the host in a tree that a drone has written: the check runs in
//! the drone, else in a throwaway container of its image that can reach nothing.

use std::time::Duration;

use hatchery_protocol::{DroneName, paths};

use super::engine::{Container, ContainerEngine, Exec, RunState};
use super::{Lifecycle, labels};
use crate::credentials::Forge;

/// How long the check may take; what is not checked by then counts as unsaved.
const CHECK: Duration = Duration::from_secs(30);

/// Lines shown of each kind of work.
const SHOWN: usize = 20;

/// Prints one line for each thing that would be lost, and `checked` at the end.
const SCRIPT: &str = include_str!("unsaved.sh");

/// The last line of a check that saw everything.
const CHECKED: &str = "checked";

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    /// What would be lost, a line each; what cannot be checked counts.
    pub(super) async fn unsaved_work(&self, drone: &DroneName) -> Vec<String> {
        let volume = labels::workspace_volume(drone);
        match self.engine.volumes(Some(&labels::id_label(drone))).await {
            Ok(volumes) if !volumes.contains(&volume) => return vec![],
            Ok(_) => {}
            Err(error) => return vec![format!("its volumes cannot be listed: {error}")],
        }
        let looked = match self.find_container(drone).await {
            Ok(Some(container)) if container.state == RunState::Running => {
                self.look_in_drone(&container).await
            }
            Ok(Some(container)) => self.look_from_outside(drone, &container.image).await,
            Ok(None) => match self.any_image(drone).await {
                Some(image) => self.look_from_outside(drone, &image).await,
                None => Err("there is no image left to look at its workspace with".to_owned()),
            },
            Err(failure) => Err(failure.to_string()),
        };
        match looked {
            Ok(text) => findings(&text),
            Err(reason) => vec![format!("the workspace cannot be checked: {reason}")],
        }
    }

    async fn look_in_drone(&self, container: &Container) -> Result<String, String> {
        let label = |name: &str| container.labels.get(name).cloned();
        let exec = Exec {
            user: label(labels::USER).unwrap_or_default(),
            command: script(),
            env: environment(),
            workdir: Some("/".to_owned()),
            limit: CHECK,
        };
        let outcome = self.engine.exec(&container.id, &exec, None).await;
        outcome.map(|outcome| outcome.stdout).map_err(|error| error.to_string())
    }

    async fn look_from_outside(&self, drone: &DroneName, image: &str) -> Result<String, String> {
        let mut spec = self.looker(drone, "look", image, true);
        let mut command = script();
        spec.entrypoint = Some(command.drain(..1).collect());
        spec.command = Some(command);
        spec.env = environment();
        spec.user = Some("0".to_owned());
        let told = |error: super::engine::EngineError| error.to_string();
        let _ = self.engine.remove(&spec.name).await;
        let id = self.engine.create(&spec).await.map_err(told)?;
        let looked = async {
            self.engine.start(&id).await?;
            self.engine.wait(&id, CHECK).await?;
            self.engine.output(&id, 1000).await
        };
        let looked = looked.await.map_err(told);
        if let Err(error) = self.engine.remove(&id).await {
            tracing::warn!(%drone, %error, "a container that looked is not removed");
        }
        looked
    }

    /// Any image of the drone's.
    pub(super) async fn any_image(&self, drone: &DroneName) -> Option<String> {
        let names = self.engine.image_names().await.ok()?;
        names.into_iter().find(|name| labels::is_image_of(name, drone))
    }
}

fn script() -> Vec<String> {
    ["/bin/sh", "-c", SCRIPT, "check", paths::WORKSPACES].map(str::to_owned).into()
}

/// git that changes nothing, trusts the tree's owner, and asks nobody.
fn environment() -> Vec<String> {
    [
        "GIT_OPTIONAL_LOCKS=0",
        "GIT_TERMINAL_PROMPT=0",
        "GIT_CONFIG_COUNT=2",
        "GIT_CONFIG_KEY_0=safe.directory",
        "GIT_CONFIG_VALUE_0=*",
        "GIT_CONFIG_KEY_1=core.fsmonitor",
        "GIT_CONFIG_VALUE_1=false",
        "LC_ALL=C",
    ]
    .map(str::to_owned)
    .into()
}

/// What the script found, without control characters; everything counts when it did not end well.
fn findings(text: &str) -> Vec<String> {
    let plain = |line: &str| line.chars().filter(|one| !one.is_control()).collect::<String>();
    let mut lines: Vec<String> =
        text.lines().map(plain).filter(|line| !line.trim().is_empty()).collect();
    match lines.pop() {
        Some(last) if last == CHECKED => {}
        Some(last) => {
            lines.push(last);
            lines.push("the workspace could not be checked to its end".to_owned());
        }
        None => lines.push("the workspace could not be checked".to_owned()),
    }
    let more = lines.len().saturating_sub(SHOWN * 4);
    lines.truncate(SHOWN * 4);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn run(directory: &std::path::Path, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(directory)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .envs([("GIT_AUTHOR_NAME", "a"), ("GIT_AUTHOR_EMAIL", "a@b")])
            .envs([("GIT_COMMITTER_NAME", "a"), ("GIT_COMMITTER_EMAIL", "a@b")])
            .output()
            .expect("runs");
        assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn look(workspaces: &std::path::Path) -> Vec<String> {
        let text = run(workspaces, "sh", &["-c", SCRIPT, "check", &workspaces.to_string_lossy()]);
        findings(&text)
    }

    /// Workspaces with the clone `web` of an empty repository.
    fn workspaces(root: &std::path::Path) -> std::path::PathBuf {
        let (origin, work) = (root.join("origin.git"), root.join("workspaces"));
        std::fs::create_dir(&work).expect("made");
        run(root, "git", &["init", "-q", "--bare", "-b", "main", "origin.git"]);
        run(&work, "git", &["clone", "-q", &origin.to_string_lossy(), "web"]);
        work
    }

    #[test]
    fn everything_that_is_nowhere_else_is_found() {
        let root = tempfile::tempdir().expect("a directory");
        let work = workspaces(root.path());
        let web = work.join("web");
        assert_eq!(look(&work), Vec::<String>::new(), "before the first commit");
        std::fs::write(web.join("a"), "1").expect("written");
        run(&web, "git", &["add", "a"]);
        run(&web, "git", &["commit", "-qm", "first"]);
        assert_eq!(look(&work).len(), 1, "a commit on no remote");
        run(&web, "git", &["push", "-q", "origin", "HEAD:main"]);
        assert_eq!(look(&work), Vec::<String>::new());
        std::fs::write(web.join("a"), "2").expect("written");
        run(&web, "git", &["stash", "-q"]);
        std::fs::write(web.join("new file"), "3").expect("written");
        run(&web, "git", &["worktree", "add", "-q", "-b", "topic", "../web.worktrees/topic"]);
        std::fs::write(work.join("web.worktrees/topic/b"), "4").expect("written");
        let lost = look(&work).join("\n");
        for part in ["stash", "new file", "topic"] {
            assert!(lost.contains(part), "{part} is missing in: {lost}");
        }
    }

    #[test]
    fn what_git_cannot_tell_or_is_told_to_hide_counts() {
        let root = tempfile::tempdir().expect("a directory");
        let work = workspaces(root.path());
        let web = work.join("web");
        std::fs::write(web.join("a"), "1").expect("written");
        run(&web, "git", &["add", "a"]);
        run(&web, "git", &["commit", "-qm", "first"]);
        run(&web, "git", &["push", "-q", "origin", "HEAD:main"]);
        let config = |arguments: &[&str]| {
            run(&web, "git", &[&["config", "--file=.git/config"], arguments].concat());
        };
        std::fs::write(web.join("new"), "2").expect("written");
        for (key, value) in [
            ("status.showUntrackedFiles", "no"),
            ("core.worktree", "/nonexistent"),
            ("core.bare", "true"),
            ("log.showSignature", "true"),
        ] {
            config(&[key, value]);
            assert_eq!(look(&work), ["web: not committed: ?? new"], "{key}");
            config(&["--unset", key]);
        }
        std::fs::remove_file(web.join("new")).expect("removed");
        assert_eq!(look(&work), Vec::<String>::new());
        let index = web.join(".git/index");
        std::fs::write(&index, "broken").expect("written");
        assert_eq!(look(&work), ["web: not committed: git cannot tell"]);
        std::fs::remove_file(&index).expect("removed");
        std::fs::write(web.join(".git/HEAD"), "broken").expect("written");
        assert_eq!(look(&work), ["web: not readable by git"]);
    }

    #[test]
    fn what_is_not_checked_to_its_end_counts() {
        assert_eq!(findings("").len(), 1);
        assert_eq!(findings("web: a\n").len(), 2);
        assert_eq!(findings("checked\n"), Vec::<String>::new());
    }
}

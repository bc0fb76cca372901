//! `boot`: the drone's own program as root, then what a plain clone did not bring.

use std::time::Duration;

use hatchery_protocol::{DroneName, RepoName, paths};
use time::OffsetDateTime;

use super::super::Lifecycle;
use super::super::engine::{ContainerEngine, Exec, ExecOutcome};
use super::super::failure::{Failure, FailureKind};
use super::super::stage::Extras;
use super::super::telling::Telling;
use super::super::view::Step;
use crate::credentials::Forge;

/// How long the boot may take; handing a large workspace over is part of it.
const BOOT: Duration = Duration::from_secs(10 * 60);

/// How long submodules or LFS contents may take.
const FETCH: Duration = Duration::from_secs(60 * 60);

/// Brings all submodules, in the words of a person.
const UPDATE: &str = "git submodule update --init --recursive";

/// The same one by one: git gives up at the first that it cannot have.
const SUBMODULES: &str = "git config -z -f .gitmodules --get-regexp '\\.path$' | \
    xargs -0 -n 1 sh -c 'git submodule update --init --recursive -- \"${0#*\n}\"'";

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    /// Runs the drone's boot as root: ownership, git settings, keys.
    pub(in crate::lifecycle) async fn boot(
        &self,
        id: &str,
        clone: &str,
        user: &str,
    ) -> Result<(), Failure> {
        // Docker takes `user:group`, accounts have a name alone.
        let user = user.split(':').next().unwrap_or(user);
        let command = [paths::BINARY, "boot", "--foreground", "--workspace", clone, "--user", user];
        let exec = Exec {
            user: "0".to_owned(),
            command: command.map(str::to_owned).into(),
            env: vec![],
            workdir: Some("/".to_owned()),
            limit: BOOT,
        };
        let outcome = self.engine.exec(id, &exec, None).await?;
        if outcome.code == 0 {
            return Ok(());
        }
        Err(Failure::new(FailureKind::Engine, "the drone's boot failed").details(said(&outcome)))
    }

    /// Submodules and LFS contents, as the remote user, with the drone's own credentials. What
    /// cannot be had is a notice: it may not be granted yet.
    pub(super) async fn fetch_extras(
        &self,
        drone: &DroneName,
        id: &str,
        place: (&str, &str),
        extras: Extras,
        telling: &Telling,
    ) -> Result<(), Failure> {
        let (clone, user) = place;
        let submodules = ["sh", "-c", SUBMODULES];
        let lfs = ["git", "lfs", "pull"];
        let wanted = [
            (extras.submodules, "submodules", &submodules[..], UPDATE),
            (extras.lfs, "LFS contents", &lfs[..], "git lfs pull"),
        ];
        for (_, what, command, again) in wanted.into_iter().filter(|(wanted, ..)| *wanted) {
            let began = OffsetDateTime::now_utc();
            let exec = Exec {
                user: user.to_owned(),
                command: command.iter().map(|&word| word.to_owned()).collect(),
                env: vec!["GIT_TERMINAL_PROMPT=0".to_owned()],
                workdir: Some(clone.to_owned()),
                limit: FETCH,
            };
            let outcome = self.engine.exec(id, &exec, None).await?;
            for line in outcome.stdout.lines().chain(outcome.stderr.lines()) {
                telling.write(line);
            }
            if outcome.code != 0 {
                let reason = said(&outcome).pop().unwrap_or_default();
                let refused = self.credentials.refused_since(drone, began);
                telling.notice(missing(drone, (what, again), &refused, &reason)).await;
            }
        }
        tracing::debug!(step = Step::Boot.name(), "extras fetched");
        Ok(())
    }
}

/// What is not there and how to get it. Names are those that the host agent itself refused: what
/// runs in a drone may say anything.
fn missing(
    drone: &DroneName,
    (what, again): (&str, &str),
    refused: &[RepoName],
    reason: &str,
) -> String {
    if refused.is_empty() {
        return format!("{what} are not all there: {reason}; try again in the drone: `{again}`");
    }
    let names: Vec<_> = refused.iter().map(RepoName::to_string).collect();
    let connect = refused.iter().map(|repo| format!("`hatchery repo connect {drone} {repo}`"));
    format!(
        "{what} are not all there: {} was not granted; grant it with {}, then run `{again}` in the \
         drone",
        names.join(", "),
        connect.collect::<Vec<_>>().join(" and ")
    )
}

/// What a run said, its last lines.
pub(in crate::lifecycle) fn said(outcome: &ExecOutcome) -> Vec<String> {
    let lines: Vec<&str> = outcome.stdout.lines().chain(outcome.stderr.lines()).collect();
    let skipped = lines.len().saturating_sub(20);
    lines.into_iter().skip(skipped).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_way_to_grant_it() {
        let drone = "acme-web".parse().expect("a name");
        let update = ("submodules", UPDATE);
        let names = ["acme/part", "other/lib"].map(|name| name.parse().expect("a repository"));
        let text = missing(&drone, update, &names, "fatal: no");
        for part in ["`hatchery repo connect acme-web acme/part`", "acme-web other/lib", UPDATE] {
            assert!(text.contains(part), "{text}");
        }
        let text = missing(&drone, update, &[], "fatal: could not resolve host");
        assert!(
            text.contains("could not resolve host") && !text.contains("repo connect"),
            "{text}"
        );
    }
}

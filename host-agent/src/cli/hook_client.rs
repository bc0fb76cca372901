//! What the devcontainer CLI takes for Docker's client while it runs hooks: it becomes Docker's
//! client, having put the drone's own runner in front of each hook. The CLI knows no other way to say
//! how a hook is run.
//!
//! It is this program under another name, because a script would need a place that programs may be
//! run from.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::config::env;

/// Flags of `docker exec` with a value of their own.
const VALUED: [&str; 6] = ["-u", "--user", "-e", "--env", "-w", "--workdir"];

/// Flags without.
const PLAIN: [&str; 2] = ["-i", "--interactive"];

/// Exit code where there is no such client, as a shell has it.
const NO_CLIENT: u8 = 127;

/// Becomes Docker's client if that is what this program was called as; returns only if it was not,
/// or with a code when there is no client.
pub fn become_docker() -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    let name = arguments.next()?;
    if Path::new(&name).file_name() != Some(OsStr::new(env::HOOK_CLIENT)) {
        return None;
    }
    let docker = std::env::var_os(env::HOOK_DOCKER).unwrap_or_else(|| "docker".into());
    let runner = std::env::var(env::HOOK_RUNNER).unwrap_or_default();
    let runner: Vec<&str> = runner.split_whitespace().collect();
    let arguments = with_runner(arguments.collect(), &runner);
    let error = Command::new(docker).args(arguments).exec();
    // Whoever called expects Docker's client, not our reports: the code says what it can.
    drop(error);
    Some(ExitCode::from(NO_CLIENT))
}

/// Puts `runner` in front of the command of `docker exec [FLAG...] CONTAINER COMMAND...`, if that is
/// what `arguments` are. A shell alone is the CLI's own, which it speaks to.
fn with_runner(mut arguments: Vec<OsString>, runner: &[&str]) -> Vec<OsString> {
    if let Some(container) = container(&arguments)
        && arguments.len() > container + 2
    {
        let place = container + 1;
        arguments.splice(place..place, runner.iter().map(OsString::from));
    }
    arguments
}

/// Where the container stands. `None`: this is something else, or has a flag that is not known here.
fn container(arguments: &[OsString]) -> Option<usize> {
    let word = |index: usize| arguments.get(index).and_then(|word| word.to_str());
    if word(0)? != "exec" {
        return None;
    }
    let mut index = 1;
    loop {
        let flag = word(index)?;
        index += match flag {
            _ if VALUED.contains(&flag) => 2,
            _ if PLAIN.contains(&flag) => 1,
            _ if flag.starts_with('-') => return None,
            _ => return Some(index),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(text: &str) -> String {
        let arguments = text.split(' ').map(OsString::from).collect();
        let words = with_runner(arguments, &["drone-agent", "hook"]);
        words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn only_a_hook_gets_the_runner() {
        assert_eq!(
            put("exec -i -u dev -e A=b -w /workspaces/web 0a1b /bin/sh -c make"),
            "exec -i -u dev -e A=b -w /workspaces/web 0a1b drone-agent hook /bin/sh -c make"
        );
        for other in [
            "exec -i -u root 0a1b /bin/sh",
            "exec -i -t 0a1b /bin/sh -c make",
            "exec",
            "exec -u",
            "inspect --type container 0a1b",
            "compose --project-name exec up",
        ] {
            assert_eq!(put(other), other);
        }
    }
}

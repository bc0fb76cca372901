//! `doctor`: looks for what keeps git and gh from working here, and for what would keep or show a
//! credential.

mod gh;
mod git;
mod leaks;

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use hatchery_protocol::paths;
use hatchery_protocol::wire::Identity;

use crate::client::{HostAgent, TokenAsk};
use crate::help;
use crate::report::{self, Failure, code};

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gravity {
    /// As it should be.
    Fine,
    /// Works, but not as meant.
    Odd,
    /// Does not work.
    Wrong,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    gravity: Gravity,
    what: String,
    hint: Option<String>,
}

impl Finding {
    fn fine(what: impl Into<String>) -> Self {
        Self { gravity: Gravity::Fine, what: what.into(), hint: None }
    }

    fn odd(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { gravity: Gravity::Odd, what: what.into(), hint: Some(hint.into()) }
    }

    fn wrong(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { gravity: Gravity::Wrong, what: what.into(), hint: Some(hint.into()) }
    }

    fn line(&self) -> String {
        let mark = match self.gravity {
            Gravity::Fine => "ok   ",
            Gravity::Odd => "odd  ",
            Gravity::Wrong => "WRONG",
        };
        let hint = self.hint.as_ref().map(|hint| format!("      hint: {hint}\n"));
        format!("{mark} {}\n{}", self.what, hint.unwrap_or_default())
    }
}

/// Prints what was looked at.
///
/// # Errors
/// Wrong usage, or this is no drone.
pub fn run(args: Vec<OsString>) -> Result<ExitCode, Failure> {
    match args.first().map(|arg| arg.to_string_lossy().into_owned()).as_deref() {
        None => {}
        Some("--help" | "-h") => return help::print(Some("doctor")),
        Some(_) => return Err(Failure::usage("doctor takes no arguments", Some("doctor"))),
    }
    let host_agent = HostAgent::of_this_drone();
    if !host_agent.is_expected() {
        let socket = host_agent.socket().display();
        return Err(Failure::new(format!("this is not a drone: there is no {socket}"))
            .hint("git and gh run here as if drone-agent were not installed")
            .code(code::NO_HOST_AGENT));
    }
    let findings = examine(&host_agent);
    let text: String = findings.iter().map(Finding::line).collect();
    report::print(&report::printable(&text))?;
    let wrong = findings.iter().any(|finding| finding.gravity == Gravity::Wrong);
    Ok(ExitCode::from(if wrong { code::FAILED } else { 0 }))
}

fn examine(host_agent: &HostAgent) -> Vec<Finding> {
    let identity = match host_agent.identity() {
        Ok(identity) => identity,
        Err(error) => {
            let hint = "on the server: `hatchery doctor`, and the log of `hatchery serve`";
            return vec![Finding::wrong(error.to_string(), hint)];
        }
    };
    let mut findings = vec![Finding::fine(format!(
        "the host agent answers: {} for {}/{}",
        identity.drone, identity.forge, identity.repo
    ))];
    findings.push(token(host_agent, &identity));
    findings.push(seed_socket(host_agent.socket(), Path::new(paths::SEED_SOCKET)));
    findings.extend(git::examine(&identity));
    findings.extend(gh::examine());
    findings.extend(leaks::examine());
    findings
}

fn token(host_agent: &HostAgent, identity: &Identity) -> Finding {
    match host_agent.token(&TokenAsk::default()) {
        Ok(reply) => Finding::fine(format!(
            "a token for {} is to be had, until {}",
            identity.repo, reply.expires_at
        )),
        Err(error) => Finding::wrong(
            format!("no token for {}: {error}", identity.repo),
            "on the server: `hatchery status` and the log of `hatchery serve`",
        ),
    }
}

fn seed_socket(socket: &Path, link: &Path) -> Finding {
    let what = format!("{} leads to the socket", link.display());
    match fs::read_link(link) {
        Ok(target) if target == socket => Finding::fine(what),
        _ => Finding::odd(
            format!("not so: {what}"),
            "as root: `drone-agent boot --foreground`; only scripts of the seed design miss it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_that_needs_something_says_what() {
        assert_eq!(Finding::fine("a").line(), "ok    a\n");
        assert_eq!(Finding::wrong("a", "b").line(), "WRONG a\n      hint: b\n");
    }

    #[test]
    fn a_missing_seed_link_is_odd_but_not_wrong() {
        let dir = tempfile::tempdir().expect("a directory");
        let (socket, link) = (dir.path().join("agent.sock"), dir.path().join("link"));
        assert_eq!(seed_socket(&socket, &link).gravity, Gravity::Odd);
        std::os::unix::fs::symlink(&socket, &link).expect("linked");
        assert_eq!(seed_socket(&socket, &link).gravity, Gravity::Fine);
    }
}

//! `boot`: makes a container a drone, at each of its starts.
//!
//! Two callers: the feature's entrypoint (as the image's user; it must return at once, so the
//! work goes on in the background) and the host agent (`docker exec` as root, in the foreground,
//! between create and hooks, and after a start whose entrypoint was not root). Both may run at
//! once; each step is idempotent, and one lock makes them take turns.

mod background;
mod certificates;
mod file;
mod git_settings;
mod owner;
mod ownership;
mod ping;
mod seed_socket;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use hatchery_protocol::paths;
use hatchery_protocol::wire::Identity;
use lexopt::prelude::*;

use crate::client::{AskError, HostAgent};
use crate::help;
use crate::report::{self, Failure};

use file::FileError;
use owner::Owner;

/// Time the foreground waits for the host agent: somebody is watching.
const FOREGROUND_WAIT: Duration = Duration::from_secs(30);
/// First pause between two questions to a host agent that does not answer.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What `boot` was told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    foreground: bool,
    wait: Option<Duration>,
    workspace: Option<PathBuf>,
    user: Option<String>,
}

/// Boots the drone.
///
/// # Errors
/// In the foreground: wrong usage, no host agent, and each step that failed. From an entrypoint
/// only wrong usage: a container must start whatever happens.
pub fn run(args: Vec<OsString>) -> Result<ExitCode, Failure> {
    let usage = |error: lexopt::Error| Failure::usage(error.to_string(), Some("boot"));
    let Some(options) = parse(args.clone()).map_err(usage)? else {
        return help::print(Some("boot"));
    };
    let host_agent = HostAgent::of_this_drone();
    let root = rustix::process::geteuid().is_root();
    if options.foreground {
        if !root {
            return Err(Failure::new("boot writes system settings and needs root")
                .hint("on the server: `docker exec -u 0 DRONE drone-agent boot --foreground`"));
        }
        return in_foreground(&host_agent, &options).map(|()| ExitCode::SUCCESS);
    }
    // Not a drone, or not root: the host agent will do it. Neither is an error here.
    if root && host_agent.is_expected() {
        background::start(args)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `None`: help was asked for.
fn parse(args: Vec<OsString>) -> Result<Option<Options>, lexopt::Error> {
    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("foreground") => options.foreground = true,
            Long("wait") => options.wait = Some(Duration::from_secs(parser.value()?.parse()?)),
            Long("workspace") => {
                let path = PathBuf::from(parser.value()?);
                if !path.is_absolute() {
                    return Err("--workspace takes an absolute path".into());
                }
                options.workspace = Some(path);
            }
            Long("user") => options.user = Some(parser.value()?.string()?),
            Long("help") | Short('h') => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    if options.user.is_some() && options.workspace.is_none() {
        return Err("--user says who owns the --workspace, which is missing".into());
    }
    Ok(Some(options))
}

fn in_foreground(host_agent: &HostAgent, options: &Options) -> Result<(), Failure> {
    // Ownership needs no host agent; a drone whose host agent is away is at least writable.
    let owned = give_workspace(options);
    let identity = wait_for_identity(host_agent, options.wait.unwrap_or(FOREGROUND_WAIT))?;
    apply(host_agent, &identity, options.workspace.as_deref())?;
    owned
}

/// Gives the workspace to the user, if told to.
fn give_workspace(options: &Options) -> Result<(), Failure> {
    let (Some(workspace), Some(user)) = (&options.workspace, &options.user) else {
        return Ok(());
    };
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(format!("{} is not handed to {user}: {error}", workspace.display()))
    };
    let owner = Owner::find(user, Path::new(owner::PASSWD)).map_err(|error| failed(&error))?;
    ownership::give_workspace(workspace, owner).map_err(|error| failed(&error))
}

/// Asks until the host agent answers or `limit` is over.
fn wait_for_identity(host_agent: &HostAgent, limit: Duration) -> Result<Identity, AskError> {
    let deadline = Instant::now() + limit;
    let mut pause = PAUSE_FIRST;
    loop {
        match host_agent.identity() {
            Ok(identity) => return Ok(identity),
            Err(absent @ AskError::Absent { .. }) => return Err(absent),
            Err(error) if Instant::now() + pause >= deadline => return Err(error),
            // A refusal too may pass: the host agent may not know the new container yet.
            Err(_) => sleep(pause),
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Writes what the drone needs. A step that fails does not keep the next one from its work.
fn apply(
    host_agent: &HostAgent,
    identity: &Identity,
    workspace: Option<&Path>,
) -> Result<(), Failure> {
    let wrong = |error: FileError| Failure::new(error.to_string());
    let settings = Path::new(paths::SETTINGS_DIR);
    let _turn = file::lock(settings).map_err(wrong)?;
    let steps = [
        certificates::install(identity.ca_pem.as_deref()),
        git_settings::install(identity, workspace),
        seed_socket::link(host_agent.socket()),
        ping::unblock(),
    ];
    let failures: Vec<String> =
        steps.into_iter().filter_map(|step| step.err().map(|error| error.to_string())).collect();
    if failures.is_empty() {
        report::note(&format!("{} is ready for {}", identity.drone, identity.repo));
        return Ok(());
    }
    Err(Failure::new(failures.join("\n")).hint("`drone-agent doctor` says what does not work now"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Option<Options>, lexopt::Error> {
        parse(args.iter().map(OsString::from).collect())
    }

    #[test]
    fn the_host_agents_call_is_understood() {
        let args = ["--foreground", "--workspace", "/workspaces/web", "--user", "dev"];
        let options = parsed(&args).expect("right usage").expect("no help");
        let expected = Options {
            foreground: true,
            wait: None,
            workspace: Some("/workspaces/web".into()),
            user: Some("dev".into()),
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for args in [&["--user", "dev"][..], &["--workspace", "web"], &["--wait", "x"], &["now"]] {
            assert!(parsed(args).is_err(), "accepted {args:?}");
        }
    }
}

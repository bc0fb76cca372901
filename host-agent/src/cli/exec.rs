//! `hatchery exec`: asks how, then becomes Docker's own client, so that signals, terminal and exit
//! code pass through and nothing of ours stays.

use std::io::{self, IsTerminal as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use clap::Args;

use super::{Stop, with_host_agent};
use crate::config::env;
use crate::control::api::{ExecPlan, Failure, FailureKind};

/// Run a command in a drone
///
/// Runs as the drone's remote user in its workspace. Without a command: a login shell. Passes the
/// command's exit code on; its own failure is 125.
#[derive(Debug, Args)]
pub(super) struct ExecArgs {
    /// The drone's name or owner/repo
    drone: String,
    /// Run as this user
    #[arg(long, short, value_name = "NAME", conflicts_with = "root")]
    user: Option<String>,
    /// Run as root
    #[arg(long)]
    root: bool,
    /// Run in this directory instead of the workspace
    #[arg(long, short, value_name = "DIR")]
    workdir: Option<String>,
    /// Set a variable
    #[arg(long, short, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// A login shell, the better one where it is there.
const SHELL: [&str; 3] =
    ["sh", "-c", "if command -v bash >/dev/null; then exec bash -l; fi; exec sh -l"];

pub(super) fn run(args: &ExecArgs) -> Result<(), Stop> {
    let plan =
        with_host_agent(async |client| client.exec_plan(&args.drone).await.map_err(Stop::from))?;
    let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let error = Command::new(&plan.docker)
        .args(arguments(args, &plan, terminal))
        // Both would go before the socket that the host agent uses.
        .env_remove(env::DOCKER_CONTEXT)
        .env_remove(env::DOCKER_HOST)
        .exec();
    let message = format!("cannot run Docker's client `{}`", plan.docker);
    Err(Failure::new(FailureKind::Engine, message)
        .hint(
            "install Docker's client, or name it with `docker` in [programs] of the configuration",
        )
        .caused_by(&error)
        .into())
}

fn arguments(args: &ExecArgs, plan: &ExecPlan, terminal: bool) -> Vec<String> {
    let user = if args.root { "root" } else { args.user.as_deref().unwrap_or(&plan.user) };
    let workdir = args.workdir.as_deref().unwrap_or(&plan.workdir);
    let mut arguments = vec![
        "--host".to_owned(),
        format!("unix://{}", plan.docker_socket),
        "exec".to_owned(),
        "--interactive".to_owned(),
        format!("--user={user}"),
        format!("--workdir={workdir}"),
    ];
    if terminal {
        arguments.push("--tty".to_owned());
    }
    arguments.extend(plan.env.iter().chain(&args.env).map(|pair| format!("--env={pair}")));
    arguments.push(plan.container_id.clone());
    if args.command.is_empty() {
        arguments.extend(SHELL.map(str::to_owned));
    } else {
        arguments.extend(args.command.iter().cloned());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        exec: ExecArgs,
    }

    fn shown(line: &str, terminal: bool) -> String {
        let plan = ExecPlan {
            container_id: "0123abcd".to_owned(),
            user: "vscode".to_owned(),
            workdir: "/workspaces/web".to_owned(),
            env: vec!["EDITOR=vi".to_owned()],
            docker: "docker".to_owned(),
            docker_socket: "/var/run/docker.sock".to_owned(),
        };
        let args = Only::parse_from(line.split(' ')).exec;
        arguments(&args, &plan, terminal).join(" ")
    }

    #[test]
    fn the_remote_user_runs_it_in_the_workspace() {
        assert_eq!(
            shown("exec acme/web -- git push -f", false),
            "--host unix:///var/run/docker.sock exec --interactive --user=vscode \
             --workdir=/workspaces/web --env=EDITOR=vi 0123abcd git push -f"
        );
    }

    #[test]
    fn flags_go_before_the_plan_and_end_at_the_command() {
        let line = shown("exec --root -w / -e A=1 acme-web ls --user x", true);
        assert!(line.contains("--user=root --workdir=/ --tty --env=EDITOR=vi --env=A=1"), "{line}");
        assert!(line.ends_with("0123abcd ls --user x"), "{line}");
    }

    #[test]
    fn without_a_command_it_is_a_shell() {
        assert!(shown("exec acme-web", true).ends_with("exec sh -l"));
    }
}

//! The command line: a file per subcommand, thin clients of the control API. Data goes to stdout,
//! everything else to stderr.

mod adopt;
mod audit;
mod burrow;
mod completions;
mod doctor;
mod exec;
mod exit;
mod follow;
mod forge;
mod hook_client;
mod list;
mod logging;
mod logs;
mod messages;
mod policy;
mod progress;
mod rebuild;
mod repo;
mod serve;
mod slay;
mod spawn;
mod status;
mod table;
mod terminal;
mod unburrow;
mod version;

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Locations;
use crate::control::client::Client;
use crate::lifecycle::{Failure, FailureKind};
pub use hook_client::become_docker;
use terminal::Terminal;

/// Runs devcontainers ("drones") on a server you own, one per repository.
#[derive(Debug, Parser)]
#[command(name = "hatchery", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = messages::EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every subcommand takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Print data as JSON; for spawn, rebuild and slay one event a line
    #[arg(long, global = true)]
    json: bool,
    /// Leave the Zerg lines out (also HATCHERY_PLAIN=1)
    #[arg(long, global = true)]
    plain: bool,
    /// Hatchery's configuration file (also HATCHERY_CONFIG)
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Say nothing but data and errors
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Say more; twice: even more
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Spawn(spawn::SpawnArgs),
    List(list::ListArgs),
    Status(status::StatusArgs),
    Burrow(burrow::BurrowArgs),
    Unburrow(unburrow::UnburrowArgs),
    Rebuild(rebuild::RebuildArgs),
    Slay(slay::SlayArgs),
    Exec(exec::ExecArgs),
    Logs(logs::LogsArgs),
    Repo(repo::RepoArgs),
    Audit(audit::AuditArgs),
    Adopt(adopt::AdoptArgs),
    Policy(policy::PolicyArgs),
    Forge(forge::ForgeArgs),
    Doctor(doctor::DoctorArgs),
    Completions(completions::CompletionsArgs),
    Version(version::VersionArgs),
}

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It failed.
    Failure(Box<Failure>),
    /// Whoever read our output has had enough (`hatchery list | head -1`): no failure.
    BrokenPipe,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(Box::new(failure))
    }
}

/// Runs a command and reports how it went.
pub fn run(cli: Cli) -> ExitCode {
    let terminal = Terminal::of_process(&cli.global);
    let own_failure = exit::of_command(&cli.command);
    match dispatch(cli, &terminal) {
        Ok(()) | Err(Stop::BrokenPipe) => ExitCode::SUCCESS,
        Err(Stop::Failure(failure)) => {
            terminal.report(&failure);
            ExitCode::from(own_failure.unwrap_or_else(|| exit::code(failure.kind)))
        }
    }
}

fn dispatch(cli: Cli, terminal: &Terminal) -> Result<(), Stop> {
    match cli.command {
        Command::Serve(args) => serve::run(&args, &cli.global),
        Command::Spawn(args) => with_host_agent(|client| spawn::run(client, args, terminal)),
        Command::List(args) => with_host_agent(|client| list::run(client, args, terminal)),
        Command::Status(args) => with_host_agent(|client| status::run(client, args, terminal)),
        Command::Burrow(args) => with_host_agent(|client| burrow::run(client, args, terminal)),
        Command::Unburrow(args) => with_host_agent(|client| unburrow::run(client, args, terminal)),
        Command::Rebuild(args) => with_host_agent(|client| rebuild::run(client, args, terminal)),
        Command::Slay(args) => with_host_agent(|client| slay::run(client, args, terminal)),
        Command::Exec(args) => exec::run(&args),
        Command::Repo(args) => with_host_agent(|client| repo::run(client, args, terminal)),
        Command::Logs(args) => with_host_agent(|client| logs::run(client, args)),
        Command::Audit(args) => with_host_agent(|client| audit::run(client, args, terminal)),
        Command::Adopt(args) => with_host_agent(|client| adopt::run(client, args, terminal)),
        Command::Policy(args) => policy::run(args, &cli.global, terminal),
        Command::Forge(args) => forge::run(args, &cli.global, terminal),
        Command::Doctor(args) => doctor::run(&args, &cli.global, terminal),
        Command::Completions(args) => completions::run(&args),
        Command::Version(args) => with_host_agent(|client| version::run(client, args, terminal)),
    }
}

/// Runs `work` with a client of the host agent.
fn with_host_agent<T, W>(work: impl FnOnce(Client) -> W) -> Result<T, Stop>
where
    W: Future<Output = Result<T, Stop>>,
{
    on_one_thread(work(Client::new(Locations::of_process().control_socket())))
}

/// Runs a command's work on this thread: it does one thing, and threads would cost it time.
fn on_one_thread<T>(work: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(FailureKind::Failed, "cannot start").caused_by(&error))?;
    runtime.block_on(work)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_reads_well() {
        let mut command = Cli::command().term_width(100);
        let mut help = command.render_long_help().to_string();
        for name in ["serve", "spawn", "slay", "exec", "logs", "repo", "audit"] {
            let sub = command.find_subcommand_mut(name).expect("a subcommand");
            help.push_str(&format!("\n--- {name}\n{}", sub.render_help()));
        }
        insta::assert_snapshot!(help);
    }
}

//! `hatchery forge`: the local forge, a stand-in for GitHub for trying out and for tests. Needs no
//! host agent and no configuration.

mod admin;
mod app;
mod repo;
mod serve;
mod user;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use local_forge::AdminClient;

pub(super) use serve::ForgeReady;

use super::terminal::Terminal;
use super::{Global, Stop, on_one_thread};
use crate::config::Locations;

/// Run and fill a local forge, a stand-in for GitHub on this machine
///
/// It verifies the App, mints and limits tokens and serves git as strictly as GitHub does. It
/// listens on loopback and Docker's bridges only, and never runs by itself.
#[derive(Debug, Args)]
pub(super) struct ForgeArgs {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: ForgeCommand,
}

/// Which forge.
#[derive(Debug, Args)]
struct Place {
    /// Directory of everything that the forge keeps [default: `forge` in the state directory]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Place {
    fn directory(&self) -> PathBuf {
        let by_default = || Locations::of_process().paths(None).state.join("forge");
        self.data_dir.clone().unwrap_or_else(by_default)
    }
}

#[derive(Debug, Subcommand)]
enum ForgeCommand {
    Serve(serve::ServeArgs),
    #[command(subcommand)]
    Repo(repo::RepoCommand),
    #[command(subcommand)]
    App(app::AppCommand),
    #[command(subcommand)]
    User(user::UserCommand),
    Admin(admin::AdminArgs),
}

pub(super) fn run(args: ForgeArgs, global: &Global, terminal: &Terminal) -> Result<(), Stop> {
    let directory = args.place.directory();
    let client = AdminClient::new(&directory);
    match args.command {
        ForgeCommand::Serve(args) => serve::run(args, directory, global, terminal),
        ForgeCommand::Repo(command) => on_one_thread(repo::run(client, command, terminal)),
        ForgeCommand::App(command) => {
            on_one_thread(app::run(client, command, &directory, terminal))
        }
        ForgeCommand::User(command) => on_one_thread(user::run(client, command, terminal)),
        ForgeCommand::Admin(args) => on_one_thread(admin::run(client, args, terminal)),
    }
}

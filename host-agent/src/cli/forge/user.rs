//! `hatchery forge user`.

use std::path::PathBuf;

use clap::Subcommand;
use http::Method;
use local_forge::{AccountSpec, AdminClient};

use super::admin::call;
use crate::cli::Stop;
use crate::cli::terminal::Terminal;
use crate::lifecycle::{Failure, FailureKind};

/// Create users of the forge and set their SSH keys
#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Create a user, or replace the keys of one that is there
    Create {
        /// The login
        login: String,
        /// File with the public keys that /LOGIN.keys serves, a line each
        #[arg(long, value_name = "FILE")]
        keys: Option<PathBuf>,
    },
}

pub(super) async fn run(
    client: AdminClient,
    command: UserCommand,
    terminal: &Terminal,
) -> Result<(), Stop> {
    let UserCommand::Create { login, keys } = command;
    let keys = keys.map(lines).transpose()?.unwrap_or_default();
    let spec = AccountSpec { login, keys, ..AccountSpec::default() };
    let answer = call(&client, Method::POST, "/accounts", &spec).await?;
    if terminal.json { terminal.json(&answer) } else { Ok(()) }
}

fn lines(file: PathBuf) -> Result<Vec<String>, Failure> {
    let text = std::fs::read_to_string(&file).map_err(|error| {
        let message = format!("cannot read the keys in {}", file.display());
        Failure::new(FailureKind::Usage, message).caused_by(&error)
    })?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(str::to_owned).collect())
}

//! `hatchery slay`.

use clap::Args;

use super::follow::follow;
use super::terminal::Terminal;
use super::{Stop, messages};
use crate::control::api::SlayRequest;
use crate::control::client::Client;

/// Remove a drone and everything it had
///
/// Refuses, with exit code 7, while the workspace holds work that is nowhere else: uncommitted or
/// untracked files, stashes, commits that are on no remote. Prints what was removed.
#[derive(Debug, Args)]
pub(super) struct SlayArgs {
    /// The drone's name or owner/repo
    drone: String,
    /// Go on although work would be lost
    #[arg(long)]
    force: bool,
    /// Drop the repository's SSH host key too
    #[arg(long)]
    forget: bool,
}

pub(super) async fn run(client: Client, args: SlayArgs, terminal: &Terminal) -> Result<(), Stop> {
    let request = SlayRequest { force: args.force, forget: args.forget };
    let outcome = follow(&client, client.slay(&args.drone, &request), *terminal).await?;
    if terminal.json {
        return Ok(());
    }
    let removed = outcome.report.iter().map(|line| messages::printable(line) + "\n");
    terminal.data(&removed.collect::<String>())?;
    terminal.say(&messages::slain(&args.drone));
    Ok(())
}

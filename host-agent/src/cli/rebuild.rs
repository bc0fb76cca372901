//! `hatchery rebuild`.

use std::time::Instant;

use clap::Args;

use super::follow::follow;
use super::terminal::Terminal;
use super::{Stop, messages};
use crate::control::client::Client;

/// Build a drone anew from the devcontainer.json in its workspace
///
/// Builds first and replaces the container then; the workspace stays. When it fails, the old
/// container runs on.
#[derive(Debug, Args)]
pub(super) struct RebuildArgs {
    /// The drone's name or owner/repo
    drone: String,
}

pub(super) async fn run(
    client: Client,
    args: RebuildArgs,
    terminal: &Terminal,
) -> Result<(), Stop> {
    let began = Instant::now();
    let outcome = follow(&client, client.rebuild(&args.drone), *terminal).await?;
    if let Some(status) = outcome.status {
        terminal.say(&messages::rebuilt(&status.summary, began.elapsed()));
    }
    outcome.report.iter().for_each(|line| terminal.say(&messages::printable(line)));
    Ok(())
}

//! `hatchery unburrow`.

use clap::Args;

use super::terminal::Terminal;
use super::{Stop, messages};
use crate::control::client::Client;

/// Start a burrowed or stopped drone
///
/// It comes back with the workspace and grants it had.
#[derive(Debug, Args)]
pub(super) struct UnburrowArgs {
    /// The drone's name or owner/repo
    drone: String,
}

pub(super) async fn run(
    client: Client,
    args: UnburrowArgs,
    terminal: &Terminal,
) -> Result<(), Stop> {
    let status = client.unburrow(&args.drone).await?;
    if terminal.json {
        return terminal.json(&status);
    }
    terminal.say(&messages::unburrowed(&status.summary));
    Ok(())
}

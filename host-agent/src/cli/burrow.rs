//! `hatchery burrow`.

use clap::Args;

use super::terminal::Terminal;
use super::{Stop, messages};
use crate::control::client::Client;

/// Stop a drone, and leave it stopped over reboots
///
/// Its tokens are revoked; workspace and grants stay.
#[derive(Debug, Args)]
pub(super) struct BurrowArgs {
    /// The drone's name or owner/repo
    drone: String,
}

pub(super) async fn run(client: Client, args: BurrowArgs, terminal: &Terminal) -> Result<(), Stop> {
    let status = client.burrow(&args.drone).await?;
    if terminal.json {
        return terminal.json(&status);
    }
    terminal.say(&messages::burrowed(&status.summary));
    Ok(())
}

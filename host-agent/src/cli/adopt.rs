//! `hatchery adopt`.

use clap::Args;

use super::terminal::Terminal;
use super::{Stop, messages};
use crate::control::client::Client;

/// Take in a container whose seal is not right (state unknown)
///
/// It gets the grant of the repository that its label names, as the forge knows it.
#[derive(Debug, Args)]
pub(super) struct AdoptArgs {
    /// The drone's name or owner/repo
    drone: String,
}

pub(super) async fn run(client: Client, args: AdoptArgs, terminal: &Terminal) -> Result<(), Stop> {
    let status = client.adopt(&args.drone).await?;
    if terminal.json {
        return terminal.json(&status);
    }
    terminal.say(&messages::adopted(&status.summary));
    Ok(())
}

//! `hatchery logs`.

use std::io::{self, Write as _};

use clap::Args;

use super::Stop;
use super::terminal::stdout_failed;
use crate::control::client::Client;

/// Show the log of a drone's last spawn or rebuild and its hooks
#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    /// The drone's name or owner/repo
    drone: String,
    /// Show the container's own output instead
    #[arg(long)]
    container: bool,
}

pub(super) async fn run(client: Client, args: LogsArgs) -> Result<(), Stop> {
    let mut chunks = client.logs(&args.drone, args.container).await?;
    while let Some(chunk) = chunks.next().await? {
        // Nothing else runs on this thread: a slow reader may hold it.
        io::stdout().lock().write_all(&chunk).map_err(stdout_failed)?;
    }
    io::stdout().lock().flush().map_err(stdout_failed)
}

//! `hatchery spawn`.

use std::time::Instant;

use clap::Args;

use super::Stop;
use super::follow::follow;
use super::messages::{self, Line};
use super::terminal::Terminal;
use crate::config::parse_size;
use crate::control::api::{SpawnChoices, SpawnRequest};
use crate::control::client::Client;

/// Spawn a drone for a repository
///
/// Clones the repository into a volume of its own, builds what its devcontainer.json asks for, and
/// gives it short-lived credentials for exactly this repository. Prints the drone's name. A spawn
/// that fails, or is interrupted with Ctrl-C, leaves nothing behind.
#[derive(Debug, Args)]
pub(super) struct SpawnArgs {
    /// owner/repo, host/owner/repo or the repository's https or git@ address
    repo: String,
    /// Check out this branch or tag instead of the default branch
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
    /// Use this devcontainer.json, relative to the repository's root
    #[arg(long, value_name = "PATH")]
    devcontainer: Option<String>,
    /// Memory limit, such as 8GiB
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<u64>,
    /// CPU limit, such as 2 or 0.5
    #[arg(long, value_name = "N", value_parser = cpus)]
    cpus: Option<f64>,
    /// Keep a drone whose spawn failed, to look into it with `hatchery exec`
    #[arg(long)]
    keep_failed: bool,
    /// Only say what the policy finds; nothing is left behind
    #[arg(long, conflicts_with = "keep_failed")]
    dry_run: bool,
    /// Go on without what the policy refuses, where that makes sense, and list it
    #[arg(long)]
    without_refused: bool,
}

impl SpawnArgs {
    fn into_request(self) -> SpawnRequest {
        let choices = SpawnChoices {
            branch: self.branch,
            devcontainer: self.devcontainer,
            memory_bytes: self.memory,
            cpus: self.cpus,
            without_refused: self.without_refused,
        };
        let (keep_failed, dry_run) = (self.keep_failed, self.dry_run);
        SpawnRequest { repo: self.repo, choices, keep_failed, dry_run }
    }
}

pub(super) async fn run(client: Client, args: SpawnArgs, terminal: &Terminal) -> Result<(), Stop> {
    let began = Instant::now();
    let request = args.into_request();
    let outcome = follow(&client, client.spawn(&request), *terminal).await?;
    let Some(status) = outcome.status.filter(|_| !terminal.json) else { return Ok(()) };
    terminal.garnish(Line::Ready);
    terminal.say(&messages::spawned(&status.summary, began.elapsed()));
    outcome.report.iter().for_each(|line| terminal.say(&messages::printable(line)));
    terminal.say("");
    terminal.say(&messages::get_in(&status.summary, *terminal));
    terminal.data(&format!("{}\n", status.summary.drone))
}

fn memory(text: &str) -> Result<u64, String> {
    parse_size(text)
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| "expected a size such as 8GiB or 512MiB".to_owned())
}

fn cpus(text: &str) -> Result<f64, String> {
    let cpus = text.parse().ok().filter(|cpus: &f64| cpus.is_finite() && *cpus > 0.0);
    cpus.ok_or_else(|| "expected a number above 0, such as 2 or 0.5".to_owned())
}

//! `hatchery version`.

use clap::Args;
use serde::Serialize;

use super::Stop;
use super::terminal::Terminal;
use crate::control::api::FailureKind;
use crate::control::client::Client;

/// Show the versions of this command and of the host agent
#[derive(Debug, Args)]
pub(super) struct VersionArgs {}

#[derive(Serialize)]
struct Versions {
    command: &'static str,
    host_agent: Option<String>,
}

pub(super) async fn run(client: Client, _: VersionArgs, terminal: &Terminal) -> Result<(), Stop> {
    let host_agent = match client.version().await {
        Ok(answer) => Some(answer.version),
        Err(failure) if failure.kind == FailureKind::NoHostAgent => None,
        Err(failure) => return Err(failure.into()),
    };
    let versions = Versions { command: env!("CARGO_PKG_VERSION"), host_agent };
    if terminal.json {
        return terminal.json(&versions);
    }
    let host_agent = versions.host_agent.as_deref().unwrap_or("does not run");
    terminal.data(&format!("hatchery   {}\nhost agent {host_agent}\n", versions.command))
}

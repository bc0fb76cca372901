//! `hatchery forge admin`: any call of the admin socket, and how the other subcommands make theirs.

use clap::Args;
use http::Method;
use local_forge::{AdminClient, AdminError};
use serde::Serialize;
use serde_json::Value;

use crate::cli::Stop;
use crate::cli::terminal::Terminal;
use crate::lifecycle::{Failure, FailureKind};

/// Make a call of the forge's admin API and print its answer
///
/// Faults, clock, checks, runs: `hatchery forge admin POST /faults
/// '{"path": "/app", "fault": {"kind": "status", "status": 500}}'`. The crate page of `local-forge`
/// lists the calls.
#[derive(Debug, Args)]
pub(super) struct AdminArgs {
    /// GET, POST, PUT, PATCH or DELETE
    method: Method,
    /// The call, such as /state
    path: String,
    /// Its body in JSON
    #[arg(value_parser = json)]
    body: Option<Value>,
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

pub(super) async fn run(
    client: AdminClient,
    args: AdminArgs,
    terminal: &Terminal,
) -> Result<(), Stop> {
    let answer = call(&client, args.method, &args.path, &args.body).await?;
    terminal.json(&answer)
}

/// Makes a call.
///
/// # Errors
/// In the forge's words, or that it does not run.
pub(super) async fn call(
    client: &AdminClient,
    method: Method,
    path: &str,
    body: &(impl Serialize + Sync),
) -> Result<Value, Failure> {
    client.call(method, path, body).await.map_err(|error| {
        let failure = Failure::new(kind(&error), error.to_string());
        match &error {
            AdminError::Unreachable { source, .. } => failure
                .hint("start it with `hatchery forge serve`, or name its --data-dir")
                .caused_by(source),
            AdminError::Refused { .. } => failure,
        }
    })
}

fn kind(error: &AdminError) -> FailureKind {
    match error {
        AdminError::Unreachable { .. } => FailureKind::Outside,
        AdminError::Refused { status, .. } if status.as_u16() == 400 => FailureKind::Usage,
        AdminError::Refused { .. } => FailureKind::Failed,
    }
}

//! Follows an operation to its end: shows its events, and turns Ctrl-C into a rollback.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::progress::Progress;
use super::terminal::Terminal;
use super::{Stop, messages};
use crate::control::api::{DroneStatus, Event, EventKind, Failure, FailureKind};
use crate::control::client::{Client, Operation};

/// How an operation that went well ended.
pub(super) struct Outcome {
    /// The drone now; `None` after slay.
    pub status: Option<DroneStatus>,
    /// What is worth saying, a line each.
    pub report: Vec<String>,
}

/// Follows `operation`. The first Ctrl-C cancels it and waits for its rollback, the second leaves.
pub(super) async fn follow(
    client: &Client,
    operation: Operation,
    terminal: Terminal,
) -> Result<Outcome, Stop> {
    let interrupts = signal(SignalKind::interrupt()).map_err(|error| {
        Failure::new(FailureKind::Failed, "cannot catch Ctrl-C").caused_by(&error)
    })?;
    let mut progress = Progress::new(terminal);
    let outcome = drive(client, operation, interrupts, &mut progress).await;
    progress.end();
    outcome
}

async fn drive(
    client: &Client,
    mut operation: Operation,
    mut interrupts: Signal,
    progress: &mut Progress,
) -> Result<Outcome, Stop> {
    let mut interrupted = false;
    loop {
        let event = tokio::select! {
            event = operation.next() => event?,
            _ = interrupts.recv() => {
                if interrupted {
                    return Err(messages::left().into());
                }
                interrupted = true;
                progress.say(messages::INTERRUPTING);
                cancel(client, operation.id(), &mut interrupts).await?;
                continue;
            }
        };
        let Some(event) = event else { return Err(messages::no_outcome().into()) };
        progress.show(&event);
        if let Some(outcome) = outcome(event) {
            return outcome;
        }
    }
}

/// Asks for the rollback. That the operation ended meanwhile is no failure: its events say how.
async fn cancel(client: &Client, id: &str, interrupts: &mut Signal) -> Result<(), Stop> {
    tokio::select! {
        cancelled = client.cancel(id) => match cancelled {
            Err(failure) if failure.kind == FailureKind::NoHostAgent => Err(failure.into()),
            Ok(()) | Err(_) => Ok(()),
        },
        _ = interrupts.recv() => Err(messages::left().into()),
    }
}

fn outcome(event: Event) -> Option<Result<Outcome, Stop>> {
    match event.kind {
        EventKind::Done { status, report } => {
            Some(Ok(Outcome { status: status.map(|status| *status), report }))
        }
        EventKind::Failed { failure } => Some(Err(Stop::Failure(failure))),
        EventKind::Step { .. }
        | EventKind::Progress { .. }
        | EventKind::Notice { .. }
        | EventKind::State { .. }
        | EventKind::OutOfMemory => None,
    }
}

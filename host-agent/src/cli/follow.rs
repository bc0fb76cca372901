//! Follows an operation to its end: shows its events, and turns Ctrl-C into a rollback.

use std::future::Future;

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

/// Starts an operation and follows it. The first Ctrl-C cancels it and waits for its rollback, the
/// second leaves. Ctrl-C is caught before the host agent hears of the operation.
pub(super) async fn follow(
    client: &Client,
    starting: impl Future<Output = Result<Operation, Failure>>,
    terminal: Terminal,
) -> Result<Outcome, Stop> {
    let mut interrupts = signal(SignalKind::interrupt()).map_err(|error| {
        Failure::new(FailureKind::Failed, "cannot catch Ctrl-C").caused_by(&error)
    })?;
    let mut interrupted = false;
    let mut starting = std::pin::pin!(starting);
    let operation = loop {
        tokio::select! {
            started = starting.as_mut() => break started?,
            _ = interrupts.recv() => interrupted = first_time(interrupted)?,
        }
    };
    let progress = Progress::new(terminal);
    let mut following = Following { client, operation, interrupts, progress };
    let outcome = following.drive(interrupted).await;
    following.progress.end();
    outcome
}

/// An operation that is followed.
struct Following<'a> {
    client: &'a Client,
    operation: Operation,
    interrupts: Signal,
    progress: Progress,
}

impl Following<'_> {
    async fn drive(&mut self, mut interrupted: bool) -> Result<Outcome, Stop> {
        if interrupted {
            self.cancel().await?;
        }
        loop {
            let event = tokio::select! {
                event = self.operation.next() => event?,
                _ = self.interrupts.recv() => {
                    interrupted = first_time(interrupted)?;
                    self.cancel().await?;
                    continue;
                }
            };
            let event = event.ok_or_else(messages::no_outcome)?;
            self.progress.show(&event);
            if let Some(outcome) = outcome(event) {
                return outcome;
            }
        }
    }

    /// Asks for the rollback. That the operation ended meanwhile is no failure: its events say how.
    async fn cancel(&mut self) -> Result<(), Stop> {
        self.progress.say(messages::INTERRUPTING);
        tokio::select! {
            cancelled = self.client.cancel(self.operation.id()) => match cancelled {
                Err(failure) if failure.kind == FailureKind::NoHostAgent => Err(failure.into()),
                Ok(()) | Err(_) => Ok(()),
            },
            _ = self.interrupts.recv() => Err(messages::left().into()),
        }
    }
}

/// Counts Ctrl-C: the second one leaves.
fn first_time(interrupted: bool) -> Result<bool, Stop> {
    if interrupted { Err(messages::left().into()) } else { Ok(true) }
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
        | EventKind::Policy { .. }
        | EventKind::OutOfMemory => None,
    }
}

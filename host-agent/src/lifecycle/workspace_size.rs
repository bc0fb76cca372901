//! Sizes of workspaces, measured in the background: walking a large tree takes seconds, so `list`
//! shows the last figure and its age.

use std::time::Duration;

use hatchery_protocol::{DroneName, paths};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::Lifecycle;
use super::engine::{ContainerEngine, Exec, RunState};
use crate::credentials::Forge;

/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(10 * 60);

/// How soon the first round begins: not while everything starts.
const FIRST: Duration = Duration::from_secs(20);

/// How long one workspace may take.
const MEASURE: Duration = Duration::from_secs(120);

impl<F: Forge, E: ContainerEngine> Lifecycle<F, E> {
    /// Measures one running drone after the other until cancelled.
    pub(super) async fn measure_workspaces(&self, shutdown: &CancellationToken) {
        let mut pause = FIRST;
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = async {
                    tokio::time::sleep(pause).await;
                    for record in self.records.all() {
                        self.measure_workspace(&record.drone).await;
                    }
                } => pause = ROUND,
            }
        }
    }

    /// Measures the workspace of a drone, if it runs: in it, by its own `du`.
    pub(super) async fn measure_workspace(&self, drone: &DroneName) {
        let Ok(Some(container)) = self.find_container(drone).await else { return };
        if container.state != RunState::Running || self.operations.on(drone).is_some() {
            return;
        }
        let exec = Exec {
            user: "0".to_owned(),
            command: ["nice", "-n", "19", "du", "-skx", paths::WORKSPACES]
                .map(str::to_owned)
                .into(),
            env: vec![],
            workdir: Some("/".to_owned()),
            limit: MEASURE,
        };
        match self.engine.exec(&container.id, &exec, None).await {
            Ok(outcome) => {
                if let Some(bytes) = kibibytes(&outcome.stdout) {
                    self.known.measured(drone, bytes, OffsetDateTime::now_utc());
                }
            }
            Err(error) => tracing::debug!(%drone, %error, "the workspace is not measured"),
        }
    }
}

/// What `du -k` printed, in bytes.
fn kibibytes(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn du_counts_in_kibibytes() {
        assert_eq!(kibibytes("12\t/workspaces\n"), Some(12 * 1024));
        assert_eq!(kibibytes("du: x\n"), None);
    }
}

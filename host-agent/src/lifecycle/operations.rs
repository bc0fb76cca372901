//! Operations under way: one a drone at a time, and the shutdown waits for all of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hatchery_protocol::DroneName;
use tokio::sync::Notify;

use super::failure::{Failure, FailureKind};

/// What nobody asked for: bringing a drone to what is wanted of it.
pub const HOUSEKEEPING: &str = "housekeeping";

/// How long housekeeping is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which drones are being worked on, and by what.
#[derive(Debug, Clone, Default)]
pub struct Operations(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    under_way: Mutex<BTreeMap<DroneName, &'static str>>,
    ended: Notify,
}

/// The right to work on a drone; given back on drop.
#[derive(Debug)]
pub struct Claimed {
    operations: Operations,
    drone: DroneName,
}

impl Operations {
    /// Begins what a user asked for. Our own housekeeping is waited for a little: nobody shall
    /// hear of it.
    ///
    /// # Errors
    /// [`FailureKind::Busy`], naming the operation under way.
    pub async fn begin(
        &self,
        drone: &DroneName,
        operation: &'static str,
    ) -> Result<Claimed, Failure> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let ended = self.0.ended.notified();
            let refused = match self.begin_now(drone, operation) {
                Ok(claimed) => return Ok(claimed),
                Err(refused) => refused,
            };
            let waits = self.on(drone).is_none_or(|other| other == HOUSEKEEPING);
            if !waits || tokio::time::timeout_at(deadline, ended).await.is_err() {
                return Err(refused);
            }
        }
    }

    /// Begins `operation` on `drone` at once or not at all.
    ///
    /// # Errors
    /// [`FailureKind::Busy`], naming the operation under way.
    pub fn begin_now(
        &self,
        drone: &DroneName,
        operation: &'static str,
    ) -> Result<Claimed, Failure> {
        let mut under_way = self.lock();
        if let Some(other) = under_way.get(drone) {
            let message = format!("{drone}: {other} is under way");
            return Err(Failure::new(FailureKind::Busy, message)
                .hint(format!("wait for it: `hatchery status {drone}`")));
        }
        under_way.insert(drone.clone(), operation);
        Ok(Claimed { operations: self.clone(), drone: drone.clone() })
    }

    /// What is under way on `drone`.
    pub fn on(&self, drone: &DroneName) -> Option<&'static str> {
        self.lock().get(drone).copied()
    }

    /// Waits until nothing is under way.
    pub async fn idle(&self) {
        loop {
            let ended = self.0.ended.notified();
            if self.lock().is_empty() {
                return;
            }
            ended.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<DroneName, &'static str>> {
        self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.operations.lock().remove(&self.drone);
        self.operations.0.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_operation_at_a_time_and_the_end_is_noticed() {
        let operations = Operations::default();
        let drone: DroneName = "acme-web".parse().expect("a name");
        let claimed = operations.begin(&drone, "spawn").await.expect("free");
        let refused = operations.begin(&drone, "slay").await.expect_err("busy");
        assert!(refused.kind == FailureKind::Busy && refused.message.contains("spawn"));
        let waiting = tokio::spawn({
            let operations = operations.clone();
            async move { operations.idle().await }
        });
        drop(claimed);
        waiting.await.expect("ends");
        assert!(operations.begin(&drone, "slay").await.is_ok());
    }
}

//! The operations under way: each has a number to cancel it by, and an owner that waits for it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// An operation's number, unique while the host agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OperationId(pub(super) u64);

/// All operations. Tasks of it outlive their connection: a client that leaves does not tear a
/// rollback, or a container's stop, in the middle.
#[derive(Debug, Default)]
pub(super) struct Operations {
    next: AtomicU64,
    running: Mutex<BTreeMap<OperationId, CancellationToken>>,
    tasks: TaskTracker,
}

impl Operations {
    /// Starts an operation, which stops and rolls back when `token` is cancelled.
    pub(super) fn start(
        self: &Arc<Self>,
        token: CancellationToken,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> OperationId {
        let id = OperationId(self.next.fetch_add(1, Ordering::Relaxed) + 1);
        self.lock().insert(id, token);
        let ended = Ended { id, operations: Arc::clone(self) };
        let task = async move {
            let _ended = ended;
            work.await;
        };
        self.tasks.spawn(task.in_current_span());
        id
    }

    /// Runs `work` to its end even if the caller goes away; `None` when it panicked.
    pub(super) async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.tasks.spawn(work.in_current_span()).await.ok()
    }

    /// Asks an operation to stop and roll back; false when it is not, or no longer, under way.
    pub(super) fn cancel(&self, id: OperationId) -> bool {
        self.lock().get(&id).map(CancellationToken::cancel).is_some()
    }

    /// Asks all of them.
    pub(super) fn cancel_all(&self) {
        self.lock().values().for_each(CancellationToken::cancel);
    }

    /// Waits until none is under way.
    pub(super) async fn wait(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<OperationId, CancellationToken>> {
        // Every change is one insert or remove: a panic elsewhere leaves the map whole.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Strikes an operation off the list however it ends.
struct Ended {
    id: OperationId,
    operations: Arc<Operations>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.operations.lock().remove(&self.id);
    }
}

//! The log of calls, and the gate that holds mints up.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Calls kept; older ones are forgotten, their count is not.
const KEPT: usize = 10_000;

/// One call that was answered (or cut off).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Method.
    pub method: String,
    /// Path without the `/api/v3` mount and without the query.
    pub path: String,
    /// Status of the answer; 0 when the connection was cut.
    pub status: u16,
    /// `anonymous`, `app`, `installation` or `refused`.
    pub caller: String,
    /// First 12 hex digits of the SHA-256 of the installation token, when there was one.
    pub token_sha256: Option<String>,
}

/// What the forge was asked since it started.
#[derive(Debug, Default)]
pub struct Calls {
    kept: Mutex<std::collections::VecDeque<Call>>,
    total: AtomicU64,
    mints: AtomicU64,
}

impl Calls {
    /// Adds a call.
    pub fn push(&self, call: Call) {
        self.total.fetch_add(1, Ordering::SeqCst);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(call);
    }

    /// Counts a minted token.
    pub fn count_mint(&self) {
        self.mints.fetch_add(1, Ordering::SeqCst);
    }

    /// Tokens minted since the start or the last [`clear`](Self::clear).
    pub fn mints(&self) -> u64 {
        self.mints.load(Ordering::SeqCst)
    }

    /// Calls since the start or the last [`clear`](Self::clear).
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::SeqCst)
    }

    /// The calls that are kept, oldest first.
    pub fn list(&self) -> Vec<Call> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().cloned().collect()
    }

    /// Forgets calls and counts.
    pub fn clear(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.total.store(0, Ordering::SeqCst);
        self.mints.store(0, Ordering::SeqCst);
    }
}

/// Holds mints up while it is shut.
#[derive(Debug)]
pub struct Gate {
    held: watch::Sender<bool>,
    waiting: watch::Sender<u64>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { held: watch::Sender::new(false), waiting: watch::Sender::new(0) }
    }
}

impl Gate {
    /// Shuts or opens it.
    pub fn set_held(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// True while it is shut.
    pub fn held(&self) -> bool {
        *self.held.borrow()
    }

    /// Mints that wait before it.
    pub fn waiting(&self) -> u64 {
        *self.waiting.borrow()
    }

    /// Waits until a mint has arrived at the shut gate.
    pub async fn arrived(&self) {
        // The sender lives as long as `self`, so waiting cannot fail; the same below.
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting > 0).await;
    }

    /// Passes when open, waits when shut.
    pub async fn pass(&self) {
        let mut held = self.held.subscribe();
        if !*held.borrow() {
            return;
        }
        let _here = Waiting::enter(&self.waiting);
        let _ = held.wait_for(|held| !held).await;
    }
}

/// Counts a waiting mint, also when its connection goes away.
struct Waiting<'a>(&'a watch::Sender<u64>);

impl<'a> Waiting<'a> {
    fn enter(count: &'a watch::Sender<u64>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

//! What happened lately: to everybody who watches, and the last of it kept for each drone.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use hatchery_protocol::DroneName;
use tokio::sync::broadcast;

use super::view::{Event, EventKind};

/// Events kept of each drone.
const KEPT: usize = 50;

/// Events that a watcher may be behind before it misses some.
const AHEAD: usize = 1024;

/// What happened lately.
#[derive(Debug)]
pub struct Journal {
    watchers: broadcast::Sender<Event>,
    kept: Mutex<BTreeMap<DroneName, VecDeque<Event>>>,
}

impl Default for Journal {
    fn default() -> Self {
        Self { watchers: broadcast::channel(AHEAD).0, kept: Mutex::default() }
    }
}

impl Journal {
    /// Every event from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.watchers.subscribe()
    }

    /// Takes an event in.
    pub fn record(&self, event: Event) {
        if let Some(drone) = &event.drone
            && !matches!(event.kind, EventKind::Progress { .. })
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let events = kept.entry(drone.clone()).or_default();
            if events.len() == KEPT {
                events.pop_front();
            }
            events.push_back(event.clone());
        }
        // Nobody watching is fine.
        let _ = self.watchers.send(event);
    }

    /// The last events of a drone, oldest first.
    pub fn of(&self, drone: &DroneName) -> Vec<Event> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(drone).into_iter().flatten().cloned().collect()
    }

    /// Forgets a drone.
    pub fn forget(&self, drone: &DroneName) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(drone);
    }
}

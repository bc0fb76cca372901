//! How an operation tells what it does, and learns that it shall stop.

use hatchery_protocol::DroneName;
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::view::{Event, EventKind};

/// Events an operation may be ahead of its reader; a slow reader loses progress texts, never steps.
const AHEAD: usize = 256;

/// One operation's way out (events) and in (cancellation).
#[derive(Debug, Clone)]
pub struct Progress {
    events: mpsc::Sender<Event>,
    cancelled: CancellationToken,
}

impl Progress {
    /// A progress and where its events come out. Cancelling `cancelled` rolls the operation back.
    pub fn new(cancelled: CancellationToken) -> (Self, mpsc::Receiver<Event>) {
        let (events, receiver) = mpsc::channel(AHEAD);
        (Self { events, cancelled }, receiver)
    }

    /// Ends when the user interrupted the operation.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Says something that the user has to see. Waits for a slow reader; one that is gone is none.
    pub async fn tell(&self, drone: Option<&DroneName>, kind: EventKind) {
        let _ = self.events.send(event(drone, kind)).await;
    }

    /// Says how far it is; dropped when the reader is slow.
    pub fn hint(&self, drone: Option<&DroneName>, kind: EventKind) {
        let _ = self.events.try_send(event(drone, kind));
    }
}

fn event(drone: Option<&DroneName>, kind: EventKind) -> Event {
    Event { at: OffsetDateTime::now_utc(), drone: drone.cloned(), kind }
}

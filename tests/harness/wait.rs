//! Waiting for a condition with a deadline: the only way these tests let time pass.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// Returns what `condition` gives once it gives something.
///
/// # Panics
/// When it gives nothing within `limit`; the panic says what was waited for.
pub fn wait_until<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} in vain for {what}");
        std::thread::sleep(INTERVAL);
    }
}

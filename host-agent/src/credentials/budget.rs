//! How much of something a drone may have: a burst at once, then so much per second.

use std::time::Duration;

use time::OffsetDateTime;

/// A token bucket.
#[derive(Debug, Clone)]
pub struct Budget {
    burst: f64,
    per_second: f64,
    left: f64,
    counted_at: OffsetDateTime,
}

impl Budget {
    /// A full one.
    pub fn new(burst: u32, per_second: f64, now: OffsetDateTime) -> Self {
        Self { burst: f64::from(burst), per_second, left: f64::from(burst), counted_at: now }
    }

    /// Takes one.
    ///
    /// # Errors
    /// When none is left, with the time after which there will be one.
    pub fn take(&mut self, now: OffsetDateTime) -> Result<(), Duration> {
        // A clock that was set back gives nothing and costs nothing.
        let elapsed = (now - self.counted_at).as_seconds_f64().max(0.0);
        self.left = (self.left + elapsed * self.per_second).min(self.burst);
        self.counted_at = now;
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.left) / self.per_second))
    }

    /// Gives one back that was taken for nothing.
    pub fn give_back(&mut self) {
        self.left = (self.left + 1.0).min(self.burst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let start = OffsetDateTime::UNIX_EPOCH;
        let mut budget = Budget::new(2, 0.5, start);
        assert!(budget.take(start).is_ok());
        assert!(budget.take(start).is_ok());
        assert_eq!(budget.take(start), Err(Duration::from_secs(2)));
        budget.give_back();
        assert!(budget.take(start).is_ok());
        assert!(budget.take(start + Duration::from_secs(2)).is_ok());
        assert!(budget.take(start + Duration::from_secs(2)).is_err());
    }

    #[test]
    fn a_clock_that_is_set_back_neither_gives_nor_panics() {
        let start = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(100);
        let mut budget = Budget::new(1, 1.0, start);
        assert!(budget.take(start).is_ok());
        assert!(budget.take(OffsetDateTime::UNIX_EPOCH).is_err());
    }
}

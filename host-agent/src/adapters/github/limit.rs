//! Keeping still while the forge limits us: going on may get the App banned.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest wait that repeated limits grow to.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// Doublings at most.
const STRIKES_MAX: u32 = 5;
/// Part of a wait by which it is drawn out at random, in hundredths: several servers of one App do
/// not come back at the same moment.
const JITTER: u32 = 20;

#[derive(Debug, Default)]
struct State {
    until: Option<Instant>,
    /// Limits in a row.
    strikes: u32,
}

/// Whether requests to one forge are held back.
#[derive(Debug, Default)]
pub struct Limit(Mutex<State>);

impl Limit {
    /// How long no request should be made; `None`: go on.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        self.lock().until?.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// The forge said to wait. Doubled with each time in a row, and a little more by chance; returns
    /// what it comes to. Answers to requests that were under way already count as one.
    pub fn impose(&self, wait: Duration, now: Instant) -> Duration {
        let random = RandomState::new().hash_one(now) % u64::from(JITTER + 1);
        self.impose_with(wait, now, u32::try_from(random).unwrap_or(0))
    }

    fn impose_with(&self, wait: Duration, now: Instant, hundredths: u32) -> Duration {
        let mut state = self.lock();
        if let Some(until) = state.until.filter(|until| *until > now) {
            return until - now;
        }
        let wait = (wait * 2_u32.pow(state.strikes)).min(WAIT_MAX);
        let wait = wait + wait * hundredths / 100;
        state.strikes = (state.strikes + 1).min(STRIKES_MAX);
        state.until = Some(now + wait);
        wait
    }

    /// A request went through.
    pub fn lift(&self) {
        *self.lock() = State::default();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_until_something_goes_through() {
        let (limit, now, minute) = (Limit::default(), Instant::now(), Duration::from_secs(60));
        let impose = |wait, now| limit.impose_with(wait, now, 0);
        assert_eq!(limit.left(now), None);
        assert_eq!(impose(minute, now), minute);
        assert_eq!(limit.left(now), Some(minute));
        assert_eq!(impose(minute, now), minute);
        let later = now + minute;
        assert_eq!(limit.left(later), None);
        assert_eq!(impose(minute, later), minute * 2);
        assert_eq!(impose(minute, later + WAIT_MAX), minute * 4);
        limit.lift();
        assert_eq!(limit.left(now), None);
        assert_eq!(impose(minute, now), minute);
    }

    #[test]
    fn no_wait_is_shorter_than_was_said_and_few_are_the_same() {
        let (now, minute) = (Instant::now(), Duration::from_secs(60));
        let waits: std::collections::BTreeSet<Duration> =
            (0..200).map(|_| Limit::default().impose(minute, now)).collect();
        assert!(waits.iter().all(|wait| (minute..=minute * 6 / 5).contains(wait)), "{waits:?}");
        assert!(waits.len() > 5, "{waits:?}");
    }
}

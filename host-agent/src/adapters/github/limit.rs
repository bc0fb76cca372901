//! Keeping still while the forge limits us: going on may get the App banned.
//!
//! A primary limit is an account's: of one installation, of the App where it asks as itself, of the
//! address where nobody asks. A secondary one is the App's as a whole (GitHub REST, "Rate limits").

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::credentials::forge::InstallationId;

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

/// On whose account a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Account {
    /// The App itself.
    App,
    /// One installation.
    Installation(InstallationId),
    /// Whoever has this machine's address: a request without credentials.
    Address,
}

/// What a limit is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Everything that the App asks for (a secondary limit).
    App,
    /// What goes on the same account (a primary limit).
    Account,
}

/// Which requests to one forge are held back.
#[derive(Debug, Default)]
pub struct Limits {
    all: Limit,
    accounts: Mutex<HashMap<Account, Arc<Limit>>>,
}

impl Limits {
    /// How long no request on this account should be made; `None`: go on. An account that is not
    /// known (`None`) is held back by what holds everything.
    pub fn left(&self, account: Option<Account>, now: Instant) -> Option<Duration> {
        let own = self.known(account).and_then(|limit| limit.left(now));
        self.all.left(now).max(own)
    }

    /// The forge said to wait; see [`Limit::impose`]. A primary limit of an account that is not
    /// known holds nothing back but the request that met it.
    pub fn impose(
        &self,
        reach: Reach,
        account: Option<Account>,
        wait: Duration,
        now: Instant,
    ) -> Duration {
        match (reach, account) {
            (Reach::App, _) => self.all.impose(wait, now),
            (Reach::Account, None) => wait,
            (Reach::Account, Some(account)) => {
                let limit = Arc::clone(self.accounts().entry(account).or_default());
                limit.impose(wait, now)
            }
        }
    }

    /// A request on this account went through.
    pub fn lift(&self, account: Option<Account>, now: Instant) {
        self.all.lift(now);
        if let Some(limit) = self.known(account) {
            limit.lift(now);
        }
    }

    fn known(&self, account: Option<Account>) -> Option<Arc<Limit>> {
        self.accounts().get(&account?).cloned()
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<Account, Arc<Limit>>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether one kind of request is held back.
#[derive(Debug, Default)]
struct Limit(Mutex<State>);

impl Limit {
    /// How long no request should be made; `None`: go on.
    fn left(&self, now: Instant) -> Option<Duration> {
        self.lock().until?.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// The forge said to wait. Doubled with each time in a row, and a little more by chance; returns
    /// what it comes to. Answers to requests that were under way already count as one.
    fn impose(&self, wait: Duration, now: Instant) -> Duration {
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

    /// A request went through. One that was under way when the forge said to wait lifts nothing.
    fn lift(&self, now: Instant) {
        let mut state = self.lock();
        if state.until.is_none_or(|until| until <= now) {
            *state = State::default();
        }
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
        let last = later + WAIT_MAX;
        assert_eq!(impose(minute, last), minute * 4);
        limit.lift(last);
        assert_eq!(limit.left(last), Some(minute * 4), "it was sent before");
        let over = last + minute * 4;
        limit.lift(over);
        assert_eq!(impose(minute, over), minute);
    }

    #[test]
    fn one_accounts_limit_is_not_anothers() {
        let (limits, now, minute) = (Limits::default(), Instant::now(), Duration::from_secs(60));
        let [one, other] = [1, 2].map(|id| Some(Account::Installation(InstallationId(id))));
        limits.impose(Reach::Account, one, minute, now);
        assert!(limits.left(one, now).is_some_and(|left| left >= minute));
        for free in [other, Some(Account::App), Some(Account::Address), None] {
            assert_eq!(limits.left(free, now), None, "{free:?}");
        }
        limits.lift(other, now);
        assert!(limits.left(one, now).is_some(), "another's success says nothing of it");
        limits.impose(Reach::Account, None, minute, now);
        assert_eq!(limits.left(None, now), None);
        limits.impose(Reach::App, other, minute, now);
        for held in [one, other, Some(Account::App), None] {
            assert!(limits.left(held, now).is_some(), "{held:?}");
        }
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

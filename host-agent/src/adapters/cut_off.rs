//! Programs that had the engine make things, and were ended in the middle of it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// What a program asked the engine for that is gone, the engine goes on with. There is no way to see
/// that it ended; it takes some tens of milliseconds, on a busy machine some hundred.
const GOES_ON: Duration = Duration::from_secs(1);

/// When a program was last cut off.
pub type LastCutOff = Mutex<Option<Instant>>;

/// Dropped before the program ended, it notes that the program was cut off.
#[derive(Debug)]
pub struct CutOff<'a> {
    last: &'a LastCutOff,
    ended: bool,
}

impl<'a> CutOff<'a> {
    /// A program starts.
    pub fn unless_ended(last: &'a LastCutOff) -> Self {
        Self { last, ended: false }
    }

    /// It ended by itself: the engine has answered all that it asked for.
    pub fn ended(mut self) {
        self.ended = true;
    }
}

impl Drop for CutOff<'_> {
    fn drop(&mut self) {
        if !self.ended {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }
}

/// Waits until the engine can be taken to have ended what it was asked for.
pub async fn settled(last: &LastCutOff) {
    let last = *last.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(last) = last {
        sleep_until(last + GOES_ON).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_was_cut_off_is_waited_for() {
        let last = LastCutOff::default();
        CutOff::unless_ended(&last).ended();
        assert_eq!(*last.lock().expect("whole"), None);
        let began = Instant::now();
        settled(&last).await;
        drop(CutOff::unless_ended(&last));
        let cut = last.lock().expect("whole").expect("it was cut off");
        assert!(cut >= began);
        settled(&last).await;
        assert!(Instant::now() >= cut + GOES_ON);
    }
}

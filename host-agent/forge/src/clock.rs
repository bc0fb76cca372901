//! The forge's clock: the machine's, shifted by what a test asked for.

use std::sync::atomic::{AtomicI64, Ordering};

use time::{Duration, OffsetDateTime, macros::format_description};

/// The machine's clock plus an offset in whole seconds.
#[derive(Debug, Default)]
pub struct Clock {
    offset_seconds: AtomicI64,
}

impl Clock {
    /// Now, in UTC, without fractions of a second: GitHub's times have none.
    pub fn now(&self) -> OffsetDateTime {
        let now = OffsetDateTime::now_utc() + Duration::seconds(self.offset_seconds());
        now.replace_nanosecond(0).unwrap_or(now)
    }

    /// How far it runs ahead of the machine's clock.
    pub fn offset_seconds(&self) -> i64 {
        self.offset_seconds.load(Ordering::SeqCst)
    }

    /// Lets it run ahead by `seconds` (behind, when negative) from now on.
    pub fn set_offset_seconds(&self, seconds: i64) {
        self.offset_seconds.store(seconds, Ordering::SeqCst);
    }

    /// Moves it on by `seconds` from where it stands.
    pub fn advance(&self, seconds: i64) {
        self.offset_seconds.fetch_add(seconds, Ordering::SeqCst);
    }
}

/// `at` as the HTTP `Date` header wants it (RFC 9110, IMF-fixdate).
pub fn http_date(at: OffsetDateTime) -> String {
    let format = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    at.format(&format).expect("every component exists in an OffsetDateTime")
}

/// `at` as GitHub's JSON writes it: `2026-11-21T10:00:00Z`.
pub fn json_time(at: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    at.format(&format).expect("every component exists in an OffsetDateTime")
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn dates_have_the_wire_forms() {
        let at = datetime!(2026-11-01 03:04:05 UTC);
        assert_eq!(http_date(at), "Sun, 01 Nov 2026 03:04:05 GMT");
        assert_eq!(json_time(at), "2026-11-01T03:04:05Z");
    }
}

//! Columns of text, and the words for times in them.

use time::OffsetDateTime;

/// Rows under a head, each column as wide as it needs, two spaces between.
pub(super) fn render<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(width);
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(cell));
        }
    }
    let head = head.map(str::to_owned);
    let lines = std::iter::once(&head).chain(rows).map(|row| line(row, &widths));
    lines.collect()
}

fn line<const N: usize>(row: &[String; N], widths: &[usize; N]) -> String {
    let cells = row.iter().zip(widths).map(|(cell, &widest)| format!("{cell:widest$}"));
    format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// How long ago `then` was, in its two largest units.
pub(super) fn age(then: OffsetDateTime, now: OffsetDateTime) -> String {
    let seconds = (now - then).whole_seconds().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// A moment in UTC to the second, as people and `sort` read it.
pub(super) fn moment(at: OffsetDateTime) -> String {
    let at = at.to_offset(time::UtcOffset::UTC);
    format!("{} {:02}:{:02}:{:02} UTC", at.date(), at.hour(), at.minute(), at.second())
}

#[cfg(test)]
mod tests {
    use time::{Duration, OffsetDateTime};

    use super::*;

    #[test]
    fn ages_read_well() {
        let then = OffsetDateTime::UNIX_EPOCH;
        for (seconds, words) in
            [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (7500, "2 h 5 min"), (270_000, "3 d 3 h")]
        {
            assert_eq!(age(then, then + Duration::seconds(seconds)), words);
        }
        assert_eq!(moment(then), "1970-01-01 00:00:00 UTC");
    }
}

//! Event time that looks wrong: one row with a time far in the future makes all later ones late, and nothing fails.
//!
//! Only the log says so; what is computed never depends on it.

use std::time::Duration;

use millstream_api::EventTime;
use millstream_api::operator::Fates;
use millstream_api::time::ClockTime;

/// An event time so far ahead of the clock is hardly meant.
const FAR_AHEAD_MICROS: i64 = 24 * 3600 * 1_000_000;

/// A clock that says less than this (2020-01-01) was never set, or is moved by a test: it says nothing.
const SET_SINCE_MICROS: i64 = 1_577_836_800_000_000;

/// From so many rows on it is judged whether most of them are late.
const JUDGED_ROWS: u64 = 100;

/// How long nothing is said after something was.
const QUIET: Duration = Duration::from_secs(3600);

/// Whether an event time is so far ahead of the clock that it is hardly meant, and by how many days.
pub(crate) fn days_ahead(greatest: EventTime, now: ClockTime) -> Option<i64> {
    let ahead = greatest.0.checked_sub(now.0)?;
    let is_far = now.0 >= SET_SINCE_MICROS && greatest != EventTime::MAX && ahead > FAR_AHEAD_MICROS;
    is_far.then_some(ahead / FAR_AHEAD_MICROS)
}

/// Looks at how many of the rows that come to a task are late.
#[derive(Debug, Default)]
pub(crate) struct LateRows {
    rows: u64,
    late: u64,
    quiet_until: Option<ClockTime>,
}

impl LateRows {
    /// What became of rows. How many of the last were late, and of how many, when it is most of them and was not said for an hour.
    pub fn note(&mut self, fates: &Fates, now: ClockTime) -> Option<(u64, u64)> {
        self.rows += fates.total();
        self.late += fates.late;
        if self.rows < JUDGED_ROWS {
            return None;
        }
        let (rows, late) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.late));
        if late * 2 <= rows || self.quiet_until.is_some_and(|until| now < until) {
            return None;
        }
        self.quiet_until = Some(now.plus(QUIET));
        Some((late, rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = FAR_AHEAD_MICROS;

    #[test]
    fn a_time_far_ahead_of_a_clock_that_is_set_is_suspect() {
        let now = ClockTime(SET_SINCE_MICROS + 7);
        assert_eq!(days_ahead(EventTime(now.0 + 2 * DAY), now), Some(2));
        assert_eq!(days_ahead(EventTime(now.0 + DAY), now), None);
        assert_eq!(days_ahead(EventTime::MIN, now), None);
        assert_eq!(days_ahead(EventTime::MAX, now), None, "the end of the input");
        assert_eq!(days_ahead(EventTime(SET_SINCE_MICROS), ClockTime(0)), None, "a clock that is not set");
    }

    #[test]
    fn most_rows_late_is_said_once_an_hour() {
        let mut watch = LateRows::default();
        let rows = |passed, late| Fates { passed, late, ..Fates::default() };
        let hour = i64::try_from(QUIET.as_micros()).unwrap();
        assert_eq!(watch.note(&rows(0, 99), ClockTime(0)), None, "too few to judge");
        assert_eq!(watch.note(&rows(0, 1), ClockTime(0)), Some((100, 100)));
        assert_eq!(watch.note(&rows(0, 1000), ClockTime(hour - 1)), None, "said already");
        assert_eq!(watch.note(&rows(500, 500), ClockTime(hour)), None, "not most");
        assert_eq!(watch.note(&rows(499, 501), ClockTime(hour)), Some((501, 1000)));
    }
}

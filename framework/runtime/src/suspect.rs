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

/// Over so long it is judged while rows come: late rows may all come in one batch, and the others in another.
const JUDGED_OVER: Duration = Duration::from_secs(10);

/// How long nothing is said after something was.
const QUIET: Duration = Duration::from_secs(3600);

/// Whether an event time is so far ahead of the clock that it is hardly meant, and by how many days.
pub(crate) fn days_ahead(greatest: EventTime, now: ClockTime) -> Option<i64> {
    let ahead = greatest.0.checked_sub(now.0)?;
    let is_far = now.0 >= SET_SINCE_MICROS && greatest != EventTime::MAX && ahead > FAR_AHEAD_MICROS;
    is_far.then_some(ahead / FAR_AHEAD_MICROS)
}

/// Rows, and how many of them were late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) rows: u64,
    pub(crate) late: u64,
}

impl Judged {
    fn add(&mut self, fates: &Fates) {
        self.rows += fates.total();
        self.late += fates.late;
    }

    fn are_mostly_late(&self) -> bool {
        self.rows >= JUDGED_ROWS && self.late * 2 > self.rows
    }
}

/// Looks at how many of the rows that come to a task are late.
#[derive(Debug, Default)]
pub(crate) struct LateRows {
    all: Judged,
    last: Judged,
    /// When the first of the last came.
    since: Option<ClockTime>,
    quiet_until: Option<ClockTime>,
}

impl LateRows {
    /// What became of rows. The last ones, when most of them were late and that was not said for an hour.
    pub fn note(&mut self, fates: &Fates, now: ClockTime) -> Option<Judged> {
        if fates.total() == 0 {
            return None;
        }
        self.all.add(fates);
        self.last.add(fates);
        let since = *self.since.get_or_insert(now);
        if self.last.rows < JUDGED_ROWS || now < since.plus(JUDGED_OVER) {
            return None;
        }
        self.since = None;
        let last = std::mem::take(&mut self.last);
        if !last.are_mostly_late() || self.quiet_until.is_some_and(|until| now < until) {
            return None;
        }
        self.quiet_until = Some(now.plus(QUIET));
        Some(last)
    }

    /// All rows there were, when most of them were late and it was never said.
    pub fn at_end(&self) -> Option<Judged> {
        (self.quiet_until.is_none() && self.all.are_mostly_late()).then_some(self.all)
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
        let at = |seconds: i64| ClockTime(seconds * 1_000_000);
        let said = |late, rows| Some(Judged { rows, late });
        assert_eq!(watch.note(&rows(0, 99), at(0)), None, "too few to judge");
        assert_eq!(watch.note(&rows(0, 1), at(9)), None, "too early to judge");
        assert_eq!(watch.note(&rows(0, 1), at(10)), said(101, 101));
        assert_eq!(watch.note(&rows(0, 1000), at(11)), None);
        assert_eq!(watch.note(&rows(0, 1000), at(3609)), None, "said already");
        assert_eq!(watch.note(&rows(0, 300), at(3610)), None, "those that are late can come together");
        assert_eq!(watch.note(&rows(300, 0), at(3620)), None, "not most");
        assert_eq!(watch.note(&rows(499, 0), at(3700)), None);
        assert_eq!(watch.note(&rows(0, 501), at(3710)), said(501, 1000));
        assert_eq!(watch.at_end(), None, "it was said");
    }

    #[test]
    fn at_the_end_all_rows_are_judged() {
        let mut watch = LateRows::default();
        watch.note(&Fates { late: 308, ..Fates::default() }, ClockTime(0));
        assert_eq!(watch.at_end(), Some(Judged { rows: 308, late: 308 }));
        watch.note(&Fates { taken: 20_000, ..Fates::default() }, ClockTime(1));
        assert_eq!(watch.at_end(), None);
    }
}

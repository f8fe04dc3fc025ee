//! Days of a time zone: where on the time line they begin.
//!
//! A day is as long as the clocks of its zone make it: 23 or 25 hours where they change. Days are numbered from 1970-01-01 of
//! the zone. A day that the zone left out (Samoa, 2011-12-30) begins where the next one does, and has no instant.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;

/// A day on the clock, in microseconds.
pub(crate) const DAY: i64 = 86_400_000_000;
const HOUR: i64 = DAY / 24;

/// The days of a time zone, each of which begins at the same time of its clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    zone: Tz,
    /// What the clocks show when a day begins, in microseconds from midnight.
    offset: i64,
}

impl Calendar {
    /// Days of a zone of the IANA database (`Europe/Berlin`) that begin `offset` microseconds past midnight by its clocks.
    ///
    /// # Errors
    /// The nearest name, when there is no such zone.
    pub fn new(zone: &str, offset: i64) -> Result<Calendar, Option<&'static str>> {
        let known = || chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        match Tz::from_str(zone) {
            Ok(zone) => Ok(Calendar { zone, offset }),
            Err(_) => Err(crate::diagnostic::nearest(zone, known())),
        }
    }

    /// What the clocks show when a day begins, in microseconds from midnight.
    pub(crate) fn offset(&self) -> i64 {
        self.offset
    }

    /// The day that an instant (in microseconds since 1970) is in.
    pub(crate) fn day(&self, time: i64) -> i64 {
        let clock = self.clock(time).saturating_sub(self.offset);
        let mut day = clock.div_euclid(DAY);
        // Where clocks are set back over the begin of a day, they show its first hour twice.
        while self.start(day) > time && day > i64::MIN / DAY {
            day -= 1;
        }
        while self.start(day + 1) <= time && day < i64::MAX / DAY {
            day += 1;
        }
        day
    }

    /// The first instant of a day. Clocks that skip it (midnight, in some zones) begin the day when they have skipped it; of
    /// clocks that show it twice the first time counts.
    pub(crate) fn start(&self, day: i64) -> i64 {
        let shown = day.saturating_mul(DAY).saturating_add(self.offset);
        let Some(local) = DateTime::from_timestamp_micros(shown).map(|time| time.naive_utc()) else { return shown };
        match self.zone.offset_from_local_datetime(&local) {
            MappedLocalTime::Single(offset) | MappedLocalTime::Ambiguous(offset, _) => shown.saturating_sub(micros(&offset)),
            MappedLocalTime::None => self.first_showing(shown),
        }
    }

    /// The first instant at which the clocks show at least this time, which they skip.
    fn first_showing(&self, shown: i64) -> i64 {
        // No zone is further from UTC than this, and clocks are set forward once in a while only.
        let (mut before, mut after) = (shown.saturating_sub(26 * HOUR), shown.saturating_add(26 * HOUR));
        while before.saturating_add(1) < after {
            let middle = before + (after - before) / 2;
            match self.clock(middle) >= shown {
                true => after = middle,
                false => before = middle,
            }
        }
        after
    }

    /// What the clocks show at an instant.
    fn clock(&self, time: i64) -> i64 {
        let utc: Option<NaiveDateTime> = DateTime::from_timestamp_micros(time).map(|time| time.naive_utc());
        // Past the years that there are calendars for, days are those of UTC.
        utc.map_or(time, |utc| time.saturating_add(micros(&self.zone.offset_from_utc_datetime(&utc))))
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.zone.name())
    }
}

fn micros(offset: &impl Offset) -> i64 {
    i64::from(offset.fix().local_minus_utc()) * 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::rfc3339;

    fn hours(zone: &str, offset: i64, date: &str) -> (String, i64) {
        let calendar = Calendar::new(zone, offset).unwrap();
        let midnight: NaiveDateTime = format!("{date}T00:00:00").parse().unwrap();
        let day = midnight.and_utc().timestamp_micros() / DAY;
        let (start, end) = (calendar.start(day), calendar.start(day + 1));
        for time in [start, start + HOUR / 2, start + HOUR, start + HOUR * 3 / 2, end - HOUR / 2, end - 1] {
            if start <= time && time < end {
                assert_eq!(calendar.day(time), day, "{zone} {date} {}", rfc3339(time));
            }
        }
        (rfc3339(start), (end - start) * 2 / HOUR)
    }

    #[test]
    fn days_are_as_long_as_their_clocks_make_them() {
        // In half hours.
        assert_eq!(hours("Europe/Berlin", 0, "2026-03-28"), ("2026-03-27T23:00:00Z".into(), 48));
        assert_eq!(hours("Europe/Berlin", 0, "2026-03-29"), ("2026-03-28T23:00:00Z".into(), 46));
        assert_eq!(hours("Europe/Berlin", 0, "2026-10-25"), ("2026-10-24T22:00:00Z".into(), 50));
        assert_eq!(hours("Europe/Berlin", 5 * HOUR, "2026-10-24"), ("2026-10-24T03:00:00Z".into(), 50));
        assert_eq!(hours("America/New_York", 0, "2013-03-10"), ("2013-03-10T05:00:00Z".into(), 46));
        assert_eq!(hours("Australia/Lord_Howe", 0, "2026-10-04"), ("2026-10-03T13:30:00Z".into(), 47));
        assert_eq!(hours("UTC", 0, "1969-12-31"), ("1969-12-31T00:00:00Z".into(), 48));
    }

    #[test]
    fn midnights_that_are_skipped_or_come_twice() {
        // In Havana clocks go from 00:00 to 01:00 and, in autumn, from 01:00 back to 00:00.
        assert_eq!(hours("America/Havana", 0, "2024-03-10"), ("2024-03-10T05:00:00Z".into(), 46));
        assert_eq!(hours("America/Havana", 0, "2024-11-03"), ("2024-11-03T04:00:00Z".into(), 50));
        // In Amman from 01:00 back to 00:00.
        assert_eq!(hours("Asia/Amman", 0, "2021-10-29"), ("2021-10-28T21:00:00Z".into(), 50));
        // Samoa had no 30th.
        assert_eq!(hours("Pacific/Apia", 0, "2011-12-30").1, 0);
        assert_eq!(hours("Pacific/Apia", 0, "2011-12-31"), ("2011-12-30T10:00:00Z".into(), 48));
    }

    #[test]
    fn the_ends_of_time_do_no_harm() {
        let calendar = Calendar::new("Asia/Kathmandu", 0).unwrap();
        for time in [i64::MIN, i64::MIN + DAY, i64::MAX - DAY, i64::MAX] {
            let day = calendar.day(time);
            assert!(calendar.start(day) <= time || day <= i64::MIN / DAY, "{time}");
        }
        assert_eq!(Calendar::new("Europe/Berln", 0), Err(Some("Europe/Berlin")));
    }
}

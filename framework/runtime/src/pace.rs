//! How fast the rows of a source may go: `rate`, and `time.pace = "event"`, which replays them at the data's own speed.
//!
//! Nothing here waits or asks for the time: it says when the next rows are due.

use std::time::Duration;

use millstream_api::EventTime;
use millstream_api::time::ClockTime;

/// When rows may go.
#[derive(Debug)]
pub struct Pace {
    rate: Option<Rate>,
    replay: Option<Replay>,
}

/// Rows that have been let through since a moment.
#[derive(Debug)]
struct Rate {
    started: ClockTime,
    rows: u64,
    rows_per_second: u64,
}

/// Event time tied to the clock.
#[derive(Debug)]
struct Replay {
    /// Seconds of event time in one of the clock.
    speed: f64,
    /// When the first row came, and its event time.
    first: Option<(ClockTime, EventTime)>,
    /// When the rows that were asked for last are due.
    due: ClockTime,
}

impl Pace {
    /// At most `rows_per_second`, and not before event time times `replay_speed` allows it; either may be absent.
    pub fn new(rows_per_second: Option<usize>, replay_speed: Option<f64>, now: ClockTime) -> Self {
        Pace {
            rate: rows_per_second.map(|rows| Rate { started: now, rows: 0, rows_per_second: rows.max(1) as u64 }),
            replay: replay_speed.map(|speed| Replay { speed, first: None, due: now }),
        }
    }

    /// Whether rows are replayed at the data's own speed.
    pub fn is_replay(&self) -> bool {
        self.replay.is_some()
    }

    /// When rows up to this event time are due. The first that are asked for are due at once, and those that are older than
    /// others before them as soon as these.
    pub fn replay(&mut self, time: EventTime, now: ClockTime) -> ClockTime {
        let Some(replay) = &mut self.replay else { return now };
        let (started, first) = *replay.first.get_or_insert((now, time));
        // Beyond the range of a duration the number is cut, not wrapped.
        let micros = (time.0.saturating_sub(first.0).max(0) as f64 / replay.speed) as u64;
        replay.due = replay.due.max(started.plus(Duration::from_micros(micros)));
        replay.due
    }

    /// Notes rows that have gone.
    pub fn passed(&mut self, rows: u64) {
        if let Some(rate) = &mut self.rate {
            rate.rows += rows;
        }
    }

    /// When the next rows may go; `None`: at any time.
    pub fn due(&self) -> Option<ClockTime> {
        self.rate.as_ref().map(Rate::due).max(self.replay.as_ref().map(|replay| replay.due))
    }
}

impl Rate {
    fn due(&self) -> ClockTime {
        let micros = u128::from(self.rows) * 1_000_000 / u128::from(self.rows_per_second);
        self.started.plus(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_due_as_far_apart_as_their_event_times() {
        let mut pace = Pace::new(None, Some(2.0), ClockTime(100));
        assert_eq!(pace.replay(EventTime(-50), ClockTime(1000)), ClockTime(1000));
        assert_eq!(pace.replay(EventTime(-20), ClockTime(1000)), ClockTime(1015));
        // Late rows go along with what was before them.
        assert_eq!(pace.replay(EventTime(-90), ClockTime(1015)), ClockTime(1015));
        assert_eq!(pace.replay(EventTime(i64::MAX), ClockTime(1015)), ClockTime(1000 + ((i64::MAX as f64) / 2.0) as i64));
        assert_eq!(pace.due(), Some(ClockTime(1000 + ((i64::MAX as f64) / 2.0) as i64)));
    }

    #[test]
    fn both_limits_hold() {
        let mut pace = Pace::new(Some(10), Some(1.0), ClockTime(0));
        pace.replay(EventTime(0), ClockTime(0));
        pace.passed(5);
        assert_eq!(pace.due(), Some(ClockTime(500_000)));
        pace.replay(EventTime(700_000), ClockTime(0));
        assert_eq!(pace.due(), Some(ClockTime(700_000)));
        assert_eq!(Pace::new(None, None, ClockTime(0)).due(), None);
    }
}

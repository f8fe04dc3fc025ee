//! Time that is passed by hand.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use millstream_api::time::{Clock, ClockTime};

/// A clock that stands until it is told to go on.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Lets `duration` pass.
    pub fn advance(&self, duration: Duration) {
        self.0.fetch_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Goes on to `time`, if that is not past already.
    pub fn advance_to(&self, time: ClockTime) {
        self.0.fetch_max(time.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> ClockTime {
        ClockTime(self.0.load(Ordering::SeqCst))
    }
}

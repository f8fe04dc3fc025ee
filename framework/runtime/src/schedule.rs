//! Clock and merge order: everything in a run that is not decided by the input.
//!
//! A runner gives every task a [`Schedule`]. In production time is the operating system's and inputs are drained in turn;
//! a test passes time by hand and draws the order from a seed, and so reaches interleavings that a machine shows once a year.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use millstream_api::time::{Clock, ClockTime};

/// The operating system's clock. When that is set back, this one neither falls nor stands: what waits for a time waits no longer than
/// it should. When it is set forward, this one follows.
#[derive(Debug)]
pub struct SystemClock {
    /// What the time that has passed is counted from.
    started: Instant,
    /// What the system's clock has said at most beyond the time that had passed, in microseconds.
    ahead: AtomicI64,
}

impl Default for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn default() -> Self {
        SystemClock { started: Instant::now(), ahead: AtomicI64::new(i64::MIN) }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> ClockTime {
        // In this order: a thread that is held up between the two must not take that time for one by which the system's clock is ahead.
        let system = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX));
        let passed = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        self.told(system, passed)
    }
}

impl SystemClock {
    /// The time, when the system says that it is `system` and so much has passed.
    fn told(&self, system: i64, passed: i64) -> ClockTime {
        let ahead = system.saturating_sub(passed);
        ClockTime(self.ahead.fetch_max(ahead, Ordering::Relaxed).max(ahead).saturating_add(passed))
    }
}

/// In which order a task drains inputs that all have something.
#[derive(Clone, Debug)]
pub enum MergeOrder {
    /// One after the other, so that none is starved.
    InTurn,
    /// Drawn from a seed that all tasks of a run share.
    Seeded(Arc<Seed>),
}

impl MergeOrder {
    /// A number below `n`, which must not be 0; `turn` is the one that is due.
    pub fn pick(&self, turn: usize, n: usize) -> usize {
        match self {
            MergeOrder::InTurn => turn % n,
            MergeOrder::Seeded(seed) => seed.below(n),
        }
    }
}

/// A stream of reproducible numbers: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug)]
pub struct Seed(AtomicU64);

impl Seed {
    /// The stream that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Seed(AtomicU64::new(seed))
    }

    /// The next number below `n`, which must not be 0.
    pub fn below(&self, n: usize) -> usize {
        let state = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % n as u64) as usize
    }
}

/// What a task may know of time and chance.
#[derive(Clone)]
pub struct Schedule {
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The merge order of inputs.
    pub order: MergeOrder,
}

impl Schedule {
    /// That of a production run.
    pub fn system() -> Self {
        Schedule { clock: Arc::new(SystemClock::default()), order: MergeOrder::InTurn }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_goes_on() {
        let clock = SystemClock::default();
        let told = [(1000, 0), (1010, 10), (2010, 15), (1020, 20), (1030, 30), (2031, 35)];
        let says = told.map(|(system, passed)| clock.told(system, passed).0);
        assert_eq!(says, [1000, 1010, 2010, 2015, 2025, 2031], "set forward, set back, and come to where it had been");
    }
}

//! Clock and merge order: everything in a run that is not decided by the input.
//!
//! A runner gives every task a [`Schedule`]. In production time is the operating system's and inputs are drained in turn;
//! a test passes time by hand and draws the order from a seed, and so reaches interleavings that a machine shows once a year.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use millstream_api::time::{Clock, ClockTime};

/// The operating system's clock. Never falls, even when the system's clock is set back.
#[derive(Debug, Default)]
pub struct SystemClock {
    latest: AtomicI64,
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> ClockTime {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX));
        ClockTime(self.latest.fetch_max(now, Ordering::Relaxed).max(now))
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

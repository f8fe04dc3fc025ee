//! How a subtask and an edge spend their time. Noted when that changes, at most some times a turn and never for a row.
//!
//! A subtask is *busy* during its turns and otherwise waits: for input, for the credit of somebody who reads it, or for its next
//! turn on a thread that it shares. An edge is *held* from the moment its sender had a batch ready for which a receiver had no
//! credit until the batch went. So whoever watches can say who holds up whom, and for what share of the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use millstream_api::time::ClockTime;

/// What a subtask does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activity {
    /// Waits for input, for a time to come, or for the pace of a `rate`.
    #[default]
    Waiting,
    /// Works.
    Busy,
    /// Has more to do, after its neighbours on the same thread.
    Ready,
    /// Has rows ready for which a receiver has no credit.
    Held,
    /// Has sent its last item.
    Over,
}

/// Microseconds that a subtask has spent so far, by activity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// With work.
    pub busy: u64,
    /// Between two turns with more to do.
    pub ready: u64,
    /// With rows for which a receiver had no credit.
    pub held: u64,
    /// With nothing to do.
    pub waiting: u64,
    now: Activity,
    since: Option<ClockTime>,
}

impl Times {
    /// From `at` on it does this.
    pub fn enter(&mut self, activity: Activity, at: ClockTime) {
        *self = Times { now: activity, since: Some(at), ..self.until(at) };
    }

    /// The times with what has passed of the present activity until `at`.
    #[must_use]
    pub fn until(&self, at: ClockTime) -> Times {
        let mut times = *self;
        // A clock that another thread has read may be a little ahead.
        let passed = self.since.map_or(0, |since| u64::try_from(at.0.saturating_sub(since.0)).unwrap_or(0));
        match self.now {
            Activity::Busy => times.busy += passed,
            Activity::Ready => times.ready += passed,
            Activity::Held => times.held += passed,
            Activity::Waiting => times.waiting += passed,
            Activity::Over => {}
        }
        times.since = self.since.map(|since| since.max(at));
        times
    }

    /// What it does now.
    pub fn activity(&self) -> Activity {
        self.now
    }
}

/// How long an edge has held up one of its senders. Cheap to clone: all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Held(Arc<HeldState>);

#[derive(Debug)]
struct HeldState {
    micros: AtomicU64,
    times: AtomicU64,
    /// Since when it holds; [`FREE`]: it does not.
    since: AtomicI64,
}

const FREE: i64 = i64::MIN;

impl Default for HeldState {
    fn default() -> Self {
        HeldState { micros: AtomicU64::new(0), times: AtomicU64::new(0), since: AtomicI64::new(FREE) }
    }
}

/// What a [`Held`] has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldCount {
    /// For how long, in microseconds.
    pub micros: u64,
    /// How often.
    pub times: u64,
    /// Whether it holds now.
    pub now: bool,
}

impl Held {
    /// Whether all that was ready at `at` could be sent. Only the sender calls it.
    pub fn note(&self, sent_all: bool, at: ClockTime) {
        let since = self.0.since.load(Ordering::Relaxed);
        match (sent_all, since) {
            (true, FREE) => {}
            (true, since) => {
                self.0.micros.fetch_add(passed(since, at), Ordering::Relaxed);
                self.0.since.store(FREE, Ordering::Relaxed);
            }
            (false, FREE) => {
                self.0.times.fetch_add(1, Ordering::Relaxed);
                self.0.since.store(at.0, Ordering::Relaxed);
            }
            (false, _) => {}
        }
    }

    /// What was counted until `at`.
    pub fn until(&self, at: ClockTime) -> HeldCount {
        let since = self.0.since.load(Ordering::Relaxed);
        let now = since != FREE;
        let present = if now { passed(since, at) } else { 0 };
        HeldCount { micros: self.0.micros.load(Ordering::Relaxed) + present, times: self.0.times.load(Ordering::Relaxed), now }
    }
}

fn passed(since: i64, at: ClockTime) -> u64 {
    u64::try_from(at.0.saturating_sub(since)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_to_what_was_done_in_it() {
        let mut times = Times::default();
        times.enter(Activity::Busy, ClockTime(100));
        times.enter(Activity::Held, ClockTime(130));
        times.enter(Activity::Waiting, ClockTime(150));
        let seen = times.until(ClockTime(151));
        assert_eq!((seen.busy, seen.held, seen.waiting, seen.ready), (30, 20, 1, 0));
        assert_eq!(times.until(ClockTime(149)).waiting, 0, "a clock that is behind takes nothing away");
        assert_eq!(seen.until(ClockTime(151)), seen);
        times.enter(Activity::Over, ClockTime(160));
        assert_eq!(times.until(ClockTime(1_000)).waiting, 10);
    }

    #[test]
    fn an_edge_holds_from_the_first_refusal_until_all_is_sent() {
        let held = Held::default();
        held.note(true, ClockTime(5));
        assert_eq!(held.until(ClockTime(9)), HeldCount::default());
        held.note(false, ClockTime(10));
        held.note(false, ClockTime(12));
        assert_eq!(held.until(ClockTime(15)), HeldCount { micros: 5, times: 1, now: true });
        held.note(true, ClockTime(20));
        held.note(false, ClockTime(30));
        held.note(true, ClockTime(31));
        assert_eq!(held.until(ClockTime(99)), HeldCount { micros: 11, times: 2, now: false });
    }
}

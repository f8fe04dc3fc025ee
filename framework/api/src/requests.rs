//! Requests that go between a node and the world outside, counted so that a run can be looked at.
//!
//! A node that sends requests, or answers them, notes here how each attempt went, and what it waits for. The runtime reads it when
//! somebody asks; nothing of it takes part in what is computed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::time::{Clock, ClockTime};

/// What a node notes of its requests. Clones are one.
#[derive(Clone, Default)]
pub struct Requests(Arc<Inner>);

#[derive(Default)]
struct Inner {
    counts: Mutex<RequestCounts>,
    clock: OnceLock<Arc<dyn Clock>>,
}

/// How requests went so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// Attempts that were answered, by status.
    pub answers: BTreeMap<u16, u64>,
    /// Attempts without an answer.
    pub unanswered: u64,
    /// Attempts that are to be made again.
    pub retries: u64,
    /// Rows of requests that were refused.
    pub refused_rows: u64,
    /// The request that is to be sent again, if one is.
    pub awaited: Option<Awaited>,
}

/// A request that a service has not taken yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// Where it goes.
    pub to: String,
    /// When its first attempt had failed.
    pub since: ClockTime,
    /// How many attempts have failed.
    pub failed: usize,
    /// How many there may be.
    pub attempts: usize,
    /// What came of the last one, as a sentence.
    pub said: String,
}

impl Requests {
    /// For the runtime: the clock by which it is said since when is waited.
    pub fn tell_time(&self, clock: Arc<dyn Clock>) {
        // Whoever was first has the same clock.
        let _ = self.0.clock.set(clock);
    }

    /// An attempt was answered with this status, or not at all.
    pub fn answered(&self, status: Option<u16>) {
        let mut counts = self.lock();
        match status {
            Some(status) => *counts.answers.entry(status).or_default() += 1,
            None => counts.unanswered += 1,
        }
    }

    /// A request has failed so often, and is to be sent again.
    pub fn waits(&self, to: &str, failed: usize, attempts: usize, said: &str) {
        let now = self.0.clock.get().map_or(ClockTime(0), |clock| clock.now());
        let mut counts = self.lock();
        counts.retries += 1;
        let since = counts.awaited.as_ref().map_or(now, |awaited| awaited.since);
        counts.awaited = Some(Awaited { to: to.to_owned(), since, failed, attempts, said: said.to_owned() });
    }

    /// The request that was waited for is done with.
    pub fn settled(&self) {
        self.lock().awaited = None;
    }

    /// Rows were refused.
    pub fn refused(&self, rows: u64) {
        self.lock().refused_rows += rows;
    }

    /// What was noted so far.
    pub fn get(&self) -> RequestCounts {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, RequestCounts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    #[derive(Default)]
    struct ByHand(AtomicI64);

    impl Clock for ByHand {
        fn now(&self) -> ClockTime {
            ClockTime(self.0.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn a_wait_begins_with_the_first_failure_and_ends_when_it_is_settled() {
        let (requests, clock) = (Requests::default(), Arc::new(ByHand::default()));
        requests.tell_time(clock.clone());
        let since = |requests: &Requests| requests.get().awaited.map(|awaited| (awaited.since.0, awaited.failed));
        for (now, failed) in [(7, 1), (9, 2)] {
            clock.0.store(now, Ordering::Relaxed);
            requests.waits("http://x/", failed, 10, "busy");
            assert_eq!(since(&requests), Some((7, failed)));
        }
        requests.settled();
        assert_eq!(since(&requests), None);
        clock.0.store(20, Ordering::Relaxed);
        requests.waits("http://x/", 1, 10, "busy");
        assert_eq!((since(&requests), requests.get().retries), (Some((20, 1)), 3));
    }
}

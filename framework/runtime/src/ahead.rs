//! `time.max_ahead`: a split that is too far ahead of the slowest one that it meets waits, so that rows of a fast input do not
//! fill the state of a join or a window.
//!
//! Each source says how far the slowest of its splits has come that runs and is not idle; one that wants to read on asks how far
//! its splits may have come: no further ahead than this of its own slowest one, and of those of the sources that it meets.
//!
//! The slowest of all never waits for another, so there is no deadlock: what it waits for, if anything, is its own input, or room
//! downstream, which a source that waits does not take. A source that waits still obeys orders, so barriers and stops get through,
//! and it is not idle.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_api::EventTime;
use millstream_topology::Topology;

use crate::wake::WakeSlot;

/// All sources with event time of one run.
struct Race(Mutex<Vec<Runner>>);

struct Runner {
    /// The source's place in the topology.
    node: usize,
    /// How far it has come; `None`: it holds nobody up, since all its splits are idle or have ended.
    at: Option<EventTime>,
    /// Whether it waits for another.
    waits: bool,
    slot: WakeSlot,
}

/// One source's part in it.
pub struct Seat {
    race: Arc<Race>,
    own: usize,
    /// The sources that it meets.
    others: Vec<usize>,
    /// In microseconds; `None`: it never waits.
    max_ahead: Option<i64>,
}

impl Seat {
    /// The seat of a source that meets no other.
    #[cfg(test)]
    pub(crate) fn alone(max_ahead: i64) -> Seat {
        let runner = Runner { node: 0, at: Some(EventTime::MIN), waits: false, slot: WakeSlot::default() };
        Seat { race: Arc::new(Race(Mutex::new(vec![runner]))), own: 0, others: Vec::new(), max_ahead: Some(max_ahead) }
    }

    /// Says how far the source has come. Others that wait look again.
    pub fn report(&self, at: Option<EventTime>) {
        let mut runners = self.race.runners();
        if std::mem::replace(&mut runners[self.own].at, at) == at {
            return;
        }
        for runner in runners.iter_mut().filter(|runner| runner.waits) {
            runner.waits = false;
            runner.slot.wake();
        }
    }

    /// Looks how far splits of the source may have come (`None`: there is no limit) and asks `waits` whether it waits for others to come
    /// on. If so, it is woken when they may have. Nobody moves meanwhile.
    pub fn look(&self, waits: impl FnOnce(Option<EventTime>) -> bool) -> bool {
        let Some(max_ahead) = self.max_ahead else { return waits(None) };
        let mut runners = self.race.runners();
        let met = self.others.iter().chain([&self.own]);
        let slowest = met.filter_map(|&source| runners[source].at).min();
        let waits = waits(slowest.map(|slowest| EventTime(slowest.0.saturating_add(max_ahead))));
        runners[self.own].waits = waits;
        waits
    }

    /// The node of the source that has come least far, among those that it meets and itself.
    pub fn slowest(&self) -> Option<usize> {
        let runners = self.race.runners();
        let met = self.others.iter().chain([&self.own]).map(|&source| &runners[source]);
        met.filter(|runner| runner.at.is_some()).min_by_key(|runner| runner.at).map(|runner| runner.node)
    }
}

/// Who is gone holds nobody up: also a source that had ended before the checkpoint from which the run goes on.
impl Drop for Seat {
    fn drop(&mut self) {
        self.report(None);
    }
}

impl Race {
    fn runners(&self) -> MutexGuard<'_, Vec<Runner>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The seats of the sources of a topology, by node; none where nobody has a `max_ahead`, or a source has no event time.
/// `slots` say how the sources are woken.
pub fn seats(topology: &Topology, slots: &[Vec<WakeSlot>]) -> Vec<Option<Seat>> {
    let max_ahead = |node: usize| topology.nodes[node].source.as_ref().and_then(|source| source.max_ahead);
    let timed: Vec<usize> = (0..topology.nodes.len()).filter(|&node| topology.nodes[node].has_event_time()).collect();
    let mut seats: Vec<Option<Seat>> = topology.nodes.iter().map(|_| None).collect();
    if timed.iter().all(|&node| max_ahead(node).is_none()) {
        return seats;
    }
    let runner =
        |&node: &usize| Runner { node, at: Some(EventTime::MIN), waits: false, slot: slots[node].first().cloned().unwrap_or_default() };
    let race = Arc::new(Race(Mutex::new(timed.iter().map(runner).collect())));
    let meetings = topology.meetings();
    for (own, &node) in timed.iter().enumerate() {
        let meets = |other: usize| other != node && meetings.iter().any(|meeting| meeting.contains(&node) && meeting.contains(&other));
        let others = timed.iter().enumerate().filter(|(_, other)| meets(**other)).map(|(index, _)| index).collect();
        let max_ahead = max_ahead(node).map(|ahead| ahead.micros());
        seats[node] = Some(Seat { race: race.clone(), own, others, max_ahead });
    }
    seats
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::wake::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn at(micros: i64) -> Option<EventTime> {
        Some(EventTime(micros))
    }

    #[test]
    fn who_is_too_far_ahead_waits_until_the_slowest_comes_idles_or_ends() {
        let woken = Arc::new(Count::default());
        let slot = WakeSlot::default();
        slot.set(woken.clone());
        let runner = |node| Runner { node, at: at(i64::MIN), waits: false, slot: slot.clone() };
        let race = Arc::new(Race(Mutex::new(vec![runner(7), runner(8), runner(9)])));
        let seat =
            |own: usize, others: &[usize], max_ahead: Option<i64>| Seat { race: race.clone(), own, others: others.to_vec(), max_ahead };
        let must_wait = |seat: &Seat, own: i64| seat.look(|limit| limit.is_some_and(|limit| EventTime(own) > limit));
        let (fast, slow, other) = (seat(0, &[1], Some(10)), seat(1, &[0], Some(10)), seat(2, &[], Some(10)));
        assert!(!must_wait(&fast, i64::MIN), "nobody has read anything");
        fast.report(at(100));
        other.report(at(-500));
        assert!(must_wait(&fast, 100) && !must_wait(&slow, i64::MIN));
        assert_eq!((fast.slowest(), other.slowest()), (Some(8), Some(9)));
        slow.report(at(89));
        assert_eq!(woken.0.load(Ordering::SeqCst), 1, "who waits looks again");
        assert!(must_wait(&fast, 100));
        slow.report(at(90));
        assert!(!must_wait(&fast, 100), "not further ahead than it may be");
        fast.report(at(200));
        assert!(must_wait(&fast, 200));
        assert!(must_wait(&fast, 211), "a split may not be further ahead of its own source's slowest either");
        drop(slow);
        assert!(!must_wait(&fast, 200), "who is idle or has ended holds nobody up");
        assert_eq!(woken.0.load(Ordering::SeqCst), 3);
    }
}

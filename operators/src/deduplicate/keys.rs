//! Which keys are remembered, and for how long: until an instant of event time, or for a while of the wall clock.

use std::collections::BTreeSet;

use millstream_api::time::{ClockTime, DurationText};
use millstream_api::{EventTime, Output};

use crate::changed::ChangedKeys;
use crate::ttl::Ttl;

/// The keys that are remembered, by their numbers.
pub(super) struct Keys {
    /// In microseconds; `None`: for ever, but for the wall clock.
    within: Option<i64>,
    ttl: Option<Ttl>,
    /// Until when each key is remembered.
    until: Vec<Option<i64>>,
    ends: BTreeSet<(i64, usize)>,
    /// Those whose state is another one than was last written.
    pub(super) changed: ChangedKeys,
}

impl Keys {
    /// None is remembered yet.
    pub(super) fn new(within: Option<i64>, ttl: Option<DurationText>) -> Keys {
        Keys { within, ttl: ttl.map(Ttl::new), until: Vec::new(), ends: BTreeSet::new(), changed: ChangedKeys::default() }
    }

    /// The same, and none is remembered.
    pub(super) fn emptied(&self) -> Keys {
        Keys { ttl: self.ttl.as_ref().map(Ttl::emptied), ..Keys::new(self.within, None) }
    }

    /// Until when a key is remembered; `None`: it is not.
    pub(super) fn until(&self, id: usize) -> Option<i64> {
        self.until.get(id).copied().flatten()
    }

    /// Whether a row of this time is one of those that a key is remembered for.
    pub(super) fn remembers(&self, id: usize, time: i64) -> bool {
        self.until(id).is_some_and(|until| time < until || until == i64::MAX)
    }

    /// Remembers a key from this time on.
    pub(super) fn remember(&mut self, id: usize, time: i64) {
        self.restore(id, self.within.map_or(i64::MAX, |within| time.saturating_add(within)));
    }

    /// Remembers a key until an instant.
    pub(super) fn restore(&mut self, id: usize, until: i64) {
        if let Some(before) = self.until(id) {
            self.ends.remove(&(before, id));
        }
        if self.until.len() <= id {
            self.until.resize(id + 1, None);
        }
        self.until[id] = Some(until);
        self.changed.touch(&[id]);
        if self.within.is_some() {
            self.ends.insert((until, id));
        }
    }

    /// The key stays for another while of the wall clock.
    pub(super) fn touch(&mut self, id: usize, now: ClockTime) {
        if let Some(ttl) = &mut self.ttl {
            ttl.touch(id, now);
        }
    }

    /// Whether it matters when keys were last touched.
    pub(super) fn are_touched(&self) -> bool {
        self.ttl.is_some()
    }

    /// When it was last touched.
    pub(super) fn touched_at(&self, id: usize) -> i64 {
        self.ttl.as_ref().map_or(0, |ttl| ttl.touched_at(id))
    }

    /// Forgets at most so many keys whose time the watermark has reached.
    pub(super) fn take_ended(&mut self, watermark: EventTime, most: usize) -> Vec<usize> {
        let ended: Vec<(i64, usize)> = self.ends.iter().take_while(|(until, _)| *until <= watermark.0).take(most).copied().collect();
        for (until, id) in &ended {
            self.ends.remove(&(*until, *id));
            self.until[*id] = None;
        }
        ended.into_iter().map(|(_, id)| id).collect()
    }

    /// The watermark that ends the time of the first key.
    pub(super) fn next_end(&self) -> Option<EventTime> {
        self.ends.first().map(|(until, _)| EventTime(*until))
    }

    /// Forgets the keys whose time by the wall clock is over.
    pub(super) fn take_due(&mut self, out: &mut Output) -> Vec<usize> {
        let Some(ttl) = &mut self.ttl else { return Vec::new() };
        let due = ttl.take_due(out.now());
        due.iter().for_each(|&id| self.until[id] = None);
        self.set_timer(out);
        due
    }

    /// Asks to be woken when a key is due next.
    pub(super) fn set_timer(&self, out: &mut Output) {
        if let Some(ttl) = &self.ttl {
            ttl.set_timer(out);
        }
    }

    /// How many numbers of keys there are.
    pub(super) fn total(&self) -> usize {
        self.until.len()
    }

    /// The numbers of all keys that are remembered.
    pub(super) fn all(&self) -> Vec<usize> {
        (0..self.until.len()).filter(|&id| self.until[id].is_some()).collect()
    }

    /// Memory in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        let ttl = self.ttl.as_ref().map_or(0, Ttl::size_bytes);
        self.until.capacity() * size_of::<Option<i64>>() + self.ends.len() * 2 * size_of::<(i64, usize)>() + ttl + self.changed.size_bytes()
    }
}

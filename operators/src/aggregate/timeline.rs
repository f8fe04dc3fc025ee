//! The open sessions of all keys: which one a row goes to, which ones it makes one of two, and which close next.
//!
//! The sessions of a key are the connected groups of its rows: two rows are connected when they are less than `gap` apart.
//! So they do not depend on the order in which rows come, and a row that comes between two sessions joins them. Each session
//! has a *slot*, its place in the accumulators; that of a session that was joined to another or has closed is dead until the
//! slots are numbered anew.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hashbrown::HashMap;
use millstream_api::EventTime;

use super::slices::closed;

/// A session that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// The times of its first and its last row.
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) rows: u64,
    pub(super) slot: usize,
}

/// A session that no row can join any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) end: i64,
    pub(super) start: i64,
    pub(super) key: usize,
    pub(super) slot: usize,
}

/// The open sessions, by the numbers of their keys.
#[derive(Debug)]
pub(super) struct Timeline {
    gap: i64,
    /// Those of each key, by time.
    keys: Vec<Vec<Session>>,
    /// For each key with sessions: a time at which its first session may have ended. It may have grown since.
    due: BinaryHeap<Reverse<(i64, usize)>>,
    /// The entry of `due` that counts for each key.
    scheduled: Vec<Option<i64>>,
    open: usize,
    rows: u64,
    /// The next free slot.
    slots: usize,
    /// Slots of which the session was joined to that of another slot since the last call of `joined`.
    joined: Vec<(usize, usize)>,
}

impl Timeline {
    /// No sessions.
    pub(super) fn new(gap: i64) -> Self {
        let (keys, scheduled) = (Vec::new(), Vec::new());
        Timeline { gap, keys, due: BinaryHeap::new(), scheduled, open: 0, rows: 0, slots: 0, joined: Vec::new() }
    }

    /// The same, without sessions.
    pub(super) fn emptied(&self) -> Timeline {
        Timeline::new(self.gap)
    }

    /// The slot of a row: that of the session it belongs to, which may be a new one.
    pub(super) fn place(&mut self, key: usize, time: i64) -> usize {
        self.rows += 1;
        self.reserve(key);
        let (gap, sessions) = (self.gap, &mut self.keys[key]);
        // Mostly rows come in order, so that it is the last session or a new one.
        let after = match sessions.last() {
            Some(last) if last.first <= time => sessions.len(),
            _ => sessions.partition_point(|session| session.first <= time),
        };
        // By what lies between: an end is cut off at the end of time. A difference that is cut off is no less than any gap.
        let joins_left = after > 0 && time.saturating_sub(sessions[after - 1].last) < gap;
        let joins_right = sessions.get(after).is_some_and(|right| right.first.saturating_sub(time) < gap);
        match (joins_left, joins_right) {
            (true, right) => {
                let gone = right.then(|| sessions.remove(after));
                let left = &mut sessions[after - 1];
                left.rows += 1;
                left.last = left.last.max(time);
                let slot = left.slot;
                if let Some(gone) = gone {
                    left.last = gone.last;
                    left.rows += gone.rows;
                    self.joined.push((gone.slot, slot));
                    self.open -= 1;
                }
                slot
            }
            (false, true) => {
                let right = &mut sessions[after];
                right.first = time;
                right.rows += 1;
                right.slot
            }
            (false, false) => self.insert(key, after, (time, time, 1)),
        }
    }

    /// The slot of rows that are one session by themselves, from the first to the last of them, and so many.
    pub(super) fn place_span(&mut self, key: usize, (first, last, rows): (i64, i64, u64)) -> usize {
        self.rows += rows;
        self.reserve(key);
        let (gap, sessions) = (self.gap, &mut self.keys[key]);
        let after = sessions.partition_point(|session| session.first <= first);
        let joins_left = after > 0 && first.saturating_sub(sessions[after - 1].last) < gap;
        let at = if joins_left { after - 1 } else { after };
        let mut end = if joins_left { last.max(sessions[at].last) } else { last };
        let mut until = after;
        while let Some(right) = sessions.get(until).filter(|right| right.first.saturating_sub(end) < gap) {
            end = end.max(right.last);
            until += 1;
        }
        if at == until {
            return self.insert(key, at, (first, last, rows));
        }
        let gone: Vec<Session> = sessions.drain(at + 1..until).collect();
        let into = &mut sessions[at];
        into.first = into.first.min(first);
        into.last = end;
        into.rows += rows + gone.iter().map(|session| session.rows).sum::<u64>();
        self.open -= gone.len();
        self.joined.extend(gone.iter().map(|session| (session.slot, into.slot)));
        into.slot
    }

    /// When the first row of all open sessions was.
    pub(super) fn least(&self) -> Option<i64> {
        self.keys.iter().filter_map(|sessions| sessions.first()).map(|session| session.first).min()
    }

    /// How many sessions are open.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// Puts a session of a snapshot in its place; gives its slot.
    pub(super) fn restore(&mut self, key: usize, first: i64, last: i64, rows: u64) -> usize {
        self.rows += rows;
        self.reserve(key);
        let after = self.keys[key].partition_point(|session| session.first <= first);
        self.insert(key, after, (first, last, rows))
    }

    fn reserve(&mut self, key: usize) {
        if self.keys.len() <= key {
            self.keys.resize_with(key + 1, Vec::new);
            self.scheduled.resize(key + 1, None);
        }
    }

    fn insert(&mut self, key: usize, at: usize, (first, last, rows): (i64, i64, u64)) -> usize {
        let slot = self.slots;
        self.slots += 1;
        self.open += 1;
        self.keys[key].insert(at, Session { first, last, rows, slot });
        if at == 0 {
            self.schedule(key, last.saturating_add(self.gap));
        }
        slot
    }

    fn schedule(&mut self, key: usize, end: i64) {
        if self.scheduled[key].is_none_or(|scheduled| end < scheduled) {
            self.scheduled[key] = Some(end);
            self.due.push(Reverse((end, key)));
        }
    }

    /// The slots whose sessions were joined to others since the last call, each with the slot that is left in the end.
    pub(super) fn joined(&mut self) -> Vec<(usize, usize)> {
        let mut joined = std::mem::take(&mut self.joined);
        let mut left: HashMap<usize, usize> = HashMap::new();
        // The last one to be joined is joined to one that is still there.
        for (gone, into) in joined.iter_mut().rev() {
            *into = left.get(into).copied().unwrap_or(*into);
            left.insert(*gone, *into);
        }
        joined
    }

    /// Takes out the sessions that no row can join at this watermark, by end and start; and the keys that have no more of them.
    pub(super) fn close(&mut self, lateness: i64, watermark: EventTime) -> (Vec<Closed>, Vec<usize>) {
        let (mut found, mut idle) = (Vec::new(), Vec::new());
        while let Some(&Reverse((end, key))) = self.due.peek()
            && closed(end, lateness, watermark)
        {
            self.due.pop();
            if self.scheduled[key] != Some(end) {
                continue;
            }
            self.scheduled[key] = None;
            let ends = |session: &Session| session.last.saturating_add(self.gap);
            let sessions = &mut self.keys[key];
            let count = sessions.partition_point(|session| closed(ends(session), lateness, watermark));
            for session in sessions.drain(..count) {
                self.rows -= session.rows;
                found.push(Closed { end: ends(&session), start: session.first, key, slot: session.slot });
            }
            self.open -= count;
            match self.keys[key].first().map(ends) {
                Some(end) => self.schedule(key, end),
                None => idle.push(key),
            }
        }
        found.sort_unstable_by_key(|session| (session.end, session.start, session.key));
        (found, idle)
    }

    /// Where the session ends that ends first.
    pub(super) fn next_end(&mut self) -> Option<i64> {
        loop {
            let Reverse((end, key)) = *self.due.peek()?;
            let really = self.keys[key].first().map(|session| session.last.saturating_add(self.gap));
            if self.scheduled[key] == Some(end) && really == Some(end) {
                return Some(end);
            }
            // It has grown since; each time that is found out it is put down anew, so that its rows pay for it.
            self.due.pop();
            if self.scheduled[key] == Some(end) {
                self.scheduled[key] = None;
                if let Some(end) = really {
                    self.schedule(key, end);
                }
            }
        }
    }

    /// The slot of the session of a key that an instant is in.
    pub(super) fn slot_at(&self, key: usize, time: i64) -> Option<usize> {
        let sessions = self.keys.get(key)?;
        let after = sessions.partition_point(|session| session.first <= time);
        sessions.get(after.checked_sub(1)?).map(|session| session.slot)
    }

    /// Where a session ends whose last row was then; at the greatest time if it would end after it.
    pub(super) fn end(&self, last: i64) -> i64 {
        last.saturating_add(self.gap)
    }

    /// The open sessions of a key.
    pub(super) fn of(&self, key: usize) -> &[Session] {
        self.keys.get(key).map_or(&[], Vec::as_slice)
    }

    /// All open sessions with their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Session)> {
        self.keys.iter().enumerate().flat_map(|(key, sessions)| sessions.iter().map(move |session| (key, session)))
    }

    /// Numbers the slots anew, from 0 on, if most of them are dead; gives the old slots in the order of the new ones.
    pub(super) fn renumber(&mut self) -> Option<Vec<usize>> {
        /// Below this it is not worth the trouble.
        const FEW: usize = 1024;
        if self.slots < FEW || self.slots / 2 < self.open {
            return None;
        }
        let mut old = Vec::with_capacity(self.open);
        for session in self.keys.iter_mut().flatten() {
            old.push(std::mem::replace(&mut session.slot, old.len()));
        }
        self.slots = old.len();
        Some(old)
    }

    /// How many slots there are, with the dead ones.
    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// The rows of all open sessions.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Memory in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        let by_key = size_of::<Vec<Session>>() + size_of::<Option<i64>>();
        self.keys.capacity() * by_key + self.open * size_of::<Session>() + self.due.capacity() * size_of::<(i64, usize)>()
    }
}

#[cfg(test)]
mod tests;

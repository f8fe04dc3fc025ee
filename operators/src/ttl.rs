//! `state_ttl`: which keys (or rows) have not been touched for so long that they are forgotten.
//!
//! The wall clock decides, so this is one of the few things that are not a function of the input. What is forgotten leaves
//! silently: nothing is withdrawn. Whoever owns the state asks what is due before it looks at new rows, and once more when the
//! timer comes.

use std::collections::BTreeSet;

use millstream_api::Output;
use millstream_api::time::{ClockTime, DurationText};

/// When each of the owner's numbers was last touched.
pub(crate) struct Ttl {
    ttl: DurationText,
    touched: Vec<Option<ClockTime>>,
    /// When to look at a number again: at most one entry for each, never later than it is due.
    looks: BTreeSet<(ClockTime, usize)>,
    queued: Vec<bool>,
}

impl Ttl {
    /// Nothing is touched yet.
    pub(crate) fn new(ttl: DurationText) -> Ttl {
        Ttl { ttl, touched: Vec::new(), looks: BTreeSet::new(), queued: Vec::new() }
    }

    /// The same, and nothing is touched.
    pub(crate) fn emptied(&self) -> Ttl {
        Ttl::new(self.ttl)
    }

    /// The number stays for another while from `now` on.
    pub(crate) fn touch(&mut self, id: usize, now: ClockTime) {
        if self.touched.len() <= id {
            self.touched.resize(id + 1, None);
            self.queued.resize(id + 1, false);
        }
        self.touched[id] = Some(now);
        if !std::mem::replace(&mut self.queued[id], true) {
            self.looks.insert((now, id));
        }
    }

    /// The number is no longer in use.
    pub(crate) fn leave(&mut self, id: usize) {
        if let Some(touched) = self.touched.get_mut(id) {
            *touched = None;
        }
    }

    /// When it was last touched, for a snapshot.
    pub(crate) fn touched_at(&self, id: usize) -> i64 {
        self.touched.get(id).copied().flatten().map_or(0, |at| at.0)
    }

    /// The numbers that are due now. They are no longer in use.
    pub(crate) fn take_due(&mut self, now: ClockTime) -> Vec<usize> {
        let mut due = Vec::new();
        while let Some((at, id)) = self.looks.first().copied().filter(|(at, _)| at.plus(self.ttl.duration()) <= now) {
            self.looks.remove(&(at, id));
            match self.touched[id] {
                Some(touched) if touched.plus(self.ttl.duration()) > now => {
                    self.looks.insert((touched, id));
                }
                touched => {
                    self.queued[id] = false;
                    if touched.is_some() {
                        self.touched[id] = None;
                        due.push(id);
                    }
                }
            }
        }
        due
    }

    /// Asks to be woken when something is due next.
    pub(crate) fn set_timer(&self, out: &mut Output) {
        if let Some((at, _)) = self.looks.first() {
            out.wake_at(at.plus(self.ttl.duration()));
        }
    }

    /// Memory in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        let each = size_of::<Option<ClockTime>>() + size_of::<bool>();
        self.touched.capacity() * each + self.looks.len() * 2 * size_of::<(ClockTime, usize)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(ttl: &mut Ttl, now: i64) -> Vec<usize> {
        ttl.take_due(ClockTime(now))
    }

    #[test]
    fn what_is_touched_again_stays() {
        let mut ttl = Ttl::new("10us".parse().unwrap());
        ttl.touch(0, ClockTime(0));
        ttl.touch(3, ClockTime(2));
        ttl.touch(0, ClockTime(9));
        assert_eq!(due(&mut ttl, 11), Vec::<usize>::new());
        assert_eq!(due(&mut ttl, 12), [3]);
        assert_eq!(due(&mut ttl, 18), Vec::<usize>::new());
        assert_eq!(due(&mut ttl, 19), [0]);
        assert_eq!((due(&mut ttl, 99), ttl.looks.len()), (vec![], 0));
    }

    #[test]
    fn a_number_that_left_and_came_back_is_counted_anew() {
        let mut ttl = Ttl::new("10us".parse().unwrap());
        ttl.touch(1, ClockTime(0));
        ttl.leave(1);
        ttl.touch(1, ClockTime(5));
        assert_eq!(due(&mut ttl, 10), Vec::<usize>::new());
        let mut out = Output::new(1);
        ttl.set_timer(&mut out);
        assert_eq!(out.take_timer(), Some(ClockTime(15)));
        assert_eq!(due(&mut ttl, 15), [1]);
    }
}

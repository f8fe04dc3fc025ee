//! What is due once the watermark has passed it, in order of event time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Things by event time. Those that came together are one run in order of time, so that a batch is one entry of the heap.
pub(super) struct ByTime<T> {
    runs: BinaryHeap<Reverse<Run<T>>>,
    len: usize,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Run<T> {
    /// The time of the next one.
    time: i64,
    /// What is left of it, the next one last.
    rest: Vec<(i64, T)>,
}

impl<T: Ord + Copy> ByTime<T> {
    /// Nothing is due.
    pub(super) fn new() -> ByTime<T> {
        ByTime { runs: BinaryHeap::new(), len: 0 }
    }

    /// Adds what came together.
    pub(super) fn add(&mut self, mut things: Vec<(i64, T)>) {
        self.len += things.len();
        things.sort_unstable_by(|a, b| b.cmp(a));
        if let Some(&(time, _)) = things.last() {
            self.runs.push(Reverse(Run { time, rest: things }));
        }
    }

    /// Takes out at most `limit` of those whose time `is_due`, roughly the oldest first.
    pub(super) fn take(&mut self, limit: usize, is_due: impl Fn(i64) -> bool) -> Vec<(i64, T)> {
        let mut taken = Vec::new();
        while taken.len() < limit
            && let Some(Reverse(mut run)) = self.runs.pop_if_due(&is_due)
        {
            let from = run.rest.partition_point(|(time, _)| !is_due(*time)).max(run.rest.len().saturating_sub(limit - taken.len()));
            taken.extend(run.rest.drain(from..).rev());
            if let Some(&(time, _)) = run.rest.last() {
                run.time = time;
                if run.rest.capacity() > 4 * run.rest.len() {
                    run.rest.shrink_to_fit();
                }
                self.runs.push(Reverse(run));
            }
        }
        self.len -= taken.len();
        taken
    }

    /// The time of the oldest.
    pub(super) fn first(&self) -> Option<i64> {
        self.runs.peek().map(|Reverse(run)| run.time)
    }

    /// Everything, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, T)> + '_ {
        self.runs.iter().flat_map(|Reverse(run)| run.rest.iter().copied())
    }

    /// Memory in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.len * size_of::<(i64, T)>() + self.runs.len() * size_of::<Run<T>>()
    }
}

/// Taking from a heap only what is wanted.
trait PopIfDue<T> {
    fn pop_if_due(&mut self, is_due: &impl Fn(i64) -> bool) -> Option<Reverse<Run<T>>>;
}

impl<T: Ord> PopIfDue<T> for BinaryHeap<Reverse<Run<T>>> {
    fn pop_if_due(&mut self, is_due: &impl Fn(i64) -> bool) -> Option<Reverse<Run<T>>> {
        if self.peek().is_some_and(|Reverse(run)| is_due(run.time)) { self.pop() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_that_is_due_comes_once_and_in_pieces(
            batches in prop::collection::vec((prop::collection::vec(0..100i64, 0..20), 0..100i64), 1..20),
            limit in 1..7usize,
        ) {
            let mut due = ByTime::new();
            let mut model: Vec<(i64, usize)> = Vec::new();
            let mut number = 0;
            for (times, until) in batches {
                let things: Vec<(i64, usize)> = times.into_iter().map(|time| { number += 1; (time, number) }).collect();
                model.extend(&things);
                due.add(things);
                let mut taken = Vec::new();
                loop {
                    let piece = due.take(limit, |time| time < until);
                    prop_assert!(piece.len() <= limit);
                    if piece.is_empty() { break }
                    taken.extend(piece);
                }
                taken.sort_unstable();
                let mut expected: Vec<(i64, usize)> = model.iter().copied().filter(|(time, _)| *time < until).collect();
                expected.sort_unstable();
                prop_assert_eq!(taken, expected);
                model.retain(|(time, _)| *time >= until);
                let mut left: Vec<(i64, usize)> = due.iter().collect();
                left.sort_unstable();
                model.sort_unstable();
                prop_assert_eq!(left, model.clone());
            }
        }
    }
}

//! Which worker's thread each subtask has.
//!
//! A subtask stays on its thread. What decides how evenly the threads are loaded is here and in how a sender spreads rows that may
//! go to any subtask ([`Spread::Any`](crate::outbox::Spread)).

/// Deals out threads.
///
/// The subtasks of a node are on different threads, and those of the same number in all nodes on the same one: so what a subtask
/// hands to its likes stays in that processor's caches and wakes no other thread. The nodes with a single subtask are dealt
/// out from the other end.
pub(crate) struct Placement {
    workers: usize,
    single: usize,
}

impl Placement {
    /// For so many threads, at least one.
    pub(crate) fn new(workers: usize) -> Placement {
        Placement { workers, single: 0 }
    }

    /// The thread of this subtask of a node of this parallelism. Asked for once for each.
    pub(crate) fn next(&mut self, subtask: usize, parallelism: usize) -> usize {
        if parallelism > 1 {
            return subtask % self.workers;
        }
        self.single = self.single.checked_sub(1).unwrap_or(self.workers - 1);
        self.single
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likes_are_together_and_single_ones_apart() {
        let mut placement = Placement::new(3);
        let node = |placement: &mut Placement, parallelism: usize| -> Vec<usize> {
            (0..parallelism).map(|subtask| placement.next(subtask, parallelism)).collect()
        };
        assert_eq!(node(&mut placement, 1), [2]);
        assert_eq!(node(&mut placement, 3), [0, 1, 2]);
        assert_eq!(node(&mut placement, 1), [1]);
        assert_eq!(node(&mut placement, 4), [0, 1, 2, 0]);
        assert_eq!([node(&mut placement, 1), node(&mut placement, 1)], [[0], [2]]);
    }
}

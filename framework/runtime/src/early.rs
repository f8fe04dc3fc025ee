//! What a task writes down when a barrier comes early: in an input that is read to its end before any other, a table for a lookup.
//!
//! State and counts are those of the barrier. What is read of the table behind it is read and counted again by a run that goes on
//! from there, so it must not be in the counts of the checkpoint; rows of the other inputs, up to their barriers, must be.

use millstream_api::message::CheckpointId;
use millstream_api::state::StateWriter;
use millstream_state::TaskCounts;

/// What was written down when a barrier came early.
pub struct Early {
    /// The checkpoint.
    pub id: CheckpointId,
    state: StateWriter,
    at_barrier: TaskCounts,
    behind: Option<TaskCounts>,
}

impl Early {
    /// At the barrier, when so much had been counted.
    pub fn new(id: CheckpointId, state: StateWriter, counts: TaskCounts) -> Self {
        Early { id, state, at_barrier: counts, behind: None }
    }

    /// An input has ended, the first time that which is read first, when so much had been counted.
    pub fn input_is_read(&mut self, counts: TaskCounts) {
        let at_barrier = self.at_barrier;
        self.behind.get_or_insert_with(|| counts.without(&at_barrier));
    }

    /// State and counts of the checkpoint, when the barrier has come on the other inputs too and so much has been counted.
    pub fn complete(self, counts: TaskCounts) -> (StateWriter, TaskCounts) {
        (self.state, self.behind.map_or(counts, |behind| counts.without(&behind)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows_in: u64) -> TaskCounts {
        TaskCounts { rows_in, ..TaskCounts::default() }
    }

    #[test]
    fn rows_of_the_table_behind_the_barrier_do_not_count_and_others_do() {
        let mut early = Early::new(1, StateWriter::new(), rows(10));
        early.input_is_read(rows(25));
        early.input_is_read(rows(29));
        assert_eq!(early.complete(rows(32)).1, rows(17));
    }
}

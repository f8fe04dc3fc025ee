//! Checkpoints: the state of all subtasks of a topology at one barrier, and who gets which part of it back.
//!
//! A [`JobSnapshot`] is whole when every subtask has handed in its part. It is restored by node name and key group, so the
//! parallelism may be another one. It lives in memory here; nothing in it depends on where it is kept.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_api::EventTime;
use millstream_api::message::CheckpointId;
use millstream_api::source::Position;
use millstream_api::state::{StateEntries, StateReader};

/// Which subtask of which node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The node's name.
    pub node: String,
    /// From 0.
    pub subtask: usize,
}

/// What one subtask hands in at a barrier.
#[derive(Clone, Debug)]
pub struct TaskSnapshot {
    /// The node's watermark there.
    pub watermark: EventTime,
    /// What its operator or sink wrote.
    pub entries: StateEntries,
    /// Where its splits stand; sources only.
    pub positions: Vec<SplitSnapshot>,
}

/// Where a split of a source stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitSnapshot {
    /// The split's name.
    pub split: String,
    /// Where to go on; `None`: nothing was read.
    pub position: Option<Position>,
    /// The greatest event time that was read.
    pub greatest: EventTime,
    /// Whether it was read to its end.
    pub ended: bool,
}

/// Takes the parts of checkpoints as they come.
pub trait SnapshotListener: Send + Sync {
    /// A subtask has come to the barrier of `checkpoint`.
    fn task_snapshot(&self, checkpoint: CheckpointId, task: &TaskId, snapshot: TaskSnapshot);
}

/// A whole checkpoint.
#[derive(Clone, Debug, Default)]
pub struct JobSnapshot {
    tasks: BTreeMap<TaskId, TaskSnapshot>,
}

impl JobSnapshot {
    /// The part of a node's state that belongs to a subtask which owns these key groups.
    pub fn state(&self, node: &str, groups: &Range<u16>) -> StateReader {
        let mut all = StateEntries::new();
        for snapshot in self.of(node) {
            for (name, batches) in &snapshot.entries {
                all.entry(name.clone()).or_default().extend(batches.iter().cloned());
            }
        }
        StateReader::new(all, groups)
    }

    /// The greatest watermark that a node's subtasks had. They differ only where a split was idle, and then the greater one
    /// has closed windows that must not open again.
    pub fn watermark(&self, node: &str) -> EventTime {
        self.of(node).map(|snapshot| snapshot.watermark).max().unwrap_or(EventTime::MIN)
    }

    /// Where the splits of a source stand.
    pub fn positions(&self, node: &str) -> Vec<SplitSnapshot> {
        self.of(node).flat_map(|snapshot| snapshot.positions.iter().cloned()).collect()
    }

    /// Whether the checkpoint knows this node.
    pub fn has(&self, node: &str) -> bool {
        self.of(node).next().is_some()
    }

    fn of<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a TaskSnapshot> + 'a {
        self.tasks.iter().filter(move |(id, _)| id.node == node).map(|(_, snapshot)| snapshot)
    }
}

/// Collects checkpoints in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryCheckpoints(Arc<Mutex<BTreeMap<CheckpointId, JobSnapshot>>>);

impl MemoryCheckpoints {
    /// The checkpoint of this number, once `tasks` subtasks have handed in their parts.
    pub fn complete(&self, checkpoint: CheckpointId, tasks: usize) -> Option<JobSnapshot> {
        self.locked().get(&checkpoint).filter(|snapshot| snapshot.tasks.len() == tasks).cloned()
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<CheckpointId, JobSnapshot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SnapshotListener for MemoryCheckpoints {
    fn task_snapshot(&self, checkpoint: CheckpointId, task: &TaskId, snapshot: TaskSnapshot) {
        self.locked().entry(checkpoint).or_default().tasks.insert(task.clone(), snapshot);
    }
}

/// Takes no checkpoints.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCheckpoints;

impl SnapshotListener for NoCheckpoints {
    fn task_snapshot(&self, _: CheckpointId, _: &TaskId, _: TaskSnapshot) {}
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use millstream_api::state::StateWriter;

    use super::*;

    fn part(values: Vec<i64>, groups: &[u16], watermark: i64) -> TaskSnapshot {
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
        let mut writer = StateWriter::new();
        writer.put_keyed("sums", groups, &RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(values))]).unwrap()).unwrap();
        TaskSnapshot { watermark: EventTime(watermark), entries: writer.into_entries(), positions: Vec::new() }
    }

    #[test]
    fn state_moves_by_key_group_to_another_parallelism() {
        let checkpoints = MemoryCheckpoints::default();
        let task = |subtask| TaskId { node: "delays".to_owned(), subtask };
        checkpoints.task_snapshot(1, &task(0), part(vec![1, 2], &[5, 70], 9));
        assert!(checkpoints.complete(1, 2).is_none());
        checkpoints.task_snapshot(1, &task(1), part(vec![3], &[100], 9));
        let snapshot = checkpoints.complete(1, 2).unwrap();
        let values = |groups: Range<u16>| -> Vec<i64> {
            let state = snapshot.state("delays", &groups);
            state.get("sums").flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
        };
        assert_eq!(values(0..64), [1]);
        assert_eq!(values(64..128), [2, 3]);
        assert_eq!(snapshot.watermark("delays"), EventTime(9));
        assert!(!snapshot.has("other"));
    }
}

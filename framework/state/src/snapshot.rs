//! What every subtask hands in at a barrier, and all of it together.
//!
//! A [`JobSnapshot`] is whole when every subtask has handed in its part. It is restored by node name and key group, so the
//! parallelism may be another one. Nothing in it depends on where it is kept.
//!
//! A subtask that is over sees no more barriers. It hands in a *final* part when it ends, which stands for it in every later
//! checkpoint. That is consistent: a subtask ends only when all that it reads have ended, so no barrier can come to it that
//! some of its senders still saw.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_api::message::CheckpointId;
use millstream_api::operator::Fates;
use millstream_api::source::Position;
use millstream_api::state::{StateEntries, StateReader};
use millstream_api::{EventTime, Result};
use serde::{Deserialize, Serialize};

use crate::pieces::Pieces;
use crate::wanted::Wanted;

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
    /// State that is not in memory.
    pub pieces: Option<Pieces>,
    /// Where its splits stand; sources only.
    pub positions: Vec<SplitSnapshot>,
    /// What it has counted so far.
    pub counts: TaskCounts,
    /// Whether it is over: no more rows come from it in this run or any that goes on from here.
    pub ended: bool,
}

/// The ledger of one subtask up to a barrier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskCounts {
    /// Rows that came in.
    pub rows_in: u64,
    /// Rows that were sent on the node's own streams.
    pub rows_out: u64,
    /// Batches that came in.
    pub batches_in: u64,
    /// What became of the rows that came in.
    pub fates: Fates,
}

impl TaskCounts {
    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &TaskCounts) {
        self.rows_in += other.rows_in;
        self.rows_out += other.rows_out;
        self.batches_in += other.batches_in;
        self.fates.add(&other.fates);
    }
}

/// Where a split of a source stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitSnapshot {
    /// The split's name.
    pub split: String,
    /// Where to go on; `None`: nothing was read.
    #[serde(with = "position")]
    pub position: Option<Position>,
    /// The greatest event time that was read.
    pub greatest: EventTime,
    /// Whether it was read to its end.
    pub ended: bool,
}

/// A position is text.
mod position {
    use millstream_api::source::Position;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(position: &Option<Position>, serializer: S) -> Result<S::Ok, S::Error> {
        position.as_ref().map(|position| &position.0).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Position>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map(Position))
    }
}

/// Takes the parts of checkpoints as they come.
pub trait SnapshotListener: Send + Sync {
    /// A subtask has come to the barrier of `checkpoint`.
    fn task_snapshot(&self, checkpoint: CheckpointId, task: &TaskId, snapshot: TaskSnapshot);

    /// A subtask is over: this part of it belongs to every checkpoint whose barrier it has not seen.
    fn task_ended(&self, task: &TaskId, snapshot: TaskSnapshot);

    /// Whether a sink that writes in one phase hands in what it holds when it is over. Only who restores views in the same process asks for
    /// it: elsewhere such a sink has written all that it will.
    fn keeps_sinks(&self) -> bool {
        false
    }

    /// A subtask cannot take part in `checkpoint`: the run was stopped while it still read a table to its end, and rows before
    /// the barrier wait for that.
    fn task_cut_off(&self, checkpoint: CheckpointId, task: &TaskId) {
        let _ = (checkpoint, task);
    }
}

/// A whole checkpoint.
#[derive(Clone, Debug, Default)]
pub struct JobSnapshot {
    tasks: BTreeMap<TaskId, TaskSnapshot>,
}

impl JobSnapshot {
    /// A checkpoint of these parts.
    pub fn new(tasks: BTreeMap<TaskId, TaskSnapshot>) -> Self {
        JobSnapshot { tasks }
    }

    /// All parts.
    pub fn tasks(&self) -> impl Iterator<Item = (&TaskId, &TaskSnapshot)> {
        self.tasks.iter()
    }

    /// The part of a node's state that belongs to a subtask which owns these key groups, all of it in memory.
    ///
    /// # Errors
    /// When state that is not in memory can't be read.
    pub fn state(&self, node: &str, groups: &Range<u16>) -> Result<StateReader> {
        let mut all = StateEntries::new();
        for snapshot in self.of(node) {
            let pieces = snapshot.pieces.as_ref().map(|pieces| pieces.together(groups)).transpose()?.unwrap_or_default();
            for (name, batches) in snapshot.entries.clone().into_iter().chain(pieces) {
                all.entry(name).or_default().extend(batches);
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

    /// What all subtasks of a node have counted.
    pub fn counts(&self, node: &str) -> TaskCounts {
        let mut sum = TaskCounts::default();
        self.of(node).for_each(|snapshot| sum.add(&snapshot.counts));
        sum
    }

    /// Whether a node is over: it has sent its last row.
    pub fn has_ended(&self, node: &str) -> bool {
        self.has(node) && self.of(node).all(|snapshot| snapshot.ended)
    }

    /// Whether the checkpoint knows this node.
    pub fn has(&self, node: &str) -> bool {
        self.of(node).next().is_some()
    }

    /// Forgets a node.
    pub fn remove(&mut self, node: &str) {
        self.tasks.retain(|task, _| task.node != node);
    }

    /// Has a source read from these splits on, whether it was over or not; without any, from its beginning.
    pub fn read_from(&mut self, node: &str, splits: Vec<SplitSnapshot>) {
        let mut splits = Some(splits);
        for part in self.of_mut(node) {
            (part.ended, part.watermark) = (false, EventTime::MIN);
            part.positions = splits.take().unwrap_or_default();
        }
    }

    /// Has a node that was over take rows again.
    pub fn reopen(&mut self, node: &str, keeps_state: bool) {
        self.of_mut(node).for_each(|part| (part.ended, part.watermark) = (false, EventTime::MIN));
        if !keeps_state {
            self.empty(node);
        }
    }

    /// Takes a node its state, and leaves it its watermark and its ledger.
    pub fn empty(&mut self, node: &str) {
        for part in self.of_mut(node) {
            part.entries.clear();
            part.pieces = None;
        }
    }

    fn of_mut<'a>(&'a mut self, node: &'a str) -> impl Iterator<Item = &'a mut TaskSnapshot> + 'a {
        self.tasks.iter_mut().filter(move |(id, _)| id.node == node).map(|(_, snapshot)| snapshot)
    }

    /// Leaves of the rows of a node's state the columns that are wanted.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn cut(&mut self, node: &str, wanted: &Wanted) -> Result<()> {
        for (_, task) in self.tasks.iter_mut().filter(|(id, _)| id.node == node) {
            task.entries = wanted.cut(std::mem::take(&mut task.entries))?;
            if let Some(Pieces::Stored(pieces)) = &task.pieces {
                task.pieces = Some(Pieces::Stored(Arc::new(pieces.cut(wanted.clone()))));
            }
        }
        Ok(())
    }

    /// The parts of a node's subtasks.
    pub(crate) fn of<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a TaskSnapshot> + 'a {
        self.tasks.iter().filter(move |(id, _)| id.node == node).map(|(_, snapshot)| snapshot)
    }
}

/// Collects checkpoints in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryCheckpoints(Arc<Mutex<Collected>>);

#[derive(Debug, Default)]
struct Collected {
    parts: BTreeMap<CheckpointId, BTreeMap<TaskId, TaskSnapshot>>,
    ended: BTreeMap<TaskId, TaskSnapshot>,
}

impl MemoryCheckpoints {
    /// The checkpoint of this number, once `tasks` subtasks have handed in their parts or are over.
    pub fn complete(&self, checkpoint: CheckpointId, tasks: usize) -> Option<JobSnapshot> {
        let collected = self.locked();
        let mut all = collected.ended.clone();
        all.extend(collected.parts.get(&checkpoint).cloned().unwrap_or_default());
        (all.len() == tasks).then_some(JobSnapshot { tasks: all })
    }

    fn locked(&self) -> MutexGuard<'_, Collected> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SnapshotListener for MemoryCheckpoints {
    fn keeps_sinks(&self) -> bool {
        true
    }

    fn task_snapshot(&self, checkpoint: CheckpointId, task: &TaskId, snapshot: TaskSnapshot) {
        let mut collected = self.locked();
        let snapshot = collected.kept(task, snapshot);
        collected.parts.entry(checkpoint).or_default().insert(task.clone(), snapshot);
    }

    fn task_ended(&self, task: &TaskId, snapshot: TaskSnapshot) {
        let mut collected = self.locked();
        let snapshot = collected.kept(task, snapshot);
        collected.ended.insert(task.clone(), snapshot);
    }
}

impl Collected {
    /// The same, with all pieces of state that is noted.
    fn kept(&self, task: &TaskId, mut snapshot: TaskSnapshot) -> TaskSnapshot {
        if let Some(Pieces::InMemory(changes)) = &snapshot.pieces {
            let before = self.parts.values().rev().find_map(|parts| match parts.get(task)?.pieces.as_ref()? {
                Pieces::Kept(pieces) => Some(pieces.clone()),
                _ => None,
            });
            snapshot.pieces = Some(Pieces::Kept(Arc::new(changes.kept(&before.unwrap_or_default()))));
        }
        snapshot
    }
}

/// Takes no checkpoints.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCheckpoints;

impl SnapshotListener for NoCheckpoints {
    fn task_snapshot(&self, _: CheckpointId, _: &TaskId, _: TaskSnapshot) {}

    fn task_ended(&self, _: &TaskId, _: TaskSnapshot) {}
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use millstream_api::state::StateWriter;

    use super::*;

    fn part(values: Vec<i64>, groups: &[u16], watermark: i64) -> TaskSnapshot {
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
        let mut writer = StateWriter::new();
        writer.put_keyed("sums", groups, &RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(values))]).unwrap()).unwrap();
        let counts = TaskCounts { rows_in: groups.len() as u64, ..TaskCounts::default() };
        TaskSnapshot {
            watermark: EventTime(watermark),
            entries: writer.into_entries(),
            pieces: None,
            positions: Vec::new(),
            counts,
            ended: false,
        }
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
            let state = snapshot.state("delays", &groups).unwrap();
            state.get("sums").flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
        };
        assert_eq!(values(0..64), [1]);
        assert_eq!(values(64..128), [2, 3]);
        assert_eq!(snapshot.watermark("delays"), EventTime(9));
        assert_eq!(snapshot.counts("delays").rows_in, 3);
        assert!(!snapshot.has("other") && !snapshot.has_ended("other") && !snapshot.has_ended("delays"));
    }

    #[test]
    fn a_subtask_that_is_over_is_in_every_later_checkpoint() {
        let checkpoints = MemoryCheckpoints::default();
        let task = |node: &str| TaskId { node: node.to_owned(), subtask: 0 };
        checkpoints.task_snapshot(1, &task("a"), part(vec![1], &[5], 9));
        checkpoints.task_ended(&task("a"), TaskSnapshot { ended: true, ..part(vec![1, 2], &[5, 5], 12) });
        checkpoints.task_snapshot(1, &task("b"), part(vec![7], &[5], 9));
        checkpoints.task_snapshot(2, &task("b"), part(vec![8], &[5], 9));
        let first = checkpoints.complete(1, 2).unwrap();
        assert_eq!((first.watermark("a"), first.has_ended("a")), (EventTime(9), false), "it has seen the barrier of the first");
        let second = checkpoints.complete(2, 2).unwrap();
        assert_eq!((second.watermark("a"), second.has_ended("a")), (EventTime(12), true));
    }
}

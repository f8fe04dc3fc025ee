//! What a checkpoint is given of state in memory whose changes are noted: all of it, or what has changed since the barrier before.
//!
//! Which of the two cannot show in what a run computes or in what it goes on from.

use std::sync::Arc;

use millstream_api::Result;
use millstream_api::message::CheckpointId;
use millstream_api::state::gone::is_gone;
use millstream_api::state::{StateEntries, StateWriter};
use millstream_api::time::ClockTime;
use millstream_state::changes::{Changes, ChangesSnapshot};
use millstream_state::pieces::Pieces;
use millstream_topology::Node;

use crate::operator_task::OperatorParts;
use crate::worker::Worker;

/// The state of one subtask whose operator or sink notes what changes.
pub struct Changing {
    changes: Changes,
    /// The names of the state that it notes.
    names: &'static [&'static str],
}

/// Whose state is written down.
#[derive(Clone, Copy)]
pub(crate) struct Writer<'a> {
    /// The name of the node.
    pub(crate) node: &'a str,
    /// The names of the state that its plan has declared.
    pub(crate) declared: &'a [&'a str],
}

impl Changing {
    /// Of a worker of this node without state yet; `None`: it notes nothing, and all of its state is in each checkpoint.
    pub(crate) fn of(worker: &mut Worker, node: &Node, checkpoints: bool) -> Option<Changing> {
        let names = node.plan.noted();
        let is_noted = checkpoints && !node.on_disk && !names.is_empty() && worker.note_changes();
        is_noted.then(|| Changing { changes: Changes::default(), names })
    }

    /// A barrier has come: what stands for itself of the worker's state, and the rest as far as the last checkpoint does not have it.
    pub(crate) fn snapshot(&self, worker: &mut Worker, id: CheckpointId, of: Writer<'_>) -> Result<(StateEntries, ChangesSnapshot)> {
        let divided = |state: StateWriter| -> (StateEntries, StateEntries) {
            state.into_entries().into_iter().partition(|(name, _)| is_gone(name) || self.names.contains(&name.as_str()))
        };
        if !self.changes.wants_all(worker.state_bytes()) {
            let (changed, whole) = divided(worker.snapshot_changes(id, of)?);
            return Ok((whole, self.changes.changed(changed)));
        }
        let (all, whole) = divided(worker.snapshot(id, of)?);
        Ok((whole, self.changes.all(all)))
    }
}

/// The state of a task at a barrier, and what of it is in pieces.
pub(crate) fn state_at(parts: &mut OperatorParts, id: CheckpointId, now: ClockTime) -> Result<(StateEntries, Option<Pieces>)> {
    let OperatorParts { worker, spilling, changing, id: task, declared, .. } = parts;
    let of = Writer { node: &task.node, declared };
    if let Some(changing) = changing {
        let (entries, pieces) = changing.snapshot(worker, id, of)?;
        return Ok((entries, Some(Pieces::InMemory(Arc::new(pieces)))));
    }
    if let (Some(spilling), Worker::Operator(operator)) = (&mut *spilling, &mut *worker) {
        spilling.before_barrier(operator.as_mut(), now)?;
    }
    let entries = worker.snapshot(id, of)?.into_entries();
    let Some(spilling) = spilling else { return Ok((entries, None)) };
    let (entries, pieces) = spilling.snapshot(entries, now)?;
    Ok((entries, Some(Pieces::OnDisk(Arc::new(pieces)))))
}

//! What a task does at barriers, commits and its end.

use millstream_api::Result;
use millstream_api::message::{CheckpointId, Item};
use millstream_api::sink::Finish;
use millstream_api::state::StateEntries;
use millstream_state::TaskSnapshot;
use millstream_state::pieces::Pieces;

use super::OperatorTask;
use crate::changing::state_at;
use crate::worker::Worker;

/// Where a sink stands between barriers and commits.
#[derive(Clone, Copy)]
pub(super) struct Phases {
    /// The last barrier that came.
    pub(super) prepared: CheckpointId,
    pub(super) committed: CheckpointId,
    /// The greatest one that may be committed.
    pub(super) ordered: CheckpointId,
    /// No more rows come: how, and which commit must come before that is final.
    pub(super) closing: Option<(Finish, CheckpointId)>,
}

impl OperatorTask {
    pub(super) fn snapshot(&mut self, id: CheckpointId) -> Result<()> {
        if self.parts.inbox.was_cut_off() {
            // Rows before the barrier are not dealt with: this checkpoint must not become whole.
            self.parts.snapshots.task_cut_off(id, &self.parts.id);
            return Ok(());
        }
        let (entries, pieces) = state_at(&mut self.parts, id, self.output.now())?;
        let snapshot = self.snapshot_of(entries, pieces, false);
        self.parts.snapshots.task_snapshot(id, &self.parts.id, snapshot);
        if let Some(phases) = &mut self.phases {
            phases.prepared = id;
        }
        Ok(())
    }

    fn snapshot_of(&self, entries: StateEntries, pieces: Option<Pieces>, ended: bool) -> TaskSnapshot {
        let (watermark, counts) = (self.parts.inbox.watermark(), self.parts.stats.counts());
        TaskSnapshot { watermark, entries, pieces, positions: Vec::new(), counts, ended }
    }

    /// All inputs have ended. What a sink has written since the last barrier belongs to the next checkpoint, whose barrier will
    /// not come here any more. An operator has nothing left that anybody could need.
    pub(super) fn end(&mut self) -> Result<()> {
        self.warn_of_late_at_end();
        let last = match &mut self.phases {
            Some(phases) => {
                phases.prepared += 1;
                Some(phases.prepared)
            }
            None => (self.parts.snapshots.keeps_sinks() && matches!(self.parts.worker, Worker::Sink { .. })).then_some(CheckpointId::MAX),
        };
        let (entries, pieces) = match last {
            Some(id) => state_at(&mut self.parts, id, self.output.now())?,
            None => (StateEntries::new(), None),
        };
        let snapshot = self.snapshot_of(entries, pieces, true);
        self.parts.snapshots.task_ended(&self.parts.id, snapshot);
        self.close(Finish::End)
    }

    /// No more rows come. A sink with checkpoints waits until what it has prepared is committed.
    pub(super) fn close(&mut self, how: Finish) -> Result<()> {
        match &mut self.phases {
            Some(phases) if phases.committed < phases.prepared => {
                phases.closing = Some((how, phases.prepared));
                Ok(())
            }
            _ => self.finish(how),
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.phases.is_some_and(|phases| phases.closing.is_some())
    }

    /// Commits what was ordered to be.
    pub(super) fn commit(&mut self) -> Result<()> {
        let Some(phases) = &mut self.phases else { return Ok(()) };
        if phases.ordered > phases.committed {
            self.parts.worker.commit(phases.ordered, &self.parts.id.node)?;
            phases.committed = phases.ordered;
        }
        match phases.closing {
            Some((how, needed)) if phases.committed >= needed => {
                phases.closing = None;
                self.finish(how)
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self, how: Finish) -> Result<()> {
        if let (Finish::Halt, Worker::Operator(operator)) = (how, &self.parts.worker) {
            let in_state = operator.rows_in_state();
            self.parts.stats.update(|c| c.in_state = in_state);
        }
        self.parts.worker.finish(how)?;
        let last = match how {
            Finish::End => Item::End,
            Finish::Halt => Item::Halt,
        };
        self.parts.outbox.control(&last, self.parts.inbox.since())?;
        self.finished = true;
        Ok(())
    }
}

//! The task of a node that had sent its last row before the checkpoint from which the run goes on.
//!
//! It needs no operator and no source: it sends the end once more, so that those who read it know, and stands in later
//! checkpoints as it stood in that one.

use std::sync::Arc;

use millstream_api::message::Item;
use millstream_state::{SnapshotListener, TaskId, TaskSnapshot};

use crate::outbox::Outbox;
use crate::schedule::Schedule;
use crate::task::{Task, Turn};

/// A task that is over.
pub struct EndedTask {
    id: TaskId,
    outbox: Outbox,
    /// Gone once it is handed in.
    snapshot: Option<TaskSnapshot>,
    snapshots: Arc<dyn SnapshotListener>,
    schedule: Schedule,
}

impl EndedTask {
    /// Sends the end to `outbox` and hands `snapshot` in.
    pub fn new(
        id: TaskId,
        outbox: Outbox,
        snapshot: Option<TaskSnapshot>,
        snapshots: Arc<dyn SnapshotListener>,
        schedule: Schedule,
    ) -> Self {
        EndedTask { id, outbox, snapshot, snapshots, schedule }
    }
}

impl Task for EndedTask {
    fn turn(&mut self) -> Turn {
        let now = self.schedule.clock.now();
        if let Some(snapshot) = self.snapshot.take() {
            self.snapshots.task_ended(&self.id, snapshot);
            if let Err(error) = self.outbox.control(&Item::End, now) {
                return Turn::Failed(error);
            }
        }
        match self.outbox.flush(now) {
            Ok(true) => Turn::Finished,
            Ok(false) => Turn::Wait(None),
            Err(error) => Turn::Failed(error),
        }
    }
}

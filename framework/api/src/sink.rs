//! The [`Sink`] trait: writes rows outside, in two phases where there are checkpoints.

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::message::CheckpointId;
use crate::operator::{Fates, Progress};
use crate::requests::Requests;
use crate::state::{StateReader, StateWriter};
use crate::time::EventTime;

/// One subtask of a sink node. May block: unless its plan says otherwise it runs on a thread of its own.
///
/// A sink that is dropped without [`finish`](Sink::finish) belongs to a run that failed: it must leave no temporary file.
pub trait Sink: Send {
    /// Writes rows. Counts what became of them: normally all taken.
    fn write(&mut self, batch: Batch, fates: &mut Fates) -> Result<()>;

    /// Goes on with what [`write`](Sink::write) or [`flush`](Sink::flush) has left to do: called until that is done, before anything
    /// else comes in; but [`commit`](Sink::commit) may be called meanwhile. A sink that takes long for a batch does it in pieces, so that a run that has failed can end in between.
    fn resume(&mut self, fates: &mut Fates) -> Result<Progress> {
        let _ = fates;
        Ok(Progress::Done)
    }

    /// Of a sink that sends requests: where it notes how they went. Asked for once, before anything comes in.
    fn requests(&self) -> Option<Requests> {
        None
    }

    /// The watermark has risen.
    fn on_watermark(&mut self, watermark: EventTime) -> Result<()> {
        let _ = watermark;
        Ok(())
    }

    /// Input has paused (the queue is empty), or a barrier or the end has come: a good moment to make visible what is buffered.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    /// The barrier of `checkpoint` has come: makes what was written so far durable, but not yet visible, and notes in
    /// `state` what [`commit`](Sink::commit) will need after a crash.
    fn prepare(&mut self, checkpoint: CheckpointId, state: &mut StateWriter) -> Result<()> {
        let _ = (checkpoint, state);
        Ok(())
    }

    /// Begins to note what changes, so that [`prepare_changes`](Sink::prepare_changes) can write it: asked once, before anything comes
    /// in, where there are checkpoints. `false`: it notes nothing, and always writes all. Only of a sink whose plan names
    /// state that is [noted](crate::plan::Plan::noted).
    fn note_changes(&mut self) -> bool {
        false
    }

    /// As [`prepare`](Sink::prepare), and of the state that is noted it writes only what has changed since either was called last, as
    /// [`Operator::snapshot_changes`](crate::Operator::snapshot_changes) does.
    fn prepare_changes(&mut self, checkpoint: CheckpointId, state: &mut StateWriter) -> Result<()> {
        let _ = (checkpoint, state);
        Err(Error::internal("changes are to be written, and the sink has not noted them"))
    }

    /// Memory of what it keeps, in bytes, roughly. Only of a sink that notes what changes.
    fn state_bytes(&self) -> usize {
        0
    }

    /// The checkpoint exists: makes visible what was prepared for it and for those before it, some of which may never have
    /// come to be. May be called again after a crash.
    fn commit(&mut self, checkpoint: CheckpointId) -> Result<()> {
        let _ = checkpoint;
        Ok(())
    }

    /// Takes back what was noted in `prepare`, on a fresh sink. The checkpoint exists, so what was prepared for it is made
    /// visible if it is not, and what was written after it goes.
    fn restore(&mut self, state: &StateReader) -> Result<()> {
        let _ = state;
        Ok(())
    }

    /// Called once, before anything comes in and after what there is to be taken back: from here on readers may be let in.
    fn start(&mut self) -> Result<()> {
        Ok(())
    }

    /// No more rows in this run, because the stream has ended or the run is stopped: makes all visible. With checkpoints the
    /// last one was committed before, and nothing has been written since; only before a halt there may be rows that a node has sent at a tick
    /// of the clock, which no checkpoint covers: they come again when the run goes on.
    fn finish(&mut self, how: Finish) -> Result<()>;
}

/// Why no more rows come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// All inputs have ended.
    End,
    /// The run was stopped.
    Halt,
}

/// What a sink has given out when a run does not come to its end. `check --explain` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Nothing: all of it comes out at once, when the input has ended or the run is stopped.
    Whole,
    /// What has come so far, and it cannot be taken back.
    Immediate,
    /// What has come so far, and it is gone with the process.
    Held,
}

//! What does the work of a task: an operator or a sink, called the same way.

use millstream_api::message::CheckpointId;
use millstream_api::operator::Progress;
use millstream_api::sink::Finish;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::{Batch, EventTime, Operator, Output, Result, Sink};
use millstream_state::failpoint::{Step, reached};

use crate::changing::Writer;

/// What does the work of the task.
pub enum Worker {
    /// Rows in, rows out.
    Operator(Box<dyn Operator>),
    /// Rows go outside.
    Sink {
        /// The sink itself.
        sink: Box<dyn Sink>,
        /// Whether something was written since the last flush.
        dirty: bool,
    },
}

impl Worker {
    pub(crate) fn batch(&mut self, input: usize, batch: Batch, out: &mut Output) -> Result<()> {
        match self {
            Worker::Operator(operator) if batch.is_partial() => operator.on_partial(input, batch, out),
            Worker::Operator(operator) => operator.on_batch(input, batch, out),
            Worker::Sink { sink, dirty } => {
                *dirty = true;
                sink.write(batch, out.fates())
            }
        }
    }

    pub(crate) fn watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        match self {
            Worker::Operator(operator) => operator.on_watermark(watermark, out),
            Worker::Sink { sink, .. } => sink.on_watermark(watermark),
        }
    }

    pub(crate) fn resume(&mut self, out: &mut Output) -> Result<Progress> {
        match self {
            Worker::Operator(operator) => operator.resume(out),
            Worker::Sink { sink, .. } => sink.resume(out.fates()),
        }
    }

    /// What the node writes down at a barrier.
    pub(crate) fn snapshot(&mut self, checkpoint: CheckpointId, of: Writer<'_>) -> Result<StateWriter> {
        let Writer { node, declared } = of;
        let mut state = StateWriter::new();
        match self {
            Worker::Operator(operator) => {
                reached(Step::BeforeSnapshot, node);
                operator.snapshot(&mut state)?;
                // What sinks note of what they have written is declared by nobody.
                state.check_names(declared.iter().copied())?;
                reached(Step::AfterSnapshot, node);
            }
            Worker::Sink { sink, .. } => {
                reached(Step::BeforePrepare, node);
                sink.prepare(checkpoint, &mut state)?;
                reached(Step::AfterPrepare, node);
            }
        }
        Ok(state)
    }

    /// Has the node note what changes, so that it can write that down at a barrier. Whether it does.
    pub(crate) fn note_changes(&mut self) -> bool {
        match self {
            Worker::Operator(operator) => operator.note_changes(),
            Worker::Sink { sink, .. } => sink.note_changes(),
        }
    }

    /// What the node's state has changed to since it was written down last.
    pub(crate) fn snapshot_changes(&mut self, checkpoint: CheckpointId, of: Writer<'_>) -> Result<StateWriter> {
        let Writer { node, declared } = of;
        let mut state = StateWriter::new();
        match self {
            Worker::Operator(operator) => {
                reached(Step::BeforeSnapshot, node);
                operator.snapshot_changes(&mut state)?;
                // What sinks note of what they have written is declared by nobody.
                state.check_names(declared.iter().copied())?;
                reached(Step::AfterSnapshot, node);
            }
            Worker::Sink { sink, .. } => {
                reached(Step::BeforePrepare, node);
                sink.prepare_changes(checkpoint, &mut state)?;
                reached(Step::AfterPrepare, node);
            }
        }
        Ok(state)
    }

    /// Memory of the node's state.
    pub(crate) fn state_bytes(&self) -> usize {
        match self {
            Worker::Operator(operator) => operator.state_bytes(),
            Worker::Sink { sink, .. } => sink.state_bytes(),
        }
    }

    /// Lets a sink make visible what a checkpoint covers.
    pub(crate) fn commit(&mut self, checkpoint: CheckpointId, node: &str) -> Result<()> {
        match self {
            Worker::Operator(_) => Ok(()),
            Worker::Sink { sink, .. } => {
                reached(Step::BeforeCommit, node);
                sink.commit(checkpoint)?;
                reached(Step::AfterCommit, node);
                Ok(())
            }
        }
    }

    pub(crate) fn restore(&mut self, state: &StateReader) -> Result<()> {
        match self {
            Worker::Operator(operator) => operator.restore(state),
            Worker::Sink { sink, .. } => sink.restore(state),
        }
    }

    /// Says that it has all that it is given back.
    pub(crate) fn start(&mut self) -> Result<()> {
        match self {
            Worker::Operator(_) => Ok(()),
            Worker::Sink { sink, .. } => sink.start(),
        }
    }

    pub(crate) fn finish(&mut self, how: Finish) -> Result<()> {
        match self {
            Worker::Operator(_) => Ok(()),
            Worker::Sink { sink, .. } => sink.finish(how),
        }
    }

    /// Has a sink make visible what it has buffered. Whether there was anything: then it may have something left to do.
    pub(crate) fn flush(&mut self) -> Result<bool> {
        match self {
            Worker::Sink { sink, dirty } => match std::mem::take(dirty) {
                true => sink.flush().map(|()| true),
                false => Ok(false),
            },
            Worker::Operator(_) => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::RecordBatch;
    use arrow::datatypes::Schema;

    use super::*;

    /// Writes state that its plan does not have.
    struct Forgetful;

    impl Operator for Forgetful {
        fn on_batch(&mut self, _: usize, _: Batch, _: &mut Output) -> Result<()> {
            Ok(())
        }

        fn snapshot(&mut self, state: &mut StateWriter) -> Result<()> {
            state.put("sums", RecordBatch::new_empty(Arc::new(Schema::empty())));
            Ok(())
        }
    }

    #[test]
    fn state_that_no_plan_declares_fails_at_the_barrier() {
        let mut worker = Worker::Operator(Box::new(Forgetful));
        let error = worker.snapshot(1, Writer { node: "smooth", declared: &["means"] }).err().unwrap();
        assert_eq!(error.message(), "the node has written state `sums`, and its plan declares only `means`");
        assert!(worker.snapshot(1, Writer { node: "smooth", declared: &["sums"] }).is_ok());
    }
}

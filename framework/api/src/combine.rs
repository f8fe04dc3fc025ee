//! Aggregation before the route: what a sender does with rows before they are divided among the subtasks of their reader.
//!
//! Where many rows have one key, a sender can put them together and send one *partial result* for all of them. It must not
//! show: the reader's answer and its ledger are the same with and without. So a combiner takes only rows whose fate is
//! certain already; the others are sent as they are. It holds rows only as a buffer does, never across a barrier, so that it
//! has no state.

use arrow::array::ArrayRef;

use crate::batch::Batch;
use crate::error::Result;
use crate::time::EventTime;

/// Puts rows together on the sender's side of an edge.
pub trait Combiner: Send {
    /// Takes rows in. What it cannot take comes back, to be sent as it is: rows that are late or bad, which the reader must
    /// see. `floor` is a watermark that readers may have come to whatever this sender has told them.
    ///
    /// # Errors
    /// Only internal ones.
    fn add(&mut self, batch: Batch, floor: EventTime) -> Result<Option<Batch>>;

    /// The watermark from which on what it holds has to be with its readers.
    fn due(&self) -> Option<EventTime>;

    /// How many rows it would give now.
    fn held(&self) -> usize;

    /// What it holds, as partial results; it is empty afterwards. `None`: it was empty.
    ///
    /// # Errors
    /// Only internal ones.
    fn take(&mut self) -> Result<Option<Batch>>;

    /// The key by which partial results find their subtask: the same values that the route has for the rows.
    fn keys(&self, partial: &Batch) -> Vec<ArrayRef>;
}

//! What travels on an edge, and in which order.
//!
//! ```text
//! edge := (Batch | Watermark | Barrier | Idle)* (End | Halt)
//! ```
//!
//! - `Watermark(w)`: no more rows with event time below `w`, except rows that carry a lateness mark of their own.
//!   Watermarks never fall.
//! - `Barrier(n)`: all rows of before belong to checkpoint `n`, none of after does. Numbers rise.
//! - `Idle`: this sender is not to hold back the receiver's watermark until it sends a batch or a watermark again.
//! - `End`: no more rows ever; the same as a watermark of +∞: every window closes.
//! - `Halt`: no more rows in this run; no window closes.
//!
//! After `End` or `Halt` nothing follows. `framework/runtime` wraps every subtask in a checker of this grammar in debug builds.

use crate::batch::Batch;
use crate::time::EventTime;

/// The number of a checkpoint. Rises by one with each.
pub type CheckpointId = u64;

/// One item on an edge. See the [module](self) for the grammar.
#[derive(Clone, Debug)]
pub enum Item {
    /// Rows.
    Batch(Batch),
    /// No more rows below this event time.
    Watermark(EventTime),
    /// The line between two checkpoints.
    Barrier(CheckpointId),
    /// Do not wait for this sender's watermark.
    Idle,
    /// The stream is over: every window closes.
    End,
    /// The run is over: windows stay open.
    Halt,
}

impl Item {
    /// Whether nothing can follow this item.
    pub fn is_last(&self) -> bool {
        matches!(self, Item::End | Item::Halt)
    }
}

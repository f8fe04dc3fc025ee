//! The [`Source`] trait: reads rows from outside, blocking, on a thread of its own.
//!
//! A source knows nothing of event time, policies or ledgers: it hands over rows in the order of each split, says which
//! rows it could not read, and where it stands. The runtime's source stage does the rest the same way for all sources.

use std::time::Duration;

use arrow::array::{Int8Array, RecordBatch};

use crate::error::{BadRow, Result};

/// One subtask of a source node.
pub trait Source: Send {
    /// The next rows. Blocks for input at most for about `wait`, so that a stop is not held up.
    fn next(&mut self, wait: Duration) -> Result<Next>;
}

/// What a source has to say.
#[derive(Debug)]
pub enum Next {
    /// Rows of one split.
    Rows(SourceRows),
    /// Nothing came within the wait; more may come later.
    Nothing,
    /// This split is over. The source itself is over when all its splits are.
    SplitEnd(u32),
    /// All is read.
    End,
}

/// Rows of one split, in its order.
#[derive(Debug)]
pub struct SourceRows {
    /// Which of the source's splits: its index in [`crate::plan::SourceFactory::splits`].
    pub split: u32,
    /// The rows, by stream of the source. A source with one stream has one part. Lateness is judged within each part: a
    /// source whose streams are out of order with each other hands over one part at a time.
    pub parts: Vec<SourcePart>,
    /// Rows that could not be read, with their reasons. They count as rows in.
    pub bad: Vec<BadRow>,
    /// Where to go on after these rows: what [`crate::plan::SourceFactory::make`] is given at a restart.
    pub position: Position,
}

/// Rows of one of the source's streams.
#[derive(Debug)]
pub struct SourcePart {
    /// Which stream: its index in the plan's outputs.
    pub output: usize,
    /// The rows, with the physical columns that were asked for.
    pub records: RecordBatch,
    /// The number in the split of the first of these rows, counting good rows of this stream; the others follow on.
    pub first_row: i64,
    /// Of an updating stream: for each row whether it comes (1) or goes (−1).
    pub weights: Option<Int8Array>,
}

/// Where a split stands, as text that only its source understands (JSON by custom).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position(pub String);

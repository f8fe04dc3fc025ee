//! The [`Source`] trait: reads rows from outside, blocking, on a thread of its own.
//!
//! A source knows nothing of event time, policies or ledgers: it hands over rows in the order of each split, says which
//! rows it could not read, and where it stands. The runtime's source stage does the rest the same way for all sources.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::{Int8Array, RecordBatch};

use crate::error::{BadRow, Result};
use crate::requests::Requests;

/// One subtask of a source node.
pub trait Source: Send {
    /// The next rows. Blocks for input at most for about `wait`, so that a stop is not held up.
    fn next(&mut self, wait: Duration) -> Result<Next>;

    /// What can be said to it while [`next`](Source::next) is at work, if others hand rows to it and are told what became of them.
    /// Asked for once, before the first `next`.
    fn door(&self) -> Option<Arc<dyn Door>> {
        None
    }

    /// Of a source that answers requests: where it notes how they went. Asked for once, before the first `next`.
    fn requests(&self) -> Option<Requests> {
        None
    }

    /// Of a source that can leave one of its splits and read on in the others: which ones it is to leave. Asked for once, before the
    /// first `next`. Without it a source with several splits waits as a whole where one of them must.
    fn pauses(&self) -> Option<Pauses> {
        None
    }
}

/// The way in of a source to which others hand rows, and that tells them what became of these.
///
/// A stop loses no row whose sender was told that it was taken: the door is closed, what came through it before goes on
/// its way, and only then the stop takes effect. No method may block.
pub trait Door: Send + Sync {
    /// Takes on no more rows. Those that were taken on still come from [`Source::next`], and after them [`Next::Closed`].
    fn close(&self);

    /// A checkpoint has been written that covers the rows of this split up to this position: no failure can lose them any more.
    fn covered(&self, split: u32, position: &Position);
}

/// Which splits of a source are to be left for a while, because they are too far ahead of others (`time.max_ahead`). Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Pauses(Arc<[AtomicBool]>);

impl Pauses {
    /// For so many splits, of which none is to be left.
    pub fn new(splits: usize) -> Self {
        Pauses((0..splits).map(|_| AtomicBool::new(false)).collect())
    }

    /// Whether to leave a split: rows of it that are under way may still come, further ones must not be begun.
    pub fn is_paused(&self, split: u32) -> bool {
        self.0.get(split as usize).is_some_and(|paused| paused.load(Ordering::Acquire))
    }

    /// Leaves a split or goes on with it.
    pub fn set(&self, split: u32, paused: bool) {
        if let Some(flag) = self.0.get(split as usize) {
            flag.store(paused, Ordering::Release);
        }
    }
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
    /// Its [`Door`] was closed, and all rows that had come through it have been handed over. It is said once; nothing follows it.
    Closed,
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

/// Where a split stood when a checkpoint was taken, for [`SourceFactory::since`](crate::plan::SourceFactory::since).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitStand {
    /// The split's name.
    pub split: String,
    /// Where to go on; `None`: nothing was read.
    pub position: Option<Position>,
    /// Whether it was read to its end.
    pub ended: bool,
}

/// What has become of the input of a source since it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Since {
    /// What has come and would not be read by a run that goes on: names of files.
    pub unread: Vec<String>,
    /// What was read and is no longer as it was: `dim.csv had 40 bytes and has 60`.
    pub changed: Vec<String>,
    /// Whether somebody who reads all of it anew may be given other rows.
    pub is_other: bool,
    /// Where the splits begin that have what is `unread`, and not what was read; empty: at their beginnings.
    pub on: Vec<SplitStand>,
}

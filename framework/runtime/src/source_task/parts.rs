//! What the task of a source is made of.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use millstream_api::EventTime;
use millstream_api::options::OnBadRow;
use millstream_api::source::{Door, Pauses};
use millstream_expr::BoundScalar;
use millstream_state::{SnapshotListener, SplitSnapshot, TaskId};

use crate::ahead::Seat;
use crate::feed::Feed;
use crate::ledger::Stats;
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::schedule::Schedule;

/// One stream of a source.
pub struct SourcePort {
    /// Computes the event time; `None`: the stream has none.
    pub time: Option<BoundScalar>,
    /// Whether split and position travel with the rows.
    pub origin: bool,
    /// Whether anybody reads it.
    pub read: bool,
}

/// What a source's task is made of.
pub struct SourceParts {
    /// Which task it is.
    pub id: TaskId,
    /// A number that no other source of the job has.
    pub number: u32,
    /// Where rows come from.
    pub feed: Box<dyn Feed>,
    /// Its way in from outside, if it has one.
    pub door: Option<Arc<dyn Door>>,
    /// Which of its splits it is to leave, if it can leave some.
    pub pauses: Option<Pauses>,
    /// Where they go.
    pub outbox: Outbox,
    /// One for each output of the source but `.rejected`.
    pub ports: Vec<SourcePort>,
    /// The port of `.rejected`.
    pub rejected_port: usize,
    /// The columns of `.rejected` that somebody reads.
    pub rejected_schema: SchemaRef,
    /// Whether it feeds a table that is read to its end: then it is not drained.
    pub feeds_table: bool,
    /// What happens to bad rows.
    pub on_bad_row: OnBadRow,
    /// What happens to rows without a time.
    pub on_null: OnBadRow,
    /// When a waiting source is idle.
    pub idle_after: Option<Duration>,
    /// How fast rows may go.
    pub pace: Pace,
    /// How far the source may be ahead of others.
    pub seat: Option<Seat>,
    /// The splits' names, and where they stand at the start.
    pub splits: Vec<SplitSnapshot>,
    /// The watermark that had been sent when a checkpoint was taken.
    pub watermark: EventTime,
    /// How far watermarks stay behind.
    pub max_delay_micros: i64,
    /// Its counters.
    pub stats: Stats,
    /// Time and chance.
    pub schedule: Schedule,
    /// Who takes snapshots.
    pub snapshots: Arc<dyn SnapshotListener>,
    /// Whether there are checkpoints: then the order to commit follows each.
    pub checkpoints: bool,
}

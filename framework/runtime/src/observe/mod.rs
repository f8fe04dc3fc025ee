//! What can be seen of a run while it runs: rows, rates, watermarks, queues, and who holds up whom.
//!
//! Everything is read from counters that the tasks keep anyway, when somebody asks; nothing of it takes part in what is
//! computed. Counters are sums since the start; rates and shares are over [`Observation::interval_micros`].
//!
//! - [`moment`]: event times in JSON
//! - `requests`: of nodes that send or answer requests
//! - `observer`: takes observations; `sample`: the sums behind rates

pub mod moment;
mod observer;
mod requests;
mod sample;

use millstream_api::operator::Fates;
use serde::{Deserialize, Serialize};

pub use moment::Moment;
pub use observer::Observer;
pub use requests::{AwaitedObservation, RequestsObservation};

/// A run at one moment. This is what `GET /status` answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The topology's name.
    pub topology: String,
    /// The wall clock, in microseconds since 1970.
    pub at_micros: i64,
    /// For how long the run has lasted.
    pub running_micros: u64,
    /// What rates and shares are over: at least the last second, or the whole run when it is younger.
    pub interval_micros: u64,
    /// All nodes, every node after those it reads.
    pub nodes: Vec<NodeObservation>,
    /// All edges of the graph.
    pub edges: Vec<EdgeObservation>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeObservation {
    /// Its name.
    pub node: String,
    /// Its `type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `source`, `operator` or `sink`.
    pub role: String,
    /// Whether all its subtasks have sent their last item.
    pub over: bool,
    /// Rows that came in.
    pub rows_in: u64,
    /// Rows that were sent on its own streams.
    pub rows_out: u64,
    /// Batches that came in.
    pub batches_in: u64,
    /// Batches that were sent on its own streams.
    pub batches_out: u64,
    /// Memory of the rows that came in.
    pub bytes_in: u64,
    /// What became of the rows that came in.
    pub fates: FateCounts,
    /// Memory of its state.
    pub state_bytes: u64,
    /// Of a node whose keys go to disk: what is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskObservation>,
    /// The smallest watermark of its subtasks.
    pub watermark: Moment,
    /// How far that is behind the greatest event time that its sources have read; none without event time, and of a source that
    /// has ended.
    pub lag_micros: Option<u64>,
    /// The least watermark at which it would send something of what it holds: the end of its next window, say.
    pub waits_for: Option<Moment>,
    /// Of a source that is held by `time.max_ahead`: the source that it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead_of: Option<String>,
    /// Of a node that sends or answers requests: how they went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<RequestsObservation>,
    /// What it has received of each of its inputs.
    pub inputs: Vec<InputObservation>,
    /// Of a source: where each split stands.
    pub splits: Vec<SplitObservation>,
    /// Of a source whose size is known: how much of it is read.
    pub progress: Option<Progress>,
    /// Rates and shares over the interval; shares are the mean of the subtasks.
    pub recent: Recent,
    /// Each of its subtasks.
    pub subtasks: Vec<SubtaskObservation>,
}

/// Keys of a node that are on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskObservation {
    /// How many there are.
    pub keys: u64,
    /// What they take there.
    pub bytes: u64,
    /// Keys that were looked for on disk; of windows, groups that were read back.
    pub lookups: u64,
    /// How often all keys of a subtask left memory.
    pub evictions: u64,
}

/// The fates of the ledger; see docs/semantics.md.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FateCounts {
    /// Sent on.
    pub passed: u64,
    /// Left out by a condition.
    pub filtered: u64,
    /// Taken into an aggregate or join, or written by a sink.
    pub taken: u64,
    /// Too late for every window.
    pub late: u64,
    /// Bad, and sent to `.rejected`.
    pub rejected: u64,
    /// Bad, and left out.
    pub skipped: u64,
    /// Left out because of their age.
    pub expired: u64,
    /// Of the rows taken: too late for some of their windows.
    pub partly_late: u64,
}

impl From<Fates> for FateCounts {
    fn from(fates: Fates) -> Self {
        let Fates { passed, filtered, taken, late, rejected, skipped, expired, partly_late } = fates;
        FateCounts { passed, filtered, taken, late, rejected, skipped, expired, partly_late }
    }
}

/// What a node has received of one of its inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputObservation {
    /// The stream.
    pub stream: String,
    /// The smallest watermark that has come from senders that are not idle; of all of them when all are.
    pub watermark: Moment,
    /// Whether all senders that still run are idle.
    pub idle: bool,
    /// Whether its last item has come.
    pub ended: bool,
}

/// A split of a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitObservation {
    /// Its name.
    pub split: String,
    /// The place after the rows that were sent last, as the source writes it.
    pub position: Option<String>,
    /// The greatest event time that was read.
    pub greatest: Moment,
    /// The same less `max_delay`.
    pub watermark: Moment,
    /// Whether it has been silent for longer than `idle_after`.
    pub idle: bool,
    /// Whether it is read to its end.
    pub ended: bool,
}

/// How much of a source is read, in bytes or rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What lies behind.
    pub done: u64,
    /// What there is in all.
    pub total: u64,
}

/// Rates and shares over the interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recent {
    /// Rows in, each second.
    pub rows_in_per_second: f64,
    /// Rows out, each second.
    pub rows_out_per_second: f64,
    /// Bytes in, each second.
    pub bytes_in_per_second: f64,
    /// Per cent of the time at work.
    pub busy_percent: f64,
    /// Per cent of the time held up by a reader without credit.
    pub held_percent: f64,
    /// Per cent of the time with work to do, and no turn on a thread.
    pub ready_percent: f64,
    /// Per cent of the time without anything to do.
    pub waiting_percent: f64,
    /// Of a source: per cent of the time in which its reading thread read and decoded.
    pub reading_percent: f64,
}

/// One subtask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubtaskObservation {
    /// Rows that came in.
    pub rows_in: u64,
    /// Rows that were sent on the node's own streams.
    pub rows_out: u64,
    /// Memory of its state.
    pub state_bytes: u64,
    /// Its watermark.
    pub watermark: Moment,
    /// Per cent of the time at work.
    pub busy_percent: f64,
    /// Per cent of the time held up by a reader without credit.
    pub held_percent: f64,
}

/// One edge: a stream and a node that reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EdgeObservation {
    /// The stream.
    pub stream: String,
    /// The node that sends.
    pub from: String,
    /// The node that reads.
    pub to: String,
    /// Batches sent and not yet processed, on all channels.
    pub batches: u64,
    /// How many there may be.
    pub batches_limit: u64,
    /// Bytes sent and not yet processed.
    pub bytes: u64,
    /// How many there may be.
    pub bytes_limit: u64,
    /// How often a sender had rows ready and found no credit.
    pub holds: u64,
    /// For how long, summed over the senders.
    pub held_micros: u64,
    /// Whether a sender waits now.
    pub holds_now: bool,
    /// Per cent of the time in which the reader has held up a sender on this edge; the mean of the senders.
    pub held_percent: f64,
}

impl Observation {
    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<&NodeObservation> {
        self.nodes.iter().find(|node| node.node == name)
    }

    /// The edges into a node.
    pub fn edges_into<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a EdgeObservation> {
        self.edges.iter().filter(move |edge| edge.to == node)
    }

    /// The edge that holds up a node most, over the interval; `None` when none does.
    pub fn holder_of<'a>(&'a self, node: &'a str) -> Option<&'a EdgeObservation> {
        let edges = self.edges.iter().filter(|edge| edge.from == node && edge.held_percent > 0.0);
        edges.max_by(|a, b| a.held_percent.total_cmp(&b.held_percent))
    }
}

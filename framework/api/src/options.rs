//! The keys that all nodes share, as option structs. Their doc comments are the user's documentation.

use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::DurationText;

/// What happens to a row that cannot be processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnBadRow {
    /// The run fails with a message that names the row.
    #[default]
    Fail,
    /// The row is counted as skipped.
    Skip,
    /// The row goes to the side stream `NAME.rejected`, with the reason, its place and its raw text.
    Reject,
}

/// What happens to a row that a sink cannot write. A sink has no side streams, so that nothing can be rejected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnUnwritable {
    /// The run fails with a message that says why.
    #[default]
    Fail,
    /// The row is counted as skipped.
    Skip,
}

impl From<OnUnwritable> for OnBadRow {
    fn from(policy: OnUnwritable) -> Self {
        match policy {
            OnUnwritable::Fail => OnBadRow::Fail,
            OnUnwritable::Skip => OnBadRow::Skip,
        }
    }
}

/// Where a node's keyed state is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StateHome {
    /// In memory.
    #[default]
    Memory,
    /// In memory as far as its share of `runtime.memory` goes, and beyond that on disk.
    Disk,
}

/// Event time of a source.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeOptions {
    /// SQL expression of type timestamp that gives each row its event time.
    pub by: String,
    /// How far behind the greatest event time read so far a row may be before it can be late.
    #[serde(default)]
    pub max_delay: DurationText,
    /// A split that waits this long for input no longer holds the watermark back. Default: never.
    pub idle_after: Option<DurationText>,
    /// How far the event time of a split may be ahead of the slowest one that is not idle and meets it in a join or union, or
    /// comes from the same source. A split that is further ahead waits. Default: there is no limit.
    pub max_ahead: Option<DurationText>,
    /// What happens to a row whose event time is null.
    #[serde(default)]
    pub on_null: OnBadRow,
    /// `"event"` replays rows at the data's own speed, beginning with the first row at once. Default: as fast as they are taken.
    pub pace: Option<Pace>,
    /// How many times the data's own speed, with `pace`; less than 1 is slower. Default: 1.
    #[schemars(range(min = 0.001, max = 1000000.0))]
    pub speed: Option<f64>,
}

/// What sets the pace of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// The event time of its rows.
    Event,
}

/// The keys that any source may have beside its own.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SourceCommon {
    /// Event time and watermark. Without it the stream has no event time.
    pub time: Option<TimeOptions>,
    /// What happens to a row that cannot be read.
    pub on_bad_row: OnBadRow,
    /// At most this many rows a second, to replay. Default: as fast as they are taken.
    pub rate: Option<NonZeroUsize>,
    /// Free text for the plan and the graph.
    pub description: Option<String>,
}

/// The keys that any operator may have beside its own.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OperatorCommon {
    /// What happens to a row on which an expression fails.
    pub on_bad_row: OnBadRow,
    /// Number of subtasks. Default: `runtime.workers`.
    pub parallelism: Option<NonZeroUsize>,
    /// Where its keyed state is: `"memory"` or `"disk"`. Default: `runtime.state`.
    pub state: Option<StateHome>,
    /// Free text for the plan and the graph.
    pub description: Option<String>,
}

/// The keys that any sink may have beside its own.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SinkCommon {
    /// What happens to a row that cannot be written. A sink has no side streams, so there is no `reject`.
    pub on_bad_row: OnUnwritable,
    /// Number of subtasks, for sinks that can have more than one.
    pub parallelism: Option<NonZeroUsize>,
    /// Free text for the plan and the graph.
    pub description: Option<String>,
}

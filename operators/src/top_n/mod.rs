//! `top_n`: the first rows of each key in an order of the user's, per window or kept right as rows come.
//!
//! Modules in reading order:
//!
//! - `plan`: options to outputs, key, state, and the columns that are needed
//! - `program`: the bound expressions of one subtask: rows in to keys, order and columns, places in a ranking to rows out
//! - `rankings`: the rows that are kept, by key and in order, and how a snapshot shares them
//! - `state`: rankings to and from a snapshot
//! - `windowed`, `running`: the two operators

mod plan;
mod program;
pub(crate) mod rankings;
mod running;
mod state;
mod windowed;

#[cfg(test)]
mod tests;

use std::num::NonZeroU32;

use millstream_api::plan::{Inputs, Plan};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::time::DurationText;
use millstream_api::{Diagnostics, Result};
use schemars::JsonSchema;
use serde::Deserialize;

/// The ports of the operator: its stream, and its side streams.
const MAIN: usize = 0;
/// Over a windowed input only.
const LATE: usize = 1;

/// The columns that a window adds.
const WINDOW_START: &str = "window_start";
const WINDOW_END: &str = "window_end";

/// Keeps the first rows of each key in an order: the ten highest bids of each auction.
///
/// Over a windowed input these are the first rows of each key and window, sent when the window closes; their event time is
/// the window's last instant. A row that comes when all its windows are closed goes to the stream `NAME.late`, with every
/// column it came with.
///
/// Over any other input it is an updating stream: a row is sent as soon as it is among the first, and withdrawn when others
/// push it out; with `rank_as` also when its rank changes. Of an insert-only input only the first rows are kept in memory; of
/// an updating one all rows, since the next one moves up when one before it is withdrawn.
///
/// Rows that `order` leaves equal are in the order of their event time, then of their place in the source; where they no
/// longer come straight from a source, then by all columns from left to right, nulls last.
///
/// ```toml
/// [operators.highest_bids]
/// type    = "top_n"
/// input   = "bids"
/// by      = ["auction"]
/// order   = ["price desc", "date_time"]
/// n       = 10
/// rank_as = "rank_number"
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct TopNOptions {
    /// The key: columns, or expressions with a name. Null is a key like any other. Without it the first of all rows are kept.
    #[serde(default)]
    pub by: Vec<String>,
    /// What comes first: SQL expressions, each followed by `desc` for the greatest first, and by `nulls first` where nulls are
    /// not to come last.
    pub order: Vec<String>,
    /// How many rows of each key are kept.
    pub n: NonZeroU32,
    /// The name of a further column with the row's number, from 1 on. Default: there is none.
    pub rank_as: Option<String>,
    /// Not over windows: a key for which no row has come for this long (by the wall clock) is forgotten, without a word: its rows
    /// are not withdrawn. A row that comes later starts it anew, a withdrawal of a forgotten row is counted as expired.
    /// Default: keys are kept.
    pub state_ttl: Option<DurationText>,
}

impl NodeOptions for TopNOptions {
    const KIND: &'static str = "top_n";
    const ROLE: Role = Role::Operator;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        plan::plan(&self, inputs)
    }
}

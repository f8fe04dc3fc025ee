//! `aggregate`: groups rows and computes functions over each group, per window or running.
//!
//! Modules in reading order:
//!
//! - `checks`, `items`, `plan`: which options suit which input; what `compute` and `having` need; options to outputs, key, state
//! - `factory`: which columns are needed, and what matters to state; makes subtasks
//! - `program`: the bound expressions of one subtask: rows in to keys and arguments, groups to rows out
//! - `pane`: groups of one window or slice
//! - `slices`: which slices and windows an instant is in
//! - `places`, `windows`: which pane a row goes to; the panes that are open, which window closes next, and its panes put together
//! - `stored`: the panes that are on disk
//! - `early`, `early_sessions`: what was sent before a window closes, and what is to be withdrawn of it
//! - `pending`: what a running aggregate that speaks at ticks has not said yet
//! - `timeline`: the sessions that are open, which one a row goes to, which one closes next
//! - `open_sessions`: what the operator over sessions and its combiner have in common
//! - `windowed`, `sessions`, `running`: the operators, the last one with its results and its state apart; `sending`: rows of sessions
//! - `closing`: a window that is read back from disk
//! - `by_key`: keys with their windows and early rows, to disk and back
//! - `combine`, `combine_sessions`: groups of windows and sessions on the sender's side
//! - `state`, `saved`: groups to and from a snapshot; what of panes is written

mod by_key;
mod checks;
mod closing;
mod combine;
mod combine_sessions;
mod early;
mod early_sessions;
mod factory;
mod items;
mod open_sessions;
mod pane;
mod pending;
mod places;
mod plan;
mod program;
mod running;
mod saved;
mod sending;
mod sessions;
mod slices;
mod state;
mod stored;
mod timeline;
mod windowed;
mod windows;

#[cfg(test)]
mod tests;

use arrow::datatypes::Field;
use millstream_api::plan::{Inputs, Plan};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::time::DurationText;
use millstream_api::types::timestamp_type;
use millstream_api::{Diagnostics, Result};
use schemars::JsonSchema;
use serde::Deserialize;

/// The ports of the operator: its stream, and its side streams.
const MAIN: usize = 0;
/// Of a windowed aggregate only.
const LATE: usize = 1;

/// The columns that a windowed aggregate adds.
const WINDOW_START: &str = "window_start";
const WINDOW_END: &str = "window_end";

/// Groups rows by key and computes functions over each group.
///
/// Over a windowed input there is one row for each key and window, once the window closes. It has the columns of `by` and
/// `compute`, then `window_start` and `window_end`; its event time is the window's last instant. A row that comes when
/// all its windows are closed goes to the stream `NAME.late`, with every column it came with; a row that is late for some
/// of its windows only is taken into the others. Over sessions a row is late when it is behind its own watermark (by more than
/// `allowed_lateness`); a session lasts from its first row to `gap` after its last one.
///
/// Over any other input it is a running aggregate: an updating stream, in which the row of a group is withdrawn and replaced
/// whenever it changes. A group from which every row has been withdrawn has no row, also where there is no `by`. Where the
/// input is itself updating, functions keep every value that stands, since another may take its place, except count, sum, avg,
/// bool_and, bool_or and bit_xor; approx_distinct, approx_percentile_cont and approx_median cannot take a row back.
///
/// An item of `compute` is a function, or an expression over functions, keys and, per window, its bounds: `"sum(late) * 100.0 /
/// count(*) as share"`.
///
/// Functions: count(*), count, sum, avg, min, max, first_value, last_value, stddev, stddev_pop, variance, var_pop, median,
/// approx_distinct, approx_percentile_cont(x, share), approx_median, array_agg, string_agg(x, separator), bool_and, bool_or,
/// bit_and, bit_or, bit_xor, and of two numbers corr(y, x), covar_pop, covar_samp, regr_slope, regr_intercept, regr_r2 and the
/// others of SQL's `regr_`; each with `filter (where …)`, and with `distinct` where that makes a difference. first_value,
/// last_value, array_agg and string_agg go by event time or by what they say: `array_agg(x order by y desc)`. A sum of integers
/// is a bigint, an average of integers a double; a result that does not fit is a bad row of this node.
///
/// ```toml
/// [operators.delays]
/// type    = "aggregate"
/// input   = "hourly"
/// by      = ["carrier"]
/// compute = ["count(*) as flights", "avg(dep_delay) as mean_delay", "count(*) filter (where dep_delay > 60) as bad"]
/// having  = "flights >= 10"
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct AggregateOptions {
    /// The key: columns, or expressions with a name (`"lower(origin) as origin"`). Null is a key like any other. Without it
    /// there is one group.
    #[serde(default)]
    pub by: Vec<String>,
    /// What to compute: `"function(…) as name"`, or an expression over functions and keys, `"max(x) - min(x) as range"`.
    #[serde(default)]
    pub compute: Vec<String>,
    /// Only groups for which this condition over the columns of `by` and `compute` is true are sent. It may call functions too:
    /// `"count(*) > 10"`.
    pub having: Option<String>,
    /// How much longer a window stays open for rows that are late. It delays the row of the window. Default: not at all.
    pub allowed_lateness: Option<DurationText>,
    /// `false` makes a running aggregate over the rows of a windowed input. Default: per window if the input is windowed.
    pub windowed: Option<bool>,
    /// Of a running aggregate: a group for which no row has come for this long (by the wall clock) is forgotten, without a word:
    /// its row is not withdrawn. A row that comes later starts a new group, a withdrawal of a forgotten row is counted as
    /// expired. Default: groups are kept.
    pub state_ttl: Option<DurationText>,
    /// When rows are sent: `"close"` (the default per window), `"change"` (the default of a running aggregate), or
    /// `{ every = "5s" }`, at that frequency of the wall clock. Per window these are early rows: they are withdrawn when they
    /// have changed, and once the window closes the final one is there; so the stream is updating.
    pub emit: Option<Emit>,
}

/// When an aggregate sends its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Emit {
    /// One final row for each group when its window closes.
    Close,
    /// With each batch, the rows of the groups that changed.
    Change,
    /// At this frequency of the wall clock, the rows of the groups that changed.
    Every(DurationText),
}

/// The fields of `window_start` and `window_end`.
fn window_bounds() -> [Field; 2] {
    [WINDOW_START, WINDOW_END].map(|name| Field::new(name, timestamp_type(), false))
}

/// Whether a column of this name says which window a row is of.
fn is_bound(name: &str) -> bool {
    name == WINDOW_START || name == WINDOW_END
}

impl NodeOptions for AggregateOptions {
    const KIND: &'static str = "aggregate";
    const ROLE: Role = Role::Operator;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        plan::plan(self, inputs)
    }
}

//! `join`: rows of two streams that belong together.
//!
//! Modules in reading order:
//!
//! - `plan`, `checks`: options to outputs, keys, state, and the columns that are needed; what does not go together
//! - `columns`: the list of columns of the result
//! - `factory`: which columns are needed and kept, and what matters to state; makes subtasks
//! - `pairs`: the bound expressions of one subtask: keys of rows, and pairs of rows to rows of the result
//! - `windows`, `window`: mode `window`: rows that wait for their windows to close, and the join of a closed one
//! - `rows`, `by_key`, `by_time`: rows that wait, found by their number, by key, and when the watermark passes them
//! - `interval`: mode `interval`: rows that wait for partners of about their time
//! - `as_of`: mode `as_of`: rows that wait for the version that was valid at their time
//! - `lookup`: mode `lookup`: a table that is read first
//! - `probe`: rows of one side against those of the other with the same key
//! - `store`, `times`, `changes`: mode `changes`: all rows by key, and what a change of one side changes in the result
//! - `chains`, `appends`, `saved`: the same where rows of both sides only come

mod appends;
mod as_of;
mod by_key;
mod by_time;
mod chains;
mod changes;
mod checks;
mod columns;
mod factory;
mod interval;
mod lookup;
mod pairs;
mod plan;
mod probe;
mod rows;
mod saved;
mod store;
mod times;
mod window;
mod windows;

#[cfg(test)]
mod tests;

use millstream_api::plan::{Inputs, Plan};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::time::DurationText;
use millstream_api::{Diagnostics, Result};
use schemars::JsonSchema;
use serde::Deserialize;

/// The ports of the operator: its stream, and its side streams.
const MAIN: usize = 0;
const REJECTED: usize = 1;
/// Of joins that judge lateness: late rows of the left side, and one port further those of the right.
const LATE: usize = 2;

/// The columns that say which window a row of a window join is of.
const WINDOW_START: &str = "window_start";
const WINDOW_END: &str = "window_end";

/// Pairs the rows of two streams.
///
/// `on` is a condition over both sides. A column is named by its side (`left.id`), by its stream where that name is a plain
/// word (`users.id`), or alone where only one side has it. Equalities between the sides, joined by `and`, are the key by which
/// rows are found and divided among subtasks; whatever else the condition asks is checked on the pairs. Null equals nothing,
/// except with `is not distinct from`.
///
/// - `window`: rows of the same window are paired when it closes. Both inputs have equal windows, and so has the result.
/// - `interval`: rows whose event times are near each other are paired, the right row's between the left row's minus `before`
///   and plus `after`. A row without a partner is sent once none can come any more.
/// - `as_of`: the right side is a table of versions. Each left row finds the newest version of its key that is not younger than
///   itself, once the watermark has passed it. Kinds inner, left, semi and anti.
/// - `lookup`: the right side is a bounded table without event time, read to its end before the first left row is looked at.
///   Left rows keep their time and windows. A run that goes on from a checkpoint reads a table anew whose files have changed. Kinds inner, left, semi and anti.
/// - `changes`: every row is kept, and the result is kept right whatever comes: it is an updating stream, unless both inputs
///   are insert-only and `kind` is inner or semi.
///
/// In the modes `window`, `interval` and `as_of` a row that comes too late goes to `NAME.late_left` or `NAME.late_right`.
///
/// A row or pair on which an expression fails follows `on_bad_row`.
///
/// ```toml
/// [operators.sold]
/// type    = "join"
/// left    = "auctions"
/// right   = "persons"
/// mode    = "changes"
/// on      = "auctions.seller = persons.id and category = 10"
/// columns = ["name", "city", "auctions.id as auction"]
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct JoinOptions {
    /// Which rows may find each other.
    pub mode: Mode,
    /// What becomes of rows without a partner. Default: they are left out.
    #[serde(default)]
    pub kind: Kind,
    /// Of mode `interval`: how far before the left row's event time the right row's may be. Default: `0s`, if `after` is given.
    pub before: Option<DurationText>,
    /// Of mode `interval`: how far after it. Default: `0s`, if `before` is given.
    pub after: Option<DurationText>,
    /// Of mode `changes`: a row that has not come (again) for this long, by the wall clock, is forgotten, without a word: what
    /// was sent for it stands. A withdrawal of a forgotten row is counted as expired. Default: rows are kept.
    pub state_ttl: Option<DurationText>,
    /// The condition for two rows to be a pair. A window join may go without: then all rows of a window are paired.
    pub on: Option<String>,
    /// The columns of the result: `"*"`, `"left.*"`, `"right.*"`, a column, or an SQL expression over both sides with a name.
    /// Default: the left side's columns, then the right side's without those that `on` equates, then `window_start` and
    /// `window_end` of a window join; a semi or anti join has the left side's only.
    pub columns: Option<Vec<String>>,
}

/// Which rows may find each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Rows of the same window, once it closes.
    Window,
    /// Rows whose event times are near each other.
    Interval,
    /// A left row and the newest right row of its key that is not younger than it.
    AsOf,
    /// A left row and the rows of a table that is read first.
    Lookup,
    /// All rows, as they come and go. The state is unbounded.
    Changes,
}

impl Mode {
    /// As it is written in the file.
    fn word(self) -> &'static str {
        match self {
            Mode::Window => "window",
            Mode::Interval => "interval",
            Mode::AsOf => "as_of",
            Mode::Lookup => "lookup",
            Mode::Changes => "changes",
        }
    }
}

/// What becomes of rows without a partner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Pairs only.
    #[default]
    Inner,
    /// Pairs, and rows of the left side without a partner, with nulls in the place of the right side's columns.
    Left,
    /// Pairs, and rows of the right side without a partner, with nulls in the place of the left side's columns.
    Right,
    /// Pairs, and rows of both sides without a partner.
    Full,
    /// Each row of the left side that has a partner, once.
    Semi,
    /// Each row of the left side that has none.
    Anti,
}

impl Kind {
    /// Whether pairs are sent.
    fn pairs(self) -> bool {
        !matches!(self, Kind::Semi | Kind::Anti)
    }

    /// Whether a row of this side (0: left) is sent by itself when it has no partner.
    fn alone(self, side: usize) -> bool {
        match side {
            0 => matches!(self, Kind::Left | Kind::Full | Kind::Anti),
            _ => matches!(self, Kind::Right | Kind::Full),
        }
    }

    /// Whether a row of this side may be missing in a row of the result.
    fn optional(self, side: usize) -> bool {
        self.alone(1 - side)
    }

    /// Whether it matters for a row of this side if it has a partner.
    fn counts(self, side: usize) -> bool {
        self.alone(side) || (side == 0 && self == Kind::Semi)
    }

    /// Whether rows of an interval join go by time alone, because nobody asks whether they had a partner: those that are past change
    /// nothing any more.
    fn goes_by_time(self) -> bool {
        (0..2).all(|side| !self.counts(side))
    }
}

impl NodeOptions for JoinOptions {
    const KIND: &'static str = "join";
    const ROLE: Role = Role::Operator;
    const INPUTS: InputKeys = InputKeys::Named(&["left", "right"]);

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        plan::plan(&self, inputs)
    }
}

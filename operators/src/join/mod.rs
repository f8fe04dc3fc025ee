//! `join`: rows of two streams that belong together.
//!
//! Modules in reading order:
//!
//! - `plan`: options to outputs, keys, state, and the columns that are needed
//! - `columns`: the list of columns of the result
//! - `pairs`: the bound expressions of one subtask: keys of rows, and pairs of rows to rows of the result
//! - `windows`, `window`: mode `window`: rows that wait for their windows to close, and the join of a closed one
//! - `store`, `changes`: mode `changes`: all rows by key, and what a change of one side changes in the result

mod changes;
mod columns;
mod pairs;
mod plan;
mod probe;
mod store;
mod window;
mod windows;

#[cfg(test)]
mod tests;

use millstream_api::plan::{Inputs, Plan};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::{Diagnostics, Result};
use schemars::JsonSchema;
use serde::Deserialize;

/// The ports of the operator: its stream, and its side streams.
const MAIN: usize = 0;
const REJECTED: usize = 1;
/// Of a window join only: late rows of the left side, and one port further those of the right.
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
/// With mode `window` rows of the same window are paired when the window closes; both inputs must have equal windows, and the
/// result has them too. A row that comes when its windows are closed goes to `NAME.late_left` or `NAME.late_right`. With mode
/// `changes` every row is kept, and the result is kept right whatever comes: it is an updating stream, unless both inputs
/// are insert-only and `kind` is inner or semi.
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
    /// Which rows may find each other: those of one window, or all.
    pub mode: Mode,
    /// What becomes of rows without a partner. Default: they are left out.
    #[serde(default)]
    pub kind: Kind,
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
    /// All rows, as they come and go. The state is unbounded.
    Changes,
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
}

impl NodeOptions for JoinOptions {
    const KIND: &'static str = "join";
    const ROLE: Role = Role::Operator;
    const INPUTS: InputKeys = InputKeys::Named(&["left", "right"]);

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        plan::plan(&self, inputs)
    }
}

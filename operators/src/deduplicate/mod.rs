//! `deduplicate`: one row of each key, the first or the last.
//!
//! Modules in reading order:
//!
//! - `plan`: options to outputs, key, state, and the columns that are needed
//! - `intake`: rows that come in to rows as they are kept, and these to rows that leave
//! - `pending`: rows that the watermark has not passed yet
//! - `keys`: which keys are remembered, and for how long
//! - `judge`: which rows are the first or last of their keys
//! - `operator`: the order of things; `state`: a snapshot

mod intake;
mod judge;
mod keys;
mod operator;
mod pending;
mod plan;
mod state;

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
/// With `within` only.
const LATE: usize = 1;

/// Keeps one row of each key, the first or the last.
///
/// With event time rows are judged in its order, when the watermark has passed them; ties go by split and position, where rows
/// no longer come straight from a source by all columns. Without event time rows are judged as they come in.
///
/// With `within` a key is remembered for so long after the first of its rows; then it is forgotten, and the next row is a first
/// one again. `first` sends that row; `last` sends the last row of that time when it is over, and so holds its watermark back by
/// `within`. A row behind its own watermark goes to `NAME.late`. Without `within` every key is remembered (see `state_ttl`), and
/// `last` is an updating stream: a row is withdrawn when a later one of its key has come.
///
/// ```toml
/// [operators.unique]
/// type   = "deduplicate"
/// input  = "departures"
/// by     = ["flight", "origin"]
/// within = "12h"
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct DeduplicateOptions {
    /// The key: columns, or expressions with a name. Null is a key like any other.
    pub by: Vec<String>,
    /// Which row of a key is kept. Default: the first.
    #[serde(default)]
    pub keep: Keep,
    /// How long a key is remembered, in event time, from its first row on. Default: for ever.
    pub within: Option<DurationText>,
    /// Without `within`: a key of which no row was kept for this long (by the wall clock) is forgotten, without a word. Default:
    /// keys are kept.
    pub state_ttl: Option<DurationText>,
}

/// Which row of a key is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The first one.
    #[default]
    First,
    /// The last one.
    Last,
}

impl NodeOptions for DeduplicateOptions {
    const KIND: &'static str = "deduplicate";
    const ROLE: Role = Role::Operator;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        plan::plan(&self, inputs)
    }
}

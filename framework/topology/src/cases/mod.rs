//! `[[tests]]`: tests of the whole topology in its file, or in a file that says `topology = "…"`.
//!
//! Here they are read, typed against the streams they name and made into a plan: what is run, by whom and when, is not known
//! here (`framework/testkit` runs them, `framework/cli` shows what came of it). Every mistake that can be known before a row
//! has flowed is found here, with its place.
//!
//! A test may expect any stream. It is given a reader of its own, a *tap*, which is a node like any other sink, except that
//! windows are decided as if it were not there: a topology must compute the same whether it is looked at or not. The columns
//! that a test names are read by it, and so computed, as by a sink.
//!
//! Modules in reading order: [`keys`] as they are written, [`rows`] and [`cell`] their values, [`arrays`] cells and columns,
//! [`names`] what they can name, [`types`] rows against columns, [`mod@read`] everything put together, [`taps`] where tests look,
//! [`rewrite`] other expected rows for the file.

mod arrays;
mod cell;
mod keys;
mod names;
mod read;
mod rewrite;
mod rows;
mod taps;
mod types;

use std::path::PathBuf;
use std::time::Duration;

use arrow::array::{Int8Array, RecordBatch};
use millstream_api::BadRow;
use schemars::JsonSchema;
use serde::Deserialize;

pub use arrays::cells;
pub use cell::Cell;
pub use keys::{StepKeys, TestKeys};
pub(crate) use names::Streams;
pub(crate) use read::{Draft, read};
pub use rewrite::{NewRow, NewRows, rewrite};
pub use rows::Written;
pub(crate) use taps::{Tap, check as check_taps};

use crate::graph::Topology;

/// The tests of a file.
pub struct Tests {
    /// The topology's name.
    pub topology: String,
    /// The file that holds the tests, as the user named it.
    pub file: PathBuf,
    /// Its text.
    pub text: String,
    /// The tests, in the order of the file.
    pub cases: Vec<Case>,
}

/// One test.
pub struct Case {
    /// What it tests.
    pub name: String,
    /// The line where it begins.
    pub line: usize,
    /// What happens.
    pub steps: Vec<Step>,
    /// The topology, with the readers that the test needs, planned without a look at any path. Its sources and sinks are for
    /// the runner to replace.
    pub topology: Topology,
}

/// One step of a test.
#[derive(Clone, Debug)]
pub struct Step {
    /// The line where it begins.
    pub line: usize,
    /// What is done.
    pub action: Action,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Sends rows to a source.
    Send {
        /// The source.
        node: String,
        /// Which of its streams.
        port: usize,
        /// The rows, with all columns of the stream.
        records: RecordBatch,
        /// Of an updating stream: whether each row comes (1) or goes (−1).
        weights: Option<Int8Array>,
        /// Lines that are no rows of the stream: those follow the source's `on_bad_row`.
        bad: Vec<BadRow>,
    },
    /// Lets time pass.
    Advance(Duration),
    /// Makes a source idle.
    Idle(String),
    /// Ends a source.
    End(String),
    /// Compares rows.
    Expect(Expect),
    /// Takes a checkpoint.
    Checkpoint,
    /// Dies.
    Crash,
    /// Comes back.
    Restore,
}

/// Rows that must be there.
#[derive(Clone, Debug)]
pub struct Expect {
    /// The step as it is written, without its rows: `expect = "delays"`.
    pub text: String,
    /// The node of the test's topology that keeps the rows: a sink, or the reader of a stream.
    pub node: String,
    /// Whether that is a view, of which the rows of now count.
    pub is_view: bool,
    /// Whether rows are compared as changes, with the column [`WEIGHT`].
    pub as_changes: bool,
    /// Whether rows can be withdrawn: then, unless compared as changes, what is left of all counts.
    pub updating: bool,
    /// The columns that may be shown, in order.
    pub columns: Vec<String>,
    /// The expected rows: for each the columns that it names, as indices of `columns`, and their values. [`WEIGHT`] is last.
    pub rows: Vec<Vec<(usize, Cell)>>,
    /// How they are compared.
    pub matching: Match,
    /// Where they are in the file; none where they can't be rewritten.
    pub written: Option<Written>,
}

/// The column that says of a change whether a row comes (+1) or goes (−1).
pub const WEIGHT: &str = "_weight";

/// How expected rows are compared with those that are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Match {
    /// The same rows in the same order.
    Exact,
    /// The same rows in any order.
    #[default]
    Unordered,
    /// These rows and any others, in any order.
    Subset,
}

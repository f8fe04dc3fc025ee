//! What the author of a source, operator or sink sees, and the vocabulary that every other room shares.
//!
//! This crate knows no actor, no async runtime and no SQL. Modules in reading order:
//!
//! - [`time`]: event time, clock time, durations and sizes as they are written in a topology file
//! - [`calendar`], [`window`]: days of a time zone; windows, and which of them an instant is in
//! - [`types`]: SQL column types and the Arrow types behind them
//! - [`batch`]: the unit of data: Arrow columns, and beside them event time, weight, lateness mark, window, origin and count;
//!   `memory`: what it takes
//! - [`stream`]: what the plan knows of a stream: schema, event time, updating, windowed
//! - [`message`]: the grammar of what travels on an edge
//! - [`error`]: failures while running, and bad rows
//! - [`diagnostic`]: mistakes in a topology file, found before it runs
//! - [`options`]: the keys that all nodes share
//! - [`operator`]: the [`operator::Operator`] trait and its [`operator::Output`]
//! - [`combine`]: the [`combine::Combiner`] trait: aggregation on the sender's side of a routed edge
//! - [`source`] and [`sink`]: the two ends
//! - [`plan`]: what a node says of itself at `check`: schemas, routes, state, and a maker of subtasks
//! - [`spills`]: what a plan says of keys that may leave memory
//! - [`meaning`]: what the meaning of a node's state depends on
//! - [`key_group`]: canonical key bytes, their hash, and key groups
//! - [`state`]: writing and reading a node's state by key group
//! - [`view`]: materialised views that a server can read while a sink writes
//! - [`requests`]: what a node notes of requests to or from the world outside
//! - [`secret`]: tokens and passwords
//! - [`registry`]: which node types there are
//! - [`panics`]: libraries that panic at the data they are given

pub mod batch;
pub mod calendar;
pub mod combine;
pub mod diagnostic;
pub mod error;
pub mod key_group;
pub mod left_out;
pub mod meaning;
mod memory;
pub mod message;
pub mod operator;
pub mod options;
pub mod panics;
pub mod plan;
pub mod registry;
pub mod requests;
pub mod secret;
pub mod sink;
pub mod source;
pub mod spills;
pub mod state;
pub mod stream;
pub mod time;
pub mod types;
pub mod view;
pub mod window;

pub use batch::Batch;
pub use combine::Combiner;
pub use diagnostic::{Diagnostic, Diagnostics};
pub use error::{BadRow, Error, Result};
pub use operator::{Operator, Output, Progress};
pub use registry::Registry;
pub use sink::Sink;
pub use source::Source;
pub use stream::Stream;
pub use time::EventTime;

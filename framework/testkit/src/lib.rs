//! What tests run topologies with: one thread, virtual time, an order drawn from a seed, checkpoints in memory, crashes.
//!
//! Tests are written in two ways: by users in a topology's file ([`case`]), and in Rust by authors of operators ([`script`]).
//!
//! - [`clock`]: time that is passed by hand
//! - [`failing`]: a store that fails when a test wants it to
//! - [`nodes`]: a source that is fed by the test, a sink that keeps what it gets
//! - [`virtual_run`]: drives the tasks of a topology, the same that actors drive in production
//! - [`case`]: a test of a file, run; [`compare`]: expected rows against those that are there
//! - [`script`]: a topology, step by step: send rows, look at rows, checkpoint, crash, restore

pub mod case;
pub mod clock;
pub mod compare;
pub mod failing;
pub mod nodes;
pub mod script;
pub mod virtual_run;

pub use case::{StepFailure, Why, run_case};
pub use clock::ManualClock;
pub use compare::{ActualRow, Comparison};
pub use failing::{FailingBlobs, Fault, Operation};
pub use script::Script;
pub use virtual_run::VirtualRun;

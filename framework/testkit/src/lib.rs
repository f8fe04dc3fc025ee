//! What tests run topologies with: one thread, virtual time, an order drawn from a seed, checkpoints in memory, crashes.
//!
//! - [`clock`]: time that is passed by hand
//! - [`nodes`]: a source that is fed by the test, a sink that keeps what it gets
//! - [`virtual_run`]: drives the tasks of a topology, the same that actors drive in production
//! - [`script`]: a topology, step by step: send rows, look at rows, checkpoint, crash, restore

pub mod clock;
pub mod nodes;
pub mod script;
pub mod virtual_run;

pub use clock::ManualClock;
pub use script::Script;
pub use virtual_run::VirtualRun;

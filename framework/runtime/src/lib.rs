//! Runs a checked topology: the only crate that knows actix.
//!
//! What decides is plain and synchronous: tasks, channels, alignment and credits are state machines that know no actor, no
//! thread and no clock but the one they are given. The actors around them are a few lines. So the same tasks run on arbiters
//! in production and in one thread in virtual time in `framework/testkit`.
//!
//! Modules in reading order:
//!
//! - [`schedule`]: clock and merge order, the only sources of chance
//! - [`wake`]: how somebody tells a task that there may be something to do
//! - [`channel`]: one sender, one receiver, credits
//! - [`grammar`]: the checker of what travels on a channel, in debug builds
//! - [`inbox`]: the receiver's side: merging watermarks, idleness, barriers and ends
//! - [`lane`], [`combining`] and [`outbox`]: the sender's side: coalescing, waiting for credit, aggregation before the route, routing
//! - [`task`]: what a runner drives
//! - [`worker`] and [`operator_task`]: an operator or sink, and what stands between inbox and outbox around it
//! - `suspect`: event time that looks wrong, for the log
//! - [`memory`]: the bound of keyed state; [`spilling`]: keys of an operator that leave memory for disk
//! - [`changing`]: what a checkpoint is given of keys that stay in memory
//! - [`feed`], [`event_time`], [`pace`] and [`source_task`]: a source: its reading thread, its event time, how fast it may be, its task
//! - [`ended_task`]: a task that had ended before the checkpoint from which the run goes on
//! - [`ahead`]: sources that wait for those that they are ahead of
//! - [`meter`]: how subtasks and edges spend their time; [`ledger`]: what became of every row
//! - [`build`]: from a topology to tasks and channels; [`built`]: what that gives
//! - [`tap`]: rows as they pass; [`lookout`]: where the run is found that can be looked at
//! - [`observe`]: what can be seen of a run while it runs; [`why`]: why a node gives no rows; [`text`]: numbers in words
//! - [`checkpoint`]: when one is taken, how it is written, what a failure leads to
//! - [`actors`], `placement`, [`job`] and [`handle`]: tasks as actix actors on threads, supervised, and what can be done with them
//!   from outside

pub mod actors;
pub mod ahead;
pub mod build;
pub mod built;
pub mod changing;
pub mod channel;
pub mod checkpoint;
pub mod combining;
pub mod ended_task;
pub mod event_time;
pub mod feed;
pub mod grammar;
pub mod handle;
pub mod inbox;
pub mod job;
pub mod lane;
pub mod ledger;
pub mod lookout;
pub mod memory;
pub mod meter;
pub mod observe;
pub mod operator_task;
pub mod outbox;
pub mod pace;
mod placement;
pub mod schedule;
pub mod source_task;
pub mod spilling;
mod suspect;
pub mod tap;
pub mod task;
pub mod text;
pub mod wake;
pub mod why;
pub mod worker;

pub use checkpoint::{CheckpointStatus, Checkpoints};
pub use handle::Handle;
pub use job::{Failure, Job, Notice, Notices, Outcome, Report, RunOptions};
pub use ledger::{Ledger, LedgerRow};
pub use lookout::Lookout;
pub use observe::{Observation, Observer};
pub use tap::TapError;
pub use why::Why;

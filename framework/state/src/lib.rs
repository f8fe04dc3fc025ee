//! Checkpoints: the state of all subtasks of a topology at one barrier, who gets which part of it back, and the store that
//! keeps it.
//!
//! A checkpoint exists when its manifest does, and the manifest is written last. What is written, byte for byte, is in
//! `docs/state-format.md`. Modules in reading order:
//!
//! - [`snapshot`]: what a subtask hands in at a barrier, and all of them together
//! - [`pieces`]: state that is not in memory as a whole
//! - [`part`]: the state of one subtask as bytes, and back
//! - [`manifest`]: what a checkpoint consists of
//! - [`compare`]: what of a checkpoint fits a topology; `differences`: in what two meanings differ; [`wanted`]: state without columns that
//!   nobody needs any more
//! - [`blobs`]: where bytes are kept: a folder, a bucket, or anything else that names whole objects
//! - `names`: what these objects are called
//! - [`hold`]: one run at a time on a store
//! - [`store`]: checkpoints in a store: written, listed, read, removed
//! - [`chains`]: state in pieces that checkpoints share
//! - [`changes`]: keyed state in memory of which only changes are written
//! - [`export`]: what they hold, as text
//! - [`disk`]: keyed state of a run that does not fit into memory
//! - [`failpoint`]: where a test can have the process die

pub mod blobs;
pub mod chains;
pub mod changes;
pub mod compare;
mod differences;
pub mod disk;
pub mod export;
pub mod failpoint;
pub mod hold;
pub mod manifest;
mod names;
pub mod part;
pub mod pieces;
pub mod snapshot;
pub mod store;
pub mod wanted;

pub use manifest::{Finished, Manifest, NodeRecord};
pub use snapshot::{JobSnapshot, MemoryCheckpoints, NoCheckpoints, SnapshotListener, SplitSnapshot, TaskCounts, TaskId, TaskSnapshot};
pub use store::{Store, Written};

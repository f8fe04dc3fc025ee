//! Keyed state that does not fit into memory: an embedded LSM store, and the keys of it that are in memory.
//!
//! An operator works on what is in memory, and knows of the disk only that it must say which keys it is about to look at. All
//! keys leave memory together, and come back one by one when rows of them come: so an operator needs no order of keys by age,
//! its memory is given back whole, and a key that is often needed costs a look-up each time the others have filled the memory.
//!
//! What is on disk is scratch: nothing of it is trusted after a crash, durability is not asked of it, and it is
//! gone with the run. What lasts are checkpoints. A barrier writes what has changed since the last time to disk; what has come
//! there since the last checkpoint is also kept as a row of files, in the form of checkpoints, which a checkpoint only copies.
//! Modules in reading order:
//!
//! - [`scratch`]: the folder, and the store in it
//! - `space`: keys in their order, an LSM tree; `compactor`: the thread that puts its files together
//! - `resident`: the keys in memory
//! - `codec`: the state of a key as bytes
//! - `writer`: many keys to the store
//! - [`cold`]: one subtask's keys: fetched, written (`write`), forgotten
//! - `due`: which keys are due next by event time
//! - `touched`: which keys a node has something to say of at the next tick
//! - `blocks`: panes as bytes, in the order of their windows
//! - [`panes`]: one subtask's panes: added to, read part by part, removed
//! - [`log`]: what has been written since the last checkpoint, and what the next one consists of
//! - [`view`]: all keys or panes of a subtask at a barrier

mod blocks;
mod codec;
pub mod cold;
mod compactor;
mod due;
pub mod log;
pub mod panes;
mod resident;
pub mod scratch;
mod space;
mod touched;
pub mod view;
mod write;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::ops::Range;

use millstream_api::error::Result;
use millstream_api::state::{StateEntries, StateReader};
use millstream_api::time::ClockTime;

use crate::snapshot::JobSnapshot;

pub use cold::DiskState;
pub use panes::DiskPanes;
pub use scratch::Scratch;
pub use view::DiskSnapshot;

/// What can be seen of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCounts {
    /// Keys on disk; of panes the groups.
    pub keys: u64,
    /// What they take there.
    pub bytes: u64,
    /// Keys that were looked for on disk; groups that were read back.
    pub lookups: u64,
    /// How often all keys or panes left memory.
    pub evictions: u64,
}

/// State of one subtask on disk, as the runtime sees it.
pub trait OnDisk: Send + Debug {
    /// Takes what these groups have in a checkpoint, piece by piece. What of the node's state stays in memory.
    ///
    /// # Errors
    /// When the checkpoint cannot be read or the disk not be written to.
    fn load(&mut self, from: &JobSnapshot, node: &str, groups: &Range<u16>, now: ClockTime) -> Result<StateReader>;

    /// All that may leave memory does: `entries` is what the operator has just written, and lets go of.
    ///
    /// # Errors
    /// When the disk can't be written to.
    fn evict(&mut self, entries: StateEntries, now: ClockTime) -> Result<()>;

    /// A barrier has come, and `entries` is what the operator has written: what of it stands for itself in the checkpoint, and the rest
    /// as it is now.
    ///
    /// # Errors
    /// When the disk can't be written to.
    fn snapshot(&mut self, entries: StateEntries, now: ClockTime) -> Result<(StateEntries, DiskSnapshot)>;

    /// Memory of what is known of state in memory and on disk, beside the state itself.
    fn memory_bytes(&self) -> usize;

    /// What can be seen of it.
    fn counts(&self) -> DiskCounts;
}

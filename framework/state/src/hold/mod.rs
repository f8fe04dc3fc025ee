//! One run at a time on a store: what a run holds of it, and how it notices that it holds it no longer.
//!
//! - [`lock`]: in a folder, by a lock of the operating system: a second run is refused, after a wait in which the system takes its lock
//!   from one that has just died; a dead one holds nothing
//! - [`fence`]: where there are no such locks, by who is first to write under a name: a second run takes over, and the first one
//!   can complete no checkpoint after that
//!
//! Neither looks at a clock: how long a run was silent says nothing about whether it is dead.

pub mod fence;
pub mod lock;

use millstream_api::error::Result;
use millstream_api::message::CheckpointId;

use self::fence::Fence;
use self::lock::Lock;
use crate::blobs::Blobs;

/// What a run holds, until it is dropped.
pub enum Hold {
    /// The lock of a folder.
    Folder(Lock),
    /// A number among those of checkpoints.
    Taken(Fence),
}

impl Hold {
    /// Makes sure that the store is still this run's, before checkpoint `id` is written.
    ///
    /// # Errors
    /// Of the kind `Taken` when it is not; others when that cannot be found out.
    pub fn before(&self, blobs: &dyn Blobs, id: CheckpointId) -> Result<()> {
        match self {
            Hold::Folder(lock) => lock.check(),
            Hold::Taken(fence) => fence.close_gap(blobs, id),
        }
    }

    /// Makes sure that the store is still this run's, before it goes on from a checkpoint.
    ///
    /// # Errors
    /// As [`before`](Hold::before).
    pub fn check(&self, blobs: &dyn Blobs) -> Result<()> {
        match self {
            Hold::Folder(lock) => lock.check(),
            Hold::Taken(fence) => fence.check(blobs),
        }
    }

    /// Makes a checkpoint no checkpoint any more: the run goes on from one before it.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn give_up(&self, blobs: &dyn Blobs, id: CheckpointId) -> Result<()> {
        match self {
            Hold::Folder(_) => crate::names::remove(blobs, id),
            Hold::Taken(fence) => fence.give_up(blobs, id),
        }
    }

    /// Makes checkpoint `id` exist by its manifest.
    ///
    /// # Errors
    /// Of the kind `Taken` when the store is no longer this run's, and others when the manifest cannot be written.
    pub fn publish(&self, blobs: &dyn Blobs, id: CheckpointId, manifest: &[u8]) -> Result<()> {
        match self {
            Hold::Folder(lock) => {
                lock.check()?;
                crate::names::create_manifest(blobs, id, manifest)
            }
            Hold::Taken(fence) => fence.publish(blobs, id, manifest),
        }
    }
}

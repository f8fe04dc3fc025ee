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
//! - `resident`: the keys in memory
//! - `codec`: the state of a key as bytes
//! - `writer`: many keys to the store
//! - [`cold`]: one subtask's keys: fetched, written (`write`), forgotten
//! - [`log`]: what has been written since the last checkpoint, and what the next one consists of
//! - [`view`]: all keys of a subtask at a barrier

mod codec;
pub mod cold;
pub mod log;
mod resident;
pub mod scratch;
pub mod view;
mod write;
mod writer;

#[cfg(test)]
mod tests;

pub use cold::{DiskCounts, DiskState};
pub use scratch::Scratch;
pub use view::DiskSnapshot;

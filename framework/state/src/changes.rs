//! State in memory, of which a checkpoint writes only what has changed since the last one.
//!
//! At a barrier a subtask hands in all of its keys, a *base*, or those that have changed since the barrier before. Changes are kept
//! here until a checkpoint that has them exists: one that fails, or that nobody hears of again, loses none. They are given up for a
//! new base where they are many beside the state itself, so memory is bounded by it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_api::error::{Error, Result};
use millstream_api::state::{GONE, GONE_GROUPS, StateEntries};

use crate::chains::Chain;
use crate::manifest::PartRecord;
use crate::part::{self, PART_BYTES};

/// Of the memory of a subtask's state, the part that changes may take which are in no checkpoint yet, beside those of the last barrier.
const KEPT_PART: usize = 2;

/// What of one subtask's state checkpoints have. Shared with whoever writes them.
#[derive(Clone, Debug)]
pub struct Changes(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    pieces: Vec<Arc<Piece>>,
    /// The number of the next piece.
    next: u64,
    /// A chain that does not have all pieces before this number needs a base.
    base_from: u64,
    chain: Chain,
}

/// What has changed between two barriers.
#[derive(Debug)]
struct Piece {
    number: u64,
    entries: StateEntries,
    bytes: usize,
}

/// A subtask's state at a barrier, as far as the last checkpoint does not have it.
pub struct ChangesSnapshot {
    changes: Changes,
    /// It has all pieces before this number.
    barrier: u64,
    what: What,
}

enum What {
    Base(StateEntries),
    Pieces(Vec<Arc<Piece>>),
}

impl std::fmt::Debug for ChangesSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match &self.what {
            What::Base(_) => "all",
            What::Pieces(_) => "changes",
        };
        write!(f, "ChangesSnapshot({what} before {})", self.barrier)
    }
}

impl Default for Changes {
    /// No checkpoint has anything.
    fn default() -> Changes {
        Changes(Arc::new(Mutex::new(Kept { pieces: Vec::new(), next: 1, base_from: 1, chain: Chain::default() })))
    }
}

impl Changes {
    /// Whether all keys are needed at this barrier. `state_bytes`: the memory of them all.
    pub fn wants_all(&self, state_bytes: usize) -> bool {
        let kept = self.locked();
        let bytes: usize = kept.pieces.iter().map(|piece| piece.bytes).sum();
        let is_too_long = !kept.chain.has_room(0, 1, 0) || kept.chain.is_outgrown(state_bytes as u64);
        kept.base_from > kept.chain.covers || is_too_long || bytes > state_bytes / KEPT_PART
    }

    /// A barrier has come, and these are all keys.
    pub fn all(&self, entries: StateEntries) -> ChangesSnapshot {
        let mut kept = self.locked();
        kept.pieces.clear();
        kept.next += 1;
        kept.base_from = kept.next;
        ChangesSnapshot { changes: self.clone(), barrier: kept.next, what: What::Base(entries) }
    }

    /// A barrier has come, and these have changed since the one before.
    pub fn changed(&self, entries: StateEntries) -> ChangesSnapshot {
        let mut kept = self.locked();
        let number = kept.next;
        kept.next += 1;
        if !entries.is_empty() {
            let bytes = part::size_of_entries(&entries);
            kept.pieces.push(Arc::new(Piece { number, entries, bytes }));
        }
        ChangesSnapshot { changes: self.clone(), barrier: kept.next, what: What::Pieces(kept.pieces.clone()) }
    }

    fn locked(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChangesSnapshot {
    /// The checkpoint that consists of this exists.
    pub(crate) fn exists(&self, chain: Chain) {
        let mut kept = self.changes.locked();
        kept.pieces.retain(|piece| piece.number >= chain.covers);
        kept.chain = chain;
    }

    /// Writes what the last checkpoint does not have. What the checkpoint at this barrier consists of.
    pub(crate) fn write(&self, put: &mut dyn FnMut(&[u8]) -> Result<PartRecord>) -> Result<Chain> {
        let last = self.changes.locked().chain.clone();
        // A task that is over stands in every later checkpoint as it ended.
        if last.covers == self.barrier {
            return Ok(last);
        }
        let mut chain = match &self.what {
            What::Base(_) => Chain::default(),
            What::Pieces(_) => last,
        };
        match &self.what {
            What::Base(entries) => part::each(entries, PART_BYTES, &mut |bytes| {
                chain.add(put(bytes)?, 0);
                Ok(())
            })?,
            What::Pieces(pieces) => {
                let covered = chain.covers;
                for piece in pieces.iter().filter(|piece| piece.number >= covered) {
                    chain.begin_piece();
                    part::each(&piece.entries, PART_BYTES, &mut |bytes| {
                        let part = put(bytes)?;
                        let replaced_bytes = replaced(&piece.entries, part.bytes);
                        chain.add(part, replaced_bytes);
                        Ok(())
                    })?;
                }
            }
        }
        chain.covers = self.barrier;
        Ok(chain)
    }

    /// All of it, where it is not only changes.
    pub(crate) fn each(&self, take: &mut dyn FnMut(StateEntries) -> Result<()>) -> Result<()> {
        match &self.what {
            What::Base(entries) => take(entries.clone()),
            What::Pieces(_) => Err(Error::internal("changes are no state by themselves: the checkpoint must be read from its store")),
        }
    }

    /// Puts it into a checkpoint in memory. All pieces of that; `before` are those of the one before.
    pub(crate) fn kept(&self, before: &[StateEntries]) -> Vec<StateEntries> {
        let covered = self.changes.locked().chain.covers;
        self.exists(Chain::covering(self.barrier));
        match &self.what {
            What::Base(entries) => vec![entries.clone()],
            What::Pieces(pieces) => {
                let new = pieces.iter().filter(|piece| piece.number >= covered).map(|piece| piece.entries.clone());
                before.iter().cloned().chain(new).collect()
            }
        }
    }
}

/// How many of so many bytes of a piece take the place of what pieces before it have, by the number of keys that are gone.
fn replaced(piece: &StateEntries, bytes: u64) -> u64 {
    let count = |name: &str| piece.get(name).into_iter().flatten().map(|rows| rows.records.num_rows() as u64).sum::<u64>();
    let rows: u64 = piece.keys().map(|name| count(name)).sum();
    bytes / rows.max(1) * (2 * (count(GONE) + count(GONE_GROUPS))).min(rows)
}

#[cfg(test)]
mod tests;

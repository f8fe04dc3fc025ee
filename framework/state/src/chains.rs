//! State in pieces in a store of checkpoints: each checkpoint names a chain of pieces, of which older ones have written some.
//!
//! The pieces of a checkpoint lie in a folder beside its own, which stays as long as a manifest names one of them.

use std::ops::Range;
use std::sync::Arc;

use millstream_api::error::Result;
use millstream_api::key_group::owned_groups;
use millstream_api::message::CheckpointId;
use millstream_api::state::StateEntries;

use crate::failpoint::{Step, reached};
use crate::manifest::{Manifest, PartRecord, TaskRecord};
use crate::names::{folder_name, number};
use crate::pieces::Pieces;
use crate::snapshot::TaskId;
use crate::store::Store;
use crate::wanted::Wanted;

/// A chain is not begun again before so much of it is replaced …
const LEAST_BYTES: u64 = 4 << 20;
/// … or so many pieces have come behind its base.
const MOST_PIECES: usize = 256;
/// … or it has so many times the size of the state.
const OUTGROWN_TIMES: u64 = 4;

/// Of what a checkpoint consists: a base, which has every key, and pieces with what has changed since.
///
/// It is begun again when what its pieces replace has twice the size of what they do not.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// Its parts, in order.
    pub parts: Vec<PartRecord>,
    /// It has all pieces before this number.
    pub(crate) covers: u64,
    base_bytes: u64,
    replaced_bytes: u64,
    pieces: usize,
}

impl Chain {
    /// A chain that begins with what is added next.
    pub(crate) fn covering(covers: u64) -> Chain {
        Chain { covers, ..Chain::default() }
    }

    /// Whether it is so much longer than the state that most of it must be of rows that are there no more, and of which no piece says so.
    pub(crate) fn is_outgrown(&self, state_bytes: u64) -> bool {
        self.base_bytes + self.replaced_bytes > OUTGROWN_TIMES * state_bytes.max(LEAST_BYTES)
    }

    /// Adds a part of which so many bytes take the place of others.
    pub(crate) fn add(&mut self, part: PartRecord, replaced_bytes: u64) {
        self.replaced_bytes += replaced_bytes;
        self.base_bytes += part.bytes.saturating_sub(replaced_bytes);
        self.parts.push(part);
    }

    /// Counts one more piece behind the base.
    pub(crate) fn begin_piece(&mut self) {
        self.pieces += 1;
    }

    /// Whether so many pieces fit behind it that replace so many bytes. `base_bytes`: the least that a base would take.
    pub(crate) fn has_room(&self, replaced_bytes: u64, pieces: usize, base_bytes: u64) -> bool {
        let most = LEAST_BYTES.max(2 * self.base_bytes.max(base_bytes));
        self.replaced_bytes + replaced_bytes <= most && self.pieces + pieces <= MOST_PIECES
    }
}

/// The pieces of one subtask in a checkpoint.
pub struct StoredPieces {
    store: Store,
    checkpoint: CheckpointId,
    parts: Vec<PartRecord>,
    /// The key groups that they can have.
    groups: Range<u16>,
    /// The columns that rows of it are to have, where not all of them may be wanted.
    wanted: Option<Wanted>,
}

impl std::fmt::Debug for StoredPieces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredPieces({:?})", self.parts)
    }
}

impl StoredPieces {
    /// Whether they have something of these key groups.
    pub(crate) fn overlaps(&self, groups: &Range<u16>) -> bool {
        self.groups.start < groups.end && groups.start < self.groups.end
    }

    /// All pieces, one after the other.
    ///
    /// # Errors
    /// When one is missing or damaged (the message names the next older checkpoint), or `take` says so.
    pub fn each(&self, take: &mut dyn FnMut(StateEntries) -> Result<()>) -> Result<()> {
        self.parts.iter().try_for_each(|part| take(self.read(part)?))
    }

    /// The same, the last one first.
    pub(crate) fn each_back(&self, take: &mut dyn FnMut(StateEntries) -> Result<()>) -> Result<()> {
        self.parts.iter().rev().try_for_each(|part| take(self.read(part)?))
    }

    fn read(&self, part: &PartRecord) -> Result<StateEntries> {
        let entries = self.store.part(self.checkpoint, &part.file, part)?;
        match &self.wanted {
            Some(wanted) => wanted.cut(entries),
            None => Ok(entries),
        }
    }

    /// The same pieces, of whose rows these columns are wanted.
    pub(crate) fn cut(&self, wanted: Wanted) -> StoredPieces {
        let StoredPieces { store, checkpoint, parts, groups, .. } = self;
        let (store, parts, groups) = (store.clone(), parts.clone(), groups.clone());
        StoredPieces { store, checkpoint: *checkpoint, parts, groups, wanted: Some(wanted) }
    }
}

impl Store {
    /// The state of one subtask that is in pieces.
    pub fn pieces(&self, of: &Manifest, task: &TaskRecord) -> Option<Pieces> {
        let parallelism = of.tasks.iter().filter(|other| other.node == task.node).count();
        let groups = owned_groups(task.subtask, parallelism, of.key_groups);
        let stored = || StoredPieces { store: self.clone(), checkpoint: of.checkpoint, parts: task.pieces.clone(), groups, wanted: None };
        (!task.pieces.is_empty()).then(|| Pieces::Stored(Arc::new(stored())))
    }

    /// Writes what of a subtask's state is in no checkpoint yet. What the checkpoint consists of, and how many bytes were written.
    pub(crate) fn write_pieces(
        &self,
        id: CheckpointId,
        task: &TaskId,
        pieces: &Pieces,
        may_go_on: &dyn Fn() -> Result<()>,
    ) -> Result<(Chain, u64)> {
        let (mut number, mut written) = (0, 0);
        let chain = pieces.write(&mut |bytes| {
            may_go_on()?;
            let file = format!("{}/{}.{}.{number}.state", pieces_folder(id), task.node, task.subtask);
            let record = PartRecord::of(file, bytes);
            reached(Step::BeforePart, &task.node);
            self.blobs.put(&record.file, bytes)?;
            reached(Step::AfterPart, &task.node);
            number += 1;
            written += record.bytes;
            Ok(record)
        })?;
        Ok((chain, written))
    }

    /// Removes the pieces of these checkpoints that no checkpoint needs.
    pub(crate) fn remove_pieces(&self, of: impl Fn(CheckpointId) -> bool) -> Result<()> {
        let folders: Vec<String> = self.blobs.folders()?.into_iter().filter(|folder| pieces_number(folder).is_some_and(&of)).collect();
        if folders.is_empty() {
            return Ok(());
        }
        let mut needed = Vec::new();
        for id in self.checkpoints()? {
            // Of one that cannot be read nobody knows what it needs.
            needed.extend(self.manifest(id)?.tasks.into_iter().flat_map(|task| task.pieces).map(|piece| piece.file));
        }
        let is_needed = |folder: &str| needed.iter().any(|file| file.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')));
        folders.iter().filter(|folder| !is_needed(folder)).try_for_each(|folder| self.blobs.remove_folder(folder))
    }
}

/// The folder of the pieces that a checkpoint has written; later checkpoints may need it.
pub(crate) fn pieces_folder(id: CheckpointId) -> String {
    format!("{}-pieces", folder_name(id))
}

fn pieces_number(folder: &str) -> Option<CheckpointId> {
    number(folder.strip_suffix("-pieces")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_begun_again_when_it_replaces_much_or_most_of_it_is_there_no_more() {
        let mut chain = Chain::default();
        let part = |bytes| PartRecord { file: String::new(), bytes, xxh3: String::new() };
        chain.add(part(10 * LEAST_BYTES), 0);
        chain.add(part(15 * LEAST_BYTES), 15 * LEAST_BYTES);
        assert!(chain.has_room(5 * LEAST_BYTES, 1, 0) && !chain.has_room(5 * LEAST_BYTES + 1, 1, 0));
        assert!(chain.has_room(0, MOST_PIECES, 0) && !chain.has_room(0, MOST_PIECES + 1, 0));
        assert!(!chain.is_outgrown(7 * LEAST_BYTES) && chain.is_outgrown(6 * LEAST_BYTES));
        assert!(!Chain::default().is_outgrown(0));
    }
}

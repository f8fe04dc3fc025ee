//! State on disk in a store of checkpoints: each checkpoint names a chain of pieces, of which older ones have written some.
//!
//! The pieces of a checkpoint lie in a folder beside its own, which stays as long as a manifest names one of them.

use std::sync::Arc;

use millstream_api::error::Result;
use millstream_api::message::CheckpointId;
use millstream_api::state::StateEntries;

use crate::disk::DiskSnapshot;
use crate::disk::log::Chain;
use crate::failpoint::{Step, reached};
use crate::manifest::{PartRecord, TaskRecord};
use crate::names::{folder_name, number};
use crate::pieces::Pieces;
use crate::snapshot::TaskId;
use crate::store::Store;

/// The pieces of one subtask in a checkpoint.
pub struct StoredPieces {
    store: Store,
    checkpoint: CheckpointId,
    parts: Vec<PartRecord>,
}

impl std::fmt::Debug for StoredPieces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredPieces({:?})", self.parts)
    }
}

impl StoredPieces {
    /// All pieces, one after the other.
    ///
    /// # Errors
    /// When one is missing or damaged (the message names the next older checkpoint), or `take` says so.
    pub fn each(&self, take: &mut dyn FnMut(StateEntries) -> Result<()>) -> Result<()> {
        self.parts.iter().try_for_each(|part| take(self.store.part(self.checkpoint, &part.file, part)?))
    }
}

impl Store {
    /// The state of one subtask that is in pieces.
    pub fn pieces(&self, id: CheckpointId, task: &TaskRecord) -> Option<Pieces> {
        let stored = || StoredPieces { store: self.clone(), checkpoint: id, parts: task.pieces.clone() };
        (!task.pieces.is_empty()).then(|| Pieces::Stored(Arc::new(stored())))
    }

    /// Writes what of a subtask's state on disk is in no checkpoint yet. What the checkpoint consists of, and how many bytes were
    /// written.
    pub(crate) fn write_pieces(
        &self,
        id: CheckpointId,
        task: &TaskId,
        live: &DiskSnapshot,
        may_go_on: &dyn Fn() -> Result<()>,
    ) -> Result<(Chain, u64)> {
        let (mut number, mut written) = (0, 0);
        let chain = live.write(&mut |bytes| {
            may_go_on()?;
            let file = format!("{}/{}.{}.{number}.state", pieces_folder(id), task.node, task.subtask);
            let record = PartRecord::of(file, &bytes);
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

/// The folder of what a checkpoint has written of state on disk; later checkpoints may need it.
pub(crate) fn pieces_folder(id: CheckpointId) -> String {
    format!("{}-pieces", folder_name(id))
}

fn pieces_number(folder: &str) -> Option<CheckpointId> {
    number(folder.strip_suffix("-pieces")?)
}

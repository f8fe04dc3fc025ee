//! Checkpoints written and removed.
//!
//! The order is all that matters here: the run makes sure that it still holds the store, writes the parts, and then publishes the
//! manifest. A crash anywhere leaves what the next run takes for interrupted, or a whole checkpoint.

use millstream_api::error::Result;
use millstream_api::message::CheckpointId;

use super::{Store, Written};
use crate::chains::pieces_folder;
use crate::failpoint::{Step, reached};
use crate::manifest::{Manifest, PartRecord, TaskRecord};
use crate::names::{MANIFEST, create_manifest, has_manifest, name, remove};
use crate::part;
use crate::snapshot::{JobSnapshot, TaskId, TaskSnapshot};

impl Store {
    /// Writes a checkpoint: parts first, the manifest last. `about` is a manifest without tasks; `may_go_on` is asked before each
    /// write, and its error ends it.
    ///
    /// # Errors
    /// When something cannot be written. Then there is no such checkpoint, or the store has it whole although it said it has
    /// not; the next one makes up for either. Of the kind `Taken` when the store is no longer this run's.
    pub fn write(&self, about: Manifest, snapshot: &JobSnapshot, may_go_on: &dyn Fn() -> Result<()>) -> Result<Written> {
        let id = about.checkpoint;
        let written = self.write_all(about, snapshot, may_go_on);
        // What there is of it takes the room that the next one may need. If that fails too, the next one tidies up.
        if written.is_err() && matches!(self.blobs.get(&name(id, MANIFEST)), Ok(None)) {
            let _ = self.remove(id);
            let _ = self.blobs.remove_folder(&pieces_folder(id));
        }
        written
    }

    fn write_all(&self, about: Manifest, snapshot: &JobSnapshot, may_go_on: &dyn Fn() -> Result<()>) -> Result<Written> {
        let id = about.checkpoint;
        if let Some(hold) = &self.hold {
            hold.before(self.blobs.as_ref(), id)?;
        }
        let mut manifest = Manifest { tasks: Vec::new(), ..about };
        let mut written = 0;
        let mut chains = Vec::new();
        for (task, part) in snapshot.tasks() {
            may_go_on()?;
            let mut record = self.write_parts(id, task, part, may_go_on)?;
            written += record.parts.iter().map(|part| part.bytes).sum::<u64>();
            if let Some(pieces) = &part.pieces {
                let (chain, bytes) = self.write_pieces(id, task, pieces, may_go_on)?;
                written += bytes;
                record.pieces.clone_from(&chain.parts);
                chains.push((pieces, chain));
            }
            manifest.tasks.push(record);
        }
        let bytes = manifest.encode()?;
        written += bytes.len() as u64;
        may_go_on()?;
        reached(Step::BeforeManifest, "");
        match &self.hold {
            Some(hold) => hold.publish(self.blobs.as_ref(), id, &bytes)?,
            None => create_manifest(self.blobs.as_ref(), id, &bytes)?,
        }
        reached(Step::AfterManifest, "");
        chains.into_iter().for_each(|(pieces, chain)| pieces.exists(chain));
        Ok(Written { bytes: written })
    }

    /// Writes the state of a subtask that is in memory: part by part, so that of a large one only a small piece is there twice.
    fn write_parts(
        &self,
        id: CheckpointId,
        task: &TaskId,
        snapshot: &TaskSnapshot,
        may_go_on: &dyn Fn() -> Result<()>,
    ) -> Result<TaskRecord> {
        let TaskSnapshot { watermark, entries, positions, counts, ended, .. } = snapshot;
        let mut parts = Vec::new();
        part::each(entries, part::PART_BYTES, &mut |bytes| {
            may_go_on()?;
            let record = PartRecord::of(format!("{}.{}.{}.state", task.node, task.subtask, parts.len()), bytes);
            reached(Step::BeforePart, &task.node);
            self.blobs.put(&name(id, &record.file), bytes)?;
            reached(Step::AfterPart, &task.node);
            parts.push(record);
            Ok(())
        })?;
        Ok(TaskRecord {
            node: task.node.clone(),
            subtask: task.subtask,
            ended: *ended,
            watermark: *watermark,
            counts: (*counts).into(),
            splits: positions.clone(),
            parts,
            pieces: Vec::new(),
        })
    }

    /// Removes what is not needed once checkpoint `newest` is there: all whole ones before it but the `retain` newest
    /// (`newest` is one of them), and all interrupted ones before it.
    ///
    /// # Errors
    /// When something cannot be listed or removed; the next call tries again.
    pub fn tidy(&self, newest: CheckpointId, retain: usize) -> Result<()> {
        let there = self.checkpoints()?;
        let kept: Vec<CheckpointId> = there.iter().rev().filter(|id| **id <= newest).take(retain.max(1)).copied().collect();
        for id in self.numbers()?.into_iter().filter(|id| *id < newest && !kept.contains(id)) {
            reached(Step::BeforeRemoval, "");
            self.remove(id)?;
            reached(Step::AfterRemoval, "");
        }
        self.remove_pieces(|id| id < newest)
    }

    /// Removes what interrupted writes have left behind. Only for whoever holds the store.
    ///
    /// # Errors
    /// When something cannot be listed or removed.
    pub fn remove_interrupted(&self) -> Result<()> {
        for id in self.numbers()? {
            // A mark is no checkpoint, but says who holds the store.
            if !has_manifest(self.blobs.as_ref(), id)? {
                self.remove(id)?;
            }
        }
        // A damaged checkpoint is no reason not to begin; what it needs stays.
        let _ = self.remove_pieces(|_| true);
        Ok(())
    }

    /// Makes a checkpoint no checkpoint any more, because the run goes on from one before it.
    ///
    /// # Errors
    /// When that cannot be done.
    pub fn give_up(&self, id: CheckpointId) -> Result<()> {
        match &self.hold {
            Some(hold) => hold.give_up(self.blobs.as_ref(), id),
            None => self.remove(id),
        }
    }

    /// Removes a checkpoint, or what an interrupted write has left of it.
    ///
    /// # Errors
    /// When that cannot be done.
    pub fn remove(&self, id: CheckpointId) -> Result<()> {
        remove(self.blobs.as_ref(), id)
    }
}

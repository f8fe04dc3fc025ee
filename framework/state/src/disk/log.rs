//! What has left memory since the last checkpoint, as files in the form of checkpoints, and what the next one consists of.
//!
//! A checkpoint of state on disk is a [chain](Chain) of parts: a *base*, which has every key, and behind it what was written since, part by
//! part; each says which keys have other state from then on. The first part of a run that begins anew needs no base before it.
//! A chain that has grown beyond twice its base is begun again with a new base, and so is one whose files were given up because no
//! checkpoint took them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_api::error::Result;

use super::scratch::Scratch;
use crate::chains::Chain;
use crate::manifest::PartRecord;

/// Who takes the parts of a base, one after the other.
pub(super) type Take<'t> = dyn FnMut(&[u8]) -> Result<()> + 't;

/// The files of one subtask, shared with whoever writes its checkpoints.
#[derive(Clone, Debug)]
pub(super) struct Log(Arc<Mutex<Written>>);

#[derive(Debug)]
struct Written {
    pieces: Vec<Arc<Piece>>,
    /// The number of the next piece.
    next: u64,
    /// Pieces before this number were given up without being in a checkpoint.
    lost_before: u64,
    /// About what a base would be, as long as none is known.
    on_disk_bytes: u64,
    chain: Chain,
}

/// A file; it goes with the last who needs it.
#[derive(Debug)]
struct Piece {
    number: u64,
    path: PathBuf,
    bytes: u64,
}

impl Drop for Piece {
    fn drop(&mut self) {
        // What stays goes with the folder.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Log {
    /// No files. `anew`: every key that is on disk will be in a file; else a base is needed first.
    pub(super) fn new(anew: bool) -> Log {
        let start = u64::from(!anew);
        let written = Written { pieces: Vec::new(), next: start, lost_before: start, on_disk_bytes: 0, chain: Chain::default() };
        Log(Arc::new(Mutex::new(written)))
    }

    /// Keeps what has left memory, until a checkpoint has it. `on_disk_bytes`: about what all keys on disk take.
    pub(super) fn add(&self, bytes: &[u8], on_disk_bytes: u64, scratch: &Scratch) -> Result<()> {
        let path = scratch.log_file();
        std::fs::write(&path, bytes).map_err(|cause| scratch.failed_with("write state to", &cause))?;
        let mut written = self.locked();
        let piece = Piece { number: written.next, path, bytes: bytes.len() as u64 };
        written.next += 1;
        written.on_disk_bytes = on_disk_bytes;
        written.pieces.push(Arc::new(piece));
        let bytes = written.pieces.iter().map(|piece| piece.bytes).sum();
        if !written.chain.has_room(bytes, written.pieces.len(), on_disk_bytes) {
            written.give_up();
        }
        Ok(())
    }

    /// A barrier has come: the number of the next piece.
    pub(super) fn barrier(&self) -> u64 {
        let mut written = self.locked();
        if written.needs_base() {
            // The base will have them.
            written.give_up();
        }
        written.next
    }

    /// Writes what a checkpoint needs that has all pieces before `barrier`: those behind the chain of the last one, or all
    /// keys, which `base` writes. What the checkpoint then consists of.
    pub(super) fn write(
        &self,
        barrier: u64,
        scratch: &Scratch,
        put: &mut dyn FnMut(&[u8]) -> Result<PartRecord>,
        base: &dyn Fn(&mut Take<'_>) -> Result<()>,
    ) -> Result<Chain> {
        let (chain, pieces) = {
            let written = self.locked();
            let pieces: Vec<Arc<Piece>> = written.pieces.iter().filter(|piece| piece.number < barrier).cloned().collect();
            let bytes = pieces.iter().map(|piece| piece.bytes).sum();
            let goes_on = !written.needs_base() && written.chain.has_room(bytes, pieces.len(), written.on_disk_bytes);
            (written.chain.clone(), goes_on.then_some(pieces))
        };
        let mut chain = chain;
        chain.covers = barrier;
        let Some(pieces) = pieces else {
            chain = Chain::covering(barrier);
            base(&mut |bytes| {
                chain.add(put(bytes)?, 0);
                Ok(())
            })?;
            return Ok(chain);
        };
        for piece in pieces {
            let bytes = std::fs::read(&piece.path).map_err(|cause| scratch.failed_with("read state from", &cause))?;
            let part = put(&bytes)?;
            let replaced = part.bytes;
            chain.begin_piece();
            chain.add(part, replaced);
        }
        Ok(chain)
    }

    /// The checkpoint that consists of this exists.
    pub(super) fn exists(&self, chain: Chain) {
        let mut written = self.locked();
        written.pieces.retain(|piece| piece.number >= chain.covers);
        written.chain = chain;
    }

    fn locked(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    fn needs_base(&self) -> bool {
        self.lost_before > self.chain.covers
    }

    fn give_up(&mut self) {
        self.pieces.clear();
        self.lost_before = self.next;
    }
}

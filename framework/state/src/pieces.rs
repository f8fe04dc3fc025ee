//! State that a checkpoint does not write as a whole: piece by piece, each in the form of the state of a subtask.
//!
//! A piece says which keys have another state from then on, or none, and what is added: so a checkpoint need not write what the one
//! before has. Whoever wants the state in memory puts the pieces together; whoever has a place on disk for it takes one after the
//! other.

use std::ops::Range;
use std::sync::Arc;

use millstream_api::error::{Error, Result};
use millstream_api::state::StateEntries;
use millstream_api::state::gone::together;

use crate::chains::{Chain, StoredPieces};
use crate::changes::ChangesSnapshot;
use crate::disk::DiskSnapshot;
use crate::manifest::PartRecord;

/// Where the pieces are.
#[derive(Clone, Debug)]
pub enum Pieces {
    /// On the disk of the run.
    OnDisk(Arc<DiskSnapshot>),
    /// In the memory of the run, as far as they are in no checkpoint.
    InMemory(Arc<ChangesSnapshot>),
    /// In a checkpoint in memory.
    Kept(Arc<Vec<StateEntries>>),
    /// In a store of checkpoints.
    Stored(Arc<StoredPieces>),
}

impl Pieces {
    /// What all pieces have of these key groups, one after the other.
    ///
    /// # Errors
    /// When one can't be read, or `take` says so.
    pub fn each(&self, groups: &Range<u16>, take: &mut dyn FnMut(StateEntries) -> Result<()>) -> Result<()> {
        let mut take = |piece| take(of_groups(piece, groups)?);
        match self {
            Pieces::OnDisk(pieces) => pieces.each(&mut take),
            Pieces::InMemory(pieces) => pieces.each(&mut take),
            Pieces::Kept(pieces) => pieces.iter().cloned().try_for_each(take),
            Pieces::Stored(pieces) if pieces.overlaps(groups) => pieces.each(&mut take),
            Pieces::Stored(_) => Ok(()),
        }
    }

    /// The same, the last one first: so whoever takes them knows of each what is gone of it.
    ///
    /// # Errors
    /// As of [`each`](Pieces::each).
    pub fn each_back(&self, groups: &Range<u16>, take: &mut dyn FnMut(StateEntries) -> Result<()>) -> Result<()> {
        match self {
            // What is of one moment says nothing of itself.
            Pieces::OnDisk(_) | Pieces::InMemory(_) => self.each(groups, take),
            Pieces::Kept(pieces) => pieces.iter().rev().try_for_each(|piece| take(of_groups(piece.clone(), groups)?)),
            Pieces::Stored(pieces) if pieces.overlaps(groups) => pieces.each_back(&mut |piece| take(of_groups(piece, groups)?)),
            Pieces::Stored(_) => Ok(()),
        }
    }

    /// All that they have of these key groups in memory.
    ///
    /// # Errors
    /// When a piece can't be read.
    pub fn together(&self, groups: &Range<u16>) -> Result<StateEntries> {
        let mut pieces = Vec::new();
        self.each(groups, &mut |piece| {
            pieces.push(piece);
            Ok(())
        })?;
        together(pieces)
    }

    /// Writes those that no checkpoint has. What the checkpoint consists of.
    pub(crate) fn write(&self, put: &mut dyn FnMut(&[u8]) -> Result<PartRecord>) -> Result<Chain> {
        match self {
            Pieces::OnDisk(pieces) => pieces.write(put),
            Pieces::InMemory(pieces) => pieces.write(put),
            Pieces::Kept(_) | Pieces::Stored(_) => Err(Error::internal("pieces of a checkpoint are to be written into another")),
        }
    }

    /// The checkpoint that consists of this exists.
    pub(crate) fn exists(&self, chain: Chain) {
        match self {
            Pieces::OnDisk(pieces) => pieces.exists(chain),
            Pieces::InMemory(pieces) => pieces.exists(chain),
            Pieces::Kept(_) | Pieces::Stored(_) => {}
        }
    }
}

fn of_groups(mut piece: StateEntries, groups: &Range<u16>) -> Result<StateEntries> {
    for rows in piece.values_mut().flatten() {
        *rows = rows.of_groups(|group| groups.contains(&group))?;
    }
    Ok(piece)
}

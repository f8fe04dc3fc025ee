//! State that is not in memory as a whole: piece by piece, each in the form of the state of a subtask.
//!
//! Of a key that is in several pieces the last one counts, with all its state; a piece also names the keys that are gone. So a
//! checkpoint need not write what the one before has. Whoever wants it in memory puts the pieces together; whoever has a place on
//! disk for it takes one after the other.

use std::sync::Arc;

use arrow::array::{BinaryArray, BooleanArray, RecordBatch};
use hashbrown::HashSet;
use millstream_api::error::{Error, ErrorKind, Result};
use millstream_api::key_group::CanonicalKeys;
use millstream_api::state::{StateEntries, StateRows, key_columns};

use crate::chains::StoredPieces;
use crate::disk::DiskSnapshot;

/// The name under which a piece has the keys that are gone, by their canonical bytes. No node can call its state so.
pub const GONE: &str = "(gone)";

/// Where the pieces are.
#[derive(Clone, Debug)]
pub enum Pieces {
    /// On the disk of the run.
    Live(Arc<DiskSnapshot>),
    /// In a store of checkpoints.
    Stored(Arc<StoredPieces>),
}

impl Pieces {
    /// All pieces, one after the other.
    ///
    /// # Errors
    /// When one can't be read, or `take` says so.
    pub fn each(&self, take: &mut dyn FnMut(StateEntries) -> Result<()>) -> Result<()> {
        match self {
            Pieces::Live(pieces) => pieces.each(take),
            Pieces::Stored(pieces) => pieces.each(take),
        }
    }

    /// All of it in memory.
    ///
    /// # Errors
    /// When a piece can't be read.
    pub fn together(&self) -> Result<StateEntries> {
        let mut pieces = Vec::new();
        self.each(&mut |piece| {
            pieces.push(piece);
            Ok(())
        })?;
        together(pieces)
    }
}

/// The canonical bytes of the keys that are gone.
pub(crate) fn gone(piece: &StateEntries) -> Result<Vec<Vec<u8>>> {
    let mut keys = Vec::new();
    for rows in piece.get(GONE).into_iter().flatten() {
        let column = rows.records.columns().first().and_then(|column| column.as_any().downcast_ref::<BinaryArray>());
        let column = column.ok_or_else(|| Error::new(ErrorKind::State, "damaged: the keys that are gone are not in the form of keys"))?;
        keys.extend(column.iter().flatten().map(<[u8]>::to_vec));
    }
    Ok(keys)
}

/// Pieces as one: of each key what the last piece that has it says.
fn together(pieces: Vec<StateEntries>) -> Result<StateEntries> {
    let mut seen: HashSet<Vec<u8>> = HashSet::new();
    let mut all = StateEntries::new();
    for piece in pieces.into_iter().rev() {
        let mut own: HashSet<Vec<u8>> = gone(&piece)?.into_iter().collect();
        for (name, rows) in piece.into_iter().filter(|(name, _)| name != GONE) {
            for rows in rows {
                let rows = unseen(&rows, &seen, &mut own)?;
                if rows.records.num_rows() > 0 {
                    all.entry(name.clone()).or_default().push(rows);
                }
            }
        }
        seen.extend(own);
    }
    Ok(all)
}

/// The rows whose keys are not in `seen`; all keys are added to `own`.
fn unseen(rows: &StateRows, seen: &HashSet<Vec<u8>>, own: &mut HashSet<Vec<u8>>) -> Result<StateRows> {
    let batch: &RecordBatch = &rows.records;
    let keys = CanonicalKeys::new(&key_columns(batch))?;
    let mut bytes = Vec::new();
    let mut mask = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        bytes.clear();
        keys.encode(row, &mut bytes);
        mask.push(!seen.contains(&bytes));
        if !own.contains(&bytes) {
            own.insert(bytes.clone());
        }
    }
    match mask.contains(&false) {
        true => rows.filter(&BooleanArray::from(mask)),
        false => Ok(rows.clone()),
    }
}

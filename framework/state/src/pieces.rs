//! State that a checkpoint does not write as a whole: piece by piece, each in the form of the state of a subtask.
//!
//! A piece says which keys have another state from then on, or none, and what is added: so a checkpoint need not write what the one
//! before has. Whoever wants the state in memory puts the pieces together; whoever has a place on disk for it takes one after the
//! other.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{BinaryArray, BooleanArray};
use hashbrown::HashSet;
use millstream_api::error::{Error, ErrorKind, Result};
use millstream_api::key_group::CanonicalKeys;
use millstream_api::state::{GONE, GONE_PANES, PaneKey, StateEntries, StateRows, key_columns, pane_columns};

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
        let mut take = |mut piece: StateEntries| {
            for rows in piece.values_mut().flatten() {
                *rows = rows.of_groups(|group| groups.contains(&group))?;
            }
            take(piece)
        };
        match self {
            Pieces::OnDisk(pieces) => pieces.each(&mut take),
            Pieces::InMemory(pieces) => pieces.each(&mut take),
            Pieces::Kept(pieces) => pieces.iter().cloned().try_for_each(take),
            Pieces::Stored(pieces) if pieces.overlaps(groups) => pieces.each(&mut take),
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

/// The canonical bytes of the keys of which no piece before this one holds.
pub(crate) fn gone(piece: &StateEntries) -> Result<Vec<Vec<u8>>> {
    let mut keys = Vec::new();
    for rows in piece.get(GONE).into_iter().flatten() {
        let column = rows.records.columns().first().and_then(|column| column.as_any().downcast_ref::<BinaryArray>());
        let column = column.ok_or_else(|| Error::new(ErrorKind::State, "damaged: the keys that are gone are not in the form of keys"))?;
        keys.extend(column.iter().flatten().map(<[u8]>::to_vec));
    }
    Ok(keys)
}

/// The panes of which no piece before this one holds.
pub(crate) fn gone_panes(piece: &StateEntries) -> Result<Vec<PaneKey>> {
    let mut panes = Vec::new();
    for rows in piece.get(GONE_PANES).into_iter().flatten() {
        let columns = pane_columns(&rows.records);
        let [first, second] =
            columns.ok_or_else(|| Error::new(ErrorKind::State, "damaged: the panes that are gone are not in their form"))?;
        panes.extend(first.values().iter().copied().zip(second.values().iter().copied()));
    }
    Ok(panes)
}

/// Pieces as one. Rows keep their order.
fn together(pieces: Vec<StateEntries>) -> Result<StateEntries> {
    let (mut gone_later, mut gone_panes_later) = (HashSet::new(), HashSet::new());
    let mut all = StateEntries::new();
    for mut piece in pieces.into_iter().rev() {
        let (gone, panes) = (gone(&piece)?, gone_panes(&piece)?);
        piece.remove(GONE);
        piece.remove(GONE_PANES);
        for (name, rows) in piece {
            for rows in rows.iter().rev() {
                let rows = without_panes(without(rows, &gone_later)?, &gone_panes_later)?;
                if rows.records.num_rows() > 0 {
                    all.entry(name.clone()).or_default().push(rows);
                }
            }
        }
        gone_later.extend(gone);
        gone_panes_later.extend(panes);
    }
    all.values_mut().for_each(|rows| rows.reverse());
    Ok(all)
}

/// The rows whose keys are not among these.
fn without(rows: &StateRows, gone: &HashSet<Vec<u8>>) -> Result<StateRows> {
    if gone.is_empty() {
        return Ok(rows.clone());
    }
    let keys = CanonicalKeys::new(&key_columns(&rows.records))?;
    let mut bytes = Vec::new();
    let stays = |row: usize| {
        bytes.clear();
        keys.encode(row, &mut bytes);
        Some(!gone.contains(&bytes))
    };
    let mask: BooleanArray = (0..rows.records.num_rows()).map(stays).collect();
    if mask.false_count() > 0 { rows.filter(&mask) } else { Ok(rows.clone()) }
}

/// The rows whose panes are not among these. Other rows have none.
fn without_panes(rows: StateRows, gone: &HashSet<PaneKey>) -> Result<StateRows> {
    let Some([first, second]) = pane_columns(&rows.records).filter(|_| !gone.is_empty()) else { return Ok(rows) };
    let panes = first.values().iter().zip(second.values());
    let mask: BooleanArray = panes.map(|(first, second)| Some(!gone.contains(&(*first, *second)))).collect();
    if mask.false_count() > 0 { rows.filter(&mask) } else { Ok(rows) }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use millstream_api::key_group::key_groups;
    use millstream_api::state::StateWriter;

    use super::*;

    fn piece(gone: &[i64], rows: &[(i64, i64)]) -> StateEntries {
        let mut writer = StateWriter::new();
        let column = |values: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
        writer.put_gone(&[column(gone.to_vec())], gone.len(), 8).unwrap();
        let columns = vec![column(rows.iter().map(|row| row.0).collect()), column(rows.iter().map(|row| row.1).collect())];
        let schema = Schema::new(["k0", "v"].map(|name| Field::new(name, DataType::Int64, false)).to_vec());
        let groups = key_groups(&columns[..1], rows.len(), 8).unwrap();
        writer.put_keyed("rows", &groups, &RecordBatch::try_new(Arc::new(schema), columns).unwrap()).unwrap();
        writer.into_entries()
    }

    #[test]
    fn what_a_later_piece_takes_back_does_not_count_and_rows_are_added() {
        let pieces = vec![
            piece(&[], &[(1, 10), (2, 20), (3, 30)]),
            piece(&[], &[(2, 21), (4, 40)]),
            piece(&[1, 3, 9], &[(1, 11), (1, 12)]),
            piece(&[4], &[(3, 31)]),
        ];
        let all = together(pieces).unwrap();
        let number = |column: &ArrayRef| column.as_primitive::<Int64Type>().values().to_vec();
        let rows: Vec<(i64, i64)> =
            all["rows"].iter().flat_map(|rows| number(rows.records.column(0)).into_iter().zip(number(rows.records.column(1)))).collect();
        assert_eq!(rows, [(2, 20), (2, 21), (1, 11), (1, 12), (3, 31)]);
        assert_eq!(all.len(), 1);
        assert!(all["rows"].iter().all(|rows| rows.groups.as_ref().unwrap().len() == rows.records.column(0).len()));
    }
}

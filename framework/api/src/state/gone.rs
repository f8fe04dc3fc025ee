//! What changes say of state that was written before: which of it does not hold any more.
//!
//! An operator that [notes changes](crate::Operator::note_changes) writes a *piece* at each barrier: what is gone, and then rows. State is
//! what its pieces say one after the other. What is gone is known by its key (the columns `k0`, `k1` and so on of its rows), by its pane (the columns
//! `n0` and `n1`: a window or a slice), or by both. In pieces it is under names that no node can call its state, which stand
//! before all others.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::builder::BinaryBuilder;
use arrow::array::{ArrayRef, AsArray, BinaryArray, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};

use super::{PaneKey, StateEntries, StateRows, StateWriter, key_columns, pane_columns, panes_on_disk};
use crate::error::{Error, ErrorKind, Result};
use crate::key_group::{CanonicalKeys, group_of_key};

/// The name under which changes have the keys whose state is gone or written anew, by their canonical bytes.
pub const GONE: &str = "(gone)";

/// The name under which changes have the keys whose state is gone or written anew in some panes only: columns `n0`, `n1`, and
/// their canonical bytes.
pub const GONE_GROUPS: &str = "(gone groups)";

/// The name under which changes have the panes whose state is gone: what was written of them before does not hold any more. Rows of
/// [`panes_on_disk`].
pub const GONE_PANES: &str = "(gone panes)";

/// Whether what is under this name says what is gone.
pub fn is_gone(name: &str) -> bool {
    [GONE, GONE_GROUPS, GONE_PANES].contains(&name)
}

impl StateWriter {
    /// Of changes ([`Operator::snapshot_changes`](crate::Operator::snapshot_changes)): what was written of these keys before does
    /// not count any more. What is written of them now does.
    ///
    /// # Errors
    /// When a column is of a type that cannot be a key.
    pub fn put_gone(&mut self, keys: &[ArrayRef], rows: usize, key_groups: u16) -> Result<()> {
        if rows == 0 {
            return Ok(());
        }
        let (groups, gone) = canonical(keys, rows, key_groups)?;
        self.add(GONE, StateRows { groups: Some(groups.into()), records: gone_records(gone)? });
        Ok(())
    }

    /// The same of these keys in one pane.
    ///
    /// # Errors
    /// When a column is of a type that cannot be a key.
    pub fn put_gone_groups(&mut self, (first, second): PaneKey, keys: &[ArrayRef], rows: usize, key_groups: u16) -> Result<()> {
        if rows == 0 {
            return Ok(());
        }
        let (groups, gone) = canonical(keys, rows, key_groups)?;
        let numbers = ["n0", "n1"].map(|name| Field::new(name, DataType::Int64, false));
        let schema = Schema::new(numbers.into_iter().chain([Field::new("key", DataType::Binary, false)]).collect::<Vec<_>>());
        let pane = [first, second].map(|number| Arc::new(Int64Array::from_value(number, rows)) as ArrayRef);
        let records = RecordBatch::try_new(Arc::new(schema), pane.into_iter().chain([Arc::new(gone) as ArrayRef]).collect())?;
        self.add(GONE_GROUPS, StateRows { groups: Some(groups.into()), records });
        Ok(())
    }

    /// The same of all keys in these panes.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn put_gone_panes(&mut self, panes: impl IntoIterator<Item = PaneKey>) -> Result<()> {
        let records = panes_on_disk(panes.into_iter().map(|pane| (pane, 0)))?;
        if records.num_rows() > 0 {
            self.put(GONE_PANES, records);
        }
        Ok(())
    }
}

/// The canonical bytes of keys and their key groups.
fn canonical(keys: &[ArrayRef], rows: usize, key_groups: u16) -> Result<(Vec<u16>, BinaryArray)> {
    let canonical = CanonicalKeys::new(keys)?;
    let (mut groups, mut bytes) = (Vec::with_capacity(rows), Vec::new());
    let mut found = BinaryBuilder::with_capacity(rows, 0);
    for row in 0..rows {
        bytes.clear();
        canonical.encode(row, &mut bytes);
        groups.push(group_of_key(&bytes, key_groups));
        found.append_value(&bytes);
    }
    Ok((groups, found.finish()))
}

/// Keys that are gone, by their canonical bytes, in the form in which they are written.
///
/// # Errors
/// Only internal ones.
pub fn gone_records(canonical: BinaryArray) -> Result<RecordBatch> {
    let schema = Schema::new(vec![Field::new("key", DataType::Binary, false)]);
    Ok(RecordBatch::try_new(Arc::new(schema), vec![Arc::new(canonical)])?)
}

/// What pieces say is gone of those before them.
#[derive(Debug, Default)]
pub struct Gone {
    keys: HashSet<Vec<u8>>,
    panes: HashSet<PaneKey>,
    groups: HashMap<PaneKey, HashSet<Vec<u8>>>,
}

impl Gone {
    /// Adds what a piece says is gone.
    ///
    /// # Errors
    /// When it is not in the form in which it is written.
    pub fn add(&mut self, piece: &StateEntries) -> Result<()> {
        self.keys.extend(gone_keys(piece)?);
        for rows in piece.get(GONE_PANES).into_iter().flatten() {
            self.panes.extend(panes_of(&rows.records)?);
        }
        for rows in piece.get(GONE_GROUPS).into_iter().flatten() {
            let keys = rows.records.columns().get(2).and_then(|column| column.as_binary_opt::<i32>()).ok_or_else(damaged)?;
            for (pane, key) in panes_of(&rows.records)?.zip(keys) {
                self.groups.entry(pane).or_default().extend(key.map(<[u8]>::to_vec));
            }
        }
        Ok(())
    }

    /// The rows that are not gone.
    ///
    /// # Errors
    /// When a column is of a type that cannot be a key.
    pub fn without(&self, rows: &StateRows) -> Result<StateRows> {
        let panes = pane_columns(&rows.records).filter(|_| !self.panes.is_empty() || !self.groups.is_empty());
        if self.keys.is_empty() && panes.is_none() {
            return Ok(rows.clone());
        }
        let has_keys = !self.keys.is_empty() || !self.groups.is_empty();
        let keys = has_keys.then(|| CanonicalKeys::new(&key_columns(&rows.records))).transpose()?;
        let mut bytes = Vec::new();
        let stays = |row: usize| {
            bytes.clear();
            if let Some(keys) = &keys {
                keys.encode(row, &mut bytes);
            }
            let pane = panes.map(|[first, second]| (first.value(row), second.value(row)));
            let is_in = |pane: &PaneKey| self.panes.contains(pane) || self.groups.get(pane).is_some_and(|keys| keys.contains(&bytes));
            Some(!self.keys.contains(&bytes) && !pane.as_ref().is_some_and(is_in))
        };
        let mask: BooleanArray = (0..rows.records.num_rows()).map(stays).collect();
        if mask.false_count() > 0 { rows.filter(&mask) } else { Ok(rows.clone()) }
    }
}

/// The canonical bytes of the keys of which no earlier piece says anything that still holds.
///
/// # Errors
/// When they are not in the form in which they are written.
pub fn gone_keys(piece: &StateEntries) -> Result<Vec<Vec<u8>>> {
    let mut keys = Vec::new();
    for rows in piece.get(GONE).into_iter().flatten() {
        let column = rows.records.columns().first().and_then(|column| column.as_binary_opt::<i32>()).ok_or_else(damaged)?;
        keys.extend(column.iter().flatten().map(<[u8]>::to_vec));
    }
    Ok(keys)
}

fn panes_of(records: &RecordBatch) -> Result<impl Iterator<Item = PaneKey> + '_> {
    let [first, second] = pane_columns(records).ok_or_else(damaged)?;
    Ok(first.values().iter().copied().zip(second.values().iter().copied()))
}

fn damaged() -> Error {
    Error::new(ErrorKind::State, "damaged: what is gone is not in the form in which it is written")
}

/// Pieces as one. Rows keep their order.
///
/// # Errors
/// When what is gone is not in the form in which it is written.
pub fn together(pieces: Vec<StateEntries>) -> Result<StateEntries> {
    let mut gone = Gone::default();
    let mut all = StateEntries::new();
    for piece in pieces.into_iter().rev() {
        for (name, rows) in piece.iter().filter(|(name, _)| !is_gone(name)) {
            for rows in rows.iter().rev() {
                let rows = gone.without(rows)?;
                if rows.records.num_rows() > 0 {
                    all.entry(name.clone()).or_default().push(rows);
                }
            }
        }
        gone.add(&piece)?;
    }
    all.values_mut().for_each(|rows| rows.reverse());
    Ok(all)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::key_group::key_groups;

    fn column(values: impl IntoIterator<Item = i64>) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(values))
    }

    /// Rows of numbers under the names of these columns, the key in `k0`.
    fn put<const N: usize>(writer: &mut StateWriter, names: [&str; N], rows: &[[i64; N]]) {
        let columns: Vec<ArrayRef> = (0..N).map(|i| column(rows.iter().map(|row| row[i]))).collect();
        let key = names.iter().position(|name| *name == "k0").unwrap();
        let groups = key_groups(&columns[key..=key], rows.len(), 8).unwrap();
        let schema = Schema::new(names.map(|name| Field::new(name, DataType::Int64, false)).to_vec());
        writer.put_keyed("rows", &groups, &RecordBatch::try_new(Arc::new(schema), columns).unwrap()).unwrap();
    }

    fn rows<const N: usize>(all: &StateEntries) -> Vec<[i64; N]> {
        let of = |records: &RecordBatch| -> Vec<[i64; N]> {
            let value = |row: usize, i: usize| records.column(i).as_primitive::<Int64Type>().value(row);
            (0..records.num_rows()).map(|row| std::array::from_fn(|i| value(row, i))).collect()
        };
        all["rows"].iter().flat_map(|rows| of(&rows.records)).collect()
    }

    #[test]
    fn what_a_later_piece_takes_back_does_not_count_and_rows_are_added() {
        let piece = |gone: &[i64], rows: &[[i64; 2]]| {
            let mut writer = StateWriter::new();
            writer.put_gone(&[column(gone.iter().copied())], gone.len(), 8).unwrap();
            put(&mut writer, ["k0", "v"], rows);
            writer.into_entries()
        };
        let pieces = vec![
            piece(&[], &[[1, 10], [2, 20], [3, 30]]),
            piece(&[], &[[2, 21], [4, 40]]),
            piece(&[1, 3, 9], &[[1, 11], [1, 12]]),
            piece(&[4], &[[3, 31]]),
        ];
        assert_eq!(rows(&together(pieces).unwrap()), [[2, 20], [2, 21], [1, 11], [1, 12], [3, 31]]);
    }

    #[test]
    fn panes_are_gone_as_a_whole_or_key_by_key() {
        let piece = |panes: &[PaneKey], groups: &[(PaneKey, i64)], rows: &[[i64; 4]]| {
            let mut writer = StateWriter::new();
            writer.put_gone_panes(panes.iter().copied()).unwrap();
            groups.iter().for_each(|(pane, key)| writer.put_gone_groups(*pane, &[column([*key])], 1, 8).unwrap());
            put(&mut writer, ["n0", "n1", "k0", "v"], rows);
            writer.into_entries()
        };
        let pieces = vec![
            piece(&[], &[], &[[0, 1, 7, 10], [0, 1, 8, 20], [0, 2, 7, 30], [5, 5, 7, 40]]),
            piece(&[(5, 5)], &[((0, 1), 7), ((0, 2), 8)], &[[0, 1, 7, 11], [5, 5, 8, 41]]),
        ];
        assert!(!pieces[0].contains_key(GONE_PANES) && !pieces[0].contains_key(GONE_GROUPS));
        assert_eq!(rows(&together(pieces).unwrap()), [[0, 1, 8, 20], [0, 2, 7, 30], [0, 1, 7, 11], [5, 5, 8, 41]]);
    }

    #[test]
    fn keys_that_are_gone_are_in_their_groups() {
        let keys: [ArrayRef; 1] = [Arc::new(Int64Array::from(vec![Some(42), None]))];
        let mut writer = StateWriter::new();
        writer.put_gone(&keys, 0, 128).unwrap();
        writer.put_gone(&keys, 2, 128).unwrap();
        writer.put_gone_groups((1, 2), &keys, 2, 128).unwrap();
        let entries = writer.into_entries();
        assert_eq!(entries[GONE].len(), 1);
        let groups = key_groups(&keys, 2, 128).unwrap();
        assert_eq!(entries[GONE][0].groups.as_deref(), Some(&groups[..]));
        assert_eq!(entries[GONE_GROUPS][0].groups.as_deref(), Some(&groups[..]));
        assert_eq!(entries[GONE][0].records.column(0).as_binary::<i32>().value(1), [0]);
    }

    #[test]
    fn what_is_not_in_its_form_is_an_error() {
        let records =
            RecordBatch::try_new(Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, false)])), vec![column([1])]).unwrap();
        for name in [GONE, GONE_GROUPS, GONE_PANES] {
            let piece = StateEntries::from([(name.to_owned(), vec![StateRows { groups: None, records: records.clone() }])]);
            assert!(Gone::default().add(&piece).is_err(), "{name}");
            assert!(is_gone(name) && !is_gone("rows"));
        }
    }
}

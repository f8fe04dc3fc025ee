//! What an operator has written of its keys, to the store and into the log: only keys that may have changed, group by group, so that
//! what is made of them on the way is small beside them.

use std::collections::BTreeMap;

use arrow::array::{BinaryArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::row::Rows;
use millstream_api::error::{Error, Result};
use millstream_api::key_group::CanonicalKeys;
use millstream_api::state::gone::gone_records;
use millstream_api::state::{GONE, StateEntries, StateRows, key_columns};
use millstream_api::time::ClockTime;

use super::codec;
use super::cold::DiskState;
use super::due::{self, Change, DueRows};
use super::log::Log;
use super::resident::GROUP_BYTES;
use super::writer::Writer;
use crate::part::{self, PART_BYTES};

/// Rows of one name and group.
struct Changed {
    /// The place of the name in the codec.
    place: usize,
    records: RecordBatch,
    /// The same as bytes.
    rows: Rows,
    /// The number of each row's key.
    numbers: Vec<u32>,
    /// When they are due, where event time ends something of keys.
    due: Option<DueRows>,
}

impl DiskState {
    /// Writes the keys that may have changed. `entries` has all keys that are in memory; a key that is not among them is gone.
    pub(super) fn write(&mut self, entries: StateEntries, now: ClockTime, log: Option<Log>) -> Result<()> {
        let mut groups = by_group(entries)?;
        let dirty = self.resident.dirty();
        let scratch = self.scratch.clone();
        let space = self.space.clone();
        let mut writer = Writer::new(&space, &scratch, dirty.len())?;
        let mut piece = StateEntries::new();
        let (mut piece_bytes, mut changes) = (0, Vec::new());
        let groups_of: Vec<u16> = dirty.iter().map(|&number| self.resident.slot(number).group).collect();
        let mut from = 0;
        for of_keys in groups_of.chunk_by(|a, b| a == b) {
            let (group, keys) = (of_keys[0], &dirty[from..from + of_keys.len()]);
            from += of_keys.len();
            let of_group = self.changed(groups.remove(&group).unwrap_or_default())?;
            let gone = self.write_group(keys, &of_group, now, &mut writer, &mut changes)?;
            if log.is_some() {
                piece_bytes += of_group.iter().map(|changed| changed.rows.size()).sum::<usize>();
                self.note(group, of_group, &gone, &mut piece)?;
            }
            if piece_bytes > PART_BYTES {
                self.keep(&mut piece, log.as_ref())?;
                piece_bytes = 0;
            }
        }
        writer.finish()?;
        if let Some(index) = &mut self.index {
            index.write(changes, &self.resident, &self.scratch)?;
        }
        self.keep(&mut piece, log.as_ref())?;
        self.counts.bytes = self.disk_bytes();
        Ok(())
    }

    /// Of the rows of a group those whose keys may have changed, as bytes, with the number of each row's key.
    fn changed(&mut self, batches: Vec<(String, RecordBatch)>) -> Result<Vec<Changed>> {
        let mut changed = Vec::new();
        for (name, batch) in batches {
            let place = self.codec.place(&name).ok_or_else(|| Error::internal(format!("state `{name}` does not leave memory")))?;
            let keys = CanonicalKeys::new(&key_columns(&batch))?;
            let (mut bytes, mut numbers) = (Vec::new(), Vec::new());
            let mut mask = Vec::with_capacity(batch.num_rows());
            for row in 0..batch.num_rows() {
                bytes.clear();
                keys.encode(row, &mut bytes);
                let (number, is_new) = self.resident.number(&bytes);
                if is_new {
                    return Err(Error::internal(format!("state `{name}` has a key that was never asked for")));
                }
                let dirty = self.resident.is_dirty(number);
                mask.push(dirty);
                numbers.extend(dirty.then_some(number));
            }
            let batch = if numbers.len() < mask.len() { filter_record_batch(&batch, &BooleanArray::from(mask))? } else { batch };
            let rows = self.codec.form(place, &batch)?.rows(&batch)?;
            let due = self.due.and_then(|due| DueRows::of(&due, place, &batch));
            changed.push(Changed { place, records: batch, rows, numbers, due });
        }
        Ok(changed)
    }

    /// Writes the changed keys of one group. The result: those of which pieces before may have something that does not hold now.
    fn write_group(
        &mut self,
        keys: &[u32],
        rows: &[Changed],
        now: ClockTime,
        writer: &mut Writer<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<Vec<u32>> {
        let mut of_key: Vec<(u32, usize, usize)> = Vec::new();
        for (index, changed) in rows.iter().enumerate() {
            of_key.extend(changed.numbers.iter().enumerate().map(|(row, &number)| (number, index, row)));
        }
        of_key.sort_unstable();
        let (mut gone, mut value) = (Vec::new(), Vec::new());
        for &number in keys {
            let own = &of_key[of_key.partition_point(|(other, _, _)| *other < number)..];
            let own = &own[..own.partition_point(|(other, _, _)| *other == number)];
            let at = self.note_due(number, rows, own, changes).unwrap_or(now.0);
            codec::begin(at, &mut value);
            for &(_, index, row) in own {
                codec::add(rows[index].place, rows[index].rows.row(row).data(), &mut value);
            }
            let was_there = self.put(number, (!own.is_empty()).then_some(&value), writer)?;
            // One that was forgotten on disk is still in a piece.
            if was_there || (!own.is_empty() && self.forgets()) {
                gone.push(number);
            }
        }
        Ok(gone)
    }

    /// When a key with these rows is due; what that changes is put down.
    fn note_due(&mut self, number: u32, rows: &[Changed], own: &[(u32, usize, usize)], changes: &mut Vec<Change>) -> Option<i64> {
        let due = self.due?;
        let own = own.iter().filter_map(|&(_, index, row)| Some((rows[index].due.as_ref()?, row)));
        let first = own.clone().map(|(of, row)| of.due(row)).min();
        let after = due::of_key(&due, own);
        due::changes(number, self.resident.due(number), after, changes);
        let at = after.map(|(at, _)| at);
        self.resident.set_due(number, at);
        self.resident.set_first_due(number, first);
        at
    }

    /// Writes a key, or removes it where it has no value. Whether it was there.
    fn put(&mut self, number: u32, value: Option<&Vec<u8>>, writer: &mut Writer<'_>) -> Result<bool> {
        let slot = self.resident.slot_mut(number);
        let was_there = std::mem::replace(&mut slot.on_disk, value.is_some());
        slot.dirty = false;
        match value {
            Some(value) => {
                writer.put(self.resident.key(number), value)?;
                self.counts.keys += u64::from(!was_there);
            }
            None if was_there => {
                writer.remove(self.resident.key(number))?;
                self.counts.keys -= 1;
            }
            None => {}
        }
        Ok(was_there)
    }

    /// Adds a group to what is kept for the next checkpoint.
    fn note(&self, group: u16, rows: Vec<Changed>, gone: &[u32], piece: &mut StateEntries) -> Result<()> {
        for Changed { place, records, .. } in rows.into_iter().filter(|changed| changed.records.num_rows() > 0) {
            let groups = Some(vec![group; records.num_rows()].into());
            piece.entry(self.codec.name(place).to_owned()).or_default().push(StateRows { groups, records });
        }
        if !gone.is_empty() {
            let keys = BinaryArray::from_iter_values(gone.iter().map(|&number| &self.resident.key(number)[GROUP_BYTES..]));
            let records = gone_records(keys)?;
            let groups = Some(vec![group; records.num_rows()].into());
            piece.entry(GONE.to_owned()).or_default().push(StateRows { groups, records });
        }
        Ok(())
    }

    fn keep(&self, piece: &mut StateEntries, log: Option<&Log>) -> Result<()> {
        match log {
            Some(log) if !piece.is_empty() => {
                let piece = std::mem::take(piece);
                part::each(&piece, usize::MAX, &mut |bytes| log.add(bytes, self.space.disk_bytes(), &self.scratch))
            }
            _ => Ok(()),
        }
    }
}

/// Rows of one key group, by the name of the state.
type OfGroup = Vec<(String, RecordBatch)>;

/// What was written, by key group. Rows of a group keep their order.
fn by_group(entries: StateEntries) -> Result<BTreeMap<u16, OfGroup>> {
    let mut all: BTreeMap<u16, OfGroup> = BTreeMap::new();
    for (name, rows) in entries.iter().flat_map(|(name, rows)| rows.iter().map(move |rows| (name, rows))) {
        let groups = rows.groups.as_ref().ok_or_else(|| Error::internal(format!("state `{name}` leaves memory and has no keys")))?;
        let mut order: Vec<u32> = (0..groups.len() as u32).collect();
        order.sort_by_key(|&row| groups[row as usize]);
        let sorted = take_record_batch(&rows.records, &UInt32Array::from(order.clone()))?;
        let mut from = 0;
        for run in order.chunk_by(|&a, &b| groups[a as usize] == groups[b as usize]) {
            all.entry(groups[run[0] as usize]).or_default().push((name.clone(), sorted.slice(from, run.len())));
            from += run.len();
        }
    }
    Ok(all)
}

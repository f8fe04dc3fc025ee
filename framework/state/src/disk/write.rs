//! What an operator has written of its keys, to the store and into the log: only keys that may have changed, group by group, so that
//! what is made of them on the way is small beside them.

use std::collections::BTreeMap;

use arrow::array::{BinaryArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::row::Rows;
use millstream_api::error::{Error, Result};
use millstream_api::key_group::CanonicalKeys;
use millstream_api::state::{GONE, StateEntries, StateRows, gone_records, key_columns};
use millstream_api::time::ClockTime;

use super::codec;
use super::cold::DiskState;
use super::log::Log;
use super::resident::GROUP_BYTES;
use super::writer::Writer;
use crate::part::{self, PART_BYTES};

/// Rows of one name and group: its place in the codec, the rows, the same as bytes, the number of each row's key.
type Changed = (usize, RecordBatch, Rows, Vec<u32>);

impl DiskState {
    /// Writes the keys that may have changed. `entries` has all keys that are in memory; a key that is not among them is gone.
    pub(super) fn write(&mut self, entries: StateEntries, now: ClockTime, log: Option<Log>) -> Result<()> {
        let mut groups = by_group(entries)?;
        let dirty = self.resident.dirty();
        let scratch = self.scratch.clone();
        let keyspace = self.keyspace.clone();
        let mut writer = Writer::new(&keyspace, &scratch, dirty.len())?;
        let mut piece = StateEntries::new();
        let mut piece_bytes = 0;
        let groups_of: Vec<u16> = dirty.iter().map(|&number| self.resident.slot(number).group).collect();
        let mut from = 0;
        for of_keys in groups_of.chunk_by(|a, b| a == b) {
            let (group, keys) = (of_keys[0], &dirty[from..from + of_keys.len()]);
            from += of_keys.len();
            let of_group = self.changed(groups.remove(&group).unwrap_or_default())?;
            let gone = self.write_group(keys, &of_group, now, &mut writer)?;
            if log.is_some() {
                piece_bytes += of_group.iter().map(|(_, _, rows, _)| rows.size()).sum::<usize>();
                self.note(group, of_group, &gone, &mut piece)?;
            }
            if piece_bytes > PART_BYTES {
                self.keep(&mut piece, log.as_ref())?;
                piece_bytes = 0;
            }
        }
        writer.finish()?;
        self.keep(&mut piece, log.as_ref())?;
        self.counts.bytes = self.keyspace.disk_space();
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
                let dirty = self.resident.slot(number).dirty;
                mask.push(dirty);
                numbers.extend(dirty.then_some(number));
            }
            let batch = if numbers.len() < mask.len() { filter_record_batch(&batch, &BooleanArray::from(mask))? } else { batch };
            let rows = self.codec.form(place, &batch)?.rows(&batch)?;
            changed.push((place, batch, rows, numbers));
        }
        Ok(changed)
    }

    /// Writes the changed keys of one group. The result: those of which pieces before may have something that does not hold now.
    fn write_group(&mut self, keys: &[u32], rows: &[Changed], now: ClockTime, writer: &mut Writer<'_>) -> Result<Vec<u32>> {
        let mut of_key: Vec<(u32, usize, usize)> = Vec::new();
        for (index, (_, _, _, numbers)) in rows.iter().enumerate() {
            of_key.extend(numbers.iter().enumerate().map(|(row, &number)| (number, index, row)));
        }
        of_key.sort_unstable();
        let (mut gone, mut value) = (Vec::new(), Vec::new());
        for &number in keys {
            let from = of_key.partition_point(|(other, _, _)| *other < number);
            let own = of_key[from..].iter().take_while(|(other, _, _)| *other == number);
            codec::begin(now.0, &mut value);
            for &(_, index, row) in own {
                codec::add(rows[index].0, rows[index].2.row(row).data(), &mut value);
            }
            let is_there = value.len() > size_of::<i64>();
            let slot = self.resident.slot_mut(number);
            let was_there = std::mem::replace(&mut slot.on_disk, is_there);
            slot.dirty = false;
            match (was_there, is_there) {
                (_, true) => {
                    writer.put(self.resident.key(number), &value)?;
                    self.counts.keys += u64::from(!was_there);
                }
                (true, false) => {
                    writer.remove(self.resident.key(number))?;
                    self.counts.keys -= 1;
                }
                (false, false) => {}
            }
            // One that was forgotten on disk is still in a piece.
            if was_there || (is_there && self.forgotten_after.is_some()) {
                gone.push(number);
            }
        }
        Ok(gone)
    }

    /// Adds a group to what is kept for the next checkpoint.
    fn note(&self, group: u16, rows: Vec<Changed>, gone: &[u32], piece: &mut StateEntries) -> Result<()> {
        for (place, batch, _, _) in rows.into_iter().filter(|(_, batch, _, _)| batch.num_rows() > 0) {
            let groups = Some(vec![group; batch.num_rows()].into());
            piece.entry(self.codec.name(place).to_owned()).or_default().push(StateRows { groups, records: batch });
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
                part::each(&piece, usize::MAX, &mut |bytes| log.add(bytes, self.keyspace.disk_space(), &self.scratch))
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

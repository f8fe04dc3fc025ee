//! When keys on disk are due by event time: an index beside them, in the order of these instants.
//!
//! ```text
//! key   := due group canonical   due: 8 bytes, in the order of numbers; then the key as it lies on disk
//! value := rows                  how many rows the key has, as 8 bytes
//! ```
//!
//! A key on disk has one entry, which is changed when the key is written. So that of a key in memory may not hold any more; it says
//! nothing, since what is in memory is looked at by the operator. Nothing is looked for before the place up to which all has been
//! found: there only traces of entries that are gone may be left.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use millstream_api::EventTime;
use millstream_api::error::Result;
use millstream_api::plan::{Due, Then};
use millstream_api::state::{DueKeys, KEYS_ON_DISK, StateEntries, StateReader, StateRows, panes_on_disk};

use super::blocks::ordered;
use super::codec::{self, Found};
use super::cold::DiskState;
use super::resident::{GROUP_BYTES, Resident};
use super::scratch::Scratch;
use super::space::Space;
use super::writer::Writer;

/// Where the key begins in that of its entry.
const KEY_AT: usize = size_of::<i64>();

/// So many keys are dropped at once at most.
pub(super) const MOST_KEYS: usize = 4096;

/// So many keys are got ready at once at most.
const MOST_READY: usize = if cfg!(test) { 4 } else { 16 * 1024 };

/// All keys are read in their order where at least one of so many is due.
const SCANNED_TIMES: usize = 16;

/// The entries of one subtask's keys.
pub(super) struct DueIndex {
    pub(super) space: Space,
    /// Entries before it are of keys that are in memory, or have gone.
    from: Vec<u8>,
    /// The instant of the first entry from there on, while it is known.
    next: Option<Option<EventTime>>,
    /// Keys that are due and have not come back yet, in the order in which they are on disk, so that what lies together is read together.
    ready: VecDeque<Vec<u8>>,
    /// Where many are due all keys on disk are read in their order; from which one on.
    scan_from: Option<Vec<u8>>,
    /// For this instant it is known that they are not that many.
    are_few: Option<i64>,
}

/// An entry that comes, with so many rows, or goes.
pub(super) struct Change {
    due: i64,
    number: u32,
    rows: Option<u64>,
}

/// What the index must know of rows of state of which something is due.
pub(super) struct DueRows {
    instants: Int64Array,
    after_micros: i64,
    stand_for: Option<Int64Array>,
}

impl DueRows {
    /// Of rows of the name at this place; `None`: they are never due by themselves.
    pub(super) fn of(due: &Due, place: usize, records: &RecordBatch) -> Option<DueRows> {
        let number = |name: &str| records.column_by_name(name)?.as_primitive_opt::<Int64Type>();
        let after_micros = due.after_micros.get(place).copied().unwrap_or_default();
        Some(DueRows { instants: number(due.column)?.clone(), after_micros, stand_for: number("n2").cloned() })
    }

    /// When a row is.
    pub(super) fn due(&self, row: usize) -> i64 {
        // The least number stands for no instant.
        self.instants.value(row).saturating_add(self.after_micros).max(i64::MIN + 1)
    }

    fn rows(&self, row: usize) -> u64 {
        self.stand_for.as_ref().map_or(1, |rows| rows.value(row).unsigned_abs())
    }
}

/// When a key with these rows is due, and how many rows they stand for; `None`: it has none.
pub(super) fn of_key<'r>(due: &Due, rows: impl Iterator<Item = (&'r DueRows, usize)>) -> Option<(i64, u64)> {
    let of_rows = rows.map(|(of, row)| (of.due(row), of.rows(row)));
    of_rows.reduce(|(one, rows), (other, more)| match due.then {
        Then::ComesBack => (one.min(other), rows + more),
        Then::IsDropped => (one.max(other), rows + more),
    })
}

/// What writing a key changes: it was due at one instant and is at another.
pub(super) fn changes(number: u32, before: Option<i64>, after: Option<(i64, u64)>, to: &mut Vec<Change>) {
    let gone = before.filter(|before| after.is_none_or(|(due, _)| due != *before));
    to.extend(gone.map(|due| Change { due, number, rows: None }));
    to.extend(after.map(|(due, rows)| Change { due, number, rows: Some(rows) }));
}

impl DueIndex {
    /// No entries.
    pub(super) fn new(scratch: &Scratch) -> Result<DueIndex> {
        Ok(DueIndex { space: scratch.space()?, from: Vec::new(), next: None, ready: VecDeque::new(), scan_from: None, are_few: None })
    }

    /// Writes what has changed of keys in memory.
    pub(super) fn write(&mut self, mut changes: Vec<Change>, resident: &Resident, scratch: &Scratch) -> Result<()> {
        changes.sort_unstable_by(|a, b| a.due.cmp(&b.due).then_with(|| resident.key(a.number).cmp(resident.key(b.number))));
        self.next = None;
        let mut writer = Writer::new(&self.space, scratch, changes.len())?;
        for (index, change) in changes.iter().enumerate() {
            let mut entry = ordered(change.due).to_vec();
            entry.extend_from_slice(resident.key(change.number));
            match change.rows {
                Some(rows) => writer.put(&entry, &rows.to_le_bytes())?,
                None => writer.remove(&entry)?,
            }
            if index == 0 && entry < self.from {
                self.from = entry;
            }
        }
        writer.finish()
    }

    /// The next entries up to an instant, each with its rows.
    fn up_to(&self, until: i64, scratch: &Arc<Scratch>) -> impl Iterator<Item = Result<(Vec<u8>, u64)>> + use<> {
        let end = until.checked_add(1).map_or(Bound::Unbounded, |end| Bound::Excluded(ordered(end).to_vec()));
        // Both bounds are one, and out of order, when all up to there has been found.
        let is_through = matches!(&end, Bound::Excluded(end) if *end <= self.from);
        let found = (!is_through).then(|| self.space.range((Bound::Included(self.from.clone()), end)));
        let scratch = scratch.clone();
        found.into_iter().flatten().map(move |found| {
            let (key, value) = found.map_err(|cause| scratch.failed("read state from", &cause))?;
            // Copied: as it is found a key holds the block of the file that it is in.
            Ok((key.to_vec(), value.first_chunk().map_or(0, |rows| u64::from_le_bytes(*rows))))
        })
    }

    /// Whether so many of these keys are due up to an instant that it is less work to read all of them.
    fn has_many(&mut self, until: i64, keys: u64, scratch: &Arc<Scratch>) -> Result<bool> {
        let many = (keys as usize / SCANNED_TIMES).max(MOST_READY);
        if self.are_few == Some(until) || keys < MOST_READY as u64 {
            return Ok(false);
        }
        self.are_few = Some(until);
        let mut entries = self.up_to(until, scratch).take(many);
        let count = entries.try_fold(0, |count, entry| entry.map(|_| count + 1))?;
        Ok(count == many)
    }

    /// Takes the next entries up to an instant, as far as they are of keys that are not in memory: those may be written anew
    /// meanwhile. False: there are none.
    fn get_ready(&mut self, until: i64, resident: &Resident, scratch: &Arc<Scratch>) -> Result<bool> {
        let entries = self.up_to(until, scratch).take(MOST_READY).collect::<Result<Vec<_>>>()?;
        if let Some((last, _)) = entries.last() {
            self.pass(last);
        }
        let was_there = !entries.is_empty();
        let keys = entries.into_iter().map(|(entry, _)| entry[KEY_AT..].to_vec());
        let mut keys: Vec<Vec<u8>> = keys.filter(|key| resident.find(&key[GROUP_BYTES..]).is_none()).collect();
        keys.sort_unstable();
        self.ready = keys.into();
        Ok(was_there)
    }

    /// This entry is dealt with.
    fn pass(&mut self, entry: &[u8]) {
        self.from.clear();
        self.from.extend_from_slice(entry);
        self.from.push(0);
        self.next = None;
    }

    /// All entries up to an instant are dealt with.
    fn pass_all(&mut self, until: i64) {
        let behind = until.checked_add(1).map_or_else(|| vec![u8::MAX; KEY_AT + 1], |next| ordered(next).to_vec());
        if behind > self.from {
            (self.from, self.next) = (behind, None);
        }
    }

    /// The instant of the next entry.
    fn next(&mut self, scratch: &Arc<Scratch>) -> Result<Option<EventTime>> {
        if let Some(next) = self.next {
            return Ok(next);
        }
        let first = self.up_to(i64::MAX, scratch).next().transpose()?;
        let next = first.and_then(|(entry, _)| entry.first_chunk().map(|due| EventTime(i64::from_be_bytes(*due) ^ i64::MIN)));
        self.next = Some(next);
        Ok(next)
    }

    /// Tells an operator what is on disk of its keys at the start.
    pub(super) fn tell(&mut self, scratch: &Arc<Scratch>, state: &mut StateEntries) -> Result<()> {
        let rows = self.up_to(i64::MAX, scratch).map(|entry| entry.map(|(_, rows)| rows)).sum::<Result<u64>>()?;
        if let Some(EventTime(next)) = self.next(scratch)? {
            let records = panes_on_disk([((next, 0), rows)])?;
            state.insert(KEYS_ON_DISK.to_owned(), vec![StateRows { groups: None, records }]);
        }
        Ok(())
    }
}

impl DiskState {
    /// What follows for keys that are due up to an instant.
    pub(super) fn take_due(&mut self, until: EventTime) -> Result<DueKeys> {
        let Some((mut index, then)) = self.index.take().zip(self.due.map(|due| due.then)) else { return Ok(DueKeys::default()) };
        self.resident.asked_up_to(until.0);
        let taken = match then {
            Then::ComesBack => self.come_back(&mut index, until.0),
            Then::IsDropped => self.drop_due(&mut index, until.0),
        };
        self.index = Some(index);
        taken
    }

    fn come_back(&mut self, index: &mut DueIndex, until: i64) -> Result<DueKeys> {
        loop {
            let back = match index.scan_from.take() {
                Some(from) => self.scan(index, from, until)?,
                None if index.ready.is_empty() && index.has_many(until, self.counts.keys, &self.scratch)? => {
                    index.scan_from = Some(Vec::new());
                    continue;
                }
                None if index.ready.is_empty() && !index.get_ready(until, &self.resident, &self.scratch)? => {
                    index.pass_all(until);
                    return Ok(DueKeys { next: index.next(&self.scratch)?, ..DueKeys::default() });
                }
                None => {
                    let (taken, back) = self.back(index.ready.iter().map(|key| &key[GROUP_BYTES..]))?;
                    index.ready.drain(..taken);
                    back
                }
            };
            if back.is_some() {
                return Ok(DueKeys { back, ..DueKeys::default() });
            }
        }
    }

    /// Reads keys in the order in which they are on disk, from this one on: those that are due and not in memory, in a piece that memory
    /// has room for.
    fn scan(&mut self, index: &mut DueIndex, from: Vec<u8>, until: i64) -> Result<Option<StateReader>> {
        let (mut found, mut is_through) = (Found::default(), true);
        for pair in self.space.range(from..) {
            let (key, value) = pair.map_err(|cause| self.scratch.failed("read state from", &cause))?;
            if found.size_bytes() >= self.part_bytes {
                index.scan_from = Some(key.to_vec());
                is_through = false;
                break;
            }
            let due = codec::at(&value).filter(|due| *due <= until);
            let canonical = key.get(GROUP_BYTES..).unwrap_or_default();
            if due.is_none() || self.resident.find(canonical).is_some() {
                continue;
            }
            let (number, _) = self.resident.number(canonical);
            self.resident.set_due(number, due);
            let slot = self.resident.slot_mut(number);
            (slot.dirty, slot.on_disk) = (true, true);
            found.add(slot.group, &value);
        }
        if is_through {
            index.pass_all(until);
        }
        self.given_back(&found)
    }

    fn drop_due(&mut self, index: &mut DueIndex, until: i64) -> Result<DueKeys> {
        if until == EventTime::MAX.0 {
            return self.drop_all(index);
        }
        let scratch = self.scratch.clone();
        let mut dropped_rows = 0;
        let mut is_through = false;
        while !is_through {
            let entries = index.up_to(until, &scratch).take(MOST_KEYS).collect::<Result<Vec<_>>>()?;
            is_through = entries.len() < MOST_KEYS;
            if let Some((last, _)) = entries.last() {
                index.pass(last);
            }
            let mut dropped: Vec<(Vec<u8>, u64)> = entries.into_iter().filter(|(entry, _)| self.is_on_disk_only(entry)).collect();
            remove(&index.space, dropped.iter().map(|(entry, _)| entry.as_slice()), &scratch)?;
            dropped.sort_unstable_by(|(a, _), (b, _)| a[KEY_AT..].cmp(&b[KEY_AT..]));
            remove(&self.space, dropped.iter().map(|(entry, _)| &entry[KEY_AT..]), &scratch)?;
            self.counts.keys -= dropped.len() as u64;
            dropped_rows += dropped.iter().map(|(_, rows)| rows).sum::<u64>();
        }
        index.pass_all(until);
        Ok(DueKeys { next: index.next(&scratch)?, dropped_rows, back: None })
    }

    /// The input is over: all keys go at once, without a mark for each of them.
    fn drop_all(&mut self, index: &mut DueIndex) -> Result<DueKeys> {
        let mut dropped_rows = 0;
        for entry in index.up_to(i64::MAX, &self.scratch) {
            let (entry, rows) = entry?;
            if self.is_on_disk_only(&entry) {
                self.counts.keys -= 1;
                dropped_rows += rows;
            }
        }
        *index = DueIndex::new(&self.scratch)?;
        self.space = self.scratch.space()?;
        self.counts.bytes = self.disk_bytes();
        Ok(DueKeys { dropped_rows, ..DueKeys::default() })
    }

    /// Whether the key of an entry is not in memory.
    fn is_on_disk_only(&self, entry: &[u8]) -> bool {
        self.resident.find(&entry[KEY_AT + GROUP_BYTES..]).is_none()
    }
}

fn remove<'k>(from: &Space, keys: impl ExactSizeIterator<Item = &'k [u8]>, scratch: &Scratch) -> Result<()> {
    let mut writer = Writer::new(from, scratch, keys.len())?;
    for key in keys {
        writer.remove(key)?;
    }
    writer.finish()
}

#[cfg(test)]
mod tests;

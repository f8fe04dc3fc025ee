//! One subtask's keys: fetched when rows of them come, written at barriers and when memory is full.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::ArrayRef;
use lsm_tree::UserValue;
use millstream_api::EventTime;
use millstream_api::error::Result;
use millstream_api::key_group::CanonicalKeys;
use millstream_api::plan::{Due, Spills, Then};
use millstream_api::state::gone::{Gone, gone_keys, is_gone};
use millstream_api::state::{ColdState, DueKeys, GONE, GONE_GROUPS, GONE_PANES, StateEntries, StateReader, key_columns};
use millstream_api::time::ClockTime;

use super::codec::{self, Codec, Found};
use super::due::DueIndex;
use super::log::Log;
use super::resident::Resident;
use super::scratch::Scratch;
use super::space::Space;
use super::touched::Touched;
use super::view::DiskSnapshot;
use super::writer::Writer;
use super::{DiskCounts, OnDisk};
use crate::pieces::Pieces;
use crate::snapshot::JobSnapshot;

/// Keys that are looked at in one go for their age, at least.
const AGED_AT_ONCE: usize = 4096;

/// Keys of one subtask, in memory and on disk.
pub struct DiskState {
    pub(super) space: Space,
    pub(super) codec: Codec,
    pub(super) resident: Resident,
    /// With checkpoints only.
    log: Option<Log>,
    pub(super) forgotten_after: Option<Duration>,
    /// Where event time ends something of keys: when, and which are next.
    pub(super) due: Option<Due>,
    pub(super) index: Option<DueIndex>,
    /// Where the node speaks at ticks of the clock: of which keys on disk there is something to say.
    pub(super) touched: Option<Touched>,
    /// Whether checkpoints that were made in memory say by panes what is gone.
    may_have_panes: bool,
    /// What comes back at once of keys that are due has about so many bytes.
    pub(super) part_bytes: usize,
    /// The key up to which the age of keys was looked at; `None`: not before `look_at`.
    aged_up_to: Option<Vec<u8>>,
    look_at: ClockTime,
    pub(super) counts: DiskCounts,
    /// Last, since it goes last.
    pub(super) scratch: Arc<Scratch>,
}

impl std::fmt::Debug for DiskState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DiskState({:?})", self.counts)
    }
}

impl DiskState {
    /// No keys. `part_bytes`: what may come back at once of those that are due; `checkpoints`: whether to keep what checkpoints need.
    ///
    /// # Errors
    /// When the disk can't be written to.
    pub fn new(scratch: &Arc<Scratch>, spills: &Spills, key_groups: u16, part_bytes: usize, checkpoints: bool) -> Result<DiskState> {
        Ok(DiskState {
            space: scratch.space()?,
            scratch: scratch.clone(),
            codec: Codec::new(spills.state),
            resident: Resident::new(key_groups),
            log: checkpoints.then(|| Log::new(true)),
            forgotten_after: spills.forgotten_after.map(|after| after.duration()),
            due: spills.due,
            index: spills.due.map(|_| DueIndex::new(scratch)).transpose()?,
            touched: spills.at_ticks.then(|| Touched::new(scratch)).transpose()?,
            part_bytes: part_bytes.max(1),
            may_have_panes: spills.notes_panes,
            aged_up_to: None,
            look_at: ClockTime(i64::MIN),
            counts: DiskCounts::default(),
        })
    }

    fn replay(&mut self, mut piece: StateEntries, groups: &Range<u16>, now: ClockTime) -> Result<()> {
        for rows in piece.values_mut().flatten() {
            *rows = rows.of_groups(|group| groups.contains(&group))?;
        }
        for key in gone_keys(&piece)? {
            let (number, _) = self.resident.number(&key);
            self.resident.slot_mut(number).dirty = true;
        }
        piece.remove(GONE);
        let gone = self.resident.len() as u32;
        for rows in piece.values().flatten() {
            let keys = CanonicalKeys::new(&key_columns(&rows.records))?;
            let mut bytes = Vec::new();
            for row in 0..rows.records.num_rows() {
                bytes.clear();
                keys.encode(row, &mut bytes);
                let (number, _) = self.resident.number(&bytes);
                let slot = self.resident.slot_mut(number);
                (slot.dirty, slot.touched) = (true, true);
            }
        }
        for number in 0..gone {
            self.value_of(number)?;
        }
        let mut all = self.found(gone..self.resident.len() as u32)?.unwrap_or_default();
        for (name, rows) in piece {
            all.entry(name).or_default().extend(rows);
        }
        self.write(all, now, None)?;
        self.all_leave()
    }

    /// Keys are in memory no more.
    fn all_leave(&mut self) -> Result<()> {
        if let Some(touched) = &self.touched {
            touched.add(&self.resident, &self.scratch)?;
        }
        self.resident.clear();
        Ok(())
    }

    /// What is on disk of these keys and not in memory, in a piece that memory has room for. How many of the keys that are.
    pub(super) fn back<'k>(&mut self, canonical: impl Iterator<Item = &'k [u8]>) -> Result<(usize, Option<StateReader>)> {
        let (mut found, mut taken) = (Found::default(), 0);
        for key in canonical {
            if found.size_bytes() >= self.part_bytes {
                break;
            }
            taken += 1;
            let (number, is_new) = self.resident.number(key);
            self.resident.slot_mut(number).dirty = true;
            if is_new && let Some(value) = self.value_of(number)? {
                found.add(self.resident.slot(number).group, &value);
            }
        }
        Ok((taken, self.given_back(&found)?))
    }

    /// The same of keys that have been found, which are in memory from now on.
    pub(super) fn given_back(&mut self, found: &Found) -> Result<Option<StateReader>> {
        self.counts.lookups += found.len() as u64;
        found.decode(&self.codec)?.map(|entries| StateReader::new(entries, &(0..u16::MAX))).transpose()
    }

    /// What is on disk of these keys.
    fn found(&mut self, numbers: impl IntoIterator<Item = u32>) -> Result<Option<StateEntries>> {
        let mut found = Found::default();
        for number in numbers {
            if let Some(value) = self.value_of(number)? {
                found.add(self.resident.slot(number).group, &value);
            }
        }
        found.decode(&self.codec)
    }

    /// What of a snapshot leaves memory, and what stays.
    fn divided(&self, entries: StateEntries) -> (StateEntries, StateEntries) {
        entries.into_iter().partition(|(name, _)| self.codec.place(name).is_some())
    }

    /// What is on disk of a key, which is noted.
    pub(super) fn value_of(&mut self, number: u32) -> Result<Option<UserValue>> {
        if self.counts.keys == 0 {
            return Ok(None);
        }
        let value = self.space.get(self.resident.key(number)).map_err(|cause| self.scratch.failed("read state from", &cause))?;
        self.resident.slot_mut(number).on_disk = value.is_some();
        if let (Some(value), Some(_)) = (&value, self.due) {
            self.resident.set_due(number, codec::at(value));
        }
        Ok(value)
    }

    /// Whether keys may have gone from disk of which pieces before have something.
    pub(super) fn forgets(&self) -> bool {
        self.forgotten_after.is_some() || self.due.is_some_and(|due| due.then == Then::IsDropped)
    }

    /// What the store takes on disk.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.space.disk_bytes() + self.index.as_ref().map_or(0, |index| index.space.disk_bytes())
    }

    /// Takes keys off the disk that were written so long ago that they would be forgotten when they come back. It looks at `most`
    /// keys, and goes on with the next ones the next time: so it keeps up with what is written.
    fn forget_aged(&mut self, most: usize, now: ClockTime) -> Result<()> {
        let Some(after) = self.forgotten_after else { return Ok(()) };
        if self.aged_up_to.is_none() && now < self.look_at {
            return Ok(());
        }
        let from = self.aged_up_to.take().unwrap_or_default();
        let failed = |cause: lsm_tree::Error| self.scratch.failed("read state from", &cause);
        let mut aged = Vec::new();
        let (mut last, mut seen) = (None, 0);
        for found in self.space.range(from..).take(most) {
            let (key, value) = found.map_err(failed)?;
            if codec::at(&value).is_some_and(|at| ClockTime(at).plus(after) <= now) {
                aged.push(key.to_vec());
            }
            last = Some(key.to_vec());
            seen += 1;
        }
        let mut writer = Writer::new(&self.space, &self.scratch, aged.len())?;
        aged.iter().try_for_each(|key| writer.remove(key))?;
        writer.finish()?;
        self.counts.keys -= aged.len() as u64;
        // The next key begins behind the last one.
        self.aged_up_to = last.filter(|_| seen == most).map(|mut key| {
            key.push(0);
            key
        });
        if self.aged_up_to.is_none() {
            self.look_at = now.plus(after / 4);
        }
        Ok(())
    }
}

/// Gives the pieces of one subtask in a checkpoint. Of what is gone by panes it must be known before rows are taken, so then the last
/// piece comes first, without what is gone of it; that is so of state that was in memory.
fn each_piece(pieces: &Pieces, groups: &Range<u16>, may_have_panes: bool, take: &mut dyn FnMut(StateEntries) -> Result<()>) -> Result<()> {
    let mut has_panes = false;
    if may_have_panes {
        pieces.each(groups, &mut |piece| {
            has_panes |= [GONE_PANES, GONE_GROUPS].iter().any(|name| piece.contains_key(*name));
            Ok(())
        })?;
    }
    if !has_panes {
        return pieces.each(groups, take);
    }
    let mut gone = Gone::default();
    pieces.each_back(groups, &mut |mut piece| {
        let what: StateEntries = piece.extract_if(.., |name, _| is_gone(name)).collect();
        for rows in piece.values_mut().flatten() {
            *rows = gone.without(rows)?;
        }
        gone.add(&what)?;
        take(piece)
    })
}

impl OnDisk for DiskState {
    fn load(&mut self, from: &JobSnapshot, node: &str, groups: &Range<u16>, now: ClockTime) -> Result<StateReader> {
        let (mut in_memory, may_have_panes) = (StateEntries::new(), self.may_have_panes);
        for task in from.of(node) {
            let mut take = |entries| {
                let (mut cold, warm): (StateEntries, StateEntries) = self.divided(entries);
                for (name, mut rows) in warm {
                    // Of what stays in memory no key is ever gone: it goes by event time.
                    let of = if is_gone(&name) { &mut cold } else { &mut in_memory };
                    of.entry(name).or_default().append(&mut rows);
                }
                self.replay(cold, groups, now)
            };
            if let Some(pieces) = &task.pieces {
                each_piece(pieces, groups, may_have_panes, &mut take)?;
            }
            // Behind the pieces, which say nothing of it.
            take(task.entries.clone())?;
        }
        self.log = self.log.as_ref().map(|_| Log::new(false));
        if let Some(index) = &mut self.index {
            index.tell(&self.scratch, &mut in_memory)?;
        }
        StateReader::new(in_memory, groups)
    }

    fn evict(&mut self, entries: StateEntries, now: ClockTime) -> Result<()> {
        let (cold, _) = self.divided(entries);
        self.write(cold, now, self.log.clone())?;
        let keys = self.resident.len();
        self.all_leave()?;
        self.counts.evictions += 1;
        self.forget_aged(AGED_AT_ONCE.max(2 * keys), now)
    }

    fn snapshot(&mut self, entries: StateEntries, now: ClockTime) -> Result<(StateEntries, DiskSnapshot)> {
        let (cold, warm) = self.divided(entries);
        self.write(cold, now, self.log.clone())?;
        let view = DiskSnapshot::new(&self.scratch, &self.space, self.codec.clone(), 0, self.log.clone())?;
        Ok((warm, view))
    }

    fn memory_bytes(&self) -> usize {
        self.resident.size_bytes()
    }

    fn counts(&self) -> DiskCounts {
        self.counts
    }
}

impl ColdState for DiskState {
    fn fetch(&mut self, keys: &[ArrayRef], rows: usize) -> Result<Option<StateReader>> {
        let keys = CanonicalKeys::new(keys)?;
        let (mut bytes, mut new) = (Vec::new(), Vec::new());
        for row in 0..rows {
            bytes.clear();
            keys.encode(row, &mut bytes);
            let (number, is_new) = self.resident.number(&bytes);
            let slot = self.resident.slot_mut(number);
            (slot.dirty, slot.touched) = (true, true);
            if is_new {
                new.push(number);
            }
        }
        if self.counts.keys == 0 || new.is_empty() {
            return Ok(None);
        }
        self.counts.lookups += new.len() as u64;
        // In the order of the disk, so that what lies together is read together.
        new.sort_unstable_by(|&a, &b| self.resident.key(a).cmp(self.resident.key(b)));
        self.found(new)?.map(|entries| StateReader::new(entries, &(0..u16::MAX))).transpose()
    }

    fn fetch_due(&mut self, until: EventTime) -> Result<DueKeys> {
        self.take_due(until)
    }

    fn fetch_touched(&mut self) -> Result<Option<StateReader>> {
        self.take_touched()
    }
}

//! One subtask's panes: groups of windows and slices that are written when memory is full, read when their window closes and removed
//! once no window needs them.
//!
//! Nothing is looked up when rows come, so a group may be on disk several times, as partial results of different times. What is
//! known of panes in memory is one entry each.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::BooleanArray;
use fjall::{Keyspace, UserValue};
use millstream_api::error::{Error, Result};
use millstream_api::key_group::CanonicalKeys;
use millstream_api::state::{
    ColdPanes, GONE_PANES, PANES_ON_DISK, PaneKey, PanePart, StateEntries, StateReader, StateRows, StateWriter, key_columns, panes_on_disk,
};
use millstream_api::time::ClockTime;
use xxhash_rust::xxh3::xxh3_64;

use super::blocks::{self, Block, GROUP_AT, Ordered};
use super::codec::{self, Codec};
use super::log::Log;
use super::scratch::Scratch;
use super::view::DiskSnapshot;
use super::writer::Writer;
use super::{DiskCounts, OnDisk};
use crate::part::{self, PART_BYTES};
use crate::pieces::{Pieces, gone_panes};
use crate::snapshot::JobSnapshot;

/// Rows that are read at once have about so many bytes.
const READ_BYTES: usize = 1 << 20;

/// A key group is read in so many parts at most: each of them reads all of it.
const MOST_PLACES: usize = 64;

/// What of a pane is on disk.
#[derive(Clone, Copy, Debug, Default)]
struct Stored {
    /// Rows of state, and their bytes.
    rows: u64,
    bytes: u64,
    /// Rows of the node's input that they stand for.
    stands_for: u64,
}

impl Stored {
    fn add(&mut self, other: Stored) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.stands_for += other.stands_for;
    }
}

/// What was loaded of one subtask of a checkpoint.
#[derive(Default)]
struct Loaded {
    panes: BTreeMap<PaneKey, Stored>,
    groups: BTreeSet<u16>,
}

/// Panes of one subtask that are on disk.
pub struct DiskPanes {
    keyspace: Keyspace,
    codec: Codec,
    name: &'static str,
    panes: BTreeMap<PaneKey, Stored>,
    /// The key groups of which something was written.
    groups: BTreeSet<u16>,
    /// Panes that were removed since the last piece of the log.
    removed: Vec<PaneKey>,
    /// The number of the next block.
    next: u64,
    /// A part that is read back has about so many bytes at most.
    part_bytes: u64,
    /// With checkpoints only.
    log: Option<Log>,
    counts: DiskCounts,
    /// Last, since it goes last.
    scratch: Arc<Scratch>,
}

impl std::fmt::Debug for DiskPanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DiskPanes({:?})", self.counts)
    }
}

impl DiskPanes {
    /// No panes. `name`: that of their state; `part_bytes`: what may be read back at once; `checkpoints`: whether to keep what
    /// checkpoints need.
    ///
    /// # Errors
    /// When the disk can't be written to.
    pub fn new(scratch: &Arc<Scratch>, name: &'static str, part_bytes: usize, checkpoints: bool) -> Result<DiskPanes> {
        Ok(DiskPanes {
            keyspace: scratch.keyspace()?,
            codec: Codec::new(&[name]),
            name,
            panes: BTreeMap::new(),
            groups: BTreeSet::new(),
            removed: Vec::new(),
            next: 0,
            part_bytes: part_bytes.max(1) as u64,
            log: checkpoints.then(|| Log::new(true)),
            counts: DiskCounts::default(),
            scratch: scratch.clone(),
        })
    }
}

impl DiskPanes {
    /// Takes what one subtask has in a checkpoint, piece by piece. What of it stays in memory.
    fn load_task(&mut self, entries: StateEntries, pieces: Option<&Pieces>, groups: &Range<u16>) -> Result<StateEntries> {
        let (panes, warm): (StateEntries, StateEntries) = entries.into_iter().partition(|(name, _)| name == self.name);
        let mut own = Loaded::default();
        let of_groups = |rows: &StateRows| rows.of_groups(|group| groups.contains(&group));
        let rows = panes.values().flatten().map(of_groups).collect::<Result<Vec<_>>>()?;
        self.replay(rows, &[], &mut own)?;
        if let Some(pieces) = pieces {
            pieces.each(groups, &mut |mut piece| {
                let gone = gone_panes(&piece)?;
                self.replay(piece.remove(self.name).unwrap_or_default(), &gone, &mut own)
            })?;
        }
        own.panes.into_iter().for_each(|(pane, stored)| self.put(pane, stored));
        Ok(warm)
    }

    /// What a piece takes back and what it adds. Only this subtask's groups: the same panes may be there of others.
    fn replay(&mut self, rows: Vec<StateRows>, gone: &[PaneKey], own: &mut Loaded) -> Result<()> {
        for &pane in gone {
            if own.panes.remove(&pane).is_some() {
                let prefixes: Vec<_> = own.groups.iter().map(|&group| blocks::group_prefix(pane, group)).collect();
                prefixes.iter().try_for_each(|prefix| self.remove_all(prefix))?;
            }
        }
        own.groups.extend(rows.iter().filter_map(|rows| rows.groups.as_ref()).flat_map(|groups| groups.iter().copied()));
        for (pane, stored) in self.write(&rows, None)? {
            own.panes.entry(pane).or_default().add(stored);
        }
        Ok(())
    }

    /// Puts rows beside those that are there. What has come to each pane.
    fn write(&mut self, rows: &[StateRows], log: Option<Log>) -> Result<BTreeMap<PaneKey, Stored>> {
        let ordered = Ordered::new(rows)?;
        let mut added: BTreeMap<PaneKey, Stored> = BTreeMap::new();
        if ordered.len() == 0 {
            return Ok(added);
        }
        let (keyspace, scratch) = (self.keyspace.clone(), self.scratch.clone());
        let mut writer = Writer::new(&keyspace, &scratch, ordered.len())?;
        let mut piece = if log.is_some() { self.take_removed()? } else { StateEntries::new() };
        let mut piece_bytes = 0;
        for chunk in ordered.chunks() {
            let chunk = chunk?;
            let form = self.codec.form(0, &chunk.records)?;
            let mut put = |Block { pane, group, value, count, stands_for }: Block<'_>| {
                self.next += 1;
                self.groups.insert(group);
                added.entry(pane).or_default().add(Stored { rows: count as u64, bytes: value.len() as u64, stands_for });
                writer.put(&blocks::key(pane, group, self.next), value)
            };
            piece_bytes += chunk.blocks(0, form, &mut put)?;
            if log.is_some() {
                let rows = StateRows { groups: Some(chunk.groups.into()), records: chunk.records };
                piece.entry(self.name.to_owned()).or_default().push(rows);
            }
            if piece_bytes > PART_BYTES {
                self.keep(&mut piece, log.as_ref())?;
                piece_bytes = 0;
            }
        }
        writer.finish()?;
        self.keep(&mut piece, log.as_ref())?;
        Ok(added)
    }

    /// The panes that were removed since the last piece, as a piece.
    fn take_removed(&mut self) -> Result<StateEntries> {
        let mut writer = StateWriter::new();
        if !self.removed.is_empty() {
            writer.put(GONE_PANES, panes_on_disk(std::mem::take(&mut self.removed).into_iter().map(|pane| (pane, 0)))?);
        }
        Ok(writer.into_entries())
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

    fn add_rows(&mut self, rows: &[StateRows]) -> Result<()> {
        for (pane, stored) in self.write(rows, self.log.clone())? {
            self.put(pane, stored);
        }
        self.counts.bytes = self.keyspace.disk_space();
        Ok(())
    }

    fn remove_all(&self, prefix: &[u8]) -> Result<()> {
        // Copied: as it is found a key holds the block of the file that it is in.
        let keys = self.keyspace.prefix(prefix).map(|found| found.key().map(|key| key.to_vec()));
        let keys = keys.collect::<fjall::Result<Vec<_>>>().map_err(|cause| self.scratch.failed("read state from", &cause))?;
        let mut writer = Writer::new(&self.keyspace, &self.scratch, keys.len())?;
        keys.iter().try_for_each(|key| writer.remove(key))?;
        writer.finish()
    }

    fn put(&mut self, pane: PaneKey, stored: Stored) {
        self.counts.keys += stored.rows;
        self.panes.entry(pane).or_default().add(stored);
    }

    /// Blocks, each with its group, as rows: those of a part.
    fn decoded(&mut self, values: &[(u16, UserValue)], part: &PanePart) -> Result<Option<StateRows>> {
        let entries = codec::decode(&self.codec, values.iter().map(|(group, value)| (*group, &**value)))?;
        let Some(rows) = entries.into_values().flatten().next() else { return Ok(None) };
        self.counts.lookups += rows.records.num_rows() as u64;
        if part.places < 2 {
            return Ok(Some(rows));
        }
        let keys = CanonicalKeys::new(&key_columns(&rows.records))?;
        let mut bytes = Vec::new();
        let is_here = |row: usize| {
            bytes.clear();
            keys.encode(row, &mut bytes);
            // Other bits than those that decide the group.
            Some((xxh3_64(&bytes) >> 32) as u32 % part.places == part.place)
        };
        let mask: BooleanArray = (0..rows.records.num_rows()).map(is_here).collect();
        rows.filter(&mask).map(Some)
    }
}

impl OnDisk for DiskPanes {
    fn load(&mut self, from: &JobSnapshot, node: &str, groups: &Range<u16>, _: ClockTime) -> Result<StateReader> {
        let mut in_memory = StateEntries::new();
        for task in from.of(node) {
            for (name, rows) in self.load_task(task.entries.clone(), task.pieces.as_ref(), groups)? {
                in_memory.entry(name).or_default().extend(rows);
            }
        }
        self.log = self.log.as_ref().map(|_| Log::new(false));
        self.counts.bytes = self.keyspace.disk_space();
        let on_disk = panes_on_disk(self.panes.iter().map(|(pane, stored)| (*pane, stored.stands_for)))?;
        in_memory.insert(PANES_ON_DISK.to_owned(), vec![StateRows { groups: None, records: on_disk }]);
        StateReader::new(in_memory, groups)
    }

    fn evict(&mut self, mut entries: StateEntries, _: ClockTime) -> Result<()> {
        self.counts.evictions += 1;
        self.add_rows(&entries.remove(self.name).unwrap_or_default())
    }

    /// What is in memory of panes then is part of the result: it begins anew as a partial result once it leaves.
    fn snapshot(&mut self, entries: StateEntries, _: ClockTime) -> Result<(StateEntries, DiskSnapshot)> {
        let log = self.log.clone();
        if log.is_some() {
            let mut piece = self.take_removed()?;
            self.keep(&mut piece, log.as_ref())?;
        }
        Ok((entries, DiskSnapshot::new(&self.scratch, &self.keyspace, self.codec.clone(), GROUP_AT, log)?))
    }

    fn memory_bytes(&self) -> usize {
        // An entry of a tree takes about half as much again.
        self.panes.len() * size_of::<(PaneKey, Stored)>() * 3 / 2
    }

    fn counts(&self) -> DiskCounts {
        self.counts
    }
}

impl ColdPanes for DiskPanes {
    fn add(&mut self, mut state: StateEntries) -> Result<()> {
        let rows = state.remove(self.name).ok_or_else(|| Error::internal("panes of another state are to go to disk"))?;
        self.add_rows(&rows)
    }

    fn parts(&self, panes: &[PaneKey]) -> Vec<PanePart> {
        let groups: Vec<u16> = self.groups.iter().copied().collect();
        let bytes: u64 = panes.iter().filter_map(|pane| self.panes.get(pane)).map(|stored| stored.bytes).sum();
        let parts = bytes.div_ceil(self.part_bytes).max(1) as usize;
        let places = parts.div_ceil(groups.len().max(1)).min(MOST_PLACES) as u32;
        let of_groups = groups.chunks((groups.len() / parts).max(1));
        of_groups.flat_map(|of| (0..places).map(|place| PanePart { groups: of[0]..of[of.len() - 1] + 1, place, places })).collect()
    }

    fn read(&mut self, panes: &[PaneKey], part: &PanePart, take: &mut dyn FnMut(StateRows) -> Result<()>) -> Result<()> {
        let (mut values, mut bytes) = (Vec::new(), 0);
        for pane in panes {
            let range = blocks::group_prefix(*pane, part.groups.start)..blocks::group_prefix(*pane, part.groups.end);
            for found in self.keyspace.range(range) {
                let (key, value) = found.into_inner().map_err(|cause| self.scratch.failed("read state from", &cause))?;
                bytes += value.len();
                values.push((blocks::group_of(&key)?, value));
                if bytes > READ_BYTES {
                    self.decoded(&std::mem::take(&mut values), part)?.into_iter().try_for_each(&mut *take)?;
                    bytes = 0;
                }
            }
        }
        if values.is_empty() { Ok(()) } else { self.decoded(&values, part)?.into_iter().try_for_each(take) }
    }

    fn remove(&mut self, panes: &[PaneKey]) -> Result<()> {
        for pane in panes {
            if let Some(stored) = self.panes.remove(pane) {
                self.counts.keys -= stored.rows;
                self.remove_all(&blocks::pane_prefix(*pane))?;
                self.removed.extend(self.log.is_some().then_some(*pane));
            }
        }
        self.counts.bytes = self.keyspace.disk_space();
        Ok(())
    }
}

#[cfg(test)]
mod tests;

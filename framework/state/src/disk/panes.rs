//! One subtask's panes: groups of windows and slices that are written when memory is full, read when their window closes and removed
//! once no window needs them.
//!
//! Nothing is looked up when rows come, so a group may be on disk several times, as partial results of different times. What is
//! known of panes in memory is one entry each.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::BooleanArray;
use lsm_tree::UserValue;
use millstream_api::error::{Error, Result};
use millstream_api::key_group::CanonicalKeys;
use millstream_api::state::gone::Gone;
use millstream_api::state::{
    ColdPanes, PANES_ON_DISK, PaneKey, PanePart, StateEntries, StateReader, StateRows, StateWriter, TakeRows, key_columns, panes_on_disk,
};
use millstream_api::time::ClockTime;
use xxhash_rust::xxh3::xxh3_64;

use super::blocks::{self, Block, GROUP_AT, Ordered};
use super::codec::{self, Codec};
use super::log::Log;
use super::scratch::Scratch;
use super::space::Space;
use super::view::DiskSnapshot;
use super::writer::Writer;
use super::{DiskCounts, OnDisk};
use crate::part::{self, PART_BYTES};
use crate::pieces::Pieces;
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

/// Panes of one subtask that are on disk.
pub struct DiskPanes {
    space: Space,
    codec: Codec,
    names: &'static [&'static str],
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
    /// No panes. `names`: those of their state; `part_bytes`: what may be read back at once; `checkpoints`: whether to keep what
    /// checkpoints need.
    ///
    /// # Errors
    /// When the disk can't be written to.
    pub fn new(scratch: &Arc<Scratch>, names: &'static [&'static str], part_bytes: usize, checkpoints: bool) -> Result<DiskPanes> {
        Ok(DiskPanes {
            space: scratch.space()?,
            codec: Codec::new(names),
            names,
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
    /// Takes what one subtask has in a checkpoint, the last piece first, so that of each it is known what is gone of it. What
    /// stays in memory.
    fn load_task(&mut self, entries: StateEntries, pieces: Option<&Pieces>, groups: &Range<u16>) -> Result<StateEntries> {
        let (mut panes, warm) = self.divided(entries);
        for rows in panes.values_mut().flatten() {
            *rows = rows.of_groups(|group| groups.contains(&group))?;
        }
        self.load_rows(&panes)?;
        let mut gone = Gone::default();
        if let Some(pieces) = pieces {
            pieces.each_back(groups, &mut |piece| {
                let (mut panes, rest) = self.divided(piece);
                for rows in panes.values_mut().flatten() {
                    *rows = gone.without(rows)?;
                }
                self.load_rows(&panes)?;
                gone.add(&rest)
            })?;
        }
        Ok(warm)
    }

    fn load_rows(&mut self, panes: &StateEntries) -> Result<()> {
        for (pane, stored) in self.write(panes, None)? {
            self.put(pane, stored);
        }
        Ok(())
    }

    /// What of state may leave memory, and what does not.
    fn divided(&self, entries: StateEntries) -> (StateEntries, StateEntries) {
        entries.into_iter().partition(|(name, _)| self.names.contains(&name.as_str()))
    }

    /// Puts rows beside those that are there. What has come to each pane.
    fn write(&mut self, panes: &StateEntries, log: Option<Log>) -> Result<BTreeMap<PaneKey, Stored>> {
        let mut added: BTreeMap<PaneKey, Stored> = BTreeMap::new();
        let mut piece = StateEntries::new();
        for (name, rows) in panes {
            let ordered = Ordered::new(rows)?;
            if ordered.len() == 0 {
                continue;
            }
            if log.is_some() {
                piece.extend(self.take_removed()?);
            }
            self.write_named(name, &ordered, &mut piece, log.as_ref(), &mut added)?;
        }
        self.keep(&mut piece, log.as_ref())?;
        Ok(added)
    }

    fn write_named(
        &mut self,
        name: &str,
        ordered: &Ordered<'_>,
        piece: &mut StateEntries,
        log: Option<&Log>,
        added: &mut BTreeMap<PaneKey, Stored>,
    ) -> Result<()> {
        let place = self.codec.place(name).ok_or_else(|| Error::internal("panes of another state are to go to disk"))?;
        let (space, scratch) = (self.space.clone(), self.scratch.clone());
        let mut writer = Writer::new(&space, &scratch, ordered.len())?;
        let mut piece_bytes = 0;
        for chunk in ordered.chunks() {
            let chunk = chunk?;
            let form = self.codec.form(place, &chunk.records)?;
            let mut put = |Block { pane, group, value, count, stands_for }: Block<'_>| {
                self.next += 1;
                self.groups.insert(group);
                added.entry(pane).or_default().add(Stored { rows: count as u64, bytes: value.len() as u64, stands_for });
                writer.put(&blocks::key(pane, group, self.next), value)
            };
            piece_bytes += chunk.blocks(place, form, &mut put)?;
            if log.is_some() {
                let rows = StateRows { groups: Some(chunk.groups.into()), records: chunk.records };
                piece.entry(name.to_owned()).or_default().push(rows);
            }
            if piece_bytes > PART_BYTES {
                self.keep(piece, log)?;
                piece_bytes = 0;
            }
        }
        writer.finish()
    }

    /// The panes that were removed since the last piece, as a piece.
    fn take_removed(&mut self) -> Result<StateEntries> {
        let mut writer = StateWriter::new();
        writer.put_gone_panes(std::mem::take(&mut self.removed))?;
        Ok(writer.into_entries())
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

    fn add_rows(&mut self, panes: &StateEntries) -> Result<()> {
        for (pane, stored) in self.write(panes, self.log.clone())? {
            self.put(pane, stored);
        }
        self.counts.bytes = self.space.disk_bytes();
        Ok(())
    }

    fn remove_all(&self, prefix: &[u8]) -> Result<()> {
        // Copied: as it is found a key holds the block of the file that it is in.
        let keys = self.space.prefix(prefix).map(|found| found.map(|(key, _)| key.to_vec()));
        let keys = keys.collect::<lsm_tree::Result<Vec<_>>>().map_err(|cause| self.scratch.failed("read state from", &cause))?;
        let mut writer = Writer::new(&self.space, &self.scratch, keys.len())?;
        keys.iter().try_for_each(|key| writer.remove(key))?;
        writer.finish()
    }

    fn put(&mut self, pane: PaneKey, stored: Stored) {
        self.counts.keys += stored.rows;
        self.panes.entry(pane).or_default().add(stored);
    }

    /// Gives `take` blocks, each with its group, as rows: those of a part.
    fn decoded(&mut self, values: &[(u16, UserValue)], part: &PanePart, take: &mut TakeRows<'_>) -> Result<()> {
        let entries = codec::decode(&self.codec, values.iter().map(|(group, value)| (*group, &**value)))?;
        for (name, rows) in entries {
            for rows in rows {
                self.counts.lookups += rows.records.num_rows() as u64;
                take(&name, if part.places < 2 { rows } else { of_place(&rows, part)? })?;
            }
        }
        Ok(())
    }
}

/// Of rows of a part's key groups those that are in the part.
fn of_place(rows: &StateRows, part: &PanePart) -> Result<StateRows> {
    let keys = CanonicalKeys::new(&key_columns(&rows.records))?;
    let mut bytes = Vec::new();
    let is_here = |row: usize| {
        bytes.clear();
        keys.encode(row, &mut bytes);
        // Other bits than those that decide the group.
        Some((xxh3_64(&bytes) >> 32) as u32 % part.places == part.place)
    };
    let mask: BooleanArray = (0..rows.records.num_rows()).map(is_here).collect();
    rows.filter(&mask)
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
        self.counts.bytes = self.space.disk_bytes();
        let on_disk = panes_on_disk(self.panes.iter().map(|(pane, stored)| (*pane, stored.stands_for)))?;
        in_memory.insert(PANES_ON_DISK.to_owned(), vec![StateRows { groups: None, records: on_disk }]);
        StateReader::new(in_memory, groups)
    }

    fn evict(&mut self, entries: StateEntries, _: ClockTime) -> Result<()> {
        self.counts.evictions += 1;
        self.add_rows(&self.divided(entries).0)
    }

    /// What is in memory of panes then is part of the result: it begins anew as a partial result once it leaves.
    fn snapshot(&mut self, entries: StateEntries, _: ClockTime) -> Result<(StateEntries, DiskSnapshot)> {
        let log = self.log.clone();
        if log.is_some() {
            let mut piece = self.take_removed()?;
            self.keep(&mut piece, log.as_ref())?;
        }
        Ok((entries, DiskSnapshot::new(&self.scratch, &self.space, self.codec.clone(), GROUP_AT, log)?))
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
    fn add(&mut self, state: StateEntries) -> Result<()> {
        self.add_rows(&state)
    }

    fn parts(&self, panes: &[PaneKey]) -> Vec<PanePart> {
        let groups: Vec<u16> = self.groups.iter().copied().collect();
        let bytes: u64 = panes.iter().filter_map(|pane| self.panes.get(pane)).map(|stored| stored.bytes).sum();
        let parts = bytes.div_ceil(self.part_bytes).max(1) as usize;
        let places = parts.div_ceil(groups.len().max(1)).min(MOST_PLACES) as u32;
        let of_groups = groups.chunks((groups.len() / parts).max(1));
        of_groups.flat_map(|of| (0..places).map(|place| PanePart { groups: of[0]..of[of.len() - 1] + 1, place, places })).collect()
    }

    fn read(&mut self, panes: &[PaneKey], part: &PanePart, take: &mut TakeRows<'_>) -> Result<()> {
        let (mut values, mut bytes) = (Vec::new(), 0);
        for pane in panes {
            let range = blocks::group_prefix(*pane, part.groups.start)..blocks::group_prefix(*pane, part.groups.end);
            for found in self.space.range(range) {
                let (key, value) = found.map_err(|cause| self.scratch.failed("read state from", &cause))?;
                bytes += value.len();
                values.push((blocks::group_of(&key)?, value));
                if bytes > READ_BYTES {
                    self.decoded(&std::mem::take(&mut values), part, take)?;
                    bytes = 0;
                }
            }
        }
        self.decoded(&values, part, take)
    }

    fn remove(&mut self, panes: &[PaneKey]) -> Result<()> {
        for pane in panes {
            if let Some(stored) = self.panes.remove(pane) {
                self.counts.keys -= stored.rows;
                self.remove_all(&blocks::pane_prefix(*pane))?;
                self.removed.extend(self.log.is_some().then_some(*pane));
            }
        }
        self.counts.bytes = self.space.disk_bytes();
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! The panes of a windowed aggregate that are on disk: which there are, which of them a window takes in, and when they can go.
//!
//! Rows of a pane that has left memory begin it anew there. So a pane may be in memory and on disk at once, and a window of which
//! anything is on disk is closed from there alone.

use std::collections::BTreeMap;

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use millstream_api::Result;
use millstream_api::state::{PANES_ON_DISK, PaneKey, StateReader};

use super::pane::Pane;
use super::program::Program;
use super::saved::WrittenAs;
use super::windows::{DueWindow, Kind, OpenPanes};

impl OpenPanes {
    /// All panes have been written: they are on disk now, and begin anew in memory.
    pub(super) fn forget(&mut self) {
        for (key, rows) in self.iter_mut().map(|(place, pane)| (place.key, pane.rows)).collect::<Vec<_>>() {
            *self.stored.entry(key).or_default() += rows;
        }
        self.drain();
    }

    /// All panes, each as it is to be written: windows that have closed stay closed. Where checkpoints have
    /// what changes a pane keeps its key, and they say which windows have closed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (WrittenAs, &mut Pane)> {
        let (kind, keeps_keys) = (&self.kind, self.gone.is_some());
        self.panes.iter_mut().map(move |(&(a, b), pane)| {
            let place = match kind {
                Kind::Explicit => WrittenAs { key: (a, b), first_end: a },
                Kind::Implicit { slices, cursor } => {
                    let first = if keeps_keys { b } else { b.max(*cursor) };
                    WrittenAs { key: (a, first), first_end: slices.bounds(first).1 }
                }
            };
            (place, pane)
        })
    }

    /// Takes over all panes of others, where windows may have closed that have not here.
    pub(super) fn add_all(&mut self, others: &mut OpenPanes, program: &Program) -> Result<()> {
        let keys: Vec<PaneKey> = others.iter_mut().map(|(place, _)| place.key).collect();
        for (key, (_, mut other)) in keys.into_iter().zip(others.drain()) {
            if !self.panes.contains_key(&key) {
                self.bytes += other.measured_bytes;
                self.panes.insert(key, other);
                continue;
            }
            self.change(key, program, |pane| {
                pane.rows += other.rows;
                pane.merge(&mut other)
            })?;
        }
        Ok(())
    }

    /// Takes out what of a window is in memory, under the keys by which it is to be on disk.
    pub(super) fn take(&mut self, due: DueWindow) -> Vec<(PaneKey, Pane)> {
        let keys = self.of_window(due, &self.panes);
        let mut taken = Vec::with_capacity(keys.len());
        for key in keys {
            let Some(pane) = self.panes.remove(&key) else { continue };
            self.bytes -= pane.measured_bytes;
            *self.stored.entry(key).or_default() += pane.rows;
            taken.push((key, pane));
        }
        taken
    }

    /// Whether something of a window is on disk.
    pub(super) fn is_on_disk(&self, due: DueWindow) -> bool {
        !self.stored.is_empty() && !self.stored_of(due).is_empty()
    }

    /// Where something is on disk or in checkpoints under keys that do not say which windows have closed: the first that has not.
    pub(super) fn cursor_to_write(&self) -> Option<i64> {
        match &self.kind {
            Kind::Implicit { cursor, .. } if self.gone.is_some() || !self.stored.is_empty() => Some(*cursor),
            _ => None,
        }
    }

    /// What of a window is on disk.
    pub(super) fn stored_of(&self, due: DueWindow) -> Vec<PaneKey> {
        self.of_window(due, &self.stored)
    }

    fn of_window<T>(&self, due: DueWindow, panes: &BTreeMap<PaneKey, T>) -> Vec<PaneKey> {
        let (start, end) = due.window;
        match self.kind {
            Kind::Explicit => panes.get_key_value(&(end, start)).map(|(key, _)| *key).into_iter().collect(),
            Kind::Implicit { .. } => {
                let of_slices = panes.range((start, i64::MIN)..(end, i64::MIN)).map(|(key, _)| *key);
                of_slices.filter(|(_, first)| *first <= due.number).collect()
            }
        }
    }

    /// The pane in which what of a window is on disk can be kept together, where the next window holds it all.
    pub(super) fn gathered_in(&self, due: DueWindow) -> Option<PaneKey> {
        match &self.kind {
            Kind::Implicit { slices, .. } if slices.cumulates() => {
                let next = slices.next(due.number);
                (next <= slices.numbers(due.window.0).1).then_some((due.window.0, next))
            }
            _ => None,
        }
    }

    /// A window was closed from disk, and all of it put into another pane or not. The panes there that nobody needs any more.
    pub(super) fn closed(&mut self, due: DueWindow, gathered_in: Option<PaneKey>) -> Vec<PaneKey> {
        let mut gone = match (&self.kind, gathered_in) {
            (Kind::Implicit { .. }, None) => Vec::new(),
            _ => self.stored_of(due),
        };
        if let Kind::Implicit { slices, cursor } = &mut self.kind {
            let next = slices.next(due.number);
            *cursor = next;
            let is_closed = |(slice, _): &PaneKey| slices.numbers(*slice).1 < next;
            gone.extend(self.stored.keys().take_while(|key| is_closed(key)).filter(|key| !gone.contains(key)).copied().collect::<Vec<_>>());
        }
        let rows: u64 = gone.iter().filter_map(|key| self.stored.remove(key)).sum();
        if let Some(key) = gathered_in {
            *self.stored.entry(key).or_default() += rows;
        }
        gone
    }

    /// Takes over which panes are on disk at the start. `before`: windows before this one have closed.
    pub(super) fn restore_stored(&mut self, state: &StateReader, before: i64) -> Result<()> {
        for records in state.get(PANES_ON_DISK) {
            let [first, second, rows]: [&Int64Array; 3] = [0, 1, 2].map(|column| records.column(column).as_primitive::<Int64Type>());
            for ((first, second), rows) in first.values().iter().zip(second.values()).zip(rows.values()) {
                self.stored.insert((*first, *second), rows.unsigned_abs());
            }
        }
        if let (Kind::Implicit { cursor, .. }, false) = (&mut self.kind, self.stored.is_empty()) {
            *cursor = before.max(*cursor);
        }
        Ok(())
    }

    /// The rows that panes on disk stand for.
    pub(super) fn stored_rows(&self) -> u64 {
        self.stored.values().sum()
    }
}

/// Memory of what is known of panes on disk.
pub(super) fn size_bytes(stored: &BTreeMap<PaneKey, u64>) -> usize {
    // An entry of a tree takes about half as much again.
    stored.len() * size_of::<(PaneKey, u64)>() * 3 / 2
}

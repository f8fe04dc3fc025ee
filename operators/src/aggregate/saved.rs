//! Panes to a snapshot: all of them, or what has changed since they were last written.
//!
//! A pane that is new, or of which most has changed, is written whole; of another one the groups that have changed.

use arrow::array::{ArrayRef, Int64Array};
use millstream_api::Result;
use millstream_api::state::{PaneKey, StateWriter};

use super::pane::Pane;
use super::state::Layout;
use super::windowed::{PANES, Windowed};
use crate::changed::ChangedGroups;

impl Windowed {
    /// Writes all panes.
    pub(super) fn write_all(&mut self, state: &mut StateWriter) -> Result<()> {
        let is_noting = self.open.gone.is_some();
        self.open.gone.iter_mut().for_each(Vec::clear);
        for (place, pane) in self.open.iter_mut() {
            write_pane(&self.layout, place, pane, state)?;
            if is_noting {
                pane.all_written();
            }
        }
        Ok(())
    }

    /// Writes what has changed since panes were last written.
    pub(super) fn write_changes(&mut self, state: &mut StateWriter) -> Result<()> {
        let mut gone = self.open.gone.replace(Vec::new()).unwrap_or_default();
        for (place, pane) in self.open.iter_mut() {
            if let Some(changed) = pane.take_changed() {
                write_groups(&self.layout, place, pane, changed, state)?;
                continue;
            }
            gone.extend(pane.changes.is_written().then_some(place.key));
            write_pane(&self.layout, place, pane, state)?;
            pane.all_written();
        }
        state.put_gone_panes(gone)
    }
}

/// Under which key a pane is written, and when the first of its windows ends.
#[derive(Clone, Copy)]
pub(super) struct WrittenAs {
    pub(super) key: PaneKey,
    pub(super) first_end: i64,
}

/// Writes a pane.
pub(super) fn write_pane(layout: &Layout, place: WrittenAs, pane: &mut Pane, state: &mut StateWriter) -> Result<()> {
    let states = pane.state()?;
    put(layout, place, (0..pane.len()).map(|group| pane.rows_of(group)).collect(), states, state)
}

/// Writes groups of a pane.
fn write_groups(layout: &Layout, place: WrittenAs, pane: &mut Pane, changed: ChangedGroups, state: &mut StateWriter) -> Result<()> {
    let ChangedGroups { all, written } = changed;
    if all.is_empty() {
        return Ok(());
    }
    state.put_gone_groups(place.key, &pane.keys_of(&written)?, written.len(), layout.key_groups())?;
    let states = pane.state_of(&all)?;
    put(layout, place, all.iter().map(|&group| pane.rows_of(group)).collect(), states, state)
}

type States = (Vec<ArrayRef>, Vec<Vec<ArrayRef>>);

fn put(layout: &Layout, place: WrittenAs, rows: Vec<i64>, (keys, states): States, state: &mut StateWriter) -> Result<()> {
    let (a, b) = place.key;
    let numbers = [Int64Array::from_value(a, rows.len()), Int64Array::from_value(b, rows.len()), rows.into()];
    layout.write_due(PANES, place.first_end, numbers, keys, states, state)
}

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
        for (key, pane) in self.open.iter_mut() {
            write_pane(&self.layout, key, pane, state)?;
            if is_noting {
                pane.all_written();
            }
        }
        Ok(())
    }

    /// Writes what has changed since panes were last written.
    pub(super) fn write_changes(&mut self, state: &mut StateWriter) -> Result<()> {
        let mut gone = self.open.gone.replace(Vec::new()).unwrap_or_default();
        for (key, pane) in self.open.iter_mut() {
            if let Some(changed) = pane.take_changed() {
                write_groups(&self.layout, key, pane, changed, state)?;
                continue;
            }
            gone.extend(pane.changes.is_written().then_some(key));
            write_pane(&self.layout, key, pane, state)?;
            pane.all_written();
        }
        state.put_gone_panes(gone)
    }
}

/// Writes a pane under a key.
pub(super) fn write_pane(layout: &Layout, key: PaneKey, pane: &mut Pane, state: &mut StateWriter) -> Result<()> {
    let (keys, states) = pane.state()?;
    // The pane's rows are put down with its first group: only their sum over all subtasks matters.
    let rows = (0..pane.len()).map(|group| if group == 0 { pane.rows as i64 } else { 0 });
    put(layout, key, rows.collect(), (keys, states), state)
}

/// Writes groups of a pane.
fn write_groups(layout: &Layout, key: PaneKey, pane: &mut Pane, changed: ChangedGroups, state: &mut StateWriter) -> Result<()> {
    let ChangedGroups { all, written } = changed;
    if all.is_empty() {
        return Ok(());
    }
    state.put_gone_groups(key, &pane.keys_of(&written)?, written.len(), layout.key_groups())?;
    let rows = all.iter().map(|&group| if group == 0 { pane.rows as i64 } else { 0 });
    put(layout, key, rows.collect(), pane.state_of(&all)?, state)
}

type States = (Vec<ArrayRef>, Vec<Vec<ArrayRef>>);

fn put(layout: &Layout, (a, b): PaneKey, rows: Vec<i64>, (keys, states): States, state: &mut StateWriter) -> Result<()> {
    let numbers = [Int64Array::from_value(a, rows.len()), Int64Array::from_value(b, rows.len()), rows.into()];
    layout.write(PANES, numbers, keys, states, state)
}

//! Panes that have left memory, as a store would have them: what is known of it is the contract of [`ColdPanes`] alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::{AsArray, BooleanArray};
use arrow::datatypes::Int64Type;
use millstream_api::key_group::CanonicalKeys;
use millstream_api::plan::Plan;
use millstream_api::state::{
    ColdPanes, PANES_ON_DISK, PaneKey, PanePart, StateEntries, StateRows, StateWriter, TakeRows, key_columns, pane_columns, panes_on_disk,
};
use millstream_api::{Operator, Result};

use super::harness::KEY_GROUPS;

/// Rows of one name, in the order in which they came.
#[derive(Debug)]
pub(super) struct Panes {
    name: &'static str,
    rows: Vec<StateRows>,
}

impl Panes {
    /// Those of these rows of a checkpoint that are of panes; what is left says which there are.
    pub(super) fn loaded(plan: &Plan, entries: &mut StateEntries) -> Arc<Mutex<Panes>> {
        let name = plan.spills_panes[0];
        let panes = Panes { name, rows: entries.remove(name).unwrap_or_default() };
        let mut known: BTreeMap<PaneKey, u64> = BTreeMap::new();
        for rows in &panes.rows {
            let stand_for = rows.records.column_by_name("n2").unwrap().as_primitive::<Int64Type>();
            for (pane, count) in keys(rows).into_iter().zip(stand_for.values()) {
                *known.entry(pane).or_default() += *count as u64;
            }
        }
        if !known.is_empty() {
            let records = panes_on_disk(known).unwrap();
            entries.insert(PANES_ON_DISK.to_owned(), vec![StateRows { groups: None, records }]);
        }
        Arc::new(Mutex::new(panes))
    }

    /// All panes of a subtask leave memory, which cannot be seen of it.
    pub(super) fn evict(&mut self, operator: &mut dyn Operator) {
        let seen = (operator.waits_for(), operator.rows_in_state());
        let mut state = StateWriter::new();
        operator.snapshot(&mut state).unwrap();
        operator.forget_keys().unwrap();
        self.rows.extend(state.into_entries().remove(self.name).unwrap_or_default());
        assert_eq!((operator.waits_for(), operator.rows_in_state()), seen);
    }

    /// All rows, as a checkpoint has them.
    pub(super) fn rows(&self) -> (&'static str, Vec<StateRows>) {
        (self.name, self.rows.clone())
    }
}

fn keys(rows: &StateRows) -> Vec<PaneKey> {
    let [first, second] = pane_columns(&rows.records).unwrap();
    first.values().iter().copied().zip(second.values().iter().copied()).collect()
}

fn filtered(rows: &StateRows, wanted: impl Fn(usize, PaneKey) -> bool) -> StateRows {
    let mask: BooleanArray = keys(rows).into_iter().enumerate().map(|(row, pane)| Some(wanted(row, pane))).collect();
    rows.filter(&mask).unwrap()
}

impl ColdPanes for Panes {
    fn add(&mut self, mut state: StateEntries) -> Result<()> {
        self.rows.extend(state.remove(self.name).unwrap());
        assert!(state.is_empty(), "only panes go there");
        Ok(())
    }

    fn parts(&self, panes: &[PaneKey]) -> Vec<PanePart> {
        assert!(!panes.is_empty());
        let of_group = |group| (0..2).map(move |place| PanePart { groups: group..group + 4, place, places: 2 });
        (0..KEY_GROUPS).step_by(4).flat_map(of_group).collect()
    }

    fn read(&mut self, panes: &[PaneKey], part: &PanePart, take: &mut TakeRows<'_>) -> Result<()> {
        for rows in &self.rows {
            let rows = rows.of_groups(|group| part.groups.contains(&group))?;
            let columns = CanonicalKeys::new(&key_columns(&rows.records))?;
            let is_here = |row| {
                let mut bytes = Vec::new();
                columns.encode(row, &mut bytes);
                bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>() % part.places == part.place
            };
            take(self.name, filtered(&rows, |row, pane| panes.contains(&pane) && is_here(row)))?;
        }
        Ok(())
    }

    fn remove(&mut self, panes: &[PaneKey]) -> Result<()> {
        self.rows.iter_mut().for_each(|rows| *rows = filtered(rows, |_, pane| !panes.contains(&pane)));
        self.rows.retain(|rows| rows.records.num_rows() > 0);
        Ok(())
    }
}

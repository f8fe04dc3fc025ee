//! Keys that have left memory, as a store would have them: what is known of it is the contract of [`ColdState`] alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::Int64Type;
use millstream_api::key_group::CanonicalKeys;
use millstream_api::plan::{Plan, Spills, Then};
use millstream_api::state::picked::gathered;
use millstream_api::state::{
    ColdState, DueKeys, KEYS_ON_DISK, StateEntries, StateReader, StateRows, StateWriter, key_columns, panes_on_disk,
};
use millstream_api::{EventTime, Operator, Result};

/// So many keys come back at once of those that are due.
const AT_ONCE: usize = 2;

/// Rows of one key, by the place of their name.
type OfKey = Vec<(usize, StateRows)>;

/// Keys of one subtask.
#[derive(Debug)]
pub(crate) struct ColdKeys {
    spills: Spills,
    on_disk: BTreeMap<Vec<u8>, OfKey>,
    in_memory: BTreeSet<Vec<u8>>,
    /// Those that were fetched since the operator said what has changed; at the start all.
    touched: BTreeSet<Vec<u8>>,
}

impl ColdKeys {
    /// Those of a checkpoint; what is left of it stays in memory.
    pub(crate) fn loaded(plan: &Plan, entries: &mut StateEntries) -> Arc<Mutex<ColdKeys>> {
        let spills = plan.spills.unwrap();
        let mut cold = ColdKeys { spills, on_disk: BTreeMap::new(), in_memory: BTreeSet::new(), touched: BTreeSet::new() };
        cold.put(entries);
        cold.touched = cold.on_disk.keys().cloned().collect();
        if let Some(next) = cold.next() {
            let records = panes_on_disk([((next.0, 0), cold.rows())]).unwrap();
            entries.insert(KEYS_ON_DISK.to_owned(), vec![StateRows { groups: None, records }]);
        }
        Arc::new(Mutex::new(cold))
    }

    /// All keys of a subtask leave memory, which cannot be seen of it.
    pub(crate) fn evict(&mut self, operator: &mut dyn Operator) {
        let seen = operator.rows_in_state();
        let mut state = StateWriter::new();
        operator.snapshot(&mut state).unwrap();
        operator.forget_keys().unwrap();
        self.on_disk.retain(|key, _| !self.in_memory.contains(key));
        self.in_memory.clear();
        self.put(&mut gathered(&state.into_entries()).unwrap());
        assert_eq!(operator.rows_in_state(), seen);
    }

    /// All keys that are not in memory, as a checkpoint has them.
    pub(crate) fn entries(&self) -> StateEntries {
        let mut entries = StateEntries::new();
        for (_, rows) in self.on_disk.iter().filter(|(key, _)| !self.in_memory.contains(*key)) {
            for (place, rows) in rows {
                entries.entry(self.spills.state[*place].to_owned()).or_default().push(rows.clone());
            }
        }
        entries
    }

    /// Takes the rows of keys.
    fn put(&mut self, entries: &mut StateEntries) {
        for (place, name) in self.spills.state.iter().enumerate() {
            for rows in entries.remove(*name).unwrap_or_default() {
                for row in 0..rows.records.num_rows() {
                    let row = rows.slice(row, 1);
                    let key = canonical(&key_columns(&row.records), 0);
                    self.on_disk.entry(key).or_default().push((place, row));
                }
            }
        }
    }

    fn due(&self, rows: &OfKey) -> i64 {
        let due = self.spills.due.unwrap();
        let of_row = |(place, rows): &(usize, StateRows)| Some(number(rows, due.column)? + due.after_micros[*place]);
        let all = rows.iter().filter_map(of_row);
        if due.then == Then::ComesBack { all.min().unwrap() } else { all.max().unwrap() }
    }

    fn next(&self) -> Option<EventTime> {
        self.spills.due?;
        let on_disk = self.on_disk.iter().filter(|(key, _)| !self.in_memory.contains(*key));
        on_disk.map(|(_, rows)| EventTime(self.due(rows))).min()
    }

    fn rows(&self) -> u64 {
        let Some(due) = self.spills.due else { return 0 };
        let counted = self.on_disk.values().flatten().filter(|(_, rows)| number(rows, due.column).is_some());
        counted.map(|(_, rows)| number(rows, "n2").unwrap_or(1) as u64).sum()
    }

    fn back(&mut self, keys: Vec<Vec<u8>>) -> Result<Option<StateReader>> {
        let mut entries = StateEntries::new();
        for key in keys {
            for (place, rows) in self.on_disk.get(&key).into_iter().flatten() {
                entries.entry(self.spills.state[*place].to_owned()).or_default().push(rows.clone());
            }
            self.in_memory.insert(key);
        }
        if entries.is_empty() { Ok(None) } else { StateReader::new(entries, &(0..u16::MAX)).map(Some) }
    }
}

fn number(rows: &StateRows, column: &str) -> Option<i64> {
    Some(rows.records.column_by_name(column)?.as_primitive::<Int64Type>().value(0))
}

fn canonical(keys: &[ArrayRef], row: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    CanonicalKeys::new(keys).unwrap().encode(row, &mut bytes);
    bytes
}

impl ColdState for ColdKeys {
    fn fetch(&mut self, keys: &[ArrayRef], rows: usize) -> Result<Option<StateReader>> {
        let keys: BTreeSet<Vec<u8>> = (0..rows).map(|row| canonical(keys, row)).collect();
        self.touched.extend(keys.iter().cloned());
        self.back(keys.into_iter().filter(|key| !self.in_memory.contains(key)).collect())
    }

    fn fetch_due(&mut self, until: EventTime) -> Result<DueKeys> {
        let is_due = |(key, rows): &(&Vec<u8>, &OfKey)| !self.in_memory.contains(*key) && self.due(rows) <= until.0;
        let mut due: Vec<Vec<u8>> = self.on_disk.iter().filter(is_due).map(|(key, _)| key.clone()).collect();
        let mut found = DueKeys::default();
        match self.spills.due.unwrap().then {
            Then::ComesBack => {
                due.truncate(AT_ONCE);
                found.back = self.back(due)?;
            }
            Then::IsDropped => {
                let rows = self.rows();
                due.iter().for_each(|key| drop(self.on_disk.remove(key)));
                found.dropped_rows = rows - self.rows();
            }
        }
        found.next = self.next();
        Ok(found)
    }

    fn fetch_touched(&mut self) -> Result<Option<StateReader>> {
        assert!(self.spills.at_ticks);
        let (on_disk, in_memory) = (&self.on_disk, &self.in_memory);
        self.touched.retain(|key| on_disk.contains_key(key) && !in_memory.contains(key));
        let next: Vec<Vec<u8>> = self.touched.iter().take(AT_ONCE).cloned().collect();
        self.touched.retain(|key| !next.contains(key));
        self.back(next)
    }
}

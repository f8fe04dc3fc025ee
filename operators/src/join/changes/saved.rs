//! The rows of a side to a snapshot and back, with their keys.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use millstream_api::Result;
use millstream_api::key_group::key_groups;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::time::ClockTime;

use super::Changes;
use crate::join::plan::ROWS;
use crate::join::store::Entry;
use crate::narrow::in_state;
use crate::saved::check_types;

/// How many columns of a snapshot are the join's own: weight, partners, and when the row came last.
const NUMBERS: usize = 3;

impl Changes {
    /// Writes these rows of a side.
    pub(super) fn save(&self, side: usize, ids: &[u32], state: &mut StateWriter) -> Result<()> {
        let store = &self.stores[side];
        let number =
            |of: fn(&Entry) -> i64| -> ArrayRef { Arc::new(ids.iter().map(|&id| Some(of(store.get(id)))).collect::<Int64Array>()) };
        let rows = store.rows(ids.iter().copied())?;
        let keys = self.interner.columns(&ids.iter().map(|&id| store.get(id).key).collect::<Vec<_>>())?;
        let groups = key_groups(&keys, ids.len(), self.key_groups)?;
        let touched_at = |id: u32| self.ttls.as_ref().map_or(0, |ttls| ttls[side].touched_at(id as usize));
        let touched: ArrayRef = Arc::new(ids.iter().map(|&id| Some(touched_at(id))).collect::<Int64Array>());
        let numbers = [number(|entry| entry.weight), number(|entry| entry.partners), touched];
        let columns = numbers.into_iter().chain(rows.columns().iter().cloned()).chain(keys).collect();
        state.put_keyed(ROWS[side], &groups, &RecordBatch::try_new(self.state_schema(side), columns)?)
    }

    /// Takes back what was written of a side.
    pub(super) fn load(&mut self, side: usize, state: &StateReader) -> Result<()> {
        let schema = self.state_schema(side);
        for saved in state.get(ROWS[side]) {
            check_types(&saved.schema(), &schema)?;
            let number = |column: usize| saved.column(column).as_primitive::<Int64Type>().clone();
            let (weights, partners, touched) = (number(0), number(1), number(2));
            let columns = saved.columns();
            let first_key = columns.len() - self.keys[side].types.len();
            let mut ids = Vec::new();
            self.interner.intern(&columns[first_key..], saved.num_rows(), &mut ids)?;
            let store = &mut self.stores[side];
            let rows = store.convert(&columns[NUMBERS..first_key], saved.num_rows())?;
            for (row, &key) in ids.iter().enumerate() {
                let id = store.entry(rows.row(row).data(), key);
                let entry = store.get_mut(id);
                // Where rows only come, equal ones are put down one by one.
                (entry.weight, entry.partners) = (entry.weight + weights.value(row), partners.value(row));
                if let Some(ttls) = &mut self.ttls {
                    ttls[side].touch(id as usize, ClockTime(touched.value(row)));
                }
            }
        }
        Ok(())
    }

    /// The schema of a side's part of a snapshot.
    fn state_schema(&self, side: usize) -> SchemaRef {
        let numbers = ["weight", "partners", "touched"].map(|name| Field::new(name, DataType::Int64, false));
        let rows = self.stores[side].schema().fields().iter();
        let rows = rows.map(|field| field.as_ref().clone().with_name(in_state(field)));
        let keys = self.keys[side].types.iter().enumerate().map(|(i, data_type)| Field::new(format!("k{i}"), data_type.clone(), true));
        Arc::new(Schema::new(numbers.into_iter().chain(rows).chain(keys).collect::<Vec<_>>()))
    }
}

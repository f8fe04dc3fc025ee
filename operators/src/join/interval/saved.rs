//! The rows of a side that wait, to a snapshot and back.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use hashbrown::HashSet;
use millstream_api::key_group::key_groups as groups_of;
use millstream_api::state::picked::records_of;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::{EventTime, Result};
use millstream_expr::Interner;

use super::side::{Side, Stamp};
use crate::columns::{records, sharing};
use crate::floors::Floors;
use crate::join::probe::numbers;
use crate::narrow::in_state;
use crate::saved::check_types;

/// How many columns of a snapshot are the join's own: time, and whether the row has had a partner. Behind them are those of the row, then
/// its key.
const OWN: usize = 2;

/// The first of them.
pub(in crate::join) const TIME: &str = "time";

impl Side {
    /// Writes the rows that wait and have not been written, and all that wait of these keys, as they lie there, in the order in which they
    /// came.
    pub(super) fn save(&mut self, name: &str, again: &HashSet<usize>, key_groups: u16, state: &mut StateWriter) -> Result<()> {
        let is_wanted = |key: usize, stamp: &Stamp| stamp.number >= self.written || again.contains(&key);
        let wanted = self.by_key.iter().filter(|(key, stamp)| is_wanted(*key, stamp)).map(|(_, stamp)| *stamp);
        // A row that has left already, because its partner was enough, is not there any more.
        let mut stamps: Vec<Stamp> = wanted.filter(|stamp| self.rows.has(stamp.number)).collect();
        stamps.sort_unstable_by_key(|stamp| stamp.number);
        let row_numbers: Vec<u64> = stamps.iter().map(|stamp| stamp.number).collect();
        let schema = self.state_schema();
        for (range, rows, places) in self.rows.lying(&row_numbers) {
            let stamps = &stamps[range];
            let keys = self.keys.again(rows)?.iter().map(|key| Ok(take(key, &places, None)?)).collect::<Result<Vec<_>>>()?;
            let groups = groups_of(&keys, stamps.len(), key_groups)?;
            let times = Int64Array::from_iter_values(stamps.iter().map(|stamp| stamp.time));
            let matched: BooleanArray = stamps.iter().map(|stamp| Some(stamp.matched)).collect();
            let own = [Arc::new(times) as ArrayRef, Arc::new(matched)];
            let columns = own.into_iter().chain(sharing(rows, &places)?).chain(keys).collect();
            state.put_keyed(name, &groups, &records_of(&schema, columns)?)?;
        }
        self.written = self.rows.end();
        Ok(())
    }

    /// Takes back what was written, but for what is past. How many rows were written.
    pub(super) fn load(&mut self, name: &str, interner: &mut Interner, floors: &Floors, state: &StateReader) -> Result<u64> {
        let mut count = 0;
        for saved in state.entries().get(name).into_iter().flatten() {
            check_types(&saved.records.schema(), &self.state_schema())?;
            count += saved.records.num_rows() as u64;
            let times = saved.records.column(0).as_primitive::<Int64Type>();
            let saved = floors.not_past(saved, |row, floor| self.is_past(times.value(row), EventTime(floor)))?.records;
            let first_key = saved.num_columns() - self.keys.types.len();
            let rows = records(self.rows.schema(), saved.columns()[OWN..first_key].to_vec(), saved.num_rows())?;
            let keys = numbers(interner, &self.keys, &saved.columns()[first_key..], rows.num_rows())?;
            let (times, matched) = (saved.column(0).as_primitive::<Int64Type>(), saved.column(1).as_boolean());
            let stamps = keys.into_iter().enumerate().map(|(row, key)| (key, times.value(row), matched.value(row)));
            self.keep(&rows, &stamps.collect::<Vec<_>>())?;
        }
        Ok(count)
    }

    /// The schema of its part of a snapshot.
    fn state_schema(&self) -> SchemaRef {
        let own = [Field::new(TIME, DataType::Int64, false), Field::new("matched", DataType::Boolean, false)];
        let rows = self.rows.schema().fields().iter();
        let rows = rows.map(|field| Field::new(in_state(field), field.data_type().clone(), true));
        let keys = self.keys.types.iter().enumerate().map(|(i, data_type)| Field::new(format!("k{i}"), data_type.clone(), true));
        Arc::new(Schema::new(own.into_iter().chain(rows).chain(keys).collect::<Vec<_>>()))
    }
}

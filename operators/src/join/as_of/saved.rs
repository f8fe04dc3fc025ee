//! Rows that wait and versions, to a snapshot and back.
//!
//! Both are written once, as they lie there. What is past may stand in checkpoints as long as their chain lasts: a row that was answered,
//! and a version that nobody can ask for any more. So up to where rows were answered stands there too.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use millstream_api::key_group::key_groups as groups_of;
use millstream_api::state::picked::records_of;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::{EventTime, Result};

use super::{AsOfJoin, Versions, is_passed};
use crate::columns::{records, sharing};
use crate::floors::Floors;
use crate::join::pairs::Keys;
use crate::join::plan::ROWS;
use crate::join::probe::numbers;
use crate::join::rows::KeptRows;
use crate::narrow::in_state;
use crate::saved::check_types;

/// Number and time of a row.
type Stamp = (u64, i64);

impl AsOfJoin {
    /// Writes these versions, the rows that wait and have not been written, and up to where rows are answered.
    pub(super) fn save(&mut self, versions: Vec<Stamp>, state: &mut StateWriter) -> Result<()> {
        let waiting = &mut self.waiting;
        let numbered = waiting.due.iter().map(|(time, (_, number))| (number, time));
        let new: Vec<Stamp> = numbered.filter(|(number, _)| *number >= waiting.written).collect();
        put(ROWS[0], &waiting.rows, &self.keys[0], new, self.key_groups, state)?;
        waiting.written = waiting.rows.end();
        put(ROWS[1], &self.versions.rows, &self.keys[1], versions, self.key_groups, state)?;
        Floors::default().write(self.groups.clone(), self.watermark.0, state)
    }

    /// Takes back what was written.
    pub(super) fn load(&mut self, state: &StateReader) -> Result<()> {
        let floors = Floors::read(state);
        let schemas = [self.waiting.rows.schema().clone(), self.versions.rows.schema().clone()];
        for (side, schema) in schemas.iter().enumerate() {
            for saved in state.entries().get(ROWS[side]).into_iter().flatten() {
                check_types(&saved.records.schema(), &state_schema(schema))?;
                let came = saved.records.column(0).as_primitive::<Int64Type>();
                let is_answered = |row: usize, floor: i64| side == 0 && is_passed(came.value(row), EventTime(floor));
                let saved = floors.not_past(saved, is_answered)?.records;
                let times = saved.column(0).as_primitive::<Int64Type>().values();
                let kept = records(schema, saved.columns()[1..].to_vec(), saved.num_rows())?;
                let keys = numbers(&mut self.interner, &self.keys[side], &self.keys[side].again(&kept)?, kept.num_rows())?;
                if side == 0 {
                    let stamps: Vec<(usize, i64)> = keys.into_iter().zip(times.iter().copied()).collect();
                    self.waiting.keep(&kept, &stamps)?;
                } else {
                    let batch = self.versions.batch(&self.versions.input(), &kept)?;
                    self.versions.keep(&batch, &keys, times)?;
                }
            }
        }
        self.watermark = EventTime(floors.least());
        while let Some(keys) = self.versions.forget(self.watermark, usize::MAX)? {
            self.release(keys);
        }
        Ok(())
    }
}

impl Versions {
    /// All that are there.
    pub(super) fn all(&mut self) -> Vec<Stamp> {
        self.new = self.new.as_ref().map(|_| Vec::new());
        self.by_key.iter().map(|(_, version)| (version.number, version.time)).collect()
    }

    /// Those that are there and have not been written.
    pub(super) fn not_written(&mut self) -> Vec<Stamp> {
        let mut new = self.new.replace(Vec::new()).unwrap_or_default();
        new.retain(|(number, _)| self.rows.has(*number));
        new
    }

    /// Lets go of the stamps of versions that went before they were written, once they are the greater part.
    pub(super) fn tidy_new(&mut self) {
        if let Some(new) = self.new.as_mut().filter(|new| new.len() > 2 * self.rows.len()) {
            new.retain(|(number, _)| self.rows.has(*number));
        }
    }

    /// The columns of the right side as they come in.
    fn input(&self) -> SchemaRef {
        let kept = self.rows.schema().fields();
        let own = kept.len() - if self.origin { 2 } else { 0 };
        Arc::new(Schema::new(kept.iter().take(own).cloned().collect::<Vec<_>>()))
    }
}

/// The schema of a side's part of a snapshot.
fn state_schema(rows: &Schema) -> SchemaRef {
    let rows = rows.fields().iter().map(|field| Field::new(in_state(field), field.data_type().clone(), true));
    Arc::new(Schema::new(std::iter::once(Field::new("time", DataType::Int64, false)).chain(rows).collect::<Vec<_>>()))
}

/// Writes rows as they lie there, in the order in which they came.
fn put(name: &str, rows: &KeptRows, keys: &Keys, mut stamps: Vec<Stamp>, key_groups: u16, state: &mut StateWriter) -> Result<()> {
    stamps.sort_unstable();
    let row_numbers: Vec<u64> = stamps.iter().map(|(number, _)| *number).collect();
    let schema = state_schema(rows.schema());
    for (range, records, places) in rows.lying(&row_numbers) {
        let keys = keys.again(records)?.iter().map(|key| Ok(take(key, &places, None)?)).collect::<Result<Vec<_>>>()?;
        let groups = groups_of(&keys, places.len(), key_groups)?;
        let times: ArrayRef = Arc::new(Int64Array::from_iter_values(stamps[range].iter().map(|(_, time)| *time)));
        let columns = std::iter::once(times).chain(sharing(records, &places)?).collect();
        state.put_keyed(name, &groups, &records_of(&schema, columns)?)?;
    }
    Ok(())
}

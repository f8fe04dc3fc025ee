//! What `smooth` remembers: an average for each key, and rows that wait. Both are written by key group.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, UInt32Type};
use arrow::row::{OwnedRow, RowConverter, SortField};
use millstream_api::batch::{Hidden, Origin};
use millstream_api::key_group::key_groups;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::time::DurationText;
use millstream_api::{Batch, Result};

#[derive(Clone, Copy)]
struct Average {
    value: f64,
    at: i64,
}

/// The averages of all keys of a subtask.
pub struct Averages {
    half_life_micros: f64,
    pub key_groups: u16,
    /// Knows the types of the key once rows have been seen.
    converter: Option<RowConverter>,
    by_key: HashMap<Option<OwnedRow>, Average>,
}

impl Averages {
    pub fn new(half_life: DurationText, key_groups: u16) -> Self {
        Averages { half_life_micros: half_life.micros() as f64, key_groups, converter: None, by_key: HashMap::new() }
    }

    /// The average of each row's key after the row; null before the first value. Rows must come in the order of `times`.
    pub fn advance(&mut self, keys: &[ArrayRef], values: &Float64Array, times: &[i64]) -> Result<Float64Array> {
        let rows = self.encode(keys, values.len())?;
        let half_life = self.half_life_micros;
        let next = rows.into_iter().enumerate().map(|(row, key)| {
            let old = self.by_key.get(&key).copied();
            if values.is_null(row) {
                return old.map(|average| average.value);
            }
            let (value, at) = (values.value(row), times[row]);
            let value = old.map_or(value, |average| {
                let weight = 0.5f64.powf((at - average.at) as f64 / half_life);
                average.value * weight + value * (1.0 - weight)
            });
            self.by_key.insert(key, Average { value, at });
            Some(value)
        });
        Ok(next.collect())
    }

    pub fn size_bytes(&self) -> usize {
        self.by_key.len() * (size_of::<Average>() + size_of::<OwnedRow>() + 32)
    }

    pub fn snapshot(&self, state: &mut StateWriter) -> Result<()> {
        let keys: Vec<ArrayRef> = match &self.converter {
            Some(converter) => converter.convert_rows(self.by_key.keys().flatten().map(OwnedRow::row))?,
            None => Vec::new(),
        };
        let groups = key_groups(&keys, self.by_key.len(), self.key_groups)?;
        let values = Float64Array::from_iter_values(self.by_key.values().map(|average| average.value));
        let times = Int64Array::from_iter_values(self.by_key.values().map(|average| average.at));
        state.put_keyed("averages", &groups, &beside(keys, vec![("value", Arc::new(values)), ("at", Arc::new(times))])?)
    }

    pub fn restore(&mut self, state: &StateReader) -> Result<()> {
        for records in state.get("averages") {
            let keys = &records.columns()[..records.num_columns() - 2];
            let values = records.column(keys.len()).as_primitive::<Float64Type>();
            let times = records.column(keys.len() + 1).as_primitive::<Int64Type>();
            for (row, key) in self.encode(keys, records.num_rows())?.into_iter().enumerate() {
                self.by_key.insert(key, Average { value: values.value(row), at: times.value(row) });
            }
        }
        Ok(())
    }

    /// Keys that can be compared and hashed; `None` for the one key without columns.
    fn encode(&mut self, keys: &[ArrayRef], rows: usize) -> Result<Vec<Option<OwnedRow>>> {
        if keys.is_empty() {
            return Ok(vec![None; rows]);
        }
        let converter = match &mut self.converter {
            Some(converter) => converter,
            empty => empty.insert(RowConverter::new(keys.iter().map(|key| SortField::new(key.data_type().clone())).collect())?),
        };
        Ok(converter.convert_columns(keys)?.iter().map(|row| Some(row.owned())).collect())
    }
}

/// Writes rows that wait, with what is known of them beside their columns.
pub fn snapshot_waiting(batch: &Batch, keys: &[ArrayRef], groups: u16, state: &mut StateWriter) -> Result<()> {
    let hidden = batch.hidden();
    let mut beside_columns: Vec<(&str, ArrayRef)> = Vec::new();
    if let Some(times) = &hidden.times {
        beside_columns.push(("time", Arc::new(times.clone())));
    }
    if let Some(origin) = &hidden.origin {
        beside_columns.push(("split", Arc::new(origin.split.clone())));
        beside_columns.push(("position", Arc::new(origin.position.clone())));
    }
    let groups = key_groups(keys, batch.rows(), groups)?;
    state.put_keyed("waiting", &groups, &beside(batch.records().columns().to_vec(), beside_columns)?)
}

/// Takes back what [`snapshot_waiting`] wrote.
pub fn restore_waiting(records: &RecordBatch, schema: &SchemaRef) -> Result<Batch> {
    let visible = schema.fields().len();
    let columns = RecordBatch::try_new(schema.clone(), records.columns()[..visible].to_vec())?;
    let times = Some(records.column(visible).as_primitive::<Int64Type>().clone());
    let origin = (records.num_columns() > visible + 1).then(|| Origin {
        split: records.column(visible + 1).as_primitive::<UInt32Type>().clone() as UInt32Array,
        position: records.column(visible + 2).as_primitive::<Int64Type>().clone(),
    });
    Batch::new(columns, Hidden { times, origin, ..Hidden::default() })
}

fn beside(columns: Vec<ArrayRef>, more: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    let field = |(index, column): (usize, &ArrayRef)| Field::new(format!("c{index}"), column.data_type().clone(), true);
    let mut fields: Vec<Field> = columns.iter().enumerate().map(field).collect();
    fields.extend(more.iter().map(|(name, column)| Field::new(*name, DataType::clone(column.data_type()), true)));
    let columns = columns.into_iter().chain(more.into_iter().map(|(_, column)| column)).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

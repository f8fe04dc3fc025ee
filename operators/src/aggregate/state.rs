//! Groups to and from a snapshot: keys, states and counts as columns, written by key group.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use millstream_api::Result;
use millstream_api::key_group::key_groups;
use millstream_api::state::StateWriter;

use super::program::Program;
use crate::saved::of_others;

/// The columns of a snapshot: three whole numbers, the key, the states.
pub(super) struct Layout {
    schema: SchemaRef,
    keys: usize,
    /// How many state columns each function has.
    states: Vec<usize>,
    key_groups: u16,
}

/// Rows of a snapshot taken apart.
pub(super) struct Rows {
    /// What the owner of the state gave, for each row.
    pub(super) numbers: [Int64Array; 3],
    pub(super) keys: Vec<ArrayRef>,
    pub(super) states: Vec<Vec<ArrayRef>>,
}

impl Layout {
    /// The layout of the functions that `program` computes.
    pub(super) fn new(program: &Program, key_groups: u16) -> Layout {
        let numbers = (0..3).map(|i| Field::new(format!("n{i}"), DataType::Int64, false));
        let keys = program.key_types().iter().enumerate().map(|(i, key)| Field::new(format!("k{i}"), key.clone(), true));
        let states = program.state_fields().iter().enumerate().flat_map(|(i, fields)| {
            let named = move |field: &Field| Field::new(format!("f{i}_{}", field.name()), field.data_type().clone(), true);
            fields.iter().map(named)
        });
        let fields: Vec<Field> = numbers.chain(keys).chain(states).collect();
        Layout {
            schema: Arc::new(Schema::new(fields)),
            keys: program.key_types().len(),
            states: program.state_fields().iter().map(Vec::len).collect(),
            key_groups,
        }
    }

    /// Writes groups; `numbers` are whatever the owner needs to know of each.
    pub(super) fn write(
        &self,
        name: &str,
        numbers: [Int64Array; 3],
        keys: Vec<ArrayRef>,
        states: Vec<Vec<ArrayRef>>,
        to: &mut StateWriter,
    ) -> Result<()> {
        let rows = numbers[0].len();
        if rows == 0 {
            return Ok(());
        }
        let groups = key_groups(&keys, rows, self.key_groups)?;
        to.put_keyed(name, &groups, &self.records(numbers, keys, states)?)
    }

    /// Groups as rows, as [`write`](Layout::write) writes them.
    pub(super) fn records(&self, numbers: [Int64Array; 3], keys: Vec<ArrayRef>, states: Vec<Vec<ArrayRef>>) -> Result<RecordBatch> {
        let numbers = numbers.into_iter().map(|numbers| Arc::new(numbers) as ArrayRef);
        let columns = numbers.chain(keys).chain(states.into_iter().flatten()).collect();
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }

    /// `runtime.key_groups`.
    pub(super) fn key_groups(&self) -> u16 {
        self.key_groups
    }

    /// The columns of the rows.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The key columns of rows.
    pub(super) fn keys(&self, records: &RecordBatch) -> Vec<ArrayRef> {
        records.columns()[3..3 + self.keys].to_vec()
    }

    /// Takes rows apart that [`write`](Layout::write) wrote.
    pub(super) fn read(&self, records: &RecordBatch) -> Result<Rows> {
        check_columns(&records.schema(), &self.schema)?;
        let mut columns = records.columns().iter().cloned();
        let mut number = || columns.next().map_or_else(|| Int64Array::from(Vec::<i64>::new()), |c| c.as_primitive::<Int64Type>().clone());
        let numbers = [number(), number(), number()];
        let keys = columns.by_ref().take(self.keys).collect();
        let states = self.states.iter().map(|&count| columns.by_ref().take(count).collect()).collect();
        Ok(Rows { numbers, keys, states })
    }
}

impl Rows {
    /// The rows from `from` on, `length` of them.
    pub(super) fn slice(&self, from: usize, length: usize) -> Rows {
        let cut = |columns: &[ArrayRef]| -> Vec<ArrayRef> { columns.iter().map(|column| column.slice(from, length)).collect() };
        Rows {
            numbers: self.numbers.each_ref().map(|numbers| numbers.slice(from, length)),
            keys: cut(&self.keys),
            states: self.states.iter().map(|state| cut(state)).collect(),
        }
    }

    /// The rows in runs of which the first two numbers are the same.
    pub(super) fn runs(&self) -> impl Iterator<Item = ((i64, i64), Rows)> + '_ {
        let pair = |row: usize| (self.numbers[0].value(row), self.numbers[1].value(row));
        let mut from = 0;
        std::iter::from_fn(move || {
            let start = from;
            let first = (start < self.len()).then(|| pair(start))?;
            while from < self.len() && pair(from) == first {
                from += 1;
            }
            Some((first, self.slice(start, from - start)))
        })
    }

    /// How many rows of the input panes of these rows stand for.
    pub(super) fn count(&self) -> u64 {
        self.numbers[2].values().iter().sum::<i64>().unsigned_abs()
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.numbers[0].len()
    }
}

/// The columns of a snapshot of rows that were sent: some of the owner's, the key, what left.
pub(super) fn standing_schema(own: impl IntoIterator<Item = Field>, program: &Program) -> SchemaRef {
    let keys = program.key_types().iter().enumerate().map(|(i, key)| Field::new(format!("k{i}"), key.clone(), true));
    let sent = program.output().fields().iter().enumerate();
    let sent = sent.map(|(i, field)| Field::new(format!("o{i}"), field.data_type().clone(), true));
    Arc::new(Schema::new(own.into_iter().chain(keys).chain(sent).collect::<Vec<_>>()))
}

/// Whether a snapshot has the columns that are wanted now.
pub(super) fn check_columns(saved: &Schema, wanted: &Schema) -> Result<()> {
    let types = |schema: &Schema| -> Vec<(String, DataType)> {
        schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
    };
    if types(saved) == types(wanted) { Ok(()) } else { Err(of_others()) }
}

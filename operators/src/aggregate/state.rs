//! Groups to and from a snapshot: keys, states and counts as columns, written by key group.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use millstream_api::Result;
use millstream_api::key_group::key_groups;
use millstream_api::state::{StateRows, StateWriter};

use super::program::Program;
use crate::saved::of_others;

/// The column that says when something of a group is due.
pub(super) const DUE: &str = "due";

/// The columns of a snapshot: three whole numbers, the key, the states; where keys leave memory with their windows, also when the first of
/// these ends.
pub(super) struct Layout {
    schema: SchemaRef,
    has_due: bool,
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
            has_due: false,
            keys: program.key_types().len(),
            states: program.state_fields().iter().map(Vec::len).collect(),
            key_groups,
        }
    }

    /// The same, with when something of each group is due.
    pub(super) fn with_due(self) -> Layout {
        let due = Arc::new(Field::new(DUE, DataType::Int64, false));
        let schema = Arc::new(Schema::new(self.schema.fields().iter().cloned().chain([due]).collect::<Vec<_>>()));
        Layout { schema, has_due: true, ..self }
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
        self.write_due(name, 0, numbers, keys, states, to)
    }

    /// The same of groups of which something is due at this instant.
    pub(super) fn write_due(
        &self,
        name: &str,
        due: i64,
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
        let due = self.has_due.then(|| Arc::new(Int64Array::from_value(due, rows)) as ArrayRef);
        to.put_keyed(name, &groups, &self.records_with(numbers, keys, states, due)?)
    }

    /// Groups as rows, as [`write`](Layout::write) writes them.
    pub(super) fn records(&self, numbers: [Int64Array; 3], keys: Vec<ArrayRef>, states: Vec<Vec<ArrayRef>>) -> Result<RecordBatch> {
        self.records_with(numbers, keys, states, None)
    }

    fn records_with(
        &self,
        numbers: [Int64Array; 3],
        keys: Vec<ArrayRef>,
        states: Vec<Vec<ArrayRef>>,
        due: Option<ArrayRef>,
    ) -> Result<RecordBatch> {
        let numbers = numbers.into_iter().map(|numbers| Arc::new(numbers) as ArrayRef);
        let columns = numbers.chain(keys).chain(states.into_iter().flatten()).chain(due).collect();
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

/// Rows of a snapshot in the order of the two numbers that they begin with: what comes back key by key is not.
pub(super) fn by_pane(rows: &StateRows) -> Result<StateRows> {
    let [first, second] = [0, 1].map(|column| rows.records.column(column).as_primitive::<Int64Type>().values());
    let pane = |row: &u32| (first[*row as usize], second[*row as usize]);
    let mut order: Vec<u32> = (0..rows.records.num_rows() as u32).collect();
    if order.is_sorted_by_key(pane) {
        return Ok(rows.clone());
    }
    order.sort_by_key(pane);
    let groups = rows.groups.as_ref().map(|groups| order.iter().map(|&row| groups[row as usize]).collect());
    Ok(StateRows { groups, records: take_record_batch(&rows.records, &UInt32Array::from(order))? })
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

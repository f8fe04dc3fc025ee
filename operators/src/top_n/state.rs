//! Rankings to and from a snapshot: their rows as columns, written by the key group of their keys.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use millstream_api::Result;
use millstream_api::key_group::key_groups;
use millstream_api::state::StateWriter;
use millstream_api::state::picked::records_of;

use super::program::{Program, Window};
use super::rankings::{Rankings, Saved};
use crate::columns::{Constant, records};
use crate::saved::check_types;

/// How many columns of a snapshot are numbers: start and end of the window, rows of which it is the last, equal rows, when the
/// key was last touched.
const NUMBERS: usize = 5;

/// The columns of a snapshot: numbers, the key, the kept columns.
pub(super) struct Layout {
    schema: SchemaRef,
    kept: SchemaRef,
    keys: usize,
    key_groups: u16,
}

/// Rows of one window of a snapshot.
pub(super) struct Rows {
    pub(super) window: Window,
    pub(super) last_rows: u64,
    counts: Int64Array,
    touched: Int64Array,
    keys: Vec<ArrayRef>,
    kept: RecordBatch,
}

impl Layout {
    /// The layout of the rows that `program` keeps.
    pub(super) fn new(program: &Program, key_groups: u16) -> Layout {
        let numbers = (0..NUMBERS).map(|i| Field::new(format!("n{i}"), DataType::Int64, false));
        let keys = program.key_types().iter().enumerate().map(|(i, key)| Field::new(format!("k{i}"), key.clone(), true));
        let kept = program.kept().fields().iter().map(|field| field.as_ref().clone());
        let schema = Arc::new(Schema::new(numbers.chain(keys).chain(kept).collect::<Vec<_>>()));
        Layout { schema, kept: program.kept().clone(), keys: program.key_types().len(), key_groups }
    }

    /// `runtime.key_groups`.
    pub(super) fn key_groups(&self) -> u16 {
        self.key_groups
    }

    /// Writes the rows of a window, or of some of its keys, with rising numbers.
    pub(super) fn write_window(&self, name: &str, (start, end): Window, last_rows: u64, saved: Saved, to: &mut StateWriter) -> Result<()> {
        let rows = saved.groups.len();
        // Put down with the first row of the first key: only the sum over all subtasks matters.
        let has_first = saved.groups.first() == Some(&0);
        let last: Int64Array = (0..rows).map(|row| Some(if row == 0 && has_first { last_rows as i64 } else { 0 })).collect();
        let constant = |value: i64| Arc::new(Int64Array::from_value(value, rows)) as ArrayRef;
        self.put(name, [constant(start), constant(end), Arc::new(last), counts(&saved, || constant(1)), constant(0)], saved, to)
    }

    /// Writes rows that are in no window; `touched` says when each key was last touched, if that matters.
    pub(super) fn write(
        &self,
        name: &str,
        saved: impl Iterator<Item = Result<Saved>>,
        touched: Option<&dyn Fn(usize) -> i64>,
        to: &mut StateWriter,
    ) -> Result<()> {
        let (mut zeros, mut ones) = (Constant::new(0), Constant::new(1));
        for saved in saved {
            let saved = saved?;
            let rows = saved.groups.len();
            let touched = match touched {
                Some(touched) => Arc::new(saved.groups.iter().map(|&group| Some(touched(group))).collect::<Int64Array>()),
                None => zeros.of(rows),
            };
            let numbers = [zeros.of(rows), zeros.of(rows), zeros.of(rows), counts(&saved, || ones.of(rows)), touched];
            self.put(name, numbers, saved, to)?;
        }
        Ok(())
    }

    fn put(&self, name: &str, numbers: [ArrayRef; NUMBERS], saved: Saved, to: &mut StateWriter) -> Result<()> {
        let groups = key_groups(&saved.keys, saved.groups.len(), self.key_groups)?;
        to.put_keyed(name, &groups, &records_of(&self.schema, numbers.into_iter().chain(saved.keys).chain(saved.kept).collect())?)
    }

    /// Takes rows apart that [`write`](Layout::write) wrote, by window.
    pub(super) fn read(&self, saved: &RecordBatch) -> Result<Vec<Rows>> {
        check_types(&saved.schema(), &self.schema)?;
        let number = |column: usize| saved.column(column).as_primitive::<Int64Type>();
        let window = |row: usize| (number(0).value(row), number(1).value(row));
        let mut found = Vec::new();
        let mut from = 0;
        while from < saved.num_rows() {
            let length = (from..saved.num_rows()).take_while(|&row| window(row) == window(from)).count();
            let run = saved.slice(from, length);
            let (keys, kept) = run.columns()[NUMBERS..].split_at(self.keys);
            found.push(Rows {
                window: window(from),
                last_rows: number(2).slice(from, length).values().iter().sum::<i64>().unsigned_abs(),
                counts: number(3).slice(from, length),
                touched: number(4).slice(from, length),
                keys: keys.to_vec(),
                kept: records(&self.kept, kept.to_vec(), length)?,
            });
            from += length;
        }
        Ok(found)
    }
}

/// How many equal rows there are of each, as a column.
fn counts(saved: &Saved, ones: impl FnOnce() -> ArrayRef) -> ArrayRef {
    saved.counts.as_ref().map_or_else(ones, |counts| Arc::new(counts.clone()))
}

impl Rows {
    /// Puts the rows back into rankings; `touch` is told when each key was last touched.
    pub(super) fn load(self, into: &mut Rankings, mut touch: impl FnMut(usize, i64)) -> Result<()> {
        let ids = into.number(&self.keys, self.counts.len())?;
        ids.iter().zip(self.touched.values()).for_each(|(&id, &at)| touch(id, at));
        let touched = into.touched(&ids);
        into.change(&ids, &touched, self.kept, |row| self.counts.value(row))?;
        into.tidy(&touched)
    }
}

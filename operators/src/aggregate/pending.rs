//! What a running aggregate that speaks at ticks has not said yet.
//!
//! A group that changes for the first time since the last tick is put down with the row that stands for it downstream; at the
//! tick that row is compared with the one it has then. What came and went between is never sent. Of groups that have left memory
//! in between the store knows which they are.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{concat, concat_batches, filter_record_batch, is_not_null};
use arrow::datatypes::{DataType, Field, SchemaRef};
use hashbrown::HashSet;
use millstream_api::key_group::key_groups;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::time::ClockTime;
use millstream_api::{Batch, Output, Result};
use millstream_expr::Interner;

use super::early::{SENT, next_tick};
use super::program::Program;
use super::running::Rows;
use super::state::{check_columns, standing_schema};
use crate::cold::ColdTicks;
use crate::columns::records;

/// The groups that have changed since the last tick, with the rows that stand for them.
pub(super) struct Pending {
    /// In microseconds.
    every: i64,
    next: Option<ClockTime>,
    groups: Vec<usize>,
    known: HashSet<usize>,
    /// The place of each group's row among the rows of all chunks.
    places: Vec<Option<u32>>,
    chunks: Vec<RecordBatch>,
    rows: usize,
    /// What there is to say of groups that have left memory.
    pub(super) cold: ColdTicks,
    key_groups: u16,
}

impl Pending {
    /// Nothing has changed.
    pub(super) fn new(every: i64, key_groups: u16) -> Pending {
        Pending {
            every: every.max(1),
            next: None,
            groups: Vec::new(),
            known: HashSet::new(),
            places: Vec::new(),
            chunks: Vec::new(),
            rows: 0,
            cold: ColdTicks::default(),
            key_groups,
        }
    }

    /// All groups leave memory.
    pub(super) fn emptied(&self) -> Pending {
        let mut cold = self.cold;
        if !self.groups.is_empty() {
            cold.note();
        }
        Pending { next: self.next, cold, ..Pending::new(self.every, self.key_groups) }
    }

    /// It is time to say what has changed.
    pub(super) fn begin_tick(&mut self) {
        self.next = None;
        self.cold.begin();
    }

    /// Notes that groups have changed, and the rows that they had before.
    pub(super) fn note(&mut self, groups: &[usize], before: &Rows, out: &mut Output) -> Result<()> {
        let mut kept = Vec::new();
        for (&group, place) in groups.iter().zip(&before.places) {
            if self.known.insert(group) {
                self.groups.push(group);
                self.places.push(place.map(|_| (self.rows + kept.len()) as u32));
                kept.extend(*place);
            }
        }
        if !kept.is_empty() {
            self.rows += kept.len();
            self.chunks.push(Batch::plain(before.records.clone()).take(&UInt32Array::from(kept))?.records().clone());
        }
        self.ask(out);
        Ok(())
    }

    /// Asks to be woken for the next tick, if there is anything to say then.
    pub(super) fn ask(&mut self, out: &mut Output) {
        if !self.groups.is_empty() || self.cold.has_some() {
            let every = self.every;
            out.wake_at(*self.next.get_or_insert_with(|| next_tick(out.now(), every)));
        }
    }

    /// Whether the tick has come.
    pub(super) fn is_due(&self, now: ClockTime) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    /// Whether a group has changed.
    pub(super) fn contains(&self, group: usize) -> bool {
        self.known.contains(&group)
    }

    /// The groups that have changed and the rows that stand for them. They count as said.
    pub(super) fn take(&mut self, program: &Program) -> Result<(Vec<usize>, Rows)> {
        let records = concat_batches(program.output(), &self.chunks)?;
        let places = std::mem::take(&mut self.places);
        self.known.clear();
        self.chunks.clear();
        self.rows = 0;
        Ok((std::mem::take(&mut self.groups), Rows { records, places }))
    }

    /// Writes the groups and the rows that stand for them. What was noted stays.
    pub(super) fn snapshot(&self, program: &Program, interner: &Interner, state: &mut StateWriter) -> Result<()> {
        let groups = self.groups.len();
        if groups == 0 {
            return Ok(());
        }
        let standing = concat_batches(program.output(), &self.chunks)?;
        // Groups without a row take the one behind the last, which is all null.
        let indices: UInt32Array = self.places.iter().map(|place| place.unwrap_or(self.rows as u32)).map(Some).collect();
        let padded = |column: &ArrayRef| -> Result<ArrayRef> {
            let all = concat(&[column, &new_null_array(column.data_type(), 1)])?;
            Ok(arrow::compute::take(&all, &indices, None)?)
        };
        let stands: BooleanArray = self.places.iter().map(|place| place.map(|_| true)).collect();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(stands)];
        let keys = interner.columns(&self.groups)?;
        columns.extend(keys.iter().cloned());
        for column in standing.columns() {
            columns.push(padded(column)?);
        }
        let of_keys = key_groups(&keys, groups, self.key_groups)?;
        state.put_keyed(SENT, &of_keys, &RecordBatch::try_new(state_schema(program), columns)?)
    }

    /// Takes back what [`snapshot`](Pending::snapshot) wrote.
    pub(super) fn restore(&mut self, program: &Program, interner: &mut Interner, state: &StateReader) -> Result<()> {
        for saved in state.get(SENT) {
            check_columns(&saved.schema(), &state_schema(program))?;
            let keys = program.key_types().len();
            let mut ids = Vec::new();
            interner.intern(&saved.columns()[1..=keys], saved.num_rows(), &mut ids)?;
            let stands = is_not_null(saved.column(0))?;
            for (&group, stands) in ids.iter().zip(saved.column(0).as_boolean()) {
                self.known.insert(group);
                self.groups.push(group);
                self.places.push(stands.map(|_| self.rows as u32));
                self.rows += usize::from(stands.is_some());
            }
            let standing = filter_record_batch(saved, &stands)?;
            self.chunks.push(records(program.output(), standing.columns()[1 + keys..].to_vec(), standing.num_rows())?);
        }
        Ok(())
    }

    /// Memory in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(RecordBatch::get_array_memory_size).sum();
        // A number in the set takes as much as one in the list.
        chunks + self.groups.capacity() * (2 * size_of::<usize>() + size_of::<Option<u32>>())
    }
}

fn state_schema(program: &Program) -> SchemaRef {
    standing_schema([Field::new("stands", DataType::Boolean, true)], program)
}

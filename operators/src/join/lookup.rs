//! Mode `lookup`: the right side is a table that is read to its end before the first row of the left side is looked at.
//!
//! Rows of the left side then find their partners at once and keep their time, window and weight. The table is divided among the
//! subtasks by key, as the left side is, so that it is in memory once.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat, filter_record_batch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use millstream_api::batch::Hidden;
use millstream_api::key_group::key_groups;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::{Batch, Operator, Output, Progress, Result};
use millstream_expr::Interner;

use super::factory::Told;
use super::pairs::{Keys, Pairs, Picked, Rows};
use super::plan::{Design, ROWS};
use super::probe::{Index, NO_KEY, Probe, numbers, release};
use super::window::filtered;
use super::{Kind, MAIN};
use crate::columns::{in_one_buffer, records};
use crate::narrow::{Narrow, in_state};
use crate::saved::check_types;

/// One subtask.
pub(super) struct LookupJoin {
    kind: Kind,
    narrow: [Narrow; 2],
    keys: [Keys; 2],
    interner: Interner,
    pairs: Pairs,
    table: Table,
    work: Option<Work>,
    /// Rows of the left side that came after a stop, before the table was whole.
    unanswered: u64,
    read: bool,
    key_groups: u16,
    batch_rows: usize,
}

/// The right side.
struct Table {
    schema: SchemaRef,
    /// What has come so far, with the numbers of keys; in one piece once all has.
    pieces: Vec<RecordBatch>,
    keys: Vec<usize>,
    bytes: usize,
    whole: Option<Whole>,
    /// How many rows have been written for a checkpoint.
    written: usize,
}

struct Whole {
    rows: RecordBatch,
    index: Index,
    /// Numbers of keys from here on are of no row.
    keys: usize,
}

/// A batch of the left side that is not answered yet.
struct Work {
    rows: RecordBatch,
    /// The same rows without columns: time, window and weight.
    hidden: Batch,
    probe: Probe,
    matched: Vec<bool>,
    /// Once all pairs are through: the rows that are sent by themselves, and how many of them have been.
    alone: Option<(UInt32Array, usize)>,
}

impl LookupJoin {
    /// A subtask with an empty table.
    pub(super) fn new(design: &Design, told: Told<'_>) -> Result<Self> {
        let context = &told.kept;
        let keys = [Keys::new(design, context, 0)?, Keys::new(design, context, 1)?];
        Ok(LookupJoin {
            kind: design.kind,
            interner: Interner::new(&keys[0].types)?,
            keys,
            pairs: Pairs::new(design, context)?,
            table: Table::new(context.inputs[1].schema.clone()),
            work: None,
            unanswered: 0,
            read: context.outputs[MAIN].read,
            key_groups: context.key_groups,
            batch_rows: context.batch_rows.max(1),
            narrow: told.narrow,
        })
    }

    /// Rows of the right side, with their keys.
    fn fill(&mut self, rows: &RecordBatch, columns: &[ArrayRef]) -> Result<()> {
        let known = self.interner.total();
        let keys = numbers(&mut self.interner, &self.keys[1], columns, rows.num_rows())?;
        let one_is_enough = !self.kind.pairs() && !self.pairs.conditional();
        let mut newest = known;
        let wanted = keys.iter().map(|&key| {
            // Numbers of new keys rise.
            let new = key != NO_KEY && key >= newest;
            newest += usize::from(new);
            key != NO_KEY && (new || !one_is_enough)
        });
        let wanted: BooleanArray = wanted.map(Some).collect();
        self.table
            .add(&filter_record_batch(rows, &wanted)?, keys.iter().zip(wanted.values()).filter(|(_, wanted)| *wanted).map(|(key, _)| *key))
    }

    fn begin(&mut self, batch: &Batch, columns: &[ArrayRef]) -> Result<()> {
        let Some(whole) = &self.table.whole else { return Ok(()) };
        let known = whole.keys;
        let mut keys = numbers(&mut self.interner, &self.keys[0], columns, batch.rows())?;
        // Keys that the table does not have are not to be remembered.
        let strange = keys.iter().copied().filter(|&key| key != NO_KEY && key >= known).collect();
        release(&mut self.interner, &self.keys[0], strange, |_| true);
        keys.iter_mut().filter(|key| **key >= known).for_each(|key| *key = NO_KEY);
        let hidden = Hidden { origin: None, ..batch.hidden().clone() };
        self.work = Some(Work {
            rows: batch.records().clone(),
            hidden: batch.project(&[])?.with_hidden(hidden)?,
            probe: Probe::new(keys),
            matched: vec![false; batch.rows()],
            alone: None,
        });
        Ok(())
    }

    fn go_on(&mut self, out: &mut Output) -> Result<Progress> {
        let Some(mut work) = self.work.take() else { return Ok(Progress::Done) };
        loop {
            if out.is_full() {
                self.work = Some(work);
                return Ok(Progress::More);
            }
            if !self.answer(&mut work, out)? {
                return Ok(Progress::Done);
            }
        }
    }

    /// Sends the next piece; false when there is none.
    fn answer(&self, work: &mut Work, out: &mut Output) -> Result<bool> {
        let Some(whole) = &self.table.whole else { return Ok(false) };
        if work.alone.is_none() {
            let once = !self.kind.pairs();
            let matched = &work.matched;
            if let Some([left, right]) = work.probe.next(&whole.index, self.batch_rows, |row| once && matched[row]) {
                let rows = [Rows::At(&left), Rows::At(&right)];
                let mask = self.pairs.fulfil(&Picked { from: [&work.rows, &whole.rows], rows, window: None }, out)?;
                let [left, right] = match mask {
                    None => [left, right],
                    Some(mask) => [filtered(&left, &mask)?, filtered(&right, &mask)?],
                };
                left.values().iter().for_each(|&row| work.matched[row as usize] = true);
                if self.kind.pairs() {
                    self.send(work, whole, &left, Some(&right), out)?;
                }
                return Ok(true);
            }
            let wanted = |matched: bool| if self.kind == Kind::Semi { matched } else { self.kind.alone(0) && !matched };
            let alone = work.matched.iter().enumerate().filter(|(_, matched)| wanted(**matched));
            work.alone = Some((UInt32Array::from_iter_values(alone.map(|(row, _)| row as u32)), 0));
        }
        let Some((rows, sent)) = &mut work.alone else { return Ok(false) };
        let piece = rows.slice(*sent, self.batch_rows.min(rows.len() - *sent));
        *sent += piece.len();
        self.send(work, whole, &piece, None, out)?;
        Ok(!piece.is_empty())
    }

    fn send(&self, work: &Work, whole: &Whole, left: &UInt32Array, right: Option<&UInt32Array>, out: &mut Output) -> Result<()> {
        if left.is_empty() || !self.read {
            return Ok(());
        }
        let picked = Picked { from: [&work.rows, &whole.rows], rows: [Rows::At(left), right.into()], window: None };
        let (records, remains) = self.pairs.result(&picked, out)?;
        let hidden = work.hidden.take(left)?;
        let hidden = match remains {
            None => hidden,
            Some(remains) => hidden.filter(&remains)?,
        };
        out.emit(MAIN, hidden.with_records(records)?.compacted()?);
        Ok(())
    }
}

impl Table {
    fn new(schema: SchemaRef) -> Table {
        Table { schema, pieces: Vec::new(), keys: Vec::new(), bytes: 0, whole: None, written: 0 }
    }

    fn add(&mut self, rows: &RecordBatch, keys: impl Iterator<Item = usize>) -> Result<()> {
        let rows = Batch::plain(rows.clone()).compacted()?;
        self.bytes += rows.size_bytes();
        self.pieces.push(rows.records().clone());
        self.keys.extend(keys);
        Ok(())
    }

    /// All has come: puts the pieces together, column by column so that no more than one of them is there twice.
    fn complete(&mut self, keys: usize) -> Result<()> {
        let pieces = std::mem::take(&mut self.pieces);
        let rows = pieces.iter().map(RecordBatch::num_rows).sum();
        let mut columns: Vec<Vec<ArrayRef>> = vec![Vec::new(); self.schema.fields().len()];
        for piece in pieces {
            columns.iter_mut().zip(piece.columns()).for_each(|(column, part)| column.push(part.clone()));
        }
        let mut whole = Vec::with_capacity(columns.len());
        for (parts, field) in columns.into_iter().zip(self.schema.fields()) {
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            whole.push(if parts.is_empty() { arrow::array::new_empty_array(field.data_type()) } else { in_one_buffer(&concat(&parts)?) });
        }
        let rows = records(&self.schema, whole, rows)?;
        self.bytes = Batch::plain(rows.clone()).size_bytes();
        self.whole = Some(Whole { rows, index: Index::new(&std::mem::take(&mut self.keys), keys), keys });
        Ok(())
    }

    fn all(&self) -> &[RecordBatch] {
        self.whole.as_ref().map_or(&self.pieces, |whole| std::slice::from_ref(&whole.rows))
    }

    fn len(&self) -> usize {
        self.all().iter().map(RecordBatch::num_rows).sum()
    }

    /// The rows that have come after so many.
    fn since(&self, number: usize) -> impl Iterator<Item = RecordBatch> + '_ {
        let starts = self.all().iter().scan(0, |start, rows| Some(std::mem::replace(start, *start + rows.num_rows())));
        let pieces = starts.zip(self.all()).map(move |(start, rows)| {
            let skipped = number.saturating_sub(start).min(rows.num_rows());
            rows.slice(skipped, rows.num_rows() - skipped)
        });
        pieces.filter(|rows| rows.num_rows() > 0)
    }

    fn state_schema(&self) -> SchemaRef {
        let rows = self.schema.fields().iter().map(|field| Field::new(in_state(field), field.data_type().clone(), true));
        Arc::new(Schema::new(rows.collect::<Vec<_>>()))
    }

    fn size_bytes(&self) -> usize {
        self.bytes + self.keys.capacity() * size_of::<usize>() + self.whole.as_ref().map_or(0, |whole| whole.index.size_bytes())
    }
}

impl Operator for LookupJoin {
    fn on_batch(&mut self, input: usize, batch: Batch, out: &mut Output) -> Result<()> {
        let (batch, columns) = self.keys[input].of_kept(&batch, &self.narrow[input], out)?;
        out.fates().taken += batch.rows() as u64;
        if input == 1 {
            return self.fill(batch.records(), &columns);
        }
        if self.table.whole.is_none() {
            // Only a stop lets rows through before the table is whole. They are not answered in this run.
            self.unanswered += batch.rows() as u64;
        }
        self.begin(&batch, &columns)?;
        self.go_on(out).map(|_| ())
    }

    fn resume(&mut self, out: &mut Output) -> Result<Progress> {
        self.go_on(out)
    }

    fn on_end(&mut self, input: usize, _: &mut Output) -> Result<()> {
        if input == 1 { self.table.complete(self.interner.total()) } else { Ok(()) }
    }

    fn snapshot(&mut self, state: &mut StateWriter) -> Result<()> {
        self.table.written = 0;
        self.snapshot_changes(state)
    }

    /// Rows only come, and none once the table is whole.
    fn note_changes(&mut self) -> bool {
        true
    }

    fn snapshot_changes(&mut self, state: &mut StateWriter) -> Result<()> {
        for rows in self.table.since(self.table.written) {
            let groups = key_groups(&self.keys[1].again(&rows)?, rows.num_rows(), self.key_groups)?;
            state.put_keyed(ROWS[1], &groups, &records(&self.table.state_schema(), rows.columns().to_vec(), rows.num_rows())?)?;
        }
        self.table.written = self.table.len();
        Ok(())
    }

    fn restore(&mut self, state: &StateReader) -> Result<()> {
        for saved in state.get(ROWS[1]) {
            check_types(&saved.schema(), &self.table.state_schema())?;
            let rows = records(&self.table.schema, saved.columns().to_vec(), saved.num_rows())?;
            let columns = self.keys[1].again(&rows)?;
            self.fill(&rows, &columns)?;
        }
        Ok(())
    }

    fn rows_in_state(&self) -> u64 {
        self.table.len() as u64 + self.unanswered
    }

    fn state_bytes(&self) -> usize {
        self.interner.size_bytes() + self.table.size_bytes()
    }
}

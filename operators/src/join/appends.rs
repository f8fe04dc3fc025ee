//! Mode `changes` where rows of both sides only come: no row is ever looked for to be withdrawn.
//!
//! So rows stay in the columns in which they came, whole batches where these are large enough, and a list of row numbers leads
//! through those of each key. A batch looks for its partners among the rows of the other side, piece by piece, and is then put
//! away itself. The result is the same as that of `changes`, and so is a snapshot, since a topology can be changed so that
//! rows are withdrawn or forgotten from then on.

mod saved;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int8Array, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Field, Schema};
use millstream_api::batch::Hidden;
use millstream_api::plan::OperatorContext;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::{Batch, Operator, Output, Progress, Result};
use millstream_expr::Interner;

use super::chains::{Chains, END};
use super::factory::Told;
use super::pairs::{Keys, Pairs, Picked, Rows};
use super::plan::{Design, ROWS};
use super::probe::{NO_KEY, numbers};
use super::rows::{KeptRows, Picks};
use super::times::{Times, kept, kept_columns, later};
use super::window::filtered;
use super::{Kind, MAIN};
use crate::changed::ChangedKeys;
use crate::columns::records;
use crate::narrow::Narrow;

/// One subtask.
pub(super) struct Appends {
    kind: Kind,
    narrow: [Narrow; 2],
    sides: [Side; 2],
    interner: Interner,
    pairs: Pairs,
    work: Option<Work>,
    /// Whether rows of the result have event time, so that time and mark are kept with each row, as its last columns.
    event_time: bool,
    updating: bool,
    read: bool,
    /// Which keys have changed since they were last written, where partners are counted.
    changed: ChangedKeys,
    key_groups: u16,
    batch_rows: usize,
}

/// One side: what comes in, and what has come.
struct Side {
    keys: Keys,
    rows: KeptRows,
    chains: Chains,
    /// How many partners each row has, if that matters.
    partners: Option<Vec<i64>>,
    /// How many rows have been written for a checkpoint.
    written: u64,
}

/// A batch that is looking for partners.
struct Work {
    side: usize,
    /// The columns that are kept.
    rows: RecordBatch,
    keys: Vec<usize>,
    /// How many partners each row has; kept only where it matters.
    partners: Vec<i64>,
    /// The row at hand, and the partner to go on with if it has had some already.
    row: usize,
    next: Option<u32>,
    /// Pairs that are found and not sent: rows of the batch, and of the other side.
    found: Option<[UInt32Array; 2]>,
    /// Once all pairs are through: the rows that are sent by themselves, and how many of them have been.
    alone: Option<(UInt32Array, usize)>,
}

impl Appends {
    /// A subtask without state.
    pub(super) fn new(design: &Design, told: Told<'_>) -> Result<Self> {
        let context = &told.kept;
        let sides = [Side::new(design, context, 0)?, Side::new(design, context, 1)?];
        Ok(Appends {
            kind: design.kind,
            interner: Interner::new(&sides[0].keys.types)?,
            sides,
            pairs: Pairs::new(design, context)?,
            work: None,
            event_time: design.event_time,
            updating: design.updating,
            read: context.outputs[MAIN].read,
            changed: ChangedKeys::default(),
            key_groups: context.key_groups,
            batch_rows: context.batch_rows.max(1),
            narrow: told.narrow,
        })
    }

    /// Goes on with the batch at hand until it is done or the output is full.
    fn go_on(&mut self, out: &mut Output) -> Result<Progress> {
        while let Some(mut work) = self.work.take() {
            if out.is_full() {
                self.work = Some(work);
                return Ok(Progress::More);
            }
            match self.join(&mut work, out)? {
                true => self.work = Some(work),
                false => self.keep(work)?,
            }
        }
        Ok(Progress::Done)
    }

    /// Joins the next rows of the batch at hand; false when there are none.
    fn join(&mut self, work: &mut Work, out: &mut Output) -> Result<bool> {
        if let Some([own, other]) = work.found.take() {
            return self.send_pairs(work, &own, &other, out).map(|()| true);
        }
        let (own, other) = work.next(&self.sides[1 - work.side].chains, self.batch_rows);
        if own.is_empty() {
            return self.send_alone(work, out);
        }
        let [mut own, mut other] = [UInt32Array::from(own), UInt32Array::from(other)];
        if self.pairs.conditional() {
            let found = self.find(1 - work.side, &other)?;
            let mask = self.pairs.fulfil(&work.picked(Rows::At(&own), Rows::Kept(&found)), out)?;
            if let Some(mask) = mask.filter(|mask| mask.true_count() < own.len()) {
                (own, other) = (filtered(&own, &mask)?, filtered(&other, &mask)?);
            }
        }
        if self.kind.counts(work.side) {
            own.values().iter().for_each(|&row| work.partners[row as usize] += 1);
        }
        self.note_partners(work, &other, out)?;
        if self.kind.pairs() && self.read && !own.is_empty() {
            work.found = Some([own, other]);
        }
        Ok(true)
    }

    /// Notes who on the other side has a partner now. For those that had none before, that changes the result.
    fn note_partners(&mut self, work: &Work, others: &UInt32Array, out: &mut Output) -> Result<()> {
        let side = 1 - work.side;
        let Some(partners) = &mut self.sides[side].partners else { return Ok(()) };
        let mut newly: Vec<u32> = Vec::new();
        for &row in others.values() {
            let partners = &mut partners[row as usize];
            newly.extend((*partners == 0).then_some(row));
            *partners += 1;
        }
        if newly.is_empty() || !self.read {
            return Ok(());
        }
        let found = self.find(side, &UInt32Array::from(newly))?;
        let weight = if self.kind.alone(side) { -1 } else { 1 };
        self.send(&work.picked(Rows::None, Rows::Kept(&found)), None, weight, out)
    }

    fn send_pairs(&self, work: &Work, own: &UInt32Array, other: &UInt32Array, out: &mut Output) -> Result<()> {
        let found = self.find(1 - work.side, other)?;
        let times = match self.event_time {
            true => Some([work.times(own)?, self.times(&found)?]),
            false => None,
        };
        self.send(&work.picked(Rows::At(own), Rows::Kept(&found)), times, 1, out)
    }

    /// Sends the next rows of the batch that are sent by themselves; false when there are none.
    fn send_alone(&self, work: &mut Work, out: &mut Output) -> Result<bool> {
        if !self.kind.counts(work.side) || !self.read {
            return Ok(false);
        }
        let with_partner = !self.kind.alone(work.side);
        let (rows, sent) = work.alone.get_or_insert_with(|| {
            let wanted = work.partners.iter().enumerate().filter(|(_, partners)| (**partners > 0) == with_partner);
            (UInt32Array::from_iter_values(wanted.map(|(row, _)| row as u32)), 0)
        });
        let piece = rows.slice(*sent, self.batch_rows.min(rows.len() - *sent));
        *sent += piece.len();
        if !piece.is_empty() {
            self.send(&work.picked(Rows::At(&piece), Rows::None), None, 1, out)?;
        }
        Ok(!piece.is_empty())
    }

    /// Sends rows of the result. `times`: those of both rows of each pair.
    fn send(&self, picked: &Picked<'_>, times: Option<[Times; 2]>, weight: i8, out: &mut Output) -> Result<()> {
        let (records, remains) = self.pairs.result(picked, out)?;
        let kept = |column: Int64Array| -> Result<Int64Array> {
            Ok(match &remains {
                Some(remains) => filter(&column, remains)?.as_primitive().clone(),
                None => column,
            })
        };
        let mut hidden = Hidden::default();
        if self.updating {
            hidden.weights = Some(Int8Array::from_value(weight, records.num_rows()));
        }
        if let Some(times) = times {
            let (times, marks) = later(times, out.watermark());
            (hidden.times, hidden.marks) = (Some(kept(times)?), marks.map(kept).transpose()?);
        }
        out.emit(MAIN, Batch::new(records, hidden)?.compacted()?);
        Ok(())
    }

    fn counts_partners(&self) -> bool {
        self.sides.iter().any(|side| side.partners.is_some())
    }

    fn find(&self, side: usize, rows: &UInt32Array) -> Result<Picks<'_>> {
        self.sides[side].rows.find(rows.values().iter().map(|&row| u64::from(row)))
    }

    fn times(&self, found: &Picks<'_>) -> Result<Times> {
        let columns = found.columns();
        Ok(Times { times: found.column(columns - 2)?, marks: found.column(columns - 1)? })
    }

    /// Puts the rows of a batch away; those without a key will never have a partner.
    fn keep(&mut self, work: Work) -> Result<()> {
        let total = self.interner.total();
        let side = &mut self.sides[work.side];
        if work.keys.contains(&NO_KEY) {
            let keyed: Vec<u32> = (0..work.keys.len() as u32).filter(|&row| work.keys[row as usize] != NO_KEY).collect();
            let keys: Vec<usize> = keyed.iter().map(|&row| work.keys[row as usize]).collect();
            let partners: Vec<i64> = keyed.iter().filter_map(|&row| work.partners.get(row as usize)).copied().collect();
            let rows = Batch::plain(work.rows).take(&UInt32Array::from(keyed))?;
            return side.keep(rows.records(), &keys, &partners, total);
        }
        side.keep(Batch::plain(work.rows).compacted()?.records(), &work.keys, &work.partners, total)
    }
}

impl Side {
    fn new(design: &Design, context: &OperatorContext, side: usize) -> Result<Side> {
        let mut columns = kept(&context.inputs[side].schema, design.event_time);
        if columns.fields().is_empty() {
            // As in the rows of `changes`, so that a snapshot is the same.
            columns = Schema::new(vec![Field::new("(row)", DataType::Boolean, true)]);
        }
        let nullable = columns.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let columns = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
        let keys = Keys::new(design, context, side)?;
        let partners = design.kind.counts(side).then(Vec::new);
        Ok(Side { keys, rows: KeptRows::new(columns), chains: Chains::default(), partners, written: 0 })
    }

    /// The columns that are kept of a batch.
    fn kept(&self, batch: &Batch, event_time: bool) -> Result<RecordBatch> {
        let mut columns = kept_columns(batch, event_time);
        if columns.is_empty() {
            columns.push(Arc::new(BooleanArray::from(vec![true; batch.rows()])));
        }
        records(self.rows.schema(), columns, batch.rows())
    }

    fn keep(&mut self, rows: &RecordBatch, keys: &[usize], partners: &[i64], total: usize) -> Result<()> {
        self.chains.add(keys.iter().copied(), total)?;
        if let Some(all) = &mut self.partners {
            all.extend_from_slice(partners);
        }
        self.rows.add(rows)?;
        Ok(())
    }

    /// Lets go of all rows.
    fn forget(&mut self) {
        self.rows = KeptRows::new(self.rows.schema().clone());
        self.chains = Chains::default();
        self.partners = self.partners.as_ref().map(|_| Vec::new());
        self.written = 0;
    }
}

impl Work {
    /// The next pairs, at most `limit`: rows of the batch, and of the other side. None when all are through.
    fn next(&mut self, chains: &Chains, limit: usize) -> (Vec<u32>, Vec<u32>) {
        let (mut own, mut other) = (Vec::new(), Vec::new());
        while self.row < self.keys.len() && own.len() < limit {
            let mut partner = self.next.take().unwrap_or_else(|| chains.newest(self.keys[self.row]));
            while partner != END && own.len() < limit {
                own.push(self.row as u32);
                other.push(partner);
                partner = chains.before(partner);
            }
            if partner == END {
                self.row += 1;
            } else {
                self.next = Some(partner);
            }
        }
        (own, other)
    }

    /// Rows of this batch and of the other side.
    fn picked<'a>(&'a self, own: Rows<'a>, other: Rows<'a>) -> Picked<'a> {
        let rows = if self.side == 0 { [own, other] } else { [other, own] };
        Picked { from: [&self.rows, &self.rows], rows, window: None }
    }

    fn times(&self, own: &UInt32Array) -> Result<Times> {
        let Times { times, marks } = Times::of(&self.rows);
        let at = |column: &ArrayRef| arrow::compute::take(column, own, None);
        Ok(Times { times: at(&times)?, marks: at(&marks)? })
    }
}

impl Operator for Appends {
    fn on_batch(&mut self, input: usize, batch: Batch, out: &mut Output) -> Result<()> {
        let (batch, columns) = self.sides[input].keys.of_kept(&batch, &self.narrow[input], out)?;
        if let Some(state) = out.fetch(&columns, batch.rows())? {
            self.restore(&state)?;
        }
        let side = &self.sides[input];
        out.fates().taken += batch.rows() as u64;
        let keys = numbers(&mut self.interner, &side.keys, &columns, batch.rows())?;
        self.changed.touch(&keys.iter().copied().filter(|&key| key != NO_KEY).collect::<Vec<_>>());
        let partners = if self.kind.counts(input) { vec![0; batch.rows()] } else { Vec::new() };
        let rows = side.kept(&batch, self.event_time)?;
        self.work = Some(Work { side: input, rows, keys, partners, row: 0, next: None, found: None, alone: None });
        self.go_on(out).map(|_| ())
    }

    fn resume(&mut self, out: &mut Output) -> Result<Progress> {
        self.go_on(out)
    }

    fn snapshot(&mut self, state: &mut StateWriter) -> Result<()> {
        self.changed.all_written(self.interner.total());
        let sides = self.sides.iter_mut().zip(ROWS);
        sides.into_iter().try_for_each(|(side, name)| side.save_from(name, 0, self.key_groups, state))
    }

    /// A row that has partners to be counted changes with each of them, and with it its key; otherwise none does, and there are only new ones.
    fn note_changes(&mut self) -> bool {
        if self.counts_partners() {
            self.changed.begin();
        }
        true
    }

    fn snapshot_changes(&mut self, state: &mut StateWriter) -> Result<()> {
        if !self.counts_partners() {
            let sides = self.sides.iter_mut().zip(ROWS);
            return sides.into_iter().try_for_each(|(side, name)| side.save_from(name, side.written, self.key_groups, state));
        }
        let changed = self.changed.take(self.key_groups, |keys| self.interner.columns(keys), state)?;
        self.sides.iter().zip(ROWS).try_for_each(|(side, name)| side.save_keys(name, &changed, self.key_groups, state))
    }

    fn restore(&mut self, state: &StateReader) -> Result<()> {
        self.sides.iter_mut().zip(ROWS).try_for_each(|(side, name)| side.load(name, &mut self.interner, state))
    }

    fn forget_keys(&mut self) -> Result<()> {
        self.interner = Interner::new(&self.sides[0].keys.types)?;
        self.sides.iter_mut().for_each(Side::forget);
        self.changed = ChangedKeys::default();
        Ok(())
    }

    fn state_bytes(&self) -> usize {
        let side = |side: &Side| {
            side.rows.size_bytes() + side.chains.size_bytes() + side.partners.as_ref().map_or(0, |all| all.capacity() * size_of::<i64>())
        };
        self.interner.size_bytes() + self.changed.size_bytes() + self.sides.iter().map(side).sum::<usize>()
    }
}

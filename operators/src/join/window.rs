//! Mode `window`: the rows of a window are paired when it closes, and sent piece by piece.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use millstream_api::batch::{Hidden, Windows};
use millstream_api::key_group::key_groups;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::window::{Aligned, WindowKind};
use millstream_api::{Batch, EventTime, Operator, Output, Progress, Result};
use millstream_expr::Interner;

use super::factory::Told;
use super::pairs::{Keys, Pairs, Picked, Rows, Window};
use super::plan::{Design, ROWS};
use super::probe::{Index, NO_KEY, Probe, numbers};
use super::windows::{OpenWindows, Pane, constant, places, runs};
use super::{Kind, LATE, MAIN};
use crate::columns::records;
use crate::late::LateRows;
use crate::narrow::{Narrow, in_state};
use crate::saved::{check_types, read_watermark, write_watermark};
use crate::stored_windows::StoredWindows;

/// How many columns of a snapshot say where a row belongs: start and end of its window, rows of which it is the last.
const NUMBERS: usize = 3;

/// One subtask.
pub(super) struct WindowJoin {
    kind: Kind,
    sides: [Intake; 2],
    pairs: Pairs,
    open: OpenWindows,
    /// Windows of which something is on disk.
    stored: StoredWindows,
    closing: Option<Closing>,
    read: bool,
    key_groups: u16,
    batch_rows: usize,
    /// The watermark up to which windows have closed or are about to.
    watermark: EventTime,
}

/// What comes in on one side.
struct Intake {
    keys: Keys,
    /// Its windows, where they follow from event time.
    implicit: Option<Aligned>,
    narrow: Narrow,
    /// The columns that are kept: those of the rows, then the key's.
    kept: SchemaRef,
    late: LateRows,
}

impl WindowJoin {
    /// A subtask without state.
    pub(super) fn new(design: &Design, told: Told<'_>) -> Result<Self> {
        let context = &told.kept;
        Ok(WindowJoin {
            kind: design.kind,
            sides: [Intake::new(design, &told, 0)?, Intake::new(design, &told, 1)?],
            pairs: Pairs::new(design, context)?,
            open: OpenWindows::default(),
            stored: StoredWindows::default(),
            closing: None,
            read: context.outputs[MAIN].read,
            key_groups: context.key_groups,
            batch_rows: context.batch_rows.max(1),
            watermark: EventTime::MIN,
        })
    }

    /// Joins windows that are closed until all are done or the output is full.
    fn close_due(&mut self, out: &mut Output) -> Result<Progress> {
        loop {
            while let Some(closing) = &mut self.closing {
                if out.is_full() {
                    return Ok(Progress::More);
                }
                if !closing.step(&self.pairs, self.kind, self.batch_rows, out)? {
                    self.closing = None;
                }
            }
            if self.stored.is_closing() {
                self.closing = self.read_part(out)?;
                continue;
            }
            let Some(window) = self.next_window().filter(|(_, end)| *end <= self.watermark.0) else { return Ok(Progress::Done) };
            let pane = self.open.take(window);
            if self.stored.has(window) {
                let mut state = StateWriter::new();
                pane.iter().try_for_each(|pane| self.save(window, pane, &mut state))?;
                self.stored.begin(window, state, self.read, out)?;
            } else if let Some(pane) = pane.filter(|_| self.read) {
                let rows = [pane.side(0, &self.sides[0].kept)?, pane.side(1, &self.sides[1].kept)?];
                self.closing = Some(Closing::new(window, rows, &self.sides, self.kind, self.pairs.conditional())?);
            }
        }
    }

    /// The window with rows that closes first.
    fn next_window(&self) -> Option<Window> {
        self.open.first().into_iter().chain(self.stored.first()).min_by_key(|(start, end)| (*end, *start))
    }

    /// The next part of the window that closes from disk.
    fn read_part(&mut self, out: &Output) -> Result<Option<Closing>> {
        let mut rows: [Vec<RecordBatch>; 2] = [Vec::new(), Vec::new()];
        let window = self.stored.next_part(out, &mut |name, saved| {
            let side = usize::from(name == ROWS[1]);
            rows[side].push(self.sides[side].read(&saved.records)?);
            Ok(())
        })?;
        let Some(window) = window else { return Ok(None) };
        let rows = [0, 1].map(|side| concat_batches(&self.sides[side].kept, &rows[side]));
        let [left, right] = rows;
        Closing::new(window, [left?, right?], &self.sides, self.kind, self.pairs.conditional()).map(Some)
    }

    /// Writes all that has not been written, and up to where windows have closed.
    fn save_all(&mut self, state: &mut StateWriter) -> Result<()> {
        self.open.iter().try_for_each(|(window, pane)| self.save(window, pane, state))?;
        if self.open.gone.is_some() {
            self.open.iter_mut().for_each(|(_, pane)| pane.all_written());
        }
        write_watermark(self.watermark, state)
    }

    /// Writes the rows of a window that have not been written.
    fn save(&self, (start, end): Window, pane: &Pane, state: &mut StateWriter) -> Result<()> {
        for (side, intake) in self.sides.iter().enumerate() {
            let (kept, last_rows) = pane.not_written(side, &intake.kept)?;
            let rows = kept.num_rows();
            // The number of rows is put down with the first one: only the sum over all subtasks matters.
            let last = (0..rows).map(|row| if row == 0 { last_rows as i64 } else { 0 });
            let last: ArrayRef = Arc::new(last.map(Some).collect::<Int64Array>());
            let columns = [constant(start, rows), constant(end, rows), last].into_iter().chain(kept.columns().iter().cloned());
            let groups = key_groups(intake.key_columns(&kept), rows, self.key_groups)?;
            state.put_keyed(ROWS[side], &groups, &RecordBatch::try_new(intake.state_schema(), columns.collect())?)?;
        }
        Ok(())
    }
}

impl Intake {
    fn new(design: &Design, told: &Told<'_>, side: usize) -> Result<Intake> {
        let input = &told.coming.inputs[side];
        let keys = Keys::new(design, told.coming, side)?;
        let narrow = told.narrow[side].clone();
        let own = narrow.schema().fields().iter().map(|field| Field::new(in_state(field), field.data_type().clone(), true));
        let key = keys.types.iter().enumerate().map(|(i, data_type)| Field::new(format!("k{i}"), data_type.clone(), true));
        Ok(Intake {
            implicit: design
                .windows
                .as_ref()
                .and_then(WindowKind::aligned)
                .filter(|_| !input.explicit_windows && !design.explicit[side])
                .cloned(),
            kept: Arc::new(Schema::new(own.chain(key).collect::<Vec<_>>())),
            late: LateRows::new(told.coming, side, LATE + side)?,
            narrow,
            keys,
        })
    }

    /// The key's columns among those that are kept.
    fn key_columns<'a>(&self, kept: &'a RecordBatch) -> &'a [ArrayRef] {
        &kept.columns()[kept.num_columns() - self.keys.types.len()..]
    }

    /// The columns that are kept, of rows of a snapshot.
    fn read(&self, saved: &RecordBatch) -> Result<RecordBatch> {
        check_types(&saved.schema(), &self.state_schema())?;
        records(&self.kept, saved.columns()[NUMBERS..].to_vec(), saved.num_rows())
    }

    /// The schema of its part of a snapshot.
    fn state_schema(&self) -> SchemaRef {
        let numbers = (0..NUMBERS).map(|i| Arc::new(Field::new(format!("n{i}"), DataType::Int64, false)));
        Arc::new(Schema::new(numbers.chain(self.kept.fields().iter().cloned()).collect::<Vec<_>>()))
    }
}

impl Operator for WindowJoin {
    fn on_batch(&mut self, input: usize, batch: Batch, out: &mut Output) -> Result<()> {
        let intake = &self.sides[input];
        let (batch, keys) = intake.keys.of(batch, out)?;
        let places = places(&batch, intake.implicit.as_ref(), out.watermark().max(self.watermark))?;
        out.fates().taken += (batch.rows() - places.late.len()) as u64;
        out.fates().partly_late += places.partly_late;
        let own = intake.narrow.places().iter().map(|&place| batch.records().column(place).clone());
        let columns = own.chain(keys).collect();
        let kept = records(&intake.kept, columns, batch.rows())?;
        for (window, rows, last_rows) in places.windows {
            self.open.add(input, window, &kept, rows, last_rows)?;
        }
        intake.late.send(&batch, places.late, out)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        self.watermark = self.watermark.max(watermark);
        self.close_due(out).map(|_| ())
    }

    fn resume(&mut self, out: &mut Output) -> Result<Progress> {
        self.close_due(out)
    }

    fn snapshot(&mut self, state: &mut StateWriter) -> Result<()> {
        self.open.gone.iter_mut().for_each(Vec::clear);
        self.open.iter_mut().for_each(|(_, pane)| pane.none_written());
        self.save_all(state)
    }

    /// Rows come to windows that are open, and go with them.
    fn note_changes(&mut self) -> bool {
        self.open.gone = Some(Vec::new());
        true
    }

    fn snapshot_changes(&mut self, state: &mut StateWriter) -> Result<()> {
        state.put_gone_panes(self.open.gone.replace(Vec::new()).unwrap_or_default())?;
        self.save_all(state)
    }

    fn restore(&mut self, state: &StateReader) -> Result<()> {
        for (side, intake) in self.sides.iter().enumerate() {
            for saved in state.get(ROWS[side]) {
                let kept = intake.read(saved)?;
                let number = |column: usize| saved.column(column).as_primitive::<Int64Type>().clone();
                for (window, from, length) in runs(&number(0), &number(1)) {
                    let last = number(2).slice(from, length).values().iter().sum::<i64>().unsigned_abs();
                    self.open.add(side, window, &kept, (from as u32..(from + length) as u32).collect(), last)?;
                }
            }
        }
        self.stored = StoredWindows::at_start(state);
        self.watermark = read_watermark(state);
        Ok(())
    }

    fn forget_keys(&mut self) -> Result<()> {
        for (window, pane) in std::mem::take(&mut self.open).iter() {
            self.stored.left(window, pane.last_rows.iter().sum());
        }
        Ok(())
    }

    fn waits_for(&self) -> Option<EventTime> {
        self.next_window().map(|(_, end)| EventTime(end))
    }

    fn rows_in_state(&self) -> u64 {
        self.open.iter().map(|(_, pane)| pane.last_rows.iter().sum::<u64>()).sum::<u64>() + self.stored.rows()
    }

    fn state_bytes(&self) -> usize {
        self.open.size_bytes() + self.stored.size_bytes()
    }
}

/// A window that is being joined.
struct Closing {
    window: Window,
    sides: [RecordBatch; 2],
    index: Index,
    probe: Probe,
    /// Which rows have a partner, by side.
    matched: [Vec<bool>; 2],
    /// Once all pairs are through: the rows that are sent by themselves, by side, and how many of them have been.
    alone: Option<[(UInt32Array, usize); 2]>,
}

impl Closing {
    fn new(window: Window, rows: [RecordBatch; 2], sides: &[Intake; 2], kind: Kind, conditional: bool) -> Result<Closing> {
        let mut interner = Interner::new(&sides[0].keys.types)?;
        let mut ids = |side: usize| numbers(&mut interner, &sides[side].keys, sides[side].key_columns(&rows[side]), rows[side].num_rows());
        let (left, mut right) = (ids(0)?, ids(1)?);
        if !kind.pairs() && !conditional {
            // One partner is as good as many.
            let mut seen = vec![false; interner.total()];
            right.iter_mut().filter(|id| **id != NO_KEY).for_each(|id| {
                if std::mem::replace(&mut seen[*id], true) {
                    *id = NO_KEY
                }
            });
        }
        let index = Index::new(&right, interner.total());
        let matched = [0, 1].map(|side| if kind.counts(side) { vec![false; rows[side].num_rows()] } else { Vec::new() });
        Ok(Closing { window, sides: rows, index, probe: Probe::new(left), matched, alone: None })
    }

    /// Sends the next piece; false when there is none.
    fn step(&mut self, pairs: &Pairs, kind: Kind, limit: usize, out: &mut Output) -> Result<bool> {
        if self.alone.is_none() {
            let once = !kind.pairs();
            let matched = &self.matched[0];
            if let Some(found) = self.probe.next(&self.index, limit, |row| once && matched[row]) {
                return self.send_pairs(&found, pairs, kind, out).map(|()| true);
            }
            self.alone = Some([self.alone(kind, 0), self.alone(kind, 1)]);
        }
        let Some(alone) = &mut self.alone else { return Ok(false) };
        for side in [0, 1] {
            let (rows, sent) = &mut alone[side];
            if *sent < rows.len() {
                let piece = rows.slice(*sent, limit.min(rows.len() - *sent));
                *sent += piece.len();
                let mut picked = [None, None];
                picked[side] = Some(&piece);
                self.send(picked, pairs, out)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn send_pairs(&mut self, found: &[UInt32Array; 2], pairs: &Pairs, kind: Kind, out: &mut Output) -> Result<()> {
        let picked =
            Picked { from: [&self.sides[0], &self.sides[1]], rows: [Rows::At(&found[0]), Rows::At(&found[1])], window: Some(self.window) };
        let [left, right] = match pairs.fulfil(&picked, out)? {
            None => found.clone(),
            Some(mask) => [filtered(&found[0], &mask)?, filtered(&found[1], &mask)?],
        };
        for (side, rows) in [&left, &right].into_iter().enumerate().filter(|(side, _)| kind.counts(*side)) {
            rows.values().iter().for_each(|&row| self.matched[side][row as usize] = true);
        }
        if kind.pairs() { self.send([Some(&left), Some(&right)], pairs, out) } else { Ok(()) }
    }

    /// The rows of a side that are sent by themselves.
    fn alone(&self, kind: Kind, side: usize) -> (UInt32Array, usize) {
        let wanted = kind == Kind::Semi;
        let rows = self.matched[side].iter().enumerate().filter(|(_, matched)| **matched == wanted);
        (UInt32Array::from_iter_values(rows.map(|(row, _)| row as u32)), 0)
    }

    fn send(&self, rows: [Option<&UInt32Array>; 2], pairs: &Pairs, out: &mut Output) -> Result<()> {
        let picked = Picked { from: [&self.sides[0], &self.sides[1]], rows: rows.map(Rows::from), window: Some(self.window) };
        let (rows, _) = pairs.result(&picked, out)?;
        let constant = |value: i64| Int64Array::from_value(value, rows.num_rows());
        let (start, end) = self.window;
        let windows = Some(Windows { start: constant(start), end: constant(end) });
        let hidden = Hidden { times: Some(constant(end.saturating_sub(1))), windows, ..Hidden::default() };
        out.emit(MAIN, Batch::new(rows, hidden)?);
        Ok(())
    }
}

/// Those of the rows where `mask` is true.
pub(super) fn filtered(rows: &UInt32Array, mask: &BooleanArray) -> Result<UInt32Array> {
    Ok(filter(rows, mask)?.as_primitive().clone())
}

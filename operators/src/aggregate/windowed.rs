//! The aggregate over windows: one final row for each key and window.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::compute::not;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use millstream_api::batch::{Hidden, Windows};
use millstream_api::plan::OperatorContext;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::{Batch, EventTime, Operator, Output, Progress, Result};

use super::plan::Design;
use super::program::{Program, Window};
use super::slices::Slices;
use super::state::Layout;
use super::windows::{OpenPanes, Places, Survey};
use super::{LATE, MAIN};
use crate::columns::places;

/// The names of the state's pieces.
pub(super) const PANES: &str = "panes";
pub(super) const WATERMARK: &str = "watermark";

/// One subtask.
pub(super) struct Windowed {
    program: Program,
    open: OpenPanes,
    lateness: i64,
    layout: Layout,
    batch_rows: usize,
    late_places: Vec<usize>,
    late_read: bool,
    late_origin: bool,
    main_read: bool,
    /// The watermark up to which windows have closed or are about to.
    watermark: EventTime,
    /// Rows of a closed window that are still to be sent.
    ready: Option<Ready>,
}

struct Ready {
    batch: Batch,
    sent: usize,
}

impl Windowed {
    /// A subtask without state.
    pub(super) fn new(design: &Design, context: &OperatorContext, rejected_port: usize) -> Result<Self> {
        let input = &context.inputs[0];
        let lateness = design.allowed_lateness;
        let implicit = design.windows.as_ref().filter(|_| !input.explicit_windows && !design.explicit);
        let program = Program::new(design, context, rejected_port)?;
        let late = &context.outputs[LATE];
        Ok(Windowed {
            open: OpenPanes::new(implicit.map(|kind| Slices::new(kind.clone(), lateness)), lateness),
            lateness,
            layout: Layout::new(&program, context.key_groups),
            program,
            batch_rows: context.batch_rows.max(1),
            late_places: if late.read { places(&input.schema, &late.schema)? } else { Vec::new() },
            late_read: late.read,
            late_origin: late.origin,
            main_read: context.outputs[MAIN].read,
            watermark: EventTime::MIN,
            ready: None,
        })
    }

    /// Puts aside the rows that are late for all their windows; the others are left.
    fn without_late(&self, batch: Batch, node: EventTime, survey: &Survey, out: &mut Output) -> Result<Batch> {
        let Some(late) = self.open.late(&batch, node, survey)? else { return Ok(batch) };
        out.fates().late += late.true_count() as u64;
        if self.late_read {
            let rows = batch.filter(&late)?;
            // Behind this node's watermark, so each says by which one it was judged.
            let marks: Int64Array = (0..rows.rows()).map(|row| Some(rows.judged_at(row, node).0)).collect();
            let Hidden { times, origin, .. } = rows.hidden().clone();
            let hidden = Hidden { times, marks: Some(marks), origin: origin.filter(|_| self.late_origin), ..Hidden::default() };
            out.emit(LATE, rows.project(&self.late_places)?.with_hidden(hidden)?);
        }
        batch.filter(&not(&late)?)
    }

    /// Closes windows and sends their rows, until all that are due are closed or the output is full.
    fn close_due(&mut self, out: &mut Output) -> Result<Progress> {
        loop {
            if !self.send_ready(out) {
                return Ok(Progress::More);
            }
            let Some(window) = self.open.next_due(self.watermark) else { return Ok(Progress::Done) };
            let program = &self.program;
            let records = self.open.close(window, program, |pane| {
                let groups = pane.len();
                let (keys, results) = pane.results()?;
                let finished = program.finish(keys, results, Some(window), groups)?;
                program.report(&finished, &finished.bad, out)?;
                Ok(program.wanted(&finished)?.0)
            })?;
            if self.main_read && records.num_rows() > 0 {
                self.ready = Some(Ready { batch: of_window(records, window)?, sent: 0 });
            }
        }
    }

    /// Sends what is ready; false when the output was full before all of it was.
    fn send_ready(&mut self, out: &mut Output) -> bool {
        while let Some(ready) = &mut self.ready {
            if out.is_full() {
                return false;
            }
            let rows = self.batch_rows.min(ready.batch.rows() - ready.sent);
            out.emit(MAIN, ready.batch.slice(ready.sent, rows));
            ready.sent += rows;
            if ready.sent == ready.batch.rows() {
                self.ready = None;
            }
        }
        true
    }
}

impl Operator for Windowed {
    fn on_batch(&mut self, _: usize, batch: Batch, out: &mut Output) -> Result<()> {
        let node = out.watermark().max(self.watermark);
        let survey = self.open.survey(&batch, node)?;
        let batch = self.without_late(batch, node, &survey, out)?;
        let (batch, rows) = self.program.evaluate(batch, out)?;
        let (places, partly_late) = self.open.places(&batch, node, &survey)?;
        out.fates().taken += rows.rows as u64;
        out.fates().partly_late += partly_late;
        match places {
            Places::One(key) => self.open.change(key, &self.program, |pane| pane.update(&rows)),
            Places::Many(panes) => panes.iter().try_for_each(|(key, indices)| {
                let rows = rows.take(indices)?;
                self.open.change(*key, &self.program, |pane| pane.update(&rows))
            }),
        }
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        self.watermark = self.watermark.max(watermark);
        self.close_due(out).map(|_| ())
    }

    fn outgoing_watermark(&self, watermark: EventTime) -> EventTime {
        watermark.minus(self.lateness)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Progress> {
        self.close_due(out)
    }

    fn snapshot(&mut self, state: &mut StateWriter) -> Result<()> {
        for ((a, b), pane) in self.open.iter_mut() {
            let groups = pane.len();
            let (keys, states) = pane.state()?;
            // The pane's rows are put down with its first group: only their sum over all subtasks matters.
            let rows = (0..groups).map(|group| if group == 0 { pane.rows as i64 } else { 0 });
            let numbers = [Int64Array::from_value(a, groups), Int64Array::from_value(b, groups), rows.map(Some).collect()];
            self.layout.write(PANES, numbers, keys, states, state)?;
        }
        let schema = Schema::new(vec![Field::new("watermark", DataType::Int64, false)]);
        let watermark = Int64Array::from_value(self.watermark.0, 1);
        state.put(WATERMARK, RecordBatch::try_new(Arc::new(schema), vec![Arc::new(watermark)])?);
        Ok(())
    }

    fn restore(&mut self, state: &StateReader) -> Result<()> {
        for records in state.get(PANES) {
            let rows = self.layout.read(records)?;
            let mut from = 0;
            while from < rows.len() {
                let key = |row: usize| (rows.numbers[0].value(row), rows.numbers[1].value(row));
                let length = (from..rows.len()).take_while(|&row| key(row) == key(from)).count();
                let run = rows.slice(from, length);
                self.open.change(key(from), &self.program, |pane| {
                    pane.rows += run.numbers[2].values().iter().sum::<i64>().unsigned_abs();
                    pane.merge_state(&run.keys, &run.states, length)
                })?;
                from += length;
            }
        }
        // All subtasks had the same watermark at the barrier. Rows are judged by it from the first one on.
        for records in state.get(WATERMARK) {
            let saved = records.column(0).as_primitive::<Int64Type>();
            let saved = saved.values().iter().min().copied().unwrap_or(i64::MIN);
            self.watermark = if self.watermark == EventTime::MIN { EventTime(saved) } else { self.watermark.min(EventTime(saved)) };
        }
        Ok(())
    }

    fn waits_for(&self) -> Option<EventTime> {
        self.open.next_close()
    }

    fn rows_in_state(&self) -> u64 {
        self.open.iter().map(|pane| pane.rows).sum()
    }

    fn state_bytes(&self) -> usize {
        self.open.size_bytes()
    }
}

/// Rows of a window: their event time is its last instant.
fn of_window(records: RecordBatch, (start, end): Window) -> Result<Batch> {
    let constant = |value: i64| Int64Array::from_value(value, records.num_rows());
    let times = Some(constant(end.saturating_sub(1)));
    let windows = Some(Windows { start: constant(start), end: constant(end) });
    let hidden = Hidden { times, windows, ..Hidden::default() };
    Batch::new(records, hidden)
}

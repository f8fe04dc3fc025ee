//! The aggregate over windows: one final row for each key and window.

use std::ops::Range;

use arrow::array::{Int64Array, RecordBatch};
use millstream_api::batch::{Hidden, Windows};
use millstream_api::key_group::owned_groups;
use millstream_api::plan::OperatorContext;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::time::ClockTime;
use millstream_api::window::{Window, WindowKind};
use millstream_api::{Batch, Error, EventTime, Operator, Output, Progress, Result};

use super::by_key::ByKey;
use super::closing::Closing;
use super::early::{Early, Rows};
use super::pane::Pane;
use super::plan::Design;
use super::program::{Finished, Program};
use super::slices::Slices;
use super::state::{self, Layout};
use super::windows::{DueWindow, OpenPanes, PaneKey};
use super::{LATE, MAIN};
use crate::floors::Floors;
use crate::late::LateRows;
use crate::saved::{read_closed, write_closed};

/// The name of the state.
pub(super) const PANES: &str = "panes";

/// One subtask.
pub(super) struct Windowed {
    pub(super) program: Program,
    pub(super) open: OpenPanes,
    pub(super) lateness: i64,
    pub(super) layout: Layout,
    batch_rows: usize,
    late: LateRows,
    main_read: bool,
    /// The watermark up to which windows have closed or are about to.
    pub(super) watermark: EventTime,
    /// Rows of a closed window that are still to be sent.
    pub(super) ready: Option<Ready>,
    /// Where rows are sent before their window closes.
    pub(super) early: Option<Early>,
    /// Where keys leave memory with all of their windows: partial results that come, keys on disk, and what waits for some of them.
    pub(super) by_key: Option<ByKey>,
    /// A window that is read back from disk.
    pub(super) closing: Option<Closing>,
    /// Whether the last window that was read back had many partial results of a group.
    pub(super) is_scattered: bool,
    /// Windows that had closed before a restore of panes on disk.
    pub(super) floors: Floors,
    /// The key groups that are its own.
    groups: Range<u16>,
}

pub(super) struct Ready {
    batch: Batch,
    sent: usize,
}

impl Windowed {
    /// A subtask without state.
    pub(super) fn new(design: &Design, context: &OperatorContext, rejected_port: usize) -> Result<Self> {
        let program = Program::new(design, context, rejected_port)?;
        let layout = || Layout::new(&program, context.key_groups);
        let by_key = design.goes_by_key().then(|| ByKey::new(open_panes(design, context), layout()));
        Ok(Windowed {
            open: open_panes(design, context),
            lateness: design.allowed_lateness,
            layout: if by_key.is_some() { layout().with_due() } else { layout() },
            by_key,
            program,
            batch_rows: context.batch_rows.max(1),
            late: LateRows::new(context, 0, LATE)?,
            main_read: context.outputs[MAIN].read,
            watermark: EventTime::MIN,
            ready: None,
            early: design.every.filter(|_| context.outputs[MAIN].read).map(|every| Early::new(every, context.key_groups)),
            closing: None,
            is_scattered: false,
            floors: Floors::default(),
            groups: owned_groups(context.subtask, context.parallelism, context.key_groups),
        })
    }

    /// Sends early rows that are due, then closes windows and sends their rows, until all is done or the output is full.
    fn go_on(&mut self, out: &mut Output) -> Result<Progress> {
        loop {
            if !self.send_ready(out) {
                return Ok(Progress::More);
            }
            let program = &self.program;
            if let Some(early) = &mut self.early
                && let Some(due) = early.next_due()
            {
                // A result that is bad now may be right in the end, so it is reported then.
                let rows = self.open.look(due, program, |pane| Ok(rows_of(pane, due, program)?.1))?;
                self.ready = early.replace(due.window, rows, program)?.map(Ready::new);
                continue;
            }
            if let Some(closing) = self.closing.take() {
                self.close_part(closing, out)?;
                continue;
            }
            let Some(due) = self.open.next_due(self.watermark) else {
                match self.next_keys(out)? {
                    None => continue,
                    Some(progress) => return Ok(progress),
                }
            };
            if self.open.is_on_disk(due) {
                self.begin_closing(due, out)?;
                continue;
            }
            let rows = self.open.close(due, &self.program, |pane| final_rows(pane, due, &self.program, out))?;
            self.have_ready(due, rows)?;
        }
    }

    /// The rows of a window that has closed, or of a part of it, are to be sent.
    pub(super) fn have_ready(&mut self, due: DueWindow, rows: Rows) -> Result<()> {
        self.ready = match &mut self.early {
            Some(early) => early.finish(due.window, &rows, &self.program)?.map(Ready::new),
            None if !self.main_read || rows.records.num_rows() == 0 => None,
            None => {
                let windows = same_window(due.window, rows.records.num_rows());
                Some(Ready::new(of_windows(rows.records, windows)?))
            }
        };
        Ok(())
    }

    /// Writes what is no pane: up to where windows have closed, and rows that were sent early.
    fn write_rest(&mut self, state: &mut StateWriter) -> Result<()> {
        if let Some(cursor) = self.open.cursor_to_write().or(self.floors.any().then_some(i64::MIN)) {
            self.floors.write(self.groups.clone(), cursor, state)?;
        }
        if let Some(early) = &mut self.early {
            early.snapshot(&self.program, state)?;
        }
        write_closed(self.watermark, self.lateness, state)
    }

    /// Merges groups into a pane.
    pub(super) fn take_in(&mut self, pane: PaneKey, part: &state::Rows) -> Result<()> {
        let counts = self.by_key.is_some();
        self.open.change(pane, &self.program, |pane| {
            pane.rows += part.count();
            pane.merge_state(&part.keys, &part.states, part.len())?;
            if counts {
                pane.count(part.numbers[2].values());
            }
            Ok(())
        })
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

impl Ready {
    fn new(batch: Batch) -> Ready {
        Ready { batch, sent: 0 }
    }
}

/// No panes yet, for the windows of the input.
pub(super) fn open_panes(design: &Design, context: &OperatorContext) -> OpenPanes {
    let explicit = context.inputs[0].explicit_windows || design.explicit;
    let implicit = design.windows.as_ref().and_then(WindowKind::aligned).filter(|_| !explicit);
    let lateness = design.allowed_lateness;
    OpenPanes::new(implicit.map(|windows| Slices::new(windows.clone(), lateness)), lateness)
}

/// The rows of a window that closes, or of a part of it; results that are bad are reported.
pub(super) fn final_rows(pane: &mut Pane, due: DueWindow, program: &Program, out: &mut Output) -> Result<Rows> {
    let (finished, rows) = rows_of(pane, due, program)?;
    program.report(&finished, &finished.bad, out)?;
    Ok(rows)
}

/// The rows of a window as they are now.
fn rows_of(pane: &mut Pane, due: DueWindow, program: &Program) -> Result<(Finished, Rows)> {
    let groups = pane.len();
    let (keys, results) = pane.results()?;
    let finished = program.finish(keys.clone(), results, Some(&same_window(due.window, groups)), groups)?;
    let (records, wanted) = program.wanted(&finished)?;
    let rows = Rows::wanted(keys, wanted.as_ref(), records)?;
    Ok((finished, rows))
}

impl Operator for Windowed {
    fn on_batch(&mut self, _: usize, batch: Batch, out: &mut Output) -> Result<()> {
        let node = out.watermark().max(self.watermark);
        let survey = self.open.survey(&batch, node)?;
        let batch = match self.open.late(&batch, node, &survey)? {
            Some(late) => self.late.put_aside_judged(&batch, &late, node, out)?,
            None => batch,
        };
        let (batch, rows) = self.program.evaluate(batch, out)?;
        self.fetch(&rows.keys, rows.rows, out)?;
        let (places, partly_late) = self.open.places(&batch, node, &survey)?;
        out.fates().taken += rows.rows as u64;
        out.fates().partly_late += partly_late;
        if let Some(early) = &mut self.early {
            early.note(places.keys());
            early.ask(out);
        }
        let add = if self.by_key.is_some() { Pane::update_counted } else { Pane::update };
        self.open.add(&places, &rows, &self.program, add)
    }

    fn on_partial(&mut self, _: usize, partial: Batch, out: &mut Output) -> Result<()> {
        let node = out.watermark().max(self.watermark);
        let rows = self.by_key.as_ref().map_or(&self.layout, |by_key| &by_key.partials).read(partial.records())?;
        self.fetch(&rows.keys, rows.len(), out)?;
        for (pane, part) in rows.runs() {
            // A combiner takes no rows that could be late for all windows here: see `Combine`.
            let (pane, partly_late) = self.open.place(pane, node).ok_or_else(|| Error::internal("partial results came too late"))?;
            let rows = part.count();
            out.fates().taken += rows;
            out.fates().partly_late += if partly_late { rows } else { 0 };
            if let Some(early) = &mut self.early {
                early.note([pane]);
                early.ask(out);
            }
            self.take_in(pane, &part)?;
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        self.watermark = self.watermark.max(watermark);
        self.go_on(out).map(|_| ())
    }

    fn outgoing_watermark(&self, watermark: EventTime) -> EventTime {
        watermark.minus(self.lateness)
    }

    fn on_timer(&mut self, _: ClockTime, _: &mut Output) -> Result<()> {
        if let Some(early) = &mut self.early {
            early.tick(&self.open);
        }
        Ok(())
    }

    fn resume(&mut self, out: &mut Output) -> Result<Progress> {
        let progress = self.go_on(out)?;
        if let Some(early) = &self.early {
            early.ask(out);
        }
        Ok(progress)
    }

    fn snapshot(&mut self, state: &mut StateWriter) -> Result<()> {
        self.write_all(state)?;
        self.write_rest(state)
    }

    fn note_changes(&mut self) -> bool {
        self.open.gone = Some(Vec::new());
        true
    }

    fn snapshot_changes(&mut self, state: &mut StateWriter) -> Result<()> {
        self.write_changes(state)?;
        self.write_rest(state)
    }

    fn restore(&mut self, state: &StateReader) -> Result<()> {
        self.floors = Floors::read(state);
        self.take_back(state)?;
        self.open.restore_stored(state, self.floors.least())?;
        self.restore_cold(state);
        self.watermark = read_closed(state, self.lateness);
        Ok(())
    }

    fn forget_keys(&mut self) -> Result<()> {
        match self.by_key.is_some() {
            true => self.forget_all(),
            false => self.open.forget(),
        }
        Ok(())
    }

    fn can_forget_keys(&self) -> bool {
        self.is_between_keys()
    }

    fn waits_for(&self) -> Option<EventTime> {
        self.open.next_close().into_iter().chain(self.next_cold()).min()
    }

    fn rows_in_state(&self) -> u64 {
        self.open.rows() + self.open.stored_rows() + self.by_key.as_ref().map_or(0, ByKey::rows)
    }

    fn state_bytes(&self) -> usize {
        let early = self.early.as_ref().map_or(0, Early::size_bytes);
        self.open.size_bytes() + early + self.by_key.as_ref().map_or(0, ByKey::size_bytes)
    }
}

/// The same window for each of so many rows.
fn same_window((start, end): Window, rows: usize) -> Windows {
    Windows { start: Int64Array::from_value(start, rows), end: Int64Array::from_value(end, rows) }
}

/// Rows of windows: the event time of each is its window's last instant.
pub(super) fn of_windows(records: RecordBatch, windows: Windows) -> Result<Batch> {
    let times = Some(windows.end.unary(|end: i64| end.saturating_sub(1)));
    Batch::new(records, Hidden { times, windows: Some(windows), ..Hidden::default() })
}

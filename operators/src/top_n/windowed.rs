//! The form over windows: the first rows of each key and window, sent when the window closes.

mod saved;

use std::collections::BTreeMap;

use arrow::array::{BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take;
use hashbrown::HashMap;
use millstream_api::batch::{Hidden, Windows};
use millstream_api::plan::OperatorContext;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::window::{Aligned, Slice, WindowKind};
use millstream_api::{Batch, Error, EventTime, Operator, Output, Progress, Result};

use super::plan::Design;
use super::program::{Evaluated, Program, Window};
use super::rankings::{Place, Rankings};
use super::state::Layout;
use super::{LATE, MAIN};
use crate::changed::PaneChanges;
use crate::late::LateRows;
use crate::saved::{read_watermark, write_watermark};
use crate::stored_windows::StoredWindows;

/// The name of the state of open windows.
pub(super) const PANES: &str = "panes";

/// One subtask.
pub(super) struct Windowed {
    program: Program,
    layout: Layout,
    /// The windows, where they follow from event time; else rows carry theirs.
    implicit: Option<Aligned>,
    /// The windows that are open and have rows, by end and start.
    panes: BTreeMap<(i64, i64), Pane>,
    /// Windows of which checkpoints have something, and that have closed since the last one; `None`: nobody asks.
    gone: Option<Vec<Window>>,
    /// Those of which something is on disk.
    stored: StoredWindows,
    batch_rows: usize,
    late: LateRows,
    read: bool,
    /// The watermark up to which windows have closed or are about to.
    watermark: EventTime,
    closing: Option<Closing>,
}

/// A window that is open.
struct Pane {
    rankings: Rankings,
    /// Rows of which this is the last window.
    last_rows: u64,
    /// What checkpoints have of it.
    changes: PaneChanges,
}

/// A window whose rows are being sent.
struct Closing {
    window: Window,
    rankings: Rankings,
    places: Vec<Place>,
    ranks: Vec<i64>,
    sent: usize,
}

/// The rows of a batch in one window, and of how many it is the last window.
#[derive(Default)]
struct Share {
    rows: Vec<u32>,
    last_rows: u64,
}

impl Windowed {
    /// A subtask without state.
    pub(super) fn new(design: &Design, windows: &WindowKind, context: &OperatorContext) -> Result<Self> {
        let input = &context.inputs[0];
        let implicit = !input.explicit_windows && !design.explicit;
        let program = Program::new(design, context, !design.explicit)?;
        Ok(Windowed {
            layout: Layout::new(&program, context.key_groups),
            program,
            implicit: windows.aligned().filter(|_| implicit).cloned(),
            panes: BTreeMap::new(),
            gone: None,
            stored: StoredWindows::default(),
            batch_rows: context.batch_rows.max(1),
            late: LateRows::new(context, 0, LATE)?,
            read: context.outputs[MAIN].read,
            watermark: EventTime::MIN,
            closing: None,
        })
    }

    /// Puts aside the rows that are late for all their windows; the others are left.
    fn without_late(&self, batch: Batch, node: EventTime, out: &mut Output) -> Result<Batch> {
        let ends = last_ends(&batch, self.implicit.as_ref())?;
        let late: BooleanArray = ends.iter().enumerate().map(|(row, &end)| Some(end <= batch.judged_at(row, node).0)).collect();
        if late.true_count() == 0 {
            return Ok(batch);
        }
        self.late.put_aside_judged(&batch, &late, node, out)
    }

    /// Ranks rows of a batch in one window.
    fn rank(&mut self, window: Window, share: Share, rows: &Evaluated) -> Result<()> {
        let pane = pane(&mut self.panes, window, &self.program)?;
        pane.last_rows += share.last_rows;
        let (keys, kept) = match share.rows.len() == rows.batch.rows() {
            true => (rows.keys.clone(), rows.kept.clone()),
            false => {
                let indices = UInt32Array::from(share.rows);
                let keys = rows.keys.iter().map(|key| Ok(take(key, &indices, None)?)).collect::<Result<_>>()?;
                (keys, Batch::plain(rows.kept.clone()).take(&indices)?.records().clone())
            }
        };
        let ids = pane.rankings.number(&keys, kept.num_rows())?;
        let touched = pane.rankings.touched(&ids);
        let changed = pane.rankings.change(&ids, &touched, kept, |_| 1)?;
        pane.changes.touch(&changed);
        if share.last_rows > 0 {
            // The number of rows is put down with the first key.
            pane.changes.touch(&[0]);
        }
        pane.rankings.tidy(&touched)
    }

    /// Closes windows and sends their rows, until all that are due are closed or the output is full.
    fn close_due(&mut self, out: &mut Output) -> Result<Progress> {
        loop {
            if let Some(closing) = &mut self.closing {
                if !closing.send(&self.program, self.batch_rows, out)? {
                    return Ok(Progress::More);
                }
                self.closing = None;
            }
            if self.stored.is_closing() {
                self.closing = self.read_part(out)?;
                continue;
            }
            let Some((start, end)) = self.next_window().filter(|(_, end)| *end <= self.watermark.0) else { return Ok(Progress::Done) };
            let pane = self.panes.remove(&(end, start));
            let was_written = pane.as_ref().is_some_and(|pane| pane.changes.is_written());
            self.gone.iter_mut().for_each(|gone| gone.extend(was_written.then_some((start, end))));
            if self.stored.has((start, end)) {
                let mut state = StateWriter::new();
                pane.iter().try_for_each(|pane| saved::save(&self.layout, (start, end), pane, &mut state))?;
                self.stored.begin((start, end), state, self.read, out)?;
            } else {
                self.closing = pane.filter(|_| self.read).map(|pane| Closing::new((start, end), pane.rankings));
            }
        }
    }

    /// The window with rows that closes first.
    fn next_window(&self) -> Option<Window> {
        let in_memory = self.panes.first_key_value().map(|(&(end, start), _)| (start, end));
        in_memory.into_iter().chain(self.stored.first()).min_by_key(|(start, end)| (*end, *start))
    }

    /// The next part of the window that closes from disk.
    fn read_part(&mut self, out: &Output) -> Result<Option<Closing>> {
        let mut rankings = self.program.rankings()?;
        let window = self.stored.next_part(out, &mut |_, saved| {
            self.layout.read(&saved.records)?.into_iter().try_for_each(|rows| rows.load(&mut rankings, |_, _| {}))
        })?;
        Ok(window.map(|window| Closing::new(window, rankings)))
    }
}

fn pane<'a>(panes: &'a mut BTreeMap<(i64, i64), Pane>, (start, end): Window, program: &Program) -> Result<&'a mut Pane> {
    use std::collections::btree_map::Entry;
    Ok(match panes.entry((end, start)) {
        Entry::Occupied(pane) => pane.into_mut(),
        Entry::Vacant(vacant) => vacant.insert(Pane { rankings: program.rankings()?, last_rows: 0, changes: PaneChanges::default() }),
    })
}

impl Closing {
    fn new(window: Window, rankings: Rankings) -> Closing {
        let (mut places, mut ranks) = (Vec::new(), Vec::new());
        for group in 0..rankings.total() {
            let first = rankings.first(group);
            ranks.extend(1..=first.len() as i64);
            places.extend(first);
        }
        Closing { window, rankings, places, ranks, sent: 0 }
    }

    /// Sends what fits; false when the output was full before all was sent.
    fn send(&mut self, program: &Program, batch_rows: usize, out: &mut Output) -> Result<bool> {
        while self.sent < self.places.len() {
            if out.is_full() {
                return Ok(false);
            }
            let piece = self.sent..self.places.len().min(self.sent + batch_rows);
            let records = program.rows(&self.rankings, &self.places[piece.clone()], &self.ranks[piece.clone()], self.window)?;
            out.emit(MAIN, of_window(records, self.window)?);
            self.sent = piece.end;
        }
        Ok(true)
    }
}

/// The end of the last window of each row.
fn last_ends(batch: &Batch, implicit: Option<&Aligned>) -> Result<Vec<i64>> {
    match implicit {
        None => Ok(bounds(batch)?.end.values().to_vec()),
        Some(windows) => {
            let mut slice = Slice::NONE;
            let last_end = |&time: &i64| {
                if !slice.contains(time) {
                    slice = windows.slice(time);
                }
                slice.last_end
            };
            Ok(times(batch)?.iter().map(last_end).collect())
        }
    }
}

/// The rows of each window that is open by the row's own watermark, and how many rows are late for some. None is for all.
fn shares(batch: &Batch, implicit: Option<&Aligned>, node: EventTime) -> Result<(Vec<(Window, Share)>, u64)> {
    let mut shares: Vec<(Window, Share)> = Vec::new();
    let mut index: HashMap<Window, usize> = HashMap::new();
    let mut add = |window: Window, row: usize, is_last: bool| {
        let place = *index.entry(window).or_insert_with(|| {
            shares.push((window, Share::default()));
            shares.len() - 1
        });
        shares[place].1.rows.push(row as u32);
        shares[place].1.last_rows += u64::from(is_last);
    };
    let mut partly_late = 0;
    match implicit {
        None => {
            let bounds = bounds(batch)?;
            (0..batch.rows()).for_each(|row| add((bounds.start.value(row), bounds.end.value(row)), row, true));
        }
        Some(windows) => {
            for (row, &time) in times(batch)?.iter().enumerate() {
                let (mut open, complete) = windows.open(time, batch.judged_at(row, node));
                while let Some(window) = open.next() {
                    add(window, row, open.is_empty());
                }
                partly_late += u64::from(!complete);
            }
        }
    }
    Ok((shares, partly_late))
}

fn bounds(batch: &Batch) -> Result<&Windows> {
    batch.hidden().windows.as_ref().ok_or_else(|| Error::internal("rows of a windowed stream do not carry their windows"))
}

fn times(batch: &Batch) -> Result<&[i64]> {
    batch.times().ok_or_else(|| Error::internal("rows of a windowed stream have no event time"))
}

/// Rows of a window: their event time is its last instant.
fn of_window(records: RecordBatch, (start, end): Window) -> Result<Batch> {
    let constant = |value: i64| Int64Array::from_value(value, records.num_rows());
    let times = Some(constant(end.saturating_sub(1)));
    let windows = Some(Windows { start: constant(start), end: constant(end) });
    Batch::new(records, Hidden { times, windows, ..Hidden::default() })
}

impl Operator for Windowed {
    fn on_batch(&mut self, _: usize, batch: Batch, out: &mut Output) -> Result<()> {
        let node = out.watermark().max(self.watermark);
        let batch = self.without_late(batch, node, out)?;
        let rows = self.program.evaluate(batch, out)?;
        let (shares, partly_late) = shares(&rows.batch, self.implicit.as_ref(), node)?;
        out.fates().taken += rows.batch.rows() as u64;
        out.fates().partly_late += partly_late;
        shares.into_iter().try_for_each(|(window, share)| self.rank(window, share, &rows))
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        self.watermark = self.watermark.max(watermark);
        self.close_due(out).map(|_| ())
    }

    fn resume(&mut self, out: &mut Output) -> Result<Progress> {
        self.close_due(out)
    }

    fn snapshot(&mut self, state: &mut StateWriter) -> Result<()> {
        self.write_all(state)?;
        write_watermark(self.watermark, state)
    }

    fn note_changes(&mut self) -> bool {
        self.gone = Some(Vec::new());
        true
    }

    fn snapshot_changes(&mut self, state: &mut StateWriter) -> Result<()> {
        self.write_changes(state)?;
        write_watermark(self.watermark, state)
    }

    fn restore(&mut self, state: &StateReader) -> Result<()> {
        for records in state.get(PANES) {
            for rows in self.layout.read(records)? {
                let pane = pane(&mut self.panes, rows.window, &self.program)?;
                pane.last_rows += rows.last_rows;
                rows.load(&mut pane.rankings, |_, _| {})?;
            }
        }
        self.stored = StoredWindows::at_start(state);
        self.watermark = read_watermark(state);
        Ok(())
    }

    fn forget_keys(&mut self) -> Result<()> {
        for ((end, start), pane) in std::mem::take(&mut self.panes) {
            self.stored.left((start, end), pane.last_rows);
        }
        Ok(())
    }

    fn waits_for(&self) -> Option<EventTime> {
        self.next_window().map(|(_, end)| EventTime(end))
    }

    fn rows_in_state(&self) -> u64 {
        self.panes.values().map(|pane| pane.last_rows).sum::<u64>() + self.stored.rows()
    }

    fn state_bytes(&self) -> usize {
        self.panes.values().map(|pane| pane.rankings.size_bytes() + pane.changes.size_bytes()).sum::<usize>() + self.stored.size_bytes()
    }
}

//! Rows that wait for their windows to close.
//!
//! A row of overlapping windows is kept once, in the batch that it came in; each of its windows knows its place there. Of a batch of which
//! a window needs little the rows are copied out, so that what is kept is no more than a few times what is counted.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::SchemaRef;
use hashbrown::HashMap;
use millstream_api::window::Aligned;
use millstream_api::{Batch, Error, EventTime, Result};

use super::pairs::Window;
use crate::columns::records;

/// Rows are copied out of a batch when they are less than this part of it.
const WORTH_A_COPY: usize = 4;

/// Rows of one side in one window.
struct Part {
    /// The batch that they came in, with the columns of their keys.
    records: RecordBatch,
    /// Which of its rows; `None`: all.
    rows: Option<UInt32Array>,
}

impl Part {
    fn records(&self) -> Result<RecordBatch> {
        match &self.rows {
            None => Ok(self.records.clone()),
            Some(rows) => {
                let columns = self.records.columns().iter().map(|column| Ok(take(column, rows, None)?)).collect::<Result<_>>()?;
                records(&self.records.schema(), columns, rows.len())
            }
        }
    }
}

/// Both sides of one window.
#[derive(Default)]
pub(super) struct Pane {
    parts: [Vec<Part>; 2],
    /// Rows of which this is the last window.
    pub(super) last_rows: [u64; 2],
    bytes: usize,
    /// What checkpoints have of it.
    written: Option<Written>,
}

/// How much of a window has been written.
#[derive(Clone, Copy, Default)]
struct Written {
    parts: [usize; 2],
    last_rows: [u64; 2],
}

impl Pane {
    /// All rows of a side.
    pub(super) fn side(&self, side: usize, schema: &SchemaRef) -> Result<RecordBatch> {
        self.since(0, side, schema)
    }

    /// The rows of a side that have not been written for a checkpoint, and of how many this is the last window.
    pub(super) fn not_written(&self, side: usize, schema: &SchemaRef) -> Result<(RecordBatch, u64)> {
        let written = self.written.unwrap_or_default();
        Ok((self.since(written.parts[side], side, schema)?, self.last_rows[side] - written.last_rows[side]))
    }

    /// All has been written.
    pub(super) fn all_written(&mut self) {
        self.written = Some(Written { parts: [0, 1].map(|side| self.parts[side].len()), last_rows: self.last_rows });
    }

    /// No checkpoint has anything of it.
    pub(super) fn none_written(&mut self) {
        self.written = None;
    }

    /// The rows of a side behind so many parts.
    fn since(&self, parts: usize, side: usize, schema: &SchemaRef) -> Result<RecordBatch> {
        let parts: Vec<RecordBatch> = self.parts[side][parts..].iter().map(Part::records).collect::<Result<_>>()?;
        match parts.as_slice() {
            [one] => Ok(one.clone()),
            several => Ok(concat_batches(schema, several)?),
        }
    }
}

/// All windows that are open and have rows, by end and start.
#[derive(Default)]
pub(super) struct OpenWindows {
    panes: BTreeMap<(i64, i64), Pane>,
    bytes: usize,
    /// Windows of which checkpoints have something, and that have closed since the last one; `None`: nobody asks.
    pub(super) gone: Option<Vec<Window>>,
}

/// Where the rows of a batch go.
#[derive(Default)]
pub(super) struct Places {
    /// Windows with their rows, and of how many it is the last window.
    pub(super) windows: Vec<(Window, Vec<u32>, u64)>,
    /// Rows that are too late for every window.
    pub(super) late: Vec<u32>,
    /// How many rows are too late for some.
    pub(super) partly_late: u64,
}

/// Judges the windows of each row at its own watermark. `implicit`: windows follow from event time, else rows carry theirs.
pub(super) fn places(batch: &Batch, implicit: Option<&Aligned>, node: EventTime) -> Result<Places> {
    let missing = || Error::internal("rows of a windowed stream say neither their window nor their time");
    let mut grouped = Grouped::default();
    match implicit {
        None => {
            let bounds = batch.hidden().windows.as_ref().ok_or_else(missing)?;
            let (starts, ends) = (bounds.start.values(), bounds.end.values());
            let mut row = 0;
            // What closes a window sends all rows of it, so they come in runs.
            while row < batch.rows() {
                let window = (starts[row], ends[row]);
                let behind = starts[row..].iter().zip(&ends[row..]);
                let run = row..row + behind.take_while(|(start, end)| (**start, **end) == window).count();
                grouped.add_run(window, run.clone(), batch, node);
                row = run.end;
            }
        }
        Some(windows) => {
            let times = batch.times().ok_or_else(missing)?;
            for (row, &time) in times.iter().enumerate() {
                grouped.add_open(windows, time, batch.judged_at(row, node), row as u32);
            }
        }
    }
    Ok(grouped.places)
}

#[derive(Default)]
struct Grouped {
    places: Places,
    index: HashMap<Window, usize>,
}

impl Grouped {
    /// Adds a row to each of its windows that is open.
    fn add_open(&mut self, windows: &Aligned, time: i64, judged: EventTime, row: u32) {
        let (mut open, complete) = windows.open(time, judged);
        if open.is_empty() {
            return self.places.late.push(row);
        }
        self.places.partly_late += u64::from(!complete);
        while let Some(window) = open.next() {
            self.add(window, row, open.is_empty());
        }
    }

    /// Adds rows that have one window each, the same.
    fn add_run(&mut self, window: Window, run: Range<usize>, batch: &Batch, node: EventTime) {
        let marked = batch.hidden().marks.is_some();
        let (late, open): (Vec<u32>, Vec<u32>) = match (marked, window.1 <= node.0) {
            (true, _) => run.map(|row| row as u32).partition(|&row| window.1 <= batch.judged_at(row as usize, node).0),
            (false, true) => (run.map(|row| row as u32).collect(), Vec::new()),
            (false, false) => (Vec::new(), run.map(|row| row as u32).collect()),
        };
        self.places.late.extend(late);
        if !open.is_empty() {
            let (_, rows, last_rows) = self.place(window);
            *last_rows += open.len() as u64;
            rows.extend(open);
        }
    }

    fn add(&mut self, window: Window, row: u32, is_last: bool) {
        let (_, rows, last_rows) = self.place(window);
        rows.push(row);
        *last_rows += u64::from(is_last);
    }

    fn place(&mut self, window: Window) -> &mut (Window, Vec<u32>, u64) {
        let windows = &mut self.places.windows;
        let place = *self.index.entry(window).or_insert_with(|| {
            windows.push((window, Vec::new(), 0));
            windows.len() - 1
        });
        &mut windows[place]
    }
}

impl OpenWindows {
    /// Keeps rows of a batch (with the columns of their keys) for a window.
    ///
    /// # Errors
    /// Only internal ones.
    pub(super) fn add(&mut self, side: usize, window: Window, records: &RecordBatch, rows: Vec<u32>, last_rows: u64) -> Result<()> {
        let (kept, of) = (rows.len(), records.num_rows());
        let part = if kept == of {
            Part { records: records.clone(), rows: None }
        } else if kept < of / WORTH_A_COPY {
            Part { records: Batch::plain(records.clone()).take(&rows.into())?.records().clone(), rows: None }
        } else {
            Part { records: records.clone(), rows: Some(rows.into()) }
        };
        let places = part.rows.as_ref().map_or(0, |rows| size_of_val(rows.values().as_ref()));
        let share = places + Batch::plain(part.records.clone()).size_bytes() * kept / part.records.num_rows().max(1);
        let pane = self.panes.entry((window.1, window.0)).or_default();
        pane.parts[side].push(part);
        pane.last_rows[side] += last_rows;
        pane.bytes += share;
        self.bytes += share;
        Ok(())
    }

    /// Takes out a window.
    pub(super) fn take(&mut self, (start, end): Window) -> Option<Pane> {
        let pane = self.panes.remove(&(end, start))?;
        self.bytes -= pane.bytes;
        if let Some(gone) = self.gone.as_mut().filter(|_| pane.written.is_some()) {
            gone.push((start, end));
        }
        Some(pane)
    }

    /// The window that closes first.
    pub(super) fn first(&self) -> Option<Window> {
        self.panes.first_key_value().map(|(&(end, start), _)| (start, end))
    }

    /// All windows.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Window, &Pane)> {
        self.panes.iter().map(|(&(end, start), pane)| ((start, end), pane))
    }

    /// The same, to be changed in place.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Window, &mut Pane)> {
        self.panes.iter_mut().map(|(&(end, start), pane)| ((start, end), pane))
    }

    /// Memory in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes
    }
}

/// Rows of a snapshot by window: the windows as two columns, each window's rows following each other.
pub(super) fn runs(starts: &Int64Array, ends: &Int64Array) -> Vec<(Window, usize, usize)> {
    let window = |row: usize| (starts.value(row), ends.value(row));
    let mut runs: Vec<(Window, usize, usize)> = Vec::new();
    for row in 0..starts.len() {
        match runs.last_mut() {
            Some((of, _, length)) if *of == window(row) => *length += 1,
            _ => runs.push((window(row), row, 1)),
        }
    }
    runs
}

/// A column that says the same of each row.
pub(super) fn constant(value: i64, rows: usize) -> ArrayRef {
    std::sync::Arc::new(Int64Array::from_value(value, rows))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;

    use super::*;

    #[test]
    fn a_window_keeps_no_batch_of_which_it_needs_little() {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100));
        let batch = RecordBatch::try_from_iter([("n", column.clone())]).unwrap();
        let mut open = OpenWindows::default();
        let holders = Arc::strong_count(&column);
        open.add(0, (0, 10), &batch, vec![7, 99], 2).unwrap();
        assert_eq!((Arc::strong_count(&column), open.size_bytes()), (holders, 16));
        open.add(0, (0, 10), &batch, (0..50).collect(), 50).unwrap();
        assert_eq!((Arc::strong_count(&column), open.size_bytes()), (holders + 1, 16 + 50 * 12));
        let rows = open.take((0, 10)).unwrap().side(0, &batch.schema()).unwrap();
        let expected: Vec<i64> = [7, 99].into_iter().chain(0..50).collect();
        assert_eq!(rows.column(0).as_primitive::<Int64Type>().values(), &expected[..]);
    }
}

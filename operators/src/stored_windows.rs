//! Windows of which something is on disk, where each is a pane of its own: which they are, and the one that is read back to close.
//!
//! Rows that come later begin their window anew in memory. A window of which anything is on disk is closed from there alone, part by
//! part, each of which fits into memory.

use std::collections::{BTreeMap, VecDeque};

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use millstream_api::state::picked::gathered;
use millstream_api::state::{PANES_ON_DISK, PanePart, StateReader, StateWriter, TakeRows};
use millstream_api::window::Window;
use millstream_api::{Output, Result};

/// The windows of one subtask; rows of their state have the start in `n0` and the end in `n1`.
#[derive(Debug, Default)]
pub(crate) struct StoredWindows {
    /// By end and start: of how many rows each is the last window.
    windows: BTreeMap<(i64, i64), u64>,
    closing: Option<(Window, VecDeque<PanePart>)>,
}

impl StoredWindows {
    /// Those with which a run goes on from a checkpoint.
    pub(crate) fn at_start(state: &StateReader) -> StoredWindows {
        let mut stored = StoredWindows::default();
        for records in state.get(PANES_ON_DISK) {
            let [starts, ends, rows]: [&Int64Array; 3] = [0, 1, 2].map(|column| records.column(column).as_primitive::<Int64Type>());
            for ((start, end), rows) in starts.values().iter().zip(ends.values()).zip(rows.values()) {
                stored.left((*start, *end), rows.unsigned_abs());
            }
        }
        stored
    }

    /// What of a window was in memory is on disk now, with so many rows of which it is the last window.
    pub(crate) fn left(&mut self, (start, end): Window, rows: u64) {
        *self.windows.entry((end, start)).or_default() += rows;
    }

    /// Whether something of a window is on disk.
    pub(crate) fn has(&self, (start, end): Window) -> bool {
        self.windows.contains_key(&(end, start))
    }

    /// The window that closes first.
    pub(crate) fn first(&self) -> Option<Window> {
        self.windows.first_key_value().map(|(&(end, start), _)| (start, end))
    }

    /// How many rows are on disk.
    pub(crate) fn rows(&self) -> u64 {
        self.windows.values().sum()
    }

    /// Memory in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        // An entry of a tree takes about half as much again.
        self.windows.len() * size_of::<((i64, i64), u64)>() * 3 / 2
    }

    /// Begins to close a window. What of it is in memory goes to disk too: only there it is divided into parts. `is_wanted`: whether its
    /// rows are to be read.
    pub(crate) fn begin(&mut self, window: Window, in_memory: StateWriter, is_wanted: bool, out: &Output) -> Result<()> {
        let mut disk = out.cold_panes()?;
        let mut parts = Vec::new();
        if is_wanted {
            disk.add(gathered(&in_memory.into_entries())?)?;
            parts = disk.parts(&[window]);
        }
        self.closing = Some((window, parts.into()));
        Ok(())
    }

    /// Whether a window is being closed from disk.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// Reads the next part of the window that is being closed. `None`: all are through, and the window is gone.
    pub(crate) fn next_part(&mut self, out: &Output, take: &mut TakeRows<'_>) -> Result<Option<Window>> {
        let Some((window, mut parts)) = self.closing.take() else { return Ok(None) };
        let mut disk = out.cold_panes()?;
        let Some(part) = parts.pop_front() else {
            let (start, end) = window;
            self.windows.remove(&(end, start));
            return disk.remove(&[window]).map(|()| None);
        };
        disk.read(&[window], &part, take)?;
        self.closing = Some((window, parts));
        Ok(Some(window))
    }
}

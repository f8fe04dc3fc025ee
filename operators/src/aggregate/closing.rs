//! A window of which something is on disk, while it closes: part by part, each of which fits into memory.

use std::collections::VecDeque;

use millstream_api::state::{PaneKey, PanePart, StateWriter};
use millstream_api::{Output, Result};

use super::pane::Pane;
use super::saved::{WrittenAs, write_pane};
use super::windowed::{Windowed, final_rows};
use super::windows::DueWindow;

/// Where it stands.
pub(super) struct Closing {
    due: DueWindow,
    panes: Vec<PaneKey>,
    parts: VecDeque<PanePart>,
    /// Where what is merged is kept together, if it is worth the writing.
    gathered_in: Option<PaneKey>,
    /// How many partial results were read, and how many groups they made.
    read: usize,
    groups: usize,
}

impl Windowed {
    /// Begins to close a window. What of it is in memory goes to disk too: only there it is divided into parts.
    pub(super) fn begin_closing(&mut self, due: DueWindow, out: &Output) -> Result<()> {
        let mut state = StateWriter::new();
        for (key, mut pane) in self.open.take(due) {
            write_pane(&self.layout, WrittenAs { key, first_end: due.window.1 }, &mut pane, &mut state)?;
        }
        let panes = self.open.stored_of(due);
        let mut disk = out.cold_panes()?;
        let entries = state.into_entries();
        if !entries.is_empty() {
            disk.add(entries)?;
        }
        let gathered_in = self.open.gathered_in(due).filter(|_| self.is_scattered);
        self.closing = Some(Closing { due, parts: disk.parts(&panes).into(), panes, gathered_in, read: 0, groups: 0 });
        Ok(())
    }

    /// Reads one more part of a window and has its rows ready; or, when there is none, lets go of what only that window needed.
    pub(super) fn close_part(&mut self, mut closing: Closing, out: &mut Output) -> Result<()> {
        let due = closing.due;
        let Some(part) = closing.parts.pop_front() else {
            // The next window that grows over these has about as many.
            self.is_scattered = closing.read > 2 * closing.groups;
            return out.cold_panes()?.remove(&self.open.closed(due, closing.gathered_in));
        };
        let mut pane = self.read_part(&mut closing, &part, out)?;
        if pane.len() > 0 {
            if let Some(key) = closing.gathered_in {
                let mut state = StateWriter::new();
                write_pane(&self.layout, WrittenAs { key, first_end: due.window.1 }, &mut pane, &mut state)?;
                out.cold_panes()?.add(state.into_entries())?;
            }
            let rows = final_rows(&mut pane, due, &self.program, out)?;
            self.have_ready(due, rows)?;
        }
        self.closing = Some(closing);
        Ok(())
    }

    /// All that is on disk of a part of the window, without key groups for which it had closed before.
    fn read_part(&self, closing: &mut Closing, part: &PanePart, out: &Output) -> Result<Pane> {
        let mut pane = self.program.pane()?;
        out.cold_panes()?.read(&closing.panes, part, &mut |_, rows| {
            let rows = rows.of_groups(|group| self.floors.of(group) <= closing.due.number)?;
            let rows = self.layout.read(&rows.records)?;
            pane.rows += rows.count();
            closing.read += rows.len();
            pane.merge_state(&rows.keys, &rows.states, rows.len())
        })?;
        closing.groups += pane.len();
        Ok(pane)
    }
}

//! Keys that leave memory with all of their windows and with what was sent of them, and come back key by key: of an aggregate that sends
//! early rows. At a tick of the clock it looks at those that have changed, so it must find them without reading the others.
//!
//! What comes back because windows of it close, or because there is something to say of it, is dealt with by itself: of what is in memory the
//! same windows have closed before, and have been looked at. Then it joins the others.

use std::collections::BTreeSet;

use arrow::array::ArrayRef;
use millstream_api::state::{PaneKey, StateReader};
use millstream_api::{EventTime, Output, Progress, Result};

use super::early::{Early, Sent};
use super::plan::Design;
use super::state::{Layout, by_pane};
use super::windowed::{PANES, Windowed};
use super::windows::OpenPanes;
use crate::cold::Cold;

/// What an aggregate has for that.
pub(super) struct ByKey {
    /// The columns of partial results that are not state.
    pub(super) partials: Layout,
    /// Keys that have left memory.
    cold: Cold,
    /// What is in memory while keys that have come back are dealt with.
    others: Option<Others>,
    /// Panes that nothing has come to.
    empty: OpenPanes,
}

struct Others {
    open: OpenPanes,
    sent: Sent,
}

impl Design {
    /// Whether keys leave memory with all of their windows, if at all.
    pub(super) fn goes_by_key(&self) -> bool {
        self.every.is_some() && !self.by.is_empty()
    }
}

impl ByKey {
    /// Nothing on disk.
    pub(super) fn new(empty: OpenPanes, partials: Layout) -> ByKey {
        ByKey { partials, cold: Cold::default(), others: None, empty }
    }

    /// Rows that are not among the open panes.
    pub(super) fn rows(&self) -> u64 {
        self.cold.rows() + self.others.as_ref().map_or(0, |others| others.open.rows())
    }

    /// Memory beside the open panes.
    pub(super) fn size_bytes(&self) -> usize {
        self.others.as_ref().map_or(0, |others| others.open.size_bytes())
    }
}

impl Windowed {
    /// Rows of these keys are about to be taken in.
    pub(super) fn fetch(&mut self, keys: &[ArrayRef], rows: usize, out: &mut Output) -> Result<()> {
        if self.by_key.is_none() {
            return Ok(());
        }
        match out.fetch(keys, rows)? {
            Some(state) => self.take_back(&state),
            None => Ok(()),
        }
    }

    /// Adds groups as a snapshot has them. There may be something to say of all of them.
    pub(super) fn take_back(&mut self, state: &StateReader) -> Result<()> {
        let panes = self.add_back(state)?;
        if let Some(early) = &mut self.early {
            early.note(panes);
        }
        Ok(())
    }

    /// Adds them: to which panes.
    fn add_back(&mut self, state: &StateReader) -> Result<BTreeSet<PaneKey>> {
        let (before, mut panes) = (self.open.rows(), BTreeSet::new());
        for saved in state.entries().get(PANES).into_iter().flatten() {
            let saved = by_pane(saved)?;
            let mut rows = self.layout.read(&saved.records)?;
            rows.numbers[1] = self.floors.raise(&saved, &rows.numbers[1]);
            for (pane, part) in rows.runs() {
                self.take_in(pane, &part)?;
                panes.insert(pane);
            }
        }
        if let Some(early) = &mut self.early {
            early.restore(&self.program, state)?;
        }
        if let Some(by_key) = &mut self.by_key {
            by_key.cold.came_back(self.open.rows() - before);
        }
        Ok(panes)
    }

    /// What is on disk at the start.
    pub(super) fn restore_cold(&mut self, state: &StateReader) {
        let Some(by_key) = &mut self.by_key else { return };
        by_key.cold = Cold::at_start(state);
        if let Some(early) = self.early.as_mut().filter(|_| by_key.cold.next().is_some()) {
            early.cold.note();
        }
    }

    /// The next keys on disk of which windows close or something is to be said, once all is done with those in memory. `None`: there are
    /// some.
    pub(super) fn next_keys(&mut self, out: &mut Output) -> Result<Option<Progress>> {
        let Some(by_key) = &mut self.by_key else { return Ok(Some(Progress::Done)) };
        if let Some(others) = by_key.others.take() {
            self.join_others(others)?;
            // Now keys may leave memory.
            return Ok(Some(Progress::More));
        }
        let touched = match &mut self.early {
            Some(early) => early.cold.next(out)?,
            None => None,
        };
        let is_tick = touched.is_some();
        let state = match touched {
            Some(state) => state,
            None => match by_key.cold.fetch_due(self.watermark.minus(self.lateness), out)? {
                Some(state) => state,
                None => return Ok(Some(Progress::Done)),
            },
        };
        let sent = self.early.as_mut().map(|early| early.swap_sent(Sent::new())).unwrap_or_default();
        by_key.others = Some(Others { open: std::mem::replace(&mut self.open, by_key.empty.emptied()), sent });
        match is_tick {
            false => self.take_back(&state)?,
            true => {
                self.add_back(&state)?;
                self.early.iter_mut().for_each(|early| early.look_at_all(&self.open));
            }
        }
        Ok(None)
    }

    /// Puts keys that were dealt with to the others.
    fn join_others(&mut self, others: Others) -> Result<()> {
        let mut own = std::mem::replace(&mut self.open, others.open);
        self.open.add_all(&mut own, &self.program)?;
        if let Some(early) = &mut self.early {
            let sent = early.swap_sent(others.sent);
            early.add_sent(sent);
        }
        Ok(())
    }

    /// Lets go of all keys.
    pub(super) fn forget_all(&mut self) {
        if let Some(by_key) = &mut self.by_key {
            by_key.cold.left(self.open.rows(), self.open.next_end());
        }
        self.open.drain();
        self.early.iter_mut().for_each(Early::forget);
    }

    /// Whether nothing is under way with some of the keys only.
    pub(super) fn is_between_keys(&self) -> bool {
        let until = self.watermark.minus(self.lateness);
        let is_quiet = self.ready.is_none() && !self.early.as_ref().is_some_and(Early::is_due);
        is_quiet && self.by_key.as_ref().is_some_and(|by_key| by_key.others.is_none() && by_key.cold.has_asked(until))
    }

    /// When the next window of a key on disk closes.
    pub(super) fn next_cold(&self) -> Option<EventTime> {
        let next = self.by_key.as_ref()?.cold.next()?;
        Some(EventTime(next.0.saturating_add(self.lateness)))
    }
}

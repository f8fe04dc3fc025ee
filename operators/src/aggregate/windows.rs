//! The open panes of a windowed aggregate: which one a row goes to, and which window closes next.
//!
//! Where windows follow from event time, a pane is a slice seen by rows of one *first window*: a row whose own watermark has
//! closed some of the slice's windows goes to a pane of its own, which only the later windows take in. So lateness is judged
//! for each window although rows are aggregated by slice, and whether the node itself has closed those windows yet does not
//! matter. Where rows carry their window, a pane is that window.

mod merging;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use arrow::array::BooleanArray;
use millstream_api::batch::Windows as Bounds;
use millstream_api::window::{Slice, Window};
use millstream_api::{Batch, Error, EventTime, Result};

use super::pane::{Evaluations, Pane};
use super::places::{Places, Survey, range, slice_places, split};
use super::program::Program;
use super::slices::{Slices, closed};
use super::stored;

/// Implicit: start of the slice and number of the first window. Explicit: end and start of the window.
pub(super) use millstream_api::state::PaneKey;

/// How rows are taken into a pane.
pub(super) type AddRows = fn(&mut Pane, &Evaluations) -> Result<()>;

/// A window that is to be closed, or looked at.
#[derive(Clone, Copy)]
pub(super) struct DueWindow {
    pub(super) window: Window,
    /// Its number, where windows follow from event time.
    pub(super) number: i64,
}

/// All panes that some open window needs.
pub(super) struct OpenPanes {
    pub(super) kind: Kind,
    pub(super) lateness: i64,
    pub(super) panes: BTreeMap<PaneKey, Pane>,
    /// The sum of what the panes measured when they were last changed.
    pub(super) bytes: usize,
    /// The rows of each pane of which something is on disk.
    pub(super) stored: BTreeMap<PaneKey, u64>,
    /// Panes of which checkpoints have something, and that have gone since the last one; `None`: nobody asks.
    pub(super) gone: Option<Vec<PaneKey>>,
}

pub(super) enum Kind {
    Implicit {
        slices: Slices,
        /// All windows before this one have closed.
        cursor: i64,
    },
    Explicit,
}

impl OpenPanes {
    /// No panes. `slices` where windows follow from event time, else rows carry theirs.
    pub(super) fn new(slices: Option<Slices>, lateness: i64) -> Self {
        let kind = match slices {
            Some(slices) => Kind::Implicit { slices, cursor: i64::MIN },
            None => Kind::Explicit,
        };
        OpenPanes { kind, lateness, panes: BTreeMap::new(), bytes: 0, stored: BTreeMap::new(), gone: None }
    }

    /// No panes, of the same windows. None has closed.
    pub(super) fn emptied(&self) -> OpenPanes {
        let slices = match &self.kind {
            Kind::Implicit { slices, .. } => Some(slices.clone()),
            Kind::Explicit => None,
        };
        OpenPanes::new(slices, self.lateness)
    }

    /// Looks at the rows of a batch as a whole.
    pub(super) fn survey(&self, batch: &Batch, node: EventTime) -> Result<Survey> {
        let range = match &self.kind {
            Kind::Explicit => range(bounds(batch)?.end.values()).map(|(least, greatest)| (least.saturating_sub(1), greatest)),
            Kind::Implicit { .. } => range(times(batch)?),
        };
        let behind = batch.hidden().marks.is_some() || range.is_some_and(|(least, _)| least < node.0);
        Ok(Survey { range, behind })
    }

    /// The rows that have windows which may end at this watermark or before it; `None`: none has.
    pub(super) fn behind(&self, batch: &Batch, floor: EventTime, survey: &Survey) -> Result<Option<BooleanArray>> {
        if survey.range.is_none_or(|(least, _)| least >= floor.0) {
            return Ok(None);
        }
        Ok(Some(match &self.kind {
            Kind::Explicit => bounds(batch)?.end.values().iter().map(|&end| Some(end <= floor.0)).collect(),
            Kind::Implicit { .. } => times(batch)?.iter().map(|&time| Some(time < floor.0)).collect(),
        }))
    }

    /// The rows that are late for all their windows; `None`: none is.
    pub(super) fn late(&self, batch: &Batch, node: EventTime, survey: &Survey) -> Result<Option<BooleanArray>> {
        if !survey.behind {
            return Ok(None);
        }
        let mask: BooleanArray = match &self.kind {
            Kind::Explicit => {
                let ends = bounds(batch)?.end.values();
                (0..batch.rows()).map(|row| Some(closed(ends[row], self.lateness, batch.judged_at(row, node)))).collect()
            }
            Kind::Implicit { slices, .. } => {
                let times = times(batch)?;
                let mut slice = Slice::NONE;
                let mut late = |row: usize| {
                    let (time, judged) = (times[row], batch.judged_at(row, node));
                    // A window ends behind every instant in it, so a row that is not behind is late for none.
                    if judged.0 <= time {
                        return false;
                    }
                    if !slice.contains(time) {
                        slice = slices.at(time);
                    }
                    slices.all_closed(&slice, judged)
                };
                (0..batch.rows()).map(|row| Some(late(row))).collect()
            }
        };
        Ok((mask.true_count() > 0).then_some(mask))
    }

    /// Where the rows go, none of which is late for all its windows; and how many are for some. The survey may be of more rows.
    pub(super) fn places(&self, batch: &Batch, node: EventTime, survey: &Survey) -> Result<(Places, u64)> {
        match &self.kind {
            Kind::Explicit => {
                let Bounds { start, end } = bounds(batch)?;
                let keys = end.values().iter().zip(start.values()).map(|(&end, &start)| (end, start));
                Ok((split(keys), 0))
            }
            Kind::Implicit { slices, .. } => slice_places(slices, batch, node, survey),
        }
    }

    /// Changes the pane of this key, which is made if it is not there.
    pub(super) fn change(&mut self, key: PaneKey, program: &Program, change: impl FnOnce(&mut Pane) -> Result<()>) -> Result<()> {
        let pane = match self.panes.entry(key) {
            Entry::Occupied(pane) => pane.into_mut(),
            Entry::Vacant(vacant) => vacant.insert(program.pane()?),
        };
        change(pane)?;
        let before = pane.measured_bytes;
        pane.measured_bytes = pane.size_bytes();
        self.bytes = self.bytes + pane.measured_bytes - before;
        Ok(())
    }

    /// Takes rows in, each into the pane that it goes to.
    pub(super) fn add(&mut self, places: &Places, rows: &Evaluations, program: &Program, add: AddRows) -> Result<()> {
        match places {
            Places::One(key) => self.change(*key, program, |pane| add(pane, rows)),
            Places::Runs(runs) => runs.iter().try_for_each(|(key, run)| {
                let rows = rows.slice(run)?;
                self.change(*key, program, |pane| add(pane, &rows))
            }),
            Places::Many(panes) => panes.iter().try_for_each(|(key, indices)| {
                let rows = rows.take(indices)?;
                self.change(*key, program, |pane| add(pane, &rows))
            }),
        }
    }

    /// Which pane the rows of a pane of somebody else go to, and whether they are late for some of their windows; `None`: for
    /// all of them.
    pub(super) fn place(&self, pane: PaneKey, node: EventTime) -> Option<(PaneKey, bool)> {
        let (a, b) = pane;
        match &self.kind {
            Kind::Explicit => (!closed(a, self.lateness, node)).then_some((pane, false)),
            Kind::Implicit { slices, .. } => {
                let slice = slices.at(a);
                let first = slices.first_open(&slice, node)?.max(b);
                Some(((a, first), first != slice.first))
            }
        }
    }

    /// Takes all panes out.
    pub(super) fn drain(&mut self) -> BTreeMap<PaneKey, Pane> {
        self.bytes = 0;
        std::mem::take(&mut self.panes)
    }

    /// How many groups all panes have together.
    pub(super) fn groups(&self) -> usize {
        self.panes.values().map(Pane::len).sum()
    }

    /// The next window, by end and start, that has rows and is closed at this watermark.
    pub(super) fn next_due(&self, watermark: EventTime) -> Option<DueWindow> {
        match &self.kind {
            Kind::Explicit => {
                let (end, start) = self.first_pane()?;
                closed(end, self.lateness, watermark).then_some(DueWindow { window: (start, end), number: 0 })
            }
            Kind::Implicit { slices, cursor } => {
                let number = self.first_window(slices, *cursor)?;
                slices.closed(number, watermark).then(|| DueWindow { window: slices.bounds(number), number })
            }
        }
    }

    /// When the next window that has rows ends.
    pub(super) fn next_end(&self) -> Option<EventTime> {
        let end = match &self.kind {
            Kind::Explicit => self.first_pane()?.0,
            Kind::Implicit { slices, cursor } => slices.bounds(self.first_window(slices, *cursor)?).1,
        };
        Some(EventTime(end))
    }

    /// The watermark at which it closes.
    pub(super) fn next_close(&self) -> Option<EventTime> {
        self.next_end().map(|EventTime(end)| EventTime(end.saturating_add(self.lateness)))
    }

    fn first_pane(&self) -> Option<PaneKey> {
        self.panes.keys().next().into_iter().chain(self.stored.keys().next()).min().copied()
    }

    /// The first window that has rows and has not closed.
    fn first_window(&self, slices: &Slices, cursor: i64) -> Option<i64> {
        let in_memory = first_window_of(self.panes.keys(), slices, cursor);
        let on_disk = first_window_of(self.stored.keys(), slices, cursor);
        in_memory.into_iter().chain(on_disk).min()
    }

    /// The open windows that take in any of these panes, by end and start.
    pub(super) fn windows_of(&self, panes: BTreeSet<PaneKey>) -> Vec<DueWindow> {
        let (slices, cursor) = match &self.kind {
            Kind::Explicit => {
                let open = panes.into_iter().filter(|pane| self.panes.contains_key(pane));
                return open.map(|(end, start)| DueWindow { window: (start, end), number: 0 }).collect();
            }
            Kind::Implicit { slices, cursor } => (slices, *cursor),
        };
        let mut numbers = BTreeSet::new();
        for (slice, first) in panes {
            numbers.extend(slices.between(first.max(cursor), slices.numbers(slice).1));
        }
        numbers.into_iter().map(|number| DueWindow { window: slices.bounds(number), number }).collect()
    }

    /// The keys of all panes.
    pub(super) fn keys(&self) -> impl Iterator<Item = PaneKey> {
        self.panes.keys().copied()
    }

    /// Memory of all panes, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes + stored::size_bytes(&self.stored)
    }

    /// The rows of all panes in memory.
    pub(super) fn rows(&self) -> u64 {
        self.panes.values().map(|pane| pane.rows).sum()
    }
}

/// The first window that these panes, which come in order, have rows of and that has not closed.
fn first_window_of<'k>(mut panes: impl Iterator<Item = &'k PaneKey>, slices: &Slices, cursor: i64) -> Option<i64> {
    let found = panes.try_fold(None, |best: Option<i64>, &(slice, first)| {
        let (first_of_slice, last) = slices.numbers(slice);
        // Slices further on are in windows further on.
        if best.is_some_and(|best| first_of_slice >= best) {
            return ControlFlow::Break(best);
        }
        let window = first.max(cursor);
        ControlFlow::Continue(if window <= last { Some(best.map_or(window, |best| best.min(window))) } else { best })
    });
    match found {
        ControlFlow::Break(window) | ControlFlow::Continue(window) => window,
    }
}

pub(super) fn times(batch: &Batch) -> Result<&[i64]> {
    batch.times().ok_or_else(|| Error::internal("rows of a windowed stream have no event time"))
}

fn bounds(batch: &Batch) -> Result<&Bounds> {
    batch.hidden().windows.as_ref().ok_or_else(|| Error::internal("rows of a windowed stream do not carry their windows"))
}

//! The open panes of a windowed aggregate: which one a row goes to, and which window closes next.
//!
//! Where windows follow from event time, a pane is a slice seen by rows of one *first window*: a row whose own watermark has
//! closed some of the slice's windows goes to a pane of its own, which only the later windows take in. So lateness is judged
//! for each window although rows are aggregated by slice, and whether the node itself has closed those windows yet does not
//! matter. Where rows carry their window, a pane is that window.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::ControlFlow;

use arrow::array::{BooleanArray, UInt32Array};
use hashbrown::HashMap;
use millstream_api::batch::Windows as Bounds;
use millstream_api::{Batch, Error, EventTime, Result};

use super::pane::Pane;
use super::program::{Program, Window};
use super::slices::{Slice, Slices, closed};

/// Implicit: start of the slice and of the first window. Explicit: end and start of the window.
pub(super) type PaneKey = (i64, i64);

/// Where the rows of a batch go.
pub(super) enum Places {
    /// All to one pane.
    One(PaneKey),
    /// These rows to these panes.
    Many(Vec<(PaneKey, UInt32Array)>),
}

/// What is to be known of a batch before its rows are looked at one by one, which mostly is not necessary.
pub(super) struct Survey {
    /// The least and the greatest instant that matter; `None`: no rows.
    range: Option<(i64, i64)>,
    /// Whether some row may be behind the watermark that judges it.
    behind: bool,
}

/// All panes that some open window needs.
pub(super) struct OpenPanes {
    kind: Kind,
    lateness: i64,
    panes: BTreeMap<PaneKey, Pane>,
    /// The sum of what the panes measured when they were last changed.
    bytes: usize,
}

enum Kind {
    Implicit {
        slices: Slices,
        /// All windows that start before this have closed.
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
        OpenPanes { kind, lateness, panes: BTreeMap::new(), bytes: 0 }
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
                let late = |row: usize| {
                    let (time, judged) = (times[row], batch.judged_at(row, node));
                    // A window ends behind every instant in it, so a row that is not behind is late for none.
                    judged.0 > time && slices.closed(slices.last_window(time), judged)
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

    /// The next window, by end and start, that has rows and is closed at this watermark.
    pub(super) fn next_due(&self, watermark: EventTime) -> Option<Window> {
        match &self.kind {
            Kind::Explicit => {
                let (&(end, start), _) = self.panes.first_key_value()?;
                closed(end, self.lateness, watermark).then_some((start, end))
            }
            Kind::Implicit { slices, cursor } => {
                let start = self.first_window(slices, *cursor)?;
                slices.closed(start, watermark).then(|| (start, slices.end(start)))
            }
        }
    }

    /// The watermark at which the next window that has rows closes.
    pub(super) fn next_close(&self) -> Option<EventTime> {
        let end = match &self.kind {
            Kind::Explicit => self.panes.first_key_value()?.0.0,
            Kind::Implicit { slices, cursor } => slices.end(self.first_window(slices, *cursor)?),
        };
        Some(EventTime(end.saturating_add(self.lateness)))
    }

    /// The first window that has rows and has not closed.
    fn first_window(&self, slices: &Slices, cursor: i64) -> Option<i64> {
        let found = self.panes.keys().try_fold(None, |best: Option<i64>, &(slice, first)| {
            // Slices further on are in windows further on.
            if best.is_some_and(|best| slice.saturating_sub(slices.size()) >= best) {
                return ControlFlow::Break(best);
            }
            let window = first.max(cursor);
            let open = window <= slices.last_window(slice);
            ControlFlow::Continue(if open { Some(best.map_or(window, |best| best.min(window))) } else { best })
        });
        match found {
            ControlFlow::Break(window) | ControlFlow::Continue(window) => window,
        }
    }

    /// Calls `f` with all rows of a window merged, and lets go of what only it needed. The window must be due.
    pub(super) fn close<T>(&mut self, window: Window, program: &Program, f: impl FnOnce(&mut Pane) -> Result<T>) -> Result<T> {
        match &mut self.kind {
            Kind::Explicit => {
                let mut pane = self.panes.remove(&(window.1, window.0)).ok_or_else(|| Error::internal("a window without a pane"))?;
                self.bytes -= pane.measured_bytes;
                f(&mut pane)
            }
            Kind::Implicit { slices, cursor } => {
                let of_window = self.panes.range_mut((window.0, i64::MIN)..(window.1, i64::MIN));
                let mut parts: Vec<&mut Pane> = of_window.filter(|((_, first), _)| *first <= window.0).map(|(_, pane)| pane).collect();
                let result = match parts.as_mut_slice() {
                    [only] => f(only)?,
                    parts => {
                        let mut merged = program.pane()?;
                        parts.iter_mut().try_for_each(|part| merged.merge(part))?;
                        f(&mut merged)?
                    }
                };
                *cursor = slices.next(window.0);
                let done = |slice: i64| slices.last_window(slice) < *cursor;
                while let Some(first) = self.panes.first_entry()
                    && done(first.key().0)
                {
                    self.bytes -= first.remove().measured_bytes;
                }
                Ok(result)
            }
        }
    }

    /// All panes, each under the key by which it is to be restored: windows that have closed stay closed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (PaneKey, &mut Pane)> {
        let cursor = match self.kind {
            Kind::Implicit { cursor, .. } => Some(cursor),
            Kind::Explicit => None,
        };
        self.panes.iter_mut().map(move |(&(a, b), pane)| ((a, cursor.map_or(b, |cursor| b.max(cursor))), pane))
    }

    /// Memory of all panes, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes
    }

    /// All panes.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Pane> {
        self.panes.values()
    }
}

fn slice_places(slices: &Slices, batch: &Batch, node: EventTime, survey: &Survey) -> Result<(Places, u64)> {
    let Some((least, greatest)) = survey.range else { return Ok((Places::Many(Vec::new()), 0)) };
    let mut slice = slices.at(least);
    if !survey.behind && slice.contains(greatest) {
        return Ok((Places::One((slice.start, slice.first_window)), 0));
    }
    let times = times(batch)?;
    let mut partly_late = 0;
    let key = |row: usize| {
        let time = times[row];
        if !slice.contains(time) {
            slice = slices.at(time);
        }
        let first = if survey.behind { first_open(slices, &slice, time, batch.judged_at(row, node)) } else { slice.first_window };
        partly_late += u64::from(first != slice.first_window);
        (slice.start, first)
    };
    let places = split((0..times.len()).map(key));
    Ok((places, partly_late))
}

/// The first open window of a row that is not late for all of them.
fn first_open(slices: &Slices, slice: &Slice, time: i64, judged: EventTime) -> i64 {
    if judged.0 <= time {
        return slice.first_window;
    }
    slices.first_open(slice, judged).unwrap_or(slice.last_window)
}

/// Rows by pane, panes in the order of their first row.
fn split(keys: impl Iterator<Item = PaneKey>) -> Places {
    let mut panes: Vec<(PaneKey, Vec<u32>)> = Vec::new();
    let mut index: HashMap<PaneKey, usize> = HashMap::new();
    let mut last: Option<(PaneKey, usize)> = None;
    for (row, key) in keys.enumerate() {
        let pane = match last {
            Some((same, pane)) if same == key => pane,
            _ => *index.entry(key).or_insert_with(|| {
                panes.push((key, Vec::new()));
                panes.len() - 1
            }),
        };
        last = Some((key, pane));
        panes[pane].1.push(row as u32);
    }
    match panes.as_slice() {
        [(key, _)] => Places::One(*key),
        _ => Places::Many(panes.into_iter().map(|(key, rows)| (key, UInt32Array::from(rows))).collect()),
    }
}

fn range(times: &[i64]) -> Option<(i64, i64)> {
    let first = *times.first()?;
    Some(times.iter().fold((first, first), |(least, greatest), &time| (least.min(time), greatest.max(time))))
}

fn times(batch: &Batch) -> Result<&[i64]> {
    batch.times().ok_or_else(|| Error::internal("rows of a windowed stream have no event time"))
}

fn bounds(batch: &Batch) -> Result<&Bounds> {
    batch.hidden().windows.as_ref().ok_or_else(|| Error::internal("rows of a windowed stream do not carry their windows"))
}

//! Which pane each row of a batch goes to, for whole batches where that is possible.

use std::ops::Range;

use arrow::array::UInt32Array;
use hashbrown::HashMap;
use millstream_api::window::Slice;
use millstream_api::{Batch, EventTime, Result};

use super::slices::Slices;
use super::windows::{PaneKey, times};

/// Where the rows of a batch go.
pub(super) enum Places {
    /// All to one pane.
    One(PaneKey),
    /// These rows, one after the other, to these panes; a pane may come several times.
    Runs(Vec<(PaneKey, Range<usize>)>),
    /// These rows to these panes.
    Many(Vec<(PaneKey, UInt32Array)>),
}

impl Places {
    /// The panes that rows go to.
    pub(super) fn keys(&self) -> impl Iterator<Item = PaneKey> + '_ {
        let (one, runs, many) = match self {
            Places::One(key) => (Some(*key), [].as_slice(), [].as_slice()),
            Places::Runs(runs) => (None, runs.as_slice(), [].as_slice()),
            Places::Many(panes) => (None, [].as_slice(), panes.as_slice()),
        };
        one.into_iter().chain(runs.iter().map(|(key, _)| *key)).chain(many.iter().map(|(key, _)| *key))
    }
}

/// What is to be known of a batch before its rows are looked at one by one, which mostly is not necessary.
pub(super) struct Survey {
    /// The least and the greatest instant that matter; `None`: no rows.
    pub(super) range: Option<(i64, i64)>,
    /// Whether some row may be behind the watermark that judges it.
    pub(super) behind: bool,
}

/// Where the rows of a batch go whose windows follow from event time, and how many of them are late for some windows.
pub(super) fn slice_places(slices: &Slices, batch: &Batch, node: EventTime, survey: &Survey) -> Result<(Places, u64)> {
    let Some((least, greatest)) = survey.range else { return Ok((Places::Many(Vec::new()), 0)) };
    let mut slice = slices.at(least);
    if !survey.behind && slice.contains(greatest) {
        return Ok((Places::One((slice.start, slice.first)), 0));
    }
    let times = times(batch)?;
    if !survey.behind {
        return Ok((of_runs(slice_runs(slices, times)), 0));
    }
    let mut partly_late = 0;
    let key = |row: usize| {
        let time = times[row];
        if !slice.contains(time) {
            slice = slices.at(time);
        }
        let first = first_open(slices, &slice, time, batch.judged_at(row, node));
        partly_late += u64::from(first != slice.first);
        (slice.start, first)
    };
    let places = split((0..times.len()).map(key));
    Ok((places, partly_late))
}

/// The runs of rows of one slice each, all of whose windows are open.
fn slice_runs(slices: &Slices, times: &[i64]) -> Vec<(PaneKey, Range<usize>)> {
    let mut runs: Vec<(PaneKey, Range<usize>)> = Vec::new();
    let mut row = 0;
    while let Some(&time) = times.get(row) {
        let slice = slices.at(time);
        // At the end of time no slice ends behind its last instant.
        let rows = times[row..].iter().take_while(|time| slice.contains(**time)).count().max(1);
        runs.push(((slice.start, slice.first), row..row + rows));
        row += rows;
    }
    runs
}

/// The first open window of a row that is not late for all of them.
fn first_open(slices: &Slices, slice: &Slice, time: i64, judged: EventTime) -> i64 {
    if judged.0 <= time {
        return slice.first;
    }
    slices.first_open(slice, judged).unwrap_or(slice.last)
}

/// Rows by pane. Mostly they come in order, so that the rows of a pane stand together and need not be copied.
pub(super) fn split(keys: impl Iterator<Item = PaneKey>) -> Places {
    let mut runs: Vec<(PaneKey, Range<usize>)> = Vec::new();
    for (row, key) in keys.enumerate() {
        match runs.last_mut() {
            Some((same, run)) if *same == key => run.end = row + 1,
            _ => runs.push((key, row..row + 1)),
        }
    }
    of_runs(runs)
}

/// Rows by pane, from runs that follow each other and hold all rows.
fn of_runs(runs: Vec<(PaneKey, Range<usize>)>) -> Places {
    let rows = runs.last().map_or(0, |(_, run)| run.end);
    match runs.as_slice() {
        [(key, _)] => Places::One(*key),
        _ if runs.len() * ROWS_PER_RUN <= rows => Places::Runs(runs),
        _ => Places::Many(joined(runs)),
    }
}

/// Runs that are shorter on average are joined to those of the same pane.
const ROWS_PER_RUN: usize = 64;

/// The rows of each pane, panes in the order of their first row.
fn joined(runs: Vec<(PaneKey, Range<usize>)>) -> Vec<(PaneKey, UInt32Array)> {
    let mut panes: Vec<(PaneKey, Vec<u32>)> = Vec::new();
    let mut index: HashMap<PaneKey, usize> = HashMap::new();
    for (key, run) in runs {
        let pane = *index.entry(key).or_insert_with(|| {
            panes.push((key, Vec::new()));
            panes.len() - 1
        });
        panes[pane].1.extend(run.map(|row| row as u32));
    }
    panes.into_iter().map(|(key, rows)| (key, UInt32Array::from(rows))).collect()
}

/// The least and the greatest time.
pub(super) fn range(times: &[i64]) -> Option<(i64, i64)> {
    let first = *times.first()?;
    Some(times.iter().fold((first, first), |(least, greatest), &time| (least.min(time), greatest.max(time))))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use millstream_api::window::Aligned;

    use super::*;

    /// The pane of each row.
    fn panes(places: &Places) -> BTreeMap<usize, PaneKey> {
        match places {
            Places::One(key) => BTreeMap::from([(0, *key)]),
            Places::Runs(runs) => runs.iter().flat_map(|(key, run)| run.clone().map(|row| (row, *key))).collect(),
            Places::Many(panes) => panes.iter().flat_map(|(key, rows)| rows.values().iter().map(|row| (*row as usize, *key))).collect(),
        }
    }

    #[test]
    fn rows_in_any_order_go_to_the_panes_of_their_slices() {
        let slices = Slices::new(Aligned::hop(10, 4, 0), 0);
        let pane = |time: i64| (slices.at(time).start, slices.at(time).first);
        let rising: Vec<i64> = (-300..300).collect();
        let jumping: Vec<i64> = (0..300).map(|row| row * 7919 % 101 - 50).collect();
        for times in [rising, jumping, vec![5, i64::MAX, i64::MIN]] {
            let places = of_runs(slice_runs(&slices, &times));
            let expected = times.iter().map(|time| pane(*time)).enumerate().collect();
            assert_eq!(panes(&places), expected);
        }
    }
}

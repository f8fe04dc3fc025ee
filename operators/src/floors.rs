//! Up to where the state of each key group is past, where that is not said by what is written of it: the first window that may be open,
//! or the watermark up to which rows were answered.
//!
//! What has left memory, or was written by an earlier checkpoint, stays as it is written, though event time goes on. So each
//! checkpoint says up to where it is past: by key group, since the subtasks of a node may have come to different places, and groups of
//! several may come together in another run.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use millstream_api::Result;
use millstream_api::state::{StateReader, StateRows, StateWriter};

/// The name of the state.
pub(crate) const CLOSED: &str = "closed";

/// The first window or instant that may not be past, by key group; of those of which nothing is known none is.
#[derive(Debug, Default)]
pub(crate) struct Floors(BTreeMap<u16, i64>);

impl Floors {
    /// What a checkpoint says.
    pub(crate) fn read(state: &StateReader) -> Floors {
        let mut floors = BTreeMap::new();
        for rows in state.entries().get(CLOSED).into_iter().flatten() {
            let windows = rows.records.column(0).as_primitive::<Int64Type>().values();
            for (group, window) in rows.groups.iter().flat_map(|groups| groups.iter()).zip(windows) {
                let floor = floors.entry(*group).or_insert(*window);
                *floor = (*window).max(*floor);
            }
        }
        Floors(floors)
    }

    /// Whether some are known.
    pub(crate) fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// Writes them for these key groups; `cursor`: what is before it is past in all of them.
    pub(crate) fn write(&self, groups: impl Iterator<Item = u16>, cursor: i64, state: &mut StateWriter) -> Result<()> {
        let (groups, windows): (Vec<u16>, Vec<i64>) = groups.map(|group| (group, self.of(group).max(cursor))).unzip();
        let schema = Schema::new(vec![Field::new("window", DataType::Int64, false)]);
        let windows: ArrayRef = Arc::new(Int64Array::from(windows));
        state.put_keyed(CLOSED, &groups, &RecordBatch::try_new(Arc::new(schema), vec![windows])?)
    }

    /// The first window or instant of a group that may not be past.
    pub(crate) fn of(&self, group: u16) -> i64 {
        self.0.get(&group).copied().unwrap_or(i64::MIN)
    }

    /// The first window or instant that may not be past in some group, if all that are known are all that there are.
    pub(crate) fn least(&self) -> i64 {
        self.0.values().min().copied().unwrap_or(i64::MIN)
    }

    /// The rows of which none is past: `is_past` is asked with a row and the floor of its group.
    pub(crate) fn not_past(&self, rows: &StateRows, is_past: impl Fn(usize, i64) -> bool) -> Result<StateRows> {
        let Some(groups) = rows.groups.as_ref().filter(|_| !self.0.is_empty()) else { return Ok(rows.clone()) };
        let left: BooleanArray = groups.iter().enumerate().map(|(row, group)| Some(!is_past(row, self.of(*group)))).collect();
        if left.false_count() == 0 { Ok(rows.clone()) } else { rows.filter(&left) }
    }

    /// The second numbers of rows of panes, none before the floor of its group.
    pub(crate) fn raise(&self, rows: &StateRows, windows: &Int64Array) -> Int64Array {
        match &rows.groups {
            Some(groups) if !self.0.is_empty() => {
                windows.values().iter().zip(groups.iter()).map(|(window, group)| Some((*window).max(self.of(*group)))).collect()
            }
            _ => windows.clone(),
        }
    }
}

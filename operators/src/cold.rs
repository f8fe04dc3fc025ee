//! What an operator knows of its keys that are on disk, where event time ends something of them.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use millstream_api::state::{KEYS_ON_DISK, StateReader};
use millstream_api::{EventTime, Output, Result};

/// Its keys that have left memory.
#[derive(Debug, Default)]
pub(crate) struct Cold {
    rows: u64,
    next: Option<EventTime>,
    /// Up to which instant it has been asked what is due.
    asked: Option<EventTime>,
}

impl Cold {
    /// Those with which a run goes on from a checkpoint.
    pub(crate) fn at_start(state: &StateReader) -> Cold {
        let told = state.get(KEYS_ON_DISK).filter(|records| records.num_rows() > 0);
        let number = |records: &arrow::array::RecordBatch, column: usize| records.column(column).as_primitive::<Int64Type>().value(0);
        let told = told.map(|records| (EventTime(number(records, 0)), number(records, 2).unsigned_abs()));
        told.fold(Cold::default(), |mut cold, (next, rows)| {
            cold.left(rows, Some(next));
            cold
        })
    }

    /// All keys leave memory, with so many rows, of which the first is due at this instant.
    pub(crate) fn left(&mut self, rows: u64, next: Option<EventTime>) {
        self.rows += rows;
        self.next = self.next.into_iter().chain(next).min();
    }

    /// So many rows are in memory again.
    pub(crate) fn came_back(&mut self, rows: u64) {
        self.rows = self.rows.saturating_sub(rows);
    }

    /// How many rows are on disk.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// When something of them is due, or a little before.
    pub(crate) fn next(&self) -> Option<EventTime> {
        self.next
    }

    /// Whether the disk knows that all that is due up to an instant goes. Before that keys must not leave memory.
    pub(crate) fn has_asked(&self, until: EventTime) -> bool {
        self.asked >= Some(until)
    }

    /// The next keys of which something is due up to an instant. `None`: all have come.
    pub(crate) fn fetch_due(&mut self, until: EventTime, out: &mut Output) -> Result<Option<StateReader>> {
        self.asked = self.asked.max(Some(until));
        let due = out.fetch_due(until)?;
        self.rows = self.rows.saturating_sub(due.dropped_rows);
        if due.back.is_none() {
            self.next = due.next;
        }
        Ok(due.back)
    }
}

/// What a node that speaks at ticks of the clock knows of keys on disk of which there is something to say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ColdTicks {
    has_some: bool,
    goes_on: bool,
}

impl ColdTicks {
    /// There may be something to say of keys that are on disk.
    pub(crate) fn note(&mut self) {
        self.has_some = true;
    }

    /// Whether they want a tick.
    pub(crate) fn has_some(&self) -> bool {
        self.has_some
    }

    /// A tick has come: keys on disk follow those in memory. Also where none has left, since what is in memory is not any more as it was
    /// written once it has been said.
    pub(crate) fn begin(&mut self) {
        *self = ColdTicks { has_some: false, goes_on: true };
    }

    /// The next keys of which there is something to say, where a tick is under way. `None`: it is over.
    pub(crate) fn next(&mut self, out: &mut Output) -> Result<Option<StateReader>> {
        let state = if self.goes_on { out.fetch_touched()? } else { None };
        self.goes_on = state.is_some();
        Ok(state)
    }
}

//! Early rows: what is sent of windows that are open, at a frequency of the wall clock, and taken back when it has changed.
//!
//! The rows that were sent last are kept for each window, since only they say what is to be withdrawn. A tick looks only at
//! windows that rows came into since the one before. Keys leave memory with what was sent of them (see [`super::by_key`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int8Array, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat, concat_batches, filter};
use arrow::datatypes::{DataType, Field, Int64Type, SchemaRef};
use millstream_api::batch::{Hidden, Windows};
use millstream_api::key_group::key_groups;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::time::ClockTime;
use millstream_api::window::Window;
use millstream_api::{Batch, Output, Result};
use millstream_expr::Interner;

use super::program::{Program, differences};
use super::state::{by_pane, check_columns, standing_schema};
use super::windows::{DueWindow, OpenPanes, PaneKey};
use crate::cold::ColdTicks;
use crate::columns::records;

/// The name of the state.
pub(super) const SENT: &str = "sent";

/// What one subtask has sent early, and is about to.
pub(super) struct Early {
    /// In microseconds.
    every: i64,
    sent: Sent,
    /// The panes in memory that rows came into since the last tick.
    changed: BTreeSet<PaneKey>,
    /// What there is to say of keys that have left memory.
    pub(super) cold: ColdTicks,
    /// The windows whose rows are to be sent at this tick.
    due: VecDeque<DueWindow>,
    key_groups: u16,
}

/// The rows that stand for each window, by its end and start: some after the other, as they came back to memory.
pub(super) type Sent = BTreeMap<(i64, i64), Vec<Rows>>;

/// Rows with their keys, which may be other columns.
pub(super) struct Rows {
    pub(super) keys: Vec<ArrayRef>,
    pub(super) records: RecordBatch,
}

impl Rows {
    /// The rows where `wanted` is true, of which these are the records already.
    pub(super) fn wanted(keys: Vec<ArrayRef>, wanted: Option<&BooleanArray>, records: RecordBatch) -> Result<Rows> {
        let keys = match wanted {
            None => keys,
            Some(wanted) => keys.iter().map(|key| Ok(filter(key, wanted)?)).collect::<Result<_>>()?,
        };
        Ok(Rows { keys, records })
    }
}

/// The first multiple of `every` after `now`.
pub(super) fn next_tick(now: ClockTime, every: i64) -> ClockTime {
    ClockTime((now.0.div_euclid(every) + 1).saturating_mul(every))
}

impl Early {
    /// Nothing sent.
    pub(super) fn new(every: i64, key_groups: u16) -> Early {
        Early {
            every: every.max(1),
            sent: Sent::new(),
            changed: BTreeSet::new(),
            cold: ColdTicks::default(),
            due: VecDeque::new(),
            key_groups,
        }
    }

    /// Notes that rows came into panes.
    pub(super) fn note(&mut self, panes: impl IntoIterator<Item = PaneKey>) {
        self.changed.extend(panes);
    }

    /// All keys leave memory.
    pub(super) fn forget(&mut self) {
        self.sent.clear();
        if !std::mem::take(&mut self.changed).is_empty() {
            self.cold.note();
        }
    }

    /// Puts other rows that stand in the place of those that are here.
    pub(super) fn swap_sent(&mut self, sent: Sent) -> Sent {
        std::mem::replace(&mut self.sent, sent)
    }

    /// Adds rows that stand.
    pub(super) fn add_sent(&mut self, sent: Sent) {
        for (window, rows) in sent {
            self.sent.entry(window).or_default().extend(rows);
        }
    }

    /// The windows of all panes are due.
    pub(super) fn look_at_all(&mut self, open: &OpenPanes) {
        self.due = open.windows_of(open.keys().collect()).into();
    }

    /// Whether some are.
    pub(super) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Asks to be woken for the next tick, if there is anything to say then.
    pub(super) fn ask(&self, out: &mut Output) {
        if !self.changed.is_empty() || self.cold.has_some() {
            out.wake_at(next_tick(out.now(), self.every));
        }
    }

    /// It is time: the windows that have changed are due.
    pub(super) fn tick(&mut self, open: &OpenPanes) {
        self.due = open.windows_of(std::mem::take(&mut self.changed)).into();
        self.cold.begin();
    }

    /// The next window whose rows are due.
    pub(super) fn next_due(&mut self) -> Option<DueWindow> {
        self.due.pop_front()
    }

    /// What the rows of a window change of those that were sent; these are kept as the ones that stand.
    pub(super) fn replace(&mut self, window: Window, rows: Rows, program: &Program) -> Result<Option<Batch>> {
        let old = self.take_sent(window, program)?;
        let changes = changes(old.as_ref(), &rows, window, program)?;
        if rows.records.num_rows() > 0 {
            self.sent.insert((window.1, window.0), vec![rows]);
        }
        Ok(changes)
    }

    /// What the last rows of a window change of those that were sent.
    pub(super) fn finish(&mut self, window: Window, rows: &Rows, program: &Program) -> Result<Option<Batch>> {
        let old = self.take_sent(window, program)?;
        changes(old.as_ref(), rows, window, program)
    }

    /// Takes out the rows that stand for a window.
    fn take_sent(&mut self, window: Window, program: &Program) -> Result<Option<Rows>> {
        self.sent.remove(&(window.1, window.0)).map(|sent| together(sent, program)).transpose()
    }

    /// Writes the rows that stand.
    pub(super) fn snapshot(&mut self, program: &Program, state: &mut StateWriter) -> Result<()> {
        let schema = state_schema(program);
        for (&(end, start), sent) in &mut self.sent {
            *sent = vec![together(std::mem::take(sent), program)?];
            let Some(sent) = sent.first() else { continue };
            let rows = sent.records.num_rows();
            let bounds = [end, start].map(|bound| Arc::new(Int64Array::from_value(bound, rows)) as ArrayRef);
            let columns = bounds.into_iter().chain(sent.keys.iter().cloned()).chain(sent.records.columns().iter().cloned());
            let groups = key_groups(&sent.keys, rows, self.key_groups)?;
            state.put_keyed(SENT, &groups, &RecordBatch::try_new(schema.clone(), columns.collect())?)?;
        }
        Ok(())
    }

    /// Takes back what [`snapshot`](Early::snapshot) wrote.
    pub(super) fn restore(&mut self, program: &Program, state: &StateReader) -> Result<()> {
        for saved in state.entries().get(SENT).into_iter().flatten() {
            check_columns(&saved.records.schema(), &state_schema(program))?;
            let saved = by_pane(saved)?.records;
            let bound = |column: usize| saved.column(column).as_primitive::<Int64Type>().values().to_vec();
            let windows: Vec<(i64, i64)> = bound(0).into_iter().zip(bound(1)).collect();
            let mut from = 0;
            for same in windows.chunk_by(|one, other| one == other) {
                self.add(same[0], &saved.slice(from, same.len()), program)?;
                from += same.len();
            }
        }
        Ok(())
    }

    fn add(&mut self, window: (i64, i64), saved: &RecordBatch, program: &Program) -> Result<()> {
        let keys = program.key_types().len();
        let records = records(program.output(), saved.columns()[2 + keys..].to_vec(), saved.num_rows())?;
        let rows = Rows { keys: saved.columns()[2..2 + keys].to_vec(), records };
        self.sent.entry(window).or_default().push(rows);
        Ok(())
    }

    /// Memory in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        let of =
            |rows: &Rows| rows.records.get_array_memory_size() + rows.keys.iter().map(|key| key.get_array_memory_size()).sum::<usize>();
        self.sent.values().flatten().map(of).sum()
    }
}

/// Rows that stand for a window as one.
fn together(mut sent: Vec<Rows>, program: &Program) -> Result<Rows> {
    if sent.len() == 1
        && let Some(only) = sent.pop()
    {
        return Ok(only);
    }
    let keys = (0..program.key_types().len()).map(|key| {
        let pieces: Vec<&dyn Array> = sent.iter().map(|rows| rows.keys[key].as_ref()).collect();
        Ok(concat(&pieces)?)
    });
    let keys = keys.collect::<Result<_>>()?;
    Ok(Rows { keys, records: concat_batches(program.output(), sent.iter().map(|rows| &rows.records))? })
}

fn state_schema(program: &Program) -> SchemaRef {
    standing_schema(["end", "start"].map(|name| Field::new(name, DataType::Int64, false)), program)
}

/// The withdrawals of old rows, each followed by the new row of its key; `None`: nothing has changed.
fn changes(old: Option<&Rows>, new: &Rows, window: Window, program: &Program) -> Result<Option<Batch>> {
    let (mut indices, mut weights): (Vec<u32>, Vec<i8>) = (Vec::new(), Vec::new());
    let before = match old {
        Some(rows) => rows.records.clone(),
        None => RecordBatch::new_empty(program.output().clone()),
    };
    let differs = differences(&before, &new.records)?;
    let offset = before.num_rows() as u32;
    for (old, new) in pairs(old, new, program)? {
        if let (Some(old), Some(new)) = (old, new)
            && !differs(old as usize, new as usize)
        {
            continue;
        }
        for (row, weight) in [(old, -1), (new.map(|new| offset + new), 1)] {
            indices.extend(row);
            weights.extend(row.map(|_| weight));
        }
    }
    if indices.is_empty() {
        return Ok(None);
    }
    let all = Batch::plain(concat_batches(program.output(), [&before, &new.records])?);
    let rows = all.take(&UInt32Array::from(indices))?;
    let constant = |value: i64| Int64Array::from_value(value, rows.rows());
    let hidden = Hidden {
        times: Some(constant(window.1.saturating_sub(1))),
        weights: Some(Int8Array::from(weights)),
        windows: Some(Windows { start: constant(window.0), end: constant(window.1) }),
        ..Hidden::default()
    };
    Ok(Some(rows.with_hidden(hidden)?))
}

/// The old and the new row of each key that has one.
fn pairs(old: Option<&Rows>, new: &Rows, program: &Program) -> Result<Vec<(Option<u32>, Option<u32>)>> {
    let mut interner = Interner::new(program.key_types())?;
    let mut ids = Vec::new();
    let mut pairs = Vec::new();
    if let Some(old) = old {
        interner.intern(&old.keys, old.records.num_rows(), &mut ids)?;
        pairs = vec![(None, None); interner.total()];
        ids.iter().enumerate().for_each(|(row, &id)| pairs[id].0 = Some(row as u32));
    }
    interner.intern(&new.keys, new.records.num_rows(), &mut ids)?;
    pairs.resize(interner.total(), (None, None));
    ids.iter().enumerate().for_each(|(row, &id)| pairs[id].1 = Some(row as u32));
    Ok(pairs)
}

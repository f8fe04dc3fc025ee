//! Early rows of sessions: what stands downstream for each session that is open, until it changes or closes.
//!
//! A session is known by its slot in the timeline. Where two sessions have become one, what was sent for both is withdrawn
//! when the one row of the new session comes.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int8Array, Int64Array, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use hashbrown::{HashMap, HashSet};
use millstream_api::batch::{Hidden, Windows};
use millstream_api::key_group::key_groups;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::time::ClockTime;
use millstream_api::{Batch, EventTime, Output, Result};
use millstream_expr::Interner;

use super::early::{SENT, next_tick};
use super::program::{Program, differences};
use super::state::{check_columns, standing_schema};
use super::timeline::Timeline;
use crate::cold::ColdTicks;
use crate::columns::records;

/// The columns before those that leave: the bounds of the session.
const BOUNDS: usize = 2;

/// Where a row that was sent is kept: its chunk and its place there.
type Place = (usize, usize);

/// What was sent of open sessions.
pub(super) struct EarlySessions {
    /// In microseconds.
    every: i64,
    next: Option<ClockTime>,
    /// The slots of sessions that have changed since the last tick.
    changed: HashSet<usize>,
    /// The rows that stand for each slot.
    standing: HashMap<usize, Vec<Place>>,
    /// Bounds and rows, with some that no longer stand.
    chunks: Vec<RecordBatch>,
    /// What there is to say of keys that have left memory.
    pub(super) cold: ColdTicks,
    schema: SchemaRef,
    key_groups: u16,
}

/// The rows of some sessions as they are now.
pub(super) struct Now<'a> {
    pub(super) slots: &'a [usize],
    pub(super) records: RecordBatch,
    pub(super) windows: &'a Windows,
    /// For each slot, its row among the records.
    pub(super) places: Vec<Option<usize>>,
    /// Whether these are their last rows.
    pub(super) last: bool,
    /// The watermark that this node passes on. A session that has grown since may have been sent with an end before it.
    pub(super) watermark: EventTime,
}

impl EarlySessions {
    /// Nothing sent.
    pub(super) fn new(every: i64, program: &Program, key_groups: u16) -> EarlySessions {
        let bounds = ["start", "end"].map(|name| Field::new(name, DataType::Int64, false));
        let fields: Vec<_> = bounds.into_iter().map(Arc::new).chain(program.output().fields().iter().cloned()).collect();
        EarlySessions {
            every: every.max(1),
            next: None,
            changed: HashSet::new(),
            standing: HashMap::new(),
            chunks: Vec::new(),
            cold: ColdTicks::default(),
            schema: Arc::new(Schema::new(fields)),
            key_groups,
        }
    }

    /// Notes that rows came into sessions, and which ones were joined to others.
    pub(super) fn note(&mut self, slots: &[usize], joined: &[(usize, usize)]) {
        self.changed.extend(slots);
        for (gone, into) in joined {
            self.changed.remove(gone);
            if let Some(rows) = self.standing.remove(gone) {
                self.standing.entry(*into).or_default().extend(rows);
            }
        }
    }

    /// Asks to be woken for the next tick, if there is anything to say then.
    pub(super) fn ask(&mut self, out: &mut Output) {
        if !self.changed.is_empty() || self.cold.has_some() {
            let every = self.every;
            out.wake_at(*self.next.get_or_insert_with(|| next_tick(out.now(), every)));
        }
    }

    /// It is time: the slots of the sessions that have changed.
    pub(super) fn tick(&mut self) -> HashSet<usize> {
        self.next = None;
        self.cold.begin();
        std::mem::take(&mut self.changed)
    }

    /// All keys leave memory.
    pub(super) fn forget(&mut self) {
        if !self.changed.is_empty() {
            self.cold.note();
        }
        (self.changed, self.standing, self.chunks) = (HashSet::new(), HashMap::new(), Vec::new());
    }

    /// What the rows of some sessions change of those that stand.
    pub(super) fn replace(&mut self, now: Now<'_>) -> Result<Option<Batch>> {
        let bounds = [&now.windows.start, &now.windows.end].map(|bound| Arc::new(bound.clone()) as ArrayRef);
        let columns = bounds.into_iter().chain(now.records.columns().iter().cloned()).collect();
        self.chunks.push(records(&self.schema, columns, now.records.num_rows())?);
        let new_chunk = self.chunks.len() - 1;
        let olds: Vec<Vec<Place>> = now.slots.iter().map(|slot| self.standing.remove(slot).unwrap_or_default()).collect();
        let firsts: Vec<Place> = olds.iter().filter_map(|olds| olds.first().copied()).collect();
        let differs = differences(&self.rows(&firsts)?, &self.chunks[new_chunk])?;
        let (mut places, mut weights): (Vec<Place>, Vec<i8>) = (Vec::new(), Vec::new());
        let mut first = 0..;
        for ((slot, new), olds) in now.slots.iter().zip(&now.places).zip(olds) {
            let first = if olds.is_empty() { None } else { first.next() };
            let stays = olds.len() == 1 && first.zip(*new).is_some_and(|(old, new)| !differs(old, new));
            let new = if stays { None } else { new.map(|row| (new_chunk, row)) };
            let gone = if stays { &[] } else { olds.as_slice() };
            places.extend(gone.iter().copied().chain(new));
            weights.extend(gone.iter().map(|_| -1).chain(new.map(|_| 1)));
            if now.last {
                self.changed.remove(slot);
            } else if stays {
                self.standing.insert(*slot, olds);
            } else if let Some(new) = new {
                self.standing.insert(*slot, vec![new]);
            }
        }
        let changes = if places.is_empty() { None } else { Some(self.changes(&places, weights, now.watermark)?) };
        self.compact()?;
        Ok(changes)
    }

    fn changes(&self, places: &[Place], weights: Vec<i8>, watermark: EventTime) -> Result<Batch> {
        let rows = self.rows(places)?;
        let bound = |column: usize| rows.column(column).as_primitive::<Int64Type>().clone();
        let windows = Windows { start: bound(0), end: bound(1) };
        let times: Int64Array = windows.end.unary(|end: i64| end.saturating_sub(1));
        // New rows end after the watermark; old ones are withdrawn with the time that they had.
        let behind = |(time, weight): (&i64, &i8)| *weight < 0 && *time < watermark.0;
        let marks: Vec<i64> = times.values().iter().zip(&weights).map(|row| if behind(row) { watermark.0 } else { i64::MIN }).collect();
        let hidden = Hidden {
            marks: marks.iter().any(|mark| *mark != i64::MIN).then(|| Int64Array::from(marks)),
            times: Some(times),
            weights: Some(Int8Array::from(weights)),
            windows: Some(windows),
            ..Hidden::default()
        };
        let columns: Vec<usize> = (BOUNDS..self.schema.fields().len()).collect();
        Batch::new(rows.project(&columns)?, hidden)
    }

    fn rows(&self, places: &[Place]) -> Result<RecordBatch> {
        if places.is_empty() {
            return Ok(RecordBatch::new_empty(self.schema.clone()));
        }
        let chunks: Vec<&RecordBatch> = self.chunks.iter().collect();
        Ok(interleave_record_batch(&chunks, places)?)
    }

    /// Puts the rows that stand together, once they are the smaller part of what is kept.
    fn compact(&mut self) -> Result<()> {
        /// Below this it is not worth the trouble.
        const FEW: usize = 1024;
        let kept: usize = self.chunks.iter().map(RecordBatch::num_rows).sum();
        let standing: usize = self.standing.values().map(Vec::len).sum();
        if kept.max(FEW) <= 2 * standing + FEW && self.chunks.len() < FEW {
            return Ok(());
        }
        let places: Vec<Place> = self.standing.values().flatten().copied().collect();
        self.chunks = vec![self.rows(&places)?];
        self.standing.values_mut().flatten().enumerate().for_each(|(row, place)| *place = (0, row));
        Ok(())
    }

    /// The slots have been numbered anew: these are the old ones in the order of the new ones.
    pub(super) fn renumber(&mut self, old: &[usize]) {
        let new: HashMap<usize, usize> = old.iter().enumerate().map(|(new, &old)| (old, new)).collect();
        self.changed = self.changed.iter().filter_map(|slot| new.get(slot).copied()).collect();
        self.standing = self.standing.drain().filter_map(|(slot, rows)| Some((*new.get(&slot)?, rows))).collect();
    }

    /// Writes the rows that stand, with the keys of their sessions.
    pub(super) fn snapshot(&self, program: &Program, timeline: &Timeline, interner: &Interner, state: &mut StateWriter) -> Result<()> {
        let (mut ids, mut places) = (Vec::new(), Vec::new());
        for (key, session) in timeline.iter() {
            let rows = self.standing.get(&session.slot).map_or(&[] as &[Place], Vec::as_slice);
            ids.extend(rows.iter().map(|_| key));
            places.extend(rows);
        }
        if places.is_empty() {
            return Ok(());
        }
        let (keys, rows) = (interner.columns(&ids)?, self.rows(&places)?);
        let groups = key_groups(&keys, ids.len(), self.key_groups)?;
        let columns = rows.columns()[..BOUNDS].iter().chain(&keys).chain(&rows.columns()[BOUNDS..]).cloned().collect();
        state.put_keyed(SENT, &groups, &RecordBatch::try_new(self.saved_schema(program), columns)?)
    }

    /// Takes back what [`snapshot`](EarlySessions::snapshot) wrote, once the sessions are there.
    pub(super) fn restore(&mut self, program: &Program, timeline: &Timeline, interner: &mut Interner, state: &StateReader) -> Result<()> {
        let keys = program.key_types().len();
        for saved in state.get(SENT) {
            check_columns(&saved.schema(), &self.saved_schema(program))?;
            let mut ids = Vec::new();
            interner.intern(&saved.columns()[BOUNDS..BOUNDS + keys], saved.num_rows(), &mut ids)?;
            let columns = saved.columns()[..BOUNDS].iter().chain(&saved.columns()[BOUNDS + keys..]).cloned().collect();
            self.chunks.push(records(&self.schema, columns, saved.num_rows())?);
            let starts: &Int64Array = saved.column(0).as_primitive::<Int64Type>();
            for (row, &key) in ids.iter().enumerate() {
                if let Some(slot) = timeline.slot_at(key, starts.value(row)) {
                    self.standing.entry(slot).or_default().push((self.chunks.len() - 1, row));
                }
            }
        }
        Ok(())
    }

    fn saved_schema(&self, program: &Program) -> SchemaRef {
        standing_schema(self.schema.fields()[..BOUNDS].iter().map(|field| field.as_ref().clone()), program)
    }

    /// Memory in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(RecordBatch::get_array_memory_size).sum();
        let slots = self.changed.capacity() + 4 * self.standing.capacity();
        chunks + slots * size_of::<usize>() + self.standing.len() * size_of::<Place>()
    }
}

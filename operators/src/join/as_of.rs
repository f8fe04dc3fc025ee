//! Mode `as_of`: each row of the left side with the version of the right side that was valid at its time.
//!
//! A row of the left side waits until the watermark has passed it: then every version that is not younger has come, in whatever
//! order, and the answer is final. Of each key those versions are kept that the watermark has not passed, and the newest one
//! of the others. A further condition is asked of the version that was found; it does not look for another one.

mod saved;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt32Type};
use millstream_api::batch::{Hidden, Origin};
use millstream_api::key_group::owned_groups;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::{Batch, Error, EventTime, Operator, Output, Progress, Result};
use millstream_expr::Interner;

use super::by_key::ByKey;
use super::by_time::ByTime;
use super::factory::Told;
use super::pairs::{Keys, Pairs, Picked, Rows};
use super::plan::Design;
use super::probe::{NO_KEY, numbers, release};
use super::rows::KeptRows;
use super::{Kind, LATE, MAIN};
use crate::columns::records;
use crate::late::LateRows;
use crate::narrow::Narrow;
use crate::order::RowSorter;

/// One subtask.
pub(super) struct AsOfJoin {
    kind: Kind,
    keys: [Keys; 2],
    late: [LateRows; 2],
    narrow: [Narrow; 2],
    interner: Interner,
    pairs: Pairs,
    waiting: Waiting,
    versions: Versions,
    watermark: EventTime,
    read: bool,
    key_groups: u16,
    /// The key groups that are its own.
    groups: Range<u16>,
    batch_rows: usize,
}

/// Rows of the left side that the watermark has not passed.
struct Waiting {
    rows: KeptRows,
    /// Number of the key and of the row, by time.
    due: ByTime<(usize, u64)>,
    /// How many there are of each key.
    of_key: Vec<u32>,
    /// Rows before this number have been written for a checkpoint.
    written: u64,
}

/// Rows of the right side.
struct Versions {
    rows: KeptRows,
    by_key: ByKey<Version>,
    /// The keys of all versions, by time.
    due: ByTime<usize>,
    tie_bytes: usize,
    sorter: RowSorter,
    /// Whether equal times are decided by split and position, which then are the last two columns that are kept.
    origin: bool,
    /// Number and time of those that have come since they were last written for a checkpoint; `None`: nobody asks.
    new: Option<Vec<(u64, i64)>>,
}

/// A row of the right side.
struct Version {
    time: i64,
    /// What decides between versions of the same time.
    tie: Box<[u8]>,
    number: u64,
}

impl AsOfJoin {
    /// A subtask without state.
    pub(super) fn new(design: &Design, told: Told<'_>) -> Result<Self> {
        let (coming, context) = (told.coming, &told.kept);
        let keys = [Keys::new(design, context, 0)?, Keys::new(design, context, 1)?];
        Ok(AsOfJoin {
            kind: design.kind,
            interner: Interner::new(&keys[0].types)?,
            keys,
            late: [LateRows::new(coming, 0, LATE)?, LateRows::new(coming, 1, LATE + 1)?],
            pairs: Pairs::new(design, context)?,
            waiting: Waiting::new(&context.inputs[0].schema),
            versions: Versions::new(design, &context.inputs[1].schema)?,
            watermark: EventTime::MIN,
            read: context.outputs[MAIN].read,
            key_groups: context.key_groups,
            groups: owned_groups(context.subtask, context.parallelism, context.key_groups),
            batch_rows: context.batch_rows.max(1),
            narrow: told.narrow,
        })
    }

    /// Answers what the watermark has passed, then forgets the versions that nobody can ask for any more.
    fn go_on(&mut self, out: &mut Output) -> Result<Progress> {
        loop {
            if out.is_full() {
                return Ok(Progress::More);
            }
            if !self.answer(out)? {
                break;
            }
        }
        while let Some(keys) = self.versions.forget(self.watermark, self.batch_rows)? {
            self.release(keys);
        }
        Ok(Progress::Done)
    }

    /// Answers the next rows of the left side that are due; false when there are none.
    fn answer(&mut self, out: &mut Output) -> Result<bool> {
        let due = self.waiting.take(self.watermark, self.batch_rows);
        if due.is_empty() {
            return Ok(false);
        }
        let (mut with, mut without): (Vec<Asked>, Vec<Asked>) = due
            .iter()
            .map(|&(time, (key, number))| Asked { time, number, version: self.versions.at(key, time) })
            .partition(|asked| asked.version.is_some());
        if !with.is_empty() {
            let [left, right] = [self.waiting.gather(&with)?, self.versions.gather(&with)?];
            let both = |from| Picked { from, rows: [Rows::All, Rows::All], window: None };
            match self.pairs.fulfil(&both([&left, &right]), out)? {
                None if self.kind.pairs() => self.send(&both([&left, &right]), &with, out)?,
                mask => {
                    let holds = |row: usize| mask.as_ref().is_none_or(|mask| mask.value(row));
                    let chosen: Vec<u32> = (0..with.len() as u32).filter(|&row| holds(row as usize)).collect();
                    without.extend((0..with.len()).filter(|&row| !holds(row)).map(|row| with[row]));
                    with = chosen.iter().map(|&row| with[row as usize]).collect();
                    let chosen = UInt32Array::from(chosen);
                    let rows = [Rows::At(&chosen), if self.kind.pairs() { Rows::At(&chosen) } else { Rows::None }];
                    if self.kind != Kind::Anti {
                        self.send(&Picked { rows, ..both([&left, &right]) }, &with, out)?;
                    }
                }
            }
        }
        if self.kind.alone(0) && !without.is_empty() {
            let left = self.waiting.gather(&without)?;
            self.send(&Picked { from: [&left, &left], rows: [Rows::All, Rows::None], window: None }, &without, out)?;
        }
        self.waiting.forget(&due)?;
        self.release(due.into_iter().map(|(_, (key, _))| key).filter(|&key| key != NO_KEY).collect());
        Ok(true)
    }

    fn send(&self, picked: &Picked<'_>, asked: &[Asked], out: &mut Output) -> Result<()> {
        if asked.is_empty() || !self.read {
            return Ok(());
        }
        self.pairs.send(picked, Int64Array::from_iter_values(asked.iter().map(|asked| asked.time)), out)
    }

    /// Forgets those of these keys that neither a row nor a version has.
    fn release(&mut self, keys: Vec<usize>) {
        let unused = |key: usize| self.versions.by_key.of(key).is_none() && self.waiting.of_key.get(key).is_none_or(|rows| *rows == 0);
        release(&mut self.interner, &self.keys[0], keys, unused);
    }
}

/// A row of the left side and the version that was valid.
#[derive(Clone, Copy)]
struct Asked {
    time: i64,
    number: u64,
    version: Option<u64>,
}

impl Waiting {
    fn new(schema: &SchemaRef) -> Waiting {
        Waiting { rows: KeptRows::new(schema.clone()), due: ByTime::new(), of_key: Vec::new(), written: 0 }
    }

    fn keep(&mut self, rows: &RecordBatch, stamps: &[(usize, i64)]) -> Result<()> {
        let first = self.rows.add(rows)?;
        for &(key, _) in stamps.iter().filter(|(key, _)| *key != NO_KEY) {
            if self.of_key.len() <= key {
                self.of_key.resize(key + 1, 0);
            }
            self.of_key[key] += 1;
        }
        self.due.add(stamps.iter().zip(first..).map(|(&(key, time), number)| (time, (key, number))).collect());
        Ok(())
    }

    fn take(&mut self, watermark: EventTime, limit: usize) -> Vec<(i64, (usize, u64))> {
        self.due.take(limit, |time| is_passed(time, watermark))
    }

    fn gather(&self, asked: &[Asked]) -> Result<RecordBatch> {
        self.rows.gather(&asked.iter().map(|asked| asked.number).collect::<Vec<_>>())
    }

    fn forget(&mut self, answered: &[(i64, (usize, u64))]) -> Result<()> {
        for (_, (key, number)) in answered {
            if let Some(rows) = self.of_key.get_mut(*key) {
                *rows -= 1;
            }
            self.rows.remove(*number);
        }
        self.rows.tidy()
    }
}

impl Versions {
    fn new(design: &Design, input: &SchemaRef) -> Result<Versions> {
        let origin = [Field::new("(split)", DataType::UInt32, false), Field::new("(position)", DataType::Int64, false)];
        let origin = origin.into_iter().filter(|_| design.ties.origin).map(Arc::new);
        let kept = Schema::new(input.fields().iter().cloned().chain(origin).collect::<Vec<_>>());
        Ok(Versions {
            rows: KeptRows::new(Arc::new(kept)),
            by_key: ByKey::new(),
            due: ByTime::new(),
            tie_bytes: 0,
            sorter: RowSorter::new(&[], &design.ties, input)?,
            origin: design.ties.origin,
            new: None,
        })
    }

    /// The columns that are kept of a batch.
    fn kept(&self, batch: &Batch) -> Result<RecordBatch> {
        let mut columns = batch.records().columns().to_vec();
        if self.origin {
            let origin = batch.hidden().origin.clone();
            let origin = origin.ok_or_else(|| Error::internal("versions do not carry their origin"))?;
            columns.extend([Arc::new(origin.split) as ArrayRef, Arc::new(origin.position)]);
        }
        records(self.rows.schema(), columns, batch.rows())
    }

    /// Rows as they came, from the columns that are kept.
    fn batch(&self, input: &SchemaRef, kept: &RecordBatch) -> Result<Batch> {
        let columns = kept.columns();
        let own = columns.len() - if self.origin { 2 } else { 0 };
        let origin = self.origin.then(|| Origin {
            split: columns[own].as_primitive::<UInt32Type>().clone(),
            position: columns[own + 1].as_primitive::<Int64Type>().clone(),
        });
        Batch::new(records(input, columns[..own].to_vec(), kept.num_rows())?, Hidden { origin, ..Hidden::default() })
    }

    /// Keeps versions, each with its key and time. Without a key none is ever asked for.
    fn keep(&mut self, batch: &Batch, keys: &[usize], times: &[i64]) -> Result<()> {
        let keyed = (0..keys.len() as u32).filter(|&row| keys[row as usize] != NO_KEY).collect::<Vec<_>>();
        let batch = batch.take(&UInt32Array::from(keyed.clone()))?;
        let ties = self.sorter.sortable(&batch, &mut Vec::new())?;
        let first = self.rows.add(&self.kept(&batch)?)?;
        let mut due = Vec::with_capacity(keyed.len());
        for (place, row) in keyed.into_iter().map(|row| row as usize).enumerate() {
            let version = Version { time: times[row], tie: ties.value(place).into(), number: first + place as u64 };
            self.tie_bytes += version.tie.len();
            self.by_key.insert(keys[row], version, |other, new| (other.time, &other.tie) <= (new.time, &new.tie));
            due.push((times[row], keys[row]));
            if let Some(new) = &mut self.new {
                new.push((first + place as u64, times[row]));
            }
        }
        self.due.add(due);
        Ok(())
    }

    /// The version of a key that is valid at this time.
    fn at(&self, key: usize, time: i64) -> Option<u64> {
        let versions = self.by_key.of(key)?;
        let valid = versions.partition_point(|version| version.time <= time).checked_sub(1)?;
        versions.get(valid).map(|version| version.number)
    }

    fn gather(&self, asked: &[Asked]) -> Result<RecordBatch> {
        self.rows.gather(&asked.iter().filter_map(|asked| asked.version).collect::<Vec<_>>())
    }

    /// Forgets versions that are followed by one that the watermark has passed too: of the next `limit` that it has passed. The
    /// result is the keys that were looked at; none when all is done. At the end nobody can ask for any.
    fn forget(&mut self, watermark: EventTime, limit: usize) -> Result<Option<Vec<usize>>> {
        if watermark == EventTime::MAX {
            self.rows = KeptRows::new(self.rows.schema().clone());
            (self.by_key, self.due, self.tie_bytes) = (ByKey::new(), ByTime::new(), 0);
            self.new = self.new.as_ref().map(|_| Vec::new());
        }
        let passed = self.due.take(limit, |time| is_passed(time, watermark));
        if passed.is_empty() {
            return Ok(None);
        }
        for &(_, key) in &passed {
            let is_followed = |versions: &VecDeque<Version>| versions.get(1).is_some_and(|next| is_passed(next.time, watermark));
            while self.by_key.of(key).is_some_and(is_followed) {
                if let Some(version) = self.by_key.pop_first(key) {
                    self.tie_bytes -= version.tie.len();
                    self.rows.remove(version.number);
                }
            }
        }
        self.rows.tidy()?;
        self.tidy_new();
        Ok(Some(passed.into_iter().map(|(_, key)| key).collect()))
    }
}

/// Whether no more rows of this time can come.
fn is_passed(time: i64, watermark: EventTime) -> bool {
    watermark == EventTime::MAX || time < watermark.0
}

impl Operator for AsOfJoin {
    fn on_batch(&mut self, input: usize, batch: Batch, out: &mut Output) -> Result<()> {
        let batch = self.late[input].without(batch, out.watermark().max(self.watermark), out)?;
        let (batch, columns) = self.keys[input].of_kept(&batch, &self.narrow[input], out)?;
        out.fates().taken += batch.rows() as u64;
        let times = batch.times().ok_or_else(|| Error::internal("rows of an as-of join have no time"))?;
        let keys = numbers(&mut self.interner, &self.keys[input], &columns, batch.rows())?;
        if input == 1 {
            return self.versions.keep(&batch, &keys, times);
        }
        let waits: Vec<u32> = (0..keys.len() as u32).filter(|&row| keys[row as usize] != NO_KEY || self.kind.alone(0)).collect();
        let stamps: Vec<(usize, i64)> = waits.iter().map(|&row| (keys[row as usize], times[row as usize])).collect();
        self.waiting.keep(batch.take(&UInt32Array::from(waits))?.records(), &stamps)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        self.watermark = self.watermark.max(watermark);
        self.go_on(out).map(|_| ())
    }

    fn resume(&mut self, out: &mut Output) -> Result<Progress> {
        self.go_on(out)
    }

    fn snapshot(&mut self, state: &mut StateWriter) -> Result<()> {
        self.waiting.written = 0;
        let versions = self.versions.all();
        self.save(versions, state)
    }

    /// What is past is known by its time, so that nothing else of what was written changes.
    fn note_changes(&mut self) -> bool {
        self.versions.new = Some(Vec::new());
        true
    }

    fn snapshot_changes(&mut self, state: &mut StateWriter) -> Result<()> {
        let versions = self.versions.not_written();
        self.save(versions, state)
    }

    fn restore(&mut self, state: &StateReader) -> Result<()> {
        self.load(state)
    }

    fn waits_for(&self) -> Option<EventTime> {
        self.waiting.due.first().map(|time| EventTime(time.saturating_add(1)))
    }

    fn rows_in_state(&self) -> u64 {
        (self.waiting.rows.len() + self.versions.rows.len()) as u64
    }

    fn state_bytes(&self) -> usize {
        let waiting = self.waiting.rows.size_bytes() + self.waiting.due.size_bytes() + self.waiting.of_key.capacity() * size_of::<u32>();
        let new = self.versions.new.as_ref().map_or(0, |new| new.capacity() * size_of::<(u64, i64)>());
        let versions = self.versions.rows.size_bytes() + self.versions.by_key.size_bytes() + self.versions.due.size_bytes() + new;
        self.interner.size_bytes() + waiting + versions + self.versions.tie_bytes
    }
}

//! One side of an interval join: the rows of it that wait, by key and by time.

use arrow::array::RecordBatch;
use millstream_api::{EventTime, Result};

use crate::join::LATE;
use crate::join::by_key::ByKey;
use crate::join::by_time::ByTime;
use crate::join::factory::Told;
use crate::join::pairs::Keys;
use crate::join::plan::Design;
use crate::join::rows::{KeptRows, Picks};
use crate::late::LateRows;
use crate::narrow::Narrow;

/// One side: what comes in, and what waits.
pub(super) struct Side {
    pub(super) keys: Keys,
    pub(super) late: LateRows,
    pub(super) narrow: Narrow,
    pub(super) rows: KeptRows,
    pub(super) by_key: ByKey<Stamp>,
    /// The keys of all rows, by time.
    pub(super) due: ByTime<usize>,
    /// How far before and after a row's time its partners may be.
    pub(super) span: [i64; 2],
    /// Rows before this number have been written for a checkpoint.
    pub(super) written: u64,
}

/// A row that waits.
#[derive(Clone, Copy)]
pub(super) struct Stamp {
    pub(super) time: i64,
    pub(super) number: u64,
    pub(super) matched: bool,
}

/// A row of the batch at hand, and its partner's place in the list of their key.
pub(super) struct Found {
    pub(super) own: u32,
    pub(super) key: usize,
    pub(super) place: usize,
}

impl Side {
    /// No rows.
    pub(super) fn new(design: &Design, told: &Told<'_>, side: usize, span: [i64; 2]) -> Result<Side> {
        Ok(Side {
            keys: Keys::new(design, &told.kept, side)?,
            late: LateRows::new(told.coming, side, LATE + side)?,
            narrow: told.narrow[side].clone(),
            rows: KeptRows::new(told.narrow[side].schema().clone()),
            by_key: ByKey::new(),
            due: ByTime::new(),
            span,
            written: 0,
        })
    }

    /// Lets go of all rows.
    pub(super) fn clear(&mut self) {
        self.rows = KeptRows::new(self.rows.schema().clone());
        (self.by_key, self.due, self.written) = (ByKey::new(), ByTime::new(), 0);
    }

    /// Until when the first of its rows waits.
    pub(super) fn first_past(&self) -> Option<EventTime> {
        self.due.first().map(|time| EventTime(time.saturating_add(self.span[1])))
    }

    /// Puts rows away, each with its key, its time, and whether it has a partner.
    pub(super) fn keep(&mut self, rows: &RecordBatch, stamps: &[(usize, i64, bool)]) -> Result<()> {
        let first = self.rows.add(rows)?;
        for (number, &(key, time, matched)) in (first..).zip(stamps) {
            self.by_key.insert(key, Stamp { time, number, matched }, |other, new| other.time <= new.time);
        }
        self.due.add(stamps.iter().map(|&(key, time, _)| (time, key)).collect());
        Ok(())
    }

    /// Takes out the next rows for which no partner can come any more, and their keys.
    pub(super) fn take_past(&mut self, watermark: EventTime, most: usize) -> (Vec<Stamp>, Vec<usize>) {
        let after = self.span[1];
        let due = self.due.take(most, |time| is_past(time, after, watermark));
        let keys: Vec<usize> = due.into_iter().map(|(_, key)| key).collect();
        (keys.iter().filter_map(|&key| self.by_key.pop_first(key)).collect(), keys)
    }

    /// Whether no partner can come any more for a row of this time.
    pub(super) fn is_past(&self, time: i64, watermark: EventTime) -> bool {
        is_past(time, self.span[1], watermark)
    }

    /// A row that is the partner in a pair.
    pub(super) fn stamp(&self, pair: &Found) -> Option<&Stamp> {
        self.by_key.of(pair.key)?.get(pair.place)
    }

    /// The partners of pairs.
    pub(super) fn find(&self, found: &[Found]) -> Result<Picks<'_>> {
        self.rows.find(found.iter().map(|pair| self.stamp(pair).map_or(u64::MAX, |stamp| stamp.number)))
    }

    /// Notes that a row has a partner; gives it back if it had none.
    pub(super) fn note(&mut self, pair: &Found) -> Option<Stamp> {
        let stamp = self.by_key.of_mut(pair.key)?.get_mut(pair.place)?;
        (!std::mem::replace(&mut stamp.matched, true)).then_some(*stamp)
    }
}

fn is_past(time: i64, after: i64, watermark: EventTime) -> bool {
    watermark == EventTime::MAX || time.saturating_add(after) < watermark.0
}

//! Mode `interval`: rows of one side wait for those of the other whose event time is near theirs.
//!
//! A row looks for its partners among the waiting rows of the other side when it comes, and then waits itself, until the
//! watermark says that no partner can come any more; without one it is sent by itself then, if the kind of join wants that. Since
//! each of two partners is not behind the watermark when it comes, neither is the later of their times: pairs need no
//! holding back of the watermark. What is sent by itself is older than it by the interval.

pub(super) mod saved;
mod side;

use std::ops::Range;

use arrow::array::{Int64Array, RecordBatch, UInt32Array};
use hashbrown::HashSet;
use millstream_api::key_group::owned_groups;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::{Batch, Error, EventTime, Operator, Output, Progress, Result};
use millstream_expr::Interner;

use self::side::{Found, Side, Stamp};
use super::factory::Told;
use super::pairs::{Pairs, Picked, Rows};
use super::plan::{Design, ROWS};
use super::probe::{NO_KEY, numbers, unused};
use super::{Kind, MAIN};
use crate::cold::Cold;
use crate::floors::Floors;
use crate::saved::{read_watermark, write_watermark};

/// One subtask.
pub(super) struct IntervalJoin {
    kind: Kind,
    sides: [Side; 2],
    interner: Interner,
    pairs: Pairs,
    work: Option<Work>,
    /// Keys that have left memory.
    cold: Cold,
    /// Whether rows came back from there that may have to go.
    came_back: bool,
    /// How far rows that are sent by themselves may be behind the node's watermark, in microseconds.
    hold_micros: i64,
    watermark: EventTime,
    /// Up to where rows had been let go of in the run before.
    floors: Floors,
    /// The key groups that are its own.
    groups: Range<u16>,
    /// Keys with a row that checkpoints have in another form: without a partner, or still there. `None`: nobody asks.
    turned: Option<HashSet<usize>>,
    read: bool,
    key_groups: u16,
    batch_rows: usize,
}

/// A batch that is looking for partners.
struct Work {
    side: usize,
    rows: RecordBatch,
    times: Int64Array,
    keys: Vec<usize>,
    matched: Vec<bool>,
    /// The row at hand, and where in the other side's list of its key to go on.
    row: usize,
    next: Option<usize>,
}

impl IntervalJoin {
    /// A subtask without state.
    pub(super) fn new(design: &Design, told: Told<'_>) -> Result<Self> {
        let [before, after] = design.interval;
        let sides = [Side::new(design, &told, 0, [before, after])?, Side::new(design, &told, 1, [after, before])?];
        let context = &told.kept;
        let sent_late = |side: usize| design.kind.alone(side) || (side == 0 && design.kind == Kind::Semi);
        Ok(IntervalJoin {
            kind: design.kind,
            interner: Interner::new(&sides[0].keys.types)?,
            hold_micros: (0..2).filter(|side| sent_late(*side)).map(|side| sides[side].span[1]).max().unwrap_or_default(),
            sides,
            pairs: Pairs::new(design, context)?,
            work: None,
            cold: Cold::default(),
            came_back: false,
            watermark: EventTime::MIN,
            floors: Floors::default(),
            groups: owned_groups(context.subtask, context.parallelism, context.key_groups),
            turned: None,
            read: context.outputs[MAIN].read,
            key_groups: context.key_groups,
            batch_rows: context.batch_rows.max(1),
        })
    }

    /// Goes on with the batch at hand, then with the rows that nothing can come for any more.
    fn go_on(&mut self, out: &mut Output) -> Result<Progress> {
        loop {
            if out.is_full() {
                return Ok(Progress::More);
            }
            match self.work.take() {
                Some(mut work) => match self.join(&mut work, out)? {
                    true => self.work = Some(work),
                    false => self.keep(&work)?,
                },
                None if self.let_go(0, out)? || self.let_go(1, out)? => {}
                // Now keys may leave memory.
                None if std::mem::take(&mut self.came_back) => return Ok(Progress::More),
                None => match self.cold.fetch_due(self.past(), out)? {
                    Some(state) => {
                        self.take_back(&state)?;
                        self.came_back = true;
                    }
                    None => return Ok(Progress::Done),
                },
            }
        }
    }

    /// No partner comes any more for rows that wait until then.
    fn past(&self) -> EventTime {
        self.watermark.minus(1)
    }

    /// Adds rows as a snapshot has them.
    fn take_back(&mut self, state: &StateReader) -> Result<()> {
        for (side, name) in self.sides.iter_mut().zip(ROWS) {
            self.cold.came_back(side.load(name, &mut self.interner, &self.floors, state)?);
        }
        Ok(())
    }

    fn rows_in_memory(&self) -> u64 {
        self.sides.iter().map(|side| side.rows.len() as u64).sum()
    }

    /// Joins the next rows of the batch at hand; false when there are none.
    fn join(&mut self, work: &mut Work, out: &mut Output) -> Result<bool> {
        let [once, conditional] = [!self.kind.pairs(), self.pairs.conditional()];
        let other = &self.sides[1 - work.side];
        let mut found = work.next(other, self.sides[work.side].span, self.batch_rows, once, conditional);
        if found.is_empty() {
            return Ok(false);
        }
        if conditional {
            let partners = other.find(&found)?;
            let own = owns(&found);
            let mask = self.pairs.fulfil(&picked(work.side, &work.rows, [Rows::At(&own), Rows::Kept(&partners)]), out)?;
            let mut holds = mask.iter().flat_map(|mask| mask.values().iter());
            found.retain(|_| holds.next().unwrap_or(true));
        }
        if self.kind.pairs() {
            self.send_pairs(work, &found, out)?;
        }
        self.note_partners(work, &found, out)?;
        Ok(true)
    }

    fn send_pairs(&self, work: &Work, found: &[Found], out: &mut Output) -> Result<()> {
        if found.is_empty() || !self.read {
            return Ok(());
        }
        let other = &self.sides[1 - work.side];
        let partners = other.find(found)?;
        let times = found.iter().map(|pair| work.times.value(pair.own as usize).max(other.stamp(pair).map_or(i64::MIN, |s| s.time)));
        let times = Int64Array::from_iter_values(times);
        let own = owns(found);
        self.pairs.send(&picked(work.side, &work.rows, [Rows::At(&own), Rows::Kept(&partners)]), times, out)
    }

    /// Notes who has a partner now. A semi join sends those of the left side that had none before.
    fn note_partners(&mut self, work: &mut Work, found: &[Found], out: &mut Output) -> Result<()> {
        if self.kind.counts(work.side) {
            let newly = found.iter().filter(|pair| !std::mem::replace(&mut work.matched[pair.own as usize], true));
            let newly = UInt32Array::from_iter_values(newly.map(|pair| pair.own));
            if self.kind == Kind::Semi && self.read && !newly.is_empty() {
                let times = Int64Array::from_iter_values(newly.values().iter().map(|&row| work.times.value(row as usize)));
                self.pairs.send(&picked(work.side, &work.rows, [Rows::At(&newly), Rows::None]), times, out)?;
            }
        }
        if !self.kind.counts(1 - work.side) {
            return Ok(());
        }
        let other = &mut self.sides[1 - work.side];
        let mut newly = Vec::new();
        for pair in found {
            let Some(stamp) = other.note(pair) else { continue };
            if let Some(turned) = self.turned.as_mut().filter(|_| stamp.number < other.written) {
                turned.insert(pair.key);
            }
            newly.push(stamp);
        }
        if !self.kind.pairs() {
            self.send_alone(1 - work.side, &newly, self.kind == Kind::Semi, out)?;
        }
        Ok(())
    }

    /// Lets go of these rows, which are sent by themselves before if they are wanted.
    fn send_alone(&mut self, side: usize, stamps: &[Stamp], wanted: bool, out: &mut Output) -> Result<()> {
        if stamps.is_empty() {
            return Ok(());
        }
        let waiting = &mut self.sides[side].rows;
        if wanted && self.read {
            let rows = waiting.gather(&stamps.iter().map(|stamp| stamp.number).collect::<Vec<_>>())?;
            let times = Int64Array::from_iter_values(stamps.iter().map(|stamp| stamp.time));
            self.pairs.send(&picked(side, &rows, [Rows::All, Rows::None]), times, out)?;
        }
        stamps.iter().for_each(|stamp| waiting.remove(stamp.number));
        waiting.tidy()
    }

    /// The rows of the batch wait from now on, those without a key only to be sent by themselves.
    fn keep(&mut self, work: &Work) -> Result<()> {
        let settled = |row: usize| !self.kind.pairs() && work.side == 0 && work.matched[row];
        let waits = |row: usize| !settled(row) && (work.keys[row] != NO_KEY || self.kind.alone(work.side));
        let waiting: Vec<u32> = (0..work.keys.len() as u32).filter(|&row| waits(row as usize)).collect();
        let rows = Batch::plain(work.rows.clone()).take(&UInt32Array::from(waiting.clone()))?;
        let stamps = waiting.iter().map(|&row| row as usize).map(|row| (work.keys[row], work.times.value(row), work.matched[row]));
        self.sides[work.side].keep(rows.records(), &stamps.collect::<Vec<_>>())?;
        // Keys that came only with rows that do not wait.
        self.release(work.keys.iter().copied().filter(|&key| key != NO_KEY).collect());
        Ok(())
    }

    /// Takes leave of the next rows of a side for which no partner can come any more; false when there are none.
    fn let_go(&mut self, side: usize, out: &mut Output) -> Result<bool> {
        let (stamps, keys) = self.sides[side].take_past(self.watermark, self.batch_rows);
        if keys.is_empty() {
            return Ok(false);
        }
        let (with_partner, alone): (Vec<Stamp>, Vec<Stamp>) = stamps.into_iter().partition(|stamp| stamp.matched);
        self.send_alone(side, &with_partner, false, out)?;
        self.send_alone(side, &alone, self.kind.alone(side), out)?;
        self.release(keys.into_iter().filter(|&key| key != NO_KEY).collect());
        Ok(true)
    }

    /// Writes the rows that have not been written and those of these keys, and up to where rows have been let go of.
    fn save(&mut self, turned: &HashSet<usize>, state: &mut StateWriter) -> Result<()> {
        write_watermark(self.watermark, state)?;
        self.floors.write(self.groups.clone(), self.watermark.0, state)?;
        self.sides.iter_mut().zip(ROWS).try_for_each(|(side, name)| side.save(name, turned, self.key_groups, state))
    }

    /// Forgets those of these keys for which no row waits.
    fn release(&mut self, keys: Vec<usize>) {
        let unused = unused(&self.sides[0].keys, keys, |key| self.sides.iter().all(|side| side.by_key.of(key).is_none()));
        if let Some(turned) = self.turned.as_mut().filter(|turned| !turned.is_empty()) {
            // All that was written of them is past; their numbers stand for nothing, or soon for other keys.
            unused.iter().for_each(|key| _ = turned.remove(key));
        }
        self.interner.release(&unused);
    }
}

impl Work {
    /// The next pairs of rows with equal keys and near times, at most `limit`; none when all are through. `once`: a row of the left
    /// side needs one partner only.
    fn next(&mut self, other: &Side, span: [i64; 2], limit: usize, once: bool, conditional: bool) -> Vec<Found> {
        let mut found = Vec::new();
        while self.row < self.keys.len() && found.len() < limit {
            let (key, time) = (self.keys[self.row], self.times.value(self.row));
            let (first, last) = (time.saturating_sub(span[0]), time.saturating_add(span[1]));
            let Some(list) = other.by_key.of(key) else {
                self.row += 1;
                continue;
            };
            let mut place = self.next.take().unwrap_or_else(|| list.partition_point(|stamp| stamp.time < first));
            let own_settled = once && self.side == 0;
            let one_is_enough = own_settled && !conditional;
            while found.len() < limit
                && !(own_settled && self.matched[self.row])
                && let Some(stamp) = list.get(place).filter(|stamp| stamp.time <= last)
            {
                if !(once && self.side == 1 && stamp.matched) {
                    found.push(Found { own: self.row as u32, key, place });
                }
                place += 1;
                if one_is_enough {
                    break;
                }
            }
            if found.len() == limit && !one_is_enough {
                self.next = Some(place);
                break;
            }
            self.row += 1;
        }
        found
    }
}

impl Operator for IntervalJoin {
    fn on_batch(&mut self, input: usize, batch: Batch, out: &mut Output) -> Result<()> {
        let side = &self.sides[input];
        let batch = side.late.without(batch, out.watermark().max(self.watermark), out)?;
        let (batch, columns) = side.keys.of_kept(&batch, &side.narrow, out)?;
        if let Some(state) = out.fetch(&columns, batch.rows())? {
            self.take_back(&state)?;
        }
        out.fates().taken += batch.rows() as u64;
        let times = batch.hidden().times.clone().ok_or_else(|| Error::internal("rows of an interval join have no time"))?;
        let keys = numbers(&mut self.interner, &self.sides[input].keys, &columns, batch.rows())?;
        let matched = vec![false; batch.rows()];
        self.work = Some(Work { side: input, rows: batch.records().clone(), times, keys, matched, row: 0, next: None });
        self.go_on(out).map(|_| ())
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        self.watermark = self.watermark.max(watermark);
        self.go_on(out).map(|_| ())
    }

    fn outgoing_watermark(&self, watermark: EventTime) -> EventTime {
        watermark.minus(self.hold_micros)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Progress> {
        self.go_on(out)
    }

    fn snapshot(&mut self, state: &mut StateWriter) -> Result<()> {
        self.turned.iter_mut().for_each(HashSet::clear);
        self.sides.iter_mut().for_each(|side| side.written = 0);
        self.save(&HashSet::new(), state)
    }

    /// What is past is known by its time. Other rows change only where it matters whether they had a partner; then their keys are written
    /// once more. Without keys that would be all that there are.
    fn note_changes(&mut self) -> bool {
        if self.kind.goes_by_time() {
            return true;
        }
        let has_keys = !self.sides[0].keys.types.is_empty();
        self.turned = has_keys.then(HashSet::new);
        has_keys
    }

    fn snapshot_changes(&mut self, state: &mut StateWriter) -> Result<()> {
        let turned = self.turned.as_mut().map(std::mem::take).unwrap_or_default();
        let keys: Vec<usize> = turned.iter().copied().collect();
        state.put_gone(&self.interner.columns(&keys)?, keys.len(), self.key_groups)?;
        self.save(&turned, state)
    }

    fn restore(&mut self, state: &StateReader) -> Result<()> {
        self.floors = Floors::read(state);
        self.take_back(state)?;
        self.cold = Cold::at_start(state);
        self.watermark = read_watermark(state);
        Ok(())
    }

    fn forget_keys(&mut self) -> Result<()> {
        self.cold.left(self.rows_in_memory(), self.sides.iter().filter_map(Side::first_past).min());
        self.sides.iter_mut().for_each(Side::clear);
        self.interner = Interner::new(&self.sides[0].keys.types)?;
        Ok(())
    }

    fn can_forget_keys(&self) -> bool {
        self.work.is_none() && !self.came_back && self.cold.has_asked(self.past())
    }

    fn waits_for(&self) -> Option<EventTime> {
        let alone = |side: &usize| self.kind.alone(*side);
        let in_memory = (0..2).filter(alone).filter_map(|side| self.sides[side].first_past());
        let on_disk = self.cold.next().filter(|_| (0..2).any(|side| alone(&side)));
        in_memory.chain(on_disk).min().map(|EventTime(past)| EventTime(past.saturating_add(1)))
    }

    fn rows_in_state(&self) -> u64 {
        self.rows_in_memory() + self.cold.rows()
    }

    fn state_bytes(&self) -> usize {
        let side = |side: &Side| side.rows.size_bytes() + side.by_key.size_bytes() + side.due.size_bytes();
        let turned = self.turned.as_ref().map_or(0, HashSet::allocation_size);
        self.interner.size_bytes() + self.sides.iter().map(side).sum::<usize>() + turned
    }
}

fn owns(found: &[Found]) -> UInt32Array {
    UInt32Array::from_iter_values(found.iter().map(|pair| pair.own))
}

/// Rows of this side, and of the other one.
fn picked<'a>(side: usize, own: &'a RecordBatch, rows: [Rows<'a>; 2]) -> Picked<'a> {
    let [first, second] = rows;
    Picked { from: [own, own], rows: if side == 0 { [first, second] } else { [second, first] }, window: None }
}

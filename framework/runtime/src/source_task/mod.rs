//! The task of a source: what its feed has read becomes a stream with event time, marks and watermarks.
//!
//! Nothing here depends on the type of the source. A row's event time is computed, its lateness mark set, bad rows follow the
//! node's policy, positions are noted for the next barrier, and idleness is judged: only while there is credit and no input.
//!
//! Modules in reading order: [`parts`] what a task is made of, here its turns, [`splits`] those that are too far ahead, [`rows`] from
//! what was read to what goes out, [`orders`] stops and checkpoints.

mod orders;
mod parts;
mod rows;
mod splits;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use millstream_api::left_out::LeftOut;
use millstream_api::message::{Idleness, Item};
use millstream_api::source::{Next, SourceRows};
use millstream_api::time::ClockTime;
use millstream_api::{EventTime, Result};
use millstream_state::SplitSnapshot;

use self::orders::Leaving;
pub use self::parts::{SourceParts, SourcePort};
use self::splits::Ahead;
use crate::ahead::Seat;
use crate::event_time::{SplitWatermarks, timed};
use crate::ledger::SplitState;
use crate::meter::Activity;
use crate::operator_task::earlier;
use crate::task::{ITEMS_PER_TURN, Order, Task, Turn};

/// The task of a source.
pub struct SourceTask {
    parts: SourceParts,
    watermarks: SplitWatermarks,
    sent_watermark: EventTime,
    /// Since when it waits for input, with room downstream to take it.
    waiting_since: Option<ClockTime>,
    /// How long it has waited so since the last rows of each split, in microseconds.
    silent: Vec<i64>,
    /// Rows that were read before their time.
    held: Option<SourceRows>,
    ahead: Ahead,
    /// What its readers have been told.
    idleness: Idleness,
    /// The source that it waits for, if it does.
    ahead_of: Option<usize>,
    orders: VecDeque<Order>,
    leaving: Leaving,
    /// Whether the last turn ended because a reader has no credit.
    no_credit: bool,
    /// Whether the log has heard of an event time that is far ahead of the clock.
    said_ahead: bool,
    /// Bad rows that nobody is given.
    left_out: LeftOut,
    finished: bool,
}

impl SourceTask {
    /// A task that has sent nothing yet; where its splits stand is in `parts`.
    pub fn new(mut parts: SourceParts) -> Self {
        let mut watermarks = SplitWatermarks::new(parts.splits.len(), parts.max_delay_micros);
        watermarks.restore_sent(parts.watermark);
        for (index, split) in parts.splits.iter().enumerate() {
            watermarks.restore(index, split.greatest);
            if split.ended {
                watermarks.end(index);
            }
        }
        let silent = vec![0; parts.splits.len()];
        let ahead = Ahead::new(parts.splits.len(), parts.pauses.take());
        let idleness = Idleness { is_idle: false, wakings: BTreeMap::from([(parts.number, 0)]) };
        let task = SourceTask {
            parts,
            watermarks,
            sent_watermark: EventTime::MIN,
            waiting_since: None,
            silent,
            held: None,
            ahead,
            idleness,
            ahead_of: None,
            orders: VecDeque::new(),
            leaving: Leaving::default(),
            no_credit: false,
            said_ahead: false,
            left_out: LeftOut::default(),
            finished: false,
        };
        let standing = |split: &SplitSnapshot| SplitState {
            split: split.split.clone(),
            position: split.position.clone(),
            greatest: split.greatest,
            idle: false,
            ended: split.ended,
        };
        task.parts.stats.update_splits(|splits| *splits = task.parts.splits.iter().map(standing).collect());
        task.report();
        task
    }

    fn run(&mut self, now: ClockTime) -> Result<Turn> {
        if self.sent_watermark == EventTime::MIN {
            // After a restart: those who read it need not wait for its next row to know how far it had come.
            self.send_watermark(now)?;
        }
        for _ in 0..ITEMS_PER_TURN {
            self.no_credit = !self.parts.outbox.flush(now)?;
            self.count_silence(now);
            if self.no_credit {
                return Ok(Turn::Wait(None));
            }
            if self.finished {
                return Ok(self.leaving.last_turn());
            }
            if let Some(order) = self.orders.pop_front() {
                self.obey(order, now)?;
                continue;
            }
            if let Some(turn) = self.held_up(now) {
                return Ok(turn);
            }
            if let Some(rows) = self.held.take() {
                self.rows(rows, now)?;
                continue;
            }
            match self.ahead.next(self.parts.feed.as_mut())? {
                Next::Rows(rows) if self.is_early(&rows, now)? => self.held = Some(rows),
                Next::Rows(rows) => self.rows(rows, now)?,
                Next::SplitEnd(split) => self.split_end(split as usize, now)?,
                Next::Closed => self.door_closed(now)?,
                Next::End => self.last(&Item::End, now)?,
                Next::Nothing => return self.wait(now),
            }
        }
        Ok(Turn::Again)
    }

    /// Waits for its own pace or for others, without being idle. At a stop nothing holds back what is to come out before it.
    fn held_up(&mut self, now: ClockTime) -> Option<Turn> {
        if self.leaving.is_under_way() {
            self.note_ahead(false);
            return None;
        }
        if let Some(due) = self.parts.pace.due().filter(|due| *due > now) {
            self.note_ahead(false);
            return Some(Turn::Wait(earlier(Some(due), self.parts.outbox.deadline())));
        }
        let waits = self.parts.seat.as_ref().is_some_and(|seat| self.ahead.must_wait(seat, &self.watermarks));
        self.note_ahead(waits);
        waits.then(|| Turn::Wait(self.parts.outbox.deadline()))
    }

    /// Says whom it waits for, to those who look.
    fn note_ahead(&mut self, waits: bool) {
        let of = self.parts.seat.as_ref().filter(|_| waits).and_then(Seat::slowest);
        if std::mem::replace(&mut self.ahead_of, of) != of {
            self.parts.stats.update(|c| c.ahead_of = of);
        }
    }

    /// Whether it is not yet time for rows that are replayed at the data's own speed. They go when the last of them is due.
    fn is_early(&mut self, rows: &SourceRows, now: ClockTime) -> Result<bool> {
        if !self.parts.pace.is_replay() || self.leaving.is_under_way() {
            return Ok(false);
        }
        let mut greatest = None;
        for part in &rows.parts {
            if let Some(time) = self.parts.ports.get(part.output).and_then(|port| port.time.as_ref()) {
                greatest = greatest.max(arrow::compute::max(&timed(time, &part.records)?.times));
            }
        }
        Ok(greatest.is_some_and(|time| self.parts.pace.replay(EventTime(time), now) > now))
    }

    fn split_end(&mut self, split: usize, now: ClockTime) -> Result<()> {
        self.watermarks.end(split);
        if let Some(split) = self.parts.splits.get_mut(split) {
            split.ended = true;
        }
        if self.watermarks.slowest().is_none() && self.parts.splits.iter().any(|split| !split.ended) {
            return self.idle(now);
        }
        self.note_standing(split);
        self.report();
        self.send_watermark(now)
    }

    /// All splits that run are idle.
    fn idle(&mut self, now: ClockTime) -> Result<()> {
        (0..self.parts.splits.len()).for_each(|split| self.note_standing(split));
        self.report();
        self.idleness.is_idle = true;
        self.parts.outbox.control(&Item::Idle(self.idleness.clone()), now)
    }

    /// Rows follow: if it was idle its readers are told that it is not, on all ways that the rows may take.
    fn wake(&mut self, now: ClockTime) -> Result<()> {
        if !std::mem::take(&mut self.idleness.is_idle) {
            return Ok(());
        }
        self.idleness.wakings.values_mut().for_each(|times| *times += 1);
        self.parts.outbox.control(&Item::Idle(self.idleness.clone()), now)
    }

    /// Tells sources that may wait for this one how far it has come.
    fn report(&self) {
        if let Some(seat) = &self.parts.seat {
            seat.report(self.watermarks.slowest());
        }
    }

    /// Adds the time that it has waited for input to the silence of its splits.
    fn count_silence(&mut self, now: ClockTime) {
        if let Some(since) = self.waiting_since.take() {
            let waited = now.0.saturating_sub(since.0);
            let waiting = self.silent.iter_mut().enumerate().filter(|(split, _)| !self.ahead.is_paused(*split));
            waiting.for_each(|(_, silent)| *silent = silent.saturating_add(waited));
        }
    }

    fn wait(&mut self, now: ClockTime) -> Result<Turn> {
        if self.leaving.is_under_way() {
            return Ok(Turn::Wait(self.parts.outbox.deadline()));
        }
        self.waiting_since = Some(now);
        let Some(idle_after) = self.parts.idle_after else { return Ok(Turn::Wait(self.parts.outbox.deadline())) };
        let after = i64::try_from(idle_after.as_micros()).unwrap_or(i64::MAX);
        let silent = (0..self.silent.len()).filter(|&split| self.silent[split] >= after && !self.ahead.is_paused(split));
        let newly: Vec<usize> = silent.filter(|&split| self.watermarks.idle(split)).collect();
        if !newly.is_empty() {
            return self.silent_splits(&newly, now).map(|()| Turn::Again);
        }
        // One that is left counts no silence, so its time does not come.
        let counting = (0..self.silent.len()).filter(|&split| !self.ahead.is_paused(split));
        let left = counting.map(|split| after - self.silent[split]).filter(|left| *left > 0).min();
        let idle_at = left.map(|left| ClockTime(now.0.saturating_add(left)));
        Ok(Turn::Wait(earlier(self.parts.outbox.deadline(), idle_at)))
    }

    /// These splits no longer hold the watermark back.
    fn silent_splits(&mut self, splits: &[usize], now: ClockTime) -> Result<()> {
        if self.watermarks.slowest().is_none() {
            return self.idle(now);
        }
        splits.iter().for_each(|&split| self.note_standing(split));
        self.report();
        self.send_watermark(now)
    }
}

impl Task for SourceTask {
    fn turn(&mut self) -> Turn {
        let clock = self.parts.schedule.clock.clone();
        let start = clock.now();
        self.parts.stats.update(|c| c.times.enter(Activity::Busy, start));
        let turn = self.run(start).unwrap_or_else(Turn::Failed);
        let (activity, reading) = (turn.leads_to(self.no_credit), self.parts.feed.reading_micros());
        self.parts.stats.update(|c| {
            c.times.enter(activity, clock.now());
            c.reading_micros = reading;
        });
        turn
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Commit(id) => self.committed(id),
            order => self.orders.push_back(order),
        }
    }
}

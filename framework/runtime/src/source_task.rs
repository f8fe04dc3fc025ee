//! The task of a source: what its feed has read becomes a stream with event time, marks and watermarks.
//!
//! Nothing here depends on the type of the source. A row's event time is computed, its lateness mark set, bad rows follow the
//! node's policy, positions are noted for the next barrier, and idleness is judged: only while there is credit and no input.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Int64Array, UInt32Array};
use arrow::datatypes::SchemaRef;
use millstream_api::batch::{Hidden, Origin};
use millstream_api::message::{CheckpointId, Item};
use millstream_api::options::OnBadRow;
use millstream_api::plan::rejected_records;
use millstream_api::source::{Next, Position, SourcePart, SourceRows};
use millstream_api::time::ClockTime;
use millstream_api::{BadRow, Batch, EventTime, Result};
use millstream_expr::BoundScalar;
use millstream_state::{SnapshotListener, SplitSnapshot, TaskId, TaskSnapshot};

use crate::ahead::Seat;
use crate::event_time::{SplitWatermarks, Timed, timed, without_rows};
use crate::feed::Feed;
use crate::ledger::{SplitState, Stats};
use crate::meter::Activity;
use crate::operator_task::earlier;
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::schedule::Schedule;
use crate::task::{ITEMS_PER_TURN, Order, Task, Turn};

/// One stream of a source.
pub struct SourcePort {
    /// Computes the event time; `None`: the stream has none.
    pub time: Option<BoundScalar>,
    /// Whether split and position travel with the rows.
    pub origin: bool,
    /// The visible columns of the stream, as indices of what the source gives.
    pub read: bool,
}

/// What a source's task is made of.
pub struct SourceParts {
    /// Which task it is.
    pub id: TaskId,
    /// Where rows come from.
    pub feed: Box<dyn Feed>,
    /// Where they go.
    pub outbox: Outbox,
    /// One for each output of the source but `.rejected`.
    pub ports: Vec<SourcePort>,
    /// The port of `.rejected`.
    pub rejected_port: usize,
    /// The columns of `.rejected` that somebody reads.
    pub rejected_schema: SchemaRef,
    /// Whether it feeds a table that is read to its end: then it is not drained.
    pub feeds_table: bool,
    /// What happens to bad rows.
    pub on_bad_row: OnBadRow,
    /// What happens to rows without a time.
    pub on_null: OnBadRow,
    /// When a waiting source is idle.
    pub idle_after: Option<Duration>,
    /// How fast rows may go.
    pub pace: Pace,
    /// How far the source may be ahead of others.
    pub seat: Option<Seat>,
    /// The splits' names, and where they stand at the start.
    pub splits: Vec<SplitSnapshot>,
    /// The watermark that had been sent when a checkpoint was taken.
    pub watermark: EventTime,
    /// How far watermarks stay behind.
    pub max_delay_micros: i64,
    /// Its counters.
    pub stats: Stats,
    /// Time and chance.
    pub schedule: Schedule,
    /// Who takes snapshots.
    pub snapshots: Arc<dyn SnapshotListener>,
}

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
    orders: VecDeque<Order>,
    /// Whether the last turn ended because a reader has no credit.
    no_credit: bool,
    finished: bool,
}

impl SourceTask {
    /// A task that has sent nothing yet; where its splits stand is in `parts`.
    pub fn new(parts: SourceParts) -> Self {
        let mut watermarks = SplitWatermarks::new(parts.splits.len(), parts.max_delay_micros);
        watermarks.restore_sent(parts.watermark);
        for (index, split) in parts.splits.iter().enumerate() {
            watermarks.restore(index, split.greatest);
            if split.ended {
                watermarks.end(index);
            }
        }
        let silent = vec![0; parts.splits.len()];
        let task = SourceTask {
            parts,
            watermarks,
            sent_watermark: EventTime::MIN,
            waiting_since: None,
            silent,
            held: None,
            orders: VecDeque::new(),
            no_credit: false,
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
        for _ in 0..ITEMS_PER_TURN {
            self.no_credit = !self.parts.outbox.flush(now)?;
            self.count_silence(now);
            if self.no_credit {
                return Ok(Turn::Wait(None));
            }
            if self.finished {
                return Ok(Turn::Finished);
            }
            if let Some(order) = self.orders.pop_front() {
                self.obey(order, now)?;
                continue;
            }
            if let Some(due) = self.parts.pace.due().filter(|due| *due > now) {
                // Waiting for its own pace, a source is not idle.
                return Ok(Turn::Wait(earlier(Some(due), self.parts.outbox.deadline())));
            }
            if self.parts.seat.as_ref().is_some_and(Seat::must_wait) {
                // Nor is it idle while it waits for others.
                return Ok(Turn::Wait(self.parts.outbox.deadline()));
            }
            if let Some(rows) = self.held.take() {
                self.rows(rows, now)?;
                continue;
            }
            match self.parts.feed.poll()? {
                Next::Rows(rows) if self.is_early(&rows, now)? => self.held = Some(rows),
                Next::Rows(rows) => self.rows(rows, now)?,
                Next::SplitEnd(split) => self.split_end(split as usize, now)?,
                Next::End => self.last(&Item::End, now)?,
                Next::Nothing => return self.wait(now),
            }
        }
        Ok(Turn::Again)
    }

    /// Whether it is not yet time for rows that are replayed at the data's own speed. They go when the last of them is due.
    fn is_early(&mut self, rows: &SourceRows, now: ClockTime) -> Result<bool> {
        if !self.parts.pace.is_replay() {
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

    fn obey(&mut self, order: Order, now: ClockTime) -> Result<()> {
        match order {
            Order::Halt => self.last(&Item::Halt, now),
            // It ends by itself, and half a table would give wrong answers.
            Order::Drain if self.parts.feeds_table => Ok(()),
            Order::Drain => self.last(&Item::End, now),
            Order::Idle if self.watermarks.all_idle() => self.idle(now),
            Order::Idle => Ok(()),
            Order::Checkpoint(id) => self.checkpoint(id, now),
            Order::LastCheckpoint(id) => {
                self.checkpoint(id, now)?;
                self.last(&Item::Halt, now)
            }
            Order::Commit(_) => Ok(()),
        }
    }

    fn checkpoint(&mut self, id: CheckpointId, now: ClockTime) -> Result<()> {
        let snapshot = self.snapshot(false);
        self.parts.snapshots.task_snapshot(id, &self.parts.id, snapshot);
        self.parts.outbox.control(&Item::Barrier(id), now)
    }

    fn snapshot(&mut self, ended: bool) -> TaskSnapshot {
        let greatest = self.watermarks.greatest();
        self.parts.splits.iter_mut().zip(greatest).for_each(|(split, greatest)| split.greatest = greatest);
        TaskSnapshot {
            watermark: self.sent_watermark,
            entries: Default::default(),
            positions: self.parts.splits.clone(),
            counts: self.parts.stats.counts(),
            ended,
        }
    }

    fn last(&mut self, item: &Item, now: ClockTime) -> Result<()> {
        self.finished = true;
        if matches!(item, Item::End) {
            let snapshot = self.snapshot(true);
            self.parts.snapshots.task_ended(&self.parts.id, snapshot);
        }
        if let Some(seat) = &self.parts.seat {
            seat.report(None);
        }
        self.parts.outbox.control(item, now)
    }

    fn split_end(&mut self, split: usize, now: ClockTime) -> Result<()> {
        self.watermarks.end(split);
        if let Some(split) = self.parts.splits.get_mut(split) {
            split.ended = true;
        }
        self.note_standing(split);
        self.report();
        self.send_watermark(now)
    }

    fn idle(&mut self, now: ClockTime) -> Result<()> {
        (0..self.parts.splits.len()).for_each(|split| self.note_standing(split));
        self.report();
        self.parts.outbox.control(&Item::Idle, now)
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
            self.silent.iter_mut().for_each(|silent| *silent = silent.saturating_add(waited));
        }
    }

    fn wait(&mut self, now: ClockTime) -> Result<Turn> {
        self.waiting_since = Some(now);
        let Some(idle_after) = self.parts.idle_after else { return Ok(Turn::Wait(self.parts.outbox.deadline())) };
        let after = i64::try_from(idle_after.as_micros()).unwrap_or(i64::MAX);
        let silent = (0..self.silent.len()).filter(|&split| self.silent[split] >= after).collect::<Vec<_>>();
        let newly: Vec<usize> = silent.into_iter().filter(|&split| self.watermarks.idle(split)).collect();
        if !newly.is_empty() {
            return self.silent_splits(&newly, now).map(|()| Turn::Again);
        }
        let left = self.silent.iter().map(|silent| after - silent).filter(|left| *left > 0).min();
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

    fn rows(&mut self, rows: SourceRows, now: ClockTime) -> Result<()> {
        let split = rows.split;
        if let Some(silent) = self.silent.get_mut(split as usize) {
            *silent = 0;
        }
        let count = rows.bad.len() + rows.parts.iter().map(|part| part.records.num_rows()).sum::<usize>();
        let bytes: usize = rows.parts.iter().map(|part| Batch::plain(part.records.clone()).size_bytes()).sum();
        self.parts.stats.update(|c| {
            c.rows_in += count as u64;
            c.batches_in += 1;
            c.bytes_in += bytes as u64;
        });
        self.parts.pace.passed(count as u64);
        self.bad_rows(rows.bad, self.parts.on_bad_row, now)?;
        self.watermarks.begin(split as usize);
        for part in rows.parts {
            self.part(split, part, now)?;
        }
        self.note_position(split as usize, rows.position);
        self.report();
        self.send_watermark(now)
    }

    fn note_position(&mut self, split: usize, position: Position) {
        if let Some(split) = self.parts.splits.get_mut(split) {
            split.position = Some(position);
        }
        self.note_standing(split);
    }

    /// Tells whoever looks at the run where a split stands.
    fn note_standing(&self, index: usize) {
        let (Some(split), Some((greatest, idle, ended))) = (self.parts.splits.get(index), self.watermarks.standing(index)) else { return };
        self.parts.stats.update_splits(|splits| {
            if let Some(state) = splits.get_mut(index) {
                state.position.clone_from(&split.position);
                (state.greatest, state.idle, state.ended) = (greatest, idle, ended);
            }
        });
    }

    fn part(&mut self, split: u32, part: SourcePart, now: ClockTime) -> Result<()> {
        let SourcePart { output, records, first_row, weights } = part;
        let Some(port) = self.parts.ports.get(output) else { return Ok(()) };
        let rows = records.num_rows();
        let origin = port.origin.then(|| Origin {
            split: UInt32Array::from_value(split, rows),
            position: Int64Array::from_iter_values(first_row..first_row + rows as i64),
        });
        let read = port.read;
        let hidden = Hidden { weights, origin, ..Hidden::default() };
        let batch = match &port.time {
            None => Batch::new(records, hidden)?,
            Some(time) => {
                let Timed { times, bad, without } = timed(time, &records)?;
                let gone = bad.iter().map(|(row, _)| *row).chain(without.iter().copied()).collect::<Vec<_>>();
                let place = |row: usize| format!("{}: row {} of {}", self.parts.id.node, first_row + row as i64, self.split_name(split));
                let bad = bad.into_iter().map(|(row, reason)| BadRow::of_row(reason, place(row), &records, row)).collect();
                let null = without.iter().map(|&row| BadRow::of_row("the event time is null", place(row), &records, row)).collect();
                self.bad_rows(bad, self.parts.on_bad_row, now)?;
                self.bad_rows(null, self.parts.on_null, now)?;
                let times = Some(Int64Array::new(times.values().clone(), None));
                without_rows(Batch::new(records, Hidden { times, ..hidden })?, &gone)?
            }
        };
        let marks = batch.hidden().times.as_ref().and_then(|times| self.watermarks.read(split as usize, times));
        let kept = batch.rows();
        self.parts.stats.update(|c| {
            c.fates.passed += kept as u64;
            c.rows_out += kept as u64;
            c.batches_out += u64::from(kept > 0);
        });
        if kept > 0 && read {
            let batch = batch.with_hidden(Hidden { marks, ..batch.hidden().clone() })?;
            self.parts.outbox.push(output, batch, now)?;
        }
        Ok(())
    }

    fn split_name(&self, split: u32) -> &str {
        self.parts.splits.get(split as usize).map_or("", |split| split.split.as_str())
    }

    fn bad_rows(&mut self, bad: Vec<BadRow>, policy: OnBadRow, now: ClockTime) -> Result<()> {
        if bad.is_empty() {
            return Ok(());
        }
        let count = bad.len() as u64;
        match policy {
            OnBadRow::Fail => match bad.into_iter().next() {
                Some(first) => Err(first.into_error()),
                None => Ok(()),
            },
            OnBadRow::Skip => {
                self.parts.stats.update(|c| c.fates.skipped += count);
                Ok(())
            }
            OnBadRow::Reject => {
                self.parts.stats.update(|c| c.fates.rejected += count);
                self.parts.outbox.push(self.parts.rejected_port, Batch::plain(rejected_records(&bad, &self.parts.rejected_schema)?), now)
            }
        }
    }

    fn send_watermark(&mut self, now: ClockTime) -> Result<()> {
        let watermark = self.watermarks.watermark();
        if watermark > self.sent_watermark {
            self.sent_watermark = watermark;
            self.parts.stats.update(|c| c.watermark = watermark);
            self.parts.outbox.control(&Item::Watermark(watermark), now)?;
        }
        Ok(())
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
        self.orders.push_back(order);
    }
}

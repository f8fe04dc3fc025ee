//! The order of things: rows come in, wait for the watermark if they have event time, are judged piece by piece, and leave.

use std::ops::Range;

use arrow::array::RecordBatch;
use millstream_api::key_group::owned_groups;
use millstream_api::plan::OperatorContext;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::time::ClockTime;
use millstream_api::{Batch, EventTime, Operator, Output, Progress, Result};

use super::intake::Intake;
use super::judge::{self, Judge, Verdict};
use super::keys::Keys;
use super::pending::Pending;
use super::plan::Design;
use super::{Keep, LATE, MAIN};
use crate::cold::Cold;
use crate::late::LateRows;

/// One subtask.
pub(super) struct Deduplicate {
    pub(super) intake: Intake,
    pub(super) judge: Judge,
    pub(super) keys: Keys,
    /// Keys that have left memory.
    pub(super) cold: Cold,
    /// Rows that wait for the watermark; without event time none does.
    pub(super) pending: Pending,
    pub(super) event_time: bool,
    updating: bool,
    /// In microseconds.
    pub(super) within: Option<i64>,
    keep: Keep,
    /// Rows that are being judged, and how many of them are.
    judging: Option<(RecordBatch, usize)>,
    /// The watermark up to which rows are judged, and keys are to be forgotten.
    pub(super) watermark: EventTime,
    /// The watermark that was passed on last.
    passed: EventTime,
    late: Option<LateRows>,
    read: bool,
    batch_rows: usize,
    pub(super) key_groups: u16,
    /// The key groups that are its own.
    pub(super) groups: Range<u16>,
}

impl Deduplicate {
    /// A subtask without state.
    pub(super) fn new(design: &Design, context: &OperatorContext) -> Result<Self> {
        let intake = Intake::new(design, context)?;
        let late = design.within.map(|_| LateRows::new(context, 0, LATE)).transpose()?;
        Ok(Deduplicate {
            judge: Judge::new(design.keep, &intake)?,
            keys: Keys::new(design.within, design.state_ttl),
            cold: Cold::default(),
            pending: Pending::new(intake.kept().clone()),
            intake,
            event_time: design.event_time,
            updating: design.updating,
            within: design.within,
            keep: design.keep,
            judging: None,
            watermark: EventTime::MIN,
            passed: EventTime::MIN,
            late,
            read: context.outputs[MAIN].read,
            batch_rows: context.batch_rows.max(1),
            key_groups: context.key_groups,
            groups: owned_groups(context.subtask, context.parallelism, context.key_groups),
        })
    }

    /// Judges the rows that may be judged and forgets the keys whose time is over, until all is done or the output is full.
    fn go_on(&mut self, out: &mut Output) -> Result<Progress> {
        while let Some((rows, judged)) = self.judging.take() {
            let length = self.batch_rows.min(rows.num_rows() - judged);
            self.judge_piece(rows.slice(judged, length), out)?;
            if judged + length < rows.num_rows() {
                self.judging = Some((rows, judged + length));
                if out.is_full() {
                    return Ok(Progress::More);
                }
            }
        }
        loop {
            let ended = self.keys.take_ended(self.watermark, self.batch_rows);
            if !ended.is_empty() {
                self.end(&ended, out)?;
            } else if self.within.is_some()
                && let Some(state) = self.cold.fetch_due(self.watermark, out)?
            {
                self.load(&state)?;
                continue;
            } else {
                self.keys.set_timer(out);
                return Ok(Progress::Done);
            }
            if out.is_full() || self.cold.rows() > 0 {
                return Ok(Progress::More);
            }
        }
    }

    /// Forgets keys whose time is over; the last row of each is sent if that is what is kept.
    fn end(&mut self, ended: &[usize], out: &mut Output) -> Result<()> {
        if let Judge::Last(rankings) = &self.judge {
            let rows = judge::rows_of(rankings, self.intake.kept(), ended)?;
            self.send(Verdict { rows, weights: None }, out)?;
        }
        self.keys.changed.give_up(ended, |keys| self.judge.keys(keys))?;
        self.judge.forget(ended)
    }

    fn judge_piece(&mut self, rows: RecordBatch, out: &mut Output) -> Result<()> {
        let keys = self.intake.keys(&rows)?;
        if let Some(state) = out.fetch(&keys, rows.num_rows())? {
            self.load(&state)?;
            self.forget_due(out)?;
        }
        let ids = self.judge.numbers(&keys, rows.num_rows())?;
        let verdict = match &mut self.judge {
            Judge::First(_) => judge::first(&ids, &rows, &mut self.keys, out)?,
            Judge::Last(rankings) if self.updating => judge::newest(&ids, rows, rankings, &mut self.keys, out)?,
            Judge::Last(rankings) => judge::last(&ids, &rows, rankings, &mut self.keys)?,
        };
        if !self.event_time && self.keep == Keep::First {
            let passed = verdict.rows.num_rows() as u64;
            out.fates().passed += passed;
            out.fates().filtered += ids.len() as u64 - passed;
        }
        self.send(verdict, out)
    }

    fn send(&self, verdict: Verdict, out: &mut Output) -> Result<()> {
        if self.read { verdict.send(&self.intake, self.passed, out) } else { Ok(()) }
    }

    fn forget_due(&mut self, out: &mut Output) -> Result<()> {
        let due = self.keys.take_due(out);
        if due.is_empty() {
            return Ok(());
        }
        self.keys.changed.give_up(&due, |keys| self.judge.keys(keys))?;
        self.judge.forget(&due)
    }
}

impl Operator for Deduplicate {
    fn on_batch(&mut self, _: usize, batch: Batch, out: &mut Output) -> Result<()> {
        self.forget_due(out)?;
        let batch = self.intake.settle(batch, out)?;
        let batch = match &self.late {
            Some(late) => late.without(batch, out.watermark(), out)?,
            None => batch,
        };
        let rows = self.intake.keep(&batch)?;
        if self.event_time || self.keep == Keep::Last {
            out.fates().taken += batch.rows() as u64;
        }
        if !self.event_time {
            self.judging = (rows.num_rows() > 0).then_some((rows, 0));
            return Ok(());
        }
        // Also rows that come when they could have been judged already.
        self.watermark = self.watermark.max(out.watermark());
        self.passed = self.outgoing_watermark(self.watermark);
        self.pending.push(rows)?;
        self.judging = self.pending.take_passed(self.watermark)?.map(|rows| (rows, 0));
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, _: &mut Output) -> Result<()> {
        self.passed = self.outgoing_watermark(self.watermark);
        self.watermark = watermark;
        self.judging = self.pending.take_passed(watermark)?.map(|rows| (rows, 0));
        Ok(())
    }

    fn outgoing_watermark(&self, watermark: EventTime) -> EventTime {
        match (self.keep, self.within) {
            (Keep::Last, Some(within)) => watermark.minus(within),
            _ => watermark,
        }
    }

    fn on_timer(&mut self, _: ClockTime, out: &mut Output) -> Result<()> {
        self.forget_due(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Progress> {
        self.go_on(out)
    }

    fn snapshot(&mut self, state: &mut StateWriter) -> Result<()> {
        self.save(state)
    }

    fn note_changes(&mut self) -> bool {
        self.keys.changed.begin();
        true
    }

    fn snapshot_changes(&mut self, state: &mut StateWriter) -> Result<()> {
        self.save_changes(state)
    }

    fn restore(&mut self, state: &StateReader) -> Result<()> {
        self.load(state)?;
        self.cold = Cold::at_start(state);
        Ok(())
    }

    fn forget_keys(&mut self) -> Result<()> {
        self.cold.left(self.keys.all().len() as u64, self.keys.next_end());
        self.judge = Judge::new(self.keep, &self.intake)?;
        self.keys = self.keys.emptied();
        Ok(())
    }

    fn can_forget_keys(&self) -> bool {
        self.judging.is_none() && self.cold.has_asked(self.watermark)
    }

    fn waits_for(&self) -> Option<EventTime> {
        self.pending.first_passed()
    }

    fn rows_in_state(&self) -> u64 {
        let is_open = self.keep == Keep::Last && self.within.is_some();
        let open = if is_open { self.keys.all().len() as u64 + self.cold.rows() } else { 0 };
        self.pending.len() as u64 + open
    }

    fn state_bytes(&self) -> usize {
        self.pending.size_bytes() + self.keys.size_bytes() + self.judge.size_bytes()
    }
}

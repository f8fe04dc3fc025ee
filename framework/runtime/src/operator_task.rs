//! An operator or a sink between its inbox and its outbox.
//!
//! The order of things is the whole of backpressure: first what is ready goes out; then the operator says what it has left to
//! say; only then comes the next item in. The credit of a batch goes back when the operator is done with it.

mod phases;

use std::sync::Arc;

use millstream_api::message::{CheckpointId, Item};
use millstream_api::operator::{Fates, Progress};
use millstream_api::sink::Finish;
use millstream_api::state::StateReader;
use millstream_api::time::ClockTime;
use millstream_api::{Batch, EventTime, Output, Result};
use millstream_state::{SnapshotListener, TaskId};

use self::phases::Phases;
use crate::changing::Changing;
use crate::inbox::{Event, Inbox};
use crate::ledger::Stats;
use crate::memory::MemoryBudget;
use crate::meter::Activity;
use crate::outbox::Outbox;
use crate::schedule::Schedule;
use crate::spilling::Spilling;
use crate::suspect::{Judged, LateRows};
use crate::tap::TapPoint;
use crate::task::{ITEMS_PER_TURN, Order, Task, Turn};
use crate::worker::Worker;

/// Why most rows are late.
const LATE_BECAUSE: &str = "Was there a row with a time far ahead, or is `max_delay` too short?";

/// What a task is made of.
pub struct OperatorParts {
    /// Which task it is.
    pub id: TaskId,
    /// Its work.
    pub worker: Worker,
    /// What comes in.
    pub inbox: Inbox,
    /// What goes out.
    pub outbox: Outbox,
    /// Of a sink: where the rows that come to it can be looked at.
    pub tap: Option<TapPoint>,
    /// The ports that count as rows out.
    pub counted_ports: Vec<bool>,
    /// When the operator's buffer is full.
    pub full_at_rows: usize,
    /// Its counters.
    pub stats: Stats,
    /// Time and chance.
    pub schedule: Schedule,
    /// The bound of state.
    pub memory: Arc<MemoryBudget>,
    /// The node's place in the topology.
    pub index: usize,
    /// Of an operator whose keys may leave memory.
    pub spilling: Option<Spilling>,
    /// The names of the state that its plan has declared.
    pub declared: Vec<&'static str>,
    /// Of an operator that notes what changes.
    pub changing: Option<Changing>,
    /// Who takes snapshots.
    pub snapshots: Arc<dyn SnapshotListener>,
    /// Of a sink with checkpoints: the number before that of the next one.
    pub two_phase: Option<CheckpointId>,
}

/// What to do once the operator has said all it had to say.
#[derive(Clone, Copy)]
enum Then {
    Nothing,
    GiveCreditBack(usize),
    PassWatermark(EventTime),
}

/// The task of an operator or sink.
pub struct OperatorTask {
    parts: OperatorParts,
    output: Output,
    then: Option<Then>,
    /// What is handled after that.
    postponed: Option<Event>,
    timer: Option<ClockTime>,
    state_bytes: usize,
    waits_for: Option<EventTime>,
    /// Whether the last turn ended because a reader has no credit.
    no_credit: bool,
    /// Of a sink with checkpoints.
    phases: Option<Phases>,
    finished: bool,
    late: LateRows,
}

impl OperatorTask {
    /// A task that starts empty, or from a snapshot of its node.
    ///
    /// # Errors
    /// When the operator can't take back its state.
    pub fn new(mut parts: OperatorParts, restored: Option<&StateReader>) -> Result<Self> {
        if let Some(state) = restored {
            parts.worker.restore(state)?;
        }
        parts.worker.start()?;
        let mut output = Output::new(parts.full_at_rows);
        if let Some(spilling) = &parts.spilling {
            spilling.connect(&mut output);
        }
        let phases = parts.two_phase.map(|last| Phases { prepared: last, committed: last, ordered: last, closing: None });
        let mut task = OperatorTask {
            parts,
            output,
            // What was restored may have something to wait for.
            then: restored.map(|_| Then::Nothing),
            postponed: None,
            timer: None,
            state_bytes: 0,
            waits_for: None,
            no_credit: false,
            phases,
            finished: false,
            late: LateRows::default(),
        };
        task.measure_state()?;
        Ok(task)
    }

    fn run(&mut self, now: ClockTime) -> Result<Turn> {
        self.output.set_times(now, self.parts.inbox.watermark());
        for _ in 0..ITEMS_PER_TURN {
            self.no_credit = !self.parts.outbox.flush(now)?;
            if self.no_credit {
                return Ok(Turn::Wait(self.parts.outbox.deadline().filter(|deadline| *deadline > now)));
            }
            self.commit()?;
            if let Some(then) = self.then {
                let progress = self.go_on(then)?;
                if progress == Progress::More && matches!(self.parts.worker, Worker::Sink { .. }) {
                    // It may have taken long: the actor must hear whether the run has failed.
                    self.collect()?;
                    return Ok(Turn::Again);
                }
            } else if self.finished {
                return Ok(Turn::Finished);
            } else if self.is_closing() {
                return Ok(Turn::Wait(None));
            } else if self.timer.is_some_and(|timer| timer <= now) {
                self.timer = None;
                if let Worker::Operator(operator) = &mut self.parts.worker {
                    operator.on_timer(now, &mut self.output)?;
                }
                self.then = Some(Then::Nothing);
            } else if let Some(event) = self.next_event()? {
                self.take(event, now)?;
            } else if self.parts.worker.flush()? {
                self.then = Some(Then::Nothing);
            } else {
                return Ok(Turn::Wait(earlier(self.parts.outbox.deadline(), self.timer)));
            }
            self.collect()?;
        }
        Ok(Turn::Again)
    }

    fn next_event(&mut self) -> Result<Option<Event>> {
        match self.postponed.take() {
            Some(event) => Ok(Some(event)),
            None => self.parts.inbox.next_event(),
        }
    }

    /// Handles an event. One that closes off what came before it waits until a sink has written all of that.
    fn take(&mut self, event: Event, now: ClockTime) -> Result<()> {
        let closes = matches!(event, Event::Barrier(_) | Event::End | Event::Halt);
        if closes && self.parts.worker.flush()? {
            (self.postponed, self.then) = (Some(event), Some(Then::Nothing));
            return Ok(());
        }
        self.handle(event, now)
    }

    fn handle(&mut self, event: Event, now: ClockTime) -> Result<()> {
        let since = self.parts.inbox.since();
        match event {
            Event::Batch { input, batch, channel } => {
                self.take_rows(input, batch)?;
                self.then = Some(Then::GiveCreditBack(channel));
            }
            Event::Watermark(watermark) => {
                self.output.set_times(now, watermark);
                self.parts.stats.update(|c| c.watermark = watermark);
                self.parts.worker.watermark(watermark, &mut self.output)?;
                self.then = Some(Then::PassWatermark(watermark));
            }
            Event::InputEnd(input) => {
                if let Worker::Operator(operator) = &mut self.parts.worker {
                    operator.on_end(input, &mut self.output)?;
                }
                self.then = Some(Then::Nothing);
            }
            Event::Barrier(id) => {
                self.snapshot(id)?;
                self.parts.outbox.control(&Item::Barrier(id), since)?;
            }
            Event::Idle(idleness) => self.parts.outbox.control(&Item::Idle(idleness), since)?,
            Event::End => self.end()?,
            Event::Halt => self.close(Finish::Halt)?,
        }
        Ok(())
    }

    fn take_rows(&mut self, input: usize, batch: Batch) -> Result<()> {
        let (rows, bytes) = (batch.represented_rows(), batch.size_bytes() as u64);
        self.parts.stats.update(|c| {
            c.rows_in += rows;
            c.batches_in += 1;
            c.bytes_in += bytes;
        });
        if let Some(tap) = &self.parts.tap {
            tap.show(&batch);
        }
        self.parts.worker.batch(input, batch, &mut self.output)
    }

    /// Lets the operator say what is left; when that is nothing, does what was to follow.
    fn go_on(&mut self, then: Then) -> Result<Progress> {
        if self.parts.worker.resume(&mut self.output)? == Progress::More {
            self.between_pieces()?;
            return Ok(Progress::More);
        }
        self.collect()?;
        self.then = None;
        match then {
            Then::Nothing => {}
            Then::GiveCreditBack(channel) => self.parts.inbox.processed(channel),
            Then::PassWatermark(watermark) => {
                if let Worker::Operator(operator) = &self.parts.worker {
                    let outgoing = operator.outgoing_watermark(watermark);
                    self.parts.outbox.control(&Item::Watermark(outgoing), self.parts.inbox.since())?;
                }
            }
        }
        self.measure_state()?;
        Ok(Progress::Done)
    }

    /// The operator has more to say. Where that is much more than memory holds, keys leave it in between.
    fn between_pieces(&mut self) -> Result<()> {
        match (&self.parts.spilling, &self.parts.worker) {
            (Some(_), Worker::Operator(operator)) if operator.can_forget_keys() => self.measure_state(),
            _ => Ok(()),
        }
    }

    /// Takes over what the operator has written and counted.
    fn collect(&mut self) -> Result<()> {
        let since = self.parts.inbox.since();
        let (mut rows_out, mut batches_out) = (0, 0);
        for (port, batch) in self.output.take_batches() {
            if self.parts.counted_ports.get(port).copied().unwrap_or(false) {
                rows_out += batch.rows() as u64;
                batches_out += 1;
            }
            self.parts.outbox.push(port, batch, since)?;
        }
        if let Some(watermark) = self.output.take_promise() {
            self.parts.stats.update(|c| c.watermark = watermark);
            self.parts.outbox.control(&Item::Watermark(watermark), since)?;
        }
        let fates = self.output.take_fates();
        self.warn_of_late(&fates);
        if rows_out > 0 || fates != Fates::default() {
            self.parts.stats.update(|c| {
                c.rows_out += rows_out;
                c.batches_out += batches_out;
                c.fates.add(&fates);
            });
        }
        self.timer = earlier(self.timer, self.output.take_timer());
        Ok(())
    }

    fn warn_of_late(&mut self, fates: &Fates) {
        if let Some(Judged { rows, late }) = self.late.note(fates, self.output.now()) {
            let (node, watermark) = (&self.parts.id.node, self.parts.inbox.watermark());
            tracing::warn!("`{node}`: {late} of the last {rows} rows were late; its watermark is {watermark}. {LATE_BECAUSE}");
        }
    }

    /// The input is over: nobody will be told later.
    fn warn_of_late_at_end(&self) {
        if let Some(Judged { rows, late }) = self.late.at_end() {
            tracing::warn!("`{}`: {late} of {rows} rows were late. {LATE_BECAUSE}", self.parts.id.node);
        }
    }

    fn measure_state(&mut self) -> Result<()> {
        let Worker::Operator(operator) = &mut self.parts.worker else { return Ok(()) };
        let bytes = match &mut self.parts.spilling {
            None => operator.state_bytes(),
            Some(spilling) => {
                let bytes = spilling.after(operator.as_mut(), self.output.now())?;
                let disk = spilling.counts();
                self.parts.stats.update(|c| c.disk = disk);
                bytes
            }
        };
        let waits_for = operator.waits_for();
        if waits_for != self.waits_for {
            self.waits_for = waits_for;
            self.parts.stats.update(|c| c.waits_for = waits_for);
        }
        if bytes == self.state_bytes {
            return Ok(());
        }
        self.parts.stats.update(|c| c.state_bytes = bytes);
        let before = std::mem::replace(&mut self.state_bytes, bytes);
        self.parts.memory.change(self.parts.index, before, bytes)
    }
}

impl Task for OperatorTask {
    fn turn(&mut self) -> Turn {
        let clock = self.parts.schedule.clock.clone();
        let start = clock.now();
        self.parts.stats.update(|c| c.times.enter(Activity::Busy, start));
        let turn = self.run(start).unwrap_or_else(Turn::Failed);
        let activity = turn.leads_to(self.no_credit);
        self.parts.stats.update(|c| c.times.enter(activity, clock.now()));
        turn
    }

    fn order(&mut self, order: Order) {
        if let (Order::Commit(id), Some(phases)) = (order, &mut self.phases) {
            phases.ordered = phases.ordered.max(id);
        }
    }
}

/// The earlier of two times that may not be there.
pub fn earlier(a: Option<ClockTime>, b: Option<ClockTime>) -> Option<ClockTime> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

//! The [`Operator`] trait: a synchronous piece of a pipeline that reads batches and writes to a buffer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::ArrayRef;

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::state::{ColdPanes, ColdState, DueKeys, StateReader, StateWriter};
use crate::time::{ClockTime, EventTime};

/// One subtask of an operator node.
///
/// The runtime calls the methods of one subtask one at a time, from one thread at a time. Order per input is the order of
/// the edge; between inputs there is none. An `Err` ends the run (or sends it back to the last checkpoint): a row that is
/// merely bad is not an error here but a [`BadRow`](crate::error::BadRow), handled by the node's `on_bad_row`.
///
/// An operator that has more to say than fits stops when [`Output::is_full`] and says the rest in [`resume`](Operator::resume),
/// which the runtime calls after every other method, before it hands over anything else, until it returns [`Progress::Done`].
///
/// Every row that comes in has exactly one fate, to be counted in [`Output::fates`].
pub trait Operator: Send {
    /// Rows of one input.
    fn on_batch(&mut self, input: usize, batch: Batch, out: &mut Output) -> Result<()>;

    /// Partial results that a [`Combiner`](crate::Combiner) of this node has made of rows of one input. They stand for
    /// [`represented_rows`](Batch::represented_rows), each of which has its fate.
    fn on_partial(&mut self, input: usize, partial: Batch, out: &mut Output) -> Result<()> {
        let _ = (input, partial, out);
        Err(Error::internal("partial results for an operator that makes none"))
    }

    /// The node's watermark, the smallest of its inputs', has risen to `watermark`; `EventTime::MAX` when all inputs ended.
    /// The runtime passes [`outgoing_watermark`](Operator::outgoing_watermark) on once `resume` is done.
    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        let _ = (watermark, out);
        Ok(())
    }

    /// What to promise downstream when the node's watermark is `watermark`: never more than its own later rows keep.
    fn outgoing_watermark(&self, watermark: EventTime) -> EventTime {
        watermark
    }

    /// The time asked for with [`Output::wake_at`] has come.
    fn on_timer(&mut self, at: ClockTime, out: &mut Output) -> Result<()> {
        let _ = (at, out);
        Ok(())
    }

    /// Goes on with what did not fit.
    fn resume(&mut self, out: &mut Output) -> Result<Progress> {
        let _ = out;
        Ok(Progress::Done)
    }

    /// Writes all state, by key group. Live state is the same afterwards.
    fn snapshot(&mut self, state: &mut StateWriter) -> Result<()> {
        let _ = state;
        Ok(())
    }

    /// Begins to note what changes, so that [`snapshot_changes`](Operator::snapshot_changes) can write it; `false`: it notes nothing,
    /// and always writes all. Called once, before anything comes in, where there are checkpoints and keys stay in memory, of a node
    /// whose plan names state that is [noted](crate::plan::Plan::noted).
    fn note_changes(&mut self) -> bool {
        false
    }

    /// Writes what has changed since this or [`snapshot`](Operator::snapshot) was called last: with [`StateWriter::put_gone`] the keys
    /// whose written rows do not hold any more, then all that is left of these keys, and rows that were added to others. Everything else
    /// that was written still holds; it may include rows that event time has passed, which do no harm. State that is not
    /// [noted](crate::plan::Plan::noted) is written whole.
    fn snapshot_changes(&mut self, state: &mut StateWriter) -> Result<()> {
        let _ = state;
        Err(Error::internal("changes are to be written, and the operator has not noted them"))
    }

    /// Takes back what [`snapshot`](Operator::snapshot) wrote, on a fresh subtask, possibly at another parallelism: only
    /// the key groups that this subtask owns are in `state`.
    ///
    /// Where keys may leave memory ([`Plan::spills`](crate::plan::Plan::spills)) it is also called later, with keys that are
    /// not in memory: it adds them to those that are.
    fn restore(&mut self, state: &StateReader) -> Result<()> {
        let _ = state;
        Ok(())
    }

    /// Lets go of all keys and their state, and of the memory they took: [`snapshot`](Operator::snapshot) has just written them,
    /// and what is needed again comes back by [`Output::fetch`]. Only of a node whose plan [`spills`](crate::plan::Plan::spills), or
    /// whose [panes](crate::plan::Plan::spills_panes) may leave memory; state that the plan does not name there stays.
    fn forget_keys(&mut self) -> Result<()> {
        Err(Error::internal("keys are to leave memory, and the operator keeps them"))
    }

    /// Whether it could let go of all keys at this moment although it has [more](Progress::More) to say. What closes with a watermark can
    /// be much more than memory holds; a node that has it come back from disk says `true` between two pieces of it.
    fn can_forget_keys(&self) -> bool {
        false
    }

    /// No more rows will come from `input`. Called again after a restore, for an input that had ended before the checkpoint.
    fn on_end(&mut self, input: usize, out: &mut Output) -> Result<()> {
        let _ = (input, out);
        Ok(())
    }

    /// The least watermark at which it would send something of what it holds: the end of its next window, say, plus any
    /// allowed lateness. `None`: it holds nothing that waits for event time. Asked after every batch, so it must be cheap;
    /// `millstream why` shows it.
    fn waits_for(&self) -> Option<EventTime> {
        None
    }

    /// How many of the rows counted as taken would still change a result that has not been sent: the ledger's "in state"
    /// at a stop.
    fn rows_in_state(&self) -> u64 {
        0
    }

    /// Memory of the state, in bytes, roughly; counted against `runtime.memory`.
    fn state_bytes(&self) -> usize {
        0
    }
}

/// Whether an operator has said all it had to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It has.
    Done,
    /// It stopped because the output was full, or so that keys may [leave memory](Operator::can_forget_keys).
    More,
}

/// How many rows met which fate. Each row into a node is counted once; rows out are counted by the runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    /// Sent on.
    pub passed: u64,
    /// Left out by a condition.
    pub filtered: u64,
    /// Taken into an aggregate or join, or written by a sink.
    pub taken: u64,
    /// Too late for every window.
    pub late: u64,
    /// Bad, and sent to `.rejected`.
    pub rejected: u64,
    /// Bad, and left out.
    pub skipped: u64,
    /// Left out because of `state_ttl` or `retain`.
    pub expired: u64,
    /// Of the rows taken: too late for some of their windows. Not a fate of its own.
    pub partly_late: u64,
}

impl Fates {
    /// The sum of the fates: rows in, when nothing is lost.
    pub fn total(&self) -> u64 {
        self.passed + self.filtered + self.taken + self.late + self.rejected + self.skipped + self.expired
    }

    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &Fates) {
        self.passed += other.passed;
        self.filtered += other.filtered;
        self.taken += other.taken;
        self.late += other.late;
        self.rejected += other.rejected;
        self.skipped += other.skipped;
        self.expired += other.expired;
        self.partly_late += other.partly_late;
    }
}

/// The buffer that an operator writes to. Port 0 is the node's stream, the others its side streams in the order of its plan.
#[derive(Debug)]
pub struct Output {
    batches: Vec<(usize, Batch)>,
    buffered_rows: usize,
    full_at_rows: usize,
    fates: Fates,
    now: ClockTime,
    watermark: EventTime,
    wake_at: Option<ClockTime>,
    promise: Option<EventTime>,
    cold: Option<Arc<Mutex<dyn ColdState>>>,
    cold_panes: Option<Arc<Mutex<dyn ColdPanes>>>,
}

impl Output {
    /// An empty buffer that is full at `full_at_rows` rows.
    pub fn new(full_at_rows: usize) -> Self {
        Output {
            batches: Vec::new(),
            buffered_rows: 0,
            full_at_rows,
            fates: Fates::default(),
            now: ClockTime(0),
            watermark: EventTime::MIN,
            wake_at: None,
            promise: None,
            cold: None,
            cold_panes: None,
        }
    }

    /// Says which keys are about to be read or changed; the state of those that are not in memory, to be given to
    /// [`Operator::restore`] before anything is looked up. A node whose plan [`spills`](crate::plan::Plan::spills) calls it
    /// before it looks at rows of these keys, with the same columns by which it writes its state.
    ///
    /// # Errors
    /// When they cannot be read from disk.
    pub fn fetch(&mut self, keys: &[ArrayRef], rows: usize) -> Result<Option<StateReader>> {
        match &self.cold {
            Some(cold) => cold.lock().unwrap_or_else(PoisonError::into_inner).fetch(keys, rows),
            None => Ok(None),
        }
    }

    /// Some of the keys that are on disk and of which something is due up to this instant, to be given to [`Operator::restore`]. A node
    /// whose plan says that keys are [due](crate::plan::Due) calls it when its watermark has risen, until none comes back.
    ///
    /// # Errors
    /// When they cannot be read from disk.
    pub fn fetch_due(&mut self, until: EventTime) -> Result<DueKeys> {
        match &self.cold {
            Some(cold) => cold.lock().unwrap_or_else(PoisonError::into_inner).fetch_due(until),
            None => Ok(DueKeys::default()),
        }
    }

    /// Some of the keys that are on disk and for which rows came since this was asked last until none came back, to be given to
    /// [`Operator::restore`]. A node whose plan says that it speaks [at ticks](crate::plan::Spills::at_ticks) calls it when it has said what
    /// has changed of keys in memory. After a start from a checkpoint all keys count as such.
    ///
    /// # Errors
    /// When they cannot be read from disk.
    pub fn fetch_touched(&mut self) -> Result<Option<StateReader>> {
        match &self.cold {
            Some(cold) => cold.lock().unwrap_or_else(PoisonError::into_inner).fetch_touched(),
            None => Ok(None),
        }
    }

    /// The panes that are on disk. Only of a node whose plan says that [they may be](crate::plan::Plan::spills_panes), and that has
    /// been told to let go of some.
    ///
    /// # Errors
    /// When all panes are in memory.
    pub fn cold_panes(&self) -> Result<MutexGuard<'_, dyn ColdPanes + 'static>> {
        let panes = self.cold_panes.as_ref().ok_or_else(|| Error::internal("panes on disk, of a node that keeps them in memory"))?;
        Ok(panes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends rows to a port. A batch without rows is dropped. Rows of any number: the runtime cuts and joins batches.
    pub fn emit(&mut self, port: usize, batch: Batch) {
        if batch.rows() > 0 {
            self.buffered_rows += batch.rows();
            self.batches.push((port, batch));
        }
    }

    /// Whether to stop and wait for [`Operator::resume`].
    pub fn is_full(&self) -> bool {
        self.buffered_rows >= self.full_at_rows
    }

    /// The ledger of the rows that came in.
    pub fn fates(&mut self) -> &mut Fates {
        &mut self.fates
    }

    /// The wall clock at the start of this call.
    pub fn now(&self) -> ClockTime {
        self.now
    }

    /// The node's watermark: the last one that `on_watermark` was given.
    pub fn watermark(&self) -> EventTime {
        self.watermark
    }

    /// Asks for [`Operator::on_timer`] at `at`, if nothing earlier is asked for. One timer is kept; it is gone once it fired.
    pub fn wake_at(&mut self, at: ClockTime) {
        self.wake_at = Some(self.wake_at.map_or(at, |old| old.min(at)));
    }

    /// Promises, behind the rows that were emitted, that no more rows below `watermark` will be: for an operator that gives
    /// event time to rows which had none, so that no watermark comes in that it could pass on. Never falls.
    pub fn promise(&mut self, watermark: EventTime) {
        self.promise = Some(watermark);
    }

    /// For the runtime: sets what [`now`](Output::now) and [`watermark`](Output::watermark) say.
    pub fn set_times(&mut self, now: ClockTime, watermark: EventTime) {
        self.now = now;
        self.watermark = watermark;
    }

    /// For the runtime: where [`fetch`](Output::fetch) finds keys that are not in memory.
    pub fn set_cold_state(&mut self, cold: Arc<Mutex<dyn ColdState>>) {
        self.cold = Some(cold);
    }

    /// For the runtime: where [`cold_panes`](Output::cold_panes) are.
    pub fn set_cold_panes(&mut self, panes: Arc<Mutex<dyn ColdPanes>>) {
        self.cold_panes = Some(panes);
    }

    /// For the runtime: takes what was written.
    pub fn take_batches(&mut self) -> Vec<(usize, Batch)> {
        self.buffered_rows = 0;
        std::mem::take(&mut self.batches)
    }

    /// For the runtime: takes the counts since the last call.
    pub fn take_fates(&mut self) -> Fates {
        std::mem::take(&mut self.fates)
    }

    /// For the runtime: takes what was promised.
    pub fn take_promise(&mut self) -> Option<EventTime> {
        self.promise.take()
    }

    /// For the runtime: takes the timer that was asked for.
    pub fn take_timer(&mut self) -> Option<ClockTime> {
        self.wake_at.take()
    }
}

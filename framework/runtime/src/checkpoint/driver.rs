//! The thread that drives the [`Coordinator`]: it takes in what tasks report, writes to the store, and tells the actors.
//!
//! Writing blocks this thread and nobody else: tasks go on as soon as they have handed in their snapshots. The channel to it is
//! bounded by what the protocol allows: a task hands in one part for the checkpoint under way, one for that of a stop, and one
//! at its end.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use actix::Addr;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use millstream_api::error::{Error, ErrorKind, Result};
use millstream_api::message::CheckpointId;
use millstream_api::time::{Clock, ClockTime};
use millstream_state::{Finished, JobSnapshot, Manifest, NodeRecord, SnapshotListener, Store, TaskId, TaskSnapshot};

use super::coordinator::{Action, Coordinator, Pace};
use super::status::Shared;
use crate::actors::{Fail, Give, Supervisor, TaskActor};
use crate::feed::panic_text;
use crate::task::Order;
use crate::wake::tell;

/// Parts of one task that can be on their way at once.
const PARTS_PER_TASK: usize = 3;

/// Requests from outside that can wait.
const REQUESTS: usize = 64;

/// What the driver hears.
pub enum Event {
    /// A task has come to a barrier.
    Part(CheckpointId, TaskId, TaskSnapshot),
    /// A task is over.
    Ended(TaskId, TaskSnapshot),
    /// A task cannot take part in a checkpoint.
    CutOff(CheckpointId, TaskId),
    /// Somebody wants a checkpoint, and to hear of it.
    Want(Sender<Result<CheckpointId>>),
    /// The run is to stop.
    Stop,
    /// The run is to end as if its inputs had.
    Drain,
    /// The run is over.
    Over,
}

/// Hands snapshots to the driver.
pub struct Listener(Sender<Event>);

impl SnapshotListener for Listener {
    fn task_snapshot(&self, checkpoint: CheckpointId, task: &TaskId, snapshot: TaskSnapshot) {
        // An error means that the run is over, and then nobody needs it.
        let _ = self.0.send(Event::Part(checkpoint, task.clone(), snapshot));
    }

    fn task_ended(&self, task: &TaskId, snapshot: TaskSnapshot) {
        let _ = self.0.send(Event::Ended(task.clone(), snapshot));
    }

    fn task_cut_off(&self, checkpoint: CheckpointId, task: &TaskId) {
        let _ = self.0.send(Event::CutOff(checkpoint, task.clone()));
    }
}

/// A channel to the driver of a run of so many tasks, and who speaks into it for them.
pub fn channel(tasks: usize) -> (Sender<Event>, Receiver<Event>, Arc<Listener>) {
    let (sender, receiver) = bounded(tasks * PARTS_PER_TASK + REQUESTS);
    (sender.clone(), receiver, Arc::new(Listener(sender)))
}

/// Whom the driver tells.
pub struct Actors {
    /// Those of sources.
    pub sources: Vec<Addr<TaskActor>>,
    /// Those of sinks.
    pub sinks: Vec<Addr<TaskActor>>,
    /// The supervisor.
    pub supervisor: Addr<Supervisor>,
}

/// What the driver needs to know of its run.
pub struct Run {
    /// Where checkpoints go.
    pub store: Store,
    /// How many are kept.
    pub retain: usize,
    /// How often, how long.
    pub pace: Pace,
    /// The topology's name.
    pub topology: String,
    /// `runtime.key_groups`.
    pub key_groups: u16,
    /// The nodes.
    pub nodes: Vec<NodeRecord>,
    /// All tasks.
    pub tasks: BTreeSet<TaskId>,
    /// Those of sources.
    pub sources: BTreeSet<TaskId>,
    /// Those of them that feed tables of lookups.
    pub tables: BTreeSet<TaskId>,
    /// The number of the first checkpoint.
    pub next: CheckpointId,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What is seen from outside.
    pub status: Shared,
}

/// Starts the driver. It ends with [`Event::Over`].
///
/// # Errors
/// When the operating system gives no thread.
pub fn start(run: Run, events: Receiver<Event>, actors: Actors) -> Result<JoinHandle<()>> {
    let supervisor = actors.supervisor.clone();
    let drive = move || {
        let driver = catch_unwind(AssertUnwindSafe(|| Driver::new(run, actors).drive(&events)));
        if let Err(panic) = driver {
            tell(&supervisor, Fail(Error::internal(format!("checkpoints panicked: {}", panic_text(panic.as_ref())))));
        }
    };
    std::thread::Builder::new().name("checkpoints".to_owned()).spawn(drive).map_err(|cause| Error::io("cannot start a thread", cause))
}

/// A store that takes longer than a checkpoint may.
fn too_slow(timeout: Duration) -> Error {
    Error::new(ErrorKind::State, format!("it was not written after {timeout:?}: the store is too slow for so much state"))
        .help("raise `timeout` in [checkpoint], or use a faster store")
}

struct Driver {
    run: Run,
    actors: Actors,
    coordinator: Coordinator,
    waiting: Vec<(CheckpointId, Sender<Result<CheckpointId>>)>,
}

impl Driver {
    fn new(run: Run, actors: Actors) -> Self {
        let coordinator = Coordinator::new(run.pace, run.tasks.clone(), run.sources.clone(), run.next, run.clock.now());
        let coordinator = coordinator.with_tables(run.tables.clone());
        Driver { run, actors, coordinator, waiting: Vec::new() }
    }

    fn drive(&mut self, events: &Receiver<Event>) {
        loop {
            while let Some(action) = self.coordinator.next_action(self.run.clock.now()) {
                self.act(action);
            }
            let now = self.run.clock.now();
            let wait = self.coordinator.deadline().map(|at| Duration::from_micros((at.0 - now.0).max(0).unsigned_abs()));
            let event = match wait {
                Some(wait) => events.recv_timeout(wait),
                None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match event {
                Ok(Event::Over) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(event) => self.hear(event),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        let over = || Error::new(ErrorKind::State, "the run has ended");
        self.waiting.drain(..).for_each(|(_, answer)| drop(answer.send(Err(over()))));
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Part(id, task, snapshot) => self.coordinator.part(id, task, snapshot),
            Event::Ended(task, snapshot) => self.coordinator.ended(task, snapshot),
            Event::CutOff(id, task) => self.coordinator.cut_off(id, &task),
            Event::Want(answer) if self.coordinator.is_over() => {
                let error = Error::new(ErrorKind::State, "the run is stopping; a last checkpoint is taken anyway");
                drop(answer.send(Err(error)));
            }
            Event::Want(answer) => self.waiting.push((self.coordinator.want(), answer)),
            Event::Stop => self.coordinator.stop(),
            Event::Drain => self.coordinator.drain(),
            Event::Over => {}
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Begin { id, halt } => {
                tracing::debug!(checkpoint = id, "checkpoint begins");
                let order = if halt { Order::LastCheckpoint(id) } else { Order::Checkpoint(id) };
                self.actors.sources.iter().for_each(|source| tell(source, Give(order)));
            }
            Action::Write { id, began, snapshot, finished } => self.write(id, began, &snapshot, finished),
            Action::Commit(id) => {
                self.actors.sinks.iter().chain(&self.actors.sources).for_each(|actor| tell(actor, Give(Order::Commit(id))));
            }
            Action::Tolerate(id, error) => {
                tracing::warn!(checkpoint = id, %error, "a checkpoint has failed; the run goes on");
                self.failed(id, &error);
            }
            Action::Fail(id, error) => {
                // Said at once: a node that is in the middle of something ends only after it.
                tracing::error!(checkpoint = id, %error, "a checkpoint has failed, and with it the run");
                self.failed(id, &error);
                let failure = Error::new(error.kind(), format!("checkpoint {id} has failed: {}", error.message()));
                let failure = match error.help_text() {
                    Some(help) => failure.help(help),
                    None => failure,
                };
                tell(&self.actors.supervisor, Fail(failure));
            }
        }
    }

    fn write(&mut self, id: CheckpointId, began: ClockTime, snapshot: &JobSnapshot, finished: Option<Finished>) {
        let whole = self.run.clock.now();
        let about = Manifest {
            topology: self.run.topology.clone(),
            checkpoint: id,
            taken_at: whole.0,
            written_by: env!("CARGO_PKG_VERSION").to_owned(),
            key_groups: self.run.key_groups,
            finished,
            nodes: self.run.nodes.clone(),
            tasks: Vec::new(),
        };
        let timeout = self.run.pace.timeout;
        let may_go_on = || if self.run.clock.now() < began.plus(timeout) { Ok(()) } else { Err(too_slow(timeout)) };
        let written = self.run.store.write(about, snapshot, &may_go_on);
        let now = self.run.clock.now();
        if let Ok(written) = &written {
            let read = self.run.sources.iter().map(|source| (source.node.clone(), snapshot.counts(&source.node).rows_in)).collect();
            self.run.status.completed(id, began, whole, now, written.bytes, read);
            tracing::info!(checkpoint = id, bytes = written.bytes, milliseconds = (now.0 - began.0) / 1_000, "checkpoint written");
            self.answer(id, &Ok(id));
            if let Err(error) = self.run.store.tidy(id, self.run.retain) {
                tracing::warn!(%error, "old checkpoints could not be removed; the next one tries again");
            }
        }
        self.coordinator.written(written.map(drop), now);
    }

    fn failed(&mut self, id: CheckpointId, error: &Error) {
        self.run.status.failed(format!("checkpoint {id}: {error}"));
        self.answer(id, &Err(error.clone()));
    }

    /// Tells those who wait for this checkpoint or one before it.
    fn answer(&mut self, id: CheckpointId, result: &Result<CheckpointId>) {
        let (answered, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(|(wanted, _)| *wanted <= id);
        self.waiting = waiting;
        let answered: Vec<(CheckpointId, Sender<Result<CheckpointId>>)> = answered;
        // Whoever does not wait any more is not told.
        answered.iter().for_each(|(_, answer)| drop(answer.send(result.clone())));
    }
}

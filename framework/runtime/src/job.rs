//! A topology as a run of actors: start, restarts after failures, and what came of it.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use actix::{Actor, Addr, Arbiter, System};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use millstream_api::Error;
use millstream_api::message::CheckpointId;
use millstream_api::registry::Role;
use millstream_api::time::Clock;
use millstream_api::view::Views;
use millstream_state::{NoCheckpoints, SnapshotListener, TaskId};
use millstream_topology::{CheckpointSettings, Topology};
use tokio::sync::oneshot;

use crate::actors::{Fail, FirstFailure, Supervisor, TaskActor, Watch};
use crate::build::{BuildError, Built, Surroundings, build};
use crate::checkpoint::Checkpoints;
use crate::checkpoint::driver::{self, Event};
use crate::checkpoint::restarts::{CHECKPOINTS, Policy, Progress, Restarts, Verdict};
use crate::feed::{Feed, Threaded};
use crate::handle::{Actors, Counted, Handle};
use crate::ledger::Ledger;
use crate::observe::Observer;
use crate::placement::Placement;
use crate::schedule::Schedule;
use crate::spilling::DiskUse;
use crate::wake::tell;

/// How long a run waits at its end for a reading thread that is stuck in the operating system.
const THREADS_END_WITHIN: Duration = Duration::from_secs(2);

/// How to run a topology.
#[derive(Default)]
pub struct RunOptions {
    /// Whether a stop is an end: windows close, and every row comes out.
    pub drain: bool,
    /// Where views make themselves known.
    pub views: Views,
    /// Where checkpoints are kept; `None`: there are none.
    pub checkpoints: Option<Checkpoints>,
    /// Hears what happens while it runs.
    pub notices: Option<Notices>,
}

/// Hears of what a run outlives.
pub type Notices = Box<dyn Fn(&Notice<'_>)>;

/// Something that a run outlives.
#[derive(Debug)]
pub enum Notice<'a> {
    /// It has failed, and goes on from the last checkpoint after a wait.
    Failed {
        /// How.
        failure: &'a Failure,
        /// The wait.
        wait: Duration,
        /// The checkpoint; `None`: there is none yet, so it begins anew.
        from: Option<CheckpointId>,
    },
    /// It goes on.
    GoesOn,
}

/// A topology that is ready to run.
pub struct Job {
    topology: Arc<Topology>,
    options: RunOptions,
    attempt: Attempt,
    handle: Handle,
}

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// What became of every row.
    pub ledger: Ledger,
}

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    /// All inputs have ended and all rows are out.
    Done,
    /// It was stopped.
    Stopped,
    /// It was ended at once: the ledger says how far it had come.
    Aborted,
    /// It could not go on.
    Failed(Failure),
}

/// Why a run could not go on.
#[derive(Debug)]
pub struct Failure {
    /// The node that failed.
    pub node: String,
    /// Which of its subtasks.
    pub subtask: usize,
    /// How many subtasks it has.
    pub parallelism: usize,
    /// The line of the topology file that declares the node.
    pub line: usize,
    /// What happened.
    pub error: Error,
}

impl Failure {
    fn of(topology: &Topology, node: usize, subtask: usize, error: Error) -> Self {
        let node = &topology.nodes[node];
        Failure { node: node.name.clone(), subtask, parallelism: node.parallelism, line: node.line, error }
    }

    /// A failure of checkpoints as such.
    fn of_checkpoints(topology: &Topology, error: Error) -> Self {
        Failure { node: CHECKPOINTS.to_owned(), subtask: 0, parallelism: 1, line: topology.checkpoint_line, error }
    }

    /// The same with what is to be said of it beside.
    fn because(self, why: &str) -> Self {
        let help = self.error.help_text().map_or_else(|| why.to_owned(), |help| format!("{help}; {why}"));
        Failure { error: self.error.help(help), ..self }
    }
}

impl Job {
    /// Makes all tasks and opens what they need; nothing runs yet.
    ///
    /// # Errors
    /// When a node can't be made.
    pub fn prepare(topology: Topology, mut options: RunOptions) -> Result<Job, Box<Failure>> {
        let topology = Arc::new(topology);
        let attempt = Attempt::prepare(&topology, &mut options)?;
        let handle = Handle::new(options.drain, options.checkpoints.is_some(), attempt.counted(&topology));
        Ok(Job { topology, options, attempt, handle })
    }

    /// For stopping it and looking at it from another thread.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs it on this thread and `runtime.workers` others, until all inputs have ended, it is stopped or it fails. With
    /// checkpoints it goes on from the last one after a failure, within the limits of `[checkpoint]`.
    pub fn run(self) -> Report {
        let Job { topology, mut options, attempt, handle } = self;
        let mut restarts = options.checkpoints.as_ref().map(|checkpoints| Restarts::new(policy(&checkpoints.settings)));
        let mut failed = attempt.run(&topology, &options, &handle);
        let outcome = loop {
            let Some(failure) = failed else { break outcome_of(&handle) };
            if handle.is_aborted() {
                break Outcome::Aborted;
            }
            // To go on would only be to stop again.
            if handle.is_stopped() {
                break Outcome::Failed(failure);
            }
            let judge = |restarts: &mut Restarts| restarts.judge(&failure.node, &failure.error, progress(&topology, &options, &handle));
            match restarts.as_mut().map(judge) {
                Some(Verdict::Restart(wait)) => {
                    let from = newest(&options, &handle);
                    notice(&options, &Notice::Failed { failure: &failure, wait, from });
                    handle.wait(wait);
                    if handle.is_aborted() {
                        break Outcome::Aborted;
                    }
                    if handle.is_stopped() {
                        // What there is to tell is of the attempt that failed.
                        break Outcome::Failed(failure);
                    }
                    failed = go_on(&topology, &mut options, &handle, from);
                }
                Some(Verdict::GiveUp(Some(why))) => break Outcome::Failed(failure.because(&why)),
                Some(Verdict::GiveUp(None)) | None => break Outcome::Failed(failure),
            }
        };
        Report { outcome, ledger: handle.ledger() }
    }
}

fn outcome_of(handle: &Handle) -> Outcome {
    match handle.is_aborted() {
        true => Outcome::Aborted,
        false if handle.is_stopped() => Outcome::Stopped,
        false => Outcome::Done,
    }
}

fn policy(settings: &CheckpointSettings) -> Policy {
    Policy {
        restarts: settings.restarts,
        delay: settings.restart_delay.duration(),
        max_delay: settings.max_restart_delay.duration(),
        same_failures: settings.same_failures.get(),
    }
}

/// How far the run has come.
fn progress(topology: &Topology, options: &RunOptions, handle: &Handle) -> Progress {
    let ledger = handle.ledger();
    let sources = topology.nodes.iter().filter(|node| node.role == Role::Source);
    let read = sources.filter_map(|source| Some((source.name.clone(), ledger.node(&source.name)?.rows_in)));
    Progress { newest: newest(options, handle), covered: handle.status().covered(), read: read.collect() }
}

/// The newest checkpoint of the run.
fn newest(options: &RunOptions, handle: &Handle) -> Option<CheckpointId> {
    let begun_from = options.checkpoints.as_ref().and_then(|checkpoints| checkpoints.from.as_ref()).map(|(id, _)| *id);
    handle.status().get().newest.max(begun_from)
}

fn notice(options: &RunOptions, notice: &Notice<'_>) {
    if let Some(hear) = &options.notices {
        hear(notice);
    }
}

/// Makes everything anew from a checkpoint and runs it. How it failed, if it did.
fn go_on(topology: &Arc<Topology>, options: &mut RunOptions, handle: &Handle, from: Option<CheckpointId>) -> Option<Failure> {
    handle.status().restarted();
    if let Some(checkpoints) = &mut options.checkpoints
        && let Err(error) = checkpoints.reload(from)
    {
        return Some(Failure::of_checkpoints(topology, error));
    }
    match Attempt::prepare(topology, options) {
        Ok(attempt) => {
            handle.counts(attempt.counted(topology));
            notice(options, &Notice::GoesOn);
            attempt.run(topology, options, handle)
        }
        Err(failure) => Some(*failure),
    }
}

/// All tasks of a topology, from the start or a checkpoint to the end or a failure.
struct Attempt {
    built: Built,
    schedule: Schedule,
    /// What tasks say to the driver of checkpoints.
    events: Option<(Sender<Event>, Receiver<Event>)>,
    /// Disconnected when the last reading thread has ended.
    threads: Receiver<()>,
}

impl Attempt {
    fn prepare(topology: &Topology, options: &mut RunOptions) -> Result<Attempt, Box<Failure>> {
        let schedule = Schedule::system();
        let (alive, threads) = bounded(1);
        let clock = schedule.clock.clone();
        let mut feed =
            |node: &str, source, slot| Ok(Box::new(Threaded::start(node, source, slot, clock.clone(), alive.clone())?) as Box<dyn Feed>);
        let tasks = topology.nodes.iter().map(|node| node.parallelism).sum();
        let (events, snapshots): (_, Arc<dyn SnapshotListener>) = match &options.checkpoints {
            Some(_) => {
                let (sender, receiver, listener) = driver::channel(tasks);
                (Some((sender, receiver)), listener)
            }
            None => (None, Arc::new(NoCheckpoints)),
        };
        let surroundings = Surroundings {
            schedule: schedule.clone(),
            views: options.views.clone(),
            snapshots,
            restore: options.checkpoints.as_ref().and_then(|checkpoints| checkpoints.from.as_ref()).map(|(_, snapshot)| snapshot),
            two_phase: options.checkpoints.as_ref().map(|checkpoints| checkpoints.next - 1),
            feed: &mut feed,
            check_grammar: cfg!(debug_assertions),
            disk: DiskUse::Run,
        };
        let built = build(topology, surroundings);
        options.checkpoints.iter_mut().for_each(Checkpoints::taken_back);
        match built {
            Ok(built) => Ok(Attempt { built, schedule, events, threads }),
            Err(BuildError { node, subtask, error }) => Err(Box::new(Failure::of(topology, node, subtask, error))),
        }
    }

    fn counted(&self, topology: &Arc<Topology>) -> Counted {
        let stats_of = |index: usize| self.built.tasks.iter().filter(|task| task.node == index).map(|task| task.stats.clone()).collect();
        let nodes = topology.nodes.iter().enumerate().map(|(index, node)| (node.name.clone(), stats_of(index))).collect();
        let observer = Observer::new(topology, &self.built, self.schedule.clock.clone());
        Counted { topology: topology.clone(), nodes, observer, taps: self.built.taps.clone() }
    }

    /// Runs it to its end. How it failed, if it did.
    fn run(self, topology: &Topology, options: &RunOptions, handle: &Handle) -> Option<Failure> {
        let Attempt { built, schedule, events, threads } = self;
        let places: Vec<(usize, usize)> = built.tasks.iter().map(|task| (task.node, task.id.subtask)).collect();
        let checkpoints = options.checkpoints.as_ref().zip(events);
        let failure = System::new().block_on(run_actors(topology, built, schedule, handle, checkpoints));
        handle.ended();
        // Only Disconnected or Timeout can come: nobody sends.
        if threads.recv_timeout(THREADS_END_WITHIN) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("a source still waits for its input; its thread is left behind");
        }
        failure.map(|(task, error)| match task {
            Some(task) => {
                let (node, subtask) = places[task];
                Failure::of(topology, node, subtask, error)
            }
            None => Failure::of_checkpoints(topology, error),
        })
    }
}

type Driven<'a> = (&'a Checkpoints, (Sender<Event>, Receiver<Event>));

async fn run_actors(
    topology: &Topology,
    built: Built,
    schedule: Schedule,
    handle: &Handle,
    checkpoints: Option<Driven<'_>>,
) -> FirstFailure {
    let workers = topology.runtime.workers.get();
    let shared: Vec<Arbiter> = (0..workers).map(|_| Arbiter::new()).collect();
    // A sink that blocks has an arbiter, and so a thread, of its own: it holds up nobody but those who send to it.
    let mut own = Vec::new();
    let (done, all_over) = oneshot::channel();
    let supervisor = Supervisor::new(built.tasks.len(), done).start();
    let mut actors = Vec::new();
    let ids: Vec<(usize, TaskId)> = built.tasks.iter().map(|task| (task.node, task.id.clone())).collect();
    let mut placement = Placement::new(workers);
    for (index, task) in built.tasks.into_iter().enumerate() {
        let arbiter = if task.blocks {
            own.push(Arbiter::new());
            own[own.len() - 1].handle()
        } else {
            shared[placement.next(task.id.subtask, topology.nodes[task.node].parallelism)].handle()
        };
        let (clock, supervisor) = (schedule.clock.clone(), supervisor.clone());
        actors.push(TaskActor::start_in_arbiter(&arbiter, move |_| TaskActor::new(index, task.task, task.slot, clock, supervisor)));
    }
    tell(&supervisor, Watch(actors.clone()));
    let driving = checkpoints.map(|driven| drive(topology, driven, &ids, &actors, &supervisor, schedule.clock, handle));
    let driver = driving.as_ref().map(|(sender, _)| sender.clone());
    handle.started(Actors { sources: of_role(topology, &ids, &actors, Role::Source), tasks: actors, driver });
    let failure = all_over.await.unwrap_or_else(|_| Some((None, Error::internal("the supervisor is gone"))));
    for arbiter in shared.into_iter().chain(own) {
        arbiter.stop();
        let _ = arbiter.join();
    }
    if let Some((sender, thread)) = driving {
        // The thread empties the channel until it finds this.
        let _ = sender.send(Event::Over);
        let _ = thread.map(JoinHandle::join);
    }
    failure
}

fn of_role(topology: &Topology, ids: &[(usize, TaskId)], actors: &[Addr<TaskActor>], role: Role) -> Vec<Addr<TaskActor>> {
    ids.iter().zip(actors).filter(|((node, _), _)| topology.nodes[*node].role == role).map(|(_, actor)| actor.clone()).collect()
}

/// Starts the driver of checkpoints. Without it the run can't go on; the supervisor hears of that.
fn drive(
    topology: &Topology,
    (checkpoints, (sender, receiver)): Driven<'_>,
    ids: &[(usize, TaskId)],
    actors: &[Addr<TaskActor>],
    supervisor: &Addr<Supervisor>,
    clock: Arc<dyn Clock>,
    handle: &Handle,
) -> (Sender<Event>, Option<JoinHandle<()>>) {
    let told = driver::Actors {
        sources: of_role(topology, ids, actors, Role::Source),
        sinks: of_role(topology, ids, actors, Role::Sink),
        supervisor: supervisor.clone(),
    };
    let sources = ids.iter().filter(|(node, _)| topology.nodes[*node].role == Role::Source).map(|(_, id)| id.clone()).collect();
    let tasks = ids.iter().map(|(_, id)| id.clone()).collect();
    let run = checkpoints.driven(topology, tasks, sources, clock, handle.status().clone());
    let thread = driver::start(run, receiver, told).map_err(|error| tell(supervisor, Fail(error))).ok();
    (sender, thread)
}

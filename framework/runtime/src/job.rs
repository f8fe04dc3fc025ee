//! A topology as a run of actors: start, stop, and what came of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::{Actor, Addr, Arbiter, System};
use crossbeam_channel::{Receiver, bounded};
use millstream_api::Error;
use millstream_api::view::Views;
use millstream_state::NoCheckpoints;
use millstream_topology::Topology;
use tokio::sync::oneshot;

use crate::actors::{Abort, FirstFailure, Give, Supervisor, TaskActor, Watch};
use crate::build::{BuildError, Built, Surroundings, build};
use crate::feed::{Feed, Threaded};
use crate::ledger::{Ledger, Stats};
use crate::observe::{Observation, Observer};
use crate::schedule::Schedule;
use crate::task::Order;
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
}

/// A topology that is ready to run.
pub struct Job {
    topology: Topology,
    built: Built,
    schedule: Schedule,
    handle: Handle,
    /// Disconnected when the last reading thread has ended.
    threads: Receiver<()>,
}

/// What can be done with a run from another thread. Cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

struct Shared {
    order: Order,
    nodes: Vec<(String, Vec<Stats>)>,
    observer: Observer,
    control: Mutex<Control>,
}

#[derive(Default)]
struct Control {
    stopped: bool,
    aborted: bool,
    sources: Vec<Addr<TaskActor>>,
    tasks: Vec<Addr<TaskActor>>,
}

impl Handle {
    /// Stops the run: sources send no more rows, what is under way is finished.
    pub fn stop(&self) {
        let mut control = self.control();
        if !std::mem::replace(&mut control.stopped, true) {
            control.sources.iter().for_each(|source| tell(source, Give(self.0.order)));
        }
    }

    /// Ends the run at once: what is under way is dropped, sinks leave what they have not published.
    pub fn abort(&self) {
        let mut control = self.control();
        control.aborted = true;
        control.tasks.iter().for_each(|task| tell(task, Abort));
    }

    /// What every node has counted so far.
    pub fn ledger(&self) -> Ledger {
        Ledger::new(self.0.nodes.iter().map(|(node, stats)| (node.as_str(), stats.iter().map(Stats::get).collect())))
    }

    /// How the run goes.
    pub fn observe(&self) -> Observation {
        self.0.observer.observe()
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        self.0.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn started(&self, sources: Vec<Addr<TaskActor>>, tasks: Vec<Addr<TaskActor>>) {
        let mut control = self.control();
        if control.stopped {
            sources.iter().for_each(|source| tell(source, Give(self.0.order)));
        }
        if control.aborted {
            tasks.iter().for_each(|task| tell(task, Abort));
        }
        (control.sources, control.tasks) = (sources, tasks);
    }
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
}

impl Job {
    /// Makes all tasks and opens what they need; nothing runs yet.
    ///
    /// # Errors
    /// When a node can't be made.
    pub fn prepare(topology: Topology, options: RunOptions) -> Result<Job, Box<Failure>> {
        let schedule = Schedule::system();
        let (alive, threads) = bounded(1);
        let clock = schedule.clock.clone();
        let mut feed =
            |node: &str, source, slot| Ok(Box::new(Threaded::start(node, source, slot, clock.clone(), alive.clone())?) as Box<dyn Feed>);
        let surroundings = Surroundings {
            schedule: schedule.clone(),
            views: options.views,
            snapshots: Arc::new(NoCheckpoints),
            restore: None,
            feed: &mut feed,
            check_grammar: cfg!(debug_assertions),
        };
        let built = match build(&topology, surroundings) {
            Ok(built) => built,
            Err(BuildError { node, subtask, error }) => return Err(Box::new(Failure::of(&topology, node, subtask, error))),
        };
        let stats_of = |index: usize| built.tasks.iter().filter(|task| task.node == index).map(|task| task.stats.clone()).collect();
        let nodes = topology.nodes.iter().enumerate().map(|(index, node)| (node.name.clone(), stats_of(index))).collect();
        let order = if options.drain { Order::Drain } else { Order::Halt };
        let observer = Observer::new(&topology, &built, schedule.clock.clone());
        let handle = Handle(Arc::new(Shared { order, nodes, observer, control: Mutex::default() }));
        Ok(Job { topology, built, schedule, handle, threads })
    }

    /// For stopping it and looking at it from another thread.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs it on this thread and `runtime.workers` others, until all inputs have ended, it is stopped or it fails.
    pub fn run(self) -> Report {
        let Job { topology, built, schedule, handle, threads } = self;
        let places: Vec<(usize, usize)> = built.tasks.iter().map(|task| (task.node, task.id.subtask)).collect();
        let workers = topology.runtime.workers.get();
        let failure = System::new().block_on(run_actors(&topology, built, schedule, &handle, workers));
        // Only Disconnected or Timeout can come: nobody sends.
        if threads.recv_timeout(THREADS_END_WITHIN) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
            tracing::warn!("a source still waits for its input; its thread is left behind");
        }
        let outcome = match failure {
            Some((task, error)) => {
                let (node, subtask) = places[task];
                Outcome::Failed(Failure::of(&topology, node, subtask, error))
            }
            None if handle.control().aborted => Outcome::Aborted,
            None if handle.control().stopped => Outcome::Stopped,
            None => Outcome::Done,
        };
        Report { outcome, ledger: handle.ledger() }
    }
}

async fn run_actors(topology: &Topology, built: Built, schedule: Schedule, handle: &Handle, workers: usize) -> FirstFailure {
    let shared: Vec<Arbiter> = (0..workers).map(|_| Arbiter::new()).collect();
    // A sink that blocks has an arbiter, and so a thread, of its own: it holds up nobody but those who send to it.
    let mut own = Vec::new();
    let (done, all_over) = oneshot::channel();
    let supervisor = Supervisor::new(built.tasks.len(), done).start();
    let mut actors = Vec::new();
    let mut sources = Vec::new();
    for (index, task) in built.tasks.into_iter().enumerate() {
        let arbiter = if task.blocks {
            own.push(Arbiter::new());
            own[own.len() - 1].handle()
        } else {
            shared[index % workers].handle()
        };
        let (clock, supervisor) = (schedule.clock.clone(), supervisor.clone());
        let is_source = topology.nodes[task.node].inputs.is_empty();
        let actor = TaskActor::start_in_arbiter(&arbiter, move |_| TaskActor::new(index, task.task, task.slot, clock, supervisor));
        if is_source {
            sources.push(actor.clone());
        }
        actors.push(actor);
    }
    tell(&supervisor, Watch(actors.clone()));
    handle.started(sources, actors);
    let failure = all_over.await.unwrap_or_else(|_| Some((0, Error::internal("the supervisor is gone"))));
    for arbiter in shared.into_iter().chain(own) {
        arbiter.stop();
        let _ = arbiter.join();
    }
    failure
}

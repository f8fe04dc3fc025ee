//! Drives the tasks of a topology in one thread, in virtual time, in an order drawn from a seed.
//!
//! The tasks are those of production; only who gives them their turns is another. Whatever depends on scheduling shows as a
//! difference between seeds, and a seed that shows it shows it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use millstream_api::message::CheckpointId;
use millstream_api::time::{Clock, ClockTime};
use millstream_api::view::Views;
use millstream_api::{Error, Result};
use millstream_runtime::build::{BuildError, Built, BuiltChannel, MakeFeed, Surroundings, build};
use millstream_runtime::ledger::{Ledger, Stats};
use millstream_runtime::observe::{Observation, Observer};
use millstream_runtime::schedule::{MergeOrder, Schedule, Seed};
use millstream_runtime::spilling::DiskUse;
use millstream_runtime::task::{Order, Task, Turn};
use millstream_runtime::wake::Wake;
use millstream_state::{JobSnapshot, MemoryCheckpoints, TaskId};
use millstream_topology::Topology;

use crate::clock::ManualClock;

/// Turns without an end are a mistake in a task; so many are never needed.
const MOST_TURNS: usize = 50_000_000;

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct Running {
    id: TaskId,
    node: usize,
    is_source: bool,
    task: Option<Box<dyn Task>>,
    woken: Arc<Flag>,
    timer: Option<ClockTime>,
    stats: Stats,
}

/// A topology in virtual time.
pub struct VirtualRun {
    tasks: Vec<Running>,
    nodes: Vec<String>,
    channels: Vec<BuiltChannel>,
    observer: Observer,
    clock: Arc<ManualClock>,
    seed: Arc<Seed>,
    views: Views,
    checkpoints: MemoryCheckpoints,
    next_checkpoint: CheckpointId,
    /// Tasks that get no turn: what a test has stopped to see who waits for them.
    held: Option<String>,
}

impl VirtualRun {
    /// Makes the tasks of a topology, from its start or from a checkpoint. Sources are read as `feed` says.
    ///
    /// # Errors
    /// When a node can't be made.
    pub fn new<'a>(
        topology: &Topology,
        seed: u64,
        clock: Arc<ManualClock>,
        restore: Option<&'a JobSnapshot>,
        feed: &'a mut MakeFeed<'a>,
    ) -> Result<VirtualRun> {
        let seed = Arc::new(Seed::new(seed));
        let (views, checkpoints) = (Views::default(), MemoryCheckpoints::default());
        let surroundings = Surroundings {
            schedule: Schedule { clock: clock.clone(), order: MergeOrder::Seeded(seed.clone()) },
            views: views.clone(),
            snapshots: Arc::new(checkpoints.clone()),
            restore,
            two_phase: None,
            feed,
            check_grammar: true,
            disk: DiskUse::Test,
        };
        let built = build(topology, surroundings).map_err(|BuildError { error, .. }| error)?;
        let observer = Observer::new(topology, &built, clock.clone());
        let Built { tasks, channels, .. } = built;
        let start = |task: millstream_runtime::build::BuiltTask| {
            let woken = Arc::new(Flag(AtomicBool::new(true)));
            task.slot.set(woken.clone());
            let is_source = topology.nodes[task.node].inputs.is_empty();
            Running { id: task.id, node: task.node, is_source, task: Some(task.task), woken, timer: None, stats: task.stats }
        };
        Ok(VirtualRun {
            tasks: tasks.into_iter().map(start).collect(),
            nodes: topology.nodes.iter().map(|node| node.name.clone()).collect(),
            channels,
            observer,
            clock,
            seed,
            views,
            checkpoints,
            next_checkpoint: 1,
            held: None,
        })
    }

    /// Gives turns until nothing moves without the clock.
    ///
    /// # Errors
    /// The first failure of a task, with its name; or that turns have no end.
    pub fn run(&mut self) -> Result<()> {
        for _ in 0..MOST_TURNS {
            if !self.step()? {
                return Ok(());
            }
        }
        Err(Error::internal("the topology never comes to rest"))
    }

    /// Gives one turn to one task that has something to do. Whether there was one.
    ///
    /// # Errors
    /// The failure of the task.
    pub fn step(&mut self) -> Result<bool> {
        let now = self.clock.now();
        let can_run = |t: &Running| {
            let due = t.woken.0.load(Ordering::SeqCst) || t.timer.is_some_and(|at| at <= now);
            t.task.is_some() && due && self.held.as_ref() != Some(&t.id.node)
        };
        let able: Vec<usize> = (0..self.tasks.len()).filter(|&i| can_run(&self.tasks[i])).collect();
        if able.is_empty() {
            return Ok(false);
        }
        let running = &mut self.tasks[able[self.seed.below(able.len())]];
        running.woken.0.store(false, Ordering::SeqCst);
        running.timer = None;
        let Some(task) = &mut running.task else { return Ok(true) };
        match task.turn() {
            Turn::Again => running.woken.wake(),
            Turn::Wait(at) => running.timer = at,
            Turn::Finished => running.task = None,
            Turn::Failed(error) => return Err(of_node(&running.id.node, &error)),
        }
        Ok(true)
    }

    /// Lets time pass, and what waited for it happen, each at its own time.
    ///
    /// # Errors
    /// The first failure of a task.
    pub fn advance(&mut self, duration: Duration) -> Result<()> {
        let end = self.clock.now().plus(duration);
        let due = |run: &Self| {
            let running = run.tasks.iter().filter(|t| t.task.is_some() && run.held.as_ref() != Some(&t.id.node));
            running.filter_map(|t| t.timer).filter(|at| *at <= end).min()
        };
        while let Some(at) = due(self) {
            self.clock.advance_to(at);
            self.run()?;
        }
        self.clock.advance_to(end);
        self.run()
    }

    /// Wakes all sources: there may be new rows.
    pub fn wake_sources(&self) {
        self.tasks.iter().filter(|t| t.is_source).for_each(|t| t.woken.wake());
    }

    /// Gives an order to all sources that still run.
    pub fn order(&mut self, order: Order) {
        self.order_some(order, |_| true);
    }

    /// Gives an order to one source, if it still runs.
    pub fn order_source(&mut self, source: &str, order: Order) {
        self.order_some(order, |id| id.node == source);
    }

    fn order_some(&mut self, order: Order, meant: impl Fn(&TaskId) -> bool) {
        for running in self.tasks.iter_mut().filter(|t| t.is_source && meant(&t.id)) {
            if let Some(task) = &mut running.task {
                task.order(order);
                running.woken.wake();
            }
        }
    }

    /// Takes a checkpoint in the middle of whatever is under way: barriers follow the rows that the sources have sent.
    ///
    /// # Errors
    /// The first failure of a task, or that it never gets whole (a source has ended, or a table is not read yet).
    pub fn checkpoint(&mut self) -> Result<JobSnapshot> {
        let id = self.next_checkpoint;
        self.next_checkpoint += 1;
        self.order(Order::Checkpoint(id));
        self.run()?;
        let whole = self.checkpoints.complete(id, self.tasks.len());
        whole.ok_or_else(|| Error::internal("the checkpoint is not whole: a task has ended before its barrier, or a table is not read yet"))
    }

    /// Gives this node no more turns, or `None`: all again.
    pub fn hold(&mut self, node: Option<&str>) {
        self.held = node.map(str::to_owned);
    }

    /// Whether every task is over.
    pub fn is_over(&self) -> bool {
        self.tasks.iter().all(|t| t.task.is_none())
    }

    /// The views (and `collect` sinks) of the topology.
    pub fn views(&self) -> &Views {
        &self.views
    }

    /// The channels between two nodes.
    pub fn channels<'a>(&'a self, sender: &'a str, receiver: &'a str) -> impl Iterator<Item = &'a BuiltChannel> + 'a {
        self.channels.iter().filter(move |c| c.sender.node == sender && c.receiver.node == receiver)
    }

    /// How the run goes.
    pub fn observe(&self) -> Observation {
        self.observer.observe()
    }

    /// What every node has counted so far.
    pub fn ledger(&self) -> Ledger {
        let of = |index: usize| self.tasks.iter().filter(|t| t.node == index).map(|t| t.stats.get()).collect();
        Ledger::new(self.nodes.iter().enumerate().map(|(index, name)| (name.as_str(), of(index))))
    }
}

/// The failure of a task, with the name of its node.
fn of_node(node: &str, error: &Error) -> Error {
    let mut named = Error::new(error.kind(), format!("{node}: {}", error.message()));
    if let Some(place) = error.place() {
        named = named.at(place);
    }
    match error.help_text() {
        Some(help) => named.help(help),
        None => named,
    }
}

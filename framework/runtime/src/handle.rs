//! What can be done with a run from another thread: stop it, end it, look at it, take a checkpoint.
//!
//! A run that goes on from a checkpoint after a failure has new actors and new counters; the handle stays the same and always
//! means those of now.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::Addr;
use crossbeam_channel::{Sender, bounded};
use millstream_api::error::{Error, ErrorKind, Result};
use millstream_api::message::CheckpointId;
use millstream_topology::Topology;

use crate::actors::{Abort, Give, TaskActor};
use crate::built::BuiltTap;
use crate::checkpoint::driver::Event;
use crate::checkpoint::status::{CheckpointStatus, Shared as SharedStatus};
use crate::ledger::{Ledger, Stats};
use crate::observe::{Observation, Observer};
use crate::tap::{TapError, TapReader, TooManyReaders};
use crate::task::Order;
use crate::wake::tell;
use crate::why::{UnknownNode, Why, unknown, why};

/// A run, seen from another thread. Cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

struct Shared {
    drain: bool,
    has_checkpoints: bool,
    status: SharedStatus,
    control: Mutex<Control>,
    /// Wakes a run that waits before it goes on after a failure.
    told: Condvar,
}

struct Control {
    stopped: bool,
    aborted: bool,
    /// The actors, while there are any.
    actors: Actors,
    /// The counters of the run as it is now.
    counted: Arc<Counted>,
}

/// The actors of a run.
#[derive(Default)]
pub(crate) struct Actors {
    pub sources: Vec<Addr<TaskActor>>,
    pub tasks: Vec<Addr<TaskActor>>,
    /// The driver of checkpoints.
    pub driver: Option<Sender<Event>>,
}

/// What there is to see of a run.
pub(crate) struct Counted {
    pub topology: Arc<Topology>,
    pub nodes: Vec<(String, Vec<Stats>)>,
    pub observer: Observer,
    pub taps: Vec<BuiltTap>,
}

impl Handle {
    pub(crate) fn new(drain: bool, has_checkpoints: bool, counted: Counted) -> Self {
        let control = Control { stopped: false, aborted: false, actors: Actors::default(), counted: Arc::new(counted) };
        let (status, control) = (SharedStatus::default(), Mutex::new(control));
        Handle(Arc::new(Shared { drain, has_checkpoints, status, control, told: Condvar::new() }))
    }

    /// Stops the run: sources send no more rows, what is under way is finished; with checkpoints a last one is taken.
    pub fn stop(&self) {
        let mut control = self.control();
        if !std::mem::replace(&mut control.stopped, true) {
            self.tell_stop(&control.actors);
        }
        self.0.told.notify_all();
    }

    /// Ends the run at once: what is under way is dropped, sinks leave what they have not published.
    pub fn abort(&self) {
        let mut control = self.control();
        control.aborted = true;
        control.actors.tasks.iter().for_each(|task| tell(task, Abort));
        self.0.told.notify_all();
    }

    /// Takes a checkpoint now, beside those that are due, and waits for it. Its number.
    ///
    /// # Errors
    /// When the topology has no checkpoints, this one fails, or the run is over.
    pub fn checkpoint(&self) -> Result<CheckpointId> {
        if !self.0.has_checkpoints {
            let error = Error::new(ErrorKind::State, "the topology has no checkpoints");
            return Err(error.help("add [checkpoint] with store = \"file:./state/NAME\" to the topology"));
        }
        let over = || Error::new(ErrorKind::State, "the run is not running: it has ended, or waits before it goes on after a failure");
        let driver = self.control().actors.driver.clone().ok_or_else(over)?;
        let (answer, answered) = bounded(1);
        driver.send(Event::Want(answer)).map_err(|_| over())?;
        // Its own handle on the channel would keep the driver alive.
        drop(driver);
        answered.recv().map_err(|_| over())?
    }

    /// How checkpoints have gone; `None`: the topology has none.
    pub fn checkpoints(&self) -> Option<CheckpointStatus> {
        self.0.has_checkpoints.then(|| self.0.status.get())
    }

    /// What every node has counted so far.
    pub fn ledger(&self) -> Ledger {
        let counted = self.control().counted.clone();
        Ledger::new(counted.nodes.iter().map(|(node, stats)| (node.as_str(), stats.iter().map(Stats::get).collect())))
    }

    /// How the run goes.
    pub fn observe(&self) -> Observation {
        let counted = self.control().counted.clone();
        counted.observer.observe()
    }

    /// Why a node gives no rows.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn why(&self, node: &str) -> Result<Why, UnknownNode> {
        let counted = self.control().counted.clone();
        why(&counted.topology, Some(&counted.observer.observe()), node)
    }

    /// Looks at the rows of a stream, or at those that come to a sink, from now on and until the run ends or begins anew.
    ///
    /// # Errors
    /// When there is none of this name, it has no rows for anybody, or too many look.
    pub fn tap(&self, name: &str) -> Result<TapReader, TapError> {
        let counted = self.control().counted.clone();
        let unknown = || unknown(name, "streams and sinks", counted.taps.iter().map(|tap| tap.name.as_str()).collect());
        let tap = counted.taps.iter().find(|tap| tap.name == name).ok_or_else(|| TapError::Unknown(unknown()))?;
        if !tap.shape.read {
            return Err(TapError::Unread(tap.name.clone()));
        }
        tap.point.open(tap.shape.schema.clone(), tap.updating).map_err(|TooManyReaders| TapError::TooMany(tap.name.clone()))
    }

    pub(crate) fn status(&self) -> &SharedStatus {
        &self.0.status
    }

    /// Whether it is to stop.
    pub fn is_stopped(&self) -> bool {
        self.control().stopped
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.control().aborted
    }

    /// The run has these counters from now on.
    pub(crate) fn counts(&self, counted: Counted) {
        self.control().counted = Arc::new(counted);
    }

    /// The run has these actors from now on; they hear what was said before.
    pub(crate) fn started(&self, actors: Actors) {
        let mut control = self.control();
        if control.stopped {
            self.tell_stop(&actors);
        }
        if control.aborted {
            actors.tasks.iter().for_each(|task| tell(task, Abort));
        }
        control.actors = actors;
    }

    /// The actors are gone.
    pub(crate) fn ended(&self) {
        let mut control = self.control();
        control.actors = Actors::default();
        control.counted.taps.iter().for_each(|tap| tap.point.close());
    }

    /// Waits so long, or until the run is stopped or ended.
    pub(crate) fn wait(&self, duration: Duration) {
        let go_on = |control: &mut Control| !control.stopped && !control.aborted;
        // Whether it was told or the time is over, the caller looks.
        drop(self.0.told.wait_timeout_while(self.control(), duration, go_on));
    }

    fn tell_stop(&self, actors: &Actors) {
        let order = if self.0.drain { Order::Drain } else { Order::Halt };
        match &actors.driver {
            // It gives the sources the order to halt, behind the last barrier.
            Some(driver) if !self.0.drain => drop(driver.send(Event::Stop)),
            driver => {
                driver.iter().for_each(|driver| drop(driver.send(Event::Drain)));
                actors.sources.iter().for_each(|source| tell(source, Give(order)));
            }
        }
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        self.0.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! What a runner drives: one subtask, a turn at a time.

use millstream_api::Error;
use millstream_api::message::CheckpointId;
use millstream_api::time::ClockTime;

use crate::meter::Activity;

/// A subtask without an actor around it. A runner calls `turn` once at the start, and again when the task has been woken or
/// the time it named has come; never twice at the same time.
pub trait Task: Send {
    /// Does a bounded amount of work.
    fn turn(&mut self) -> Turn;

    /// Takes an order. Only tasks of sources and sinks get any; the others hear of it through the grammar.
    fn order(&mut self, order: Order) {
        let _ = order;
    }
}

/// An order to the task of a source or, where that is said, of a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// No more rows in this run; windows stay open.
    Halt,
    /// No more rows ever; windows close.
    Drain,
    /// Note where it stands, and send this barrier.
    Checkpoint(CheckpointId),
    /// The same, and behind the barrier halt: between the two no row may be sent.
    LastCheckpoint(CheckpointId),
    /// This checkpoint exists. To a sink: make visible what was prepared for it. To a source: tell those who wait for it.
    Commit(CheckpointId),
    /// Count as idle from now on until there are rows, without waiting for `idle_after`.
    Idle,
}

/// How a turn ended.
#[derive(Debug)]
pub enum Turn {
    /// There is more to do: another turn, after the others had theirs.
    Again,
    /// Nothing to do before the task is woken, or this time has come.
    Wait(Option<ClockTime>),
    /// The last item has been sent; no turn is needed any more.
    Finished,
    /// The run can't go on.
    Failed(Error),
}

impl Turn {
    /// What the task does from now on. `no_credit`: it has rows ready for which a reader has none.
    pub fn leads_to(&self, no_credit: bool) -> Activity {
        match self {
            Turn::Again => Activity::Ready,
            Turn::Wait(_) if no_credit => Activity::Held,
            Turn::Wait(_) => Activity::Waiting,
            Turn::Finished | Turn::Failed(_) => Activity::Over,
        }
    }
}

/// How many items a task deals with in a turn, before its neighbours on the same thread have theirs.
pub const ITEMS_PER_TURN: usize = 8;

//! What the task of a source is told: to halt, to end, to take part in a checkpoint; and that a checkpoint exists.
//!
//! A source with a [`Door`](millstream_api::source::Door) ends in three steps: the door is closed, what came through it before is
//! handed on, and only then the order takes effect. It is over when whoever waits for a checkpoint behind that door has been told.

use millstream_api::Result;
use millstream_api::message::{CheckpointId, Item};
use millstream_api::source::Position;
use millstream_api::time::ClockTime;
use millstream_state::TaskSnapshot;

use super::SourceTask;
use crate::task::{Order, Turn};

/// How a source with a door ends, and which checkpoints it must still hear of.
#[derive(Default)]
pub(super) struct Leaving {
    /// The order that takes effect when all that came through the door is handed on.
    order: Option<Order>,
    /// Whether it is.
    closed: bool,
    /// Where the splits stood at barriers whose checkpoints may come to exist.
    barriers: Vec<(CheckpointId, Vec<Option<Position>>)>,
    /// The checkpoint that was begun last.
    begun: CheckpointId,
    /// It is over only when this checkpoint exists, or a later one.
    waits_for: Option<CheckpointId>,
}

impl Leaving {
    /// Whether the source is on its way out: nothing holds its rows up any more but room downstream.
    pub(super) fn is_under_way(&self) -> bool {
        self.order.is_some()
    }

    /// Whether the task is over, once its last item is sent.
    pub(super) fn last_turn(&self) -> Turn {
        if self.waits_for.is_some() { Turn::Wait(None) } else { Turn::Finished }
    }
}

impl SourceTask {
    pub(super) fn obey(&mut self, order: Order, now: ClockTime) -> Result<()> {
        match order {
            // It ends by itself, and half a table would give wrong answers.
            Order::Drain if self.parts.feeds_table => Ok(()),
            Order::Halt | Order::Drain | Order::LastCheckpoint(_) => match self.parts.door.as_ref().filter(|_| !self.leaving.closed) {
                Some(door) => {
                    door.close();
                    self.leaving.order = Some(order);
                    Ok(())
                }
                None => self.leave(order, now),
            },
            Order::Idle if self.watermarks.all_idle() => self.idle(now),
            Order::Checkpoint(id) => self.checkpoint(id, now),
            Order::Idle | Order::Commit(_) => Ok(()),
        }
    }

    /// All that came through the door is handed on.
    pub(super) fn door_closed(&mut self, now: ClockTime) -> Result<()> {
        self.leaving.closed = true;
        self.leaving.order.take().map_or(Ok(()), |order| self.leave(order, now))
    }

    fn leave(&mut self, order: Order, now: ClockTime) -> Result<()> {
        match order {
            Order::Drain => self.last(&Item::End, now),
            Order::LastCheckpoint(id) => {
                self.checkpoint(id, now)?;
                self.last(&Item::Halt, now)
            }
            _ => self.last(&Item::Halt, now),
        }
    }

    fn checkpoint(&mut self, id: CheckpointId, now: ClockTime) -> Result<()> {
        let snapshot = self.snapshot(false);
        if self.parts.door.is_some() {
            self.leaving.barriers.push((id, snapshot.positions.iter().map(|split| split.position.clone()).collect()));
            self.leaving.begun = id;
        }
        self.parts.snapshots.task_snapshot(id, &self.parts.id, snapshot);
        self.parts.outbox.control(&Item::Barrier(id), now)
    }

    pub(super) fn snapshot(&mut self, ended: bool) -> TaskSnapshot {
        let greatest = self.watermarks.greatest();
        self.parts.splits.iter_mut().zip(greatest).for_each(|(split, greatest)| split.greatest = greatest);
        TaskSnapshot {
            watermark: self.sent_watermark,
            entries: Default::default(),
            pieces: None,
            positions: self.parts.splits.clone(),
            counts: self.parts.stats.counts(),
            ended,
        }
    }

    /// Sends the last item.
    pub(super) fn last(&mut self, item: &Item, now: ClockTime) -> Result<()> {
        self.finished = true;
        let ends = matches!(item, Item::End);
        if ends {
            let snapshot = self.snapshot(true);
            self.parts.snapshots.task_ended(&self.parts.id, snapshot);
        }
        if self.parts.door.is_some() && self.parts.checkpoints {
            // As it ended it stands in every checkpoint whose barrier has not come here.
            self.leaving.waits_for = Some(if ends { self.leaving.begun + 1 } else { self.leaving.begun });
        }
        if let Some(seat) = &self.parts.seat {
            seat.report(None);
        }
        self.parts.outbox.control(item, now)
    }

    /// A checkpoint exists: those who wait behind the door for their rows to be in it are told. That waits for nothing, not even
    /// for room downstream.
    pub(super) fn committed(&mut self, id: CheckpointId) {
        let Some(door) = &self.parts.door else { return };
        let leaving = &mut self.leaving;
        let stood = leaving.barriers.iter().position(|(barrier, _)| *barrier == id).map(|index| leaving.barriers.swap_remove(index).1);
        leaving.barriers.retain(|(barrier, _)| *barrier > id);
        let ended = leaving.waits_for.take_if(|needed| id >= *needed).is_some();
        let now = || self.parts.splits.iter().map(|split| split.position.clone()).collect();
        let stood: Vec<Option<Position>> = if ended { now() } else { stood.unwrap_or_default() };
        for (split, position) in stood.iter().enumerate().filter_map(|(split, position)| Some((split as u32, position.as_ref()?))) {
            door.covered(split, position);
        }
    }
}

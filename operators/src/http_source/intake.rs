//! The way of rows from the desk, where requests are answered, to the source, and the way back: which of them a checkpoint covers.
//!
//! Who wakes whom: a request that is put in wakes the source through the queue; [`Door::covered`] wakes the requests that wait for a
//! checkpoint; closing drops the sending end of the queue, so that the source finds its end once it is empty.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use millstream_api::error::{Error, ErrorKind, Result};
use millstream_api::source::{Door, Position};
use tokio::sync::oneshot;

use super::rows::Taken;

/// Tells a request that a checkpoint covers its rows. Dropping it says that none will.
pub(super) type Covered = oneshot::Sender<()>;

/// Why a request is not taken on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The topology does not keep up.
    Full,
    /// The run is stopping or over.
    Closed,
}

/// Takes requests on, until it is closed.
#[derive(Debug)]
pub(super) struct Intake {
    /// `None` once it is closed.
    queue: RwLock<Option<Sender<Taken>>>,
    /// Requests whose rows have been handed on and which wait for a checkpoint, in that order, by number.
    waiting: Mutex<VecDeque<(u64, Covered)>>,
    /// Of more than twice so many requests some wait no longer: each that does has a connection.
    connections: usize,
}

impl Intake {
    /// One with a queue of this many requests, and the end of it for the source.
    pub(super) fn new(queue_requests: usize, connections: usize) -> (Self, Receiver<Taken>) {
        let (sender, taken) = bounded(queue_requests);
        (Intake { queue: RwLock::new(Some(sender)), waiting: Mutex::default(), connections }, taken)
    }

    /// Takes a request on, unless that would have to wait.
    pub(super) fn put(&self, taken: Taken) -> Result<(), Refused> {
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner);
        match queue.as_ref().map(|queue| queue.try_send(taken)) {
            Some(Ok(())) => Ok(()),
            Some(Err(TrySendError::Full(_))) => Err(Refused::Full),
            Some(Err(TrySendError::Disconnected(_))) | None => Err(Refused::Closed),
        }
    }

    /// Notes that all rows of request number `request` are on their way. Numbers rise.
    pub(super) fn handed_on(&self, request: u64, covered: Covered) {
        let mut waiting = self.waiting();
        if waiting.len() >= self.connections.saturating_mul(2) {
            waiting.retain(|(_, covered)| !covered.is_closed());
        }
        waiting.push_back((request, covered));
    }

    /// No checkpoint will cover what still waits.
    pub(super) fn give_up(&self) {
        self.close();
        self.waiting().clear();
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<(u64, Covered)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Door for Intake {
    fn close(&self) {
        drop(self.queue.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn covered(&self, _: u32, position: &Position) {
        // The source has written it: it can be read.
        let Ok(Stand { requests, .. }) = Stand::read(position) else { return };
        let mut waiting = self.waiting();
        while let Some((_, covered)) = waiting.pop_front_if(|(request, _)| *request <= requests) {
            // Whoever has hung up is not told.
            let _ = covered.send(());
        }
    }
}

/// How far the source has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stand {
    /// Good rows so far.
    pub(super) rows: i64,
    /// Requests of which all rows were handed on.
    pub(super) requests: u64,
}

impl Stand {
    /// As text.
    pub(super) fn position(self) -> Position {
        Position(format!("{} {}", self.rows, self.requests))
    }

    /// From text. Positions of before requests were counted have rows only.
    pub(super) fn read(Position(text): &Position) -> Result<Self> {
        let bad = || Error::new(ErrorKind::State, format!("`{text}` is no position of an http source"));
        let (rows, requests) = text.split_once(' ').unwrap_or((text, "0"));
        Ok(Stand { rows: rows.parse().map_err(|_| bad())?, requests: requests.parse().map_err(|_| bad())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_back() {
        let stand = Stand { rows: 12, requests: 3 };
        assert_eq!(Stand::read(&stand.position()).unwrap(), stand);
        assert_eq!(Stand::read(&Position("7".into())).unwrap(), Stand { rows: 7, requests: 0 });
        assert!(Stand::read(&Position("7 x".into())).unwrap_err().message().contains("`7 x` is no position"));
    }

    #[test]
    fn a_checkpoint_answers_those_that_it_covers_in_order() {
        let (intake, _taken) = Intake::new(1, 8);
        let mut answered: Vec<_> = (1..=3)
            .map(|request| {
                let (covered, answered) = oneshot::channel();
                intake.handed_on(request, covered);
                answered
            })
            .collect();
        intake.covered(0, &Stand { rows: 100, requests: 2 }.position());
        assert_eq!([answered[0].try_recv(), answered[1].try_recv()], [Ok(()), Ok(())]);
        assert_eq!(answered[2].try_recv(), Err(oneshot::error::TryRecvError::Empty));
        intake.give_up();
        assert_eq!(answered[2].try_recv(), Err(oneshot::error::TryRecvError::Closed), "nobody waits for what does not come");
    }

    #[test]
    fn those_that_have_hung_up_take_no_room() {
        let (intake, _taken) = Intake::new(1, 2);
        for request in 0..100 {
            intake.handed_on(request, oneshot::channel().0);
        }
        assert!(intake.waiting().len() <= 4);
    }
}

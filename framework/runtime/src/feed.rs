//! Where a source's task gets its rows: from a thread that reads ahead a little, or at once from the source.
//!
//! Reading may block, a task may not. So the source runs on a thread of its own and hands over through a bounded channel; in
//! virtual time, where nothing blocks, it is called in place.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use millstream_api::source::{Next, Source};
use millstream_api::time::Clock;
use millstream_api::{Error, Result};

use crate::wake::WakeSlot;

/// How long a source may wait for input before it looks whether the run is over.
const WAIT: Duration = Duration::from_millis(100);

/// Batches that a thread reads ahead.
const READ_AHEAD: usize = 4;

/// A thread that has read so far ahead waits until half of it is taken: so it is woken once for several batches, which costs more
/// than to read one that is there already.
const READ_AGAIN_AT: usize = READ_AHEAD / 2;

/// Gives a task what its source has read.
pub trait Feed: Send {
    /// What there is now, [`Next::Nothing`] when that is nothing. Does not block.
    ///
    /// # Errors
    /// What the source fails with.
    fn poll(&mut self) -> Result<Next>;

    /// How long the reading has taken so far, in microseconds, without waiting for input; 0 when nobody knows.
    fn reading_micros(&self) -> u64 {
        0
    }
}

/// Calls the source in place.
pub struct InPlace(pub Box<dyn Source>);

impl Feed for InPlace {
    fn poll(&mut self) -> Result<Next> {
        self.0.next(Duration::ZERO)
    }
}

/// Reads on a thread of its own, which ends when this is dropped.
pub struct Threaded {
    rows: Receiver<Result<Next>>,
    /// Tells the thread that there is room again.
    room: Sender<()>,
    over: Arc<AtomicBool>,
    reading_micros: Arc<AtomicU64>,
}

impl Threaded {
    /// Starts the thread. It wakes `task` when there are rows, and holds `alive` until it ends.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(node: &str, source: Box<dyn Source>, task: WakeSlot, clock: Arc<dyn Clock>, alive: Sender<()>) -> Result<Self> {
        let ((sender, rows), (room, has_room)) = (bounded(READ_AHEAD), bounded(1));
        let over = Arc::new(AtomicBool::new(false));
        let (stop, reading_micros) = (over.clone(), Arc::<AtomicU64>::default());
        let reading = reading_micros.clone();
        std::thread::Builder::new()
            .name(format!("read-{node}"))
            .spawn(move || {
                let _alive = alive;
                let timed = Timed { source, clock, micros: reading };
                read(timed, &Handover { rows: sender, has_room, task }, &stop);
            })
            .map_err(|e| Error::io("cannot start a reading thread", e))?;
        Ok(Threaded { rows, room, over, reading_micros })
    }
}

impl Drop for Threaded {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
    }
}

impl Feed for Threaded {
    fn poll(&mut self) -> Result<Next> {
        match self.rows.try_recv() {
            Ok(next) => {
                if self.rows.len() <= READ_AGAIN_AT {
                    // One that has not been heard yet says the same.
                    let _ = self.room.try_send(());
                }
                next
            }
            Err(TryRecvError::Empty) => Ok(Next::Nothing),
            Err(TryRecvError::Disconnected) => Err(Error::internal("the reading thread has ended without saying so")),
        }
    }

    fn reading_micros(&self) -> u64 {
        self.reading_micros.load(Ordering::Relaxed)
    }
}

/// A source whose work is timed.
struct Timed {
    source: Box<dyn Source>,
    clock: Arc<dyn Clock>,
    micros: Arc<AtomicU64>,
}

impl Timed {
    fn next(&mut self) -> Result<Next> {
        let start = self.clock.now();
        let next = self.source.next(WAIT);
        if !matches!(next, Ok(Next::Nothing)) {
            let micros = self.clock.now().0.saturating_sub(start.0);
            self.micros.fetch_add(micros.unsigned_abs(), Ordering::Relaxed);
        }
        next
    }
}

/// The thread's side of the way to the task.
struct Handover {
    rows: Sender<Result<Next>>,
    has_room: Receiver<()>,
    task: WakeSlot,
}

impl Handover {
    /// Hands over what was read, when there is room. Whether there still is a task.
    fn give(&self, mut next: Result<Next>) -> bool {
        loop {
            match self.rows.try_send(next) {
                Ok(()) => {
                    self.task.wake();
                    return true;
                }
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(back)) => next = back,
            }
            if self.has_room.recv().is_err() {
                return false;
            }
        }
    }
}

fn read(mut source: Timed, task: &Handover, over: &AtomicBool) {
    while !over.load(Ordering::Acquire) {
        let next = match catch_unwind(AssertUnwindSafe(|| source.next())) {
            Ok(Ok(Next::Nothing)) => continue,
            Ok(next) => next,
            Err(panic) => Err(Error::internal(format!("the source panicked: {}", panic_text(panic.as_ref())))),
        };
        let last = matches!(next, Ok(Next::End) | Err(_));
        if !task.give(next) || last {
            return;
        }
    }
}

/// The message of a panic.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::SystemClock;

    /// Says the ends of so many splits, then its own.
    struct Splits(std::ops::Range<u32>);

    impl Source for Splits {
        fn next(&mut self, _: Duration) -> Result<Next> {
            Ok(self.0.next().map_or(Next::End, Next::SplitEnd))
        }
    }

    fn started(splits: u32) -> (Threaded, Receiver<()>) {
        let (alive, ended) = bounded(1);
        let clock = Arc::new(SystemClock::default());
        (Threaded::start("test", Box::new(Splits(0..splits)), WakeSlot::default(), clock, alive).unwrap(), ended)
    }

    #[test]
    fn all_that_was_read_comes_in_order_however_often_the_thread_had_to_wait() {
        let (mut feed, ended) = started(1000);
        let mut next = 0;
        loop {
            match feed.poll().unwrap() {
                Next::SplitEnd(split) => {
                    assert_eq!(split, next);
                    next += 1;
                }
                Next::End => break,
                _ => std::thread::yield_now(),
            }
        }
        assert_eq!(next, 1000);
        assert!(ended.recv().is_err(), "the thread has ended");
    }

    #[test]
    fn a_thread_that_waits_for_room_ends_with_the_task() {
        let (feed, ended) = started(1000);
        drop(feed);
        assert!(ended.recv().is_err());
    }
}

//! Putting the files of spaces together (compaction), so that a key is looked for in few of them: by one thread, for all spaces of a store.
//!
//! A space that has new files is given to the thread, which does one step for each of those that it has, in turn, until there is nothing left
//! to do. Who writes waits while a space has too many files, but only as long as the thread has the space: so no one waits for what
//! nobody does.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use lsm_tree::compaction::Leveled;

use super::scratch::innermost;
use super::space::Space;

/// Who writes waits from so many files on of which each may have any key.
const MOST_UNSORTED_FILES: usize = 20;

/// The thread.
pub(super) struct Compactor {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

/// Spaces that the thread will look at, each once at most.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// A space has come, or the end.
    has_come: Condvar,
}

#[derive(Default)]
struct Waiting {
    spaces: VecDeque<Space>,
    is_closing: bool,
}

/// What the thread is to do for a space.
#[derive(Default)]
pub(super) struct Order {
    state: Mutex<State>,
    /// Something was done.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The thread has the space, or will have it.
    is_given: bool,
    /// Why the thread could not go on. It does not try again.
    failed: Option<String>,
}

impl Compactor {
    /// Starts it.
    pub(super) fn start() -> std::io::Result<Compactor> {
        let queue = Arc::new(Queue::default());
        let taken = queue.clone();
        let thread = std::thread::Builder::new().name("compaction".to_owned()).spawn(move || run(&taken))?;
        Ok(Compactor { queue, thread: Some(thread) })
    }

    /// A space has a new file. Waits while it has too many.
    ///
    /// # Errors
    /// Why files could not be put together, now or before.
    pub(super) fn has_new_file(&self, space: &Space) -> Result<(), String> {
        let order = space.order();
        let mut state = order.locked();
        if !state.is_given && state.failed.is_none() {
            state.is_given = true;
            self.queue.locked().spaces.push_back(space.clone());
            self.queue.has_come.notify_one();
        }
        while state.is_given && space.unsorted_files() >= MOST_UNSORTED_FILES {
            state = order.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.failed.clone().map_or(Ok(()), Err)
    }
}

impl Drop for Compactor {
    fn drop(&mut self) {
        self.queue.locked().is_closing = true;
        self.queue.has_come.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the thread that puts files of state on disk together has panicked");
        }
    }
}

impl Queue {
    /// The next space; `None`: it is the end.
    fn next(&self) -> Option<Space> {
        let mut waiting = self.locked();
        while !waiting.is_closing {
            if let Some(space) = waiting.spaces.pop_front() {
                return Some(space);
            }
            waiting = self.has_come.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    fn locked(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Order {
    /// A step was done.
    fn goes_on(&self) {
        // Whoever waits looks first and then waits, with the lock: so it is not between the two now.
        drop(self.locked());
        self.changed.notify_all();
    }

    fn is_done(&self, failed: Option<String>) {
        *self.locked() = State { is_given: false, failed };
        self.changed.notify_all();
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread does, until the end.
fn run(queue: &Queue) {
    let strategy = Arc::new(Leveled::default());
    while let Some(space) = queue.next() {
        // It panics where its files are damaged, say. Whoever writes to the space is told, and must not wait for it.
        match catch_unwind(AssertUnwindSafe(|| space.compact(&strategy))) {
            Ok(Ok(true)) => {
                space.order().goes_on();
                queue.locked().spaces.push_back(space);
            }
            Ok(Ok(false)) => space.order().is_done(None),
            Ok(Err(cause)) => space.order().is_done(Some(innermost(&cause))),
            Err(_) => space.order().is_done(Some("a panic, which the log shows".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lsm_tree::{Cache, DescriptorTable};

    use super::super::space::Shared;
    use super::*;

    fn spaces(folder: &std::path::Path, count: usize) -> Vec<Space> {
        let shared = Shared { cache: Arc::new(Cache::with_capacity_bytes(1 << 20)), files: Arc::new(DescriptorTable::new(64)) };
        (0..count).map(|index| Space::new(&folder.join(index.to_string()), &shared).unwrap()).collect()
    }

    #[test]
    fn however_fast_files_come_they_stay_few_and_nobody_waits_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let compactor = Arc::new(Compactor::start().unwrap());
        let (done, all_done) = std::sync::mpsc::sync_channel(4);
        let spaces = spaces(folder.path(), 4);
        for (index, space) in spaces.iter().cloned().enumerate() {
            let (compactor, done) = (compactor.clone(), done.clone());
            std::thread::spawn(move || {
                let mut most = 0;
                for round in 0..150u32 {
                    // Keys of which each file has some, so that no file can be moved as it is.
                    for key in 0..50u32 {
                        space.put(&(key * 7 + round % 7).to_be_bytes(), Some(&[index as u8; 20]));
                    }
                    space.flush().unwrap();
                    compactor.has_new_file(&space).unwrap();
                    most = most.max(space.unsorted_files());
                }
                done.send(most).unwrap();
            });
        }
        for _ in &spaces {
            let most = all_done.recv_timeout(Duration::from_secs(60)).expect("a thread stands still");
            assert!(most <= MOST_UNSORTED_FILES, "{most} files");
        }
    }

    #[test]
    fn one_that_always_has_new_files_keeps_the_thread_from_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let compactor = Compactor::start().unwrap();
        let spaces = spaces(folder.path(), 2);
        let (busy, other) = (&spaces[0], &spaces[1]);
        let write = |space: &Space, round: u32| {
            (0..50u32).for_each(|key| _ = space.put(&(key * 7 + round % 7).to_be_bytes(), Some(&[0; 20])));
            space.flush().unwrap();
            compactor.has_new_file(space).unwrap();
        };
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| (0..).take_while(|_| !is_over.load(std::sync::atomic::Ordering::Relaxed)).for_each(|round| write(busy, round)));
            (0..60).for_each(|round| write(other, round));
            is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert!(other.unsorted_files() <= MOST_UNSORTED_FILES);
    }

    #[test]
    fn what_could_not_be_put_together_is_told_to_the_one_who_writes() {
        let folder = tempfile::tempdir().unwrap();
        let compactor = Compactor::start().unwrap();
        let space = spaces(folder.path(), 1).remove(0);
        let write = |value: u8| {
            (0..100u32).for_each(|key| _ = space.put(&key.to_be_bytes(), Some(&[value])));
            space.flush()
        };
        for value in 0..3 {
            write(value).unwrap();
        }
        for entry in std::fs::read_dir(folder.path().join("0/tables")).unwrap() {
            let path = entry.unwrap().path();
            std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(10).unwrap();
        }
        let said = (3..40).find_map(|value| {
            write(value).unwrap();
            compactor.has_new_file(&space).err()
        });
        assert!(said.is_some(), "nobody was told");
    }

    #[test]
    fn dropping_it_ends_the_thread_whatever_is_left_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let compactor = Compactor::start().unwrap();
        let spaces = spaces(folder.path(), 8);
        for space in spaces.iter().cycle().take(64) {
            (0..100u32).for_each(|key| _ = space.put(&key.to_be_bytes(), Some(&[0; 100])));
            space.flush().unwrap();
            compactor.has_new_file(space).unwrap();
        }
        drop(compactor);
        assert!(spaces.iter().all(|space| space.get(&1u32.to_be_bytes()).unwrap().is_some()));
    }
}

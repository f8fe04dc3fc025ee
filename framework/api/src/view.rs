//! Materialised views: what a `view` sink writes and a server reads at the same time.
//!
//! A view is a sequence of *versions*: a batch of changes is applied as a whole. A reader takes a [`Snapshot`], which is of
//! one version and holds on to its rows, and can then [follow](View::changes) the view from that version on.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use dashmap::DashMap;

use crate::error::{Error, Result};

/// A view as its readers see it. Every read is of one version: a batch of changes is applied as a whole.
pub trait View: Send + Sync {
    /// The columns.
    fn schema(&self) -> SchemaRef;

    /// The names of the key columns, in order; none when the view keeps every row.
    fn key(&self) -> Vec<String>;

    /// A number that a view which takes this one's place (after a restart) does not have: versions of different
    /// generations cannot be compared.
    fn generation(&self) -> u64 {
        0
    }

    /// The newest version that can be read: how many batches of changes it covers. Never falls.
    fn version(&self) -> u64;

    /// All rows of the newest version. Cheap: rows are shared with the view, and what comes later does not show.
    fn snapshot(&self) -> Result<Snapshot>;

    /// All rows in the order of the key (without a key: of arrival), and the version they are of.
    fn rows(&self) -> Result<(u64, RecordBatch)> {
        let snapshot = self.snapshot()?;
        Ok((snapshot.version, snapshot.range(0..snapshot.len())?))
    }

    /// How many rows there are, and the version that was counted. A view that knows it without reading its rows says so.
    fn size(&self) -> Result<(u64, usize)> {
        self.snapshot().map(|snapshot| (snapshot.version, snapshot.len()))
    }

    /// The rows with this key (none or one), and the version. `key` has one text per key column, read as the column's type.
    ///
    /// # Errors
    /// When the view has no key, the number of texts differs, or a text is not of its column's type: the message says so.
    fn lookup(&self, key: &[&str]) -> Result<(u64, RecordBatch)>;

    /// The first changes after version `after`. A view keeps only its latest ones; one that keeps none says [`Next::Gone`]
    /// unless `after` is its version.
    fn changes(&self, after: u64) -> Result<Next> {
        let version = self.version();
        Ok(if after == version { Next::Current(version) } else { Next::Gone })
    }

    /// Wakes `waker` once with the next version. To miss none, register first and ask for [`changes`](View::changes) then.
    /// A view that does not change has nobody to wake.
    fn wake_at_next_version(&self, waker: &Waker) {
        let _ = waker;
    }
}

/// What comes after a version.
#[derive(Clone, Debug)]
pub enum Next {
    /// Nothing has changed up to this version, which is the newest.
    Current(u64),
    /// These changes are the next.
    Changed(Changes),
    /// It is not known any more, or never was a version: read a snapshot again.
    Gone,
}

/// How a version differs from the one before it.
#[derive(Clone, Debug)]
pub struct Changes {
    /// The version that they lead to.
    pub version: u64,
    /// Rows that are not there any more. A row that was replaced is among them.
    pub removed: RecordBatch,
    /// Rows that are new. A row that replaces another is among them.
    pub added: RecordBatch,
}

/// The rows of one version, in the order of the view's key (without a key: of arrival). Cheap to clone.
#[derive(Clone)]
pub struct Snapshot {
    /// The version.
    pub version: u64,
    rows: Arc<dyn SnapshotRows>,
}

/// What a [`Snapshot`] holds.
pub trait SnapshotRows: Send + Sync {
    /// How many rows there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About how much memory it keeps from being freed, in bytes.
    fn size_bytes(&self) -> usize;

    /// The rows at these places, in this order, as columns.
    ///
    /// # Errors
    /// A place beyond the last row, or rows that cannot be read: mistakes of ours.
    fn at(&self, places: &[u32]) -> Result<RecordBatch>;
}

impl Snapshot {
    /// A snapshot of `version`.
    pub fn new(version: u64, rows: Arc<dyn SnapshotRows>) -> Self {
        Snapshot { version, rows }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// About how much memory it keeps from being freed, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.rows.size_bytes()
    }

    /// The rows at these places, in this order.
    ///
    /// # Errors
    /// As [`SnapshotRows::at`].
    pub fn at(&self, places: &[u32]) -> Result<RecordBatch> {
        self.rows.at(places)
    }

    /// Rows that follow each other.
    ///
    /// # Errors
    /// As [`SnapshotRows::at`].
    pub fn range(&self, places: Range<usize>) -> Result<RecordBatch> {
        let place = |place: usize| u32::try_from(place).map_err(|_| Error::internal("a view of more than 4294967295 rows"));
        self.rows.at(&(place(places.start)?..place(places.end)?).collect::<Vec<u32>>())
    }
}

/// Rows that are columns already.
impl SnapshotRows for RecordBatch {
    fn len(&self) -> usize {
        self.num_rows()
    }

    fn size_bytes(&self) -> usize {
        self.get_array_memory_size()
    }

    fn at(&self, places: &[u32]) -> Result<RecordBatch> {
        Ok(take_record_batch(self, &UInt32Array::from(places.to_vec()))?)
    }
}

/// Tasks that wait for something to change. Bounded: when there are many, all are woken, and those that still wait come again.
#[derive(Debug, Default)]
pub struct Wakers(Mutex<Vec<Waker>>);

/// More waiting tasks than a server has connections.
const MAX_WAKERS: usize = 1024;

impl Wakers {
    /// Wakes `waker` at the next [`wake_all`](Wakers::wake_all), and perhaps earlier.
    pub fn register(&self, waker: &Waker) {
        let mut wakers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if wakers.iter().any(|other| other.will_wake(waker)) {
            return;
        }
        let all = if wakers.len() >= MAX_WAKERS { std::mem::take(&mut *wakers) } else { Vec::new() };
        wakers.push(waker.clone());
        drop(wakers);
        all.into_iter().for_each(Waker::wake);
    }

    /// Wakes all that have registered since the last time.
    pub fn wake_all(&self) {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        all.into_iter().for_each(Waker::wake);
    }
}

/// The views of a running topology by name. Cheap to clone: all clones are one.
#[derive(Clone, Default)]
pub struct Views(Arc<Published>);

#[derive(Default)]
struct Published {
    views: DashMap<String, Arc<dyn View>>,
    /// Those that want to know of new ones.
    waiting: Wakers,
}

impl Views {
    /// Makes a view known to readers, in place of one of the same name.
    pub fn publish(&self, name: &str, view: Arc<dyn View>) {
        self.0.views.insert(name.to_owned(), view);
        self.0.waiting.wake_all();
    }

    /// Wakes `waker` when the next view is published.
    pub fn wake_at_next_publication(&self, waker: &Waker) {
        self.0.waiting.register(waker);
    }

    /// The view of this name.
    pub fn get(&self, name: &str) -> Option<Arc<dyn View>> {
        self.0.views.get(name).map(|entry| entry.value().clone())
    }

    /// The names of all views, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.views.iter().map(|entry| entry.key().clone()).collect();
        names.sort();
        names
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_task_is_woken_once_for_each_time_it_registers() {
        let (wakers, task) = (Wakers::default(), Arc::new(Counted::default()));
        let waker = Waker::from(task.clone());
        wakers.register(&waker);
        wakers.register(&waker);
        wakers.wake_all();
        wakers.wake_all();
        assert_eq!(task.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn many_waiting_tasks_are_woken_early_so_that_those_that_are_gone_leave() {
        let wakers = Wakers::default();
        let tasks: Vec<Arc<Counted>> = (0..=MAX_WAKERS).map(|_| Arc::default()).collect();
        tasks.iter().for_each(|task| wakers.register(&Waker::from(task.clone())));
        let woken = |range: Range<usize>| tasks[range].iter().map(|task| task.0.load(Ordering::Relaxed)).sum::<usize>();
        assert_eq!((woken(0..MAX_WAKERS), woken(MAX_WAKERS..MAX_WAKERS + 1)), (MAX_WAKERS, 0));
        wakers.wake_all();
        assert_eq!(woken(MAX_WAKERS..MAX_WAKERS + 1), 1);
    }
}

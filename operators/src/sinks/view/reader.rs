//! A view as servers see it: every read takes the lock only to share rows, and turns them into columns outside it, so that a
//! slow reader does not hold up the pipeline.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::task::Waker;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_api::view::{Changes, Next, Snapshot, SnapshotRows, View, Wakers};
use millstream_api::{Error, Result};

use super::contents::{Bytes, Shown};
use super::ordered::Ordered;
use super::rows::RowFormat;
use super::table::{After, Table};

/// What a sink and its readers share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    table: RwLock<Table>,
    /// Those that follow; woken with each version.
    followers: Wakers,
}

impl Shared {
    /// Makes changes visible as this version.
    pub(super) fn apply(&self, version: u64, changes: Vec<Shown>) {
        self.table.write().unwrap_or_else(PoisonError::into_inner).apply(version, changes);
        self.followers.wake_all();
    }

    /// Starts anew with these rows.
    pub(super) fn reset(&self, version: u64, rows: impl Iterator<Item = (Bytes, Bytes)>) {
        self.table.write().unwrap_or_else(PoisonError::into_inner).reset(version, rows);
        self.followers.wake_all();
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reading end of a view.
pub(super) struct Reader {
    format: Arc<RowFormat>,
    shared: Arc<Shared>,
    generation: u64,
}

impl Reader {
    pub(super) fn new(format: Arc<RowFormat>, shared: Arc<Shared>) -> Self {
        // Each `RandomState` has keys of its own: what it makes of nothing is as good as drawn.
        Reader { format, shared, generation: RandomState::new().build_hasher().finish() }
    }
}

impl View for Reader {
    fn schema(&self) -> SchemaRef {
        self.format.shown().clone()
    }

    fn key(&self) -> Vec<String> {
        self.format.key_names()
    }

    fn generation(&self) -> u64 {
        self.generation
    }

    fn version(&self) -> u64 {
        self.shared.read().version()
    }

    fn snapshot(&self) -> Result<Snapshot> {
        let table = self.shared.read();
        let (version, rows) = (table.version(), table.rows().clone());
        drop(table);
        Ok(Snapshot::new(version, Arc::new(Copied { format: self.format.clone(), rows })))
    }

    fn size(&self) -> Result<(u64, usize)> {
        let table = self.shared.read();
        Ok((table.version(), table.rows().len()))
    }

    fn lookup(&self, key: &[&str]) -> Result<(u64, RecordBatch)> {
        let key = self.format.key_of(key)?;
        let table = self.shared.read();
        let (version, row) = (table.version(), table.rows().get(&key).cloned());
        drop(table);
        Ok((version, self.format.records(row.as_slice().iter())?))
    }

    fn changes(&self, after: u64) -> Result<Next> {
        let next = self.shared.read().after(after);
        Ok(match next {
            After::Current(version) => Next::Current(version),
            After::Gone => Next::Gone,
            After::Changed(version, changes) => {
                let rows = |of: fn(&Shown) -> Option<&Bytes>| {
                    let rows: Vec<&Bytes> = changes.iter().filter_map(of).collect();
                    self.format.records(rows.into_iter())
                };
                Next::Changed(Changes {
                    version,
                    removed: rows(|shown| shown.before.as_ref())?,
                    added: rows(|shown| shown.after.as_ref())?,
                })
            }
        })
    }

    fn wake_at_next_version(&self, waker: &Waker) {
        self.shared.followers.register(waker);
    }
}

/// A copy of the table's rows, which shares them.
struct Copied {
    format: Arc<RowFormat>,
    rows: Ordered,
}

impl SnapshotRows for Copied {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn size_bytes(&self) -> usize {
        self.rows.size_bytes()
    }

    fn at(&self, places: &[u32]) -> Result<RecordBatch> {
        let all = self.rows.places();
        let missing = || Error::internal("a place beyond the rows of a view");
        let rows: Vec<&Bytes> = places.iter().map(|&place| all.row(place as usize).ok_or_else(missing)).collect::<Result<_>>()?;
        self.format.records(rows.into_iter())
    }
}

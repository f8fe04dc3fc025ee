//! Materialised views: what a `view` sink writes and a server reads at the same time.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use dashmap::DashMap;

use crate::error::Result;

/// A view as its readers see it. Every read is of one version: a batch of changes is applied as a whole.
pub trait View: Send + Sync {
    /// The columns.
    fn schema(&self) -> SchemaRef;

    /// The names of the key columns, in order; none when the view keeps every row.
    fn key(&self) -> Vec<String>;

    /// How many versions there have been; rises by one with each batch of changes.
    fn version(&self) -> u64;

    /// All rows in the order of the key (without a key: of arrival), and the version they are of.
    fn rows(&self) -> Result<(u64, RecordBatch)>;

    /// How many rows there are, and the version that was counted. A view that knows it without reading its rows says so.
    fn size(&self) -> Result<(u64, usize)> {
        self.rows().map(|(version, rows)| (version, rows.num_rows()))
    }

    /// The rows with this key (none or one), and the version. `key` has one text per key column, read as the column's type.
    ///
    /// # Errors
    /// When the view has no key, the number of texts differs, or a text is not of its column's type: the message says so.
    fn lookup(&self, key: &[&str]) -> Result<(u64, RecordBatch)>;
}

/// The views of a running topology by name. Cheap to clone: all clones are one.
#[derive(Clone, Default)]
pub struct Views(Arc<DashMap<String, Arc<dyn View>>>);

impl Views {
    /// Makes a view known to readers, in place of one of the same name.
    pub fn publish(&self, name: &str, view: Arc<dyn View>) {
        self.0.insert(name.to_owned(), view);
    }

    /// The view of this name.
    pub fn get(&self, name: &str) -> Option<Arc<dyn View>> {
        self.0.get(name).map(|entry| entry.value().clone())
    }

    /// The names of all views, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.iter().map(|entry| entry.key().clone()).collect();
        names.sort();
        names
    }
}

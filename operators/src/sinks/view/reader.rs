//! A view as servers see it: every read takes the lock only to collect shared rows, and turns them into columns outside it,
//! so that a slow reader does not hold up the pipeline.

use std::sync::{Arc, PoisonError, RwLock};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_api::Result;
use millstream_api::view::View;

use super::contents::{Bytes, Contents};
use super::rows::RowFormat;

/// The reading end of a view.
pub(super) struct Reader {
    format: Arc<RowFormat>,
    contents: Arc<RwLock<Contents>>,
}

impl Reader {
    pub(super) fn new(format: Arc<RowFormat>, contents: Arc<RwLock<Contents>>) -> Self {
        Reader { format, contents }
    }

    /// A version and the rows of it that `pick` takes.
    fn read(&self, pick: impl FnOnce(&Contents) -> Vec<Bytes>) -> Result<(u64, RecordBatch)> {
        let (version, rows) = {
            let contents = self.contents.read().unwrap_or_else(PoisonError::into_inner);
            (contents.version(), pick(&contents))
        };
        Ok((version, self.format.records(&rows)?))
    }
}

impl View for Reader {
    fn schema(&self) -> SchemaRef {
        self.format.shown().clone()
    }

    fn key(&self) -> Vec<String> {
        self.format.key_names()
    }

    fn version(&self) -> u64 {
        self.contents.read().unwrap_or_else(PoisonError::into_inner).version()
    }

    fn rows(&self) -> Result<(u64, RecordBatch)> {
        self.read(|contents| contents.visible().cloned().collect())
    }

    fn size(&self) -> Result<(u64, usize)> {
        let contents = self.contents.read().unwrap_or_else(PoisonError::into_inner);
        Ok((contents.version(), contents.len()))
    }

    fn lookup(&self, key: &[&str]) -> Result<(u64, RecordBatch)> {
        let key = self.format.key_of(key)?;
        self.read(|contents| contents.get(&key).cloned().into_iter().collect())
    }
}

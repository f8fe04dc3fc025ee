//! Writing many keys: in bulk, as whole files of sorted keys; or, where there are few, one by one.

use lsm_tree::AnyIngestion;
use millstream_api::error::Result;

use super::scratch::Scratch;
use super::space::Space;

/// From so many keys on they are worth a file of their own.
const BULK_KEYS: usize = 4096;

/// Keys that were written one by one come to a file when they take so many bytes of memory.
const WRITE_BUFFER_BYTES: u64 = 2 << 20;

/// Takes keys in their order, each once.
pub(super) struct Writer<'s> {
    space: &'s Space,
    scratch: &'s Scratch,
    /// `None`: one by one.
    bulk: Option<AnyIngestion<'s>>,
}

impl<'s> Writer<'s> {
    /// For so many keys.
    pub(super) fn new(space: &'s Space, scratch: &'s Scratch, keys: usize) -> Result<Writer<'s>> {
        let bulk = (keys >= BULK_KEYS).then(|| space.ingestion()).transpose();
        let bulk = bulk.map_err(|cause| scratch.failed("write state to", &cause))?;
        Ok(Writer { space, scratch, bulk })
    }

    /// Writes a key.
    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match &mut self.bulk {
            Some(bulk) => bulk.write(key, value).map_err(|cause| self.scratch.failed("write state to", &cause)),
            None => self.put_one(key, Some(value)),
        }
    }

    /// Removes a key.
    pub(super) fn remove(&mut self, key: &[u8]) -> Result<()> {
        match &mut self.bulk {
            Some(bulk) => bulk.write_tombstone(key).map_err(|cause| self.scratch.failed("write state to", &cause)),
            None => self.put_one(key, None),
        }
    }

    /// All keys are there now.
    pub(super) fn finish(self) -> Result<()> {
        let Some(bulk) = self.bulk else { return Ok(()) };
        bulk.finish().map_err(|cause| self.scratch.failed("write state to", &cause))?;
        self.scratch.has_new_file(self.space)
    }

    fn put_one(&self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        if self.space.put(key, value) < WRITE_BUFFER_BYTES {
            return Ok(());
        }
        self.space.flush().map_err(|cause| self.scratch.failed("write state to", &cause))?;
        self.scratch.has_new_file(self.space)
    }
}

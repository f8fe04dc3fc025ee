//! Writing many keys: in bulk, as whole files of sorted keys; or, where there are few, one by one.

use fjall::Keyspace;
use millstream_api::error::Result;

use super::scratch::Scratch;

/// From so many keys on they are worth a file of their own.
const BULK_KEYS: usize = 4096;

/// Takes keys in their order, each once.
pub(super) struct Writer<'k> {
    scratch: &'k Scratch,
    write: Box<Write<'k>>,
}

/// One thing to be written.
enum Step<'s> {
    Put(&'s [u8], &'s [u8]),
    Remove(&'s [u8]),
    Finish,
}

/// The store does not give its bulk writer a name, so it is in a closure.
type Write<'k> = dyn FnMut(Step<'_>) -> fjall::Result<()> + 'k;

impl<'k> Writer<'k> {
    /// For so many keys.
    pub(super) fn new(keyspace: &'k Keyspace, scratch: &'k Scratch, keys: usize) -> Result<Writer<'k>> {
        let write = if keys >= BULK_KEYS { bulk(keyspace) } else { Ok(one_by_one(keyspace)) };
        let write = write.map_err(|cause| scratch.failed("write state to", &cause))?;
        Ok(Writer { scratch, write })
    }

    /// Writes a key.
    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.step(Step::Put(key, value))
    }

    /// Removes a key.
    pub(super) fn remove(&mut self, key: &[u8]) -> Result<()> {
        self.step(Step::Remove(key))
    }

    /// All keys are there now.
    pub(super) fn finish(mut self) -> Result<()> {
        self.step(Step::Finish)
    }

    fn step(&mut self, step: Step<'_>) -> Result<()> {
        (self.write)(step).map_err(|cause| self.scratch.failed("write state to", &cause))
    }
}

fn one_by_one(keyspace: &Keyspace) -> Box<Write<'_>> {
    Box::new(move |step| match step {
        Step::Put(key, value) => keyspace.insert(key, value),
        Step::Remove(key) => keyspace.remove(key),
        Step::Finish => Ok(()),
    })
}

fn bulk(keyspace: &Keyspace) -> fjall::Result<Box<Write<'_>>> {
    let mut open = Some(keyspace.start_ingestion()?);
    Ok(Box::new(move |step| match (step, &mut open) {
        (Step::Put(key, value), Some(bulk)) => bulk.write(key, value),
        (Step::Remove(key), Some(bulk)) => bulk.write_tombstone(key),
        (Step::Finish, _) => open.take().map_or(Ok(()), |bulk| bulk.finish()),
        (_, None) => Ok(()),
    }))
}

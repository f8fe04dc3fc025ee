//! One run at a time on a store without locks: of several writers under one name the first one wins, and that is all it needs.
//!
//! The manifests of checkpoints are a log: there is one under each number, without gaps, and none is ever written over by another run. A run
//! *takes* the store by writing a *mark* under the first free number, in the place of a manifest. A checkpoint is published by
//! writing its manifest under its number, and marks under all free numbers before it (of checkpoints that have failed). So:
//!
//! - A run that has published what the new one did not see when it looked for the first free number would have written under that
//!   number. Only one of them can have done so: either the mark was refused, and the new run looks again and sees that checkpoint,
//!   or the old run is refused, finds the mark, and ends.
//! - What a run finds in the log after its mark is in it is therefore all that there will ever be of runs before it.
//!
//! A checkpoint that a run gives up, to go on from an older one, becomes a mark: its number must not be free again either.
//!
//! A run that slept so long that the numbers behind its own last one were removed again as too old would find them free. So it
//! looks once more after it has written: removal is only of what is older than a checkpoint that is there.
//!
//! Not covered: what a sleeping run does outside of the store. It makes nothing visible before its checkpoint is published, but
//! rows that it had already sent through a sink without two phases are sent.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use millstream_api::error::{Error, ErrorKind, Result};
use millstream_api::message::CheckpointId;

use crate::blobs::Blobs;
use crate::names::{MANIFEST, has_manifest, name, numbers, remove};

/// What a mark begins with.
const MARK: &str = "millstream-taken 1 ";

/// A store that is taken by so many runs at the same moment is not used as it is meant.
const MOST_TRIES: usize = 100;

/// More numbers without a checkpoint in between come from a folder that no run has made.
const MOST_SKIPPED: u64 = 1_000_000;

/// What a run knows of the log.
pub struct Fence {
    place: String,
    /// The mark of this run: nobody else's has the same bytes.
    mark: Vec<u8>,
    log: Mutex<Log>,
}

struct Log {
    /// The last number under which this run has written.
    last: CheckpointId,
    /// A manifest of which it is not known whether it was written, with its number.
    unsure: Option<(CheckpointId, Vec<u8>)>,
}

impl Fence {
    /// Takes a store. `who` is shown to the run that had it before, and `place` is how messages call the store.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn take(blobs: &dyn Blobs, place: &str, who: &str) -> Result<Fence> {
        let mark = format!("{MARK}{:016x}{:016x}\n{who}\n", random(), random()).into_bytes();
        for _ in 0..MOST_TRIES {
            let mut last = 0;
            for number in numbers(blobs)?.into_iter().rev() {
                if has_manifest(blobs, number)? {
                    last = number;
                    break;
                }
            }
            if blobs.create(&name(last + 1, MANIFEST), &mark)? {
                let log = Mutex::new(Log { last: last + 1, unsure: None });
                return Ok(Fence { place: place.to_owned(), mark, log });
            }
        }
        Err(Error::new(ErrorKind::State, format!("the store {place} is being taken by many runs at once"))
            .help("two runs on one store end each other: give each topology a `store` of its own, and run it once"))
    }

    /// Looks whether another run has taken the store.
    ///
    /// # Errors
    /// Of the kind `Taken` when one has.
    pub fn check(&self, blobs: &dyn Blobs) -> Result<()> {
        let log = self.log();
        for number in numbers(blobs)?.into_iter().filter(|number| *number > log.last) {
            let Some(there) = blobs.get(&name(number, MANIFEST))? else { continue };
            let is_unsure = log.unsure.as_ref().is_some_and(|(unsure, manifest)| *unsure == number && *manifest == there);
            if !is_unsure && there != self.mark {
                return Err(self.taken(Some(&there)));
            }
        }
        Ok(())
    }

    /// Writes marks under all free numbers before `id`.
    ///
    /// # Errors
    /// Of the kind `Taken` when another run has written under one of them.
    pub fn close_gap(&self, blobs: &dyn Blobs, id: CheckpointId) -> Result<()> {
        let mut log = self.log();
        if id.saturating_sub(log.last) > MOST_SKIPPED {
            let message = format!("checkpoint {id} in {} is to follow {}: something else has written into the store", self.place, log.last);
            return Err(Error::new(ErrorKind::State, message).help("remove folders that no run has made, or use another `store`"));
        }
        while log.last + 1 < id {
            let number = log.last + 1;
            if !blobs.create(&name(number, MANIFEST), &self.mark)? {
                // It was said to have failed, and is there all the same.
                let ours = log.unsure.take_if(|(unsure, _)| *unsure == number).map(|(_, manifest)| manifest);
                let there = blobs.get(&name(number, MANIFEST))?;
                if there.is_none() || there != ours && there.as_ref() != Some(&self.mark) {
                    return Err(self.taken(there.as_deref()));
                }
            }
            log.last = number;
        }
        Ok(())
    }

    /// Writes the manifest of checkpoint `id`, unless another run has taken the store.
    ///
    /// # Errors
    /// Of the kind `Taken` when one has; others when it cannot be written or that cannot be found out.
    pub fn publish(&self, blobs: &dyn Blobs, id: CheckpointId, manifest: &[u8]) -> Result<()> {
        self.close_gap(blobs, id)?;
        let mut log = self.log();
        log.unsure = Some((id, manifest.to_vec()));
        if !blobs.create(&name(id, MANIFEST), manifest)? {
            return Err(self.taken(blobs.get(&name(id, MANIFEST))?.as_deref()));
        }
        *log = Log { last: id, unsure: None };
        drop(log);
        let Some(newer) = numbers(blobs)?.last().copied().filter(|newest| *newest > id) else { return Ok(()) };
        let there = blobs.get(&name(newer, MANIFEST))?;
        // Nobody must go on from it. If that fails, the run that holds the store removes it as too old.
        let _ = remove(blobs, id);
        Err(self.taken(there.as_deref()))
    }

    /// Makes a checkpoint no checkpoint any more, as its run goes on from one before it. Its number stays taken: a run that is late
    /// must not find it free.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn give_up(&self, blobs: &dyn Blobs, id: CheckpointId) -> Result<()> {
        blobs.put(&name(id, MANIFEST), &self.mark)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taken(&self, by: Option<&[u8]>) -> Error {
        let by = by.and_then(owner).unwrap_or("another run");
        Error::new(ErrorKind::Taken, format!("the store {} was taken by {by}", self.place))
            .help("this run ends, so that only one writes: the other one goes on from the last checkpoint; to run both, give each a `store` of its own")
    }
}

/// Whether what stands in the place of a manifest is a mark.
pub fn is_mark(bytes: &[u8]) -> bool {
    bytes.starts_with(MARK.as_bytes())
}

/// Who has left a mark, for people.
fn owner(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?.strip_prefix(MARK)?;
    text.lines().nth(1)
}

/// A number that no other process has: the standard library's own seed.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests;

//! Which file is to be read before which: one that came under the name of another follows it, and is begun when that one is read
//! to its end. So the rows of a log that is rotated come in the order in which they were written.
//!
//! The end that counts is the one the older file has when the younger one is seen to have something: whoever writes a log goes on
//! in the new file only when he is done with the old one. What others write to the old one after that keeps nobody waiting.

use millstream_api::error::Result;

use super::copies::is_waiting_copy;
use super::tail::{LISTINGS_AFTER_ROTATION, Tail};
use crate::file_source::blocks::TextShape;
use crate::file_source::paths::FileId;

/// A file that had the name before.
pub(super) struct Predecessor {
    id: FileId,
    /// How far it is to be read, once that is known.
    end_bytes: Option<u64>,
    /// How far it had been read when the files were listed last, and for how many listings it has stood there.
    stood_bytes: u64,
    listings: usize,
}

impl Predecessor {
    pub(super) fn new(id: FileId) -> Predecessor {
        Predecessor { id, end_bytes: None, stood_bytes: 0, listings: 0 }
    }

    /// Whether `older`, which is this file, is still to be read.
    fn is_awaited(&mut self, older: &mut Tail) -> Result<bool> {
        // A packed copy waits as long as the file is there of which it is one, and may have no rows of its own.
        if is_waiting_copy(older) {
            return Ok(false);
        }
        let end_bytes = match self.end_bytes {
            Some(end_bytes) => end_bytes,
            None => *self.end_bytes.insert(older.end_bytes()?),
        };
        Ok(!older.is_done() && older.taken_bytes() < end_bytes)
    }
}

/// One of those before is gone; its packed copy, if there is one, is waited for in its place.
pub(super) fn is_gone(predecessors: &mut Vec<Predecessor>, id: FileId, copy: Option<FileId>) {
    if predecessors.iter().any(|predecessor| predecessor.id == id) {
        predecessors.retain(|predecessor| predecessor.id != id);
        predecessors.extend(copy.map(Predecessor::new));
    }
}

/// Whether the file at `index` has something to give and its turn has come: all those before it are read.
///
/// # Errors
/// When one of them can't be looked at.
pub(super) fn may_begin(tails: &mut [Tail], index: usize, shape: &TextShape) -> Result<bool> {
    if tails[index].predecessors.is_empty() {
        return Ok(true);
    }
    if !tails[index].has_begun_to_fill(shape)? {
        return Ok(false);
    }
    let mut awaited = std::mem::take(&mut tails[index].predecessors);
    let mut failure = None;
    awaited.retain_mut(|predecessor| {
        let Some(older) = tails.iter_mut().find(|tail| tail.id() == predecessor.id) else { return false };
        predecessor.is_awaited(older).unwrap_or_else(|error| {
            failure = Some(error);
            false
        })
    });
    let may_begin = awaited.is_empty();
    tails[index].predecessors = awaited;
    failure.map_or(Ok(may_begin), Err)
}

/// To be called when the files have been listed: what can't be read to its end, such as a last line that nobody ends, is not
/// waited for any longer than for whoever writes to a file that was rotated.
pub(super) fn give_up_on_those_that_stand(tails: &mut [Tail]) {
    let taken = |id: FileId| tails.iter().find(|tail| tail.id() == id).map(Tail::taken_bytes);
    // Whatever the reason may be: where nothing moves, waiting is no use.
    let nothing_moves = tails.iter().flat_map(|tail| &tail.predecessors).all(|older| taken(older.id) == Some(older.stood_bytes));
    let stands: Vec<_> = tails.iter().map(|tail| (tail.id(), tail.taken_bytes(), tail.predecessors.is_empty())).collect();
    for tail in tails {
        tail.predecessors.retain_mut(|predecessor| {
            let Some((_, taken_bytes, reads)) = stands.iter().find(|(id, ..)| *id == predecessor.id) else { return false };
            let stands = (*reads || nothing_moves) && predecessor.end_bytes.is_some() && predecessor.stood_bytes == *taken_bytes;
            predecessor.listings = if stands { predecessor.listings + 1 } else { 0 };
            predecessor.stood_bytes = *taken_bytes;
            predecessor.listings <= LISTINGS_AFTER_ROTATION
        });
    }
}

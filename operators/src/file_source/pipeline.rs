//! The threads of a `file` source: each reads a block when it is its turn, decodes it beside the others, and the rows come out
//! in file order.
//!
//! ```text
//!  turn (a lock): the reader, and who took the next block ─ order ──┐
//!        │            │                                             ├─── whoever calls `next`
//!     decoder 0    decoder 1  … ──────────────────────── done[0…] ──┘
//! ```
//! A decoder reads its block itself, so that the bytes are still in its core's cache when it decodes them: a thread that only
//! reads would have to hand each byte from one core to another. With the turn it says that the next block is its own; rows are
//! taken in that order, so nothing is sorted. A decoder has one block in work and one done: 2 N blocks exist at most, and whoever
//! is slow in taking rows stops everything behind.
//!
//! Who wakes whom: dropping the pipeline drops the receiving ends; a decoder that sends then fails and ends.

use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use millstream_api::error::{Error, Result};

use super::blocks::{BlockReader, PlacedBlock};
use crate::decode::{Block, Decode, Decoded};

/// The rows of one block.
#[derive(Debug)]
pub(crate) struct DecodedBlock {
    /// The name of the file.
    pub(crate) name: Arc<str>,
    /// The byte of the file at which the block starts.
    pub(crate) offset: u64,
    /// The line at which it starts.
    pub(crate) first_line: u64,
    /// Its rows.
    pub(crate) batches: Vec<Decoded>,
}

/// What came from the pipeline.
#[derive(Debug)]
pub(crate) enum Came {
    /// The next block's rows.
    Rows(DecodedBlock),
    /// Nothing within the wait.
    Nothing,
    /// All files are read.
    End,
}

/// Running threads that read and decode.
#[derive(Debug)]
pub(crate) struct Pipeline {
    /// Which decoder has the next block. Dropping it ends a decoder that takes its turn.
    order: Receiver<usize>,
    /// What each decoder has done. Dropping them ends a decoder that waits for room.
    done: Vec<Receiver<Result<Came>>>,
    /// The decoder whose block comes next, where that is known.
    next: Option<usize>,
    threads: Vec<JoinHandle<()>>,
}

/// What the decoders share.
#[derive(Debug)]
struct Turn {
    reader: BlockReader,
    order: Sender<usize>,
    /// Whether the reader has said its last: the end, or a failure.
    over: bool,
}

impl Pipeline {
    /// Starts a thread for each decoder.
    pub(crate) fn start(reader: BlockReader, decoders: Vec<Box<dyn Decode>>) -> Result<Self> {
        // Room for all that can be under way, so that nobody waits with the lock in hand.
        let (order_in, order) = bounded(decoders.len() * 2);
        let turn = Arc::new(Mutex::new(Turn { reader, order: order_in, over: false }));
        let mut pipeline = Pipeline { order, done: Vec::new(), next: None, threads: Vec::new() };
        for (index, decoder) in decoders.into_iter().enumerate() {
            let (done_in, done) = bounded(1);
            let turn = turn.clone();
            let body = move || decode_blocks(index, decoder, &turn, &done_in);
            let thread = Builder::new().name("file-decoder".to_owned()).spawn(body);
            pipeline.threads.push(thread.map_err(|error| Error::io("cannot start a thread", error))?);
            pipeline.done.push(done);
        }
        Ok(pipeline)
    }

    /// The next block's rows, in file order.
    ///
    /// # Errors
    /// The failure of the reader or a decoder, after all rows of before it.
    pub(crate) fn next(&mut self, wait: Duration) -> Result<Came> {
        let came = self.order_within(wait).and_then(|decoder| self.done[decoder].recv_timeout(wait));
        match came {
            Ok(came) => {
                self.next = None;
                came
            }
            Err(RecvTimeoutError::Timeout) => Ok(Came::Nothing),
            Err(RecvTimeoutError::Disconnected) => Err(Error::internal("a thread of a file source has died")),
        }
    }

    /// Which decoder has the next block.
    fn order_within(&mut self, wait: Duration) -> Result<usize, RecvTimeoutError> {
        if let Some(decoder) = self.next {
            return Ok(decoder);
        }
        let decoder = self.order.recv_timeout(wait)?;
        self.next = Some(decoder);
        Ok(decoder)
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.order = crossbeam_channel::never();
        self.done.clear();
        for thread in self.threads.drain(..) {
            // A thread that panicked was reported as the failure of `next`; here it only must be gone.
            drop(thread.join());
        }
    }
}

fn decode_blocks(index: usize, mut decoder: Box<dyn Decode>, turn: &Mutex<Turn>, done: &Sender<Result<Came>>) {
    let mut buffer = Vec::new();
    while let Some(read) = take_turn(index, turn, std::mem::take(&mut buffer)) {
        let came = match read {
            Ok(Some(PlacedBlock { block, offset })) => {
                let decoded = decoder.decode(&block);
                let Block { bytes, name, first_line, .. } = block;
                // The next block goes where this one was: fresh memory costs more than the reading.
                buffer = bytes;
                decoded.map(|batches| Came::Rows(DecodedBlock { name, offset, first_line, batches }))
            }
            Ok(None) => Ok(Came::End),
            Err(error) => Err(error),
        };
        if done.send(came).is_err() {
            return;
        }
    }
}

/// Waits for its turn and reads the next block; `None` when there is nothing more to do. A lock that was poisoned by a reader that
/// panicked is such a case: the rows of before come out, then the thread that died is missed.
fn take_turn(index: usize, turn: &Mutex<Turn>, buffer: Vec<u8>) -> Option<Result<Option<PlacedBlock>>> {
    let mut turn = turn.lock().ok()?;
    if turn.over || turn.order.send(index).is_err() {
        return None;
    }
    let read = turn.reader.next(buffer);
    turn.over = !matches!(read, Ok(Some(_)));
    Some(read)
}

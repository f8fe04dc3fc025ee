//! The threads of a `file` source: one reads, some decode, in file order.
//!
//! ```text
//!            ┌ jobs[0] ─ decoder ─ done[0] ┐
//!  reader ───┤                             ├─── whoever calls `next`
//!            └ jobs[1] ─ decoder ─ done[1] ┘
//! ```
//! Block n goes to decoder n mod N and its rows are taken from there in turn, so they come back in order without being sorted.
//! Each channel holds one item; so at most 3 N + 1 blocks exist, and a slow reader of rows stops everything behind it.
//!
//! Who wakes whom: dropping the pipeline drops the ends of `done`; a decoder that sends then fails and ends, which drops its
//! end of `jobs`; the reader that sends then fails and ends.

use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use millstream_api::error::{Error, Result};

use super::blocks::{BlockReader, PlacedBlock};
use crate::decode::{Block, Decode, Decoded};

/// What a decoder is given, and in the same order what it hands on.
enum Item<T> {
    Rows(T),
    Failed(Error),
    End,
}

/// The rows of one block.
#[derive(Debug)]
pub(crate) struct DecodedBlock {
    /// The name of the file.
    pub(crate) name: std::sync::Arc<str>,
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
    /// Dropping these ends the decoders.
    done: Vec<Receiver<Item<DecodedBlock>>>,
    /// Whose rows come next.
    turn: usize,
    threads: Vec<JoinHandle<()>>,
}

impl Pipeline {
    /// Starts reading, with one thread for each decoder.
    pub(crate) fn start(reader: BlockReader, decoders: Vec<Box<dyn Decode>>) -> Result<Self> {
        let mut pipeline = Pipeline { done: Vec::new(), turn: 0, threads: Vec::new() };
        let (spare_in, spare_out) = bounded(decoders.len() * 3 + 1);
        let mut jobs = Vec::new();
        for decoder in decoders {
            let (job_in, job_out) = bounded(1);
            let (done_in, done_out) = bounded(1);
            let spare = spare_in.clone();
            pipeline.spawn("file-decoder", move || decode_blocks(decoder, &job_out, &done_in, &spare))?;
            jobs.push(job_in);
            pipeline.done.push(done_out);
        }
        pipeline.spawn("file-reader", move || read_blocks(reader, &jobs, &spare_out))?;
        Ok(pipeline)
    }

    fn spawn(&mut self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = Builder::new().name(name.to_owned()).spawn(body).map_err(|error| Error::io("cannot start a thread", error))?;
        self.threads.push(thread);
        Ok(())
    }

    /// The next block's rows, in file order.
    ///
    /// # Errors
    /// The failure of the reader or a decoder, after all rows of before it.
    pub(crate) fn next(&mut self, wait: Duration) -> Result<Came> {
        match self.done[self.turn].recv_timeout(wait) {
            Ok(Item::Rows(rows)) => {
                self.turn = (self.turn + 1) % self.done.len();
                Ok(Came::Rows(rows))
            }
            Ok(Item::Failed(error)) => Err(error),
            Ok(Item::End) => Ok(Came::End),
            Err(RecvTimeoutError::Timeout) => Ok(Came::Nothing),
            Err(RecvTimeoutError::Disconnected) => Err(Error::internal("a thread of a file source has died")),
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.done.clear();
        for thread in self.threads.drain(..) {
            // A thread that panicked was reported as the failure of `next`; here it only must be gone.
            drop(thread.join());
        }
    }
}

fn read_blocks(mut reader: BlockReader, jobs: &[Sender<Item<PlacedBlock>>], spare: &Receiver<Vec<u8>>) {
    for job in jobs.iter().cycle() {
        let item = match reader.next(spare.try_recv().unwrap_or_default()) {
            Ok(Some(block)) => Item::Rows(block),
            Ok(None) => Item::End,
            Err(error) => Item::Failed(error),
        };
        let last = !matches!(item, Item::Rows(_));
        if job.send(item).is_err() || last {
            return;
        }
    }
}

fn decode_blocks(
    mut decoder: Box<dyn Decode>,
    jobs: &Receiver<Item<PlacedBlock>>,
    done: &Sender<Item<DecodedBlock>>,
    spare: &Sender<Vec<u8>>,
) {
    for job in jobs {
        let item = match job {
            Item::Rows(PlacedBlock { block, offset }) => {
                let decoded = decoder.decode(&block);
                let Block { bytes, name, first_line, .. } = block;
                // When there is no room the buffer is one too many.
                drop(spare.try_send(bytes));
                match decoded {
                    Ok(batches) => Item::Rows(DecodedBlock { name, offset, first_line, batches }),
                    Err(error) => Item::Failed(error),
                }
            }
            Item::Failed(error) => Item::Failed(error),
            Item::End => Item::End,
        };
        if done.send(item).is_err() {
            return;
        }
    }
}

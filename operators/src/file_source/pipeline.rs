//! The threads of a `file` source: each takes a piece when it is its turn, decodes it beside the others, and the rows come out
//! in the order of the pieces. A piece is a block of text or a row group.
//!
//! ```text
//!  turn (a lock): the reader, and who took the next piece ─ order ──┐
//!        │            │                                             ├─── whoever calls `next`
//!     decoder 0    decoder 1  … ──────────────────────── done[0…] ──┘
//! ```
//! A decoder reads its block itself, so that the bytes are still in its core's cache when it decodes them: a thread that only
//! reads would have to hand each byte from one core to another. With the turn it says that the next piece is its own; rows are
//! taken in that order, so nothing is sorted. A decoder has one block in work and one done: 2 N blocks exist at most, and whoever
//! is slow in taking rows stops everything behind. Of a row group it hands on a batch at a time.
//!
//! Where files are followed and none has grown, or all that are left wait for others (`time.max_ahead`), the thread that has the turn
//! waits with it in hand: nobody else could do more.
//!
//! Who wakes whom: dropping the pipeline drops the receiving ends, and the sending end of `stop`; a decoder that sends then fails
//! and ends, and so does one that waits for files to grow.

use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use millstream_api::error::{Error, Result};

use super::blocks::{PlacedBlock, count_lines};
use super::parquet::{GroupRows, ParquetShape};
use super::placing::{DecodedText, PlacedBatch};
use super::position::Place;
use super::reading::{Mark, Piece, Reading, Step, Work};
use crate::decode::Decode;

/// What came from the pipeline.
#[derive(Debug)]
pub(crate) enum Came {
    /// The rows of the next block.
    Text(DecodedText),
    /// The next rows of a row group, of which more come.
    Group(PlacedBatch),
    /// The end of a row group.
    GroupEnd,
    /// This split is over.
    SplitEnd(u32),
    /// Nothing within the wait.
    Nothing,
    /// All files are read.
    End,
}

/// What decodes the pieces: one for each thread.
pub(crate) enum Decoder {
    /// Blocks of text.
    Text(Box<dyn Decode>),
    /// Row groups, in batches of so many rows.
    Parquet(ParquetShape, usize),
}

/// Running threads that read and decode.
#[derive(Debug)]
pub(crate) struct Pipeline {
    /// Which decoder has the next piece. Dropping it ends a decoder that takes its turn.
    order: Receiver<usize>,
    /// What each decoder has done. Dropping them ends a decoder that waits for room.
    done: Vec<Receiver<Result<Came>>>,
    /// Dropping it ends a decoder that waits for files to grow.
    stop: Option<Sender<()>>,
    /// The decoder whose piece comes next, where that is known.
    next: Option<usize>,
    threads: Vec<JoinHandle<()>>,
}

/// What the decoders share.
struct Turn {
    reading: Box<dyn Reading>,
    order: Sender<usize>,
    /// Ends when the pipeline does.
    stop: Receiver<()>,
    /// How long to wait before looking again whether there is something to read.
    poll: Duration,
    /// Whether the reader has said its last: the end, or a failure.
    over: bool,
}

impl Pipeline {
    /// Starts a thread for each decoder.
    pub(crate) fn start(reading: Box<dyn Reading>, decoders: Vec<Decoder>, poll: Duration) -> Result<Self> {
        // Room for all that can be under way, so that nobody waits with the lock in hand.
        let (order_in, order) = bounded(decoders.len() * 2);
        let (stop, stopped) = bounded(0);
        let turn = Arc::new(Mutex::new(Turn { reading, order: order_in, stop: stopped, poll, over: false }));
        let mut pipeline = Pipeline { order, done: Vec::new(), stop: Some(stop), next: None, threads: Vec::new() };
        for (index, decoder) in decoders.into_iter().enumerate() {
            let (done_in, done) = bounded(1);
            let turn = turn.clone();
            let body = move || decode_pieces(index, decoder, &turn, &done_in);
            let thread = Builder::new().name("file-decoder".to_owned()).spawn(body);
            pipeline.threads.push(thread.map_err(|error| Error::io("cannot start a thread", error))?);
            pipeline.done.push(done);
        }
        Ok(pipeline)
    }

    /// The next rows, in file order.
    ///
    /// # Errors
    /// The failure of the reader or a decoder, after all rows of before it.
    pub(crate) fn next(&mut self, wait: Duration) -> Result<Came> {
        let came = self.order_within(wait).and_then(|decoder| self.done[decoder].recv_timeout(wait));
        match came {
            Ok(came) => {
                if !matches!(came, Ok(Came::Group(_))) {
                    self.next = None;
                }
                came
            }
            Err(RecvTimeoutError::Timeout) => Ok(Came::Nothing),
            Err(RecvTimeoutError::Disconnected) => Err(Error::internal("a thread of a file source has died")),
        }
    }

    /// Which decoder has the next piece.
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
        self.stop = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked was reported as the failure of `next`; here it only must be gone.
            drop(thread.join());
        }
    }
}

fn decode_pieces(index: usize, mut decoder: Decoder, turn: &Mutex<Turn>, done: &Sender<Result<Came>>) {
    let mut buffer = Vec::new();
    while let Some(step) = take_turn(index, turn, std::mem::take(&mut buffer)) {
        let came = match step {
            Ok(Step::Piece(piece)) => decoder.decode(piece, &mut buffer, &mut |came| done.send(Ok(came)).is_ok()),
            Ok(Step::SplitEnd(split)) => Ok(Came::SplitEnd(split)),
            // Taking a turn waits until there is something.
            Ok(Step::Later | Step::End) => Ok(Came::End),
            Err(error) => Err(error),
        };
        if done.send(came).is_err() {
            return;
        }
    }
}

/// Waits for its turn and takes the next piece; `None` when there is nothing more to do. A lock that was poisoned by a reader that
/// panicked is such a case: the rows of before come out, then the thread that died is missed.
fn take_turn(index: usize, turn: &Mutex<Turn>, mut buffer: Vec<u8>) -> Option<Result<Step>> {
    let mut turn = turn.lock().ok()?;
    if turn.over || turn.order.send(index).is_err() {
        return None;
    }
    loop {
        let step = turn.reading.next(std::mem::take(&mut buffer));
        if !matches!(step, Ok(Step::Later)) {
            turn.over = !matches!(step, Ok(Step::Piece(_) | Step::SplitEnd(_)));
            return Some(step);
        }
        // Nobody ever sends: it ends by the wait or by the end of the pipeline.
        if turn.stop.recv_timeout(turn.poll) == Err(RecvTimeoutError::Disconnected) {
            turn.over = true;
            return None;
        }
    }
}

impl Decoder {
    /// The rows of a block, or the end of a row group, whose rows are handed to `some`, which says whether anybody still wants any.
    /// What was a block becomes `buffer`: the next one goes where it was, since fresh memory costs more than the reading.
    pub(crate) fn decode(&mut self, piece: Piece, buffer: &mut Vec<u8>, some: &mut dyn FnMut(Came) -> bool) -> Result<Came> {
        let Piece { split, work, mark } = piece;
        match (self, work) {
            (Decoder::Text(decoder), Work::Block(placed)) => decode_block(decoder.as_mut(), split, placed, mark, buffer),
            (Decoder::Text(decoder), Work::Lines(range)) => decode_block(decoder.as_mut(), split, range.read()?, mark, buffer),
            (Decoder::Parquet(shape, batch_rows), Work::RowGroup(group)) => {
                group.read(shape, *batch_rows, &mut |rows| {
                    let GroupRows { name, row_group, end_row: row, records, bad } = rows;
                    let batch = PlacedBatch { split, records, weights: None, bad, name, end: Place::Rows { row_group, row }, mark: None };
                    some(Came::Group(batch))
                })?;
                Ok(Came::GroupEnd)
            }
            (Decoder::Text(_), Work::RowGroup(_)) | (Decoder::Parquet(..), Work::Block(_) | Work::Lines(_)) => {
                Err(Error::internal("a piece of another format than its decoder"))
            }
        }
    }
}

/// The rows of a block, whose bytes become `buffer`.
fn decode_block(decoder: &mut dyn Decode, split: u32, placed: PlacedBlock, mark: Option<Box<Mark>>, buffer: &mut Vec<u8>) -> Result<Came> {
    let PlacedBlock { block, name, offset, first_line } = placed;
    let batches = decoder.decode(&block)?;
    *buffer = block.bytes;
    // Where there were no rows nobody has counted.
    let lines = batches.last().map_or_else(|| count_lines(buffer) as u64, |last| last.end_lines);
    Ok(Came::Text(DecodedText { split, batches, name, offset, first_line, lines, mark }))
}

//! Text that the source's own thread reads and decodes. With one worker there is nobody to share the work with, and to hand each block
//! from one thread to another would cost for nothing. Nor does anybody else need to know where the next block begins before this one is decoded,
//! so its lines are counted by the way.
//!
//! Only for input that is read to its end without waiting: whoever waits for a file to grow must be able to be stopped.

use millstream_api::error::{Error, Result};

use super::blocks::{PlacedBlock, count_lines};
use super::pipeline::{Came, Decoder};
use super::position::Place;
use super::reading::{Piece, Reading, Step, Work};
use crate::decode::{Block, Decode};

/// Reads and decodes a block whenever it is asked for rows.
pub(crate) struct Alone {
    reading: Box<dyn Reading>,
    decoder: Decoder,
    /// Room for the next block.
    buffer: Vec<u8>,
}

impl Alone {
    /// At the place where `reading` is.
    pub(crate) fn new(reading: Box<dyn Reading>, decoder: Box<dyn Decode>) -> Self {
        Alone { reading, decoder: Decoder::Text(decoder), buffer: Vec::new() }
    }

    /// The rows of the next block.
    ///
    /// # Errors
    /// When it can't be read.
    pub(crate) fn next(&mut self) -> Result<Came> {
        match self.reading.next(std::mem::take(&mut self.buffer))? {
            Step::Piece(piece) => self.decode(piece),
            Step::SplitEnd(split) => Ok(Came::SplitEnd(split)),
            Step::End => Ok(Came::End),
            Step::Later => Err(Error::internal("a file that is read to its end waits for more")),
        }
    }

    /// The rows of a block come at once; then it is known how many lines it has.
    fn decode(&mut self, piece: Piece) -> Result<Came> {
        let Work::Block(PlacedBlock { block: Block { first_line, .. }, .. }) = piece.work else {
            return Err(Error::internal("a file of text has a piece of another format"));
        };
        let came = self.decoder.decode(piece, &mut self.buffer, &mut |_| true)?;
        let Came::Rows { batches, .. } = &came else { return Ok(came) };
        let lines = match batches.back().map(|last| last.end) {
            Some(Place::Text { line, .. }) => line - first_line,
            // There were no rows.
            _ => count_lines(&self.buffer) as u64,
        };
        self.reading.had_lines(lines);
        Ok(came)
    }
}

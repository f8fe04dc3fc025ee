//! Text that the source's own thread reads and decodes. With one worker there is nobody to share the work with, and to hand each block
//! from one thread to another would cost for nothing.
//!
//! Only for input that is read to its end without waiting: whoever waits for a file to grow must be able to be stopped.

use millstream_api::error::{Error, Result};

use super::pipeline::{Came, Decoder};
use super::reading::{Reading, Step};
use crate::decode::Decode;

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
            Step::Piece(piece) => self.decoder.decode(piece, &mut self.buffer, &mut |_| true),
            Step::SplitEnd(split) => Ok(Came::SplitEnd(split)),
            Step::End => Ok(Came::End),
            Step::Later => Err(Error::internal("a file that is read to its end waits for more")),
        }
    }
}

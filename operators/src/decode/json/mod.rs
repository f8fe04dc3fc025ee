//! JSON lines: one object a line.
//!
//! Two decoders in one. [`row`] takes any well-formed object and says precisely what is wrong with anything else. [`layout`]
//! knows the shape that lines of this input usually have and is several times faster on those; whatever it does not expect,
//! it leaves to the general one. They agree on every line; a test holds that.

pub(crate) mod cursor;
mod layout;
mod row;
#[cfg(test)]
mod tests;

pub(crate) use row::append_value;

use millstream_api::error::Result;

use self::layout::Scanner;
use super::column::{ColumnSet, Mismatch};
use super::schema::ColumnSpec;
use super::{Batches, Block, Decode, Decoded};

/// Decodes JSON lines.
#[derive(Debug)]
pub(crate) struct JsonDecoder {
    batches: Batches,
    scanner: Scanner,
}

impl JsonDecoder {
    /// For these columns. Other keys only need to be well-formed.
    pub(crate) fn new(specs: &[ColumnSpec], batch_rows: usize) -> Result<Self> {
        Ok(JsonDecoder { batches: Batches::new(specs, batch_rows)?, scanner: Scanner::new() })
    }
}

impl Decode for JsonDecoder {
    fn decode(&mut self, block: &Block) -> Result<Vec<Decoded>> {
        let mut rows = self.batches.begin(block);
        let clean = Clean::of(&block.bytes);
        let mut start = 0;
        while start < block.bytes.len() {
            let end = memchr::memchr(b'\n', &block.bytes[start..]).map_or(block.bytes.len(), |length| start + length);
            let line = start..end - usize::from(block.bytes[start..end].ends_with(b"\r"));
            start = (end + 1).min(block.bytes.len());
            let bytes = &block.bytes[line.clone()];
            if bytes.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
                rows.skip(1);
                continue;
            }
            let written = match clean.text {
                Some(text) => append_line(&mut self.scanner, &text[line.clone()], clean.no_controls, rows.columns()),
                None => append_bytes(&mut self.scanner, bytes, clean.no_controls, rows.columns()),
            };
            rows.end_row(written, bytes, 1, start)?;
        }
        rows.finish()
    }
}

/// What is known of all lines of a block, so that it need not be found out for each.
#[derive(Clone, Copy, Debug)]
struct Clean<'a> {
    /// The block as text, if all of it is valid UTF-8.
    text: Option<&'a str>,
    /// There are no control characters but line ends.
    no_controls: bool,
}

impl<'a> Clean<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Clean { text: std::str::from_utf8(bytes).ok(), no_controls: !has_controls(bytes) }
    }
}

/// Whether there are control characters other than `\n`. Written so that it compiles to vector instructions.
fn has_controls(bytes: &[u8]) -> bool {
    bytes.chunks(4096).any(|chunk| chunk.iter().fold(false, |found, &byte| found | ((byte < 0x20) & (byte != b'\n'))))
}

fn append_bytes(scanner: &mut Scanner, line: &[u8], no_controls: bool, columns: &mut ColumnSet) -> Result<(), Mismatch> {
    match std::str::from_utf8(line) {
        Ok(text) => append_line(scanner, text, no_controls, columns),
        Err(error) => Err(format!("not valid UTF-8 at byte {} of the line", error.valid_up_to() + 1)),
    }
}

fn append_line(scanner: &mut Scanner, line: &str, no_controls: bool, columns: &mut ColumnSet) -> Result<(), Mismatch> {
    let tidy = no_controls || !has_controls(line.as_bytes());
    if tidy && scanner.scan(line, columns) {
        return Ok(());
    }
    row::append_line(line, columns)?;
    if tidy {
        scanner.learn(line, columns);
    }
    Ok(())
}

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

pub(crate) use row::{append_line as append_object_text, append_value};

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
            let line = block.bytes[start..end].strip_suffix(b"\r").unwrap_or(&block.bytes[start..end]);
            start = (end + 1).min(block.bytes.len());
            if line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
                rows.skip(1);
                continue;
            }
            let written = append_line(&mut self.scanner, line, clean, rows.columns());
            rows.end_row(written, line, 1, start)?;
        }
        rows.finish()
    }
}

/// What is known of all lines of a block, so that it need not be found out for each.
#[derive(Clone, Copy, Debug)]
struct Clean {
    /// All is valid UTF-8.
    utf8: bool,
    /// There are no control characters but line ends.
    no_controls: bool,
}

impl Clean {
    fn of(bytes: &[u8]) -> Self {
        let seen = Seen::in_bytes(bytes);
        Clean { utf8: seen.ascii || std::str::from_utf8(bytes).is_ok(), no_controls: !seen.controls }
    }
}

/// Which kinds of bytes there are.
struct Seen {
    ascii: bool,
    /// Control characters other than `\n`.
    controls: bool,
}

impl Seen {
    /// A plain loop over all bytes, so that it compiles to vector instructions.
    fn in_bytes(bytes: &[u8]) -> Self {
        let (all, controls) =
            bytes.iter().fold((0u8, 0u8), |(all, controls), &byte| (all | byte, controls | u8::from((byte < 0x20) & (byte != b'\n'))));
        Seen { ascii: all < 0x80, controls: controls != 0 }
    }
}

fn append_line(scanner: &mut Scanner, line: &[u8], clean: Clean, columns: &mut ColumnSet) -> Result<(), Mismatch> {
    let valid = clean.utf8 || std::str::from_utf8(line).is_ok();
    let tidy = valid && (clean.no_controls || !Seen::in_bytes(line).controls);
    if tidy && scanner.scan(line, columns) {
        return Ok(());
    }
    let text = std::str::from_utf8(line).map_err(|error| format!("not valid UTF-8 at byte {} of the line", error.valid_up_to() + 1))?;
    row::append_line(text, columns)?;
    if tidy {
        scanner.learn(text, columns);
    }
    Ok(())
}

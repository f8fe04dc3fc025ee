//! JSON lines: one object a line.
//!
//! Two decoders in one. [`row`] takes any well-formed object and says precisely what is wrong with anything else. [`scanner`]
//! knows the shapes that lines of this input usually have ([`shape`], [`layout`], [`fixed`]) and is several times faster on those;
//! whatever it does not expect, it leaves to the general one. They agree on every line; a test holds that. `cursor` and `value` are
//! below both: the tokens of a line, and single values.
//!
//! A block is taken a piece at a time: what is found out about the bytes of a piece is used while they are in the core's nearest cache.

pub(crate) mod cursor;
mod fixed;
mod layout;
mod row;
mod scanner;
mod shape;
#[cfg(test)]
mod tests;
mod value;

pub(crate) use row::{append_line as append_object_text, append_value};

use std::ops::Range;

use millstream_api::error::Result;

use self::scanner::Scanner;
use self::value::Text;
use super::column::{ColumnSet, Mismatch};
use super::marks::{Marker, Marks};
use super::schema::ColumnSpec;
use super::{Batches, Block, BlockRows, Decode, Decoded, PIECE_BYTES};

/// Decodes JSON lines.
#[derive(Debug)]
pub(crate) struct JsonDecoder {
    batches: Batches,
    scanner: Option<Scanner>,
    marks: Marks,
}

impl JsonDecoder {
    /// For these columns. Other keys only need to be well-formed.
    pub(crate) fn new(specs: &[ColumnSpec], batch_rows: usize) -> Result<Self> {
        Ok(JsonDecoder { batches: Batches::new(specs, batch_rows)?, scanner: Some(Scanner::new()), marks: Marks::default() })
    }

    /// The same without the scanner: what it must agree with.
    pub(crate) fn general(specs: &[ColumnSpec], batch_rows: usize) -> Result<Self> {
        Ok(JsonDecoder { scanner: None, ..JsonDecoder::new(specs, batch_rows)? })
    }
}

impl Decode for JsonDecoder {
    fn decode(&mut self, block: &Block) -> Result<Vec<Decoded>> {
        let JsonDecoder { batches, scanner, marks } = self;
        let mut rows = batches.begin(block);
        let mut start = 0;
        while let Some(piece) = next_piece(&block.bytes, start) {
            start = piece.end;
            match scanner {
                Some(scanner) => scan_piece(&block.bytes, piece, scanner, marks, &mut rows)?,
                None => general_lines(&block.bytes, piece, &mut rows)?,
            }
        }
        rows.finish()
    }
}

/// Whole lines from byte `start` on, about as many as can be looked at in one go.
fn next_piece(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let rest = bytes.get(start..).filter(|rest| !rest.is_empty())?;
    let Some(likely) = rest.get(..PIECE_BYTES) else { return Some(start..bytes.len()) };
    let length = memchr::memrchr(b'\n', likely).or_else(|| memchr::memchr(b'\n', rest));
    Some(start..length.map_or(bytes.len(), |length| start + length + 1))
}

fn scan_piece(all: &[u8], piece: Range<usize>, scanner: &mut Scanner, marks: &mut Marks, rows: &mut BlockRows<'_>) -> Result<()> {
    let bytes = &all[piece.clone()];
    marks.read(bytes, &Marker::new(b'"', b'\\'));
    let valid = marks.is_ascii() || std::str::from_utf8(bytes).is_ok();
    // Places are 32 bits wide; a longer line is not one to hurry with.
    if !valid || u32::try_from(bytes.len()).is_err() {
        return general_lines(all, piece, rows);
    }
    let text = Text { bytes, marks };
    let mut at = 0;
    while at < bytes.len() {
        let room = rows.room();
        let (lines, end) = scanner.scan(&text, at as u32, room, rows.columns());
        at = end as usize;
        rows.end_good_rows(lines, piece.start + at)?;
        if at < bytes.len() && lines < room {
            let line = line_at(bytes, at);
            at += line.length;
            if let Some(learned) = general_line(line.text, rows, piece.start + at)? {
                scanner.learn(learned, rows.columns());
            }
        }
    }
    Ok(())
}

fn general_lines(all: &[u8], piece: Range<usize>, rows: &mut BlockRows<'_>) -> Result<()> {
    let mut at = piece.start;
    while at < piece.end {
        let line = line_at(&all[..piece.end], at);
        at += line.length;
        general_line(line.text, rows, at)?;
    }
    Ok(())
}

/// A line without its end, and its length with it.
struct Line<'a> {
    text: &'a [u8],
    length: usize,
}

fn line_at(bytes: &[u8], at: usize) -> Line<'_> {
    let rest = &bytes[at..];
    let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |length| length + 1);
    let text = rest[..length].strip_suffix(b"\n").unwrap_or(&rest[..length]);
    Line { text: text.strip_suffix(b"\r").unwrap_or(text), length }
}

/// Adds a line as a row, good or bad, unless there is nothing in it; gives its text if it is a good one.
fn general_line<'a>(line: &'a [u8], rows: &mut BlockRows<'_>, end: usize) -> Result<Option<&'a str>> {
    if line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
        rows.skip(1);
        return Ok(None);
    }
    let written = append_line(line, rows.columns());
    let good = written.as_ref().ok().copied();
    rows.end_row(written.map(|_| ()), line, 1, end)?;
    Ok(good)
}

fn append_line<'a>(line: &'a [u8], columns: &mut ColumnSet) -> Result<&'a str, Mismatch> {
    let text = std::str::from_utf8(line).map_err(|error| format!("not valid UTF-8 at byte {} of the line", error.valid_up_to() + 1))?;
    row::append_line(text, columns)?;
    Ok(text)
}

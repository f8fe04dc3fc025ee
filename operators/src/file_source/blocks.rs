//! Cuts text into blocks that start and end where a record does.
//!
//! Only one thread can do it at a time, so it does as little as it can: reads, and looks for the last record end.

use std::fmt;
use std::sync::Arc;

use millstream_api::error::{Error, ErrorKind, Result};

use super::cannot_read;
use super::compression::{Compression, Input};
use super::paths::InputFile;
use crate::decode::Block;
use crate::decode::csv::{Dialect, Header, record};
use crate::decode::schema::ColumnSpec;

/// A record longer than this is taken for a mistake in the input.
pub(crate) const MAX_RECORD_BYTES: usize = 64 << 20;

/// What may stand before the first record.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// How text is cut into records.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Framing {
    /// One a line.
    Lines,
    /// As the quotes say; `all` columns of the schema, in order, of which some are `wanted`.
    Csv { dialect: Dialect, all: Vec<ColumnSpec>, wanted: Vec<ColumnSpec> },
}

/// How files of text are read.
#[derive(Clone, Debug)]
pub(crate) struct TextShape {
    pub(crate) framing: Framing,
    pub(crate) compression: Compression,
    /// About how long a block is.
    pub(crate) block_bytes: usize,
    pub(crate) division: Division,
}

/// What of the work is done by whoever has the turn to read, and what by the decoders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Division {
    /// The lines of a block are counted when it is read: the next one may be of another file.
    CountedWhenRead,
    /// Decoders count lines as they find them: blocks follow one another, and have their numbers once they are in order again.
    CountedWhenDecoded,
    /// Decoders also read, several at a time, where a file can be read so.
    ReadByDecoders,
}

/// The line at which a block starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstLine {
    /// Counted from the beginning of the file, from 1.
    At(u64),
    /// The one after the block before it in the same split.
    Next,
}

/// What the end of a file means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing comes after it: what stands there is the last record, with a line end or without.
    Final,
    /// More may come: a record without its line end may be half of one.
    Open,
}

/// A block and where it begins.
#[derive(Debug)]
pub(crate) struct PlacedBlock {
    pub(crate) block: Block,
    /// The name of the file.
    pub(crate) name: Arc<str>,
    /// The byte of its text at which it starts.
    pub(crate) offset: u64,
    /// The line at which it starts.
    pub(crate) first_line: FirstLine,
}

/// A file of text that is being read.
pub(crate) struct TextFile {
    file: InputFile,
    input: Input,
    /// The byte of the text at which `rest` starts.
    offset: u64,
    /// The line at which it starts; where decoders count, that of the first block.
    line: u64,
    /// Whether a block has been read.
    begun: bool,
    /// What was read but belongs to the next block.
    rest: Vec<u8>,
    header: Option<Arc<Header>>,
}

impl TextFile {
    /// At the first record. Of a file that may grow nothing is known while its header is not complete: `None`.
    ///
    /// # Errors
    /// When it can't be read, or its header lacks a column.
    pub(crate) fn open(file: &InputFile, shape: &TextShape, ending: Ending) -> Result<Option<TextFile>> {
        let input = Input::open(file, shape.compression)?;
        let mut open = TextFile { file: file.clone(), input, offset: 0, line: 1, begun: false, rest: Vec::new(), header: None };
        if !open.skip_byte_order_mark(ending)? {
            return Ok(None);
        }
        if let Framing::Csv { dialect, all, wanted } = &shape.framing {
            open.header = match dialect.header {
                true => match open.read_header(dialect, wanted, ending)? {
                    Some(header) => Some(Arc::new(header)),
                    None => return Ok(None),
                },
                false => Some(Arc::new(Header::in_order(all, wanted))),
            };
        }
        Ok(Some(open))
    }

    /// At the record that starts at this byte, in this line.
    ///
    /// # Errors
    /// When it can't be read, or has fewer bytes.
    pub(crate) fn resume(file: &InputFile, shape: &TextShape, offset: u64, line: u64) -> Result<TextFile> {
        let opened = TextFile::open(file, shape, Ending::Final)?;
        let mut open = opened.ok_or_else(|| Error::internal("a file that is complete has no beginning"))?;
        let in_hand = open.offset + open.rest.len() as u64;
        match offset.checked_sub(in_hand) {
            Some(ahead) => {
                open.rest.clear();
                open.input.skip(ahead)?;
            }
            None => drop(open.rest.drain(..(offset.saturating_sub(open.offset)) as usize)),
        }
        (open.offset, open.line) = (offset, line);
        Ok(open)
    }

    /// The input below.
    pub(crate) fn input(&self) -> &Input {
        &self.input
    }

    /// The byte after what was read, and what of that is no record yet.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.offset + self.rest.len() as u64
    }

    /// The byte at which the next record starts, and its line.
    pub(crate) fn stand(&self) -> (u64, u64) {
        (self.offset, self.line)
    }

    /// The next block, made of `buffer`. When there are no more records now, the buffer comes back.
    ///
    /// # Errors
    /// When the file can't be read, or a record has no end.
    pub(crate) fn next(&mut self, mut buffer: Vec<u8>, shape: &TextShape, ending: Ending) -> Result<Result<PlacedBlock, Vec<u8>>> {
        self.fill(&mut buffer, shape, ending)?;
        Ok(if buffer.is_empty() { Err(buffer) } else { Ok(self.place(buffer, shape.division)) })
    }

    /// Goes over a byte order mark; false when what is there may become one.
    fn skip_byte_order_mark(&mut self, ending: Ending) -> Result<bool> {
        self.read(BYTE_ORDER_MARK.len())?;
        if self.rest == BYTE_ORDER_MARK {
            self.rest.clear();
            self.offset = BYTE_ORDER_MARK.len() as u64;
            return Ok(true);
        }
        Ok(ending == Ending::Final || !BYTE_ORDER_MARK.starts_with(&self.rest))
    }

    fn read_header(&mut self, dialect: &Dialect, wanted: &[ColumnSpec], ending: Ending) -> Result<Option<Header>> {
        match self.read_names(dialect, ending)? {
            None => Ok(None),
            // An empty file has no header and no rows.
            Some(Names { names, .. }) if names.is_empty() => Ok(Some(Header::in_order(&[], &[]))),
            Some(Names { names, line }) => {
                let bad = |reason| cannot_read(&format!("{}:{line}", self.file.name), reason);
                Header::named(&names, wanted).map(Some).map_err(bad)
            }
        }
    }

    /// Reads the first record that is not empty as the names of the fields; none when the file is empty, `None` when the record may
    /// not be complete.
    fn read_names(&mut self, dialect: &Dialect, ending: Ending) -> Result<Option<Names>> {
        let bad_header = |name: &str, cause: &dyn fmt::Display| cannot_read(name, format!("its header is not CSV: {cause}"));
        let (mut names, mut header_line) = (Vec::new(), self.line);
        while names.is_empty() {
            while dialect.record_end(&self.rest, 0).is_none() {
                if !self.read(4096)? {
                    if ending == Ending::Open && dialect.record_end(&self.rest, 0).is_none() {
                        return Ok(None);
                    }
                    break;
                }
            }
            let (line, length) = record(&self.rest, dialect);
            if length == 0 {
                break;
            }
            let text = std::str::from_utf8(line).map_err(|error| bad_header(&self.file.name, &error))?;
            if !text.is_empty() {
                dialect
                    .fields(text, |_, field| names.push(field.text.into_owned()))
                    .map_err(|reason| bad_header(&self.file.name, &reason))?;
            }
            self.offset += length as u64;
            header_line = self.line;
            self.line += count_lines(&self.rest[..length]) as u64;
            self.rest.drain(..length);
        }
        Ok(Some(Names { names, line: header_line }))
    }

    /// Reads up to `length` more bytes; false at the end of the file.
    fn read(&mut self, length: usize) -> Result<bool> {
        let got = self.input.read(length, &mut self.rest)?;
        if self.rest.len() > MAX_RECORD_BYTES {
            return Err(too_long(&self.file.name, self.line));
        }
        Ok(got == length)
    }

    /// Fills the buffer with whole records, about a block of them; leaves it empty when there are no more.
    fn fill(&mut self, buffer: &mut Vec<u8>, shape: &TextShape, ending: Ending) -> Result<()> {
        buffer.clear();
        buffer.append(&mut self.rest);
        loop {
            // Never beyond the longest record and its end, so that it is the limit wherever in a block a record begins.
            let most = (MAX_RECORD_BYTES + 1).saturating_sub(buffer.len());
            let length = shape.block_bytes.saturating_sub(buffer.len()).max(buffer.len()).min(most).max(1);
            let got = self.input.read(length, buffer)?;
            let end = match (got < length, ending) {
                (true, Ending::Final) => Some(buffer.len()),
                (true, Ending::Open) => Some(shape.framing.last_record_end(buffer).unwrap_or(0)),
                (false, _) => shape.framing.last_record_end(buffer),
            };
            if let Some(end) = end {
                self.rest.extend_from_slice(&buffer[end..]);
                buffer.truncate(end);
                return Ok(());
            }
            if buffer.len() > MAX_RECORD_BYTES {
                return Err(too_long(&self.file.name, line_at(&self.file, shape.compression, self.offset)));
            }
        }
    }

    /// Makes a block of the bytes at which the file stands, and goes past them.
    fn place(&mut self, bytes: Vec<u8>, division: Division) -> PlacedBlock {
        let (offset, is_counted_here) = (self.offset, division == Division::CountedWhenRead);
        self.offset += bytes.len() as u64;
        let is_first = !std::mem::replace(&mut self.begun, true);
        let first_line = if is_first || is_counted_here { FirstLine::At(self.line) } else { FirstLine::Next };
        if is_counted_here {
            self.line += count_lines(&bytes) as u64;
        }
        let block = Block { bytes, header: self.header.clone() };
        PlacedBlock { block, name: self.file.name.clone(), offset, first_line }
    }
}

/// The failure that a record of this line is.
pub(crate) fn too_long(name: &str, line: u64) -> Error {
    let message = format!("a record is longer than {} MiB", MAX_RECORD_BYTES >> 20);
    Error::new(ErrorKind::Limit, message)
        .at(format!("{name}:{line}"))
        .help("is this the right file and format? A quote that is never closed does this too")
}

/// The line of which this is the first byte of the text: counted from the beginning, for a message.
pub(crate) fn line_at(file: &InputFile, compression: Compression, offset: u64) -> u64 {
    let counted = Input::open(file, compression).and_then(|mut input| {
        let (mut left, mut line, mut bytes) = (offset, 1, Vec::new());
        while left > 0 {
            bytes.clear();
            let got = input.read(usize::try_from(left).unwrap_or(usize::MAX).min(1 << 20), &mut bytes)?;
            line += memchr::memchr_iter(b'\n', &bytes).count() as u64;
            left = if got == 0 { 0 } else { left - got as u64 };
        }
        Ok(line)
    });
    // The file has gone meanwhile: then only its name helps.
    counted.unwrap_or(1)
}

impl Framing {
    /// The byte after the last record that ends in `bytes`.
    pub(crate) fn last_record_end(&self, bytes: &[u8]) -> Option<usize> {
        match self {
            Framing::Lines => memchr::memrchr(b'\n', bytes).map(|at| at + 1),
            Framing::Csv { dialect, .. } => {
                let mut last = None;
                while let Some(end) = dialect.record_end(bytes, last.unwrap_or(0)) {
                    last = Some(end);
                }
                last
            }
        }
    }
}

/// What the header of a file calls its fields.
#[derive(Default)]
pub(crate) struct Names {
    /// One for each field; none when the file is empty.
    pub(crate) names: Vec<String>,
    /// The line where the header begins.
    pub(crate) line: u64,
}

/// The header of a file.
///
/// # Errors
/// When the file can't be read.
pub(crate) fn header_names(input: &InputFile, dialect: &Dialect, compression: Compression) -> Result<Names> {
    let shape = TextShape { framing: Framing::Lines, compression, block_bytes: 4096, division: Division::CountedWhenRead };
    let opened = TextFile::open(input, &shape, Ending::Final)?;
    let names = opened.map(|mut open| open.read_names(dialect, Ending::Final)).transpose()?;
    Ok(names.flatten().unwrap_or_default())
}

/// Lines of which `bytes` has at least a part.
pub(crate) fn count_lines(bytes: &[u8]) -> usize {
    let unfinished = bytes.last().is_some_and(|&last| last != b'\n');
    memchr::memchr_iter(b'\n', bytes).count() + usize::from(unfinished)
}

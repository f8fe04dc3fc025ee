//! Cuts files into blocks that start and end where a record does.
//!
//! Only one thread can do it at a time, so it does as little as it can: reads, looks for the last record end, counts lines.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use millstream_api::error::{Error, ErrorKind, Result};

use super::paths::InputFile;
use super::position::FilePosition;
use crate::decode::Block;
use crate::decode::csv::{Dialect, Header, record};
use crate::decode::schema::ColumnSpec;

/// A record longer than this is taken for a mistake in the input.
pub(crate) const MAX_RECORD_BYTES: usize = 64 << 20;

/// How a file is cut into records.
#[derive(Clone, Debug)]
pub(crate) enum Framing {
    /// One a line.
    Lines,
    /// As the quotes say; `all` columns of the schema, in order, of which some are `wanted`.
    Csv { dialect: Dialect, all: Vec<ColumnSpec>, wanted: Vec<ColumnSpec> },
}

/// A block and where it begins.
#[derive(Debug)]
pub(crate) struct PlacedBlock {
    pub(crate) block: Block,
    /// The byte of its file at which it starts.
    pub(crate) offset: u64,
}

/// Reads files one after the other.
#[derive(Debug)]
pub(crate) struct BlockReader {
    files: Arc<[InputFile]>,
    framing: Framing,
    block_bytes: usize,
    /// The next file to open.
    next_file: usize,
    open: Option<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    name: Arc<str>,
    /// The byte of the file at which `rest` starts.
    offset: u64,
    /// The line at which it starts.
    line: u64,
    /// What was read but belongs to the next block.
    rest: Vec<u8>,
    header: Option<Arc<Header>>,
}

impl BlockReader {
    /// At the beginning of the files, or where `position` says.
    ///
    /// # Errors
    /// When the position is not one of these files.
    pub(crate) fn new(files: Arc<[InputFile]>, framing: Framing, block_bytes: usize, position: Option<&FilePosition>) -> Result<Self> {
        let mut reader = BlockReader { files, framing, block_bytes, next_file: 0, open: None };
        if let Some(position) = position {
            let Some(index) = reader.files.iter().position(|file| *file.name == *position.file) else {
                return Err(Error::new(ErrorKind::State, format!("`{}`, which was being read, is no longer there", position.file))
                    .help("put it back, or start afresh with --fresh"));
            };
            reader.next_file = index + 1;
            reader.open = Some(OpenFile::at(&reader.files[index], &reader.framing, position)?);
        }
        Ok(reader)
    }

    /// The next block, in `buffer`; `None` at the end of the last file.
    pub(crate) fn next(&mut self, mut buffer: Vec<u8>) -> Result<Option<PlacedBlock>> {
        loop {
            let open = match &mut self.open {
                Some(open) => open,
                None => match self.files.get(self.next_file) {
                    None => return Ok(None),
                    Some(file) => {
                        self.next_file += 1;
                        self.open.insert(OpenFile::new(file, &self.framing)?)
                    }
                },
            };
            open.fill(&mut buffer, &self.framing, self.block_bytes)?;
            if buffer.is_empty() {
                self.open = None;
            } else {
                return Ok(Some(open.place(buffer)));
            }
        }
    }
}

impl OpenFile {
    fn new(input: &InputFile, framing: &Framing) -> Result<Self> {
        let file = File::open(&input.path).map_err(|error| cannot_read(&input.name, error))?;
        let mut open = OpenFile { file, name: input.name.clone(), offset: 0, line: 1, rest: Vec::new(), header: None };
        open.skip_byte_order_mark()?;
        if let Framing::Csv { dialect, all, wanted } = framing {
            open.header = Some(Arc::new(match dialect.header {
                true => open.read_header(dialect, wanted)?,
                false => Header::in_order(all, wanted),
            }));
        }
        Ok(open)
    }

    fn at(input: &InputFile, framing: &Framing, position: &FilePosition) -> Result<Self> {
        let mut open = OpenFile::new(input, framing)?;
        let length = open.file.metadata().map_err(|error| cannot_read(&input.name, error))?.len();
        if length < position.offset {
            let message = format!("`{}` has {length} bytes, but {} had been read", input.name, position.offset);
            return Err(Error::new(ErrorKind::State, message).help("the file was cut or replaced; start afresh with --fresh"));
        }
        open.file.seek(SeekFrom::Start(position.offset)).map_err(|error| cannot_read(&input.name, error))?;
        open.rest.clear();
        (open.offset, open.line) = (position.offset, position.line);
        Ok(open)
    }

    fn skip_byte_order_mark(&mut self) -> Result<()> {
        const MARK: &[u8] = b"\xEF\xBB\xBF";
        self.read(MARK.len())?;
        if self.rest == MARK {
            self.rest.clear();
            self.offset = MARK.len() as u64;
        }
        Ok(())
    }

    fn read_header(&mut self, dialect: &Dialect, wanted: &[ColumnSpec]) -> Result<Header> {
        match self.read_names(dialect)? {
            // An empty file has no header and no rows.
            names if names.is_empty() => Ok(Header::in_order(&[], &[])),
            names => Header::named(&names, wanted).map_err(|reason| cannot_read(&self.name, reason)),
        }
    }

    /// Reads the first record that is not empty as the names of the fields; none when the file is empty.
    fn read_names(&mut self, dialect: &Dialect) -> Result<Vec<String>> {
        let bad_header = |name: &str, cause: &dyn fmt::Display| cannot_read(name, format!("its header is not CSV: {cause}"));
        let mut names = Vec::new();
        while names.is_empty() {
            while dialect.record_end(&self.rest, 0).is_none() && self.read(4096)? {}
            let (line, length) = record(&self.rest, dialect);
            if length == 0 {
                break;
            }
            let text = std::str::from_utf8(line).map_err(|error| bad_header(&self.name, &error))?;
            if !text.is_empty() {
                dialect.fields(text, |_, field| names.push(field.text.into_owned())).map_err(|reason| bad_header(&self.name, &reason))?;
            }
            self.offset += length as u64;
            self.line += count_lines(&self.rest[..length]) as u64;
            self.rest.drain(..length);
        }
        Ok(names)
    }

    /// Reads up to `length` more bytes; false at the end of the file.
    fn read(&mut self, length: usize) -> Result<bool> {
        let got = self.file.by_ref().take(length as u64).read_to_end(&mut self.rest).map_err(|error| cannot_read(&self.name, error))?;
        if self.rest.len() > MAX_RECORD_BYTES {
            return Err(self.too_long());
        }
        Ok(got == length)
    }

    /// Fills the buffer with whole records, about `block_bytes` of them; leaves it empty at the end of the file.
    fn fill(&mut self, buffer: &mut Vec<u8>, framing: &Framing, block_bytes: usize) -> Result<()> {
        buffer.clear();
        buffer.append(&mut self.rest);
        loop {
            // Never beyond the longest record and its end, so that it is the limit wherever in a block a record begins.
            let most = (MAX_RECORD_BYTES + 1).saturating_sub(buffer.len());
            let length = block_bytes.saturating_sub(buffer.len()).max(buffer.len()).min(most).max(1);
            let got = self.file.by_ref().take(length as u64).read_to_end(buffer).map_err(|error| cannot_read(&self.name, error))?;
            let end = if got < length { Some(buffer.len()) } else { framing.last_record_end(buffer) };
            if let Some(end) = end {
                self.rest.extend_from_slice(&buffer[end..]);
                buffer.truncate(end);
                return Ok(());
            }
            if buffer.len() > MAX_RECORD_BYTES {
                return Err(self.too_long());
            }
        }
    }

    fn too_long(&self) -> Error {
        let message = format!("a record is longer than {} MiB", MAX_RECORD_BYTES >> 20);
        Error::new(ErrorKind::Limit, message)
            .at(format!("{}:{}", self.name, self.line))
            .help("is this the right file and format? A quote that is never closed does this too")
    }

    /// Makes a block of the bytes at which the file stands, and goes past them.
    fn place(&mut self, bytes: Vec<u8>) -> PlacedBlock {
        let lines = count_lines(&bytes);
        let (offset, first_line) = (self.offset, self.line);
        self.offset += bytes.len() as u64;
        self.line += lines as u64;
        let block = Block { bytes, name: self.name.clone(), first_line, lines, header: self.header.clone() };
        PlacedBlock { block, offset }
    }
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

/// The names in the header of a file.
///
/// # Errors
/// When the file can't be read.
pub(crate) fn header_names(input: &InputFile, dialect: &Dialect) -> Result<Vec<String>> {
    let mut open = OpenFile::new(input, &Framing::Lines)?;
    open.read_names(dialect)
}

/// Lines of which `bytes` has at least a part.
pub(crate) fn count_lines(bytes: &[u8]) -> usize {
    let unfinished = bytes.last().is_some_and(|&last| last != b'\n');
    memchr::memchr_iter(b'\n', bytes).count() + usize::from(unfinished)
}

fn cannot_read(name: &str, cause: impl fmt::Display) -> Error {
    Error::io(format!("cannot read {name}"), cause)
}

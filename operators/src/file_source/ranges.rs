//! Files of lines as ranges of bytes: which lines are of a range is certain before anybody has read it.
//!
//! A range has the lines that start in it. So whoever has the turn only says which range is whose, and several threads read at the
//! same time, each what it decodes: reading costs a fifth of what decoding does, and one that reads would keep the others waiting.
//! It needs a file that is not packed and can be read anywhere, and records that only line ends tell apart.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use millstream_api::error::Result;

use super::beginning::{check_beginning, head};
use super::blocks::{BYTE_ORDER_MARK, Division, FirstLine, Framing, MAX_RECORD_BYTES, PlacedBlock, TextShape, line_at, too_long};
use super::cannot_read;
use super::compression::Compression;
use super::paths::InputFile;
use crate::decode::Block;

/// How many bytes are read to find where a line starts or ends; more when it is longer.
const LOOK_BYTES: usize = 4096;

/// A file that is given out in ranges.
pub(crate) struct RangedFile {
    file: InputFile,
    open: Arc<File>,
    /// How long it was when it was opened: what is written to it later is not read.
    size_bytes: u64,
    /// Where the next range starts …
    next: u64,
    /// … and for the first one, which starts with a line, the number of that.
    line: Option<u64>,
}

/// A range of its bytes, for whoever decodes it to read.
pub(crate) struct LineRange {
    file: InputFile,
    open: Arc<File>,
    start: u64,
    end: u64,
    /// How long the file is.
    size_bytes: u64,
    first_line: FirstLine,
    /// Room for its lines; what is in it does not matter.
    buffer: Vec<u8>,
}

impl RangedFile {
    /// The file from its beginning, if decoders read and it can be read so.
    ///
    /// # Errors
    /// When it can't be opened.
    pub(crate) fn open(file: &InputFile, shape: &TextShape) -> Result<Option<RangedFile>> {
        let can_be_read_so = shape.framing == Framing::Lines && shape.compression.of(&file.name) == Compression::None;
        if shape.division != Division::ReadByDecoders || !can_be_read_so {
            return Ok(None);
        }
        let failed = |error| cannot_read(&file.name, error);
        let open = File::open(&file.path).map_err(failed)?;
        let metadata = open.metadata().map_err(failed)?;
        check_beginning(&file.name, &open, Compression::None, shape.compression)?;
        // Some file systems say 0 of what they make up when it is read.
        if !metadata.is_file() || metadata.len() == 0 {
            return Ok(None);
        }
        let has_mark = head(&open, BYTE_ORDER_MARK.len()).map_err(failed)? == BYTE_ORDER_MARK;
        let next = if has_mark { BYTE_ORDER_MARK.len() as u64 } else { 0 };
        Ok(Some(RangedFile { file: file.clone(), open: Arc::new(open), size_bytes: metadata.len(), next, line: Some(1) }))
    }

    /// The same file from the record that starts at this byte, in this line.
    pub(crate) fn from(self, offset: u64, line: u64) -> RangedFile {
        RangedFile { next: offset, line: Some(line), ..self }
    }

    /// How much of it was given out.
    pub(crate) fn given_bytes(&self) -> u64 {
        self.next.min(self.size_bytes)
    }

    /// The next range, of about so many bytes, to be read into `buffer`. At the end of the file the buffer comes back.
    pub(crate) fn next(&mut self, bytes: usize, buffer: Vec<u8>) -> std::result::Result<LineRange, Vec<u8>> {
        let start = self.next;
        if start >= self.size_bytes {
            return Err(buffer);
        }
        self.next = start.saturating_add(bytes.max(1) as u64);
        let first_line = self.line.take().map_or(FirstLine::Next, FirstLine::At);
        let (file, open) = (self.file.clone(), self.open.clone());
        Ok(LineRange { file, open, start, end: self.next, size_bytes: self.size_bytes, first_line, buffer })
    }
}

impl LineRange {
    /// Reads its lines: none, when a line that starts before it goes beyond it.
    ///
    /// # Errors
    /// When the file can't be read, or a line is too long.
    pub(crate) fn read(mut self) -> Result<PlacedBlock> {
        let mut bytes = std::mem::take(&mut self.buffer);
        let offset = self.first_start(&mut bytes).map_err(|error| cannot_read(&self.file.name, error))?;
        let length = match usize::try_from(self.end.saturating_sub(offset)) {
            Ok(inside) if inside > 0 => self.read_lines(&mut bytes, offset, inside)?,
            _ => 0,
        };
        bytes.truncate(length);
        let block = Block { bytes, header: None };
        Ok(PlacedBlock { block, name: self.file.name, offset, first_line: self.first_line })
    }

    /// Reads the lines that start within `inside` bytes of this offset; how many bytes they are.
    fn read_lines(&self, bytes: &mut Vec<u8>, offset: u64, inside: usize) -> Result<usize> {
        let (mut filled, mut wanted) = (0, inside.saturating_add(LOOK_BYTES));
        loop {
            let before = filled;
            filled = self.fill(bytes, before, wanted, offset).map_err(|error| cannot_read(&self.file.name, error))?;
            // The last of them ends at the first line end at or behind the last byte.
            let from = before.max(inside - 1).min(filled);
            let end = memchr::memchr(b'\n', &bytes[from..filled]).map(|at| from + at + 1);
            let read = end.unwrap_or(filled);
            if read > MAX_RECORD_BYTES {
                let last = memchr::memrchr(b'\n', &bytes[..filled.min(inside - 1)]).map_or(0, |at| at + 1);
                if read - last > MAX_RECORD_BYTES {
                    return Err(too_long(&self.file.name, line_at(&self.file, Compression::None, offset + last as u64)));
                }
            }
            if end.is_some() || filled < wanted {
                return Ok(read);
            }
            wanted = wanted.saturating_mul(2);
        }
    }

    /// Where the first line starts in it; its end, when none does.
    fn first_start(&self, buffer: &mut Vec<u8>) -> io::Result<u64> {
        if self.first_line != FirstLine::Next {
            return Ok(self.start);
        }
        // A line starts at its first byte if one ends just before.
        let mut at = self.start - 1;
        while at < self.end - 1 {
            let wanted = usize::try_from(self.end - 1 - at).unwrap_or(usize::MAX).min(LOOK_BYTES);
            let filled = self.fill(buffer, 0, wanted, at)?;
            match memchr::memchr(b'\n', &buffer[..filled]) {
                Some(found) => return Ok(at + found as u64 + 1),
                None if filled < wanted => break,
                None => at += filled as u64,
            }
        }
        Ok(self.end)
    }

    /// Reads on up to `wanted` bytes of the buffer, the first of which is at this offset of the file and `filled` of which are there. How many
    /// there are then; fewer at the end of the file.
    fn fill(&self, buffer: &mut Vec<u8>, mut filled: usize, wanted: usize, offset: u64) -> io::Result<usize> {
        let there = usize::try_from(self.size_bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let to = wanted.min(there);
        // What was in it before is written over; to fill it with zeros each time would cost as much as reading.
        if buffer.len() < to {
            buffer.resize(to, 0);
        }
        while filled < to {
            match self.open.read_at(&mut buffer[filled..to], offset + filled as u64) {
                Ok(0) => break,
                Ok(got) => filled += got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::file_source::blocks::{Ending, TextFile};

    fn shape(division: Division, block_bytes: usize) -> TextShape {
        let (framing, compression) = (Framing::Lines, Compression::Auto);
        TextShape { framing, compression, block_bytes, division }
    }

    /// The bytes of all blocks, which are checked to follow one another from this offset on.
    fn read(mut file: RangedFile, block_bytes: usize, mut at: u64) -> Vec<u8> {
        let mut all = Vec::new();
        while let Ok(range) = file.next(block_bytes, vec![b'\n'; 7]) {
            let first_line = range.first_line;
            let PlacedBlock { block, offset, .. } = range.read().unwrap();
            assert!(block.bytes.is_empty() || offset == at, "a block at {offset} after one that ended at {at}");
            assert!(all.is_empty() || first_line == FirstLine::Next);
            at += block.bytes.len() as u64;
            assert!(block.bytes.is_empty() || at == file.size_bytes || block.bytes.ends_with(b"\n"));
            all.extend_from_slice(&block.bytes);
        }
        all
    }

    proptest! {
        #[test]
        fn every_line_is_of_one_range_wherever_they_are_cut(
            text in "(\u{feff})?([ab]{0,9}\r?\n){0,30}[ab]{0,9}",
            block_bytes in 1usize..40,
            from in any::<prop::sample::Index>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("in.ndjson");
            std::fs::write(&path, &text).unwrap();
            let file = InputFile::new(&path, "in.ndjson").unwrap();
            let start = if text.starts_with('\u{feff}') { 3 } else { 0 };
            let open = || RangedFile::open(&file, &shape(Division::ReadByDecoders, block_bytes)).unwrap();
            if text.is_empty() {
                prop_assert!(open().is_none(), "one thread reads what is empty, or says so");
                return Ok(());
            }
            let open = || open().unwrap();
            prop_assert_eq!(&read(open(), block_bytes, start as u64)[..], &text.as_bytes()[start..]);
            let starts: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).chain([start]).collect();
            let from = *from.get(&starts);
            prop_assert_eq!(&read(open().from(from as u64, 1), block_bytes, from as u64)[..], &text.as_bytes()[from..]);
        }
    }

    #[test]
    fn what_is_packed_or_read_by_one_thread_is_no_ranged_file() {
        let folder = tempfile::tempdir().unwrap();
        for (name, division, is_ranged) in [
            ("a.json", Division::ReadByDecoders, true),
            ("a.json", Division::CountedWhenDecoded, false),
            ("a.json.gz", Division::ReadByDecoders, false),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, "{}\n").unwrap();
            let file = InputFile::new(&path, name).unwrap();
            assert_eq!(RangedFile::open(&file, &shape(division, 100)).unwrap().is_some(), is_ranged, "{name}");
        }
    }

    #[test]
    fn a_file_that_is_cut_while_it_is_read_ends_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in.ndjson");
        std::fs::write(&path, "{}\n".repeat(100)).unwrap();
        let file = InputFile::new(&path, "in.ndjson").unwrap();
        let ranged = RangedFile::open(&file, &shape(Division::ReadByDecoders, 90)).unwrap().unwrap();
        File::options().write(true).open(&path).unwrap().set_len(150).unwrap();
        assert_eq!(read(ranged, 90, 0).len(), 150);
        let whole = shape(Division::CountedWhenDecoded, 1 << 20);
        let whole = TextFile::open(&file, &whole, Ending::Final).unwrap().unwrap().next(Vec::new(), &whole, Ending::Final);
        assert_eq!(whole.unwrap().unwrap().block.bytes.len(), 150, "as when one thread reads it");
    }
}

//! Cuts bytes that come piece by piece into blocks of whole records.

use std::sync::Arc;

use millstream_api::error::{Error, ErrorKind, Result};

use crate::decode::Block;
use crate::decode::csv::{Header, record};
use crate::file_source::{BYTE_ORDER_MARK, Framing, MAX_RECORD_BYTES, count_lines};

/// Whole records.
#[derive(Debug)]
pub(super) struct Framed {
    pub(super) block: Block,
    /// The number of its first line, from 1.
    pub(super) first_line: u64,
}

/// Keeps what is not yet a whole record.
#[derive(Debug)]
pub(super) struct Framer {
    framing: Framing,
    name: &'static str,
    rest: Vec<u8>,
    /// The line at which `rest` starts.
    line: u64,
    /// What comes before the first record.
    start: Start,
}

#[derive(Debug)]
enum Start {
    /// Perhaps a byte order mark.
    Mark,
    /// The names of the fields.
    Header,
    /// All of it is read; with csv, what the fields are.
    Over(Option<Arc<Header>>),
}

impl Framer {
    /// For an input that is called `name` in places.
    pub(super) fn new(framing: Framing, name: &'static str) -> Self {
        Framer { framing, name, rest: Vec::new(), line: 1, start: Start::Mark }
    }

    /// Takes what was read; gives the records that are whole now.
    ///
    /// # Errors
    /// A header that lacks a column, or a record without end.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Option<Framed>> {
        self.rest.extend_from_slice(bytes);
        if !self.start(false)? {
            return Ok(None);
        }
        // Looked for in all that is left, since a quote may have opened before; records are short against what is read at once.
        let end = self.framing.last_record_end(&self.rest);
        if end.is_none() && self.rest.len() > MAX_RECORD_BYTES {
            return Err(self.too_long());
        }
        Ok(end.and_then(|end| self.block(end)))
    }

    /// At the end of the input: the last record, which need not end with a line end.
    ///
    /// # Errors
    /// As [`push`](Framer::push).
    pub(super) fn finish(&mut self) -> Result<Option<Framed>> {
        self.start(true)?;
        Ok(self.block(self.rest.len()))
    }

    /// Goes over what comes before the first record; false while that is not whole.
    fn start(&mut self, is_end: bool) -> Result<bool> {
        if matches!(self.start, Start::Mark) {
            if !is_end && self.rest.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(&self.rest) {
                return Ok(false);
            }
            if self.rest.starts_with(BYTE_ORDER_MARK) {
                self.rest.drain(..BYTE_ORDER_MARK.len());
            }
            self.start = match &self.framing {
                Framing::Lines => Start::Over(None),
                Framing::Csv { dialect, .. } if dialect.header => Start::Header,
                Framing::Csv { all, wanted, .. } => Start::Over(Some(Arc::new(Header::in_order(all, wanted)))),
            };
        }
        if matches!(self.start, Start::Header)
            && let Some(header) = self.header(is_end)?
        {
            self.start = Start::Over(Some(Arc::new(header)));
        }
        Ok(matches!(self.start, Start::Over(_)))
    }

    /// The first record that is not empty, as the names of the fields.
    fn header(&mut self, is_end: bool) -> Result<Option<Header>> {
        let Framing::Csv { dialect, wanted, .. } = &self.framing else { return Ok(None) };
        let bad = |cause: String| Error::io(format!("cannot read {}", self.name), cause);
        while is_end || dialect.record_end(&self.rest, 0).is_some() {
            let (line, length) = record(&self.rest, dialect);
            if length == 0 {
                // An empty input has no header and no rows.
                return Ok(Some(Header::in_order(&[], &[])));
            }
            let text = std::str::from_utf8(line).map_err(|error| bad(format!("its header is not CSV: {error}")))?;
            let mut names = Vec::new();
            if !text.is_empty() {
                let read = dialect.fields(text, |_, field| names.push(field.text.into_owned()));
                read.map_err(|cause| bad(format!("its header is not CSV: {cause}")))?;
            }
            let header_line = self.line;
            self.line += count_lines(&self.rest[..length]) as u64;
            self.rest.drain(..length);
            if !names.is_empty() {
                let bad = |reason: String| Error::io(format!("cannot read {}:{header_line}", self.name), reason);
                return Header::named(&names, wanted).map(Some).map_err(bad);
            }
        }
        if self.rest.len() > MAX_RECORD_BYTES { Err(self.too_long()) } else { Ok(None) }
    }

    /// The first `length` bytes as a block.
    fn block(&mut self, length: usize) -> Option<Framed> {
        if length == 0 {
            return None;
        }
        let rest = self.rest.split_off(length);
        let bytes = std::mem::replace(&mut self.rest, rest);
        let first_line = self.line;
        self.line += count_lines(&bytes) as u64;
        let header = if let Start::Over(header) = &self.start { header.clone() } else { None };
        Some(Framed { block: Block { bytes, header }, first_line })
    }

    fn too_long(&self) -> Error {
        Error::new(ErrorKind::Limit, format!("a record is longer than {} MiB", MAX_RECORD_BYTES >> 20))
            .at(format!("{}:{}", self.name, self.line))
            .help("is this the right format? A quote that is never closed does this too")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decode::csv::Dialect;
    use crate::decode::schema::ColumnSpec;

    fn csv(header: bool) -> Framing {
        let columns: Vec<ColumnSpec> = ["a", "b"].map(|name| ColumnSpec::parse(name, "string").unwrap()).to_vec();
        let dialect = Dialect { header, delimiter: b',', quote: b'"', null_text: String::new() };
        Framing::Csv { dialect, all: columns.clone(), wanted: columns }
    }

    /// All blocks, with their first lines, as one list of lines; and the number of the last line.
    fn framed(framing: Framing, pieces: &[&[u8]]) -> Result<Vec<(u64, String)>> {
        let mut framer = Framer::new(framing, "stdin");
        let mut found = Vec::new();
        let mut add = |framed: Option<Framed>| {
            found.extend(framed.map(|framed| (framed.first_line, String::from_utf8_lossy(&framed.block.bytes).into_owned())));
        };
        for piece in pieces {
            add(framer.push(piece)?);
        }
        add(framer.finish()?);
        Ok(found)
    }

    #[test]
    fn a_row_is_there_as_soon_as_its_line_is_whole() {
        let found = framed(Framing::Lines, &[b"\xEF\xBB", b"\xBF{\"a\":1}\n{\"a\"", b":2}\n\n{\"a\":3}"]).unwrap();
        let expected = [(1, "{\"a\":1}\n"), (2, "{\"a\":2}\n\n"), (4, "{\"a\":3}")];
        assert_eq!(found, expected.map(|(line, text)| (line, text.to_owned())));
    }

    #[test]
    fn a_header_is_read_once_and_names_what_it_lacks() {
        let found = framed(csv(true), &[b"\nb,", b"a\n1,\"x\n", b"y\"\n3,4"]).unwrap();
        assert_eq!(found, [(3, "1,\"x\ny\"\n".to_owned()), (5, "3,4".to_owned())]);
        assert_eq!(framed(csv(true), &[b""]).unwrap(), []);
        let error = framed(csv(true), &[b"a,c\n"]).unwrap_err();
        assert_eq!(error.message(), "cannot read stdin:1: its header has no column `b`; it has a, c");
    }

    proptest! {
        #[test]
        fn where_the_pieces_are_cut_does_not_show(
            text in "(\u{feff})?([ab,\"]{0,6}\r?\n){0,6}[ab,]{0,4}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
            header in any::<bool>(),
        ) {
            let bytes = text.as_bytes();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let joined = |framing: &Framing, pieces: &[&[u8]]| framed(framing.clone(), pieces).map_err(|error| error.to_string()).map(|found| {
                (found.first().map(|(line, _)| *line), found.into_iter().map(|(_, text)| text).collect::<String>())
            });
            for framing in [Framing::Lines, csv(header)] {
                prop_assert_eq!(joined(&framing, &pieces), joined(&framing, &[bytes]));
            }
        }
    }
}

//! CSV as RFC 4180 has it: quoted fields may contain delimiters, line ends and doubled quotes.
//!
//! One set of rules finds the end of a record (when a file is cut into blocks) and the fields in it, so that the two can't
//! disagree: a quote opens a quoted field only as the first byte of a field, and there a line end does not end the record.
//! csv-core is not used for it because it hides whether a field was quoted, which tells an empty text from null, and takes
//! text after a closing quote; it is the reference in the tests.
//!
//! What is here takes any record and says what is wrong with a bad one; [`csv_scan`](super::csv_scan) takes the usual ones, faster.

use std::borrow::Cow;

use millstream_api::error::{Error, Result};

use super::column::{Column, ColumnSet, Mismatch, Values};
use super::csv_scan::Scanner;
use super::json::append_value;
use super::json::cursor::Cursor;
use super::schema::ColumnSpec;
use super::text::append_scalar;
use super::{Batches, Block, BlockRows, Decode, Decoded};

/// How a file is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// Whether the first record has the names of the columns.
    pub(crate) header: bool,
    /// Between fields.
    pub(crate) delimiter: u8,
    /// Around fields that contain delimiters, quotes or line ends.
    pub(crate) quote: u8,
    /// What a field without quotes says for null.
    pub(crate) null_text: String,
}

/// The fields of a file's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// For each field, the wanted column that it is the value of.
    columns: Vec<Option<usize>>,
}

impl Header {
    /// For each field, the wanted column that it is the value of.
    pub(super) fn columns(&self) -> &[Option<usize>] {
        &self.columns
    }

    /// For a file whose first record names its fields.
    ///
    /// # Errors
    /// Names a wanted column that the file does not have, or has more than once.
    pub(crate) fn named(names: &[String], wanted: &[ColumnSpec]) -> Result<Self, String> {
        let mut columns = vec![None; names.len()];
        for (index, spec) in wanted.iter().enumerate() {
            let Some(field) = names.iter().position(|name| *name == spec.input_name()) else {
                return Err(format!("its header has no column {}; it has {}", spec.both_names(), names.join(", ")));
            };
            if is_twice(spec.input_name(), names) {
                return Err(format!("its header has the column {} more than once", spec.both_names()));
            }
            columns[field] = Some(index);
        }
        Ok(Header { columns })
    }

    /// For a file without names: its fields are the columns of the schema in order.
    pub(crate) fn in_order(all: &[ColumnSpec], wanted: &[ColumnSpec]) -> Self {
        let find = |spec: &ColumnSpec| wanted.iter().position(|w| w.name == spec.name);
        Header { columns: all.iter().map(find).collect() }
    }
}

/// Whether more than one field has this name, so that nobody knows which is meant.
pub(crate) fn is_twice(name: &str, names: &[String]) -> bool {
    names.iter().filter(|other| *other == name).nth(1).is_some()
}

/// One field as it stands in its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldText<'a> {
    /// Its text without quotes.
    pub(crate) text: Cow<'a, str>,
    /// Whether it had them.
    pub(crate) quoted: bool,
}

impl Dialect {
    /// The byte after the record that starts at `start`; `None` when the record does not end before the bytes do.
    pub(crate) fn record_end(&self, bytes: &[u8], start: usize) -> Option<usize> {
        let mut at = start;
        loop {
            let found = at + memchr::memchr2(b'\n', self.quote, bytes.get(at..)?)?;
            if bytes[found] == b'\n' {
                return Some(found + 1);
            }
            let opens = found == start || bytes[found - 1] == self.delimiter;
            at = if opens { self.after_quoted(bytes, found)? } else { found + 1 };
        }
    }

    /// The byte after the quoted field that opens at `open`; `None` when it is not closed.
    fn after_quoted(&self, bytes: &[u8], open: usize) -> Option<usize> {
        let mut at = open + 1;
        loop {
            let quote = at + memchr::memchr(self.quote, bytes.get(at..)?)?;
            if bytes.get(quote + 1) != Some(&self.quote) {
                return Some(quote + 1);
            }
            at = quote + 2;
        }
    }

    /// The fields of a record without its line end, handed to `each` with their numbers.
    pub(crate) fn fields<'a>(&self, record: &'a str, mut each: impl FnMut(usize, FieldText<'a>)) -> Result<usize, String> {
        let bytes = record.as_bytes();
        let (mut at, mut number) = (0, 0);
        loop {
            let (field, end) = if bytes.get(at) == Some(&self.quote) {
                self.quoted(record, at, number)?
            } else {
                let end = memchr::memchr(self.delimiter, &bytes[at..]).map_or(bytes.len(), |length| at + length);
                (FieldText { text: Cow::Borrowed(&record[at..end]), quoted: false }, end)
            };
            each(number, field);
            number += 1;
            if end == bytes.len() {
                return Ok(number);
            }
            at = end + 1;
        }
    }

    fn quoted<'a>(&self, record: &'a str, open: usize, number: usize) -> Result<(FieldText<'a>, usize), String> {
        let Some(end) = self.after_quoted(record.as_bytes(), open) else {
            return Err(format!("the quote that opens field {} is never closed", number + 1));
        };
        if record.as_bytes().get(end).is_some_and(|&next| next != self.delimiter) {
            return Err(format!("text after the closing quote of field {}", number + 1));
        }
        let inside = &record[open + 1..end - 1];
        let quote = char::from(self.quote);
        let text = if inside.contains(quote) {
            Cow::Owned(inside.replace(&format!("{quote}{quote}"), &quote.to_string()))
        } else {
            Cow::Borrowed(inside)
        };
        Ok((FieldText { text, quoted: true }, end))
    }

    /// Whether a field stands for null.
    pub(crate) fn is_null(&self, field: &FieldText<'_>) -> bool {
        !field.quoted && *field.text == *self.null_text
    }
}

/// The record at the start of `bytes` without its line end, and how many bytes it has with it.
pub(crate) fn record<'a>(bytes: &'a [u8], dialect: &Dialect) -> (&'a [u8], usize) {
    let end = dialect.record_end(bytes, 0).unwrap_or(bytes.len());
    let line = bytes[..end].strip_suffix(b"\n").unwrap_or(&bytes[..end]);
    (line.strip_suffix(b"\r").unwrap_or(line), end)
}

/// Decodes CSV.
#[derive(Debug)]
pub(crate) struct CsvDecoder {
    batches: Batches,
    dialect: Dialect,
    scanner: Option<Scanner>,
}

impl CsvDecoder {
    /// For these columns; each block says which field is which.
    pub(crate) fn new(specs: &[ColumnSpec], dialect: Dialect, batch_rows: usize) -> Result<Self> {
        let scanner = Some(Scanner::new(&dialect));
        Ok(CsvDecoder { batches: Batches::new(specs, batch_rows)?, dialect, scanner })
    }

    /// The same without the scanner: what it must agree with.
    pub(crate) fn general(specs: &[ColumnSpec], dialect: Dialect, batch_rows: usize) -> Result<Self> {
        Ok(CsvDecoder { scanner: None, ..CsvDecoder::new(specs, dialect, batch_rows)? })
    }
}

impl Decode for CsvDecoder {
    fn decode(&mut self, block: &Block) -> Result<Vec<Decoded>> {
        let header = block.header.clone().ok_or_else(|| Error::internal("a block of CSV without a header"))?;
        let mut rows = self.batches.begin(block);
        let mut start = 0;
        while start < block.bytes.len() {
            start = match &mut self.scanner {
                Some(scanner) => scanner.piece(&block.bytes, start, &self.dialect, &header, &mut rows)?,
                None => general_record(&block.bytes, start, &self.dialect, &header, &mut rows)?,
            };
        }
        rows.finish()
    }
}

/// Adds the record at byte `start` as a row, good or bad, unless there is nothing in it; gives the place after it.
pub(super) fn general_record(bytes: &[u8], start: usize, dialect: &Dialect, header: &Header, rows: &mut BlockRows<'_>) -> Result<usize> {
    let (record, length) = record(&bytes[start..], dialect);
    let end = start + length;
    let lines = memchr::memchr_iter(b'\n', &bytes[start..end]).count().max(1) as u64;
    if record.is_empty() {
        rows.skip(lines);
        return Ok(end);
    }
    let written = append_record(record, dialect, header, rows.columns());
    rows.end_row(written, record, lines, end)?;
    Ok(end)
}

fn append_record(record: &[u8], dialect: &Dialect, header: &Header, columns: &mut ColumnSet) -> Result<(), Mismatch> {
    let text = std::str::from_utf8(record).map_err(|error| format!("not valid UTF-8 at byte {} of the row", error.valid_up_to() + 1))?;
    let mut written = Ok(());
    let found = dialect.fields(text, |number, field| {
        if let (Ok(()), Some(&Some(wanted))) = (&written, header.columns.get(number)) {
            written = append_field(&field, dialect, &mut columns.columns[wanted]);
        }
    })?;
    // A row of the wrong length says so, rather than which of its shifted values does not fit.
    if found != header.columns.len() {
        return Err(format!("expected {} fields, found {found}", header.columns.len()));
    }
    written?;
    columns.end_row()
}

fn append_field(field: &FieldText<'_>, dialect: &Dialect, column: &mut Column) -> Result<(), Mismatch> {
    if dialect.is_null(field) {
        return column.append_null();
    }
    let written = match &mut column.values {
        Values::Json(_) | Values::List { .. } | Values::Struct(..) => {
            let mut cursor = Cursor::new(&field.text);
            append_value(&mut cursor, column).and_then(|()| cursor.end()).ok()
        }
        values => append_scalar(values, &field.text),
    };
    written.ok_or_else(|| column.mismatch(&format!("{:?}", field.text)))
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, RecordBatch};
    use arrow::compute::concat_batches;
    use arrow::datatypes::Int64Type;
    use millstream_api::error::BadRow;
    use proptest::prelude::*;

    use super::*;
    use crate::decode::schema::arrow_schema;

    fn dialect() -> Dialect {
        Dialect { header: true, delimiter: b',', quote: b'"', null_text: String::new() }
    }

    fn specs(columns: &[(&str, &str)]) -> Vec<ColumnSpec> {
        columns.iter().map(|(name, text)| ColumnSpec::parse(name, text).unwrap()).collect()
    }

    fn decode(wanted: &[ColumnSpec], names: &[&str], dialect: Dialect, bytes: &[u8]) -> (RecordBatch, Vec<BadRow>) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let header = Some(std::sync::Arc::new(Header::named(&names, wanted).unwrap()));
        let block = Block { bytes: bytes.to_vec(), header };
        let decoded = CsvDecoder::new(wanted, dialect, 2).unwrap().decode(&block).unwrap();
        let records = concat_batches(&arrow_schema(wanted), decoded.iter().map(|batch| &batch.records)).unwrap();
        (records, decoded.into_iter().flat_map(|batch| batch.bad).map(|bad| bad.placed("in.csv", 2)).collect())
    }

    #[test]
    fn quotes_tell_an_empty_text_from_null() {
        let text = "1,\n2,\"\"\n3,\"a \"\"b\"\"\r\nc,d\"\r\n\n4,plain";
        let (records, bad) = decode(&specs(&[("t", "string"), ("n", "bigint")]), &["n", "t"], dialect(), text.as_bytes());
        assert_eq!(bad, []);
        let texts: Vec<_> = records.column(0).as_string_view().iter().collect();
        assert_eq!(texts, [None, Some(""), Some("a \"b\"\r\nc,d"), Some("plain")]);
        assert_eq!(records.column(1).as_primitive::<Int64Type>().values().as_ref(), &[1, 2, 3, 4]);
    }

    #[test]
    fn other_dialects() {
        let other = Dialect { delimiter: b'\t', quote: b'\'', null_text: "NA".to_owned(), ..dialect() };
        let (records, bad) = decode(&specs(&[("a", "string"), ("b", "string")]), &["a", "b"], other, b"NA\t'NA'\n\t'x\ty'\n");
        assert_eq!(bad, []);
        let column = |index: usize| records.column(index).as_string_view().iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>();
        assert_eq!(column(0), [None, Some(String::new())]);
        assert_eq!(column(1), [Some("NA".to_owned()), Some("x\ty".to_owned())]);
    }

    #[test]
    fn bad_rows_say_what_is_wrong_and_where() {
        let text = b"1,2,3\n1\n\"x\ny\",2\nz,2\n1,\"2\"3\n1,\xff\n,1\n4,\"5";
        let (records, bad) = decode(&specs(&[("a", "bigint not null")]), &["a", "b"], dialect(), text);
        assert_eq!(records.num_rows(), 0);
        let shown: Vec<_> = bad.iter().map(|bad| format!("{} {}", bad.place, bad.reason)).collect();
        assert_eq!(
            shown,
            [
                "in.csv:2 expected 2 fields, found 3",
                "in.csv:3 expected 2 fields, found 1",
                "in.csv:4 `a`: expected bigint, found \"x\\ny\"",
                "in.csv:6 `a`: expected bigint, found \"z\"",
                "in.csv:7 text after the closing quote of field 2",
                "in.csv:8 not valid UTF-8 at byte 3 of the row",
                "in.csv:9 `a` is null, but the column is `not null`",
                "in.csv:10 the quote that opens field 2 is never closed",
            ]
        );
    }

    #[test]
    fn lists_and_json_are_json_text() {
        let text = "\"[1,2]\",\"{\"\"a\"\": 1}\"\n[1,x\n[],[\n";
        let (records, bad) = decode(&specs(&[("l", "list<int>"), ("j", "json")]), &["l", "j"], dialect(), text.as_bytes());
        assert_eq!(records.column(1).as_string_view().value(0), "{\"a\": 1}");
        assert_eq!(bad.len(), 2);
        assert_eq!(bad[1].reason, "`j`: expected string, found \"[\"");
    }

    #[test]
    fn a_column_that_the_header_lacks_is_named() {
        let names = ["a".to_owned(), "b".to_owned()];
        let message = Header::named(&names, &specs(&[("c", "int")])).unwrap_err();
        assert_eq!(message, "its header has no column `c`; it has a, b");
    }

    #[test]
    fn a_column_that_the_header_has_twice_is_an_error_if_it_is_read() {
        let names = ["a", "b", "a"].map(str::to_owned);
        let message = Header::named(&names, &specs(&[("a", "int")])).unwrap_err();
        assert_eq!(message, "its header has the column `a` more than once");
        assert_eq!(Header::named(&names, &specs(&[("b", "int")])).unwrap().columns(), [None, Some(0), None]);
    }

    /// The records of a well-formed text as csv-core reads them.
    fn reference(text: &str) -> Vec<Vec<String>> {
        let mut reader = csv_core::Reader::new();
        let (mut input, mut records) = (text.as_bytes(), Vec::new());
        let (mut output, mut ends) = ([0; 4096], [0; 64]);
        loop {
            let (result, read, _, fields) = reader.read_record(input, &mut output, &mut ends);
            input = &input[read..];
            match result {
                csv_core::ReadRecordResult::Record => {
                    let starts = std::iter::once(0).chain(ends[..fields].iter().copied());
                    let text = |(start, end): (usize, &usize)| String::from_utf8(output[start..*end].to_vec()).unwrap();
                    records.push(starts.zip(&ends[..fields]).map(text).collect());
                }
                csv_core::ReadRecordResult::End => return records,
                csv_core::ReadRecordResult::InputEmpty => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn field() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-zé \"]{0,6}".prop_map(|text| text.trim_start_matches('"').to_owned()),
            "[a-z,\n\r\"é]{0,6}".prop_map(|text| format!("\"{}\"", text.replace('"', "\"\"")))
        ]
    }

    proptest! {
        #[test]
        fn records_are_what_csv_core_says(rows in prop::collection::vec(prop::collection::vec(field(), 2..4), 0..8), crlf: bool) {
            let end = if crlf { "\r\n" } else { "\n" };
            let text: String = rows.iter().map(|fields| fields.join(",") + end).collect();
            let (mut start, mut ours) = (0, Vec::new());
            while start < text.len() {
                let (record, length) = record(&text.as_bytes()[start..], &dialect());
                let mut fields = Vec::new();
                dialect().fields(std::str::from_utf8(record).unwrap(), |_, field| fields.push(field.text.into_owned())).unwrap();
                ours.push(fields);
                start += length;
            }
            prop_assert_eq!(ours, reference(&text));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[a\",\n\ré]{0,24}") {
            let (records, bad) = decode(&specs(&[("a", "string"), ("b", "bigint")]), &["a", "b"], dialect(), text.as_bytes());
            prop_assert!(records.num_rows() + bad.len() <= text.matches('\n').count() + 1);
        }
    }
}

//! Records of CSV as nearly all are: on one line, with fields that have no quotes or a pair around them and none within.
//!
//! Their fields end at marked bytes, which are found for many records in one pass. Whatever is not as it usually is (doubled quotes, a line end
//! between quotes, too many fields, a value that does not fit) is left to the general decoder, which also has the reason if it is bad. The scanner
//! must never take a record that the general decoder would not, nor read it differently.

use std::ops::Range;

use millstream_api::error::Result;
use millstream_api::types::TimestampForm;

use super::column::{Column, ColumnSet, Values};
use super::csv::{Dialect, Header, general_record};
use super::instant::epoch_micros;
use super::marks::{Marker, Marks};
use super::number::{integer, signed_integer};
use super::text::append_scalar;
use super::{BlockRows, PIECE_BYTES};

/// Decodes a block piece by piece.
#[derive(Debug)]
pub(super) struct Scanner {
    marker: Marker,
    marks: Marks,
}

impl Scanner {
    /// For records that are written so.
    pub(super) fn new(dialect: &Dialect) -> Self {
        Scanner { marker: Marker::new(dialect.delimiter, dialect.quote), marks: Marks::default() }
    }

    /// Adds the records from byte `start` on as rows, about a piece of them, and gives the place after them.
    pub(super) fn piece(
        &mut self,
        all: &[u8],
        start: usize,
        dialect: &Dialect,
        header: &Header,
        rows: &mut BlockRows<'_>,
    ) -> Result<usize> {
        let end = all.len().min(start + PIECE_BYTES);
        let (bytes, is_last) = (&all[start..end], end == all.len());
        self.marks.read(bytes, &self.marker);
        let readable = self.marks.is_ascii() || is_text(bytes, is_last);
        let records = Records { bytes, is_last, marks: &self.marks, dialect, header };
        let mut at = start;
        while at < end {
            let room = rows.room();
            let (read, place) = if readable { records.run((at - start) as u32, room, rows.columns()) } else { (0, (at - start) as u32) };
            at = start + place as usize;
            rows.end_good_rows(read, at)?;
            if at == end || read == room {
                continue;
            }
            // A record of which only the beginning is in the piece is the first of the next one.
            if !is_last && at > start && memchr::memchr(b'\n', &all[at..end]).is_none() {
                break;
            }
            at = general_record(all, at, dialect, header, rows)?;
        }
        Ok(at)
    }
}

/// Whether all is valid UTF-8 but for a character that is cut off at the end of what is not the last piece.
fn is_text(bytes: &[u8], is_last: bool) -> bool {
    std::str::from_utf8(bytes).map_or_else(|error| !is_last && error.error_len().is_none(), |_| true)
}

/// A piece of text that starts where a record does.
struct Records<'a> {
    bytes: &'a [u8],
    /// Whether the last record ends where the bytes do.
    is_last: bool,
    marks: &'a Marks,
    dialect: &'a Dialect,
    header: &'a Header,
}

/// One field, and the place of what must be the delimiter or the line end after it.
struct Field {
    inside: Range<u32>,
    quoted: bool,
    stop: u32,
}

impl Records<'_> {
    /// Adds usual records as rows, from the one at byte `at` on, at most `most`. Gives how many there were and the place after them.
    fn run(&self, at: u32, most: usize, columns: &mut ColumnSet) -> (usize, u32) {
        let (mut read, mut at) = (0, at);
        if self.header.columns().iter().flatten().count() != columns.columns.len() {
            return (0, at);
        }
        while read < most && (at as usize) < self.bytes.len() {
            let Some(end) = self.record(at, columns) else {
                columns.truncate(columns.len);
                break;
            };
            columns.len += 1;
            read += 1;
            at = end;
        }
        (read, at)
    }

    /// Adds the values of one record and gives the place after its end.
    fn record(&self, start: u32, columns: &mut ColumnSet) -> Option<u32> {
        if matches!(self.byte(start), Some(b'\n' | b'\r')) {
            return None;
        }
        let (last, others) = self.header.columns().split_last()?;
        let mut at = start;
        for wanted in others {
            let field = self.field(at)?;
            self.append(&field, *wanted, columns)?;
            if self.byte(field.stop) != Some(self.dialect.delimiter) {
                return None;
            }
            at = field.stop + 1;
        }
        let field = self.field(at)?;
        self.append(&field, *last, columns)?;
        match self.bytes.get(field.stop as usize..)? {
            [b'\n', ..] => Some(field.stop + 1),
            [b'\r', b'\n', ..] => Some(field.stop + 2),
            [] if self.is_last => Some(field.stop),
            _ => None,
        }
    }

    /// The field at byte `at`.
    #[inline(always)]
    fn field(&self, at: u32) -> Option<Field> {
        if self.byte(at) == Some(self.dialect.quote) {
            return self.quoted_field(at);
        }
        let stop = self.marks.next(at).or_else(|| self.is_last.then_some(self.bytes.len() as u32))?;
        Some(Field { inside: at..stop, quoted: false, stop })
    }

    #[inline(never)]
    fn quoted_field(&self, open: u32) -> Option<Field> {
        let mut close = self.marks.next(open + 1)?;
        while self.byte(close) == Some(self.dialect.delimiter) {
            close = self.marks.next(close + 1)?;
        }
        (self.byte(close) == Some(self.dialect.quote)).then_some(Field { inside: open + 1..close, quoted: true, stop: close + 1 })
    }

    #[inline(always)]
    fn append(&self, field: &Field, wanted: Option<usize>, columns: &mut ColumnSet) -> Option<()> {
        let Some(wanted) = wanted else { return Some(()) };
        let column = columns.columns.get_mut(wanted)?;
        let text = self.bytes.get(field.inside.start as usize..field.inside.end as usize)?;
        if !field.quoted && text == self.dialect.null_text.as_bytes() {
            return column.append_null().ok();
        }
        match self.append_usual(field, text, column) {
            Some(()) => Some(()),
            None => append_other(text, column),
        }
    }

    /// The forms that nearly all values of the common types have.
    #[inline(always)]
    fn append_usual(&self, field: &Field, text: &[u8], column: &mut Column) -> Option<()> {
        match &mut column.values {
            Values::Int64(v) => v.push(self.integer(field)?),
            Values::String(v) => v.push(text),
            Values::Timestamp(v, TimestampForm::Epoch(unit)) => v.push(epoch_micros(self.integer(field)?, *unit)?),
            Values::Timestamp(v, TimestampForm::Rfc3339) => v.push(column.last_date.timestamp(text)?),
            Values::Int32(v) => v.push(i32::try_from(self.integer(field)?).ok()?),
            _ => return None,
        }
        Some(())
    }

    /// The integer that makes up a whole field.
    #[inline(always)]
    fn integer(&self, field: &Field) -> Option<i64> {
        let (value, end) = integer(self.bytes, field.inside.start)?;
        (end == field.inside.end).then_some(value)
    }

    fn byte(&self, at: u32) -> Option<u8> {
        self.bytes.get(at as usize).copied()
    }
}

#[inline(never)]
fn append_other(text: &[u8], column: &mut Column) -> Option<()> {
    if let (Values::Int64(v), Some((value, end))) = (&mut column.values, signed_integer(text, 0))
        && end as usize == text.len()
    {
        v.push(value);
        return Some(());
    }
    append_scalar(&mut column.values, std::str::from_utf8(text).ok()?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::RecordBatch;
    use arrow::compute::concat_batches;
    use millstream_api::error::BadRow;
    use proptest::prelude::*;

    use super::*;
    use crate::decode::csv::CsvDecoder;
    use crate::decode::schema::{ColumnSpec, arrow_schema};
    use crate::decode::{Block, Decode};

    fn specs() -> Vec<ColumnSpec> {
        let columns =
            [("a", "bigint"), ("b", "string"), ("c", "double"), ("d", "timestamp not null"), ("e", "list<int>"), ("f", "timestamp(ms)")];
        columns.iter().map(|(name, text)| ColumnSpec::parse(name, text).unwrap()).collect()
    }

    fn decode(
        mut decoder: CsvDecoder,
        names: &[&str],
        wanted: &[ColumnSpec],
        bytes: &[u8],
    ) -> (RecordBatch, Vec<BadRow>, Vec<(usize, u64)>) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let header = Some(Arc::new(Header::named(&names, wanted).unwrap()));
        let block = Block { bytes: bytes.to_vec(), header };
        let decoded = decoder.decode(&block).unwrap();
        let ends = decoded.iter().map(|batch| (batch.end_bytes, batch.end_lines)).collect();
        let records = concat_batches(&arrow_schema(wanted), decoded.iter().map(|batch| &batch.records)).unwrap();
        (records, decoded.into_iter().flat_map(|batch| batch.bad).map(|bad| bad.placed("in", 1)).collect(), ends)
    }

    fn field() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "-?[0-9]{0,18}",
            4 => "[a-zé ]{0,20}",
            2 => "20[0-9]{2}-0[1-9]-[0-2][1-8]T1[0-9]:00:00Z",
            2 => "1[0-9]{12}",
            1 => "-?[0-9]{1,3}\\.[0-9]{1,3}",
            2 => "\"[a-z,é]{0,12}\"",
            1 => "\"[a-z,\n\r\"]{0,8}\"",
            1 => "[a\"\r\t,+1]{0,5}",
            1 => Just("NA".to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn the_scanner_agrees_with_the_general_decoder(
            shapes in prop::collection::vec((prop::collection::vec(field(), 1..6), prop_oneof![4 => Just("\n"), 1 => Just("\r\n"), 1 => Just("\n\n")]), 1..12),
            order in prop::collection::vec(any::<prop::sample::Index>(), 1..600),
            width in 1usize..5,
            cut: bool,
            byte in prop::option::of(any::<(prop::sample::Index, u8)>()),
            batch_rows in 1usize..200,
            null_text in prop::sample::select(vec!["", "NA"]),
        ) {
            let names = ["x", "b", "a", "d"];
            let wanted: Vec<ColumnSpec> = specs().into_iter().filter(|spec| names[..width].contains(&spec.name.as_str())).collect();
            let line = |(fields, end): &(Vec<String>, &str)| {
                let filled = fields.iter().cycle().take(if fields.len() == 5 { 5 } else { width });
                filled.cloned().collect::<Vec<_>>().join(",") + end
            };
            let mut bytes = order.iter().map(|shape| line(shape.get(&shapes))).collect::<String>().into_bytes();
            if cut {
                bytes.pop();
            }
            if let Some((at, byte)) = byte && !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let dialect = || Dialect { header: true, delimiter: b',', quote: b'"', null_text: null_text.to_owned() };
            let fast = decode(CsvDecoder::new(&wanted, dialect(), batch_rows).unwrap(), &names[..width], &wanted, &bytes);
            let general = decode(CsvDecoder::general(&wanted, dialect(), batch_rows).unwrap(), &names[..width], &wanted, &bytes);
            prop_assert_eq!(fast, general);
        }

        #[test]
        fn every_type_reads_the_same(rows in prop::collection::vec(prop::collection::vec(field(), 6..7), 1..20)) {
            let text: String = rows.iter().map(|fields| fields.join(",") + "\n").collect();
            let names = ["a", "b", "c", "d", "e", "f"];
            let dialect = || Dialect { header: true, delimiter: b',', quote: b'"', null_text: String::new() };
            let fast = decode(CsvDecoder::new(&specs(), dialect(), 7).unwrap(), &names, &specs(), text.as_bytes());
            let general = decode(CsvDecoder::general(&specs(), dialect(), 7).unwrap(), &names, &specs(), text.as_bytes());
            prop_assert_eq!(fast, general);
        }
    }
}

//! The rows of a view as a body, encoded a piece at a time.
//!
//! A body holds a selection, whose rows are shared with the view, and encodes the next piece only when the connection has room.
//! So the memory of an answer does not grow with the view, and a large view holds no thread.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use arrow::array::RecordBatch;
use arrow::json::WriterBuilder;
use arrow::json::writer::{JsonArray, LineDelimited, Writer};
use millstream_api::{Error, Result};
use serde_json::Value;

use crate::csv;
use crate::format::Format;
use crate::selection::Selection;
use crate::values::Values;

/// Rows of a piece.
const PIECE_ROWS: usize = 1024;

/// Rows in one of the [formats](Format). As JSON: `{"view": …, "version": …, "next": …, "rows": […]}`, `next` only where there are
/// more rows. Nulls are written out, timestamps as RFC 3339 with `Z`.
pub struct RowsBody {
    selection: Selection,
    rows: Range<usize>,
    finished: bool,
    encoder: Encoder,
    /// Encoded already: the head and the first rows.
    first: Option<Bytes>,
}

/// Keeps track of brackets and commas; its buffer is emptied with every piece.
enum Encoder {
    Json(Writer<Vec<u8>, JsonArray>),
    Ndjson(Writer<Vec<u8>, LineDelimited>),
    Csv { has_header: bool },
}

impl RowsBody {
    /// A body over rows of a selection of the view of this name; `next` is the cursor of the rows that follow. The first piece is
    /// encoded at once, so that columns that cannot be written are an error before the head of the answer is sent.
    ///
    /// # Errors
    /// When a column has no JSON form.
    pub fn new(format: Format, view: &str, selection: Selection, rows: Range<usize>, next: Option<&str>) -> Result<RowsBody> {
        let encoder = match format {
            Format::Json => {
                let next = next.map(|next| format!("\"next\":{},", Value::from(next))).unwrap_or_default();
                let head = format!("{{\"view\":{},\"version\":{},{next}\"rows\":", Value::from(view), selection.version());
                Encoder::Json(writer_builder().build(head.into_bytes()))
            }
            Format::Ndjson => Encoder::Ndjson(writer_builder().build(Vec::new())),
            Format::Csv => Encoder::Csv { has_header: false },
        };
        let mut body = RowsBody { selection, rows, finished: false, encoder, first: None };
        body.first = Some(body.encode()?);
        Ok(body)
    }

    /// The next piece.
    fn encode(&mut self) -> Result<Bytes> {
        let end = self.rows.end.min(self.rows.start + PIECE_ROWS);
        let piece = self.selection.records(self.rows.start..end)?;
        self.rows.start = end;
        self.finished = self.rows.is_empty();
        Ok(Bytes::from(self.encoder.encode(&piece, self.finished)?))
    }
}

impl Encoder {
    fn encode(&mut self, piece: &RecordBatch, is_last: bool) -> Result<Vec<u8>> {
        match self {
            Encoder::Json(writer) => {
                writer.write(piece)?;
                if is_last {
                    writer.finish()?;
                    writer.get_mut().extend_from_slice(b"}\n");
                }
                Ok(std::mem::take(writer.get_mut()))
            }
            Encoder::Ndjson(writer) => {
                writer.write(piece)?;
                Ok(std::mem::take(writer.get_mut()))
            }
            Encoder::Csv { has_header } => {
                let mut out = Vec::new();
                if !std::mem::replace(has_header, true) {
                    csv::write_header(&piece.schema(), &mut out);
                }
                csv::write_rows(piece, &mut out)?;
                Ok(out)
            }
        }
    }
}

/// How rows are written as JSON everywhere.
fn writer_builder() -> WriterBuilder {
    WriterBuilder::new().with_explicit_nulls(true).with_encoder_factory(Arc::new(Values))
}

/// Rows as a JSON list, behind what is in `out`.
///
/// # Errors
/// When a column has no JSON form.
pub fn write_list(rows: &RecordBatch, out: Vec<u8>) -> Result<Vec<u8>> {
    let mut writer: Writer<_, JsonArray> = writer_builder().build(out);
    writer.write(rows)?;
    writer.finish()?;
    Ok(writer.into_inner())
}

/// Rows as JSON, one object a line, behind what is in `out`.
///
/// # Errors
/// When a column has no JSON form.
pub fn write_lines(rows: &RecordBatch, out: Vec<u8>) -> Result<Vec<u8>> {
    let mut writer: Writer<_, LineDelimited> = writer_builder().build(out);
    writer.write(rows)?;
    Ok(writer.into_inner())
}

impl MessageBody for RowsBody {
    type Error = Error;

    fn size(&self) -> BodySize {
        match &self.first {
            Some(all) if self.finished => BodySize::Sized(all.len() as u64),
            _ => BodySize::Stream,
        }
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let body = &mut *self;
        Poll::Ready(match body.first.take() {
            Some(piece) => Some(Ok(piece)),
            None if body.finished => None,
            None => Some(body.encode()),
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        ArrayRef, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray, StringViewArray, TimestampMicrosecondArray,
    };
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use millstream_api::types::{UTC, json_field};
    use serde_json::json;

    use super::*;

    fn body(format: Format, view: &str, version: u64, rows: RecordBatch) -> RowsBody {
        let all = 0..rows.num_rows();
        RowsBody::new(format, view, Selection::found((version, rows)), all, None).unwrap()
    }

    /// All pieces of a body.
    fn pieces(mut body: RowsBody) -> Vec<Bytes> {
        let mut pieces = Vec::from_iter(body.first.take());
        while !body.finished {
            pieces.push(body.encode().unwrap());
        }
        pieces
    }

    fn text(body: RowsBody) -> String {
        String::from_utf8(pieces(body).concat()).unwrap()
    }

    fn numbers(count: usize) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(0..count as i64)) as ArrayRef)]).unwrap()
    }

    fn values() -> RecordBatch {
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("name", Arc::new(StringViewArray::from(vec![Some("a\"\n"), None]))),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![1_357_035_420_500_000, -1]).with_timezone(UTC))),
            ("big", Arc::new(Int64Array::from(vec![i64::MAX, i64::MIN]))),
            ("share", Arc::new(Float64Array::from(vec![0.5, f64::NAN]))),
            ("price", Arc::new(Decimal128Array::from(vec![12_345, -5]).with_precision_and_scale(10, 2).unwrap())),
            ("empty, or not", Arc::new(StringViewArray::from(vec!["", "x"]))),
            ("list", Arc::new(lists)),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn values_keep_their_meaning_in_json() {
        let row = |name: &str, rest: &str| format!("{{\"name\":{name},\"at\":{rest}}}");
        let first = row(
            r#""a\"\n""#,
            r#""2013-01-01T10:17:00.500Z","big":9223372036854775807,"share":0.5,"price":123.45,"empty, or not":"","list":[1,null]"#,
        );
        let second = row(
            "null",
            r#""1969-12-31T23:59:59.999999Z","big":-9223372036854775808,"share":null,"price":-0.05,"empty, or not":"x","list":null"#,
        );
        let json = text(body(Format::Json, "a view", 7, values()));
        assert_eq!(json, format!("{{\"view\":\"a view\",\"version\":7,\"rows\":[{first},{second}]}}\n"));
        assert_eq!(text(body(Format::Ndjson, "v", 7, values())), format!("{first}\n{second}\n"));
    }

    #[test]
    fn a_column_of_json_has_the_values_themselves() {
        let texts = StringViewArray::from(vec![Some(r#"{"a":[1.50,"x,y"]}"#), None, Some("7")]);
        let field = json_field(Field::new("v", DataType::Utf8View, true));
        let rows = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::new(texts)]).unwrap();
        let lines = "{\"v\":{\"a\":[1.50,\"x,y\"]}}\n{\"v\":null}\n{\"v\":7}\n";
        assert_eq!(text(body(Format::Ndjson, "v", 1, rows.clone())), lines);
        assert_eq!(text(body(Format::Csv, "v", 1, rows)), "v\n\"{\"\"a\"\":[1.50,\"\"x,y\"\"]}\"\n\n7\n");
    }

    #[test]
    fn values_keep_their_meaning_in_csv() {
        assert_eq!(
            text(body(Format::Csv, "v", 7, values())),
            "name,at,big,share,price,\"empty, or not\",list\n\
             \"a\"\"\n\",2013-01-01T10:17:00.500Z,9223372036854775807,0.5,123.45,\"\",\"[1,null]\"\n\
             ,1969-12-31T23:59:59.999999Z,-9223372036854775808,,-0.05,x,\n"
        );
    }

    #[test]
    fn times_and_dates_beyond_the_calendar_are_still_json() {
        let at = TimestampMicrosecondArray::from(vec![Some(i64::MAX), None, Some(0)]).with_timezone(UTC);
        let day = Date32Array::from(vec![Some(i32::MIN), Some(15_706), None]);
        let rows = RecordBatch::try_from_iter([("at", Arc::new(at) as ArrayRef), ("day", Arc::new(day))]).unwrap();
        let body: Value = serde_json::from_str(&text(body(Format::Json, "v", 1, rows))).unwrap();
        assert_eq!(
            body["rows"],
            json!([
                { "at": "+294247-01-10T04:00:54.775807Z", "day": "-5877641-06-23" },
                { "at": null, "day": "2013-01-01" },
                { "at": "1970-01-01T00:00:00Z", "day": null },
            ])
        );
    }

    #[test]
    fn no_rows_are_an_empty_list_of_known_size() {
        let empty = body(Format::Json, "v", 0, numbers(0));
        let expected = "{\"view\":\"v\",\"version\":0,\"rows\":[]}\n";
        assert_eq!(empty.size(), BodySize::Sized(expected.len() as u64));
        assert_eq!(text(empty), expected);
        assert_eq!(text(body(Format::Csv, "v", 0, numbers(0))), "n\n");
        assert_eq!(text(body(Format::Ndjson, "v", 0, numbers(0))), "");
    }

    #[test]
    fn a_page_has_its_rows_and_says_what_comes_next() {
        let page = RowsBody::new(Format::Json, "v", Selection::found((3, numbers(9))), 2..4, Some("abc")).unwrap();
        assert_eq!(text(page), "{\"view\":\"v\",\"version\":3,\"next\":\"abc\",\"rows\":[{\"n\":2},{\"n\":3}]}\n");
    }

    #[test]
    fn many_rows_come_in_pieces_that_join_to_one() {
        let count = 2 * PIECE_ROWS + 1;
        for format in [Format::Json, Format::Ndjson, Format::Csv] {
            let many = body(format, "v", 3, numbers(count));
            assert_eq!(many.size(), BodySize::Stream);
            let pieces = pieces(many);
            assert_eq!(pieces.len(), 3);
            let joined = pieces.concat();
            let text = String::from_utf8_lossy(&joined);
            match format {
                Format::Json => {
                    let body: Value = serde_json::from_slice(&joined).unwrap();
                    let rows = body["rows"].as_array().unwrap();
                    assert!(rows.iter().enumerate().all(|(i, row)| row["n"] == i) && rows.len() == count);
                }
                Format::Ndjson => assert!(text.lines().eq((0..count).map(|i| format!("{{\"n\":{i}}}")))),
                Format::Csv => assert!(text.lines().skip(1).eq((0..count).map(|i| i.to_string()))),
            }
        }
    }
}

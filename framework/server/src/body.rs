//! The rows of a view as a JSON body, encoded a piece at a time.
//!
//! A body holds the record batch of one version, whose columns are shared with the view, and encodes the next piece only when
//! the connection has room. So the memory of an answer does not grow with the view, and a large view holds no thread.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use arrow::array::RecordBatch;
use arrow::json::WriterBuilder;
use arrow::json::writer::{JsonArray, Writer};
use millstream_api::{Error, Result};
use serde_json::Value;

use crate::times::Times;

/// Rows of a piece.
const PIECE_ROWS: usize = 1024;

/// `{"view": …, "version": …, "rows": […]}`. Nulls are written out, timestamps as RFC 3339 with `Z`.
pub struct RowsBody {
    rows: RecordBatch,
    next_row: usize,
    finished: bool,
    /// Keeps track of brackets and commas; its buffer is emptied with every piece.
    writer: Writer<Vec<u8>, JsonArray>,
    /// Encoded already: the head and the first rows.
    first: Option<Bytes>,
}

impl RowsBody {
    /// A body over the rows of one version. The first piece is encoded at once, so that columns that cannot be written are
    /// an error before the head of the answer is sent.
    ///
    /// # Errors
    /// When a column has no JSON form.
    pub fn new(view: &str, version: u64, rows: RecordBatch) -> Result<RowsBody> {
        let head = format!("{{\"view\":{},\"version\":{version},\"rows\":", Value::from(view));
        let writer = WriterBuilder::new().with_explicit_nulls(true).with_encoder_factory(Arc::new(Times)).build(head.into_bytes());
        let mut body = RowsBody { rows, next_row: 0, finished: false, writer, first: None };
        body.first = Some(body.encode()?);
        Ok(body)
    }

    /// The next piece.
    fn encode(&mut self) -> Result<Bytes> {
        let length = PIECE_ROWS.min(self.rows.num_rows() - self.next_row);
        self.writer.write(&self.rows.slice(self.next_row, length))?;
        self.next_row += length;
        if self.next_row == self.rows.num_rows() {
            self.writer.finish()?;
            self.writer.get_mut().extend_from_slice(b"}\n");
            self.finished = true;
        }
        Ok(Bytes::from(std::mem::take(self.writer.get_mut())))
    }
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
    use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Float64Array, Int64Array, StringViewArray, TimestampMicrosecondArray};
    use millstream_api::types::UTC;
    use serde_json::json;

    use super::*;

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

    #[test]
    fn values_keep_their_meaning() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("name", Arc::new(StringViewArray::from(vec![Some("a\"\n"), None]))),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![1_357_035_420_500_000, -1]).with_timezone(UTC))),
            ("big", Arc::new(Int64Array::from(vec![i64::MAX, i64::MIN]))),
            ("share", Arc::new(Float64Array::from(vec![0.5, f64::NAN]))),
            ("price", Arc::new(Decimal128Array::from(vec![12_345, -5]).with_precision_and_scale(10, 2).unwrap())),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        assert_eq!(
            text(RowsBody::new("a view", 7, rows).unwrap()),
            "{\"view\":\"a view\",\"version\":7,\"rows\":[\
             {\"name\":\"a\\\"\\n\",\"at\":\"2013-01-01T10:17:00.500Z\",\"big\":9223372036854775807,\"share\":0.5,\"price\":123.45},\
             {\"name\":null,\"at\":\"1969-12-31T23:59:59.999999Z\",\"big\":-9223372036854775808,\"share\":null,\"price\":-0.05}]}\n"
        );
    }

    #[test]
    fn times_and_dates_beyond_the_calendar_are_still_json() {
        let at = TimestampMicrosecondArray::from(vec![Some(i64::MAX), None, Some(0)]).with_timezone(UTC);
        let day = Date32Array::from(vec![Some(i32::MIN), Some(15_706), None]);
        let rows = RecordBatch::try_from_iter([("at", Arc::new(at) as ArrayRef), ("day", Arc::new(day))]).unwrap();
        let body: Value = serde_json::from_str(&text(RowsBody::new("v", 1, rows).unwrap())).unwrap();
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
        let column: ArrayRef = Arc::new(Int64Array::from(Vec::<i64>::new()));
        let body = RowsBody::new("v", 0, RecordBatch::try_from_iter([("n", column)]).unwrap()).unwrap();
        let expected = "{\"view\":\"v\",\"version\":0,\"rows\":[]}\n";
        assert_eq!(body.size(), BodySize::Sized(expected.len() as u64));
        assert_eq!(text(body), expected);
    }

    #[test]
    fn many_rows_come_in_pieces_that_join_to_one_list() {
        let count = 2 * PIECE_ROWS + 1;
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count as i64));
        let body = RowsBody::new("v", 3, RecordBatch::try_from_iter([("n", column)]).unwrap()).unwrap();
        assert_eq!(body.size(), BodySize::Stream);
        let pieces = pieces(body);
        assert_eq!(pieces.len(), 3);
        let body: Value = serde_json::from_slice(&pieces.concat()).unwrap();
        let rows = body["rows"].as_array().unwrap();
        assert!(rows.iter().enumerate().all(|(i, row)| row["n"] == i));
        assert_eq!(rows.len(), count);
    }
}

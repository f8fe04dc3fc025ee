//! The decoders as functions of bytes: what fuzz targets call.
//!
//! Not part of the interface of this crate: no file, no threads, one block. Each format can be decoded with its fast path and without it,
//! and the two must agree.

use std::sync::Arc;

use arrow::array::RecordBatch;
use millstream_api::error::{BadRow, Result};

use super::csv::{CsvDecoder, Dialect, Header, record};
use super::json::JsonDecoder;
use super::schema::ColumnSpec;
use super::{Block, Decode};
use crate::file_source::count_lines;

/// What bytes have been decoded to.
#[derive(Debug, Default)]
pub struct Rows {
    /// The good rows, in batches.
    pub records: Vec<RecordBatch>,
    /// The bad ones.
    pub bad: Vec<BadRow>,
}

/// Decodes JSON lines; without `fast`, by the general decoder alone.
///
/// # Errors
/// Only internal ones: a bad line is a bad row.
pub fn json_lines(columns: &[ColumnSpec], bytes: &[u8], batch_rows: usize, fast: bool) -> Result<Rows> {
    let make = if fast { JsonDecoder::new } else { JsonDecoder::general };
    rows(&mut make(columns, batch_rows)?, bytes, 1, None)
}

/// Decodes CSV with a header, commas and double quotes; without `fast`, by the general decoder alone.
///
/// # Errors
/// When the header lacks a column, or is no text.
pub fn csv_records(columns: &[ColumnSpec], bytes: &[u8], batch_rows: usize, fast: bool) -> Result<Rows> {
    let dialect = Dialect { header: true, delimiter: b',', quote: b'"', null_text: String::new() };
    let (names, length) = record(bytes, &dialect);
    let mut fields = Vec::new();
    let failed = |cause: String| millstream_api::Error::io("cannot read the header", cause);
    let text = std::str::from_utf8(names).map_err(|error| failed(error.to_string()))?;
    dialect.fields(text, |_, field| fields.push(field.text.into_owned())).map_err(failed)?;
    let header = Arc::new(Header::named(&fields, columns).map_err(failed)?);
    let first_line = 1 + count_lines(&bytes[..length]) as u64;
    let make = if fast { CsvDecoder::new } else { CsvDecoder::general };
    rows(&mut make(columns, dialect, batch_rows)?, &bytes[length..], first_line, Some(header))
}

fn rows(decoder: &mut dyn Decode, bytes: &[u8], first_line: u64, header: Option<Arc<Header>>) -> Result<Rows> {
    let mut rows = Rows::default();
    for decoded in decoder.decode(&Block { bytes: bytes.to_vec(), header })? {
        rows.records.push(decoded.records);
        rows.bad.extend(decoded.bad.into_iter().map(|bad| bad.placed("input", first_line)));
    }
    Ok(rows)
}

//! Rows as comma-separated values after RFC 4180, lines ended by `\n`.
//!
//! A null is an empty field, an empty string is `""`, so that they stay apart. Lists, structs and columns of JSON are JSON in one field, all other
//! values are written as in JSON, without its quotes.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, FieldRef, Schema};
use arrow::json::writer::{EncoderOptions, make_encoder};
use millstream_api::Result;

use crate::values::Values;

/// Appends the names of the columns.
pub fn write_header(schema: &Schema, out: &mut Vec<u8>) {
    for (i, field) in schema.fields().iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_field(field.name().as_bytes(), out);
    }
    out.push(b'\n');
}

/// Appends all rows.
///
/// # Errors
/// When a column has no JSON form.
pub fn write_rows(rows: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
    let options = EncoderOptions::default().with_encoder_factory(Arc::new(Values)).with_explicit_nulls(true);
    let schema = rows.schema();
    let mut cells = schema
        .fields()
        .iter()
        .zip(rows.columns())
        .map(|(field, column)| cell_writer(field, column.as_ref(), &options))
        .collect::<Result<Vec<_>>>()?;
    for row in 0..rows.num_rows() {
        for (i, cell) in cells.iter_mut().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            cell(row, out);
        }
        out.push(b'\n');
    }
    Ok(())
}

type CellWriter<'a> = Box<dyn FnMut(usize, &mut Vec<u8>) + 'a>;

fn cell_writer<'a>(field: &'a FieldRef, column: &'a dyn Array, options: &'a EncoderOptions) -> Result<CellWriter<'a>> {
    let nulls = column.logical_nulls();
    let is_null = move |row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
    if let DataType::Utf8View = column.data_type() {
        let texts = column.as_string_view();
        return Ok(Box::new(move |row, out| {
            if !is_null(row) {
                write_field(texts.value(row).as_bytes(), out);
            }
        }));
    }
    let is_nested = column.data_type().is_nested();
    let mut encoder = make_encoder(field, column, options)?;
    let mut json = Vec::new();
    Ok(Box::new(move |row, out| {
        if is_null(row) {
            return;
        }
        json.clear();
        encoder.encode(row, &mut json);
        match json.as_slice() {
            nested if is_nested => write_field(nested, out),
            // Numbers that JSON has no form for.
            b"null" => {}
            [b'"', plain @ .., b'"'] => out.extend_from_slice(plain),
            plain => out.extend_from_slice(plain),
        }
    }))
}

/// A field, in quotes where it must be.
fn write_field(text: &[u8], out: &mut Vec<u8>) {
    let needs_quotes = text.is_empty() || text.iter().any(|byte| b",\"\r\n".contains(byte));
    if !needs_quotes {
        return out.extend_from_slice(text);
    }
    out.push(b'"');
    for &byte in text {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

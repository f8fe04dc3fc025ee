//! Comma-separated values after RFC 4180, lines ended by `\n`.
//!
//! A null is an empty field, an empty string is `""`, so that they stay apart. A field is quoted when it has the delimiter, a
//! quote or a line end in it. Lists and structs are written as JSON in one field.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use millstream_api::Result;

use super::text::{canonical, fixed_text};
use super::{WriteValue, json};

/// Appends the header line: the names of the columns.
pub fn write_header(schema: &Schema, delimiter: u8, out: &mut Vec<u8>) {
    for (i, field) in schema.fields().iter().enumerate() {
        if i > 0 {
            out.push(delimiter);
        }
        write_field(field.name().as_bytes(), delimiter, out);
    }
    out.push(b'\n');
}

/// Appends all rows, one record each.
///
/// # Errors
/// Only when a column has a type that no stream has.
pub fn write_rows(records: &RecordBatch, delimiter: u8, out: &mut Vec<u8>) -> Result<()> {
    let columns: Vec<ArrayRef> = records.columns().iter().map(canonical).collect::<Result<_>>()?;
    let writers: Vec<WriteValue<'_>> = columns.iter().map(|column| values(column.as_ref(), delimiter)).collect::<Result<_>>()?;
    for row in 0..records.num_rows() {
        for (i, write) in writers.iter().enumerate() {
            if i > 0 {
                out.push(delimiter);
            }
            write(row, out);
        }
        out.push(b'\n');
    }
    Ok(())
}

fn values<'a>(array: &'a dyn Array, delimiter: u8) -> Result<WriteValue<'a>> {
    let plain = plain_values(array)?;
    // The texts of all other types are made of characters that need no quotes, unless one of them is the delimiter.
    let quoted = matches!(array.data_type(), DataType::Utf8View | DataType::List(_) | DataType::Struct(_))
        || delimiter.is_ascii_alphanumeric()
        || b"+-./:=".contains(&delimiter);
    let nulls = array.logical_nulls();
    Ok(Box::new(move |row, out| {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return;
        }
        if !quoted {
            return plain(row, out);
        }
        let mut field = Vec::new();
        plain(row, &mut field);
        write_field(&field, delimiter, out);
    }))
}

/// A writer of a column's not-null values as bare text, nothing quoted.
pub(crate) fn plain_values<'a>(array: &'a dyn Array) -> Result<WriteValue<'a>> {
    if let Some((_, write)) = fixed_text(array) {
        return Ok(write);
    }
    match array.data_type() {
        DataType::Utf8View => {
            let values = array.as_string_view();
            Ok(Box::new(move |row, out| out.extend_from_slice(values.value(row).as_bytes())))
        }
        _ => json::values(array),
    }
}

fn write_field(field: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    let special = |byte: &u8| *byte == delimiter || matches!(byte, b'"' | b'\n' | b'\r');
    if !field.is_empty() && !field.iter().any(special) {
        return out.extend_from_slice(field);
    }
    out.push(b'"');
    for &byte in field {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, ListArray, StringViewArray};
    use arrow::datatypes::{Field, Int64Type};

    use super::*;

    #[test]
    fn fields_are_quoted_only_where_they_must_be() {
        let list = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(1), Some(2)]), None, None, None]);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("text", Arc::new(StringViewArray::from(vec![Some("a,b"), Some(""), None, Some("say \"x\"\n")]))),
            ("n", Arc::new(Int64Array::from(vec![Some(-1), Some(2), None, Some(4)]))),
            ("a,list", Arc::new(list)),
        ];
        let fields: Vec<Field> = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let records = RecordBatch::try_new(schema.clone(), columns.into_iter().map(|(_, array)| array).collect()).unwrap();
        let mut out = Vec::new();
        write_header(&schema, b',', &mut out);
        write_rows(&records, b',', &mut out).unwrap();
        let expected = "text,n,\"a,list\"\n\"a,b\",-1,\"[1,2]\"\n\"\",2,\n,,\n\"say \"\"x\"\"\n\",4,\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

//! One JSON object a line (NDJSON), keys in the order of the columns.
//!
//! A null is written as `null`, so that every row has the same keys. Integers and decimals are exact JSON numbers; a real or
//! double that is no finite number is `null`, since JSON has none; timestamps, dates, intervals and bytes are strings (see
//! [`super::text`]); lists and structs are arrays and objects; the values of a column of type `json` are what they are.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef};
use millstream_api::Result;
use millstream_api::types::{is_json, write_json_value};

use super::WriteValue;
use super::text::{Kind, canonical, fixed_text, no_text, write_json};

/// Appends all rows, one line each.
///
/// # Errors
/// Only when a column has a type that no stream has.
pub fn write_rows(records: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
    let columns = canonical_columns(records)?;
    let writers = object_fields(records, &columns)?;
    for row in 0..records.num_rows() {
        write_object(&writers, row, out);
        out.push(b'\n');
    }
    Ok(())
}

/// One row as a JSON object without a line end, for messages and `.rejected`.
///
/// # Errors
/// Only when a column has a type that no stream has.
pub fn row_text(records: &RecordBatch, row: usize) -> Result<String> {
    let one = records.slice(row, 1);
    let mut out = Vec::new();
    write_rows(&one, &mut out)?;
    out.pop();
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// A writer of one column's values as JSON.
pub(crate) fn values<'a>(array: &'a dyn Array) -> Result<WriteValue<'a>> {
    let write: WriteValue<'a> = match fixed_text(array) {
        Some((Kind::Bare, write)) => write,
        Some((Kind::Plain, write)) => Box::new(move |row, out| {
            out.push(b'"');
            write(row, out);
            out.push(b'"');
        }),
        Some((Kind::Float, write)) => finite(write),
        None => nested(array)?,
    };
    if array.logical_null_count() == 0 {
        return Ok(write);
    }
    let nulls = array.logical_nulls();
    Ok(Box::new(move |row, out| match &nulls {
        Some(nulls) if nulls.is_null(row) => out.extend_from_slice(b"null"),
        _ => write(row, out),
    }))
}

/// A float's text when it is a JSON number, else `null`.
fn finite<'a>(write: WriteValue<'a>) -> WriteValue<'a> {
    Box::new(move |row, out| {
        let start = out.len();
        write(row, out);
        if !out.last().is_some_and(u8::is_ascii_digit) {
            out.truncate(start);
            out.extend_from_slice(b"null");
        }
    })
}

fn nested<'a>(array: &'a dyn Array) -> Result<WriteValue<'a>> {
    Ok(match array.data_type() {
        DataType::Utf8View => {
            let values = array.as_string_view();
            Box::new(move |row, out| write_json(values.value(row), out))
        }
        DataType::Null => Box::new(|_, out| out.extend_from_slice(b"null")),
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let items = column_values(item, list.values().as_ref())?;
            let offsets = list.value_offsets();
            Box::new(move |row, out| {
                out.push(b'[');
                for (i, item) in (offsets[row]..offsets[row + 1]).enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    items(item as usize, out);
                }
                out.push(b']');
            })
        }
        DataType::Struct(fields) => {
            let writers = named(fields.iter().zip(array.as_struct().columns()))?;
            Box::new(move |row, out| write_object(&writers, row, out))
        }
        other => return Err(no_text(other)),
    })
}

/// A column's writer with the bytes before its value: the comma, the key and the colon.
type Named<'a> = Vec<(Vec<u8>, WriteValue<'a>)>;

fn canonical_columns(records: &RecordBatch) -> Result<Vec<ArrayRef>> {
    records.columns().iter().map(canonical).collect()
}

fn object_fields<'a>(records: &RecordBatch, columns: &'a [ArrayRef]) -> Result<Named<'a>> {
    let schema = records.schema();
    named(schema.fields().iter().zip(columns))
}

fn named<'a, 'n>(columns: impl Iterator<Item = (&'n FieldRef, &'a ArrayRef)>) -> Result<Named<'a>> {
    columns
        .enumerate()
        .map(|(i, (field, column))| {
            let mut before = if i == 0 { Vec::new() } else { vec![b','] };
            write_json(field.name(), &mut before);
            before.push(b':');
            Ok((before, column_values(field, column.as_ref())?))
        })
        .collect()
}

/// A writer of the values of a column with this field.
fn column_values<'a>(field: &Field, column: &'a dyn Array) -> Result<WriteValue<'a>> {
    if !is_json(field) {
        return values(column);
    }
    let texts = column.as_string_view_opt().ok_or_else(|| no_text(column.data_type()))?;
    Ok(Box::new(move |row, out| match texts.is_null(row) {
        true => out.extend_from_slice(b"null"),
        false => write_json_value(texts.value(row), out),
    }))
}

fn write_object(writers: &Named<'_>, row: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    for (before, write) in writers {
        out.extend_from_slice(before);
        write(row, out);
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray, StringViewArray, StructArray,
        TimestampMicrosecondArray,
    };
    use arrow::datatypes::{Field, Int64Type, Schema};
    use millstream_api::types::{UTC, json_field};

    use super::*;

    fn one_column(array: ArrayRef) -> RecordBatch {
        let schema = Schema::new(vec![Field::new("v", array.data_type().clone(), true)]);
        RecordBatch::try_new(Arc::new(schema), vec![array]).unwrap()
    }

    fn lines(records: &RecordBatch) -> Vec<String> {
        let mut out = Vec::new();
        write_rows(records, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        text.lines().map(|line| line.strip_prefix("{\"v\":").unwrap().strip_suffix('}').unwrap().to_owned()).collect()
    }

    #[test]
    fn every_type_has_its_text() {
        let decimals = Decimal128Array::from(vec![Some(-1205), None]).with_precision_and_scale(12, 3).unwrap();
        let times = TimestampMicrosecondArray::from(vec![-1, 1_357_035_420_500_000]).with_timezone(UTC);
        let table: Vec<(ArrayRef, Vec<&str>)> = vec![
            (Arc::new(Int64Array::from(vec![Some(i64::MAX), None])), vec!["9223372036854775807", "null"]),
            (Arc::new(BooleanArray::from(vec![true, false])), vec!["true", "false"]),
            (Arc::new(Float64Array::from(vec![0.1, 1e300, f64::NAN, f64::NEG_INFINITY])), vec!["0.1", "1e+300", "null", "null"]),
            (Arc::new(Float64Array::from(vec![-0.0, 5.0, 1e-7])), vec!["-0.0", "5.0", "1e-7"]),
            (Arc::new(decimals), vec!["-1.205", "null"]),
            (Arc::new(times), vec!["\"1969-12-31T23:59:59.999999Z\"", "\"2013-01-01T10:17:00.500Z\""]),
            (Arc::new(Date32Array::from(vec![0])), vec!["\"1970-01-01\""]),
            (Arc::new(StringViewArray::from(vec!["a\"b\n", "é"])), vec![r#""a\"b\n""#, "\"é\""]),
            (Arc::new(BinaryViewArray::from(vec![&b"foo"[..]])), vec!["\"666f6f\""]),
            (Arc::new(arrow::array::StringArray::from(vec!["plain"])), vec!["\"plain\""]),
        ];
        for (array, expected) in table {
            let shown = array.data_type().to_string();
            assert_eq!(lines(&one_column(array)), expected, "{shown}");
        }
    }

    #[test]
    fn a_column_of_json_has_the_values_themselves() {
        let texts = [Some(r#"{"a":1.50}"#), Some("[1,\n 2]"), None];
        let field = json_field(Field::new("v", DataType::Utf8View, true));
        let array: ArrayRef = Arc::new(StringViewArray::from(texts.to_vec()));
        let records = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array]).unwrap();
        assert_eq!(lines(&records), [r#"{"a":1.50}"#, "[1, 2]", "null"]);
    }

    #[test]
    fn lists_and_structs_nest() {
        let list = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(1), None]), None, Some(vec![])]);
        assert_eq!(lines(&one_column(Arc::new(list.clone()))), ["[1,null]", "null", "[]"]);
        assert_eq!(lines(&one_column(Arc::new(list.slice(2, 1)))), ["[]"]);
        let inner: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None, Some(9)]));
        let record = StructArray::from(vec![(Arc::new(Field::new("a", DataType::Int64, true)), inner)]);
        assert_eq!(lines(&one_column(Arc::new(record))), [r#"{"a":7}"#, r#"{"a":null}"#, r#"{"a":9}"#]);
    }

    #[test]
    fn a_key_is_escaped_and_a_batch_without_columns_has_empty_objects() {
        let schema = Schema::new(vec![Field::new("a\"b", DataType::Int64, false)]);
        let records = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from(vec![1]))]).unwrap();
        assert_eq!(row_text(&records, 0).unwrap(), r#"{"a\"b":1}"#);
        assert_eq!(row_text(&records.project(&[]).unwrap(), 0).unwrap(), "{}");
    }
}

//! Between cells and Arrow columns.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, ListArray, StringViewArray, StructArray, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, FieldRef, Fields, Float64Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit,
    TimestampMicrosecondType,
};
use millstream_api::types::{UTC, timestamp_type};
use millstream_api::{Error, Result};

use super::cell::Cell;

/// The cells of a column.
///
/// # Errors
/// Only when the column has a type that no stream has.
pub fn cells(array: &dyn Array) -> Result<Vec<Cell>> {
    let array = cast(array, &common(array.data_type()))?;
    let each = |cell: &dyn Fn(usize) -> Result<Cell>| -> Result<Vec<Cell>> {
        (0..array.len()).map(|row| if array.is_null(row) { Ok(Cell::Null) } else { cell(row) }).collect()
    };
    match array.data_type() {
        DataType::Null => each(&|_| Ok(Cell::Null)),
        DataType::Boolean => each(&|row| Ok(Cell::Boolean(array.as_boolean().value(row)))),
        DataType::Int64 => each(&|row| Ok(Cell::Integer(array.as_primitive::<Int64Type>().value(row)))),
        DataType::Float64 => each(&|row| Ok(Cell::Double(array.as_primitive::<Float64Type>().value(row)))),
        DataType::Decimal128(_, scale) => each(&|row| Ok(Cell::Decimal(array.as_primitive::<Decimal128Type>().value(row), *scale))),
        DataType::Utf8View => each(&|row| Ok(Cell::Text(array.as_string_view().value(row).to_owned()))),
        DataType::BinaryView => each(&|row| Ok(Cell::Bytes(array.as_binary_view().value(row).to_vec()))),
        DataType::Date32 => each(&|row| Ok(Cell::Date(array.as_primitive::<Date32Type>().value(row)))),
        DataType::Timestamp(..) => each(&|row| Ok(Cell::Timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row)))),
        DataType::Interval(_) => each(&|row| Ok(Cell::Interval(array.as_primitive::<IntervalMonthDayNanoType>().value(row)))),
        DataType::List(_) => each(&|row| Ok(Cell::List(cells(array.as_list::<i32>().value(row).as_ref())?))),
        DataType::Struct(fields) => {
            let structs = array.as_struct();
            let columns: Vec<Vec<Cell>> = structs.columns().iter().map(|column| cells(column)).collect::<Result<_>>()?;
            let cell = |row: usize| {
                let cells = fields.iter().zip(&columns).map(|(field, cells)| (field.name().clone(), cells[row].clone()));
                Ok(Cell::Struct(cells.collect()))
            };
            each(&cell)
        }
        other => Err(Error::internal(format!("no cells of type {other}"))),
    }
}

/// The one type that stands for all its variants.
fn common(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 => DataType::Int64,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 | DataType::Float32 => DataType::Float64,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Dictionary(..) => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::BinaryView,
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(..) => timestamp_type(),
        DataType::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::LargeList(item) | DataType::FixedSizeList(item, _) => DataType::List(item.clone()),
        other => other.clone(),
    }
}

/// A column of these cells, which were read for its type.
///
/// # Errors
/// Only when the type is one that no stream has, or a null is where none may be.
pub fn column(cells: &[&Cell], data_type: &DataType) -> Result<ArrayRef> {
    let integers = || cells.iter().map(|cell| if let Cell::Integer(number) = cell { Some(*number) } else { None });
    let doubles = || cells.iter().map(|cell| if let Cell::Double(number) = cell { Some(*number) } else { None });
    Ok(match data_type {
        DataType::Boolean => {
            Arc::new(cells.iter().map(|cell| if let Cell::Boolean(flag) = cell { Some(*flag) } else { None }).collect::<BooleanArray>())
        }
        DataType::Int8 => Arc::new(integers().map(|n| n.and_then(|n| i8::try_from(n).ok())).collect::<Int8Array>()),
        DataType::Int16 => Arc::new(integers().map(|n| n.and_then(|n| i16::try_from(n).ok())).collect::<Int16Array>()),
        DataType::Int32 => Arc::new(integers().map(|n| n.and_then(|n| i32::try_from(n).ok())).collect::<Int32Array>()),
        DataType::Int64 => Arc::new(integers().collect::<Int64Array>()),
        DataType::Float32 => Arc::new(doubles().map(|n| n.map(|n| n as f32)).collect::<Float32Array>()),
        DataType::Float64 => Arc::new(doubles().collect::<Float64Array>()),
        DataType::Decimal128(precision, scale) => {
            let values = cells.iter().map(|cell| if let Cell::Decimal(value, _) = cell { Some(*value) } else { None });
            Arc::new(values.collect::<Decimal128Array>().with_precision_and_scale(*precision, *scale)?)
        }
        DataType::Utf8View => {
            let texts = cells.iter().map(|cell| match cell {
                Cell::Text(text) => Some(Cow::Borrowed(text.as_str())),
                Cell::Json(json) => Some(Cow::Owned(json.to_string())),
                _ => None,
            });
            Arc::new(texts.collect::<StringViewArray>())
        }
        DataType::BinaryView => {
            let values = cells.iter().map(|cell| if let Cell::Bytes(bytes) = cell { Some(bytes.as_slice()) } else { None });
            Arc::new(values.collect::<BinaryViewArray>())
        }
        DataType::Date32 => {
            Arc::new(cells.iter().map(|cell| if let Cell::Date(days) = cell { Some(*days) } else { None }).collect::<Date32Array>())
        }
        DataType::Timestamp(..) => {
            let times = cells.iter().map(|cell| if let Cell::Timestamp(micros) = cell { Some(*micros) } else { None });
            Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone(UTC))
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let values = cells.iter().map(|cell| if let Cell::Interval(interval) = cell { Some(*interval) } else { None });
            Arc::new(values.collect::<IntervalMonthDayNanoArray>())
        }
        DataType::List(item) => Arc::new(lists(cells, item)?),
        DataType::Struct(fields) if fields.is_empty() || cells.is_empty() => new_null_array(data_type, cells.len()),
        DataType::Struct(fields) => Arc::new(structs(cells, fields)?),
        other => return Err(Error::internal(format!("no test can send values of type {other}"))),
    })
}

fn lists(cells: &[&Cell], item: &FieldRef) -> Result<ListArray> {
    let lists = || cells.iter().map(|cell| if let Cell::List(items) = cell { Some(items) } else { None });
    let items: Vec<&Cell> = lists().flatten().flatten().collect();
    let offsets = OffsetBuffer::from_lengths(lists().map(|list| list.map_or(0, Vec::len)));
    let values = column(&items, item.data_type())?;
    Ok(ListArray::try_new(item.clone(), offsets, values, Some(validity(cells)))?)
}

fn structs(cells: &[&Cell], fields: &Fields) -> Result<StructArray> {
    let column_of = |index: usize| {
        let inner = cells.iter().map(|cell| if let Cell::Struct(fields) = cell { fields.get(index).map(|f| &f.1) } else { None });
        let inner: Vec<&Cell> = inner.map(|cell| cell.unwrap_or(&Cell::Null)).collect();
        column(&inner, fields[index].data_type())
    };
    let columns = (0..fields.len()).map(column_of).collect::<Result<Vec<_>>>()?;
    Ok(StructArray::try_new(fields.clone(), columns, Some(validity(cells)))?)
}

fn validity(cells: &[&Cell]) -> NullBuffer {
    cells.iter().map(|cell| !matches!(cell, Cell::Null)).collect()
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;
    use millstream_api::types::{ColumnType, TimestampForm};

    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        for (kind, json) in [
            ("boolean", "[true, null]"),
            ("smallint", "[-1, null]"),
            ("int", "[7]"),
            ("bigint", "[]"),
            ("real", "[0.5, null]"),
            ("double", "[1.25]"),
            ("decimal(20, 3)", "[\"1.125\", null]"),
            ("string", "[\"a\", null, \"\"]"),
            ("bytes", "[\"00ff\", null]"),
            ("date", "[\"1969-12-31\", null]"),
            ("timestamp", "[\"2013-01-01T10:17:00Z\", null]"),
            ("interval", "[\"1 day\", null]"),
            ("list<json>", "[[1, {\"a\": 0.5}], [], null, [null, [\"x\"]]]"),
            ("list<list<int>>", "[[[1], []], [], null]"),
            ("struct<a: int, b: list<string>>", "[{\"a\": 1, \"b\": [\"x\"]}, null, {\"a\": null, \"b\": null}]"),
        ] {
            let field = Field::new("c", ColumnType::parse(kind).unwrap().data_type, true);
            let data_type = field.data_type();
            let values: Vec<serde_json::Value> = serde_json::from_str(json).unwrap();
            let read: Vec<Cell> = values.iter().map(|json| Cell::read(json, &field, TimestampForm::Rfc3339).unwrap()).collect();
            let array = column(&read.iter().collect::<Vec<_>>(), data_type).unwrap();
            assert_eq!(array.data_type(), data_type);
            let again = cells(&array).unwrap();
            assert!(again.len() == read.len() && again.iter().zip(&read).all(|(again, read)| again.same(read)), "{kind}: {again:?}");
        }
    }
}

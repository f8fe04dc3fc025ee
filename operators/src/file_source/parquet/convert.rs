//! Columns of Parquet files as the types that they have here: every value exactly, or the row is bad.
//!
//! Arrow's own cast does most of it. It is not trusted with timestamps (it rounds towards 1970, here they are rounded down) nor with
//! lists and structs (what does not fit inside would silently be null).

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StructArray, TimestampMicrosecondArray, new_null_array};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Date32Type, Field, FieldRef, Fields, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::util::display::array_value_to_string;
use millstream_api::error::{Error, Result, shortened};
use millstream_api::time::RFC3339_MICROS;
use millstream_api::types::{ColumnType, TimestampForm, UTC};

use crate::decode::instant::epoch_micros;

/// The years 0001 to 9999 in days since 1970. In microseconds a day may be more than a number holds.
const DAYS: RangeInclusive<i32> = -719_162..=2_932_896;

/// A converted column.
pub(super) struct Converted {
    /// The values; any value or null where one has failed.
    pub(super) array: ArrayRef,
    /// The rows whose value is none of the type, rising.
    pub(super) failed: Vec<usize>,
}

/// A column as `wanted`, which [`super::readable`] allows.
///
/// # Errors
/// Only internal ones.
pub(super) fn convert(column: &ArrayRef, wanted: &ColumnType) -> Result<Converted> {
    match wanted.timestamp {
        TimestampForm::Epoch(unit) => {
            let Converted { array, mut failed } = converted(column, &DataType::Int64)?;
            let micros = micros(array.as_primitive(), unit);
            failed.extend(micros.failed);
            failed.sort_unstable();
            Ok(Converted { array: micros.array, failed })
        }
        TimestampForm::Rfc3339 => converted(column, &wanted.data_type),
    }
}

/// A value as a message shows it.
pub(super) fn shown(column: &ArrayRef, row: usize) -> String {
    array_value_to_string(column, row).map(|text| shortened(&text)).unwrap_or_default()
}

/// The values as `wanted`. Dates and timestamps that are in no year that text can say fail, as in the other formats.
fn converted(column: &ArrayRef, wanted: &DataType) -> Result<Converted> {
    let mut converted = of_type(column, wanted)?;
    let beyond = beyond_years(&converted.array);
    if !beyond.is_empty() {
        converted.failed.extend(beyond);
        converted.failed.sort_unstable();
        converted.failed.dedup();
    }
    Ok(converted)
}

/// The rows with a date or timestamp outside the years 0001 to 9999.
fn beyond_years(array: &ArrayRef) -> Vec<usize> {
    let beyond = |is_beyond: &dyn Fn(usize) -> bool| (0..array.len()).filter(|&row| array.is_valid(row) && is_beyond(row)).collect();
    if let Some(times) = array.as_primitive_opt::<TimestampMicrosecondType>() {
        let within = |micros: &i64| RFC3339_MICROS.contains(micros);
        return if times.values().iter().all(within) { Vec::new() } else { beyond(&|row| !within(&times.value(row))) };
    }
    if let Some(dates) = array.as_primitive_opt::<Date32Type>() {
        let within = |day: &i32| DAYS.contains(day);
        return if dates.values().iter().all(within) { Vec::new() } else { beyond(&|row| !within(&dates.value(row))) };
    }
    Vec::new()
}

/// Whether there are dates or timestamps in it.
fn has_times(data_type: &DataType) -> bool {
    match data_type {
        DataType::Date32 | DataType::Timestamp(_, _) => true,
        DataType::List(item) => has_times(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_times(field.data_type())),
        _ => false,
    }
}

fn of_type(column: &ArrayRef, wanted: &DataType) -> Result<Converted> {
    let whole = |array| Ok(Converted { array, failed: Vec::new() });
    match (column.data_type(), wanted) {
        // What is inside a list or struct is looked at by itself where it could fail.
        (found, wanted) if found == wanted && !(wanted.is_nested() && has_times(wanted)) => whole(column.clone()),
        (DataType::Null, _) => whole(new_null_array(wanted, column.len())),
        (DataType::Dictionary(_, values), _) => converted(&cast(column, values)?, wanted),
        (DataType::Timestamp(unit, _), DataType::Timestamp(_, _)) => {
            Ok(micros(cast(column, &DataType::Int64)?.as_primitive::<Int64Type>(), *unit))
        }
        (DataType::Struct(_), DataType::Struct(fields)) => structs(column.as_struct(), fields),
        (DataType::List(_), DataType::List(item)) => lists(column.as_list(), item),
        (DataType::LargeList(from) | DataType::FixedSizeList(from, _), DataType::List(item)) => {
            lists(cast(column, &DataType::List(from.clone()))?.as_list(), item)
        }
        (DataType::Map(entries, _), DataType::List(item)) => {
            let map = column.as_map();
            let entries: FieldRef = Arc::new(Field::new("item", entries.data_type().clone(), entries.is_nullable()));
            let list = ListArray::try_new(entries, map.offsets().clone(), Arc::new(map.entries().clone()), map.nulls().cloned())?;
            lists(&list, item)
        }
        (_, wanted) => cast_or_fail(column, wanted),
    }
}

fn cast_or_fail(column: &ArrayRef, wanted: &DataType) -> Result<Converted> {
    let array = cast_with_options(column, wanted, &CastOptions { safe: true, ..CastOptions::default() })?;
    let mut failed = Vec::new();
    if array.null_count() > column.null_count() {
        failed.extend((0..array.len()).filter(|&row| array.is_null(row) && column.is_valid(row)));
    }
    Ok(Converted { array, failed })
}

/// Counts of a unit since 1970 as timestamps, rounded down.
fn micros(counts: &Int64Array, unit: TimeUnit) -> Converted {
    let mut failed = Vec::new();
    let micros = counts.values().iter().enumerate().map(|(row, &count)| {
        epoch_micros(count, unit).unwrap_or_else(|| {
            if counts.is_valid(row) {
                failed.push(row);
            }
            0
        })
    });
    let values = micros.collect::<Vec<i64>>();
    let array = TimestampMicrosecondArray::new(values.into(), counts.nulls().cloned()).with_timezone(UTC);
    Converted { array: Arc::new(array), failed }
}

fn structs(column: &StructArray, fields: &Fields) -> Result<Converted> {
    let mut failed = Vec::new();
    let mut children = Vec::with_capacity(fields.len());
    for field in fields {
        let child = column.column_by_name(field.name()).ok_or_else(|| Error::internal(format!("no field `{}` to read", field.name())))?;
        let child = converted(child, field.data_type())?;
        failed.extend(child.failed.into_iter().filter(|&row| column.is_valid(row)));
        children.push(child.array);
    }
    failed.sort_unstable();
    failed.dedup();
    Ok(Converted { array: Arc::new(StructArray::try_new(fields.clone(), children, column.nulls().cloned())?), failed })
}

fn lists(column: &ListArray, item: &FieldRef) -> Result<Converted> {
    let offsets = column.offsets();
    let values = converted(column.values(), item.data_type())?;
    let list_of = |value: usize| offsets.partition_point(|&offset| offset as usize <= value).checked_sub(1);
    let mut failed: Vec<usize> =
        values.failed.into_iter().filter_map(list_of).filter(|&row| row < column.len() && column.is_valid(row)).collect();
    failed.dedup();
    Ok(Converted { array: Arc::new(ListArray::try_new(item.clone(), offsets.clone(), values.array, column.nulls().cloned())?), failed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::schema::ColumnSpec;
    use crate::file_source::parquet::readable;
    use arrow::array::{
        Array, BinaryArray, Date32Array, Int32Array, Int64Array, MapBuilder, StringBuilder, TimestampNanosecondArray, TimestampSecondArray,
    };
    use arrow::array::{Int64Builder, LargeListArray, StringArray};
    use arrow::buffer::OffsetBuffer;

    fn read(column: ArrayRef, wanted: &str) -> Converted {
        let spec = ColumnSpec::parse("c", wanted).unwrap();
        assert!(readable(column.data_type(), &spec), "{} as {wanted}", column.data_type());
        let read = convert(&column, &spec.column_type).unwrap();
        assert_eq!(read.array.data_type(), &spec.column_type.data_type);
        read
    }

    #[test]
    fn timestamps_of_all_units_are_rounded_down() {
        let nanos = Arc::new(TimestampNanosecondArray::from(vec![Some(-1), Some(1999), None]).with_timezone("Europe/Berlin"));
        let of = |read: &Converted| read.array.as_primitive::<TimestampMicrosecondType>().iter().collect::<Vec<_>>();
        assert_eq!(of(&read(nanos, "timestamp")), [Some(-1), Some(1), None]);
        let seconds = read(Arc::new(TimestampSecondArray::from(vec![Some(2), Some(i64::MAX), None])), "timestamp");
        assert_eq!((of(&seconds)[0], of(&seconds)[2], seconds.failed), (Some(2_000_000), None, vec![1]));
        let epochs = read(Arc::new(Int32Array::from(vec![-1, 7])), "timestamp(ms)");
        assert_eq!(of(&epochs), [Some(-1000), Some(7000)]);
    }

    #[test]
    fn what_is_in_no_year_of_text_fails() {
        let end = RFC3339_MICROS.end() + 1;
        let times = TimestampMicrosecondArray::from(vec![Some(end - 1), Some(end), None, Some(RFC3339_MICROS.start() - 1)]);
        let times: ArrayRef = Arc::new(times.with_timezone(UTC));
        assert_eq!(read(times.clone(), "timestamp").failed, [1, 3]);
        let dates = Date32Array::from(vec![Some(-719_163), Some(-719_162), Some(2_932_896), Some(2_932_897), None, Some(i32::MAX)]);
        assert_eq!(read(Arc::new(dates), "date").failed, [0, 3, 5]);
        let field = Arc::new(Field::new("item", times.data_type().clone(), true));
        let list = ListArray::new(field, OffsetBuffer::new(vec![0, 1, 3, 4].into()), times, None);
        assert_eq!(read(Arc::new(list), "list<timestamp>").failed, [1, 2]);
    }

    #[test]
    fn numbers_that_do_not_fit_fail() {
        let counts = Arc::new(Int64Array::from(vec![Some(70_000), Some(-5), None]));
        let small = read(counts.clone(), "smallint");
        assert_eq!((small.failed, small.array.null_count()), (vec![0], 2));
        assert_eq!(read(counts.clone(), "decimal(6, 2)").failed, [0]);
        assert_eq!(shown(&(counts as ArrayRef), 0), "70000");
    }

    #[test]
    fn what_fails_inside_fails_the_row() {
        let times = Arc::new(TimestampSecondArray::from(vec![1, i64::MAX, 2, 3]));
        let field = Arc::new(Field::new("element", times.data_type().clone(), false));
        let list = LargeListArray::new(field, OffsetBuffer::new(vec![0i64, 1, 1, 3, 4].into()), times, None);
        assert_eq!(read(Arc::new(list), "list<timestamp not null>").failed, [2]);
    }

    #[test]
    fn structs_go_by_name_and_maps_are_lists_of_entries() {
        let fields = Fields::from(vec![
            Field::new("b", DataType::Utf8, true),
            Field::new("other", DataType::Binary, true),
            Field::new("a", DataType::Int32, false),
        ]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![Some("x"), None])),
            Arc::new(BinaryArray::from(vec![None, None])),
            Arc::new(Int32Array::from(vec![1, 2])),
        ];
        let read_struct = read(Arc::new(StructArray::new(fields, columns, None)), "struct<a: bigint not null, b: string>");
        assert_eq!(shown(&read_struct.array, 0), "{a: 1, b: x}");
        let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
        map.keys().append_value("k");
        map.values().append_value(5);
        map.append(true).unwrap();
        map.append(false).unwrap();
        let map = read(Arc::new(map.finish()), "list<struct<keys: string not null, values: bigint>>");
        assert_eq!((shown(&map.array, 0).as_str(), map.array.is_null(1)), ("[{keys: k, values: 5}]", true));
    }
}

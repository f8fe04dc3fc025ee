//! What the columns of Parquet files are here, and what else they can be read as.

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, Fields, IntervalUnit, TimeUnit};
use millstream_api::types::{SqlName, TimestampForm, is_json, json_field, timestamp_type};

use crate::decode::schema::ColumnSpec;

/// The type that a column has when none is declared; none when there is no such type here.
pub(crate) fn sql_type(found: &DataType) -> Option<DataType> {
    Some(match found {
        DataType::Boolean => DataType::Boolean,
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => DataType::Int16,
        DataType::UInt16 | DataType::Int32 => DataType::Int32,
        DataType::UInt32 | DataType::Int64 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 | DataType::Float32 => DataType::Float32,
        DataType::Float64 => DataType::Float64,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale)
            if *precision <= DECIMAL128_MAX_PRECISION && (0..=*precision as i8).contains(scale) =>
        {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::BinaryView,
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, _) => timestamp_type(),
        DataType::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Dictionary(_, values) => sql_type(values)?,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) | DataType::Map(item, _) => {
            DataType::List(Arc::new(inner("item", item)?))
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| inner(field.name(), field)).collect::<Option<Fields>>()?),
        _ => return None,
    })
}

/// The field of a type inside another.
fn inner(name: &str, found: &Field) -> Option<Field> {
    let field = Field::new(name, sql_type(found.data_type())?, found.is_nullable());
    Some(if is_json(found) { json_field(field) } else { field })
}

/// Whether a column of this type can be read as declared: every value exactly, or it is a bad row. Integers become double as JSON's
/// do. Within lists and structs only what always fits.
pub(crate) fn readable(found: &DataType, wanted: &ColumnSpec) -> bool {
    match wanted.column_type.timestamp {
        TimestampForm::Epoch(_) => whole_digits(found).is_some(),
        TimestampForm::Rfc3339 => fits(found, &wanted.column_type.data_type, true),
    }
}

/// `some`: it is enough that some values fit.
fn fits(found: &DataType, wanted: &DataType, some: bool) -> bool {
    match (found, wanted) {
        (DataType::Dictionary(_, values), _) => fits(values, wanted, some),
        (DataType::Null, _) => true,
        (_, DataType::Int16 | DataType::Int32 | DataType::Int64) => match (whole_digits(found), whole_digits(wanted)) {
            (Some(_), _) if some => true,
            (Some(_), Some(_)) => widens(found, wanted),
            _ => false,
        },
        (DataType::Float16 | DataType::Float32, DataType::Float32 | DataType::Float64) | (DataType::Float64, DataType::Float64) => true,
        (_, DataType::Float64) => whole_digits(found).is_some(),
        (_, DataType::Decimal128(precision, scale)) => match (decimal(found), whole_digits(found)) {
            (Some((p, s)), _) => s <= *scale && (some || i16::from(p) - i16::from(s) <= i16::from(*precision) - i16::from(*scale)),
            (None, Some(digits)) => some || digits <= i16::from(*precision) - i16::from(*scale),
            (None, None) => false,
        },
        (
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) | DataType::Map(item, _),
            DataType::List(to),
        ) => inner_fits(item, to),
        (DataType::Struct(from), DataType::Struct(to)) => {
            to.iter().all(|to| from.iter().any(|from| from.name() == to.name() && inner_fits(from, to)))
        }
        _ => sql_type(found).as_ref() == Some(wanted),
    }
}

fn inner_fits(found: &Field, wanted: &Field) -> bool {
    (wanted.is_nullable() || !found.is_nullable()) && fits(found.data_type(), wanted.data_type(), false)
}

/// How many decimal digits an integer of this type has at most.
fn whole_digits(found: &DataType) -> Option<i16> {
    Some(match found {
        DataType::Int8 | DataType::UInt8 => 3,
        DataType::Int16 | DataType::UInt16 => 5,
        DataType::Int32 | DataType::UInt32 => 10,
        DataType::Int64 => 19,
        DataType::UInt64 => 20,
        _ => return None,
    })
}

/// Whether every integer of one type is one of the other.
fn widens(found: &DataType, wanted: &DataType) -> bool {
    let own = sql_type(found).and_then(|own| own.primitive_width().filter(|_| own.is_integer()));
    own.zip(wanted.primitive_width()).is_some_and(|(own, wanted)| own <= wanted)
}

fn decimal(found: &DataType) -> Option<(u8, i8)> {
    match found {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

/// How to name a type in a message.
pub(crate) fn sql_name(data_type: &DataType) -> String {
    SqlName(data_type).to_string()
}

/// How the user has named the type of a column.
pub(crate) fn declared(column: &ColumnSpec) -> String {
    match column.column_type.timestamp {
        TimestampForm::Epoch(TimeUnit::Second) => "timestamp(s)".to_owned(),
        TimestampForm::Epoch(TimeUnit::Millisecond) => "timestamp(ms)".to_owned(),
        TimestampForm::Epoch(TimeUnit::Microsecond) => "timestamp(us)".to_owned(),
        TimestampForm::Epoch(TimeUnit::Nanosecond) => "timestamp(ns)".to_owned(),
        TimestampForm::Rfc3339 => sql_name(&column.column_type.data_type),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn can_read(found: &DataType, wanted: &str) -> bool {
        readable(found, &ColumnSpec::parse("c", wanted).unwrap())
    }

    fn list(item: DataType, nullable: bool) -> DataType {
        DataType::List(Arc::new(Field::new("element", item, nullable)))
    }

    #[test]
    fn a_type_of_its_own_can_always_be_read() {
        let types = [
            DataType::UInt8,
            DataType::UInt64,
            DataType::Float16,
            DataType::Decimal256(30, 4),
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            DataType::Timestamp(TimeUnit::Second, None),
            DataType::Interval(IntervalUnit::YearMonth),
            list(DataType::Struct(Fields::from(vec![Field::new("a", DataType::Date64, true)])), false),
        ];
        for found in types {
            let own = sql_type(&found).unwrap();
            assert!(can_read(&found, &SqlName(&own).to_string()), "{found}");
            assert!(sql_type(&own).is_some_and(|again| again == own), "{found}");
        }
        let values = DataType::List(Arc::new(json_field(Field::new("element", DataType::Utf8, true))));
        assert_eq!(sql_type(&values).map(|own| SqlName(&own).to_string()), Some("list<json>".to_owned()));
        assert_eq!(sql_type(&DataType::Time64(TimeUnit::Nanosecond)), None);
        assert_eq!(sql_type(&DataType::Decimal256(60, 4)), None);
    }

    #[test]
    fn what_may_lose_something_is_refused() {
        for (found, wanted, can) in [
            (DataType::Int64, "smallint", true),
            (DataType::Int64, "decimal(4, 2)", true),
            (DataType::Int64, "double", true),
            (DataType::Int64, "real", false),
            (DataType::Int64, "string", false),
            (DataType::Int64, "timestamp", false),
            (DataType::UInt32, "timestamp(s)", true),
            (DataType::Float64, "real", false),
            (DataType::Float64, "bigint", false),
            (DataType::Float64, "decimal(10, 2)", false),
            (DataType::Decimal128(10, 2), "decimal(4, 2)", true),
            (DataType::Decimal128(10, 2), "decimal(10, 1)", false),
            (DataType::Utf8View, "json", true),
            (DataType::Utf8View, "timestamp", false),
            (DataType::Date32, "timestamp", false),
            (list(DataType::Int32, true), "list<bigint>", true),
            (list(DataType::Int64, true), "list<int>", false),
            (list(DataType::UInt32, true), "list<int>", false),
            (list(DataType::Int32, true), "list<int not null>", false),
            (list(DataType::Int32, false), "list<decimal(12, 2)>", true),
            (list(DataType::Int32, false), "list<decimal(11, 2)>", false),
        ] {
            assert_eq!(can_read(&found, wanted), can, "{found} as {wanted}");
        }
    }
}

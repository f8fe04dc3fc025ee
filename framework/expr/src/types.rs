//! Which types a column of a stream may have, and what SQL calls them.
//!
//! DataFusion's functions give whatever Arrow type suits them; streams hold only the types of `millstream_api::types`. What
//! leaves an expression goes through [`stream_type`].

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, FieldRef, IntervalUnit};
use datafusion_sql::sqlparser::ast::{ArrayElemTypeDef, DataType as SqlType, ExactNumberInfo};
use millstream_api::types::timestamp_type;

/// The type that a value of this Arrow type has in a stream; `None` when it has no place there.
pub(crate) fn stream_type(found: &DataType) -> Option<DataType> {
    Some(match found {
        DataType::Boolean
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(_, _)
        | DataType::Utf8View
        | DataType::BinaryView
        | DataType::Date32
        | DataType::Interval(IntervalUnit::MonthDayNano) => found.clone(),
        DataType::Int8 => DataType::Int16,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::BinaryView,
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, _) => timestamp_type(),
        DataType::Interval(_) | DataType::Duration(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::Decimal256(p, s) => DataType::Decimal128((*p).min(DECIMAL128_MAX_PRECISION), *s),
        DataType::Dictionary(_, value) => stream_type(value)?,
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) | DataType::FixedSizeList(item, _) => {
            DataType::List(Arc::new(stream_field(item)?.as_ref().clone().with_name("item")))
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(stream_field).collect::<Option<_>>()?),
        _ => return None,
    })
}

/// What a function or operator should give in place of this type: our form of times, and numbers with a sign. `None` where it
/// is right as it is, and for types that only a column must not have.
pub(crate) fn ours(found: &DataType) -> Option<DataType> {
    let temporal = matches!(found, DataType::Timestamp(_, _) | DataType::Duration(_) | DataType::Interval(_) | DataType::Date64);
    stream_type(found).filter(|ours| (temporal || found.is_unsigned_integer()) && ours != found)
}

fn stream_field(field: &FieldRef) -> Option<FieldRef> {
    // What says that texts are JSON stays.
    Some(Arc::new(field.as_ref().clone().with_data_type(stream_type(field.data_type())?)))
}

/// The names of types, to suggest one.
pub(crate) const TYPE_NAMES: [&str; 13] =
    ["boolean", "smallint", "int", "bigint", "real", "double", "decimal", "string", "bytes", "date", "timestamp", "interval", "integer"];

/// The Arrow type of a type that is named in a cast or a typed literal; the error says what to write instead.
pub(crate) fn named_type(name: &SqlType) -> Result<DataType, String> {
    Ok(match name {
        SqlType::Boolean | SqlType::Bool => DataType::Boolean,
        SqlType::SmallInt(None) | SqlType::Int2(None) => DataType::Int16,
        SqlType::Int(None) | SqlType::Integer(None) | SqlType::Int4(None) => DataType::Int32,
        SqlType::BigInt(None) | SqlType::Int8(None) => DataType::Int64,
        SqlType::Real | SqlType::Float4 => DataType::Float32,
        SqlType::Double(ExactNumberInfo::None) | SqlType::DoublePrecision | SqlType::Float8 | SqlType::Float(ExactNumberInfo::None) => {
            DataType::Float64
        }
        SqlType::Decimal(size) | SqlType::Numeric(size) | SqlType::Dec(size) => decimal(*size)?,
        SqlType::String(None) | SqlType::Text | SqlType::Varchar(None) | SqlType::CharacterVarying(None) | SqlType::JSON => {
            DataType::Utf8View
        }
        SqlType::String(_) | SqlType::Varchar(_) | SqlType::CharacterVarying(_) | SqlType::Char(_) | SqlType::Character(_) => {
            return Err("strings have no length; write string, and left(…, n) to cut it".to_owned());
        }
        SqlType::Bytes(None) | SqlType::Bytea => DataType::BinaryView,
        SqlType::Date => DataType::Date32,
        SqlType::Timestamp(None, _) | SqlType::Datetime(None) => timestamp_type(),
        SqlType::Timestamp(_, _) | SqlType::Datetime(_) | SqlType::TimestampNtz(_) => {
            return Err("a timestamp always has microseconds; write timestamp, and date_trunc('second', …) to cut it".to_owned());
        }
        SqlType::Interval { .. } => DataType::Interval(IntervalUnit::MonthDayNano),
        SqlType::Array(ArrayElemTypeDef::AngleBracket(item) | ArrayElemTypeDef::SquareBracket(item, None)) => {
            DataType::List(Arc::new(Field::new("item", named_type(item)?, true)))
        }
        _ => {
            return Err(
                "there are boolean, smallint, int, bigint, real, double, decimal(p,s), string, bytes, date, timestamp and interval"
                    .to_owned(),
            );
        }
    })
}

fn decimal(size: ExactNumberInfo) -> Result<DataType, String> {
    let (precision, scale) = match size {
        ExactNumberInfo::None => (38, 10),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(p), Ok(s)) if (1..=DECIMAL128_MAX_PRECISION).contains(&p) && (0..=p as i8).contains(&s) => Ok(DataType::Decimal128(p, s)),
        _ => Err("write decimal(p, s) with 1 ≤ p ≤ 38 and 0 ≤ s ≤ p".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn whatever_comes_out_becomes_a_type_of_ours() {
        for (found, wanted) in [
            (DataType::UInt64, DataType::Int64),
            (DataType::Utf8, DataType::Utf8View),
            (DataType::Timestamp(TimeUnit::Nanosecond, None), timestamp_type()),
            (DataType::Duration(TimeUnit::Microsecond), DataType::Interval(IntervalUnit::MonthDayNano)),
            (DataType::new_list(DataType::Utf8, true), DataType::new_list(DataType::Utf8View, true)),
        ] {
            assert_eq!(stream_type(&found), Some(wanted));
        }
        assert_eq!(stream_type(&DataType::Null), None);
        assert_eq!(stream_type(&DataType::Time64(TimeUnit::Nanosecond)), None);
    }
}

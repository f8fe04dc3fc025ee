//! Single values of rows in tests: read from the file by the column's type, compared, and shown.
//!
//! Rows of tests are few and are looked at one by one, so a value is an object here, as nowhere on the data path.

use std::fmt;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Field, Fields, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampMicrosecondType,
};
use millstream_api::time::{civil_from_days, rfc3339};
use millstream_api::types::{SqlName, TimestampForm, is_json, timestamp_type};
use serde_json::Value as Json;

/// A value of one column of one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// No value.
    Null,
    /// True or false.
    Boolean(bool),
    /// Any of the integer types.
    Integer(i64),
    /// A real or double.
    Double(f64),
    /// A decimal: the number without its point, and the digits behind it.
    Decimal(i128, i8),
    /// Text.
    Text(String),
    /// A value of a column of JSON, written as what it is and not as its text.
    Json(Json),
    /// Bytes; written in hexadecimal.
    Bytes(Vec<u8>),
    /// Days since 1970.
    Date(i32),
    /// Microseconds since 1970.
    Timestamp(i64),
    /// Months, days and nanoseconds.
    Interval(IntervalMonthDayNano),
    /// A list.
    List(Vec<Cell>),
    /// Fields with their names.
    Struct(Vec<(String, Cell)>),
}

/// How near two numbers with fractions must be to count as the same, relative to their size above one.
const TOLERANCE: f64 = 1e-9;

impl Cell {
    /// What the file says, as a value of this column. `form` is how the column writes timestamps.
    ///
    /// # Errors
    /// What the value should have been.
    pub(crate) fn read(json: &Json, field: &Field, form: TimestampForm) -> Result<Cell, String> {
        let data_type = field.data_type();
        let read = match (data_type, json) {
            (_, Json::Null) => Some(Cell::Null),
            (DataType::Utf8View, Json::String(text)) => Some(Cell::Text(text.clone())),
            (_, json) if is_json(field) => Some(Cell::Json(json.clone())),
            (DataType::Boolean, Json::Bool(flag)) => Some(Cell::Boolean(*flag)),
            (DataType::Int8, Json::Number(number)) => number.as_i64().filter(|n| i8::try_from(*n).is_ok()).map(Cell::Integer),
            (DataType::Int16, Json::Number(number)) => number.as_i64().filter(|n| i16::try_from(*n).is_ok()).map(Cell::Integer),
            (DataType::Int32, Json::Number(number)) => number.as_i64().filter(|n| i32::try_from(*n).is_ok()).map(Cell::Integer),
            (DataType::Int64, Json::Number(number)) => number.as_i64().map(Cell::Integer),
            (DataType::Float32, json) => double(json).map(|number| Cell::Double(f64::from(number as f32))),
            (DataType::Float64, json) => double(json).map(Cell::Double),
            (DataType::Decimal128(precision, scale), Json::Number(number)) => decimal(&number.to_string(), *precision, *scale),
            (DataType::Decimal128(precision, scale), Json::String(text)) => decimal(text, *precision, *scale),
            (DataType::BinaryView, Json::String(text)) => bytes(text),
            (DataType::Timestamp(..), Json::Number(number)) => number.as_i64().and_then(|count| epoch(count, form)),
            (DataType::Timestamp(..) | DataType::Date32 | DataType::Interval(_), Json::String(text)) => in_words(text, data_type),
            (DataType::List(item), Json::Array(items)) => {
                let items = items.iter().map(|json| Cell::read(json, item, TimestampForm::Rfc3339));
                return Ok(Cell::List(items.collect::<Result<_, _>>()?));
            }
            (DataType::Struct(fields), Json::Object(map)) => return structure(fields, map),
            _ => None,
        };
        read.ok_or_else(|| format!("{}, not {}", wanted(data_type, form), shown(json)))
    }

    /// Whether both are the same value. Numbers with fractions may differ in what rounding leaves.
    pub fn same(&self, other: &Cell) -> bool {
        match (self, other) {
            (Cell::Double(a), Cell::Double(b)) => {
                a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1.0)
            }
            (Cell::Json(json), Cell::Text(text)) | (Cell::Text(text), Cell::Json(json)) => {
                serde_json::from_str::<Json>(text).is_ok_and(|other| other == *json)
            }
            (Cell::List(a), Cell::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b)),
            (Cell::Struct(a), Cell::Struct(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && a.1.same(&b.1)),
            (a, b) => a == b,
        }
    }

    /// The value as JSON, as a test writes it.
    pub fn to_json(&self) -> Json {
        match self {
            Cell::Null => Json::Null,
            Cell::Boolean(flag) => Json::Bool(*flag),
            Cell::Integer(number) => Json::from(*number),
            Cell::Double(number) if number.is_finite() => Json::from(*number),
            Cell::Json(json) => json.clone(),
            Cell::List(items) => Json::Array(items.iter().map(Cell::to_json).collect()),
            Cell::Struct(fields) => Json::Object(fields.iter().map(|(name, cell)| (name.clone(), cell.to_json())).collect()),
            other => Json::String(other.text()),
        }
    }

    /// The text of a value that is written as text.
    fn text(&self) -> String {
        match self {
            Cell::Double(number) => number.to_string(),
            Cell::Decimal(value, scale) => decimal_text(*value, *scale),
            Cell::Text(text) => text.clone(),
            Cell::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            Cell::Date(days) => {
                let (year, month, day) = civil_from_days(i64::from(*days));
                format!("{year:04}-{month:02}-{day:02}")
            }
            Cell::Timestamp(micros) => rfc3339(*micros),
            Cell::Interval(interval) => interval_text(*interval),
            other => other.to_json().to_string(),
        }
    }
}

/// As TOML writes it: what a test would say. Null, which TOML can't say, is `null`.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Null => f.write_str("null"),
            Cell::Boolean(flag) => write!(f, "{flag}"),
            Cell::Integer(number) => write!(f, "{number}"),
            Cell::Double(number) if number.is_nan() => f.write_str("nan"),
            Cell::Double(number) if number.is_infinite() => f.write_str(if *number > 0.0 { "inf" } else { "-inf" }),
            Cell::Double(number) => write!(f, "{number:?}"),
            Cell::Json(json) => write!(f, "{json}"),
            Cell::List(items) => {
                let items: Vec<String> = items.iter().map(Cell::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Cell::Struct(fields) => {
                let fields: Vec<String> = fields.iter().map(|(name, cell)| format!("{} = {cell}", key_text(name))).collect();
                write!(f, "{{ {} }}", fields.join(", "))
            }
            other => write!(f, "{}", Json::String(other.text())),
        }
    }
}

/// A key as TOML writes it.
pub(crate) fn key_text(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { name.to_owned() } else { Json::from(name).to_string() }
}

/// How a message calls what a value should be.
fn wanted(data_type: &DataType, form: TimestampForm) -> String {
    let how = match (data_type, form) {
        (DataType::Timestamp(..), TimestampForm::Rfc3339) => " like \"2013-01-01T10:17:00Z\"",
        (DataType::Timestamp(..), TimestampForm::Epoch(_)) => " like \"2013-01-01T10:17:00Z\" or a number as in the source's schema",
        (DataType::Date32, _) => " like \"2013-01-01\"",
        (DataType::Interval(_), _) => " like \"1 day 2 hours\"",
        (DataType::BinaryView, _) => " in hexadecimal",
        _ => "",
    };
    format!("{}{how}", SqlName(data_type))
}

fn shown(json: &Json) -> String {
    match json {
        Json::Array(_) => "a list".to_owned(),
        Json::Object(_) => "a table".to_owned(),
        other => millstream_api::error::shortened(&other.to_string()),
    }
}

fn double(json: &Json) -> Option<f64> {
    match json {
        Json::Number(number) => number.as_f64(),
        // JSON has no such numbers, and TOML's become these texts on the way.
        Json::String(text) => match text.as_str() {
            "nan" | "NaN" => Some(f64::NAN),
            "inf" => Some(f64::INFINITY),
            "-inf" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

/// A decimal that fits without rounding.
fn decimal(text: &str, precision: u8, scale: i8) -> Option<Cell> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let unsigned = whole.strip_prefix('-').unwrap_or(whole);
    if unsigned.is_empty() || !unsigned.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let shift = i32::from(scale).checked_add(exponent)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let power = 10i128.checked_pow(shift.unsigned_abs());
    let value = match (digits, power) {
        (0, _) => 0,
        (digits, Some(power)) if shift >= 0 => digits.checked_mul(power)?,
        (digits, Some(power)) if digits % power == 0 => digits / power,
        _ => return None,
    };
    let fits = value.unsigned_abs() < 10u128.checked_pow(u32::from(precision))?;
    fits.then_some(Cell::Decimal(value, scale))
}

fn decimal_text(value: i128, scale: i8) -> String {
    let scale = usize::from(scale.unsigned_abs());
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let (sign, point) = (if value < 0 { "-" } else { "" }, if scale > 0 { "." } else { "" });
    format!("{sign}{whole}{point}{fraction}")
}

fn bytes(text: &str) -> Option<Cell> {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    let pairs = digits.chunks(2).map(|pair| Some(pair.first()? << 4 | pair.get(1)?));
    pairs.collect::<Option<_>>().map(Cell::Bytes)
}

fn epoch(count: i64, form: TimestampForm) -> Option<Cell> {
    let micros = match form {
        TimestampForm::Rfc3339 => return None,
        TimestampForm::Epoch(TimeUnit::Second) => count.checked_mul(1_000_000)?,
        TimestampForm::Epoch(TimeUnit::Millisecond) => count.checked_mul(1_000)?,
        TimestampForm::Epoch(TimeUnit::Microsecond) => count,
        TimestampForm::Epoch(TimeUnit::Nanosecond) => count.div_euclid(1_000),
    };
    Some(Cell::Timestamp(micros))
}

/// Times, dates and intervals, as Arrow reads them.
fn in_words(text: &str, data_type: &DataType) -> Option<Cell> {
    let target = if matches!(data_type, DataType::Timestamp(..)) { timestamp_type() } else { data_type.clone() };
    let array = cast_with_options(&StringArray::from(vec![text]), &target, &CastOptions::default()).ok()?;
    if array.is_null(0) {
        return None;
    }
    Some(match target {
        DataType::Timestamp(..) => Cell::Timestamp(array.as_primitive::<TimestampMicrosecondType>().value(0)),
        DataType::Date32 => Cell::Date(array.as_primitive::<Date32Type>().value(0)),
        DataType::Interval(IntervalUnit::MonthDayNano) => Cell::Interval(array.as_primitive::<IntervalMonthDayNanoType>().value(0)),
        _ => return None,
    })
}

fn interval_text(interval: IntervalMonthDayNano) -> String {
    let array: ArrayRef = std::sync::Arc::new(arrow::array::IntervalMonthDayNanoArray::from(vec![interval]));
    let text = cast_with_options(&array, &DataType::Utf8, &CastOptions::default());
    match text {
        Ok(text) if !text.as_string::<i32>().value(0).is_empty() => text.as_string::<i32>().value(0).to_owned(),
        _ => "0 days".to_owned(),
    }
}

/// A struct; fields that are not named are null.
fn structure(fields: &Fields, map: &serde_json::Map<String, Json>) -> Result<Cell, String> {
    if let Some(unknown) = map.keys().find(|key| fields.find(key).is_none()) {
        return Err(format!("{}, which has no field `{unknown}`", SqlName(&DataType::Struct(fields.clone()))));
    }
    let cells = fields.iter().map(|field| {
        let json = map.get(field.name()).unwrap_or(&Json::Null);
        Ok((field.name().clone(), Cell::read(json, field, TimestampForm::Rfc3339)?))
    });
    Ok(Cell::Struct(cells.collect::<Result<_, String>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, kind: &str) -> Result<Cell, String> {
        let column = millstream_api::types::ColumnType::parse(kind).unwrap();
        Cell::read(&serde_json::from_str(json).unwrap(), &Field::new("c", column.data_type, true), column.timestamp)
    }

    #[test]
    fn values_are_read_by_type_and_shown_as_they_are_written() {
        for (json, kind, shown) in [
            ("true", "boolean", "true"),
            ("-7", "smallint", "-7"),
            ("9223372036854775807", "bigint", "9223372036854775807"),
            ("2", "double", "2.0"),
            ("\"nan\"", "double", "nan"),
            ("0.1", "real", "0.10000000149011612"),
            ("12.5", "decimal(10, 2)", "\"12.50\""),
            ("\"-0.05\"", "decimal(10, 2)", "\"-0.05\""),
            ("1e2", "decimal(10, 2)", "\"100.00\""),
            ("\"a\\\"b\"", "string", "\"a\\\"b\""),
            ("\"00fF\"", "bytes", "\"00ff\""),
            ("\"2013-01-31\"", "date", "\"2013-01-31\""),
            ("\"2013-01-01T10:17:00+01:00\"", "timestamp", "\"2013-01-01T09:17:00Z\""),
            ("1500", "timestamp(ms)", "\"1970-01-01T00:00:01.500Z\""),
            ("\"1970-01-01T00:00:02Z\"", "timestamp(ms)", "\"1970-01-01T00:00:02Z\""),
            ("[1, null]", "list<int>", "[1, null]"),
            ("{\"b\": \"x\"}", "struct<a: int, b: string>", "{ a = null, b = \"x\" }"),
            ("[\"x\", {\"a\": [1]}]", "list<json>", "[\"x\", {\"a\":[1]}]"),
            ("null", "bigint", "null"),
        ] {
            let cell = read(json, kind).unwrap();
            assert_eq!(cell.to_string(), shown, "{json} as {kind}");
            assert!(cell.same(&read(&cell.to_json().to_string(), kind).unwrap()), "{json} as {kind}");
        }
    }

    #[test]
    fn intervals_are_read_again_as_they_are_shown() {
        for text in ["1 day 2 hours", "3 months", "-5 minutes", "0 days", "1.5 seconds"] {
            let cell = read(&format!("\"{text}\""), "interval").unwrap();
            assert_eq!(read(&cell.to_json().to_string(), "interval").unwrap(), cell, "{text}");
        }
    }

    #[test]
    fn a_value_of_another_type_says_what_is_wanted() {
        for (json, kind, message) in [
            ("\"two\"", "bigint", "bigint, not \"two\""),
            ("1.5", "bigint", "bigint, not 1.5"),
            ("40000", "smallint", "smallint, not 40000"),
            ("12.345", "decimal(10, 2)", "decimal(10,2), not 12.345"),
            ("\"yesterday\"", "timestamp", "timestamp like \"2013-01-01T10:17:00Z\", not \"yesterday\""),
            ("17", "timestamp", "timestamp like \"2013-01-01T10:17:00Z\", not 17"),
            ("\"fff\"", "bytes", "bytes in hexadecimal, not \"fff\""),
            ("{\"c\": 1}", "struct<a: int>", "struct<a: int>, which has no field `c`"),
            ("[1]", "int", "int, not a list"),
        ] {
            assert_eq!(read(json, kind).unwrap_err(), message, "{json} as {kind}");
        }
    }

    #[test]
    fn fractions_are_the_same_but_for_rounding() {
        assert!(Cell::Double(0.1 + 0.2).same(&Cell::Double(0.3)));
        assert!(!Cell::Double(0.3001).same(&Cell::Double(0.3)));
        assert!(Cell::List(vec![Cell::Double(f64::NAN)]).same(&Cell::List(vec![Cell::Double(f64::NAN)])));
        assert!(!Cell::Null.same(&Cell::Integer(0)));
    }
}

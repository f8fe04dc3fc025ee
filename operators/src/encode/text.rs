//! The text of single values that is the same in all formats: numbers, dates, timestamps, intervals, bytes.
//!
//! A timestamp is RFC 3339 in UTC exactly as [`millstream_api::time::rfc3339`] prints it, a decimal has all digits of its
//! scale, an interval is in words, bytes are hexadecimal. Nothing here quotes or escapes.

use std::cell::Cell;
use std::io::Write;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, DecimalType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use millstream_api::time::{civil_from_days, rfc3339};
use millstream_api::types::timestamp_type;
use millstream_api::{Error, Result};
use serde::Serialize;

use super::WriteValue;

const DAY_US: i64 = 86_400_000_000;

/// How a value's text is to be treated by a format that quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A number or boolean: JSON has it bare.
    Bare,
    /// Text of our own making that never needs an escape (a timestamp).
    Plain,
    /// A finite number is bare, anything else is not a JSON number.
    Float,
}

/// A writer for the not-null values of a column of a type with a fixed text; `None` for strings and nested types, which
/// each format writes its own way.
pub(crate) fn fixed_text<'a>(array: &'a dyn Array) -> Option<(Kind, WriteValue<'a>)> {
    Some(match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean();
            (Kind::Bare, Box::new(move |row, out: &mut Vec<u8>| out.extend_from_slice(if values.value(row) { b"true" } else { b"false" })))
        }
        DataType::Int8 => number::<Int8Type>(array),
        DataType::Int16 => number::<Int16Type>(array),
        DataType::Int32 => number::<Int32Type>(array),
        DataType::Int64 => number::<Int64Type>(array),
        DataType::UInt8 => number::<UInt8Type>(array),
        DataType::UInt16 => number::<UInt16Type>(array),
        DataType::UInt32 => number::<UInt32Type>(array),
        DataType::UInt64 => number::<UInt64Type>(array),
        DataType::Float32 => float::<Float32Type>(array),
        DataType::Float64 => float::<Float64Type>(array),
        DataType::Decimal128(_, _) => decimal::<Decimal128Type>(array),
        DataType::Decimal256(_, _) => decimal::<Decimal256Type>(array),
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>();
            (Kind::Plain, Box::new(move |row, out| write_date(i64::from(values.value(row)), out)))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let values = array.as_primitive::<TimestampMicrosecondType>();
            let writer = TimestampWriter::default();
            (Kind::Plain, Box::new(move |row, out| writer.write(values.value(row), out)))
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let values = array.as_primitive::<IntervalMonthDayNanoType>();
            (Kind::Plain, Box::new(move |row, out| write_interval(values.value(row), out)))
        }
        DataType::BinaryView => {
            let values = array.as_binary_view();
            (Kind::Plain, Box::new(move |row, out| write_hex(values.value(row), out)))
        }
        _ => return None,
    })
}

/// A column in the type that streams have for it: expressions and custom operators may give a variant of it.
pub(crate) fn canonical(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(match array.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Dictionary(_, _) => cast(array, &DataType::Utf8View)?,
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => cast(array, &DataType::BinaryView)?,
        DataType::Date64 => cast(array, &DataType::Date32)?,
        DataType::Timestamp(unit, _) if *unit != TimeUnit::Microsecond => cast(array, &timestamp_type())?,
        DataType::Interval(unit) if *unit != IntervalUnit::MonthDayNano => cast(array, &DataType::Interval(IntervalUnit::MonthDayNano))?,
        DataType::Float16 => cast(array, &DataType::Float32)?,
        DataType::LargeList(item) | DataType::FixedSizeList(item, _) => cast(array, &DataType::List(item.clone()))?,
        _ => array.clone(),
    })
}

/// The failure of a format that has no text for a type.
pub(crate) fn no_text(data_type: &DataType) -> Error {
    Error::internal(format!("there is no text form for values of type {data_type}"))
}

/// Appends what serde_json writes for a number or a string.
pub(crate) fn write_json<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    // Writing these to memory cannot fail: there is no I/O, no map with odd keys, no custom serializer.
    let _ = serde_json::to_writer(out, value);
}

fn number<'a, T: ArrowPrimitiveType>(array: &'a dyn Array) -> (Kind, WriteValue<'a>)
where
    T::Native: Serialize,
{
    let values = array.as_primitive::<T>();
    (Kind::Bare, Box::new(move |row, out| write_json(&values.value(row), out)))
}

fn float<'a, T: ArrowPrimitiveType>(array: &'a dyn Array) -> (Kind, WriteValue<'a>)
where
    T::Native: Serialize + Into<f64>,
{
    let values = array.as_primitive::<T>();
    let write = move |row: usize, out: &mut Vec<u8>| {
        let value = values.value(row);
        match value.into() {
            finite if finite.is_finite() => write_json(&value, out),
            nan if nan.is_nan() => out.extend_from_slice(b"NaN"),
            infinite => out.extend_from_slice(if infinite > 0.0 { b"inf" } else { b"-inf" }),
        }
    };
    (Kind::Float, Box::new(write))
}

fn decimal<'a, T: DecimalType>(array: &'a dyn Array) -> (Kind, WriteValue<'a>) {
    let values = array.as_primitive::<T>();
    (Kind::Bare, Box::new(move |row, out| out.extend_from_slice(values.value_as_string(row).as_bytes())))
}

/// Writes timestamps; remembers the text of the last date, since rows that follow each other are mostly of one day.
#[derive(Default)]
struct TimestampWriter {
    last: Cell<Option<(i64, [u8; 10])>>,
}

impl TimestampWriter {
    fn write(&self, micros: i64, out: &mut Vec<u8>) {
        let Some(date) = self.date(micros.div_euclid(DAY_US)) else {
            return out.extend_from_slice(rfc3339(micros).as_bytes());
        };
        let in_day = micros.rem_euclid(DAY_US);
        let seconds = in_day / 1_000_000;
        out.extend_from_slice(&date);
        for (mark, value) in [(b'T', seconds / 3600), (b':', seconds / 60 % 60), (b':', seconds % 60)] {
            out.push(mark);
            write_digits(value, 2, out);
        }
        match in_day % 1_000_000 {
            0 => {}
            fraction => {
                out.push(b'.');
                if fraction % 1000 == 0 { write_digits(fraction / 1000, 3, out) } else { write_digits(fraction, 6, out) }
            }
        }
        out.push(b'Z');
    }

    /// The ten bytes of a date; `None` outside the years 0 to 9999, where a date is longer.
    fn date(&self, days: i64) -> Option<[u8; 10]> {
        if let Some((known, text)) = self.last.get()
            && known == days
        {
            return Some(text);
        }
        let mut text = Vec::with_capacity(10);
        write_date(days, &mut text);
        let text: [u8; 10] = text.try_into().ok()?;
        self.last.set(Some((days, text)));
        Some(text)
    }
}

fn write_date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil_from_days(days);
    if (0..=9999).contains(&year) {
        write_digits(year, 4, out);
    } else {
        // Writing to memory cannot fail.
        let _ = write!(out, "{year:+05}");
    }
    out.push(b'-');
    write_digits(i64::from(month), 2, out);
    out.push(b'-');
    write_digits(i64::from(day), 2, out);
}

/// The last `count` decimal digits of a number that is not negative.
fn write_digits(mut value: i64, count: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + count, b'0');
    for digit in out[start..].iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// The parts of an interval that are not zero, in words: `14 months 2 days 1 hour 1.5 seconds`. Each of the three counts
/// behind it has its own sign, and so has each part. The decoders read it back.
fn write_interval(value: IntervalMonthDayNano, out: &mut Vec<u8>) {
    let seconds = value.nanoseconds / 1_000_000_000;
    let whole_parts =
        [(i64::from(value.months), "month"), (i64::from(value.days), "day"), (seconds / 3600, "hour"), (seconds / 60 % 60, "minute")];
    let mut parts: Vec<String> =
        whole_parts.iter().filter(|(count, _)| *count != 0).map(|(count, unit)| counted(&count.to_string(), unit)).collect();
    let rest = value.nanoseconds % 60_000_000_000;
    if rest != 0 || parts.is_empty() {
        let sign = if rest < 0 { "-" } else { "" };
        let (whole, fraction) = (rest.unsigned_abs() / 1_000_000_000, rest.unsigned_abs() % 1_000_000_000);
        let digits = if fraction == 0 { String::new() } else { format!(".{fraction:09}").trim_end_matches('0').to_owned() };
        parts.push(counted(&format!("{sign}{whole}{digits}"), "second"));
    }
    out.extend_from_slice(parts.join(" ").as_bytes());
}

fn counted(count: &str, unit: &str) -> String {
    let plural = if count == "1" { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

/// Lower-case hexadecimal, as the decoders read it.
fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

#[cfg(test)]
mod tests {
    use arrow::compute::kernels::cast_utils::parse_interval_month_day_nano;
    use proptest::prelude::*;

    use super::*;

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn timestamps_are_those_of_the_api(times in proptest::collection::vec(any::<i64>(), 1..20), near in any::<i32>()) {
            let writer = TimestampWriter::default();
            for time in times.into_iter().chain([i64::from(near), i64::from(near) * 1000, i64::from(near) * 1_000_000]) {
                prop_assert_eq!(text(|out| writer.write(time, out)), rfc3339(time));
            }
        }
    }

    #[test]
    fn intervals_are_words_that_read_back() {
        for (months, days, nanoseconds, shown) in [
            (0, 0, 0, "0 seconds"),
            (14, 0, 0, "14 months"),
            (0, 2, 3_600_000_000_000, "2 days 1 hour"),
            (0, 0, 61_500_000_000, "1 minute 1.5 seconds"),
            (-1, 3, -500_000_000, "-1 months 3 days -0.5 seconds"),
        ] {
            let interval = IntervalMonthDayNano::new(months, days, nanoseconds);
            assert_eq!(text(|out| write_interval(interval, out)), shown);
            assert_eq!(parse_interval_month_day_nano(shown).unwrap(), interval, "{shown}");
        }
    }

    #[test]
    fn bytes_are_hexadecimal() {
        assert_eq!(text(|out| write_hex(&[0x00, 0xfb, 0x0a], out)), "00fb0a");
    }

    #[test]
    fn dates_outside_four_digit_years_keep_their_sign() {
        assert_eq!(text(|out| write_date(0, out)), "1970-01-01");
        assert_eq!(text(|out| write_date(-719_529, out)), "-0001-12-31");
        assert_eq!(text(|out| write_date(2_932_897, out)), "+10000-01-01");
    }
}

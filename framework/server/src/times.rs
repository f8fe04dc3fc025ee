//! Timestamps and dates as JSON texts, also beyond the calendar that Arrow's own writer knows (it writes broken JSON there).

use arrow::array::types::{Date32Type, TimestampMicrosecondType};
use arrow::array::{Array, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, FieldRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::writer::NullableEncoder;
use arrow::json::{Encoder, EncoderFactory, EncoderOptions};
use millstream_api::time::{civil_from_days, rfc3339};

/// Takes the place of Arrow's encoders for timestamps in microseconds and for dates, at any depth.
#[derive(Debug)]
pub struct Times;

impl EncoderFactory for Times {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let encoder: Box<dyn Encoder + 'a> = match array.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
                Box::new(Text { array: array.as_primitive::<TimestampMicrosecondType>(), text: rfc3339 })
            }
            DataType::Date32 => Box::new(Text { array: array.as_primitive::<Date32Type>(), text: date }),
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

/// Writes each value as a text that needs no escapes.
struct Text<'a, T: ArrowPrimitiveType> {
    array: &'a PrimitiveArray<T>,
    text: fn(T::Native) -> String,
}

impl<T: ArrowPrimitiveType> Encoder for Text<'_, T> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        out.push(b'"');
        out.extend_from_slice((self.text)(self.array.value(row)).as_bytes());
        out.push(b'"');
    }
}

/// `2013-01-01`; years outside 0..=9999 with a sign, as in timestamps.
fn date(days: i32) -> String {
    let (year, month, day) = civil_from_days(i64::from(days));
    let year = if (0..=9999).contains(&year) { format!("{year:04}") } else { format!("{year:+05}") };
    format!("{year}-{month:02}-{day:02}")
}

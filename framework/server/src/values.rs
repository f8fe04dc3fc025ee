//! Values whose JSON Arrow's own writer does not know: timestamps and dates, also beyond its calendar (it writes broken JSON there), and
//! columns of JSON, which are written as what they are.

use arrow::array::types::{Date32Type, TimestampMicrosecondType};
use arrow::array::{Array, ArrowPrimitiveType, AsArray, PrimitiveArray, StringViewArray};
use arrow::datatypes::{DataType, FieldRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::writer::NullableEncoder;
use arrow::json::{Encoder, EncoderFactory, EncoderOptions};
use millstream_api::time::{civil_from_days, rfc3339};
use millstream_api::types::{is_json, write_json_value};

/// Takes the place of Arrow's encoders for timestamps in microseconds and for dates, at any depth, and for columns of JSON.
#[derive(Debug)]
pub struct Values;

impl EncoderFactory for Values {
    fn make_default_encoder<'a>(
        &self,
        field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let encoder: Box<dyn Encoder + 'a> = match array.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
                Box::new(Text { array: array.as_primitive::<TimestampMicrosecondType>(), text: rfc3339 })
            }
            DataType::Date32 => Box::new(Text { array: array.as_primitive::<Date32Type>(), text: date }),
            DataType::Utf8View if is_json(field) => Box::new(Raw(array.as_string_view())),
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

/// Writes texts that are JSON as the values that they are.
struct Raw<'a>(&'a StringViewArray);

impl Encoder for Raw<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        write_json_value(self.0.value(row), out);
    }
}

/// `2013-01-01`; years outside 0..=9999 with a sign, as in timestamps.
fn date(days: i32) -> String {
    let (year, month, day) = civil_from_days(i64::from(days));
    let year = if (0..=9999).contains(&year) { format!("{year:04}") } else { format!("{year:+05}") };
    format!("{year}-{month:02}-{day:02}")
}

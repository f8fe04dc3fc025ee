//! Scalar values from their text, exactly or not at all.
//!
//! The rules are the same for JSON numbers, JSON strings and CSV fields; which of them a column takes is the format's affair.

use arrow::datatypes::DECIMAL128_MAX_PRECISION;
use millstream_api::types::TimestampForm;

use super::column::Values;
use super::instant::{epoch_micros, parse_date, parse_interval, parse_timestamp};

/// Whether a JSON string may stand for a value of this type (a string column aside).
pub(crate) fn takes_text(values: &Values) -> bool {
    matches!(
        values,
        Values::Decimal(..) | Values::Date(_) | Values::Timestamp(_, TimestampForm::Rfc3339) | Values::Interval(_) | Values::Binary(_)
    )
}

/// Whether a JSON number may stand for a value of this type.
pub(crate) fn takes_number(values: &Values) -> bool {
    matches!(
        values,
        Values::Int16(_)
            | Values::Int32(_)
            | Values::Int64(_)
            | Values::Float32(_)
            | Values::Float64(_)
            | Values::Decimal(..)
            | Values::Timestamp(_, TimestampForm::Epoch(_))
    )
}

/// Adds the value that `text` stands for; `None` when it is none of the type, or out of its range. Nothing is added then.
pub(crate) fn append_scalar(values: &mut Values, text: &str) -> Option<()> {
    match values {
        Values::Boolean(v) => v.append(parse_boolean(text)?),
        Values::Int16(v) => v.push(text.parse().ok()?),
        Values::Int32(v) => v.push(text.parse().ok()?),
        Values::Int64(v) => v.push(text.parse().ok()?),
        Values::Float32(v) => v.push(text.parse().ok().filter(|value: &f32| value.is_finite() || names_no_number(text))?),
        Values::Float64(v) => v.push(text.parse().ok().filter(|value: &f64| value.is_finite() || names_no_number(text))?),
        Values::Decimal(v, precision, scale) => v.push(parse_decimal(text, *precision, *scale)?),
        Values::Date(v) => v.push(parse_date(text.as_bytes())?),
        Values::Timestamp(v, TimestampForm::Rfc3339) => v.push(parse_timestamp(text.as_bytes())?),
        Values::Timestamp(v, TimestampForm::Epoch(unit)) => v.push(epoch_micros(text.parse().ok()?, *unit)?),
        Values::Interval(v) => v.push(parse_interval(text)?),
        Values::String(v) => v.push(text.as_bytes()),
        Values::Binary(v) => v.push(&parse_hex(text)?),
        Values::Json(_) | Values::List { .. } | Values::Struct(..) => return None,
    }
    Some(())
}

/// Whether a text that reads as a double is `inf` or `NaN` and not a number that is too great. JSON has no such words.
fn names_no_number(text: &str) -> bool {
    !text.bytes().any(|byte| byte.is_ascii_digit())
}

fn parse_boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// Bytes as hexadecimal text, with or without the `\x` that PostgreSQL writes before it.
fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("\\x").unwrap_or(text).as_bytes();
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    pairs.iter().map(|&[high, low]| Some((digit(high)? * 16 + digit(low)?) as u8)).collect()
}

/// The unscaled value of a decimal number; `None` when it is not exactly a decimal(precision, scale).
fn parse_decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    if !all_digits || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let unscaled =
        whole.bytes().chain(fraction.bytes()).try_fold(0i128, |sum, digit| sum.checked_mul(10)?.checked_add(i128::from(digit - b'0')))?;
    let shift = i64::from(scale) + i64::from(exponent) - i64::try_from(fraction.len()).ok()?;
    let value = shifted(unscaled, shift)?;
    (value < 10i128.pow(u32::from(precision.min(DECIMAL128_MAX_PRECISION)))).then_some(if negative { -value } else { value })
}

/// `value` times ten to the power of `shift`, if that is a whole number that fits.
fn shifted(value: i128, shift: i64) -> Option<i128> {
    if value == 0 {
        return Some(0);
    }
    let factor = 10i128.checked_pow(u32::try_from(shift.unsigned_abs()).ok()?)?;
    if shift >= 0 { value.checked_mul(factor) } else { (value % factor == 0).then_some(value / factor) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimals_are_exact_or_refused() {
        for (text, value) in [
            ("12.34", Some(1234)),
            ("-12.3", Some(-1230)),
            ("12.3400000000000000000000000000000000000000", Some(1234)),
            ("1234e-2", Some(1234)),
            ("1.2E1", Some(1200)),
            ("0e999999", Some(0)),
            ("12.345", None),
            ("1e-3", None),
            ("99999", None),
            ("999.99", Some(99999)),
            ("1e40", None),
            ("", None),
            (".", None),
            ("1.2.3", None),
            ("1 ", None),
            ("nan", None),
        ] {
            assert_eq!(parse_decimal(text, 5, 2), value, "{text}");
        }
    }

    #[test]
    fn bytes_are_hexadecimal() {
        assert_eq!(parse_hex("00ffA1"), Some(vec![0, 255, 161]));
        assert_eq!(parse_hex("\\xff"), Some(vec![255]));
        assert_eq!((parse_hex("0"), parse_hex("zz"), parse_hex("é")), (None, None, None));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert!(append_scalar(&mut Values::Float64(vec![]), "1e999").is_none());
        assert!(append_scalar(&mut Values::Float64(vec![]), "-inf").is_some());
        assert!(append_scalar(&mut Values::Float32(vec![]), "1e39").is_none());
        assert!(append_scalar(&mut Values::Int16(vec![]), "32768").is_none());
        assert!(append_scalar(&mut Values::Int64(vec![]), "9223372036854775807").is_some());
        assert!(append_scalar(&mut Values::Int64(vec![]), "9223372036854775808").is_none());
        assert!(append_scalar(&mut Values::Int64(vec![]), "1.0").is_none());
    }

    proptest! {
        #[test]
        fn a_decimal_reads_what_was_written(value in -10i128.pow(20)..10i128.pow(20), scale in 0i8..20) {
            let factor = 10i128.pow(scale as u32);
            let sign = if value < 0 { "-" } else { "" };
            let text = format!("{sign}{}.{:0width$}", value.abs() / factor, value.abs() % factor, width = scale as usize);
            prop_assert_eq!(parse_decimal(text.trim_end_matches('.'), 38, scale), Some(value));
        }
    }
}

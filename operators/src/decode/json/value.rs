//! Single values where the scanner has come to one: over it, or into its column.
//!
//! The usual forms (a number, a string without escapes, a word) are read here. All others go to the general decoder, which is given the value, or
//! the line from there on, and says where it ends. What follows a value is not looked at, except where a number would go on: the layout
//! compares it.

use millstream_api::types::TimestampForm;

use super::cursor::Cursor;
use super::row::append_value;
use crate::decode::column::{Column, Values};
use crate::decode::instant::epoch_micros;
use crate::decode::marks::Marks;
use crate::decode::number::{integer, integer_end, number_end, signed_integer};
use crate::decode::text::{append_scalar, takes_number};

/// A text of whole lines in valid UTF-8, and what is marked in it: quotes, backslashes and control characters.
#[derive(Debug)]
pub(super) struct Text<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) marks: &'a Marks,
}

impl<'a> Text<'a> {
    /// The place of the closing quote of a string without escapes that opens at byte `at`.
    #[inline(always)]
    fn plain_string(&self, at: u32) -> Option<u32> {
        if self.bytes.get(at as usize) != Some(&b'"') {
            return None;
        }
        let end = self.marks.next(at + 1)?;
        (self.bytes.get(end as usize) == Some(&b'"')).then_some(end)
    }

    /// The bytes between the quotes.
    #[inline(always)]
    fn inside(&self, open: u32, close: u32) -> Option<&'a [u8]> {
        self.bytes.get(open as usize + 1..close as usize)
    }

    /// What the general decoder must see of the value at byte `at`: it alone where its end is known without reading it, else the rest of the
    /// line without the line's end.
    fn value_at(&self, at: u32) -> Option<&'a str> {
        let rest = self.bytes.get(at as usize..)?;
        let length = match rest.first()? {
            b'"' => self.plain_string(at).map(|close| (close + 1 - at) as usize),
            b'-' | b'0'..=b'9' => rest.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')),
            _ => None,
        };
        let length = length.or_else(|| memchr::memchr(b'\n', rest)).unwrap_or(rest.len());
        std::str::from_utf8(&rest[..length]).ok()
    }
}

/// Goes over the value at byte `at` and gives its end; `None` when it is not well-formed.
#[inline(always)]
pub(super) fn skip(text: &Text<'_>, at: u32) -> Option<u32> {
    if let Some(end) = text.plain_string(at) {
        return Some(end + 1);
    }
    match integer_end(text.bytes, at) {
        // Else it may go on as a number of another form.
        Some(end) if matches!(text.bytes.get(end as usize), Some(b',' | b'}')) => Some(end),
        _ => skip_unusual(text, at),
    }
}

#[inline(never)]
fn skip_unusual(text: &Text<'_>, at: u32) -> Option<u32> {
    if let Some(end) = number_end(text.bytes, at) {
        return Some(end);
    }
    let rest = text.bytes.get(at as usize..)?;
    if let Some(word) = [&b"null"[..], b"true", b"false"].into_iter().find(|word| rest.starts_with(word)) {
        return Some(at + word.len() as u32);
    }
    let mut cursor = Cursor::inside_object(text.value_at(at)?);
    cursor.skip_value().ok()?;
    Some(at + cursor.position() as u32)
}

/// Adds the value at byte `at` to its column and gives its end; `None` when it does not fit.
#[inline(always)]
pub(super) fn read(text: &Text<'_>, at: u32, column: &mut Column) -> Option<u32> {
    match read_usual(text, at, column) {
        Some(end) => Some(end),
        None => read_unusual(text, at, column),
    }
}

/// The forms that nearly all values of the common types have.
#[inline(always)]
fn read_usual(text: &Text<'_>, at: u32, column: &mut Column) -> Option<u32> {
    match &mut column.values {
        Values::Int64(v) => {
            let (value, end) = integer(text.bytes, at)?;
            v.push(value);
            Some(end)
        }
        Values::String(v) => {
            let close = text.plain_string(at)?;
            v.push(text.inside(at, close)?);
            Some(close + 1)
        }
        Values::Timestamp(v, TimestampForm::Epoch(unit)) => {
            let (value, end) = integer(text.bytes, at)?;
            v.push(epoch_micros(value, *unit)?);
            Some(end)
        }
        Values::Timestamp(v, TimestampForm::Rfc3339) => {
            let close = text.plain_string(at)?;
            v.push(column.last_date.timestamp(text.inside(at, close)?)?);
            Some(close + 1)
        }
        Values::Int32(v) => {
            let (value, end) = integer(text.bytes, at)?;
            v.push(i32::try_from(value).ok()?);
            Some(end)
        }
        _ => None,
    }
}

#[inline(never)]
fn read_unusual(text: &Text<'_>, at: u32, column: &mut Column) -> Option<u32> {
    if let Some(end) = read_signed(text, at, &mut column.values) {
        return Some(end);
    }
    let rest = text.bytes.get(at as usize..)?;
    if takes_number(&column.values)
        && let Some(end) = number_end(text.bytes, at)
    {
        let number = std::str::from_utf8(rest.get(..(end - at) as usize)?).ok()?;
        return append_scalar(&mut column.values, number).map(|()| end);
    }
    if rest.starts_with(b"null") {
        return column.append_null().ok().map(|()| at + 4);
    }
    if let Values::Boolean(v) = &mut column.values {
        let value = rest.starts_with(b"true");
        if !value && !rest.starts_with(b"false") {
            return None;
        }
        v.append(value);
        return Some(at + if value { 4 } else { 5 });
    }
    let mut cursor = Cursor::inside_object(text.value_at(at)?);
    append_value(&mut cursor, column).ok()?;
    Some(at + cursor.position() as u32)
}

/// Integers with a sign, and those at the end of the text.
fn read_signed(text: &Text<'_>, at: u32, values: &mut Values) -> Option<u32> {
    match values {
        Values::Int64(v) => {
            let (value, end) = signed_integer(text.bytes, at)?;
            v.push(value);
            Some(end)
        }
        Values::Int32(v) => {
            let (value, end) = signed_integer(text.bytes, at)?;
            v.push(i32::try_from(value).ok()?);
            Some(end)
        }
        _ => None,
    }
}

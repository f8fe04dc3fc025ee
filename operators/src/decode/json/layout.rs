//! The learned-layout scanner: lines of one input nearly always have the same keys in the same order.
//!
//! From a line that the general decoder has taken, the keys and the punctuation between the values are learned as plain bytes.
//! On later lines these are compared, not parsed, and each value is read where it must stand. A value that is not of the usual
//! form (an escape, a fraction, null) is read by the general decoder from there; anything else that is unexpected ends the
//! attempt, the caller takes the row back and hands the line to the general decoder, which also has the reason if it is bad.
//! (After Mison, Li et al., VLDB 2017: speculative parsing, and checked, not trusted.)
//!
//! The scanner must never take a line that the general decoder would not, nor read it differently. It relies on the caller
//! for one thing: lines are valid UTF-8 without control characters.

use std::collections::VecDeque;

use millstream_api::types::TimestampForm;

use super::cursor::{Cursor, Syntax};
use super::row::append_value;
use crate::decode::column::{Column, ColumnSet, Values};
use crate::decode::instant::{epoch_micros, parse_timestamp};

/// A merged input has one layout for each kind of line.
const MAX_LAYOUTS: usize = 4;

/// Learning costs as much as decoding a few lines, so an input without regular layouts may do it for one line in eight only.
const LEARNING_COST: u32 = 8;
const MAX_CREDIT: u32 = 64;

/// Knows the layouts of an input.
#[derive(Debug)]
pub(crate) struct Scanner {
    /// The one used last comes first.
    layouts: VecDeque<Layout>,
    /// What may be spent on learning; each line adds one.
    credit: u32,
}

/// What a line looks like between its values.
#[derive(Debug)]
struct Layout {
    steps: Vec<Step>,
    /// The bytes after the last value.
    tail: Box<[u8]>,
    /// The columns that it has no key for; none of them is `not null`.
    absent: Vec<usize>,
}

/// One value and what stands before it.
#[derive(Debug)]
struct Step {
    /// From the end of the value before: punctuation, key, colon, space.
    before: Box<[u8]>,
    /// The column of the value; `None` when nobody wants it.
    column: Option<usize>,
}

impl Scanner {
    /// Knows nothing yet.
    pub(crate) fn new() -> Self {
        Scanner { layouts: VecDeque::with_capacity(MAX_LAYOUTS), credit: MAX_CREDIT }
    }

    /// Adds the line as a row, if it has a layout that is known; else the columns are as before.
    pub(crate) fn scan(&mut self, line: &[u8], columns: &mut ColumnSet) -> bool {
        self.credit = MAX_CREDIT.min(self.credit + 1);
        for index in 0..self.layouts.len() {
            if self.layouts[index].run(line, columns) {
                if index > 0
                    && let Some(used) = self.layouts.remove(index)
                {
                    self.layouts.push_front(used);
                }
                return true;
            }
        }
        false
    }

    /// Learns the layout of a line that the general decoder has taken.
    pub(crate) fn learn(&mut self, line: &str, columns: &ColumnSet) {
        if self.credit < LEARNING_COST {
            return;
        }
        self.credit -= LEARNING_COST;
        if let Ok(Some(layout)) = Layout::of(line, columns) {
            self.layouts.truncate(MAX_LAYOUTS - 1);
            self.layouts.push_front(layout);
        }
    }
}

impl Layout {
    /// The layout of a line; `None` when a key that is wanted comes twice.
    fn of(line: &str, columns: &ColumnSet) -> Result<Option<Layout>, Syntax> {
        let mut cursor = Cursor::new(line);
        let (mut steps, mut absent): (Vec<Step>, Vec<usize>) = (Vec::new(), (0..columns.columns.len()).collect());
        let (mut end, mut guess) = (0, 0);
        cursor.enter(b'{')?;
        if !cursor.eat(b'}') {
            loop {
                let key = cursor.string()?;
                cursor.expect(b':')?;
                cursor.peek();
                let before = line.as_bytes()[end..cursor.position()].into();
                let column = columns.find(&key, guess);
                if let Some(found) = column {
                    let Some(at) = absent.iter().position(|&index| index == found) else {
                        return Ok(None);
                    };
                    absent.remove(at);
                    guess = found + 1;
                }
                steps.push(Step { before, column });
                cursor.skip_value()?;
                end = cursor.position();
                if !cursor.more(b'}')? {
                    break;
                }
            }
        }
        Ok(Some(Layout { steps, tail: line.as_bytes()[end..].into(), absent }))
    }

    /// Adds the line as a row, if it has this layout; else the columns are as before.
    fn run(&self, line: &[u8], columns: &mut ColumnSet) -> bool {
        let rows = columns.len;
        let mut at = 0;
        for (index, step) in self.steps.iter().enumerate() {
            let value_at = at + step.before.len();
            let expected = line.get(at..value_at).is_some_and(|found| same(found, &step.before));
            let end = match step.column {
                _ if !expected => None,
                Some(column) => read_value(line, value_at, &mut columns.columns[column]),
                None => skip_value(line, value_at),
            };
            match end {
                Some(end) => at = end,
                None => return self.give_up(rows, index > 0 || expected, columns),
            }
        }
        if line[at..] != *self.tail {
            return self.give_up(rows, true, columns);
        }
        self.absent.iter().for_each(|&column| columns.columns[column].append_filler());
        columns.len += 1;
        true
    }

    /// Takes back what was written of a row.
    #[cold]
    fn give_up(&self, rows: usize, written: bool, columns: &mut ColumnSet) -> bool {
        if written {
            columns.truncate(rows);
        }
        false
    }
}

/// Whether two texts of the same length are equal. Most have 4 to 16 bytes, where comparing two words beats a call.
#[inline]
fn same(found: &[u8], expected: &[u8]) -> bool {
    match expected.len() {
        8..=16 => found.first_chunk::<8>() == expected.first_chunk() && found.last_chunk::<8>() == expected.last_chunk(),
        4..=7 => found.first_chunk::<4>() == expected.first_chunk() && found.last_chunk::<4>() == expected.last_chunk(),
        _ => found == expected,
    }
}

/// Goes over the value at byte `at` and gives its end; `None` when it is not well-formed.
#[inline]
fn skip_value(line: &[u8], at: usize) -> Option<usize> {
    if let Some(end) = plain_string(line, at) {
        return Some(end + 1);
    }
    if let Some((_, end)) = integer(line, at) {
        return Some(end);
    }
    let mut cursor = Cursor::inside_object(std::str::from_utf8(&line[at..]).ok()?);
    cursor.skip_value().ok()?;
    Some(at + cursor.position())
}

/// Adds the value at byte `at` to its column and gives its end; `None` when it does not fit.
#[inline]
fn read_value(line: &[u8], at: usize, column: &mut Column) -> Option<usize> {
    if let Some(end) = read_usual(line, at, &mut column.values) {
        return Some(end);
    }
    if line[at..].starts_with(b"null") {
        return column.append_null().ok().map(|()| at + 4);
    }
    let mut cursor = Cursor::inside_object(std::str::from_utf8(&line[at..]).ok()?);
    append_value(&mut cursor, column).ok()?;
    Some(at + cursor.position())
}

/// The forms that nearly all values of a type have.
#[inline]
fn read_usual(line: &[u8], at: usize, values: &mut Values) -> Option<usize> {
    match values {
        Values::Int64(v) => {
            let (value, end) = integer(line, at)?;
            v.push(value);
            Some(end)
        }
        Values::Int32(v) => {
            let (value, end) = integer(line, at)?;
            v.push(i32::try_from(value).ok()?);
            Some(end)
        }
        Values::Timestamp(v, TimestampForm::Epoch(unit)) => {
            let (value, end) = integer(line, at)?;
            v.push(epoch_micros(value, *unit)?);
            Some(end)
        }
        Values::Timestamp(v, TimestampForm::Rfc3339) => {
            let end = plain_string(line, at)?;
            v.push(parse_timestamp(&line[at + 1..end])?);
            Some(end + 1)
        }
        Values::String(v) => {
            let end = plain_string(line, at)?;
            v.push(&line[at + 1..end]);
            Some(end + 1)
        }
        _ => None,
    }
}

/// The place of the closing quote of a string without escapes that opens at byte `at`.
#[inline]
fn plain_string(line: &[u8], at: usize) -> Option<usize> {
    let (b'"', rest) = line.get(at..)?.split_first()? else {
        return None;
    };
    let length = memchr::memchr2(b'"', b'\\', rest)?;
    (rest[length] == b'"').then_some(at + 1 + length)
}

/// An integer of at most 16 digits and the byte after it, which must not make it another kind of number.
#[inline(always)]
fn integer(line: &[u8], at: usize) -> Option<(i64, usize)> {
    let negative = line.get(at) == Some(&b'-');
    let start = at + usize::from(negative);
    let (high, count) = up_to_eight_digits(line, start);
    let (value, end) = if count < 8 {
        (high, start + count)
    } else {
        let (low, more) = up_to_eight_digits(line, start + 8);
        (high * POWERS_OF_TEN[more] + low, start + 8 + more)
    };
    let leading_zero = count > 1 && line[start] == b'0';
    let usual = count > 0 && !leading_zero && !matches!(line.get(end), Some(b'0'..=b'9' | b'.' | b'e' | b'E'));
    // Sixteen digits fit.
    usual.then_some((if negative { -(value as i64) } else { value as i64 }, end))
}

const POWERS_OF_TEN: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The digits at byte `at`, eight at most, as a number, and how many there are. Works on all eight bytes at once: a step per
/// digit costs more than all the rest of a line, since how many there are can't be predicted.
#[inline(always)]
fn up_to_eight_digits(line: &[u8], at: usize) -> (u64, usize) {
    let rest = line.get(at..).unwrap_or_default();
    let word = match rest.first_chunk::<8>() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => rest.iter().rev().fold(0, |word, &byte| (word << 8) | u64::from(byte)),
    };
    // Each byte is now its digit; one of more than 9 gets its top bit set by the addition, or has it already.
    let digits = word ^ 0x3030_3030_3030_3030;
    let others = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080;
    let count = (others.trailing_zeros() / 8) as usize;
    if count == 0 {
        return (0, 0);
    }
    // The last digit goes to the top byte, zeros come in below; then pairs, fours and eights are joined.
    let aligned = digits << (64 - 8 * count);
    let pairs = aligned.wrapping_mul(10).wrapping_add(aligned >> 8);
    const MASK: u64 = 0x0000_00FF_0000_00FF;
    let upper = (pairs & MASK).wrapping_mul(0x000F_4240_0000_0064);
    let lower = ((pairs >> 16) & MASK).wrapping_mul(0x0000_2710_0000_0001);
    (upper.wrapping_add(lower) >> 32, count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_end_where_they_must() {
        assert_eq!(integer(b"12,", 0), Some((12, 2)));
        assert_eq!(integer(b"x-0}", 1), Some((0, 3)));
        assert_eq!(integer(b"1234567890123456", 0), Some((1_234_567_890_123_456, 16)));
        for unusual in ["", "-", "01", "-007", "1.5", "1e3", "12345678901234567", "x", "/", ":"] {
            assert_eq!(integer(unusual.as_bytes(), 0), None, "{unusual}");
        }
    }

    proptest! {
        #[test]
        fn integers_are_what_the_standard_library_says(text in "-?[0-9]{0,18}([/:,ap]|é)?[0-9]?") {
            let end = text.char_indices().find(|(at, c)| !(c.is_ascii_digit() || (*at == 0 && *c == '-'))).map_or(text.len(), |(at, _)| at);
            if let Some((value, found)) = integer(text.as_bytes(), 0) {
                prop_assert_eq!((Ok(value), found), (text[..end].parse(), end));
            } else {
                let digits = text[..end].trim_start_matches('-');
                prop_assert!(digits.is_empty() || digits.len() > 16 || (digits.len() > 1 && digits.starts_with('0')));
            }
        }
    }
}

//! What a line looks like between its values, and how a line is read that looks like that.
//!
//! Keys and the punctuation around them are plain bytes here, compared sixteen at a time. A line whose bytes are not those of the layout, or of which
//! a value does not fit, is given up, with the columns as they were before.

use super::cursor::{Cursor, Syntax};
use super::value::{Text, read, skip};
use crate::decode::column::ColumnSet;

/// What a line looks like between its values.
#[derive(Debug)]
pub(super) struct Layout {
    steps: Vec<Step>,
    /// The bytes after the last value.
    tail: Fixed,
    /// The columns that it has no key for; none of them is `not null`.
    absent: Vec<usize>,
}

/// One value and what stands before it.
#[derive(Debug)]
struct Step {
    /// From the end of the value before: punctuation, key, colon, space.
    before: Fixed,
    /// The column of the value; `None` when nobody wants it.
    column: Option<u32>,
}

/// Bytes that must stand at a place.
#[derive(Debug)]
struct Fixed {
    /// The first sixteen, and a mask with ones for those that there are.
    start: u128,
    mask: u128,
    length: u32,
    /// What comes after them.
    rest: Box<[u8]>,
}

impl Fixed {
    fn new(bytes: &[u8]) -> Self {
        let (first, rest) = bytes.split_at(bytes.len().min(16));
        let (mut start, mut mask) = ([0; 16], [0; 16]);
        start[..first.len()].copy_from_slice(first);
        mask[..first.len()].fill(0xff);
        let (start, mask) = (u128::from_le_bytes(start), u128::from_le_bytes(mask));
        Fixed { start, mask, length: bytes.len() as u32, rest: rest.into() }
    }

    /// The place after them, if they stand at byte `at`.
    #[inline(always)]
    fn after(&self, bytes: &[u8], at: u32) -> Option<u32> {
        let start = at as usize;
        let Some(found) = bytes.get(start..start + 16).and_then(|found| found.first_chunk()) else { return self.after_near_end(bytes, at) };
        let same = (u128::from_le_bytes(*found) ^ self.start) & self.mask == 0;
        (same && (self.rest.is_empty() || self.rest_is_at(bytes, start + 16))).then_some(at + self.length)
    }

    #[inline(never)]
    fn rest_is_at(&self, bytes: &[u8], at: usize) -> bool {
        bytes.get(at..).is_some_and(|found| found.starts_with(&self.rest))
    }

    /// The same where there are no sixteen bytes left.
    #[cold]
    fn after_near_end(&self, bytes: &[u8], at: u32) -> Option<u32> {
        let expected = self.start.to_le_bytes();
        let same = bytes.get(at as usize..)?.starts_with(expected.get(..self.length as usize)?);
        same.then_some(at + self.length)
    }
}

impl Layout {
    /// The layout of a line that the general decoder has taken; `None` when a key that is wanted comes twice.
    pub(super) fn of(line: &str, columns: &ColumnSet) -> Result<Option<Layout>, Syntax> {
        let mut cursor = Cursor::new(line);
        let (mut steps, mut absent): (Vec<Step>, Vec<usize>) = (Vec::new(), (0..columns.columns.len()).collect());
        let (mut end, mut guess) = (0, 0);
        cursor.enter(b'{')?;
        if !cursor.eat(b'}') {
            loop {
                let key = cursor.string()?;
                cursor.expect(b':')?;
                cursor.peek();
                let before = Fixed::new(&line.as_bytes()[end..cursor.position()]);
                let column = columns.find(&key, guess);
                if let Some(found) = column {
                    let Some(at) = absent.iter().position(|&index| index == found) else {
                        return Ok(None);
                    };
                    absent.remove(at);
                    guess = found + 1;
                }
                steps.push(Step { before, column: column.map(|column| column as u32) });
                cursor.skip_value()?;
                end = cursor.position();
                if !cursor.more(b'}')? {
                    break;
                }
            }
        }
        Ok(Some(Layout { steps, tail: Fixed::new(&line.as_bytes()[end..]), absent }))
    }

    /// Adds lines as rows, from the one at byte `at` on, as long as they have this layout, at most `most`. Gives how many there were and
    /// the place after them.
    pub(super) fn run(&self, text: &Text<'_>, at: u32, most: usize, columns: &mut ColumnSet) -> (usize, u32) {
        let (mut lines, mut at) = (0, at);
        while lines < most && (at as usize) < text.bytes.len() {
            let Some(end) = self.line(text, at, columns) else { break };
            columns.len += 1;
            lines += 1;
            at = end;
        }
        self.absent.iter().filter(|_| lines > 0).for_each(|&column| columns.columns[column].append_fillers(lines));
        // Of the line that was given up.
        columns.truncate(columns.len);
        (lines, at)
    }

    /// Adds the values of one line and gives the place after its end.
    #[inline(always)]
    fn line(&self, text: &Text<'_>, start: u32, columns: &mut ColumnSet) -> Option<u32> {
        let mut at = start;
        for step in &self.steps {
            at = step.before.after(text.bytes, at)?;
            at = match step.column {
                Some(column) => read(text, at, columns.columns.get_mut(column as usize)?)?,
                None => skip(text, at)?,
            };
        }
        at = self.tail.after(text.bytes, at)?;
        match text.bytes.get(at as usize..)? {
            [b'\n', ..] => Some(at + 1),
            [b'\r', b'\n', ..] => Some(at + 2),
            [] => Some(at),
            _ => None,
        }
    }
}

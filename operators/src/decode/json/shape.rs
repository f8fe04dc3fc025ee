//! What a line that the general decoder has taken says about others: its keys, what stands between its values, and the texts that may be the
//! same in all of them.

use super::cursor::{Cursor, Syntax};
use crate::decode::column::{ColumnSet, Values};

/// A text longer than this is hardly the same in many lines.
const MAX_SAME_BYTES: usize = 32;

/// What a line looks like between its values.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) values: Vec<Value>,
    /// The bytes after the last value.
    pub(super) tail: Box<[u8]>,
    /// The columns that it has no key for; none of them is `not null`.
    pub(super) absent: Vec<usize>,
}

/// Where a value stands and goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Value {
    /// From the end of the value before: punctuation, key, colon, space.
    pub(super) before: Box<[u8]>,
    /// The column of the value; `None` when nobody wants it.
    pub(super) column: Option<u32>,
}

/// A text without escapes, as a column of strings has it.
#[derive(Debug)]
pub(super) struct Same {
    /// Which value of the line it is.
    pub(super) value: usize,
    pub(super) column: usize,
    pub(super) text: Box<[u8]>,
}

/// The shape of a line, and the texts in it; `None` when a key that is wanted comes twice.
///
/// # Errors
/// When the line is not a JSON object.
pub(super) fn shape_of(line: &str, columns: &ColumnSet) -> Result<Option<(Shape, Vec<Same>)>, Syntax> {
    let mut cursor = Cursor::new(line);
    let (mut values, mut texts) = (Vec::new(), Vec::new());
    let mut absent: Vec<usize> = (0..columns.columns.len()).collect();
    let (mut end, mut guess) = (0, 0);
    cursor.enter(b'{')?;
    if !cursor.eat(b'}') {
        loop {
            let key = cursor.string()?;
            cursor.expect(b':')?;
            cursor.peek();
            let before = line.as_bytes()[end..cursor.position()].into();
            let column = columns.find(&key, guess);
            let found = cursor.skip_value()?;
            if let Some(column) = column {
                let Some(at) = absent.iter().position(|&index| index == column) else {
                    return Ok(None);
                };
                absent.remove(at);
                guess = column + 1;
                if let (Values::String(_), Some(text)) = (&columns.columns[column].values, plain(found)) {
                    texts.push(Same { value: values.len(), column, text: text.into() });
                }
            }
            values.push(Value { before, column: column.map(|column| column as u32) });
            end = cursor.position();
            if !cursor.more(b'}')? {
                break;
            }
        }
    }
    Ok(Some((Shape { values, tail: line.as_bytes()[end..].into(), absent }, texts)))
}

/// What is between the quotes of a short string without escapes.
fn plain(value: &str) -> Option<&[u8]> {
    let text = value.strip_prefix('"')?.strip_suffix('"')?;
    (text.len() <= MAX_SAME_BYTES && !text.contains('\\')).then_some(text.as_bytes())
}

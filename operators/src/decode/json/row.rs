//! The general JSON decoder: any well-formed object into columns, and a precise reason for anything else.

use super::cursor::{Cursor, Syntax};
use crate::decode::column::{Column, ColumnSet, Mismatch, Values};
use crate::decode::text::{append_scalar, takes_number, takes_text};

/// Adds the object that makes up a whole line. When it fails, part of the row has been written: cut it back.
pub(crate) fn append_line(line: &str, columns: &mut ColumnSet) -> Result<(), Mismatch> {
    let mut cursor = Cursor::new(line);
    if cursor.peek() != Some(b'{') {
        return Err(format!("{}; a row is one object on a line of its own", cursor.expected("an object")));
    }
    // What is printed over several lines begins like this.
    if line.trim_ascii() == "{" {
        return Err("the line has the beginning of an object only; a row is one object on a line of its own".to_owned());
    }
    append_object(&mut cursor, columns)?;
    cursor.end()
}

/// Adds an object as one row. Keys that are no column are checked and left out; of a key that comes twice the last one counts.
fn append_object(cursor: &mut Cursor<'_>, columns: &mut ColumnSet) -> Result<(), Mismatch> {
    let mut wrong: Vec<(usize, Mismatch)> = Vec::new();
    let mut next = 0;
    cursor.enter(b'{')?;
    if !cursor.eat(b'}') {
        loop {
            let key = cursor.string()?;
            cursor.expect(b':')?;
            match columns.find(&key, next) {
                Some(found) => {
                    wrong.retain(|(column, _)| *column != found);
                    columns.columns[found].truncate(columns.len);
                    if let Err(reason) = append_or_skip(cursor, &mut columns.columns[found])? {
                        wrong.push((found, reason));
                    }
                    next = found + 1;
                }
                None => drop(cursor.skip_value()?),
            }
            if !cursor.more(b'}')? {
                break;
            }
        }
    }
    cursor.leave();
    match wrong.into_iter().next() {
        Some((_, reason)) => Err(reason),
        None => columns.end_row(),
    }
}

/// Adds a value, or goes over it and says why it does not fit: the key may come again, and a line that is no JSON at all should
/// say so. The outer error is one of the text.
fn append_or_skip(cursor: &mut Cursor<'_>, column: &mut Column) -> Result<Result<(), Mismatch>, Syntax> {
    let before = cursor.clone();
    let written = append_value(cursor, column);
    if written.is_err() {
        *cursor = before;
        cursor.skip_value()?;
    }
    Ok(written)
}

/// Adds the next value of the line to a column.
pub(crate) fn append_value(cursor: &mut Cursor<'_>, column: &mut Column) -> Result<(), Mismatch> {
    let first = cursor.peek();
    if first == Some(b'n') {
        cursor.word("null")?;
        return column.append_null();
    }
    match (&mut column.values, first) {
        (Values::Json(values), _) => {
            let raw = cursor.skip_value()?;
            values.push(raw.as_bytes());
            Ok(())
        }
        (Values::List { .. }, Some(b'[')) => append_list(cursor, column),
        (Values::Struct(_, fields), Some(b'{')) => append_object(cursor, fields),
        (Values::String(values), Some(b'"')) => {
            values.push(cursor.string()?.as_bytes());
            Ok(())
        }
        (values, Some(b'"')) if takes_text(values) => {
            let start = cursor.position();
            let text = cursor.string()?;
            let raw = cursor.since(start);
            append_scalar(values, &text).ok_or_else(|| column.mismatch(raw))
        }
        (values, Some(b'-' | b'0'..=b'9')) if takes_number(values) => {
            let number = cursor.number()?;
            append_scalar(values, number).ok_or_else(|| column.mismatch(number))
        }
        (Values::Boolean(values), Some(b't')) => cursor.word("true").map(|()| values.append(true)),
        (Values::Boolean(values), Some(b'f')) => cursor.word("false").map(|()| values.append(false)),
        _ => {
            let found = cursor.skip_value()?;
            Err(column.mismatch(found))
        }
    }
}

fn append_list(cursor: &mut Cursor<'_>, column: &mut Column) -> Result<(), Mismatch> {
    let Values::List { offsets, item, .. } = &mut column.values else {
        return Ok(());
    };
    cursor.enter(b'[')?;
    if !cursor.eat(b']') {
        loop {
            append_value(cursor, item)?;
            if !cursor.more(b']')? {
                break;
            }
        }
    }
    cursor.leave();
    offsets.push(item.len() as i32);
    Ok(())
}

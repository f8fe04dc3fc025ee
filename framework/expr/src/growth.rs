//! `replace`, `regexp_replace`, `array_to_string` and `levenshtein`: what a row makes of two long texts is bounded.
//!
//! The texts may come from a record, and each place of one can become the whole of another: a record of 400 kB made a text of 40 GB.
//! A result may be as long as [`RESULT_LIMIT`](crate::bounded::RESULT_LIMIT), or [`GROWTH_LIMIT`] times what it is made of. Mostly the longest
//! texts of a batch tell that all rows are within it; only else are rows looked at.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_expr::ColumnarValue;
use regex::Regex;

use crate::bounded::RESULT_LIMIT;
use crate::physical::failure::RowFailure;
use crate::texts::{Texts, longest_bytes};

/// How many times longer than its text a result may be that is longer than any may.
const GROWTH_LIMIT: u64 = 16;

/// How many characters of the one text may be compared with those of the other.
const COMPARED_LIMIT: u64 = (16 * 1024) * (16 * 1024);

/// A failure if the result of a function on some row would be too long.
pub(crate) fn check(name: &str, arguments: &[ColumnarValue], rows: usize) -> Result<()> {
    match (name, arguments) {
        ("replace", [text, from, to]) => replaced(text, from, to, rows),
        ("regexp_replace", [text, pattern, to, flags @ ..]) => regexp_replaced(text, pattern, to, flags.first(), rows),
        ("array_to_string", [list, between @ ..]) => joined(list, between, rows),
        ("levenshtein", [one, other]) => compared(one, other, rows),
        _ => Ok(()),
    }
}

fn too_long(name: &str) -> Result<()> {
    Err(RowFailure(format!("the result of `{name}` is longer than 64 KiB and than {GROWTH_LIMIT} times its text")).into())
}

fn is_within(result: u64, text: u64) -> bool {
    result <= RESULT_LIMIT.unsigned_abs().max(GROWTH_LIMIT.saturating_mul(text))
}

fn replaced(text: &ColumnarValue, from: &ColumnarValue, to: &ColumnarValue, rows: usize) -> Result<()> {
    let longest = longest_bytes(to)?;
    // Each byte becomes so many at most.
    if longest <= GROWTH_LIMIT || longest.saturating_mul(longest_bytes(text)?) <= RESULT_LIMIT.unsigned_abs() {
        return Ok(());
    }
    let [text, from, to] = [text, from, to].map(Texts::of);
    let (text, from, to) = (text?, from?, to?);
    for row in 0..rows {
        let (Some(text), Some(from), Some(to)) = (text.at(row), from.at(row), to.at(row)) else { continue };
        let places = if from.is_empty() { 0 } else { text.matches(from).count() as u64 };
        if !is_within(text.len() as u64 + places.saturating_mul(to.len() as u64), text.len() as u64) {
            return too_long("replace");
        }
    }
    Ok(())
}

/// What is put in may name groups of what was found, each of which is no longer than that.
fn regexp_replaced(
    text: &ColumnarValue,
    pattern: &ColumnarValue,
    to: &ColumnarValue,
    flags: Option<&ColumnarValue>,
    rows: usize,
) -> Result<()> {
    let (longest, longest_text) = (longest_bytes(to)?, longest_bytes(text)?);
    let most = longest_text.saturating_add(1).saturating_mul(2 * longest + 1);
    if longest <= GROWTH_LIMIT / 4 || most <= RESULT_LIMIT.unsigned_abs() {
        return Ok(());
    }
    let [text, pattern, to] = [text, pattern, to].map(Texts::of);
    let (text, pattern, to) = (text?, pattern?, to?);
    let flags = flags.map(Texts::of).transpose()?;
    for row in 0..rows {
        let (Some(text), Some(pattern), Some(to)) = (text.at(row), pattern.at(row), to.at(row)) else { continue };
        let flags = flags.as_ref().and_then(|flags| flags.at(row)).unwrap_or_default();
        let (bytes, groups) = (text.len() as u64, to.matches(['$', '\\']).count() as u64);
        let most_places = if flags.contains('g') { bytes + 1 } else { 1 };
        let result = |places: u64| bytes + places.saturating_mul(to.len() as u64) + groups.saturating_mul(bytes);
        if is_within(result(most_places), bytes) {
            continue;
        }
        // Whoever replaces says what is wrong with a pattern.
        let Some(places) = places(text, pattern, flags) else { continue };
        if !is_within(result(places.min(most_places)), bytes) {
            return too_long("regexp_replace");
        }
    }
    Ok(())
}

fn places(text: &str, pattern: &str, flags: &str) -> Option<u64> {
    let flags = flags.replace('g', "");
    let regex = if flags.is_empty() { Regex::new(pattern) } else { Regex::new(&format!("(?{flags}){pattern}")) };
    Some(regex.ok()?.find_iter(text).count() as u64)
}

/// The items of a list with a text between them, or in the place of nulls.
fn joined(list: &ColumnarValue, between: &[ColumnarValue], rows: usize) -> Result<()> {
    let mut longest = 0;
    for text in between {
        longest = longest.max(longest_bytes(text)?);
    }
    if longest <= GROWTH_LIMIT {
        return Ok(());
    }
    let lists = list.to_array(rows)?;
    let between = between.iter().map(Texts::of).collect::<Result<Vec<_>>>()?;
    for row in 0..rows {
        let Some((items, bytes)) = items(&lists, row)? else { continue };
        let longest = between.iter().filter_map(|text| text.at(row)).map(|text| text.len() as u64).max().unwrap_or(0);
        if !is_within(items.saturating_mul(longest), bytes) {
            return too_long("array_to_string");
        }
    }
    Ok(())
}

/// How many items a list has, and how many bytes they have as text, at least.
fn items(lists: &ArrayRef, row: usize) -> Result<Option<(u64, u64)>> {
    let Some(lists) = lists.as_list_opt::<i32>().filter(|lists| lists.is_valid(row)) else { return Ok(None) };
    let items = lists.value(row);
    let bytes = match items.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let texts = cast(&items, &DataType::Utf8View)?;
            texts.as_string_view().iter().flatten().map(|text| text.len() as u64).sum()
        }
        _ => items.len() as u64,
    };
    Ok(Some((items.len() as u64, bytes)))
}

fn compared(one: &ColumnarValue, other: &ColumnarValue, rows: usize) -> Result<()> {
    if longest_bytes(one)?.saturating_mul(longest_bytes(other)?) <= COMPARED_LIMIT {
        return Ok(());
    }
    let (one, other) = (Texts::of(one)?, Texts::of(other)?);
    let bytes = |column: &Texts, row: usize| column.at(row).map_or(0, |text| text.len() as u64);
    if (0..rows).any(|row| bytes(&one, row).saturating_mul(bytes(&other, row)) > COMPARED_LIMIT) {
        return Err(RowFailure("the texts of `levenshtein` are longer than 16 KiB".to_owned()).into());
    }
    Ok(())
}

//! Compares rows as multisets: numbers to 1e-6, timestamps as instants.

use std::cmp::Ordering;

use chrono::{DateTime, NaiveDateTime};
use serde_json::Value;

/// How far apart two numbers may be and still count as the same, relative to their size above one.
const TOLERANCE: f64 = 1e-6;

/// Fails with what is different, if something is.
pub fn assert_same_rows(what: &str, actual: &[Value], expected: &[Value]) {
    if let Some(difference) = difference(actual, expected) {
        panic!("{what}: {difference}");
    }
}

/// What is different between two multisets of rows; `None` when they are the same.
pub fn difference(actual: &[Value], expected: &[Value]) -> Option<String> {
    let (actual, expected) = (sorted(actual), sorted(expected));
    if let Some((a, e)) = actual.iter().zip(&expected).find(|(a, e)| !same(a, e)) {
        return Some(format!("expected {}\n   found {}", shown(e), shown(a)));
    }
    let rest = |rows: &[Row], from: usize| rows[from..].iter().take(3).map(shown).collect::<Vec<_>>().join("\n");
    match actual.len().cmp(&expected.len()) {
        Ordering::Equal => None,
        Ordering::Less => Some(format!("{} rows, expected {}; missing:\n{}", actual.len(), expected.len(), rest(&expected, actual.len()))),
        Ordering::Greater => {
            Some(format!("{} rows, expected {}; too many:\n{}", actual.len(), expected.len(), rest(&actual, expected.len())))
        }
    }
}

/// A row with columns sorted by name, the ones that must be equal to the last digit apart from the fractions, so that
/// sorting puts two rows that are the same but for rounding in the same place.
struct Row {
    exact: Vec<(String, Cell)>,
    fractions: Vec<(String, f64)>,
}

#[derive(PartialEq, PartialOrd)]
enum Cell {
    Null,
    Boolean(bool),
    Number(f64),
    Instant(i64),
    Text(String),
}

fn sorted(rows: &[Value]) -> Vec<Row> {
    let mut rows: Vec<Row> = rows.iter().map(row).collect();
    rows.sort_by(|a, b| {
        a.exact
            .partial_cmp(&b.exact)
            .unwrap_or(Ordering::Equal)
            .then_with(|| a.fractions.partial_cmp(&b.fractions).unwrap_or(Ordering::Equal))
    });
    rows
}

fn row(value: &Value) -> Row {
    let columns = value.as_object().unwrap_or_else(|| panic!("not an object: {value}"));
    let mut row = Row { exact: Vec::new(), fractions: Vec::new() };
    for (name, value) in columns {
        match cell(value) {
            Cell::Number(number) if number.fract() != 0.0 => row.fractions.push((name.clone(), number)),
            cell => row.exact.push((name.clone(), cell)),
        }
    }
    row.exact.sort_by(|a, b| a.0.cmp(&b.0));
    row.fractions.sort_by(|a, b| a.0.cmp(&b.0));
    row
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Bool(value) => Cell::Boolean(*value),
        Value::Number(number) => Cell::Number(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => instant(text).map_or_else(|| Cell::Text(text.clone()), Cell::Instant),
        nested => Cell::Text(nested.to_string()),
    }
}

/// Microseconds since 1970, if the text is a timestamp; without an offset it is UTC.
fn instant(text: &str) -> Option<i64> {
    let with_offset = DateTime::parse_from_rfc3339(text).map(|time| time.timestamp_micros());
    let without = || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").map(|time| time.and_utc().timestamp_micros());
    with_offset.or_else(|_| without()).ok()
}

fn same(a: &Row, b: &Row) -> bool {
    let close = |(x, y): (&(String, f64), &(String, f64))| x.0 == y.0 && (x.1 - y.1).abs() <= TOLERANCE * x.1.abs().max(1.0);
    a.exact == b.exact && a.fractions.len() == b.fractions.len() && a.fractions.iter().zip(&b.fractions).all(close)
}

fn shown(row: &Row) -> String {
    let exact = row.exact.iter().map(|(name, cell)| match cell {
        Cell::Null => format!("{name}: null"),
        Cell::Boolean(value) => format!("{name}: {value}"),
        Cell::Number(value) => format!("{name}: {value}"),
        Cell::Instant(micros) => {
            format!("{name}: {}", DateTime::from_timestamp_micros(*micros).map(|t| t.to_rfc3339()).unwrap_or_default())
        }
        Cell::Text(text) => format!("{name}: {text:?}"),
    });
    let fractions = row.fractions.iter().map(|(name, value)| format!("{name}: {value}"));
    exact.chain(fractions).collect::<Vec<_>>().join(", ")
}

//! Rows of output files as JSON objects, and the rows that are left of a file of changes.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

/// The column in which a sink writes whether a row comes (+1) or goes (−1).
const WEIGHT: &str = "_weight";

/// The rows of a file: one JSON object a line, or CSV with a header when its name says so.
pub fn read_rows(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if path.extension().is_some_and(|extension| extension == "csv") {
        return csv_rows(&text);
    }
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}: {line}", path.display()))).collect()
}

/// CSV as the examples need it: no field has a comma, a quote or a newline in it. Empty is null, a number is a number.
fn csv_rows(text: &str) -> Vec<Value> {
    assert!(!text.contains('"'), "this reader does not know quotes");
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().map(|line| line.split(',').collect()).unwrap_or_default();
    let value = |field: &str| match field.parse::<serde_json::Number>() {
        Ok(number) => Value::Number(number),
        Err(_) if field.is_empty() => Value::Null,
        Err(_) => Value::String(field.to_owned()),
    };
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            assert_eq!(fields.len(), header.len(), "{line}");
            header.iter().zip(fields).map(|(name, field)| ((*name).to_owned(), value(field))).collect::<Map<_, _>>().into()
        })
        .collect()
}

/// The rows that are left once all changes are applied. Rows without a weight stay as they are.
///
/// A count may be negative for a moment, since only changes of one key are in order, but not at the end.
pub fn applied(rows: Vec<Value>) -> Vec<Value> {
    let mut left: BTreeMap<String, i64> = BTreeMap::new();
    for mut row in rows {
        let weight = row.as_object_mut().and_then(|columns| columns.remove(WEIGHT));
        *left.entry(row.to_string()).or_default() += weight.map_or(1, |weight| weight.as_i64().expect("a weight is +1 or -1"));
    }
    let gone: Vec<_> = left.iter().filter(|(_, count)| **count < 0).collect();
    assert!(gone.is_empty(), "withdrawn more often than sent: {gone:?}");
    let times = |(row, count): (String, i64)| std::iter::repeat_n(row, usize::try_from(count).unwrap_or(0));
    left.into_iter().flat_map(times).map(|row| serde_json::from_str(&row).expect("it was JSON before")).collect()
}

/// Only these columns of each row.
pub fn columns(rows: Vec<Value>, names: &[&str]) -> Vec<Value> {
    let pick =
        |row: Value| names.iter().map(|name| ((*name).to_owned(), row.get(*name).cloned().unwrap_or(Value::Null))).collect::<Map<_, _>>();
    rows.into_iter().map(pick).map(Value::Object).collect()
}

/// The lines of a file, sorted: for comparing two outputs byte by byte. Of changes, the rows that are left.
pub fn sorted_lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut lines: Vec<String> = if text.contains(&format!("\"{WEIGHT}\":")) {
        applied(read_rows(path)).iter().map(Value::to_string).collect()
    } else {
        text.lines().map(str::to_owned).collect()
    };
    lines.sort();
    lines
}

//! The decoder of JSON lines on any bytes: it takes what serde_json takes and nothing else, with the same values; its fast path, and how
//! rows are cut into batches, change nothing.
#![no_main]

use std::sync::LazyLock;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float64Type, Int64Type};
use libfuzzer_sys::fuzz_target;
use millstream_api::BadRow;
use millstream_operators::decode::schema::{ColumnSpec, arrow_schema};
use millstream_operators::decode::seam::json_lines;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// All types; the first four are compared with serde_json.
static COLUMNS: LazyLock<Vec<ColumnSpec>> = LazyLock::new(|| {
    specs(&[
        ("a", "bigint"),
        ("b", "string"),
        ("c", "double"),
        ("d", "boolean"),
        ("e", "timestamp"),
        ("f", "timestamp(ms)"),
        ("g", "decimal(9,3)"),
        ("h", "json"),
        ("i", "list<int>"),
        ("j", "struct<a: bigint, b: list<string>>"),
        ("k", "date"),
        ("l", "bytes"),
        ("m", "smallint"),
        ("n", "real"),
        ("o", "interval"),
    ])
});

/// What `COLUMNS` begins with.
static COMPARED: LazyLock<Vec<ColumnSpec>> = LazyLock::new(|| COLUMNS[..4].to_vec());

/// The values of `a`, `b`, `c` and `d`.
type Compared = (Option<i64>, Option<String>, Option<f64>, Option<bool>);

fn specs(columns: &[(&str, &str)]) -> Vec<ColumnSpec> {
    columns.iter().map(|(name, text)| ColumnSpec::parse(name, text).expect("a type")).collect()
}

/// All rows, so many to a batch; without `fast`, by the general decoder alone.
fn decode(columns: &[ColumnSpec], batch_rows: usize, fast: bool, text: &[u8]) -> (RecordBatch, Vec<BadRow>) {
    let rows = json_lines(columns, text, batch_rows, fast).expect("a row is bad, never the decoder");
    (concat_batches(&arrow_schema(columns), &rows.records).expect("batches of one schema"), rows.bad)
}

/// The objects of the lines as serde_json reads them, with nothing where it reads none; blank lines are left out.
fn reference(text: &[u8]) -> Vec<Option<Map<String, Value>>> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.iter().all(|byte| is_space(byte)));
    lines.map(|line| serde_json::from_slice(line).ok()).collect()
}

/// Whether a line is one that serde_json takes as long as it need not keep the values: a number may be too large, for instance.
fn is_well_formed(line: &[u8]) -> bool {
    line.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
        && std::str::from_utf8(line).is_ok_and(|line| serde_json::from_str::<IgnoredAny>(line).is_ok())
}

/// The values of one row, of the columns that are compared; nothing where one is of another type.
fn wanted(object: &Map<String, Value>) -> Option<Compared> {
    fn typed<T>(object: &Map<String, Value>, key: &str, read: impl Fn(&Value) -> Option<T>) -> Option<Option<T>> {
        match object.get(key) {
            None | Some(Value::Null) => Some(None),
            Some(value) => read(value).map(Some),
        }
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some((typed(object, "a", Value::as_i64)?, typed(object, "b", text)?, typed(object, "c", Value::as_f64)?, typed(object, "d", Value::as_bool)?))
}

/// serde_json keeps `-0`, which is an integer, and `-0.0` and `1e-999`, which are none, as the same double.
fn is_unclear(object: &Map<String, Value>) -> bool {
    object.get("a").is_some_and(|value| value.as_i64().is_none() && value.as_f64() == Some(0.0))
}

fn values(records: &RecordBatch, row: usize) -> Compared {
    let (a, b) = (records.column(0).as_primitive::<Int64Type>(), records.column(1).as_string_view());
    let (c, d) = (records.column(2).as_primitive::<Float64Type>(), records.column(3).as_boolean());
    (
        a.is_valid(row).then(|| a.value(row)),
        b.is_valid(row).then(|| b.value(row).to_owned()),
        c.is_valid(row).then(|| c.value(row)),
        d.is_valid(row).then(|| d.value(row)),
    )
}

fuzz_target!(|text: &[u8]| {
    let fast = decode(&COLUMNS, 1000, true, text);
    assert_eq!(fast, decode(&COLUMNS, 1000, false, text), "the fast path changes nothing");
    assert_eq!(fast, decode(&COLUMNS, 2, true, text), "nor do batches");
    if let Some(first) = text.split_inclusive(|&byte| byte == b'\n').next().filter(|line| line.len() < 256 && line.ends_with(b"\n")) {
        // What many lines have in common is learned.
        let text = [&*first.repeat(70), text].concat();
        assert_eq!(decode(&COLUMNS, 1000, true, &text), decode(&COLUMNS, 1000, false, &text), "nor what lines have in common");
    }
    well_formed(text);
    compared(text);
});

/// Where no column is wanted, a line only must be one object.
fn well_formed(text: &[u8]) {
    let (rows, bad) = decode(&[], 1000, true, text);
    let objects = reference(text);
    assert_eq!(rows.num_rows() + bad.len(), objects.len(), "every line that is not blank has one fate");
    let refused: Vec<u64> = bad.iter().filter_map(|bad| bad.place.rsplit(':').next()?.parse().ok()).collect();
    let lines =
        text.split(|&byte| byte == b'\n').zip(1..).filter(|(line, _)| !line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')));
    for ((line, number), object) in lines.zip(objects) {
        let taken = !refused.contains(&number);
        assert!(taken || object.is_none(), "line {number} is well-formed, but: {bad:?}");
        assert!(!taken || is_well_formed(line), "line {number} is not well-formed, but was taken");
    }
}

/// Whether these are the same values; a double of serde_json is the nearest one only nearly always.
fn alike(ours: &Compared, theirs: &Compared) -> bool {
    let near = |(ours, theirs): (f64, f64)| ours == theirs || (ours - theirs).abs() <= 1e-14 * ours.abs();
    let doubles = ours.2.is_some() == theirs.2.is_some() && ours.2.zip(theirs.2).is_none_or(near);
    doubles && (ours.0, &ours.1, ours.3) == (theirs.0, &theirs.1, theirs.3)
}

/// Rows that are good here and there have the same values.
fn compared(text: &[u8]) {
    let (rows, bad) = decode(&COMPARED, 1000, true, text);
    let refused: Vec<u64> = bad.iter().filter_map(|bad| bad.place.rsplit(':').next()?.parse().ok()).collect();
    let lines =
        text.split(|&byte| byte == b'\n').zip(1..).filter(|(line, _)| !line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')));
    let mut row = 0;
    for ((_, number), object) in lines.zip(reference(text)) {
        let taken = !refused.contains(&number);
        match object.as_ref().filter(|object| !is_unclear(object)).map(wanted) {
            Some(Some(wanted)) => assert!(taken && alike(&values(&rows, row), &wanted), "line {number}: {wanted:?}, {bad:?}"),
            Some(None) => assert!(!taken, "line {number} has a value of another type"),
            // A number that is too large for serde_json to keep, say, or one of which it does not keep enough.
            None => {}
        }
        row += usize::from(taken);
    }
}

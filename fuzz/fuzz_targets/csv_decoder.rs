//! The decoder of CSV on any bytes: its fast path, and how rows are cut into batches, change nothing, and where no record is bad the
//! fields are what csv-core says.
#![no_main]

use std::sync::LazyLock;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use libfuzzer_sys::fuzz_target;
use millstream_api::BadRow;
use millstream_operators::decode::schema::{ColumnSpec, arrow_schema};
use millstream_operators::decode::seam::csv_records;

static TEXTS: LazyLock<Vec<ColumnSpec>> = LazyLock::new(|| specs(&[("a", "string"), ("b", "string"), ("c", "string")]));

static TYPED: LazyLock<Vec<ColumnSpec>> = LazyLock::new(|| {
    specs(&[
        ("a", "bigint"),
        ("b", "double"),
        ("c", "timestamp"),
        ("d", "decimal(9,3)"),
        ("e", "list<int>"),
        ("f", "json"),
        ("g", "date"),
        ("h", "boolean not null"),
        ("i", "interval"),
        ("j", "timestamp(s)"),
        ("k", "struct<a: int>"),
        ("l", "bytes"),
    ])
});

fn specs(columns: &[(&str, &str)]) -> Vec<ColumnSpec> {
    columns.iter().map(|(name, text)| ColumnSpec::parse(name, text).expect("a type")).collect()
}

/// All rows of records without a header, so many to a batch; without `fast`, by the general decoder alone.
fn decode(columns: &[ColumnSpec], batch_rows: usize, fast: bool, records: &[u8]) -> (RecordBatch, Vec<BadRow>) {
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let text = [names.join(",").as_bytes(), b"\n", records].concat();
    let rows = csv_records(columns, &text, batch_rows, fast).expect("a row is bad, never the decoder");
    (concat_batches(&arrow_schema(columns), &rows.records).expect("batches of one schema"), rows.bad)
}

/// The records as csv-core reads them, without those that have no byte. They stand behind a header, as a byte order mark means something at the
/// very beginning only. The last one gets a line end if it has none: else csv-core gives it in two parts.
fn reference(text: &[u8]) -> Vec<Vec<String>> {
    let text = &[b"header\n", text.strip_suffix(b"\n").unwrap_or(text), b"\n"].concat();
    let mut reader = csv_core::ReaderBuilder::new().terminator(csv_core::Terminator::Any(b'\n')).build();
    let (mut input, mut records) = (&text[..], Vec::new());
    let (mut output, mut ends) = (vec![0; text.len() + 1], vec![0; text.len() + 2]);
    loop {
        let (result, read, _, fields) = reader.read_record(input, &mut output, &mut ends);
        input = &input[read..];
        match result {
            csv_core::ReadRecordResult::Record => {
                let starts = std::iter::once(0).chain(ends[..fields].iter().copied());
                let text = |(start, end): (usize, &usize)| String::from_utf8_lossy(&output[start..*end]).into_owned();
                records.push(starts.zip(&ends[..fields]).map(text).collect());
            }
            csv_core::ReadRecordResult::End => return records.split_off(1),
            csv_core::ReadRecordResult::InputEmpty => input = &[],
            other => panic!("{other:?}"),
        }
    }
}

fn texts(records: &RecordBatch) -> Vec<Vec<String>> {
    let text = |column: &dyn Array, row: usize| {
        let column = column.as_string_view();
        if column.is_null(row) { String::new() } else { column.value(row).to_owned() }
    };
    (0..records.num_rows()).map(|row| records.columns().iter().map(|column| text(column.as_ref(), row)).collect()).collect()
}

fuzz_target!(|text: &[u8]| {
    for columns in [&*TEXTS, &*TYPED] {
        let fast = decode(columns, 1000, true, text);
        assert_eq!(fast, decode(columns, 1000, false, text), "the fast path changes nothing");
        assert_eq!(fast, decode(columns, 2, true, text), "nor do batches");
    }
    let (records, bad) = decode(&TEXTS, 1000, true, text);
    // csv-core knows of no carriage return where the line end is said to be a line feed.
    if bad.is_empty() && !text.contains(&b'\r') {
        assert_eq!(texts(&records), reference(text));
    }
});

//! Each type by example; in [`agreement`] the two decoders against each other.

mod agreement;

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float64Type, Int64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use millstream_api::error::BadRow;

use super::JsonDecoder;
use crate::decode::schema::{ColumnSpec, arrow_schema};
use crate::decode::{Block, Decode};

fn specs(columns: &[(&str, &str)]) -> Vec<ColumnSpec> {
    columns.iter().map(|(name, text)| ColumnSpec::parse(name, text).unwrap()).collect()
}

fn block(bytes: &[u8]) -> Block {
    Block { bytes: bytes.to_vec(), header: None }
}

/// All rows with a decoder that may learn, `batch_rows` to a batch.
fn decode(specs: &[ColumnSpec], bytes: &[u8], batch_rows: usize) -> (RecordBatch, Vec<BadRow>) {
    let decoded = JsonDecoder::new(specs, batch_rows).unwrap().decode(&block(bytes)).unwrap();
    assert!(decoded.iter().all(|batch| batch.records.num_rows() + batch.bad.len() <= batch_rows));
    let records = concat_batches(&arrow_schema(specs), decoded.iter().map(|batch| &batch.records)).unwrap();
    (records, decoded.into_iter().flat_map(|batch| batch.bad).map(|bad| bad.placed("in", 1)).collect())
}

/// All rows by the general decoder alone, and by one that begins anew with each line and so has nothing to go by.
fn decode_generally(specs: &[ColumnSpec], bytes: &[u8]) -> (RecordBatch, Vec<BadRow>) {
    let (mut batches, mut bad) = (Vec::new(), Vec::new());
    for (index, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let block = block(line);
        let by = |mut decoder: JsonDecoder| {
            let decoded = decoder.decode(&block).unwrap();
            decoded.into_iter().map(|decoded| (decoded.records, decoded.bad)).collect::<Vec<_>>()
        };
        let decoded = by(JsonDecoder::general(specs, 1).unwrap());
        assert_eq!(decoded, by(JsonDecoder::new(specs, 1).unwrap()));
        for (records, reasons) in decoded {
            batches.push(records);
            bad.extend(reasons.into_iter().map(|bad| bad.placed("in", 1 + index as u64)));
        }
    }
    (concat_batches(&arrow_schema(specs), &batches).unwrap(), bad)
}

/// The values of a column as text, `NULL` for nulls.
fn shown(array: &Arc<dyn Array>) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let formatter = ArrayFormatter::try_new(array, &options).unwrap();
    (0..array.len()).map(|row| formatter.value(row).to_string()).collect()
}

/// One column `v` of this type, and what each value gives: text, or the reason after an `!`.
fn values_of(type_text: &str, values: &[&str]) -> Vec<String> {
    let specs = specs(&[("v", type_text)]);
    let value = |value: &&str| {
        let (records, bad) = decode(&specs, format!("{{\"v\":{value}}}").as_bytes(), 10);
        match bad.first() {
            None => shown(records.column(0)).remove(0),
            Some(bad) => format!("!{}", bad.reason),
        }
    };
    values.iter().map(value).collect()
}

#[test]
fn integers_are_exact_in_their_range() {
    assert_eq!(
        values_of("bigint", &["9223372036854775807", "-9223372036854775808", "9007199254740993", "-0", "null"]),
        ["9223372036854775807", "-9223372036854775808", "9007199254740993", "0", "NULL"]
    );
    assert_eq!(
        values_of("bigint", &["9223372036854775808", "1.0", "1e3", "\"1\"", "true", "[1]"]),
        [
            "!`v`: expected bigint, found 9223372036854775808",
            "!`v`: expected bigint, found 1.0",
            "!`v`: expected bigint, found 1e3",
            "!`v`: expected bigint, found \"1\"",
            "!`v`: expected bigint, found true",
            "!`v`: expected bigint, found [1]",
        ]
    );
    assert_eq!(values_of("int", &["2147483647", "2147483648"]), ["2147483647", "!`v`: expected int, found 2147483648"]);
    assert_eq!(values_of("smallint", &["-32768", "32768"]), ["-32768", "!`v`: expected smallint, found 32768"]);
}

#[test]
fn other_numbers() {
    assert_eq!(values_of("double", &["1", "-2.5e-3", "1e999"]), ["1.0", "-0.0025", "!`v`: expected double, found 1e999"]);
    assert_eq!(values_of("real", &["0.1", "1e39"]), ["0.1", "!`v`: expected real, found 1e39"]);
    assert_eq!(
        values_of("decimal(5,2)", &["1.5", "\"-123.45\"", "1e2", "1.234", "\"x\""]),
        ["1.50", "-123.45", "100.00", "!`v`: expected decimal(5,2), found 1.234", "!`v`: expected decimal(5,2), found \"x\""]
    );
}

#[test]
fn texts_and_times() {
    assert_eq!(values_of("string", &[r#""a\u00e9\n""#, "\"\"", "7"]), ["aé\n", "", "!`v`: expected string, found 7"]);
    assert_eq!(values_of("bytes", &["\"00ff\"", "\"0\""]), ["00ff", "!`v`: expected bytes as hexadecimal text, found \"0\""]);
    assert_eq!(values_of("boolean", &["true", "false", "0"]), ["true", "false", "!`v`: expected boolean, found 0"]);
    assert_eq!(values_of("date", &["\"2000-02-29\"", "\"2001-02-29\""]), ["2000-02-29", "!`v`: expected date, found \"2001-02-29\""]);
    assert_eq!(
        values_of("timestamp", &["\"1969-12-31T23:59:59.9999999Z\"", "\"2013-01-01 10:00:00\"", "\"2016-12-31T23:59:60Z\"", "7"]),
        [
            "1969-12-31T23:59:59.999999Z",
            "2013-01-01T10:00:00Z",
            "!`v`: expected timestamp as RFC 3339 text, found \"2016-12-31T23:59:60Z\"",
            "!`v`: expected timestamp as RFC 3339 text, found 7"
        ]
    );
    assert_eq!(
        values_of("timestamp(ms)", &["-1", "9223372036854775807", "\"2013-01-01T10:00:00Z\""]),
        [
            "1969-12-31T23:59:59.999Z",
            "!`v`: expected timestamp as an integer of milliseconds in the years 1 to 9999, found 9223372036854775807",
            "!`v`: expected timestamp as an integer of milliseconds in the years 1 to 9999, found \"2013-01-01T10:00:00Z\""
        ]
    );
    assert_eq!(values_of("interval", &["\"90m\""]), ["1 hours 30 mins"]);
}

#[test]
fn json_lists_and_structs() {
    assert_eq!(
        values_of("json", &[r#"{"a": [1, "x"]}"#, "\"s\"", "1.50", "null", "[1"]),
        [r#"{"a": [1, "x"]}"#, "\"s\"", "1.50", "NULL", "!expected `,` or `]` at byte 8 of the line, found `}`"]
    );
    assert_eq!(
        values_of("list<int not null>", &["[1, 2]", "[]", "[1, null]", "[1, \"x\"]", "{}"]),
        [
            "[1, 2]",
            "[]",
            "!`v[]` is null, but the column is `not null`",
            "!`v[]`: expected int, found \"x\"",
            "!`v`: expected list<int>, found {}"
        ]
    );
    assert_eq!(
        values_of(
            "struct<a: int, b: list<struct<c: string>>>",
            &[r#"{"b": [{"c": "x", "d": 1}, null], "a": 1}"#, "{}", "null", r#"{"a": []}"#]
        ),
        ["{a: 1, b: [{c: x}, NULL]}", "{a: NULL, b: NULL}", "NULL", "!`v.a`: expected int, found []"]
    );
    assert_eq!(values_of("struct<a: int not null>", &["null", "{}"]), ["NULL", "!`v.a` is missing, but the column is `not null`"]);
}

#[test]
fn a_row_that_fails_inside_a_list_leaves_nothing_behind() {
    let specs = specs(&[("v", "list<struct<a: list<int>>>"), ("w", "int not null")]);
    let text = "{\"v\":[{\"a\":[1]}],\"w\":1}\n{\"v\":[{\"a\":[2,3]},{\"a\":[4,\"x\"]}],\"w\":2}\n{\"v\":[{\"a\":[5]}]}\n{\"v\":[{\"a\":[6]}],\"w\":3}\n";
    let (records, bad) = decode(&specs, text.as_bytes(), 10);
    assert_eq!(shown(records.column(0)), ["[{a: [1]}]", "[{a: [6]}]"]);
    assert_eq!(bad.iter().map(|bad| bad.place.as_str()).collect::<Vec<_>>(), ["in:2", "in:3"]);
}

#[test]
fn of_a_key_that_comes_twice_the_last_one_counts() {
    let specs = specs(&[("a", "bigint"), ("b", "bigint not null")]);
    let (records, bad) = decode(&specs, b"{\"a\":\"x\",\"b\":null,\"a\":1,\"b\":2}\n{\"a\":1,\"b\":2,\"a\":null,\"b\":null}", 10);
    assert_eq!((shown(records.column(0)), shown(records.column(1))), (vec!["1".to_owned()], vec!["2".to_owned()]));
    assert_eq!(bad[0].reason, "`b` is null, but the column is `not null`");
}

#[test]
fn lines_that_are_no_object_are_bad_even_if_nobody_wants_their_columns() {
    let text = b"{\"a\":1}\n\n  \r\n{\"a\":2\n[]\n{\"a\":3} x\n{\"a\":\xff}\n{\"z\":01}\n{\"a\":7}\r\nnull\n{\r\n\"a\": 1}";
    let (records, bad) = decode(&specs(&[("b", "int")]), text, 100);
    assert_eq!(records.num_rows(), 2);
    let shown: Vec<_> = bad.iter().map(|bad| format!("{} {}: {}", bad.place, bad.raw, bad.reason)).collect();
    assert_eq!(
        shown,
        [
            "in:4 {\"a\":2: expected `,` or `}`, but the line ends",
            "in:5 []: expected an object at byte 1 of the line, found `[`; a row is one object on a line of its own",
            "in:6 {\"a\":3} x: expected the end of the line at byte 9 of the line, found `x`",
            "in:7 {\"a\":\u{fffd}}: not valid UTF-8 at byte 6 of the line",
            "in:8 {\"z\":01}: expected `,` or `}` at byte 7 of the line, found `1`",
            "in:10 null: expected an object at byte 1 of the line, found `n`; a row is one object on a line of its own",
            "in:11 {: the line has the beginning of an object only; a row is one object on a line of its own",
            "in:12 \"a\": 1}: expected an object at byte 1 of the line, found `\"`; a row is one object on a line of its own",
        ]
    );
}

#[test]
fn no_columns_still_have_rows() {
    let (records, bad) = decode(&[], b"{\"a\":1}\n{\"a\":2}\n{}\n{", 2);
    assert_eq!((records.num_rows(), records.num_columns(), bad.len()), (3, 0, 1));
}

#[test]
fn batches_say_where_they_end() {
    let text = b"{\"a\":1}\n\n{\"a\":2}\nx\n{\"a\":3}\n\n";
    let decoded = JsonDecoder::new(&specs(&[("a", "int")]), 2).unwrap().decode(&block(text)).unwrap();
    let ends: Vec<_> = decoded.iter().map(|batch| (batch.records.num_rows(), batch.bad.len(), batch.end_bytes, batch.end_lines)).collect();
    assert_eq!(ends, [(2, 0, 17, 3), (1, 1, text.len(), 6)]);
}

//! Debezium's change events as JSON lines: each says what a row was before and after.
//!
//! ```text
//! {"before": {…} | null, "after": {…} | null, "op": "c" | "r" | "u" | "d", …}     plain, or as `payload` beside a `schema`
//! ```
//! A creation or a read of the first snapshot is a row that comes, a deletion one that goes, an update both, the old row first. A tombstone
//! (`null`) and a message (`m`) are no rows. All else is a bad row, a truncation too: which rows it takes away is not said.

use millstream_api::error::Result;

use super::column::{ColumnSet, Mismatch};
use super::json::append_object_text;
use super::json::cursor::Cursor;
use super::schema::ColumnSpec;
use super::{Batches, Block, Decode, Decoded};

/// Decodes change events.
#[derive(Debug)]
pub(crate) struct DebeziumDecoder {
    batches: Batches,
}

impl DebeziumDecoder {
    /// For rows of these columns.
    pub(crate) fn new(specs: &[ColumnSpec], batch_rows: usize) -> Result<Self> {
        Ok(DebeziumDecoder { batches: Batches::of_changes(specs, batch_rows)? })
    }
}

impl Decode for DebeziumDecoder {
    fn decode(&mut self, block: &Block) -> Result<Vec<Decoded>> {
        let mut rows = self.batches.begin(block);
        let mut start = 0;
        while start < block.bytes.len() {
            let end = memchr::memchr(b'\n', &block.bytes[start..]).map_or(block.bytes.len(), |length| start + length);
            let line = block.bytes[start..end].trim_ascii();
            start = (end + 1).min(block.bytes.len());
            if line.is_empty() || line == b"null" {
                rows.skip(1);
                continue;
            }
            let written = std::str::from_utf8(line)
                .map_err(|error| format!("not valid UTF-8 at byte {} of the line", error.valid_up_to() + 1))
                .and_then(|text| append_event(text, rows.columns()));
            rows.end_rows(written, line, 1, start)?;
        }
        rows.finish()
    }
}

/// The parts of an event, as they stand in the line; none for those that are null or not there.
#[derive(Debug, Default)]
struct Event<'a> {
    before: Option<&'a str>,
    after: Option<&'a str>,
    op: Option<&'a str>,
    payload: Option<&'a str>,
}

impl<'a> Event<'a> {
    fn read(text: &'a str) -> Result<Self, Mismatch> {
        let mut cursor = Cursor::new(text);
        let mut event = Event::default();
        cursor.enter(b'{')?;
        if !cursor.eat(b'}') {
            loop {
                let key = cursor.string()?;
                cursor.expect(b':')?;
                let value = cursor.skip_value()?;
                let value = (value != "null").then_some(value);
                match &*key {
                    "before" => event.before = value,
                    "after" => event.after = value,
                    "op" => event.op = value,
                    "payload" => event.payload = value,
                    _ => {}
                }
                if !cursor.more(b'}')? {
                    break;
                }
            }
        }
        cursor.leave();
        cursor.end()?;
        Ok(event)
    }
}

/// What to do where old rows do not come.
const OLD_ROWS: &str = "the database must be told to send old rows (in PostgreSQL, REPLICA IDENTITY FULL)";

/// Adds the rows of an event; gives their weights.
fn append_event(text: &str, columns: &mut ColumnSet) -> Result<&'static [i8], Mismatch> {
    let mut event = Event::read(text)?;
    if let (Some(payload), None) = (event.payload, event.op) {
        event = Event::read(object("payload", payload)?)?;
    }
    match event.op {
        Some("\"c\"" | "\"r\"") => {
            append("after", event.after, columns)?;
            Ok(&[1])
        }
        Some("\"u\"") => {
            append("before", event.before, columns)?;
            append("after", event.after, columns)?;
            Ok(&[-1, 1])
        }
        Some("\"d\"") => {
            append("before", event.before, columns)?;
            Ok(&[-1])
        }
        Some("\"m\"") => Ok(&[]),
        Some("\"t\"") => Err("a truncation does not say which rows it takes away".to_owned()),
        Some(other) => Err(format!("`op`: expected \"c\", \"r\", \"u\" or \"d\", found {}", millstream_api::error::shortened(other))),
        None => Err("`op` is not there: this is no change event of Debezium".to_owned()),
    }
}

fn append(name: &str, row: Option<&str>, columns: &mut ColumnSet) -> Result<(), Mismatch> {
    let Some(row) = row else {
        return Err(if name == "before" { format!("`before` is null: {OLD_ROWS}") } else { format!("`{name}` is null") });
    };
    let row = object(name, row)?;
    // To withdraw another row than the one that came would leave that one there for ever.
    if name == "before"
        && let Some(lacking) = lacking(row, columns)?
    {
        return Err(format!("`before` lacks `{lacking}`: {OLD_ROWS}"));
    }
    append_object_text(row, columns).map_err(|reason| format!("`{name}`: {reason}"))
}

/// A column that the object does not have.
fn lacking<'a>(row: &str, columns: &'a ColumnSet) -> Result<Option<&'a str>, Mismatch> {
    let mut has = vec![false; columns.columns.len()];
    let mut cursor = Cursor::new(row);
    cursor.enter(b'{')?;
    if !cursor.eat(b'}') {
        loop {
            if let Some(column) = columns.find(&cursor.string()?, 0) {
                has[column] = true;
            }
            cursor.expect(b':')?;
            cursor.skip_value()?;
            if !cursor.more(b'}')? {
                break;
            }
        }
    }
    Ok(has.iter().position(|has| !has).and_then(|column| columns.name(column)))
}

/// A value that must be an object. The line is JSON already, so a look at its first byte is enough.
fn object<'a>(name: &str, value: &'a str) -> Result<&'a str, Mismatch> {
    match value.starts_with('{') {
        true => Ok(value),
        false => Err(format!("`{name}`: expected an object, found {}", millstream_api::error::shortened(value))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::record_rows;

    /// Rows with their weights and batches, and the reasons of bad ones with their places.
    fn decoded(text: &str, batch_rows: usize) -> (Vec<Vec<String>>, Vec<String>) {
        let specs = [("id", "bigint not null"), ("name", "string")].map(|(name, kind)| ColumnSpec::parse(name, kind).unwrap());
        let block = Block { bytes: text.into(), header: None };
        let batches = DebeziumDecoder::new(&specs, batch_rows).unwrap().decode(&block).unwrap();
        let bad = batches.iter().flat_map(|batch| batch.bad.clone()).map(|bad| bad.placed("in", 1));
        let bad = bad.map(|bad| format!("{} {}", bad.place, bad.reason)).collect();
        let rows = batches.iter().map(|batch| {
            let weights = batch.weights.as_ref().unwrap();
            assert_eq!(weights.len(), batch.records.num_rows());
            record_rows(&batch.records).into_iter().zip(weights.values()).map(|(row, weight)| format!("{weight} {row}")).collect()
        });
        (rows.collect(), bad)
    }

    #[test]
    fn an_event_is_one_row_or_two() {
        let text = r#"{"before":null,"after":{"id":1,"name":"a"},"source":{"lsn":3},"op":"c","ts_ms":5}
{"schema":{"type":"struct"},"payload":{"op":"r","after":{"id":2,"name":null,"more":[1]},"before":null}}

null
{"op":"u","before":{"id":1,"name":"a"},"after":{"id":1,"name":"b"}}
{"op":"m","before":null,"after":null}
{"op":"d","before":{"id":2,"name":null},"after":null}
"#;
        let expected = [
            r#"1 {"id":1,"name":"a"}"#,
            r#"1 {"id":2,"name":null}"#,
            r#"-1 {"id":1,"name":"a"}"#,
            r#"1 {"id":1,"name":"b"}"#,
            r#"-1 {"id":2,"name":null}"#,
        ];
        for batch_rows in [1, 2, 3, 100] {
            let (batches, bad) = decoded(text, batch_rows);
            assert_eq!(batches.concat(), expected, "{batch_rows}");
            assert!(bad.is_empty(), "{bad:?}");
            let update = batches.iter().find(|batch| batch.iter().any(|row| row == expected[2])).unwrap();
            assert!(update.iter().any(|row| row == expected[3]), "the halves of an update are apart: {batches:?}");
        }
    }

    #[test]
    fn an_event_is_bad_as_a_whole_and_says_why() {
        let (batches, bad) = decoded(
            r#"{"op":"c","after":{"id":1}}
{"op":"u","before":{"id":1,"name":null},"after":{"id":"x"}}
{"op":"u","before":null,"after":{"id":1}}
{"op":"d","before":{"name":"a"}}
{"op":"d","before":{"id":1}}
{"op":"t"}
{"op":"x"}
{"id":1}
{"op":"c","after":[]}
{"op":"c","after":{"id":2}} x
{"op":"c","after":{"id":3}}"#,
            100,
        );
        assert_eq!(batches.concat(), [r#"1 {"id":1,"name":null}"#, r#"1 {"id":3,"name":null}"#]);
        let expected = [
            "in:2 `after`: `id`: expected bigint, found \"x\"",
            "in:3 `before` is null: the database must be told to send old rows (in PostgreSQL, REPLICA IDENTITY FULL)",
            "in:4 `before` lacks `id`: the database must be told to send old rows (in PostgreSQL, REPLICA IDENTITY FULL)",
            "in:5 `before` lacks `name`: the database must be told to send old rows (in PostgreSQL, REPLICA IDENTITY FULL)",
            "in:6 a truncation does not say which rows it takes away",
            "in:7 `op`: expected \"c\", \"r\", \"u\" or \"d\", found \"x\"",
            "in:8 `op` is not there: this is no change event of Debezium",
            "in:9 `after`: expected an object, found []",
            "in:10 expected the end of the line at byte 29 of the line, found `x`",
        ];
        assert_eq!(bad, expected);
    }

    /// One event and the rows that it stands for.
    fn event() -> impl Strategy<Value = (String, Vec<String>)> {
        let row = || (0..9_i64, prop::option::of("[a-z\"\\\\é]{0,4}")).prop_map(|(id, name)| json!({ "id": id, "name": name }));
        let text = |weight: i8, row: &Value| format!("{weight} {row}");
        (0..5_u8, row(), row(), any::<bool>()).prop_map(move |(op, old, new, is_wrapped)| {
            let (event, rows) = match op {
                0 => (json!({ "before": null, "after": new, "op": "c" }), vec![text(1, &new)]),
                1 => (json!({ "op": "r", "after": new }), vec![text(1, &new)]),
                2 => (json!({ "ts_ms": 1, "before": old, "after": new, "op": "u" }), vec![text(-1, &old), text(1, &new)]),
                3 => (json!({ "after": null, "before": old, "op": "d", "source": { "op": "x" } }), vec![text(-1, &old)]),
                _ => (Value::Null, Vec::new()),
            };
            let is_wrapped = is_wrapped && !event.is_null();
            (if is_wrapped { json!({ "schema": {}, "payload": event }) } else { event }.to_string(), rows)
        })
    }

    proptest! {
        #[test]
        fn rows_are_those_of_the_events(events in prop::collection::vec(event(), 0..30), batch_rows in 1..9_usize) {
            let text: String = events.iter().map(|(line, _)| format!("{line}\n")).collect();
            let (batches, bad) = decoded(&text, batch_rows);
            prop_assert_eq!(bad, Vec::<String>::new());
            prop_assert_eq!(batches.concat(), events.into_iter().flat_map(|(_, rows)| rows).collect::<Vec<_>>());
        }

        /// Whatever stands in a line, it is its rows or a bad row, and the lines beside it are as they were.
        #[test]
        fn no_line_disturbs_another(events in prop::collection::vec(event(), 1..6), noise in "[{}\":,a-e\\[\\]0-9 ]{0,20}", cut in any::<prop::sample::Index>()) {
            let (first, rows) = &events[0];
            let cut = (0..=first.len()).rev().find(|at| *at <= cut.index(first.len() + 1) && first.is_char_boundary(*at)).unwrap_or(0);
            let broken = format!("{}{noise}{}", &first[..cut], &first[cut..]);
            let text: String = [broken].iter().chain(events.iter().map(|(line, _)| line)).map(|line| format!("{line}\n")).collect();
            let (batches, bad) = decoded(&text, 100);
            let expected: Vec<String> = events.iter().flat_map(|(_, rows)| rows.clone()).collect();
            let found = batches.concat();
            prop_assert!(found.ends_with(&expected), "{found:?}");
            prop_assert!(bad.len() <= 1 && (bad.is_empty() || found.len() == expected.len()), "{bad:?} {rows:?}");
        }
    }
}

//! Rows that come and go as change events, in the form of Debezium's JSON: `{"before": …, "after": …, "op": "c" | "u" | "d"}`.
//!
//! Where the plan knows a key of the stream, the changes of a key within a batch are one event: what was there before the
//! batch against what is there after it. Without a key a row that goes cannot be told to be the old one of a row that comes: each
//! is an event of its own.

use std::io::Write;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int8Type, Schema};
use arrow::row::{RowConverter, SortField};
use hashbrown::HashMap;
use millstream_api::Result;
use tempfile::NamedTempFile;

use super::contents::{BUFFER_BYTES, Contents, Failure};
use super::packing::Packer;
use crate::columns::place;
use crate::encode::json;

/// A file of change events that is being written. The last column of what it is given is the weight.
pub(super) struct Events {
    file: Packer,
    /// The places of the key's columns, and what makes one value of them; none without a key.
    key: Option<(Vec<usize>, RowConverter)>,
    buffer: Vec<u8>,
    /// The rows of a batch as JSON lines.
    rows: Vec<u8>,
}

impl Events {
    /// A file of rows with this schema.
    ///
    /// # Errors
    /// When a column of the key is not in it.
    pub(super) fn new(file: Packer, schema: &Schema, key: &[String]) -> Result<Self> {
        let key = match key {
            [] => None,
            names => {
                let places: Vec<usize> = names.iter().map(|name| place(schema, name)).collect::<Result<_>>()?;
                let fields = places.iter().map(|&place| SortField::new(schema.field(place).data_type().clone()));
                let converter = RowConverter::new(fields.collect())?;
                Some((places, converter))
            }
        };
        Ok(Events { file, key, buffer: Vec::new(), rows: Vec::new() })
    }

    /// What happened to each key: the first and the last of its rows, in the order in which keys came first.
    fn nets(&self, records: &RecordBatch, weights: &[i8]) -> Result<Vec<(usize, usize)>> {
        let each = || (0..weights.len()).map(|row| (row, row)).collect();
        let Some((places, converter)) = &self.key else { return Ok(each()) };
        if !weights.contains(&-1) {
            return Ok(each());
        }
        let columns: Vec<_> = places.iter().map(|&place| records.column(place).clone()).collect();
        let keys = converter.convert_columns(&columns)?;
        let (mut nets, mut known): (Vec<(usize, usize)>, HashMap<_, usize>) = (Vec::new(), HashMap::new());
        for (row, key) in keys.iter().enumerate() {
            match known.entry(key) {
                hashbrown::hash_map::Entry::Occupied(net) => nets[*net.get()].1 = row,
                hashbrown::hash_map::Entry::Vacant(free) => {
                    free.insert(nets.len());
                    nets.push((row, row));
                }
            }
        }
        Ok(nets)
    }

    fn write_buffer(&mut self) -> std::io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl Contents for Events {
    fn write(&mut self, records: &RecordBatch) -> Result<(), Failure> {
        let last = records.num_columns() - 1;
        let weights = records.column(last).as_primitive::<Int8Type>().values();
        let columns: Vec<usize> = (0..last).collect();
        let rows = records.project(&columns).map_err(millstream_api::Error::from)?;
        self.rows.clear();
        json::write_rows(&rows, &mut self.rows)?;
        let nets = self.nets(&rows, weights)?;
        let lines: Vec<&[u8]> = self.rows.split(|byte| *byte == b'\n').collect();
        for (first, last) in nets {
            let before = (weights[first] < 0).then(|| lines[first]);
            let after = (weights[last] > 0).then(|| lines[last]);
            if before != after {
                write_event(before, after, &mut self.buffer);
            }
        }
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_buffer()?;
        }
        Ok(())
    }

    fn close(mut self: Box<Self>) -> Result<NamedTempFile, Failure> {
        self.write_buffer()?;
        Ok(self.file.finish()?)
    }
}

fn write_event(before: Option<&[u8]>, after: Option<&[u8]>, out: &mut Vec<u8>) {
    let op = match (before, after) {
        (None, _) => "c",
        (Some(_), Some(_)) => "u",
        (Some(_), None) => "d",
    };
    let parts: [&[u8]; 7] =
        [b"{\"before\":", before.unwrap_or(b"null"), b",\"after\":", after.unwrap_or(b"null"), b",\"op\":\"", op.as_bytes(), b"\"}\n"];
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use millstream_api::operator::Fates;
    use millstream_api::sink::Finish;
    use millstream_api::view::Views;
    use millstream_api::{Batch, Stream};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::FileSinkOptions;
    use crate::testing::{batch, ints, schema, sink, stream, weighed};

    fn changes(rows: &[(i8, i64, i64)]) -> Batch {
        let column =
            |value: fn(&(i8, i64, i64)) -> i64| std::sync::Arc::new(rows.iter().map(value).collect::<arrow::array::Int64Array>()) as _;
        let weights: Vec<i8> = rows.iter().map(|row| row.0).collect();
        weighed(batch(&[("id", column(|row| row.1)), ("n", column(|row| row.2))]), &weights)
    }

    /// The events that these batches are written as.
    fn events(key: Option<&str>, batches: &[Batch]) -> Vec<Value> {
        let folder = tempfile::tempdir().unwrap();
        let unique_key = key.map(|name| vec![name.to_owned()]);
        let input = Stream { updating: true, unique_key, ..stream(schema("id bigint, n bigint")) };
        let options = json!({ "path": "out.ndjson", "format": "debezium" });
        let mut file = sink::<FileSinkOptions>(options, input, folder.path(), &Views::default());
        let mut fates = Fates::default();
        batches.iter().for_each(|batch| file.write(batch.clone(), &mut fates).unwrap());
        assert_eq!(fates.taken, batches.iter().map(|batch| batch.rows() as u64).sum::<u64>());
        file.finish(Finish::End).unwrap();
        let text = std::fs::read_to_string(folder.path().join("out.ndjson")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_key_has_one_event_in_a_batch() {
        let first = changes(&[(1, 1, 10), (1, 2, 20), (-1, 2, 20), (1, 2, 21), (1, 3, 30), (-1, 3, 30)]);
        let second = changes(&[(-1, 1, 10), (1, 1, 11), (-1, 2, 21), (-1, 1, 11), (1, 1, 10)]);
        let third = changes(&[(-1, 1, 10), (1, 1, 12)]);
        let expected = [
            json!({ "before": null, "after": { "id": 1, "n": 10 }, "op": "c" }),
            json!({ "before": null, "after": { "id": 2, "n": 21 }, "op": "c" }),
            json!({ "before": { "id": 2, "n": 21 }, "after": null, "op": "d" }),
            json!({ "before": { "id": 1, "n": 10 }, "after": { "id": 1, "n": 12 }, "op": "u" }),
        ];
        assert_eq!(events(Some("id"), &[first, second, third]), expected);
    }

    #[test]
    fn without_a_key_each_change_is_an_event() {
        let expected = [
            json!({ "before": null, "after": { "id": 1, "n": 1 }, "op": "c" }),
            json!({ "before": { "id": 1, "n": 1 }, "after": null, "op": "d" }),
            json!({ "before": null, "after": { "id": 1, "n": 2 }, "op": "c" }),
        ];
        assert_eq!(events(None, &[changes(&[(1, 1, 1), (-1, 1, 1), (1, 1, 2)])]), expected);
        let plain = batch(&[("id", ints([Some(1)])), ("n", ints([None]))]);
        assert_eq!(events(None, &[plain]), [json!({ "before": null, "after": { "id": 1, "n": null }, "op": "c" })]);
    }

    proptest! {
        /// Any changes of a table by key, cut into batches anyhow: each event fits what was there, and the end is the same.
        #[test]
        fn events_lead_to_the_same_table(steps in prop::collection::vec((0..4_i64, 0..4_i64), 0..40), cut in 1..7_usize) {
            let mut table: BTreeMap<i64, i64> = BTreeMap::new();
            let mut rows = Vec::new();
            for (id, n) in steps {
                rows.extend(table.remove(&id).map(|old| (-1, id, old)));
                // 0 leaves the row out.
                if n > 0 {
                    table.insert(id, n);
                    rows.push((1, id, n));
                }
            }
            let batches: Vec<Batch> = rows.chunks(cut).map(changes).collect();
            let mut seen: BTreeMap<i64, i64> = BTreeMap::new();
            for event in events(Some("id"), &batches) {
                let row = |side: &str| event[side].as_object().map(|row| (row["id"].as_i64().unwrap(), row["n"].as_i64().unwrap()));
                let (before, after) = (row("before"), row("after"));
                let op = match (before, after) { (None, Some(_)) => "c", (Some(_), Some(_)) => "u", (Some(_), None) => "d", (None, None) => "" };
                prop_assert_eq!(&event["op"], op);
                if let Some((id, n)) = before {
                    prop_assert_eq!(seen.remove(&id), Some(n));
                }
                if let Some((id, n)) = after {
                    prop_assert_eq!(seen.insert(id, n), None);
                }
            }
            prop_assert_eq!(seen, table);
        }
    }
}

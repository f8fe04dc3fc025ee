//! Sources that read what is there, each into a sink that keeps what it gets: files in every format and packing, rows that are made up.
//!
//! They are read in place, in virtual time, so that a checkpoint comes between any two of their batches.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::json::ReaderBuilder;
use millstream_api::types::ColumnType;
use millstream_runtime::feed::{Feed, InPlace};
use millstream_runtime::task::Order;
use millstream_state::JobSnapshot;
use millstream_testkit::VirtualRun;
use millstream_topology::Topology;
use parquet::arrow::ArrowWriter;

use crate::in_place::{self, Cut, rows};

/// Each source with a name of its own; the last two are files with a few rows that are none.
pub const SOURCES: &str = r#"
name = "sources"

[sources.lines]
type        = "file"
path        = "lines.ndjson"
format      = "json"
compression = "none"
schema      = { n = "bigint not null", k = "string", at = "timestamp not null" }
time        = { by = "at", max_delay = "1m" }

[sources.fields]
type      = "file"
path      = "fields.csv"
format    = "csv"
header    = true
delimiter = ";"
quote     = "'"
null_text = "-"
follow    = false
schema    = { n = "bigint not null", k = "string", at = "timestamp not null" }

[sources.packed]
type        = "file"
path        = "lines.gz"
format      = "json"
compression = "gzip"
schema      = { n = "bigint not null", k = "string", at = "timestamp not null" }

[sources.packed_fields]
type        = "file"
path        = "plain.csv.zst"
format      = "csv"
header      = false
compression = "zstd"
schema      = { n = "bigint not null", k = "string", at = "timestamp not null" }

[sources.columns]
type   = "file"
path   = "columns.parquet"
format = "parquet"
time   = { by = "at" }

[sources.events]
type   = "file"
path   = "events.ndjson"
format = "debezium"
key    = ["n"]
schema = { n = "bigint not null", k = "string" }

[sources.side_by_side]
type        = "file"
path        = "parts/*.ndjson*"
format      = "json"
compression = "auto"
together    = true
schema      = { n = "bigint not null", k = "string", at = "timestamp not null" }
time        = { by = "at", max_delay = "2m" }

[sources.one_by_one]
type     = "file"
path     = "parts"
format   = "json"
together = false
schema   = { n = "bigint not null", k = "string", at = "timestamp not null" }

[sources.made]
type       = "generate"
rows       = 150
columns    = ["counter as n", "100 / (counter - 70) as share", "to_timestamp(1704067200 + counter * 7) as at"]
time       = { by = "at" }
on_bad_row = "reject"

[sources.auctions]
type        = "nexmark"
events      = 200
first_event = 100
time        = { by = "date_time" }

[sources.some_bad]
type       = "file"
path       = "bad.ndjson"
format     = "json"
schema     = { n = "bigint not null", k = "string", at = "timestamp not null" }
time       = { by = "at", max_delay = "1m" }
on_bad_row = "reject"
"#;

/// What is read of them.
const STREAMS: [&str; 15] = [
    "lines",
    "fields",
    "packed",
    "packed_fields",
    "columns",
    "events",
    "side_by_side",
    "one_by_one",
    "made",
    "made.rejected",
    "auctions.person",
    "auctions.auction",
    "auctions.bid",
    "some_bad",
    "some_bad.rejected",
];

const ROWS: usize = 120;

/// A row of the files as JSON.
fn line(n: usize) -> String {
    let key = ["\"a\"", "\"b\"", "null"][n % 3];
    let seconds = (n * 17 + [0, 40, 11][n % 3]) % 3_600;
    format!("{{\"n\":{n},\"k\":{key},\"at\":\"2024-01-01T10:{:02}:{:02}Z\"}}", seconds / 60, seconds % 60)
}

/// Rows as JSON lines.
fn lines(rows: std::ops::Range<usize>) -> String {
    rows.map(|n| line(n) + "\n").collect()
}

/// The same as records, each with its fields between these marks.
fn records(delimiter: &str, null: &str) -> String {
    let record = |n: usize| {
        let row: serde_json::Value = serde_json::from_str(&line(n)).unwrap();
        let fields = [n.to_string(), row["k"].as_str().unwrap_or(null).to_owned(), row["at"].as_str().unwrap().to_owned()];
        fields.join(delimiter) + "\n"
    };
    (0..ROWS).map(record).collect()
}

/// Inserts, updates of every third row, deletions of every fifth.
fn events() -> String {
    let image = |n: usize, k: &str| format!("{{\"n\":{n},\"k\":\"{k}\"}}");
    let mut text = String::new();
    for n in 0..ROWS {
        text += &format!("{{\"before\":null,\"after\":{},\"op\":\"c\"}}\n", image(n, "new"));
        if n % 3 == 0 {
            text += &format!("{{\"before\":{},\"after\":{},\"op\":\"u\"}}\n", image(n, "new"), image(n, "other"));
        }
        if n % 5 == 1 && n % 3 != 0 {
            text += &format!("{{\"before\":{},\"after\":null,\"op\":\"d\"}}\n", image(n, "new"));
        }
    }
    text
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn parquet(text: &str) -> Vec<u8> {
    let columns = [("n", "bigint not null"), ("k", "string"), ("at", "timestamp not null")].map(|(name, kind)| {
        let column = ColumnType::parse(kind).unwrap();
        arrow::datatypes::Field::new(name, column.data_type, column.nullable)
    });
    let schema = Arc::new(arrow::datatypes::Schema::new(columns.to_vec()));
    let reader = ReaderBuilder::new(schema.clone()).build(text.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema, None).unwrap();
    reader.for_each(|records| writer.write(&records.unwrap()).unwrap());
    writer.close().unwrap();
    bytes
}

/// Writes all files into a folder.
pub fn write_files(folder: &Path) {
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    std::fs::create_dir(folder.join("parts")).unwrap();
    write("lines.ndjson", lines(0..ROWS).as_bytes());
    write("lines.gz", &gzip(&lines(0..ROWS)));
    write("fields.csv", format!("n;'k';at\n{}", records(";", "-")).as_bytes());
    write("plain.csv.zst", &zstd::encode_all(records(",", "").as_bytes(), 1).unwrap());
    write("columns.parquet", &parquet(&lines(0..ROWS)));
    write("events.ndjson", events().as_bytes());
    write("parts/a.ndjson", lines(0..50).as_bytes());
    write("parts/b.ndjson.gz", &gzip(&lines(50..80)));
    write("parts/c.ndjson", lines(80..ROWS).as_bytes());
    let some_bad = |n: usize| if n % 31 == 7 { format!("{{\"n\":\"{n}\"}}\n") } else { line(n) + "\n" };
    write("bad.ndjson", (0..ROWS).map(some_bad).collect::<String>().as_bytes());
}

/// A file that grows while it is read.
pub const FOLLOWED: &str = r#"
name = "followed"

[sources.log]
type   = "file"
path   = "log.ndjson"
format = "json"
follow = true
schema = { n = "bigint not null", k = "string", at = "timestamp not null" }
"#;

/// The topology of these sources with a sink for each stream, cut in this way.
fn topology(sources: &str, streams: &[&str], folder: &Path, cut: Cut) -> Topology {
    let sink = |stream: &&str| format!("[sinks.{}_rows]\ntype  = \"collect\"\ninput = \"{stream}\"\n", stream.replace('.', "_"));
    in_place::load(&format!("{sources}{}", streams.iter().map(sink).collect::<String>()), folder, &BTreeMap::new(), cut)
}

/// The topology of [`SOURCES`].
pub fn all(folder: &Path, cut: Cut) -> Topology {
    topology(SOURCES, &STREAMS, folder, cut)
}

/// What comes of a file that grows before and after a checkpoint and a crash, and is drained when it has so many lines.
pub fn followed(folder: &Path, cuts: [Cut; 2], seed: u64) -> String {
    let path = folder.join("log.ndjson");
    let _ = std::fs::remove_file(&path);
    let grow = |rows: std::ops::Range<usize>| {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
        file.write_all(lines(rows).as_bytes()).unwrap();
    };
    let [before, after] = cuts.map(|cut| topology(FOLLOWED, &["log"], folder, cut));
    grow(0..50);
    let mut run = start_followed(&before, seed, None);
    until_there_are(&mut run, 50);
    let checkpoint = run.checkpoint().unwrap();
    grow(50..80);
    until_there_are(&mut run, 80);
    drop(run);
    grow(80..ROWS);
    let mut run = start_followed(&after, seed, Some(&checkpoint));
    until_there_are(&mut run, ROWS);
    run.order(Order::Drain);
    run.run().unwrap();
    assert!(run.is_over() && run.ledger().balances(), "{:?}", run.ledger());
    rows(&run, "log_rows")
}

/// The lines that are followed, as they are kept.
pub fn followed_lines() -> String {
    let mut rows: Vec<String> = (0..ROWS).map(|n| line(n) + "\n").collect();
    rows.sort();
    rows.concat()
}

/// One that is asked in place: it ends when it is told to.
fn start_followed(topology: &Topology, seed: u64, from: Option<&JobSnapshot>) -> VirtualRun {
    let mut feed = |_: &str, source, _| Ok(Box::new(InPlace(source)) as Box<dyn Feed>);
    VirtualRun::new(topology, seed, Arc::default(), from, &mut feed).unwrap()
}

/// Asks the source until its rows are there: every turn reads, so a row that is lost makes it fail.
fn until_there_are(run: &mut VirtualRun, count: usize) {
    let there = (0..100_000).any(|_| {
        run.wake_sources();
        // So that what lingers goes on.
        run.advance(Duration::from_secs(1)).unwrap();
        rows(run, "log_rows").lines().count() == count
    });
    assert!(there, "{} of {count} lines", rows(run, "log_rows").lines().count());
}

//! Topologies over files in every format, killed in the middle of reading and brought back from a checkpoint in memory: the result
//! is that of a run without it.
//!
//! Tasks run in virtual time, in an order drawn from a seed; only the files are real.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flate2::write::GzEncoder;
use millstream_api::error::row_as_json;
use millstream_api::source::Next;
use millstream_api::{Registry, Result, Source};
use millstream_runtime::feed::Feed;
use millstream_runtime::wake::WakeSlot;
use millstream_runtime::{Job, Outcome, RunOptions};
use millstream_testkit::{ManualClock, VirtualRun};
use millstream_topology::{Topology, load_text};

/// Waits for its source as long as it takes, so that nothing depends on how fast its threads are.
struct Waiting(Box<dyn Source>);

impl Feed for Waiting {
    fn poll(&mut self) -> Result<Next> {
        self.0.next(Duration::from_secs(600))
    }
}

fn load(folder: &Path, text: &str, settings: &[&str]) -> Topology {
    let mut registry = Registry::new();
    millstream_operators::register(&mut registry);
    millstream_testkit::nodes::register(&mut registry);
    let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
    let outcome = load_text("topology.toml", text, folder, &BTreeMap::new(), &settings, &registry);
    outcome.topology.unwrap_or_else(|| panic!("{}", outcome.report.render()))
}

/// Files of the same flights in three parts; the second has a bad row.
fn write_files(folder: &Path) {
    let line = |n: i64| {
        // Every twentieth row is late.
        let seconds = if n % 20 == 19 { n * 7 - 90 } else { n * 7 };
        let at = millstream_api::time::rfc3339(seconds * 1_000_000);
        (format!("{{\"n\":{n},\"carrier\":\"C{}\",\"at\":\"{at}\"}}\n", n % 3), format!("{at},C{},{n}\n", n % 3))
    };
    for (name, range) in [("a", 0..60), ("b", 60..61), ("c", 61..140)] {
        let (mut json, mut csv) = (String::new(), "at,carrier,n\n".to_owned());
        for (json_line, csv_line) in range.map(line) {
            json += &json_line;
            csv += &csv_line;
        }
        if name == "b" {
            json += "{\"n\": \n";
            csv += "now,C1,x\n";
        }
        fs::write(folder.join(format!("{name}.ndjson")), &json).unwrap();
        let mut packed = GzEncoder::new(fs::File::create(folder.join(format!("{name}.csv.gz"))).unwrap(), flate2::Compression::fast());
        packed.write_all(csv.as_bytes()).unwrap();
        packed.finish().unwrap();
        fs::write(folder.join(format!("{name}.json.zst")), zstd::encode_all(json.as_bytes(), 1).unwrap()).unwrap();
        write_parquet(folder, name);
    }
}

/// Has the rows of a file written as Parquet.
fn write_parquet(folder: &Path, name: &str) {
    let text = format!(
        r#"
name = "convert"
[sources.in]
type = "file"
path = "{name}.ndjson"
format = "json"
on_bad_row = "skip"
schema = {{ n = "bigint", carrier = "string", at = "timestamp" }}
[sinks.out]
type = "file"
input = "in"
path = "{name}.parquet"
format = "parquet"
"#
    );
    let topology = load(folder, &text, &["runtime.workers=1"]);
    let report = Job::prepare(topology, RunOptions::default()).unwrap_or_else(|failure| panic!("{failure:?}")).run();
    assert!(matches!(report.outcome, Outcome::Done));
}

/// Counts and sums per minute and carrier, and every bad row.
fn topology(source: &str) -> String {
    format!(
        r#"
name = "restarted"
[sources.in]
type = "file"
{source}
on_bad_row = "reject"
time = {{ by = "at", max_delay = "5s" }}
schema = {{ n = "bigint", carrier = "string", at = "timestamp" }}
[operators.minutes]
type = "window"
input = "in"
kind = "tumble"
size = "1m"
[operators.sums]
type = "aggregate"
input = "minutes"
by = ["carrier"]
compute = ["count(*) as rows", "sum(n) as sum"]
[sinks.out]
type = "collect"
input = "sums"
[sinks.late]
type = "collect"
input = "sums.late"
[sinks.bad]
type = "collect"
input = "in.rejected"
"#
    )
}

fn start(topology: &Topology, seed: u64, checkpoint: Option<&millstream_state::JobSnapshot>) -> VirtualRun {
    let mut feed = |_: &str, source: Box<dyn Source>, _: WakeSlot| Ok(Box::new(Waiting(source)) as Box<dyn Feed>);
    VirtualRun::new(topology, seed, Arc::<ManualClock>::default(), checkpoint, &mut feed).unwrap()
}

/// What the sinks have got, sorted, and whether the ledger balances.
fn results(run: &VirtualRun) -> Vec<String> {
    let mut rows = Vec::new();
    for sink in ["out", "late", "bad"] {
        let (_, records) = run.views().get(sink).unwrap().rows().unwrap();
        rows.extend((0..records.num_rows()).map(|row| format!("{sink} {}", row_as_json(&records, row))));
    }
    rows.sort();
    assert!(run.ledger().balances(), "{:?}", run.ledger());
    rows
}

/// Runs it straight, and with a checkpoint and a crash after so many turns; gives the rows.
fn straight_and_restarted(folder: &Path, source: &str) -> Vec<String> {
    let text = topology(source);
    let read = |settings: &[&str]| load(folder, &text, settings);
    let topology = read(&["runtime.workers=1"]);
    let mut straight = start(&topology, 0, None);
    straight.run().unwrap();
    let expected = results(&straight);
    let mut restarts = 0;
    for turns in [0, 1, 2, 4, 7, 12, 20, 35, 60] {
        let before = read(&["runtime.workers=2", "runtime.batch_rows=3", "runtime.mailbox=1"]);
        let mut run = start(&before, turns, None);
        for _ in 0..turns {
            run.step().unwrap();
        }
        // None is taken any more once the source has ended.
        let Ok(checkpoint) = run.checkpoint() else { continue };
        drop(run);
        let after = read(&["runtime.workers=3", "runtime.batch_rows=5"]);
        let mut run = start(&after, turns + 100, Some(&checkpoint));
        run.run().unwrap();
        assert_eq!(results(&run), expected, "{source} after {turns} turns");
        restarts += 1;
    }
    assert!(restarts > 3, "{restarts} restarts of {source}");
    expected
}

#[test]
fn every_format_goes_on_where_it_stood() {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path());
    let json = straight_and_restarted(folder.path(), "path = \"*.ndjson\"\nformat = \"json\"");
    assert!(json.iter().any(|row| row.starts_with("late ")) && json.iter().any(|row| row.contains("b.ndjson:2")), "{json:?}");
    let without_bad = |rows: &[String]| rows.iter().filter(|row| !row.starts_with("bad ")).cloned().collect::<Vec<_>>();
    for source in
        ["path = \"*.json.zst\"\nformat = \"json\"", "path = \"*.csv.gz\"\nformat = \"csv\"", "path = \"*.parquet\"\nformat = \"parquet\""]
    {
        assert_eq!(without_bad(&straight_and_restarted(folder.path(), source)), without_bad(&json), "{source}");
    }
}

#[test]
fn files_side_by_side_each_have_their_own_lateness() {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path());
    let json = straight_and_restarted(folder.path(), "path = \"*.ndjson\"\nformat = \"json\"\ntogether = true");
    let parquet = straight_and_restarted(folder.path(), "path = \"*.parquet\"\nformat = \"parquet\"\ntogether = true");
    let without_bad = |rows: &[String]| rows.iter().filter(|row| !row.starts_with("bad ")).cloned().collect::<Vec<_>>();
    assert_eq!(without_bad(&json), without_bad(&parquet));
}

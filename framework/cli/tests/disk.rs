//! Runs whose keys do not fit into memory, as whole processes: killed, in memory in between, looked into, without a disk.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]
#![cfg(unix)]

mod command;

use std::collections::BTreeMap;

use command::left::applied;
use command::{Folder, Running};
use serde_json::{Value, json};

/// A topology that checkpoints often and has so much memory for keys.
fn topology(memory: &str, rest: &str) -> String {
    let head = r#"
name = "beyond"

[runtime]
workers    = 2
memory     = "MEMORY"
batch_rows = 1000

[checkpoint]
store    = "file:./state"
interval = "50ms"
"#;
    [&head.replace("MEMORY", memory), rest].concat()
}

/// So many rows, a millisecond apart, with a key each: this expression over the counter.
fn source(name: &str, rows: usize, key: &str) -> String {
    format!(
        r#"
[sources.{name}]
type    = "generate"
rows    = {rows}
rate    = 10000
columns = ["counter as n", "concat('a key with some text in it ', {key}) as k", "to_timestamp_micros(counter * 1000) as at"]
time    = {{ by = "at", max_delay = "0s" }}
"#
    )
}

/// How many keys have come how often, of many more keys than memory holds.
fn counts() -> String {
    topology("4MiB", &[&source("rows", ROWS as usize, &format!("counter % {KEYS}")), COUNTS].concat())
}

const COUNTS: &str = r#"
[operators.counts]
type    = "aggregate"
input   = "rows"
by      = ["k"]
compute = ["count(*) as times", "max(n) as last"]
state   = "disk"

[operators.often]
type    = "aggregate"
input   = "counts"
by      = ["times"]
compute = ["count(*) as keys", "sum(last) as last"]

[sinks.out]
type    = "file"
input   = "often"
path    = "out.ndjson"
changes = true
"#;

const ROWS: u64 = 100_000;
const KEYS: u64 = 20_011;

/// The rows that are left at the end, sorted.
fn expected() -> Vec<String> {
    let mut often: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for key in 0..KEYS {
        let times = (ROWS - key).div_ceil(KEYS);
        let (keys, last) = often.entry(times).or_default();
        *keys += 1;
        *last += key + (times - 1) * KEYS;
    }
    let row = |(times, (keys, last))| json!({ "times": times, "keys": keys, "last": last }).to_string();
    let mut rows: Vec<String> = often.into_iter().map(row).collect();
    rows.sort();
    rows
}

/// Runs it until checkpoints have made rows visible, then kills it.
fn kill(folder: &Folder, arguments: &[&str]) {
    let mut running = Running::start(folder.telling(arguments));
    running.until_checkpoints(3);
    running.signal("KILL");
    running.wait();
}

#[test]
fn keys_beyond_memory_survive_kills_and_go_between_memory_and_disk() {
    let folder = Folder::with(&[("topology.toml", &counts())]);
    kill(&folder, &["run", "topology.toml"]);
    assert!(folder.path("state.scratch").exists(), "what a killed run leaves");
    kill(&folder, &["run", "topology.toml", "--set", "runtime.workers=3"]);
    let in_memory = ["--set", "operators.counts.state=memory", "--set", "runtime.memory=64MiB"];
    kill(&folder, &[&["run", "topology.toml"], in_memory.as_slice()].concat());
    let ended = folder.run(&["run", "topology.toml", "--set", "sources.rows.rate=1000000"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("the sums balance"), "{}", ended.err);
    assert_eq!(applied(&folder.read("out.ndjson")), expected());
    assert_eq!(folder.names(), ["out.ndjson", "state", "topology.toml"]);
}

/// Windows that hop, each with many more keys than memory holds: how many keys, rows and what the last ones were.
const WINDOWS: &str = r#"
[operators.hops]
type  = "window"
input = "rows"
kind  = "hop"
size  = "30s"
slide = "10s"

[operators.counts]
type    = "aggregate"
input   = "hops"
by      = ["k"]
compute = ["count(*) as times", "max(n) as last"]
state   = "disk"

[operators.sums]
type    = "aggregate"
input   = "counts"
compute = ["count(*) as keys", "sum(times) as times", "sum(last) as last"]

[sinks.out]
type    = "file"
input   = "sums"
path    = "out.ndjson"
columns = ["keys", "times", "last"]
"#;

/// The row of each window.
fn expected_of_windows() -> Vec<Value> {
    let of_window = |start: i64| {
        let rows = start.max(0)..(start + 30_000).min(ROWS as i64);
        let mut keys: BTreeMap<i64, (u64, i64)> = BTreeMap::new();
        for row in rows {
            let (times, last) = keys.entry(row % KEYS as i64).or_default();
            (*times, *last) = (*times + 1, row);
        }
        let (times, last) = keys.values().fold((0, 0), |(times, sum), (of_key, last)| (times + of_key, sum + last));
        json!({ "keys": keys.len(), "times": times, "last": last })
    };
    (-2..10).map(|window| of_window(window * 10_000)).collect()
}

#[test]
fn windows_beyond_memory_survive_kills_and_go_between_memory_and_disk() {
    let windows = topology("4MiB", &[&source("rows", ROWS as usize, &format!("counter % {KEYS}")), WINDOWS].concat());
    let folder = Folder::with(&[("topology.toml", &windows)]);
    kill(&folder, &["run", "topology.toml"]);
    kill(&folder, &["run", "topology.toml", "--set", "runtime.workers=3"]);
    let in_memory = ["--set", "operators.counts.state=memory", "--set", "runtime.memory=64MiB"];
    kill(&folder, &[&["run", "topology.toml"], in_memory.as_slice()].concat());
    kill(&folder, &["run", "topology.toml"]);
    let ended = folder.run(&["run", "topology.toml", "--set", "sources.rows.rate=1000000"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("the sums balance"), "{}", ended.err);
    let rows: Vec<Value> = folder.read("out.ndjson").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows, expected_of_windows());
    assert_eq!(folder.names(), ["out.ndjson", "state", "topology.toml"]);
}

/// Windows, of which rows are sent before they close.
const EARLY: &str = r#"
[operators.windows]
type  = "window"
input = "rows"
kind  = "tumble"
size  = "20s"

[operators.counts]
type    = "aggregate"
input   = "windows"
by      = ["k"]
compute = ["count(*) as times", "max(n) as last"]
emit    = { every = "100ms" }
state   = "disk"

[sinks.out]
type    = "file"
input   = "counts"
path    = "out.ndjson"
columns = ["window_start", "times", "last"]
changes = true
"#;

#[test]
fn early_rows_beyond_memory_survive_kills_and_go_between_memory_and_disk() {
    const ROWS: i64 = 60_000;
    const KEYS: i64 = 5003;
    let early = topology("4MiB", &[&source("rows", ROWS as usize, &format!("counter % {KEYS}")), EARLY].concat());
    let folder = Folder::with(&[("topology.toml", &early)]);
    let slowly = |others: &[&'static str]| [&["run", "topology.toml", "--set", "sources.rows.rate=2000"], others].concat();
    kill(&folder, &["run", "topology.toml"]);
    kill(&folder, &slowly(&["--set", "runtime.workers=3"]));
    kill(&folder, &slowly(&["--set", "operators.counts.state=memory", "--set", "runtime.memory=64MiB"]));
    kill(&folder, &slowly(&[]));
    let ended = folder.run(&["run", "topology.toml", "--set", "sources.rows.rate=1000000"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("the sums balance"), "{}", ended.err);
    let mut windows: BTreeMap<(i64, i64), (u64, i64)> = BTreeMap::new();
    for row in 0..ROWS {
        let (times, last) = windows.entry((row / 20_000, row % KEYS)).or_default();
        (*times, *last) = (*times + 1, row);
    }
    let row = |((window, _), (times, last))| {
        let start = format!("1970-01-01T00:00:{:02}Z", window * 20);
        json!({ "window_start": start, "times": times, "last": last }).to_string()
    };
    let mut expected: Vec<String> = windows.into_iter().map(row).collect();
    expected.sort();
    assert_eq!(applied(&folder.read("out.ndjson")), expected);
}

/// All that event time ends, each with more keys than memory holds: sessions, rows that wait for partners, windows, keys that are
/// remembered for a while.
const TIMED: &str = r#"
[operators.visits]
type  = "window"
input = "left"
kind  = "session"
gap   = "10s"

[operators.sessions]
type    = "aggregate"
input   = "visits"
by      = ["k"]
compute = ["count(*) as times", "max(n) as last"]

[operators.pairs]
type    = "join"
left    = "left"
right   = "right"
mode    = "interval"
before  = "5s"
after   = "5s"
on      = "left.k = right.k"
columns = ["left.n as l", "right.n as r"]

[operators.alone]
type    = "join"
left    = "left"
right   = "right"
mode    = "interval"
kind    = "full"
before  = "2s"
after   = "5s"
on      = "left.k = right.k"
columns = ["left.n as l", "right.n as r"]

[operators.firsts]
type   = "deduplicate"
input  = "left"
by     = ["k"]
within = "10s"

[operators.lasts]
type   = "deduplicate"
input  = "left"
by     = ["k"]
keep   = "last"
within = "10s"

[operators.left_hops]
type  = "window"
input = "left"
kind  = "hop"
size  = "20s"
slide = "10s"

[operators.right_hops]
type  = "window"
input = "right"
kind  = "hop"
size  = "20s"
slide = "10s"

[operators.both]
type    = "join"
left    = "left_hops"
right   = "right_hops"
mode    = "window"
kind    = "left"
on      = "left.k = right.k"
columns = ["left.n as l", "right.n as r"]

[operators.best]
type  = "top_n"
input = "left_hops"
by    = ["k"]
order = ["n desc"]
n     = 1
"#;

/// Those whose rows are compared.
const OF_TIMED: [&str; 7] = ["sessions", "pairs", "alone", "firsts", "lasts", "both", "best"];

#[test]
fn what_event_time_ends_survives_kills_and_goes_between_memory_and_disk() {
    let sinks = OF_TIMED.map(|name| format!("\n[sinks.to_{name}]\ntype = \"file\"\ninput = \"{name}\"\npath = \"{name}.ndjson\"\n"));
    let sources = [source("left", 60_000, "counter * counter % 20011"), source("right", 60_000, "counter * 7 % 20011")];
    let text = topology("16MiB", &[&sources.concat(), TIMED, &sinks.concat()].concat()).replace("[runtime]", "[runtime]\nstate = \"disk\"");
    let in_memory = ["--set", "runtime.state=memory", "--set", "runtime.memory=1GiB"];
    let at = |rate: usize, others: &[&str]| -> Vec<String> {
        let rates = ["left", "right"].map(|source| format!("sources.{source}.rate={rate}"));
        let words = ["run", "topology.toml", "--set", &rates[0], "--set", &rates[1]];
        words.iter().chain(others).map(|word| (*word).to_owned()).collect()
    };
    let run = |folder: &Folder, arguments: Vec<String>| {
        let ended = folder.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        assert!(ended.err.contains("the sums balance"), "{}", ended.err);
    };
    let undisturbed = Folder::with(&[("topology.toml", &text)]);
    run(&undisturbed, at(1_000_000, &in_memory));

    let folder = Folder::with(&[("topology.toml", &text)]);
    for (rate, others) in [(5000, [].as_slice()), (800, &["--set", "runtime.workers=3"]), (800, &in_memory), (800, &[])] {
        kill(&folder, &at(rate, others).iter().map(String::as_str).collect::<Vec<_>>());
    }
    run(&folder, at(1_000_000, &[]));
    let sorted = |text: String| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    for name in OF_TIMED {
        let [rows, expected] = [&folder, &undisturbed].map(|folder| sorted(folder.read(&format!("{name}.ndjson"))));
        assert!(expected.len() > 1000, "{name} has {} rows", expected.len());
        assert!(rows == expected, "{name}: {} rows, expected {}", rows.len(), expected.len());
    }
}

#[test]
fn a_checkpoint_of_keys_on_disk_can_be_looked_into() {
    let slow = counts().replace("rows    = 100000\n", "");
    let folder = Folder::with(&[("topology.toml", &slow)]);
    kill(&folder, &["run", "topology.toml"]);
    let listed = folder.run(&["state", "ls", "topology.toml"]);
    assert_eq!(listed.code, Some(0), "{}", listed.err);
    assert!(listed.out.contains("operator counts (aggregate): groups, "), "{}", listed.out);
    let one = folder.run(&["state", "get", "state", "counts", "--value", "a key with some text in it 7"]);
    assert_eq!(one.out.lines().count(), 1, "{}{}", one.out, one.err);
    let row: Value = serde_json::from_str(&one.out).unwrap();
    assert_eq!((&row["state"], &row["k0"]), (&json!("groups"), &json!("a key with some text in it 7")));
}

#[test]
fn a_disk_that_cannot_be_used_is_named_with_the_node() {
    let folder = Folder::with(&[("topology.toml", &counts()), ("state.scratch", "not a folder")]);
    let ended = folder.run(&["run", "topology.toml"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("counts") && ended.err.contains("state.scratch for state on disk"), "{}", ended.err);
    assert_eq!(folder.read("state.scratch"), "not a folder");
}

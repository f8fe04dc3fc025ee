//! `millstream test` as a user sees it: every step, what is said of those that do not hold, and what is written in their place.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod command;

use command::{Ended, Folder, HOURLY};

/// Two sources, windows that slide, a running count and a view. None of its files is there.
const TRAFFIC: &str = r#"
name = "traffic"

[sources.cars]
type       = "file"
path       = "cars.ndjson"
format     = "json"
on_bad_row = "reject"
schema     = { road = "string not null", at = "timestamp(s)", speed = "double" }
time       = { by = "at", idle_after = "10s", on_null = "skip" }

[sources.trucks]
type   = "file"
path   = "trucks/*.csv"
format = "csv"
schema = { road = "string not null", at = "timestamp", speed = "double" }
time   = { by = "at", max_delay = "1m" }

[operators.all]
type   = "union"
inputs = ["cars", "trucks"]

[operators.sliding]
type  = "window"
input = "all"
kind  = "hop"
size  = "2m"
slide = "1m"

[operators.minutes]
type    = "aggregate"
input   = "sliding"
by      = ["road"]
compute = ["count(*) as n", "avg(speed) as mean"]

[operators.roads]
type    = "aggregate"
input   = "all"
by      = ["road"]
compute = ["count(*) as n"]

[sinks.file]
type   = "file"
input  = "minutes"
path   = "minutes.ndjson"
format = "json"

[sinks.changes]
type    = "file"
input   = "roads"
path    = "roads.ndjson"
format  = "json"
changes = true

[sinks.board]
type  = "view"
input = "roads"
key   = ["road"]
"#;

/// Runs `tests` over a topology without any file.
fn test(topology: &str, tests: &str) -> Ended {
    let folder = Folder::with(&[("topology.toml", &format!("{topology}{tests}"))]);
    let ended = folder.run(&["test", "topology.toml"]);
    assert_eq!(folder.names(), ["topology.toml"], "a test has left something behind");
    ended
}

/// What was printed, without the times that it took.
fn untimed(text: &str) -> String {
    let line = |line: &str| match line.rsplit_once(" (") {
        Some((before, after)) if after.ends_with(" ms)") => before.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(|text| line(text) + "\n").collect()
}

fn assert_passes(topology: &str, tests: &str) {
    let ended = test(topology, tests);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{}", ended.out);
}

#[test]
fn steps_in_order_with_every_source_and_sink_replaced() {
    let ended = test(
        TRAFFIC,
        r#"
[[tests]]
name  = "both sources count"
steps = [
    { send = "cars", rows = [{ road = "A1", at = 60, speed = 100 }, { road = "A1", at = "1970-01-01T00:01:30Z" }] },
    { expect = "roads", rows = [{ road = "A1", n = 2 }] },
    { send = "trucks", rows = [{ road = "A1", at = "1970-01-01T00:01:00Z", speed = 80.0 }] },
    { expect = "minutes", rows = [] },
    { send = "cars", rows = [{ road = "B7", at = 300 }] },
    { end = "trucks" },
    { expect = "minutes", match = "exact", rows = [
        { road = "A1", n = 3, mean = 90.0, window_start = "1970-01-01T00:00:00Z", window_end = 1970-01-01T00:02:00Z },
        { road = "A1", n = 3, window_start = "1970-01-01T00:01:00Z" },
    ] },
    { expect = "minutes", rows = [] },
    { expect = "file", match = "subset", rows = [{ road = "A1", n = 3, window_start = "1970-01-01T00:01:00Z" }] },
    { end = "cars" },
    { expect = "file", rows = [{ road = "B7" }, { road = "B7", window_end = "1970-01-01T00:07:00Z" }] },
    { expect = "board", rows = [{ road = "A1", n = 3 }, { road = "B7", n = 1 }] },
]
"#,
    );
    assert_eq!((ended.code, untimed(&ended.out).as_str()), (Some(0), "ok      both sources count\n1 passed\n"), "{}", ended.err);
}

#[test]
fn changes_are_applied_unless_weights_are_named() {
    assert_passes(
        TRAFFIC,
        r#"
[[tests]]
name  = "weights"
steps = [
    { send = "cars", rows = [{ road = "A1", at = 1 }] },
    { expect = "changes", rows = [{ road = "A1", n = 1, _weight = 1 }] },
    { send = "cars", rows = [{ road = "A1", at = 2 }] },
    { expect = "changes", match = "exact", rows = [{ n = 1, _weight = -1 }, { n = 2, _weight = 1 }] },
    { expect = "changes", rows = [{ road = "A1", n = 2 }] },
    { expect = "roads", rows = [{ n = 1, _weight = 1 }, { n = 1, _weight = -1 }, { n = 2, _weight = 1 }] },
]
"#,
    );
}

#[test]
fn time_passes_only_when_it_is_told_to() {
    assert_passes(
        TRAFFIC,
        r#"
[[tests]]
name  = "a quiet source counts as idle after its time"
steps = [
    { send = "trucks", rows = [{ road = "A1", at = "1970-01-01T00:00:00Z" }, { road = "A1", at = "1970-01-01T00:04:00Z" }] },
    { advance = "9999ms" },
    { expect = "minutes", rows = [] },
    { advance = "1ms" },
    { expect = "minutes", rows = [{ window_end = "1970-01-01T00:01:00Z" }, { window_end = "1970-01-01T00:02:00Z" }] },
]

[[tests]]
name  = "or at once"
steps = [
    { send = "trucks", rows = [{ road = "A1", at = "1970-01-01T00:00:00Z" }, { road = "A1", at = "1970-01-01T00:04:00Z" }] },
    { idle = "cars" },
    { expect = "minutes", rows = [{ n = 1 }, { n = 1 }] },
    { send = "cars", rows = [{ road = "A1", at = 300 }] },
    { send = "trucks", rows = [{ road = "A1", at = "1970-01-01T00:09:00Z" }] },
    { expect = "minutes", match = "exact", rows = [{ n = 1, window_end = "1970-01-01T00:05:00Z" }] },
]
"#,
    );
}

#[test]
fn late_and_bad_rows_are_put_aside() {
    assert_passes(
        TRAFFIC,
        r#"
[[tests]]
name  = "late and bad"
steps = [
    { end = "trucks" },
    { send = "cars", rows = '''
        {"road": "A1", "at": 600, "speed": 1}
        {"road": "A2", "at": 0, "speed": 2}
        {"road": "A3", "at": 599, "speed": "fast"}
        {"road": "A4", "at": null, "speed": 4}
        no json
    ''' },
    { expect_late = "minutes", rows = [{ road = "A2", speed = 2 }] },
    { expect_rejected = "cars", match = "exact", rows = [
        { reason = "`speed` of `cars` must be double, not \"fast\"", raw = '{"road": "A3", "at": 599, "speed": "fast"}' },
        { raw = "no json" },
    ] },
    { expect = "cars", rows = '''
        {"road": "A1", "at": "1970-01-01T00:10:00Z"}
        {"road": "A2", "speed": 2}
    ''' },
]
"#,
    );
}

#[test]
fn a_crash_loses_what_no_checkpoint_has() {
    assert_passes(
        TRAFFIC,
        r#"
[[tests]]
name  = "back to the checkpoint"
steps = [
    { send = "cars", rows = [{ road = "A1", at = 1 }] },
    { expect = "all", rows = [{ road = "A1" }] },
    { checkpoint = true },
    { send = "cars", rows = [{ road = "A2", at = 2 }] },
    { expect = "all", rows = [{ road = "A2" }] },
    { expect = "board", rows = [{ road = "A1", n = 1 }, { road = "A2", n = 1 }] },
    { crash = true },
    { send = "cars", rows = [{ road = "A1", at = 3 }] },
    { advance = "1h" },
    { restore = true },
    { expect = "all", rows = [{ road = "A2" }, { road = "A1" }] },
    { expect = "board", rows = [{ road = "A1", n = 2 }, { road = "A2", n = 1 }] },
    { crash = true },
    { restore = true },
    { expect = "all", rows = [{ road = "A2" }, { road = "A1" }] },
]

[[tests]]
name  = "back to the beginning"
steps = [
    { send = "cars", rows = [{ road = "A1", at = 1 }] },
    { expect = "all", rows = [{ road = "A1" }] },
    { crash = true },
    { restore = true },
    { expect = "all", rows = [{ road = "A1" }] },
    { end = "cars" },
    { end = "trucks" },
    { expect = "minutes", rows = [{ n = 1 }, { n = 1 }] },
    { crash = true },
    { restore = true },
    { expect = "minutes", rows = [{ n = 1 }, { n = 1 }] },
]
"#,
    );
}

/// With a tap between window and aggregate, hop rows would travel once for each window if the tap were a reader as any other:
/// then three rows instead of one would be late.
#[test]
fn to_look_at_a_stream_changes_nothing() {
    let steps = r#"
    { end = "trucks" },
    { send = "cars", rows = [{ road = "A1", at = 600 }, { road = "A2", at = 0 }, { road = "A3", at = 479 }] },
"#;
    let late = r#"    { expect_late = "minutes", rows = [{ road = "A2" }, { road = "A3" }] },"#;
    let looks = r#"    { expect = "sliding", rows = [{ road = "A1" }, { road = "A2" }, { road = "A3" }] },"#;
    for (name, looks) in [("not looking", ""), ("looking", looks)] {
        assert_passes(TRAFFIC, &format!("[[tests]]\nname = \"{name}\"\nsteps = [{steps}{looks}\n{late}\n]\n"));
    }
}

const FAILING: &str = r#"
[[tests]]
name  = "holds"
steps = [{ expect = "minutes", rows = [] }]

[[tests]]
name  = "does not"
steps = [
    { end = "trucks" },
    { send = "cars", rows = [{ road = "A1", at = 0, speed = 50 }, { road = "B22", at = 60 }, { road = "B22", at = 600 }] },
    # In the order of the windows.
    { expect = "minutes", rows = [
        { road = "A1", n = 7 },    # the first
        { road = "A1", n = 1 },
        { road = "C3", n = 1, mean = 2.5 },
    ] },
    { expect = "cars", rows = [] },
    { expect = "all", match = "exact", rows = [{ road = "B22" }, { road = "A1" }, { road = "B22" }] },
    { expect = "board", match = "subset", rows = [{ road = "A1" }, { road = "D4" }] },
]
"#;

#[test]
fn what_does_not_hold_is_shown_row_by_row() {
    let ended = test(TRAFFIC, FAILING);
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), ""));
    let expected = r#"ok      holds
FAILED  does not
  topology.toml:70: expect = "minutes": 2 missing, 3 unexpected
      road   n  mean
    - "A1"   7
    - "C3"   1  2.5
    + "A1"   1  50.0
    + "B22"  1  null
    + "B22"  1  null
  topology.toml:75: expect = "cars": 3 unexpected
      road   at                      speed
    + "A1"   "1970-01-01T00:00:00Z"  50.0
    + "B22"  "1970-01-01T00:01:00Z"  null
    + "B22"  "1970-01-01T00:10:00Z"  null
  topology.toml:76: expect = "all": the rows come in another order; this is theirs
      road
      "A1"
      "B22"
      "B22"
  topology.toml:77: expect = "board": 1 of 2 rows missing
      road
    - "D4"
      "B22"
1 passed, 1 failed
"#;
    assert_eq!(untimed(&ended.out), expected);
}

#[test]
fn update_writes_the_rows_that_are_there() {
    let folder = Folder::with(&[("topology.toml", &format!("{TRAFFIC}{FAILING}"))]);
    let ended = folder.run(&["test", "topology.toml", "--update"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), "topology.toml: wrote the expected rows of 4 steps\n"));
    let text = folder.read("topology.toml");
    assert!(text.starts_with(TRAFFIC), "more than the tests was changed:\n{text}");
    let expected = r#"    # In the order of the windows.
    { expect = "minutes", rows = '''
        {"road":"A1","n":1,"mean":50.0}
        {"road":"A1","n":1}
        {"road":"B22","n":1,"mean":null}
        {"road":"B22","n":1,"mean":null}
    ''' },
"#;
    assert!(text.contains(expected), "{text}");
    let expected = r#"match = "exact", rows = [{ road = "A1" }, { road = "B22" }, { road = "B22" }] },
    { expect = "board", match = "subset", rows = [{ road = "A1" }] },
"#;
    assert!(text.contains(expected), "{text}");
    let ended = folder.run(&["test", "topology.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.out);
    let ended = folder.run(&["test", "topology.toml", "--update"]);
    assert_eq!(ended.err, "topology.toml: no expected rows were changed\n");
    assert_eq!(folder.read("topology.toml"), text);
}

/// `[[tests.steps]]` are steps like any others; only rows with headers of their own cannot be written anew.
#[test]
fn steps_may_have_headers_of_their_own() {
    let tests = "[[tests]]\nname = \"counts\"\n\n[[tests.steps]]\nsend = \"cars\"\nrows = [{ road = \"A1\", at = 1 }]\n\n\
                 [[tests.steps]]\nexpect = \"board\"\nrows   = [{ road = \"A1\", n = 2 }] # two\n\n\
                 [[tests.steps]]\nexpect = \"board\"\n[[tests.steps.rows]]\nroad = \"A1\"\nn = 3\n";
    let folder = Folder::with(&[("topology.toml", &format!("{TRAFFIC}{tests}"))]);
    let ended = folder.run(&["test", "topology.toml", "--update"]);
    assert_eq!(ended.code, Some(1));
    let expected = "topology.toml:70: error: expect = \"board\": 1 missing, 1 unexpected\nhelp: its rows come from outside the file, ";
    assert!(ended.err.starts_with(expected), "{}", ended.err);
    assert_eq!(folder.read("topology.toml"), format!("{TRAFFIC}{}", tests.replace("n = 2", "n = 1")));
}

#[test]
fn a_run_that_fails_ends_its_test() {
    let tests = r#"
[operators.pace]
type    = "select"
input   = "cars"
columns = ["road", "60 / cast(speed as bigint) as minutes"]

[sinks.pace_out]
type  = "discard"
input = "pace"

[[tests]]
name  = "nobody stands still"
steps = [
    { send = "cars", rows = [{ road = "A1", at = 1, speed = 60.0 }, { road = "A2", at = 2, speed = 0.0 }] },
    { expect = "pace", rows = [] },
]
"#;
    let folder = Folder::with(&[("topology.toml", &format!("{TRAFFIC}{tests}"))]);
    let ended = folder.run(&["test", "topology.toml"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    let out = untimed(&ended.out);
    assert!(
        out.starts_with("FAILED  nobody stands still\n  topology.toml:72: the topology failed: pace: bad row: division by zero"),
        "{out}"
    );
    assert!(out.ends_with("0 passed, 1 failed\n") && !out.contains("expect ="), "{out}");
    let ended = folder.run(&["test", "topology.toml", "--update"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.starts_with("topology.toml:72: error: the topology failed: pace: bad row"), "{}", ended.err);
}

#[test]
fn results_for_build_servers() {
    let folder = Folder::with(&[("topology.toml", &format!("{TRAFFIC}{}", FAILING.replace("does not", "a < b & \\\"c\\\"")))]);
    let ended = folder.run(&["test", "topology.toml", "--format", "junit"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), ""));
    let mut out = ended.out.clone();
    while let Some(at) = out.find(" time=\"") {
        let end = at + 7 + out[at + 7..].find('"').unwrap() + 1;
        out.replace_range(at..end, "");
    }
    let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="2" failures="1" errors="0">
  <testsuite name="traffic" tests="2" failures="1" errors="0">
    <testcase classname="traffic" name="holds" file="topology.toml" line="60"/>
    <testcase classname="traffic" name="a &lt; b &amp; &quot;c&quot;" file="topology.toml" line="64">
      <failure message="topology.toml:70: expect = &quot;minutes&quot;: 2 missing, 3 unexpected">topology.toml:70: expect = &quot;minutes&quot;: 2 missing, 3 unexpected
    road   n  mean
  - &quot;A1&quot;   7
"#;
    assert!(out.starts_with(expected), "{out}");
    assert!(out.ends_with("</failure>\n    </testcase>\n  </testsuite>\n</testsuites>\n"), "{out}");
}

#[test]
fn a_filter_picks_tests_by_name() {
    let folder = Folder::with(&[("topology.toml", &format!("{TRAFFIC}{FAILING}"))]);
    let ended = folder.run(&["test", "topology.toml", "--filter", "hold"]);
    assert_eq!((ended.code, untimed(&ended.out).as_str()), (Some(0), "ok      holds\n1 passed\n"));
    let ended = folder.run(&["test", "topology.toml", "--filter", "other"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), "topology.toml: none of 2 tests has \"other\" in its name\n"));
    let folder = Folder::with(&[("topology.toml", TRAFFIC)]);
    let ended = folder.run(&["test", "topology.toml"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), "topology.toml: there are no tests; write them under [[tests]]\n"));
}

#[test]
fn tests_in_a_file_of_their_own() {
    let tests = "topology = \"topology.toml\"\n\n[[tests]]\nname = \"nothing\"\nsteps = [{ expect = \"flights\", rows = [] }]\n";
    let folder = Folder::with(&[("topology.toml", HOURLY), ("hourly.tests.toml", tests)]);
    let ended = folder.run(&["test", "hourly.tests.toml"]);
    assert_eq!((ended.code, untimed(&ended.out).as_str(), ended.err.as_str()), (Some(0), "ok      nothing\n1 passed\n", ""));
    let wrong = tests.replace("flights", "fligths").replace("[[tests]]", "[runtime]\n[[tests]]");
    let folder = Folder::with(&[("topology.toml", &HOURLY.replace("tumble", "tumbel")), ("hourly.tests.toml", &wrong)]);
    let ended = folder.run(&["test", "hourly.tests.toml"]);
    assert_eq!(ended.code, Some(2));
    for part in ["topology.toml:14:10: error[", "hourly.tests.toml:3:2: error[unknown-key]", "hourly.tests.toml: 2 mistakes\n"] {
        assert!(ended.err.contains(part), "{part} is not in:\n{}", ended.err);
    }
    let folder = Folder::with(&[("topology.toml", HOURLY), ("hourly.tests.toml", &wrong.replace("[runtime]\n", ""))]);
    let ended = folder.run(&["test", "hourly.tests.toml"]);
    assert!(ended.err.starts_with("hourly.tests.toml:5:22: error[unknown-stream]: there is no stream or sink `fligths`"), "{}", ended.err);
    let folder = Folder::with(&[("hourly.tests.toml", tests)]);
    let ended = folder.run(&["test", "hourly.tests.toml"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.starts_with("hourly.tests.toml:1:13: error[cannot-read]: the topology cannot be read: "), "{}", ended.err);
}

#[test]
fn check_finds_what_is_wrong_with_tests() {
    let tests = "[[tests]]\nname = \"nothing\"\nsteps = [{ expect = \"fligths\", rows = [] }]\n";
    let folder = Folder::with(&[("topology.toml", &format!("{HOURLY}{tests}")), ("in.ndjson", "")]);
    for command in ["check", "test"] {
        let ended = folder.run(&[command, "topology.toml"]);
        assert_eq!(ended.code, Some(2));
        assert!(ended.err.starts_with("topology.toml:30:22: error[unknown-stream]: "), "{}", ended.err);
    }
}

#[test]
fn a_source_without_its_file_needs_a_schema() {
    let schema = "schema = { carrier = \"string not null\", departed = \"timestamp\", delay = \"bigint\" }\n";
    let ended = test(&HOURLY.replace(schema, ""), "[[tests]]\nname = \"nothing\"\nsteps = []\n");
    assert_eq!(ended.code, Some(2));
    let expected = "error[path-not-found]: `in.ndjson` is not there, and there is no `schema`\n";
    assert!(
        ended.err.contains(expected) && ended.err.contains("help: tests in the file look at no path; give the source"),
        "{}",
        ended.err
    );
}

#[test]
fn the_streams_of_a_source_with_several() {
    let topology = r#"
name = "auctions"

[sources.nexmark]
type = "nexmark"
time = { by = "date_time" }
rate = 1

[operators.dear]
type  = "filter"
input = "nexmark.bid"
where = "price > ${LEAST:-100}"

[sinks.out]
type  = "discard"
input = "dear"
"#;
    let tests = r#"
[[tests]]
name  = "only dear bids"
steps = [
    { send = "nexmark.bid", rows = [
        { auction = 1, bidder = 1, price = 100, channel = "c", url = "u", date_time = "2024-01-01T00:00:00Z", extra = "" },
        { auction = 2, bidder = 1, price = 101, channel = "c", url = "u", date_time = "2024-01-01T00:00:00Z", extra = "" },
    ] },
    { expect = "out", rows = [{ auction = 2, price = 101 }] },
]
"#;
    assert_passes(topology, tests);
}

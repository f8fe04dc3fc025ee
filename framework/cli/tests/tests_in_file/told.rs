//! What a user sees: rows that differ, expectations that are rewritten, results for build servers, mistakes in tests.

use crate::command::{Folder, HOURLY};
use crate::{TRAFFIC, assert_passes, test, untimed};

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

/// Nobody but the test reads these streams, and it names none of their columns.
#[test]
fn rows_of_side_streams_that_should_not_be_there_are_shown() {
    let tests = r#"
[[tests]]
name  = "nothing is put aside"
steps = [
    { end = "trucks" },
    { send = "cars", rows = '''
        {"road": "A1", "at": 600, "speed": 1}
        {"road": "A2", "at": 0, "speed": 2}
        no json
    ''' },
    { expect_rejected = "cars", rows = [] },
    { expect_late = "minutes", rows = [] },
]
"#;
    let folder = Folder::with(&[("topology.toml", &format!("{TRAFFIC}{tests}"))]);
    let ended = folder.run(&["test", "topology.toml"]);
    let expected = r#"FAILED  nothing is put aside
  topology.toml:69: expect_rejected = "cars": 1 unexpected
      reason                                                        place                      raw
    + "this line is not a JSON object: expected ident at column 2"  "cars: row 3 of the step"  "no json"
  topology.toml:70: expect_late = "minutes": 1 unexpected
    name columns under `rows` to see them: nobody else reads any
0 passed, 1 failed
"#;
    assert_eq!(untimed(&ended.out), expected);
    assert_eq!(folder.run(&["test", "topology.toml", "--update"]).code, Some(0));
    assert!(folder.read("topology.toml").contains("raw = \"no json\""));
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
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "a name that has changed would pass for ever");
    assert!(ended.err.contains("topology.toml: none of 2 tests has \"other\" in its name\n"), "{}", ended.err);
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

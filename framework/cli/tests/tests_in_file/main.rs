//! `millstream test` as a user sees it: every step, what is said of those that do not hold, and what is written in their place:
//! here the steps, in [`told`] what a user sees of them.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

#[path = "../command/mod.rs"]
mod command;
mod told;

use command::{Ended, Folder};

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

//! Sources that are replayed at the data's own speed, in virtual time.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod support;

use millstream_testkit::Script;

fn start(time: &str, settings: &[&str], seed: u64) -> Script {
    start_with(time, "", settings, seed)
}

fn start_with(time: &str, beside: &str, settings: &[&str], seed: u64) -> Script {
    let topology = format!(
        r#"
name = "replayed"
[sources.in]
type = "script"
time = {{ by = "at", pace = "event", {time} }}
schema = {{ n = "bigint", at = "timestamp" }}
[sinks.out]
type = "collect"
input = "in"
{beside}"#
    );
    support::start(&topology, settings, seed)
}

/// Sends rows one by one, as a source reads that is replayed: row `n` has this second as its event time, `None`: none.
fn send(script: &mut Script, seconds: &[Option<i64>]) {
    for (n, second) in seconds.iter().enumerate() {
        let at = second.map_or("null".to_owned(), |second| format!("{:?}", millstream_api::time::rfc3339(second * 1_000_000)));
        script.send_only("in", &format!("{{\"n\": {n}, \"at\": {at}}}\n")).unwrap();
    }
    script.advance("0s").unwrap();
}

/// How many rows have come, each time after this much more time.
fn rows_after(script: &mut Script, waits: &[&str]) -> Vec<usize> {
    let mut rows = Vec::new();
    for wait in waits {
        script.advance(wait).unwrap();
        rows.push(script.rows("out").unwrap().lines().count());
    }
    rows
}

#[test]
fn rows_come_as_far_apart_as_they_happened() {
    for seed in 0..4 {
        let mut script = start("on_null = \"skip\"", &[], seed);
        // The fourth is late and comes along with the third; the fifth has no time and waits for nothing.
        send(&mut script, &[Some(100), Some(100), Some(110), Some(50), None, Some(111)]);
        assert_eq!(rows_after(&mut script, &["0s", "9999ms", "1ms", "999ms", "1ms"]), [2, 2, 4, 4, 5]);
        script.end().unwrap();
        assert!(script.ledger().balances());
    }
}

#[test]
fn speed_is_a_factor() {
    let mut script = start("speed = 60.0", &[], 1);
    send(&mut script, &[Some(0), Some(60), Some(600)]);
    assert_eq!(rows_after(&mut script, &["0s", "1s", "8999ms", "1ms"]), [1, 2, 2, 3]);
    let mut script = start("speed = 0.5", &[], 1);
    send(&mut script, &[Some(0), Some(1)]);
    assert_eq!(rows_after(&mut script, &["1999ms", "1ms"]), [1, 2]);
}

#[test]
fn a_source_that_waits_for_its_pace_is_not_idle() {
    let beside = r#"
[sources.other]
type = "script"
time = { by = "at" }
schema = { n = "bigint", at = "timestamp" }
[operators.both]
type = "union"
inputs = ["in", "other"]
[operators.windows]
type = "window"
input = "both"
kind = "tumble"
size = "10s"
[operators.counts]
type = "aggregate"
input = "windows"
compute = ["count(*) as n"]
[sinks.counted]
type = "collect"
input = "counts"
"#;
    let mut script = start_with("idle_after = \"1s\"", beside, &[], 1);
    send(&mut script, &[Some(0), Some(3600)]);
    script.send("other", "{\"n\": 9, \"at\": \"1970-01-01T00:01:40Z\"}\n").unwrap();
    // Idle, it would let the other one close the first window: the row that is held is due in an hour.
    script.advance("10s").unwrap();
    assert_eq!(script.rows("counted").unwrap(), "");
    script.advance("3590s").unwrap();
    assert_eq!(script.rows("counted").unwrap().lines().count(), 1);
}

#[test]
fn after_a_crash_the_rows_that_were_held_come_again_once() {
    for seed in 0..6 {
        let mut script = start("max_delay = \"1s\"", &["runtime.workers=2"], seed);
        send(&mut script, &[Some(0), Some(10), Some(20), Some(30)]);
        assert_eq!(rows_after(&mut script, &["10s"]), [2]);
        script.checkpoint().unwrap();
        assert_eq!(rows_after(&mut script, &["10s"]), [3]);
        script.crash_and_restore(&["runtime.workers=1"]).unwrap();
        // The clock of the event time starts with the first row that is read then.
        assert_eq!(rows_after(&mut script, &["0s", "9s", "1s"]), [3, 3, 4]);
    }
}

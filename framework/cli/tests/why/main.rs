//! `why` over runs in virtual time: each reason for which a node gives no rows, in the words that users read: here of one source, in [`several`] of
//! nodes with several inputs, in [`held`] of nodes that hold the watermark or their rows back.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod held;
mod several;

use expect_test::{Expect, expect};
use millstream_api::Registry;
use millstream_runtime::why::why;
use millstream_testkit::Script;

const TEXT: &str = r#"
name = "t"
[sources.departures]
type = "script"
time = { by = "at", max_delay = "1h", idle_after = "30s" }
schema = { carrier = "string", at = "timestamp", delay = "bigint" }
[operators.real]
type = "filter"
input = "departures"
where = "delay > 0"
[operators.hourly]
type = "window"
input = "real"
kind = "tumble"
size = "1h"
[operators.delays]
type = "aggregate"
input = "hourly"
by = ["carrier"]
compute = ["count(*) as flights"]
allowed_lateness = "10m"
parallelism = 2
[sinks.board]
type = "collect"
input = "delays"
"#;

fn script(text: &str) -> Script {
    let mut registry = Registry::new();
    millstream_operators::register(&mut registry);
    Script::start(registry, text, &["runtime.workers=1"], 1).unwrap()
}

fn check(script: &mut Script, node: &str, expected: Expect) {
    let observation = script.run().observe();
    expected.assert_eq(&why(script.topology(), Some(&observation), node).unwrap().text());
}

fn planned(text: &str, node: &str, expected: Expect) {
    expected.assert_eq(&why(script(text).topology(), None, node).unwrap().text());
}

#[test]
fn nothing_has_been_read() {
    check(
        &mut script(TEXT),
        "board",
        expect![[r#"
            board (`collect`) has written no row
              no row has come to board, delays, hourly and real
              departures waits for input
            the watermark is held by
              departures, split departures
                no row with an event time has been read
                a later row raises it, or the end of the split
                idle_after = "30s": after that long without input it no longer holds the watermark
            on the way
              departures: 0 rows in, 0 out
              real: 0 rows in, 0 out
              hourly: 0 rows in, 0 out
              delays: 0 rows in, 0 out
              board: 0 rows in
        "#]],
    );
}

#[test]
fn a_window_waits_for_its_end() {
    let mut run = script(TEXT);
    run.send("departures", r#"{"carrier":"UA","at":"2013-01-01T10:05:00Z","delay":4}"#).unwrap();
    check(
        &mut run,
        "delays",
        expect![[r#"
        delays (`aggregate`) has sent no row
          delays holds rows until its watermark reaches 2013-01-01T11:10:00Z; it is 2013-01-01T09:05:00Z
        the watermark is held by
          departures, split departures
            greatest event time 2013-01-01T10:05:00Z, less max_delay = "1h": watermark 2013-01-01T09:05:00Z
            a row at 2013-01-01T12:10:00Z or later is enough, or the end of the split
            idle_after = "30s": after that long without input it no longer holds the watermark
        on the way
          departures: 1 row in, 1 out
          real: 1 row in, 1 out
          hourly: 1 row in, 1 out
          delays: 1 row in, 1 taken, 0 out
    "#]],
    );
    check(
        &mut run,
        "board",
        expect![[r#"
            board (`collect`) has written no row
              no row has come to board
              delays holds rows until its watermark reaches 2013-01-01T11:10:00Z; it is 2013-01-01T09:05:00Z
            the watermark is held by
              departures, split departures
                greatest event time 2013-01-01T10:05:00Z, less max_delay = "1h": watermark 2013-01-01T09:05:00Z
                a row at 2013-01-01T12:10:00Z or later is enough, or the end of the split
                idle_after = "30s": after that long without input it no longer holds the watermark
            on the way
              departures: 1 row in, 1 out
              real: 1 row in, 1 out
              hourly: 1 row in, 1 out
              delays: 1 row in, 1 taken, 0 out
              board: 0 rows in
        "#]],
    );
}

#[test]
fn everything_is_filtered() {
    let mut run = script(TEXT);
    run.send("departures", r#"{"carrier":"UA","at":"2013-01-01T10:05:00Z","delay":0}"#).unwrap();
    check(
        &mut run,
        "delays",
        expect![[r#"
            delays (`aggregate`) has sent no row
              no row has come to delays and hourly
              every row that came to real is filtered
            on the way
              departures: 1 row in, 1 out
              real: 1 row in, 1 filtered, 0 out
              hourly: 0 rows in, 0 out
              delays: 0 rows in, 0 out
        "#]],
    );
}

#[test]
fn everything_is_late() {
    let mut run = script(TEXT);
    run.send("departures", r#"{"carrier":"UA","at":"2013-01-02T10:05:00Z","delay":0}"#).unwrap();
    run.send("departures", r#"{"carrier":"UA","at":"2013-01-01T10:05:00Z","delay":2}"#).unwrap();
    check(
        &mut run,
        "delays",
        expect![[r#"
            delays (`aggregate`) has sent no row
              every row that came to delays is late
              they came further behind than the sources' max_delay allows: raise it, or allowed_lateness
            on the way
              departures: 2 rows in, 2 out
              real: 2 rows in, 1 filtered, 1 out
              hourly: 1 row in, 1 out
              delays: 1 row in, 1 late, 0 out
        "#]],
    );
}

#[test]
fn the_split_is_idle() {
    let mut run = script(TEXT);
    run.send("departures", r#"{"carrier":"UA","at":"2013-01-01T10:05:00Z","delay":4}"#).unwrap();
    run.advance("31s").unwrap();
    check(
        &mut run,
        "delays",
        expect![[r#"
            delays (`aggregate`) has sent no row
              delays holds rows until its watermark reaches 2013-01-01T11:10:00Z; it is 2013-01-01T09:05:00Z
            the watermark is held by
              departures, split departures
                greatest event time 2013-01-01T10:05:00Z, less max_delay = "1h": watermark 2013-01-01T09:05:00Z
                a row at 2013-01-01T12:10:00Z or later is enough, or the end of the split
                it is idle (idle_after = "30s"), and so is all that comes to the node: the watermark stands
            on the way
              departures: 1 row in, 1 out
              real: 1 row in, 1 out
              hourly: 1 row in, 1 out
              delays: 1 row in, 1 taken, 0 out
        "#]],
    );
}

#[test]
fn windows_close_and_inputs_end() {
    let mut run = script(TEXT);
    run.send("departures", r#"{"carrier":"UA","at":"2013-01-01T10:05:00Z","delay":4}"#).unwrap();
    run.send("departures", r#"{"carrier":"UA","at":"2013-01-01T12:20:00Z","delay":4}"#).unwrap();
    check(
        &mut run,
        "delays",
        expect![[r#"
        delays (`aggregate`) has sent 1 row
          delays holds rows until its watermark reaches 2013-01-01T13:10:00Z; it is 2013-01-01T11:20:00Z
        the watermark is held by
          departures, split departures
            greatest event time 2013-01-01T12:20:00Z, less max_delay = "1h": watermark 2013-01-01T11:20:00Z
            a row at 2013-01-01T14:10:00Z or later is enough, or the end of the split
            idle_after = "30s": after that long without input it no longer holds the watermark
        on the way
          departures: 2 rows in, 2 out
          real: 2 rows in, 2 out
          hourly: 2 rows in, 2 out
          delays: 2 rows in, 2 taken, 1 out
    "#]],
    );
    run.end().unwrap();
    check(
        &mut run,
        "delays",
        expect![[r#"
        delays (`aggregate`) has sent 2 rows, and has ended: no more will come
        on the way
          departures: 2 rows in, 2 out
          real: 2 rows in, 2 out
          hourly: 2 rows in, 2 out
          delays: 2 rows in, 2 taken, 2 out
    "#]],
    );
}

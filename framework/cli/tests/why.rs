//! `why` over runs in virtual time: each reason for which a node gives no rows, in the words that users read.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

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
    expected.assert_eq(&why(&script.topology().unwrap(), Some(&observation), node).unwrap().text());
}

fn planned(text: &str, node: &str, expected: Expect) {
    expected.assert_eq(&why(&script(text).topology().unwrap(), None, node).unwrap().text());
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

const TWO: &str = r#"
name = "t"
[sources.fast]
type = "script"
time = { by = "at" }
schema = { n = "bigint", at = "timestamp" }
[sources.slow]
type = "script"
time = { by = "at", max_delay = "5m" }
schema = { n = "bigint", at = "timestamp" }
[operators.both]
type = "union"
inputs = ["fast", "slow"]
[operators.minutes]
type = "window"
input = "both"
kind = "tumble"
size = "1m"
[operators.counted]
type = "aggregate"
input = "minutes"
compute = ["count(*) as n"]
[sinks.out]
type = "collect"
input = "counted"
"#;

#[test]
fn the_slower_of_two_sources_holds_the_watermark() {
    let mut run = script(TWO);
    run.send("fast", r#"{"n":1,"at":"2013-01-01T10:05:30Z"}"#).unwrap();
    check(
        &mut run,
        "counted",
        expect![[r#"
        counted (`aggregate`) has sent no row
          counted holds rows until its watermark reaches 2013-01-01T10:06:00Z; it has none yet
        the watermark is held by
          slow, split slow
            no row with an event time has been read
            a row at 2013-01-01T10:11:00Z or later is enough, or the end of the split
            no idle_after: it holds the watermark for as long as it is silent
        on the way
          fast: 1 row in, 1 out
          slow: 0 rows in, 0 out
          both: 1 row in, 1 out
          minutes: 1 row in, 1 out
          counted: 1 row in, 1 taken, 0 out
    "#]],
    );
    run.send("slow", r#"{"n":1,"at":"2013-01-01T10:06:00Z"}"#).unwrap();
    check(
        &mut run,
        "counted",
        expect![[r#"
        counted (`aggregate`) has sent no row
          counted holds rows until its watermark reaches 2013-01-01T10:06:00Z; it is 2013-01-01T10:01:00Z
        the watermark is held by
          slow, split slow
            greatest event time 2013-01-01T10:06:00Z, less max_delay = "5m": watermark 2013-01-01T10:01:00Z
            a row at 2013-01-01T10:11:00Z or later is enough, or the end of the split
            no idle_after: it holds the watermark for as long as it is silent
        on the way
          fast: 1 row in, 1 out
          slow: 1 row in, 1 out
          both: 2 rows in, 2 out
          minutes: 2 rows in, 2 out
          counted: 2 rows in, 2 taken, 0 out
    "#]],
    );
}

#[test]
fn a_reader_without_credit_holds_up() {
    let mut run = script(&TWO.replace("name = \"t\"\n", "name = \"t\"\nruntime = { mailbox = 1, batch_rows = 1 }\n"));
    run.run().hold(Some("out"));
    for minute in 10..30 {
        let rows = format!("{{\"n\":1,\"at\":\"2013-01-01T10:{minute}:00Z\"}}");
        run.send("fast", &rows).unwrap();
        run.send("slow", &rows).unwrap();
    }
    run.advance("10s").unwrap();
    check(
        &mut run,
        "counted",
        expect![[r#"
            counted (`aggregate`) has sent 2 rows
              counted has rows ready for which out has no credit
            on the way
              fast: 11 rows in, 11 out
              slow: 11 rows in, 11 out
              both: 19 rows in, 19 out
              minutes: 18 rows in, 18 out
              counted: 16 rows in, 16 taken, 2 out
            fast waits for credit of both: 100 % of the time
            slow waits for credit of both: 100 % of the time
            both waits for credit of minutes: 100 % of the time
            minutes waits for credit of counted: 100 % of the time
            counted waits for credit of out: 100 % of the time
        "#]],
    );
}

#[test]
fn a_file_says_what_a_node_needs() {
    planned(
        TEXT,
        "board",
        expect![[r#"
            board (`collect`) gives a row when delays does
              delays (`aggregate`) gives a row when a window closes (windows of 1h): its watermark must reach the end of the window, and any allowed lateness
            the watermark follows
              departures
                it passes a time when each split has read a row 1h after it or later (max_delay), or has ended
                a split that is silent for 30s no longer holds the watermark (idle_after)
            on the way
              real: leaves out rows for which `where` is not true
              delays: leaves out rows that are late for all their windows
        "#]],
    );
    planned(
        TEXT,
        "delays.late",
        expect![[r#"
            delays.late (`aggregate`) gives a row at once, when a row is late for all its windows
        "#]],
    );
    planned(
        TEXT,
        "real",
        expect![[r#"
            real (`filter`) gives a row as rows come to it
            on the way
              real: leaves out rows for which `where` is not true
        "#]],
    );
    planned(
        TWO,
        "counted",
        expect![[r#"
            counted (`aggregate`) gives a row when a window closes (windows of 1m): its watermark must reach the end of the window, and any allowed lateness
            the watermark follows
              fast
                it passes a time when each split has read a row of that time or later, or has ended
                a split that is silent holds the watermark for as long as it is (no idle_after)
              slow
                it passes a time when each split has read a row 5m after it or later (max_delay), or has ended
                a split that is silent holds the watermark for as long as it is (no idle_after)
            on the way
              counted: leaves out rows that are late for all their windows
        "#]],
    );
}

#[test]
fn an_unknown_node_has_a_near_name() {
    let unknown = why(&script(TEXT).topology().unwrap(), None, "delay").unwrap_err();
    assert_eq!(unknown.to_string(), "there is no node `delay`");
    assert_eq!(unknown.help, "did you mean `delays`? nodes: departures, real, hourly, delays, board");
}

const AS_OF: &str = r#"
name = "t"
[sources.bids]
type = "script"
time = { by = "at", max_delay = "5m" }
schema = { currency = "string", price = "bigint", at = "timestamp" }
[sources.rates]
type = "script"
time = { by = "at" }
schema = { currency = "string", rate = "bigint", at = "timestamp" }
[operators.priced]
type = "join"
left = "bids"
right = "rates"
mode = "as_of"
on = "left.currency = right.currency"
columns = ["left.price as price", "right.rate as rate"]
[sinks.out]
type = "collect"
input = "priced"
"#;

#[test]
fn a_join_as_of_waits_for_both_sides() {
    planned(
        AS_OF,
        "out",
        expect![[r#"
        out (`collect`) gives a row when priced does
          priced (`join`) gives a row as rows come to it, or when its watermark passes those that it holds
        the watermark follows
          bids
            it passes a time when each split has read a row 5m after it or later (max_delay), or has ended
            a split that is silent holds the watermark for as long as it is (no idle_after)
          rates
            it passes a time when each split has read a row of that time or later, or has ended
            a split that is silent holds the watermark for as long as it is (no idle_after)
    "#]],
    );
    let mut run = script(AS_OF);
    run.send("bids", r#"{"currency":"EUR","price":4,"at":"2013-01-01T10:05:00Z"}"#).unwrap();
    run.send("rates", r#"{"currency":"EUR","rate":2,"at":"2013-01-01T10:00:00Z"}"#).unwrap();
    check(
        &mut run,
        "out",
        expect![[r#"
        out (`collect`) has written no row
          no row has come to out
          priced holds rows until its watermark reaches 2013-01-01T10:05:00.000001Z; it is 2013-01-01T10:00:00Z
        the watermark is held by
          bids, split bids
            greatest event time 2013-01-01T10:05:00Z, less max_delay = "5m": watermark 2013-01-01T10:00:00Z
            a row at 2013-01-01T10:10:00.000001Z or later is enough, or the end of the split
            no idle_after: it holds the watermark for as long as it is silent
          rates, split rates
            greatest event time 2013-01-01T10:00:00Z: watermark 2013-01-01T10:00:00Z
            a row at 2013-01-01T10:05:00.000001Z or later is enough, or the end of the split
            no idle_after: it holds the watermark for as long as it is silent
        on the way
          bids: 1 row in, 1 out
          rates: 1 row in, 1 out
          priced: 2 rows in, 2 taken, 0 out
          out: 0 rows in
    "#]],
    );
}

const ONCE: &str = r#"
name = "t"
[sources.clicks]
type = "script"
time = { by = "at", max_delay = "1m" }
schema = { user = "string", at = "timestamp" }
[operators.firsts]
type = "deduplicate"
input = "clicks"
by = ["user"]
keep = "first"
within = "1h"
[sinks.out]
type = "collect"
input = "firsts"
"#;

#[test]
fn duplicates_are_judged_when_the_watermark_has_passed_them() {
    let mut run = script(ONCE);
    run.send("clicks", r#"{"user":"a","at":"2013-01-01T10:05:00Z"}"#).unwrap();
    check(
        &mut run,
        "out",
        expect![[r#"
        out (`collect`) has written no row
          no row has come to out
          firsts holds rows until its watermark reaches 2013-01-01T10:05:00.000001Z; it is 2013-01-01T10:04:00Z
        the watermark is held by
          clicks, split clicks
            greatest event time 2013-01-01T10:05:00Z, less max_delay = "1m": watermark 2013-01-01T10:04:00Z
            a row at 2013-01-01T10:06:00.000001Z or later is enough, or the end of the split
            no idle_after: it holds the watermark for as long as it is silent
        on the way
          clicks: 1 row in, 1 out
          firsts: 1 row in, 1 taken, 0 out
          out: 0 rows in
    "#]],
    );
}

/// Nodes that hold the watermark back, each behind the other.
const BEHIND: &str = r#"
name = "t"
[sources.orders]
type = "script"
time = { by = "at", max_delay = "1h" }
schema = { id = "bigint", at = "timestamp" }
[sources.paid]
type = "script"
time = { by = "at" }
schema = { id = "bigint", at = "timestamp" }
[operators.once]
type = "deduplicate"
input = "paid"
by = ["id"]
keep = "last"
within = "2h"
[operators.both]
type = "join"
left = "orders"
right = "once"
mode = "interval"
kind = "left"
on = "left.id = right.id"
after = "12h"
columns = ["left.id as id", "left.at as ordered"]
[operators.timed]
type = "event_time"
input = "both"
by = "ordered"
max_delay = "1m"
[operators.hours]
type = "window"
input = "timed"
kind = "tumble"
size = "1h"
[operators.counted]
type = "aggregate"
input = "hours"
compute = ["count(*) as n"]
emit = { every = "10s" }
[sinks.out]
type = "collect"
input = "counted"
"#;

#[test]
fn a_file_says_who_holds_the_watermark_back() {
    planned(
        BEHIND,
        "counted",
        expect![[r#"
        counted (`aggregate`) gives a row when a window closes (windows of 1h): its watermark must reach the end of the window, and any allowed lateness; before that come early rows, as often as `emit` says
        the watermark follows
          orders
            it passes a time when each split has read a row 13h1m after it or later (max_delay, both stays 12h behind, timed stays 1m behind), or has ended
            a split that is silent holds the watermark for as long as it is (no idle_after)
          paid
            it passes a time when each split has read a row 14h1m after it or later (once stays 2h behind, both stays 12h behind, timed stays 1m behind), or has ended
            a split that is silent holds the watermark for as long as it is (no idle_after)
        on the way
          counted: leaves out rows that are late for all their windows
    "#]],
    );
}

#[test]
fn a_late_row_waits_for_nothing() {
    let mut run = script(TEXT);
    run.send("departures", r#"{"carrier":"UA","at":"2013-01-02T10:05:00Z","delay":0}"#).unwrap();
    run.send("departures", r#"{"carrier":"UA","at":"2013-01-01T10:05:00Z","delay":2}"#).unwrap();
    check(
        &mut run,
        "delays.late",
        expect![[r#"
        delays.late (`aggregate`) gives a row at once, when a row is late for all its windows
          1 row came to delays: 1 late
    "#]],
    );
}

const TABLE: &str = r#"
name = "t"
[sources.bids]
type = "script"
time = { by = "at" }
schema = { seller = "bigint", at = "timestamp" }
rate = 1000
[sources.sellers]
type = "script"
schema = { seller = "bigint", city = "string" }
[operators.known]
type = "join"
left = "bids"
right = "sellers"
mode = "lookup"
on = "left.seller = right.seller"
columns = ["left.seller as seller", "city"]
[operators.latest]
type = "deduplicate"
input = "known"
by = ["seller"]
keep = "last"
[sinks.out]
type = "collect"
input = "latest"
"#;

#[test]
fn a_table_is_read_first() {
    planned(
        TABLE,
        "known",
        expect![[r#"
        known (`join`) gives a row as rows of bids come to it, once sellers has been read to its end
    "#]],
    );
}

#[test]
fn the_last_row_of_a_key_waits_for_the_watermark() {
    planned(
        TABLE,
        "latest",
        expect![[r#"
        latest (`deduplicate`) gives a row as rows come to it, or when its watermark passes those that it holds
        the watermark follows
          bids
            it passes a time when each split has read a row of that time or later, or has ended
            a split that is silent holds the watermark for as long as it is (no idle_after)
    "#]],
    );
}

#[test]
fn a_source_waits_for_its_rate() {
    check(
        &mut script(TABLE),
        "bids",
        expect![[r#"
        bids (`script`) has sent no row
          bids waits for its `rate` of 1,000 rows a second, or for input
        the watermark is held by
          bids, split bids
            no row with an event time has been read
            a later row raises it, or the end of the split
            no idle_after: it holds the watermark for as long as it is silent
        on the way
          bids: 0 rows in, 0 out
    "#]],
    );
}

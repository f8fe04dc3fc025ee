//! Nodes that wait for more than the watermark of their input, or hold back what they send on.

use expect_test::expect;

use millstream_runtime::observe::{AwaitedObservation, RequestsObservation};
use millstream_runtime::why::why;

use super::{TEXT, check, planned, script};

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

#[test]
fn a_service_that_does_not_answer_is_said_first() {
    let mut run = script(ONCE);
    run.send("clicks", r#"{"user":"a","at":"2013-01-01T10:05:00Z"}"#).unwrap();
    let mut observation = run.run().observe();
    observation.at_micros = 62_000_000;
    let out = observation.nodes.iter_mut().find(|node| node.node == "out").unwrap();
    out.rows_in = 1;
    let awaited = AwaitedObservation {
        to: "http://alerts/in".to_owned(),
        since_micros: 50_000_000,
        failed: 3,
        attempts: 10,
        said: "the answer was 503 Service Unavailable".to_owned(),
    };
    out.requests = Some(RequestsObservation { awaited: Some(awaited), ..RequestsObservation::default() });
    let said = "out waits for http://alerts/in: attempt 3 of 10 has failed, the first one 12 s ago: the answer was 503 Service Unavailable";
    for node in ["out", "firsts", "clicks"] {
        let why = why(run.topology(), Some(&observation), node).unwrap();
        assert_eq!(why.answer[1], said, "{}", why.text());
        assert!(!why.text().contains("every row"), "{}", why.text());
    }
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

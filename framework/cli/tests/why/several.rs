//! Several sources, and who of them holds what up.

use expect_test::expect;
use millstream_runtime::why::why;

use super::{TEXT, check, planned, script};

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
fn a_source_that_is_too_far_ahead_names_the_one_it_waits_for() {
    let mut run = script(&TWO.replace("time = { by = \"at\"", "time = { by = \"at\", max_ahead = \"1m\""));
    run.send("fast", r#"{"n":1,"at":"2013-01-01T10:05:30Z"}"#).unwrap();
    run.send("fast", r#"{"n":2,"at":"2013-01-01T10:05:31Z"}"#).unwrap();
    check(
        &mut run,
        "fast",
        expect![[r#"
        fast (`script`) has sent 1 row
          fast is held by time.max_ahead = "1m": it waits for slow, which has read no row with an event time; fast is at 2013-01-01T10:05:30Z
        on the way
          fast: 1 row in, 1 out
    "#]],
    );
    run.send("slow", r#"{"n":1,"at":"2013-01-01T10:04:00Z"}"#).unwrap();
    check(
        &mut run,
        "fast",
        expect![[r#"
        fast (`script`) has sent 1 row
          fast is held by time.max_ahead = "1m": it waits for slow, which is at 2013-01-01T10:04:00Z; fast is at 2013-01-01T10:05:30Z, 1m30s ahead
        on the way
          fast: 1 row in, 1 out
    "#]],
    );
    run.send("slow", r#"{"n":1,"at":"2013-01-01T10:10:00Z"}"#).unwrap();
    check(
        &mut run,
        "fast",
        expect![[r#"
        fast (`script`) has sent 2 rows
          fast waits for input
        the watermark is held by
          fast, split fast
            greatest event time 2013-01-01T10:05:31Z: watermark 2013-01-01T10:05:31Z
            a later row raises it, or the end of the split
            no idle_after: it holds the watermark for as long as it is silent
        on the way
          fast: 2 rows in, 2 out
    "#]],
    );
}

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
    let unknown = why(script(TEXT).topology(), None, "delay").unwrap_err();
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

//! Every operator as part of a small topology, step by step: rows, watermarks, a checkpoint in mid-stream, a crash, and back
//! at another parallelism. Expected rows stand beside the steps; `UPDATE_EXPECT=1` writes them anew.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod support;

use expect_test::{Expect, expect};
use millstream_testkit::Script;

const FLIGHTS: &str = r#"
name = "script"
[sources.flights]
type = "script"
time = { by = "at", max_delay = "10s" }
schema = { carrier = "string", delay = "bigint", at = "timestamp not null" }
"#;

fn start(operators: &str, settings: &[&str], seed: u64) -> Script {
    support::start(&format!("{FLIGHTS}{operators}"), settings, seed)
}

/// Rows as `carrier delay second`, one for each.
fn rows(rows: &[(&str, i64, i64)]) -> String {
    let line = |(carrier, delay, second): &(&str, i64, i64)| {
        let time = millstream_api::time::rfc3339(second * 1_000_000);
        format!("{{\"carrier\": \"{carrier}\", \"delay\": {delay}, \"at\": \"{time}\"}}\n")
    };
    rows.iter().map(line).collect()
}

/// Sends [`SOME`], takes a checkpoint while they are under way, sends [`MORE`], crashes, comes back at parallelism 3, ends. The
/// result must be the same for all seeds, and the same as without any of it.
fn crashed_in_mid_stream(operators: &str, sink: &str, expected: &Expect) {
    let (first, second) = (rows(&SOME), rows(&MORE));
    let mut straight = start(operators, &["runtime.workers=1"], 0);
    straight.send("flights", &format!("{first}{second}")).unwrap();
    straight.end().unwrap();
    expected.assert_eq(&straight.rows(sink).unwrap());
    assert!(straight.ledger().balances(), "{:?}", straight.ledger());
    for seed in 1..12 {
        // Keyed state in memory and on disk, from each to each.
        let [before, after] = [seed % 2, seed / 2 % 2].map(|disk| format!("runtime.state={}", ["memory", "disk"][disk as usize]));
        let mut script = start(operators, &["runtime.workers=2", "runtime.mailbox=1", &before], seed);
        script.send_only("flights", &first).unwrap();
        script.turns(seed as usize * 3).unwrap();
        script.checkpoint().unwrap();
        script.send("flights", &second).unwrap();
        script.crash_and_restore(&["runtime.workers=3", "runtime.batch_rows=2", &after]).unwrap();
        script.end().unwrap();
        assert_eq!(script.rows(sink).unwrap(), straight.rows(sink).unwrap(), "seed {seed}");
    }
}

const SOME: [(&str, i64, i64); 6] = [("UA", 2, 0), ("AA", 33, 4), ("UA", -5, 12), ("DL", 8, 3), ("UA", 40, 25), ("AA", 7, 30)];

// The watermark is 30 s − 10 s when these begin: the row at 9 s is late for every window that ends by 20 s.
const MORE: [(&str, i64, i64); 5] = [("AA", 1, 22), ("UA", 3, 9), ("AA", 60, 47), ("DL", 5, 36), ("UA", 9, 61)];

#[test]
fn filter() {
    let operators = "
[operators.delayed]
type = 'filter'
input = 'flights'
where = 'delay > 5'
[sinks.out]
type = 'collect'
input = 'delayed'
";
    crashed_in_mid_stream(
        operators,
        "out",
        &expect![[r#"
            {"carrier":"AA","delay":33,"at":"1970-01-01T00:00:04Z"}
            {"carrier":"AA","delay":60,"at":"1970-01-01T00:00:47Z"}
            {"carrier":"AA","delay":7,"at":"1970-01-01T00:00:30Z"}
            {"carrier":"DL","delay":8,"at":"1970-01-01T00:00:03Z"}
            {"carrier":"UA","delay":40,"at":"1970-01-01T00:00:25Z"}
            {"carrier":"UA","delay":9,"at":"1970-01-01T00:01:01Z"}
        "#]],
    );
}

#[test]
fn select() {
    let operators = "
[operators.hours]
type = 'select'
input = 'flights'
columns = ['carrier', 'delay / 60.0 as hours']
[sinks.out]
type = 'collect'
input = 'hours'
";
    crashed_in_mid_stream(
        operators,
        "out",
        &expect![[r#"
            {"carrier":"AA","hours":0.016666666666666666}
            {"carrier":"AA","hours":0.11666666666666667}
            {"carrier":"AA","hours":0.55}
            {"carrier":"AA","hours":1.0}
            {"carrier":"DL","hours":0.08333333333333333}
            {"carrier":"DL","hours":0.13333333333333333}
            {"carrier":"UA","hours":-0.08333333333333333}
            {"carrier":"UA","hours":0.03333333333333333}
            {"carrier":"UA","hours":0.05}
            {"carrier":"UA","hours":0.15}
            {"carrier":"UA","hours":0.6666666666666666}
        "#]],
    );
}

#[test]
fn union() {
    let operators = "
[operators.early]
type = 'filter'
input = 'flights'
where = 'delay < 0'
[operators.late]
type = 'filter'
input = 'flights'
where = 'delay > 30'
[operators.both]
type = 'union'
inputs = ['early', 'late']
[sinks.out]
type = 'collect'
input = 'both'
";
    crashed_in_mid_stream(
        operators,
        "out",
        &expect![[r#"
            {"carrier":"AA","delay":33,"at":"1970-01-01T00:00:04Z"}
            {"carrier":"AA","delay":60,"at":"1970-01-01T00:00:47Z"}
            {"carrier":"UA","delay":-5,"at":"1970-01-01T00:00:12Z"}
            {"carrier":"UA","delay":40,"at":"1970-01-01T00:00:25Z"}
        "#]],
    );
}

#[test]
fn window_read_as_it_is() {
    let operators = "
[operators.windows]
type = 'window'
input = 'flights'
kind = 'hop'
size = '20s'
slide = '10s'
[sinks.out]
type = 'collect'
input = 'windows'
";
    crashed_in_mid_stream(
        operators,
        "out",
        &expect![[r#"
            {"carrier":"AA","delay":1,"at":"1970-01-01T00:00:22Z","window_start":"1970-01-01T00:00:10Z","window_end":"1970-01-01T00:00:30Z"}
            {"carrier":"AA","delay":1,"at":"1970-01-01T00:00:22Z","window_start":"1970-01-01T00:00:20Z","window_end":"1970-01-01T00:00:40Z"}
            {"carrier":"AA","delay":33,"at":"1970-01-01T00:00:04Z","window_start":"1969-12-31T23:59:50Z","window_end":"1970-01-01T00:00:10Z"}
            {"carrier":"AA","delay":33,"at":"1970-01-01T00:00:04Z","window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:20Z"}
            {"carrier":"AA","delay":60,"at":"1970-01-01T00:00:47Z","window_start":"1970-01-01T00:00:30Z","window_end":"1970-01-01T00:00:50Z"}
            {"carrier":"AA","delay":60,"at":"1970-01-01T00:00:47Z","window_start":"1970-01-01T00:00:40Z","window_end":"1970-01-01T00:01:00Z"}
            {"carrier":"AA","delay":7,"at":"1970-01-01T00:00:30Z","window_start":"1970-01-01T00:00:20Z","window_end":"1970-01-01T00:00:40Z"}
            {"carrier":"AA","delay":7,"at":"1970-01-01T00:00:30Z","window_start":"1970-01-01T00:00:30Z","window_end":"1970-01-01T00:00:50Z"}
            {"carrier":"DL","delay":5,"at":"1970-01-01T00:00:36Z","window_start":"1970-01-01T00:00:20Z","window_end":"1970-01-01T00:00:40Z"}
            {"carrier":"DL","delay":5,"at":"1970-01-01T00:00:36Z","window_start":"1970-01-01T00:00:30Z","window_end":"1970-01-01T00:00:50Z"}
            {"carrier":"DL","delay":8,"at":"1970-01-01T00:00:03Z","window_start":"1969-12-31T23:59:50Z","window_end":"1970-01-01T00:00:10Z"}
            {"carrier":"DL","delay":8,"at":"1970-01-01T00:00:03Z","window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:20Z"}
            {"carrier":"UA","delay":-5,"at":"1970-01-01T00:00:12Z","window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:20Z"}
            {"carrier":"UA","delay":-5,"at":"1970-01-01T00:00:12Z","window_start":"1970-01-01T00:00:10Z","window_end":"1970-01-01T00:00:30Z"}
            {"carrier":"UA","delay":2,"at":"1970-01-01T00:00:00Z","window_start":"1969-12-31T23:59:50Z","window_end":"1970-01-01T00:00:10Z"}
            {"carrier":"UA","delay":2,"at":"1970-01-01T00:00:00Z","window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:20Z"}
            {"carrier":"UA","delay":40,"at":"1970-01-01T00:00:25Z","window_start":"1970-01-01T00:00:10Z","window_end":"1970-01-01T00:00:30Z"}
            {"carrier":"UA","delay":40,"at":"1970-01-01T00:00:25Z","window_start":"1970-01-01T00:00:20Z","window_end":"1970-01-01T00:00:40Z"}
            {"carrier":"UA","delay":9,"at":"1970-01-01T00:01:01Z","window_start":"1970-01-01T00:00:50Z","window_end":"1970-01-01T00:01:10Z"}
            {"carrier":"UA","delay":9,"at":"1970-01-01T00:01:01Z","window_start":"1970-01-01T00:01:00Z","window_end":"1970-01-01T00:01:20Z"}
        "#]],
    );
}

const TUMBLE: &str = "
[operators.windows]
type = 'window'
input = 'flights'
kind = 'tumble'
size = '10s'
[operators.delays]
type = 'aggregate'
input = 'windows'
by = ['carrier']
compute = ['count(*) as flights', 'avg(delay) as mean', 'max(delay) as worst', 'first_value(delay) as first']
[sinks.out]
type = 'collect'
input = 'delays'
[sinks.too_late]
type = 'collect'
input = 'delays.late'
";

#[test]
fn tumbling_aggregate() {
    crashed_in_mid_stream(
        TUMBLE,
        "out",
        &expect![[r#"
            {"carrier":"AA","flights":1,"mean":1.0,"worst":1,"first":1,"window_start":"1970-01-01T00:00:20Z","window_end":"1970-01-01T00:00:30Z"}
            {"carrier":"AA","flights":1,"mean":33.0,"worst":33,"first":33,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z"}
            {"carrier":"AA","flights":1,"mean":60.0,"worst":60,"first":60,"window_start":"1970-01-01T00:00:40Z","window_end":"1970-01-01T00:00:50Z"}
            {"carrier":"AA","flights":1,"mean":7.0,"worst":7,"first":7,"window_start":"1970-01-01T00:00:30Z","window_end":"1970-01-01T00:00:40Z"}
            {"carrier":"DL","flights":1,"mean":5.0,"worst":5,"first":5,"window_start":"1970-01-01T00:00:30Z","window_end":"1970-01-01T00:00:40Z"}
            {"carrier":"DL","flights":1,"mean":8.0,"worst":8,"first":8,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z"}
            {"carrier":"UA","flights":1,"mean":-5.0,"worst":-5,"first":-5,"window_start":"1970-01-01T00:00:10Z","window_end":"1970-01-01T00:00:20Z"}
            {"carrier":"UA","flights":1,"mean":2.0,"worst":2,"first":2,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z"}
            {"carrier":"UA","flights":1,"mean":40.0,"worst":40,"first":40,"window_start":"1970-01-01T00:00:20Z","window_end":"1970-01-01T00:00:30Z"}
            {"carrier":"UA","flights":1,"mean":9.0,"worst":9,"first":9,"window_start":"1970-01-01T00:01:00Z","window_end":"1970-01-01T00:01:10Z"}
        "#]],
    );
}

#[test]
fn rows_too_late_for_a_tumbling_aggregate() {
    crashed_in_mid_stream(
        TUMBLE,
        "too_late",
        &expect![[r#"
            {"carrier":"UA","delay":3,"at":"1970-01-01T00:00:09Z"}
        "#]],
    );
}

const HOP: &str = "
[operators.windows]
type = 'window'
input = 'flights'
kind = 'hop'
size = '25s'
slide = '10s'
[operators.delays]
type = 'aggregate'
input = 'windows'
by = ['carrier']
compute = ['count(*) as flights', 'sum(delay) as total', 'count(distinct delay) as delays']
[sinks.out]
type = 'collect'
input = 'delays'
";

#[test]
fn hopping_aggregate() {
    crashed_in_mid_stream(
        HOP,
        "out",
        &expect![[r#"
            {"carrier":"AA","flights":1,"total":33,"delays":1,"window_start":"1969-12-31T23:59:40Z","window_end":"1970-01-01T00:00:05Z"}
            {"carrier":"AA","flights":1,"total":33,"delays":1,"window_start":"1969-12-31T23:59:50Z","window_end":"1970-01-01T00:00:15Z"}
            {"carrier":"AA","flights":1,"total":60,"delays":1,"window_start":"1970-01-01T00:00:40Z","window_end":"1970-01-01T00:01:05Z"}
            {"carrier":"AA","flights":2,"total":34,"delays":2,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:25Z"}
            {"carrier":"AA","flights":2,"total":67,"delays":2,"window_start":"1970-01-01T00:00:30Z","window_end":"1970-01-01T00:00:55Z"}
            {"carrier":"AA","flights":2,"total":8,"delays":2,"window_start":"1970-01-01T00:00:10Z","window_end":"1970-01-01T00:00:35Z"}
            {"carrier":"AA","flights":2,"total":8,"delays":2,"window_start":"1970-01-01T00:00:20Z","window_end":"1970-01-01T00:00:45Z"}
            {"carrier":"DL","flights":1,"total":5,"delays":1,"window_start":"1970-01-01T00:00:20Z","window_end":"1970-01-01T00:00:45Z"}
            {"carrier":"DL","flights":1,"total":5,"delays":1,"window_start":"1970-01-01T00:00:30Z","window_end":"1970-01-01T00:00:55Z"}
            {"carrier":"DL","flights":1,"total":8,"delays":1,"window_start":"1969-12-31T23:59:40Z","window_end":"1970-01-01T00:00:05Z"}
            {"carrier":"DL","flights":1,"total":8,"delays":1,"window_start":"1969-12-31T23:59:50Z","window_end":"1970-01-01T00:00:15Z"}
            {"carrier":"DL","flights":1,"total":8,"delays":1,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:25Z"}
            {"carrier":"UA","flights":1,"total":2,"delays":1,"window_start":"1969-12-31T23:59:40Z","window_end":"1970-01-01T00:00:05Z"}
            {"carrier":"UA","flights":1,"total":40,"delays":1,"window_start":"1970-01-01T00:00:20Z","window_end":"1970-01-01T00:00:45Z"}
            {"carrier":"UA","flights":1,"total":9,"delays":1,"window_start":"1970-01-01T00:00:40Z","window_end":"1970-01-01T00:01:05Z"}
            {"carrier":"UA","flights":1,"total":9,"delays":1,"window_start":"1970-01-01T00:00:50Z","window_end":"1970-01-01T00:01:15Z"}
            {"carrier":"UA","flights":1,"total":9,"delays":1,"window_start":"1970-01-01T00:01:00Z","window_end":"1970-01-01T00:01:25Z"}
            {"carrier":"UA","flights":2,"total":-3,"delays":2,"window_start":"1969-12-31T23:59:50Z","window_end":"1970-01-01T00:00:15Z"}
            {"carrier":"UA","flights":2,"total":35,"delays":2,"window_start":"1970-01-01T00:00:10Z","window_end":"1970-01-01T00:00:35Z"}
            {"carrier":"UA","flights":3,"total":0,"delays":3,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:25Z"}
        "#]],
    );
}

const RUNNING: &str = "
[operators.delays]
type = 'aggregate'
input = 'flights'
by = ['carrier']
compute = ['count(*) as flights', 'sum(delay) as total', 'min(delay) as best']
having = 'flights > 1'
[operators.carriers]
type = 'aggregate'
input = 'delays'
compute = ['count(*) as carriers', 'sum(flights) as flights']
[sinks.out]
type = 'collect'
input = 'delays'
[sinks.all]
type = 'collect'
input = 'carriers'
";

#[test]
fn running_aggregate() {
    crashed_in_mid_stream(
        RUNNING,
        "out",
        &expect![[r#"
            {"carrier":"AA","flights":4,"total":101,"best":1}
            {"carrier":"DL","flights":2,"total":13,"best":5}
            {"carrier":"UA","flights":5,"total":49,"best":-5}
        "#]],
    );
}

#[test]
fn running_aggregate_over_an_updating_stream() {
    crashed_in_mid_stream(
        RUNNING,
        "all",
        &expect![[r#"
            {"carriers":3,"flights":11}
        "#]],
    );
}

#[test]
fn windows_close_when_the_watermark_passes_and_stay_open_at_a_halt() {
    let mut script = start(TUMBLE, &["runtime.workers=2"], 5);
    script.send("flights", &rows(&[("UA", 2, 0), ("UA", 4, 19)])).unwrap();
    expect![[r#""#]].assert_eq(&script.rows("out").unwrap());
    script.send("flights", &rows(&[("AA", 1, 20)])).unwrap();
    expect![[r#"
        {"carrier":"UA","flights":1,"mean":2.0,"worst":2,"first":2,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z"}
    "#]].assert_eq(&script.rows("out").unwrap());
    script.halt().unwrap();
    assert!(script.run().is_over());
    expect![[r#"
        {"carrier":"UA","flights":1,"mean":2.0,"worst":2,"first":2,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z"}
    "#]].assert_eq(&script.rows("out").unwrap());
    let ledger = script.ledger();
    assert!(ledger.balances());
    assert_eq!(ledger.node("delays").unwrap().in_state, 2);
}

#[test]
fn an_idle_source_says_so_and_its_rows_are_judged_at_the_watermark_that_went_on_without_it() {
    let operators = "
[sources.others]
type = 'script'
time = { by = 'at', idle_after = '30s' }
schema = { carrier = 'string', delay = 'bigint', at = 'timestamp not null' }
[operators.all]
type = 'union'
inputs = ['flights', 'others']
[operators.windows]
type = 'window'
input = 'all'
kind = 'tumble'
size = '10s'
[operators.delays]
type = 'aggregate'
input = 'windows'
compute = ['count(*) as flights']
[sinks.out]
type = 'collect'
input = 'delays'
[sinks.too_late]
type = 'collect'
input = 'delays.late'
";
    let mut script = start(operators, &[], 3);
    script.send("others", &rows(&[("XX", 1, 1)])).unwrap();
    script.send("flights", &rows(&[("UA", 1, 2), ("UA", 1, 45)])).unwrap();
    expect![[r#""#]].assert_eq(&script.rows("out").unwrap());
    script.advance("30s").unwrap();
    expect![[r#"
        {"flights":2,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z"}
    "#]]
    .assert_eq(&script.rows("out").unwrap());
    script.send("others", &rows(&[("XX", 9, 5), ("XX", 9, 36)])).unwrap();
    expect![[r#"
        {"carrier":"XX","delay":9,"at":"1970-01-01T00:00:05Z"}
    "#]]
    .assert_eq(&script.rows("too_late").unwrap());
    script.end().unwrap();
    expect![[r#"
        {"flights":1,"window_start":"1970-01-01T00:00:30Z","window_end":"1970-01-01T00:00:40Z"}
        {"flights":1,"window_start":"1970-01-01T00:00:40Z","window_end":"1970-01-01T00:00:50Z"}
        {"flights":2,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z"}
    "#]]
    .assert_eq(&script.rows("out").unwrap());
}

//! Early rows, by the clock.

use std::collections::BTreeMap;

use expect_test::expect;
use millstream_testkit::Script;
use proptest::prelude::*;

use super::{cases, lines, rows_of, start};

#[test]
fn early_rows_come_by_the_clock_and_are_withdrawn_when_they_change() {
    let operators = "
[operators.windows]
type = 'window'
input = 'rides'
kind = 'tumble'
size = '1m'
[operators.sums]
type = 'aggregate'
input = 'windows'
by = ['car']
compute = ['sum(km) as total']
emit = { every = '5s' }
[sinks.out]
type = 'collect'
input = 'sums'
";
    let mut script = start(operators, &["runtime.workers=1"], 1);
    let out = |script: &Script| script.rows("out").unwrap();
    script.send("rides", &lines(&[("a", 3, 1), ("b", 4, 2)])).unwrap();
    script.advance("4s").unwrap();
    assert_eq!(out(&script), "", "not yet");
    script.advance("1s").unwrap();
    let early = expect![[r#"
        {"car":"a","total":3,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:01:00Z"}
        {"car":"b","total":4,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:01:00Z"}
    "#]];
    early.assert_eq(&out(&script));
    script.advance("3s").unwrap();
    script.send("rides", &lines(&[("a", 2, 5)])).unwrap();
    early.assert_eq(&out(&script));
    script.advance("2s").unwrap();
    expect![[r#"
        {"car":"a","total":5,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:01:00Z"}
        {"car":"b","total":4,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:01:00Z"}
    "#]]
    .assert_eq(&out(&script));
    // What was sent is known after a restore; the window closes without waiting for the clock.
    script.checkpoint().unwrap();
    script.crash_and_restore(&["runtime.workers=3"]).unwrap();
    script.send("rides", &lines(&[("b", 1, 6), ("a", 9, 71)])).unwrap();
    expect![[r#"
        {"car":"a","total":5,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:01:00Z"}
        {"car":"b","total":5,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:01:00Z"}
    "#]]
    .assert_eq(&out(&script));
}

#[test]
fn early_rows_of_a_session_that_grew_past_the_watermark_are_withdrawn() {
    let operators = "
[operators.windows]
type = 'window'
input = 'rides'
kind = 'session'
gap = '12s'
[operators.sums]
type = 'aggregate'
input = 'windows'
by = ['car']
compute = ['sum(km) as total']
emit = { every = '5s' }
[sinks.out]
type = 'collect'
input = 'sums'
";
    let mut script = start(operators, &["runtime.workers=1"], 1);
    script.send("rides", &lines(&[("a", 3, 1)])).unwrap();
    script.advance("5s").unwrap();
    // The row that was sent ends at 13 s; then the watermark goes on to 20 s.
    script.send("rides", &lines(&[("a", 4, 10), ("a", 2, 20), ("a", 1, 30)])).unwrap();
    script.advance("5s").unwrap();
    expect![[r#"
        {"car":"a","total":10,"window_start":"1970-01-01T00:00:01Z","window_end":"1970-01-01T00:00:42Z"}
    "#]]
    .assert_eq(&script.rows("out").unwrap());
}

#[test]
fn early_rows_of_sessions_that_become_one_are_both_withdrawn() {
    let operators = "
[operators.windows]
type = 'window'
input = 'rides'
kind = 'session'
gap = '10s'
[operators.sums]
type = 'aggregate'
input = 'windows'
by = ['car']
compute = ['sum(km) as total']
allowed_lateness = '1m'
emit = { every = '5s' }
[sinks.out]
type = 'collect'
input = 'sums'
";
    let mut script = start(operators, &["runtime.workers=1"], 1);
    script.send("rides", &lines(&[("a", 3, 1), ("a", 4, 15), ("b", 1, 20)])).unwrap();
    script.advance("5s").unwrap();
    expect![[r#"
        {"car":"a","total":3,"window_start":"1970-01-01T00:00:01Z","window_end":"1970-01-01T00:00:11Z"}
        {"car":"a","total":4,"window_start":"1970-01-01T00:00:15Z","window_end":"1970-01-01T00:00:25Z"}
        {"car":"b","total":1,"window_start":"1970-01-01T00:00:20Z","window_end":"1970-01-01T00:00:30Z"}
    "#]]
    .assert_eq(&script.rows("out").unwrap());
    script.checkpoint().unwrap();
    script.crash_and_restore(&["runtime.workers=3"]).unwrap();
    script.send("rides", &lines(&[("a", 5, 8)])).unwrap();
    script.advance("5s").unwrap();
    expect![[r#"
        {"car":"a","total":12,"window_start":"1970-01-01T00:00:01Z","window_end":"1970-01-01T00:00:25Z"}
        {"car":"b","total":1,"window_start":"1970-01-01T00:00:20Z","window_end":"1970-01-01T00:00:30Z"}
    "#]]
    .assert_eq(&script.rows("out").unwrap());
}

const RUNNING: &str = "
[operators.sums]
type = 'aggregate'
input = 'rides'
by = ['car']
compute = ['sum(km) as total', 'max(km) as longest']
having = 'total <> 0'
emit = { every = '5s' }
[operators.cars]
type = 'aggregate'
input = 'sums'
compute = ['count(*) as cars', 'sum(total) as total']
[sinks.out]
type = 'collect'
input = 'sums'
[sinks.cars_rows]
type = 'collect'
input = 'cars'
";

#[test]
fn running_results_are_said_at_ticks_and_at_the_end() {
    let mut script = start(RUNNING, &["runtime.workers=2"], 4);
    let out = |script: &Script| script.rows("out").unwrap();
    script.send("rides", &lines(&[("a", 3, 1), ("b", 4, 2)])).unwrap();
    script.advance("4s").unwrap();
    assert_eq!(out(&script), "", "not yet");
    script.advance("1s").unwrap();
    let first = expect![[r#"
        {"car":"a","total":3,"longest":3}
        {"car":"b","total":4,"longest":4}
    "#]];
    first.assert_eq(&out(&script));
    script.send("rides", &lines(&[("a", 9, 3), ("b", -4, 4), ("c", 1, 5)])).unwrap();
    script.advance("1s").unwrap();
    // What is not said yet is in the checkpoint.
    script.checkpoint().unwrap();
    script.send("rides", &lines(&[("c", -1, 6)])).unwrap();
    script.crash_and_restore(&["runtime.workers=3"]).unwrap();
    first.assert_eq(&out(&script));
    script.advance("5s").unwrap();
    expect![[r#"
        {"car":"a","total":12,"longest":9}
    "#]]
    .assert_eq(&out(&script));
    script.send("rides", &lines(&[("b", 2, 7)])).unwrap();
    script.end().unwrap();
    expect![[r#"
        {"car":"a","total":12,"longest":9}
        {"car":"b","total":2,"longest":4}
    "#]]
    .assert_eq(&out(&script));
    expect![[r#"
        {"cars":2,"total":14}
    "#]]
    .assert_eq(&script.rows("cars_rows").unwrap());
    assert!(script.ledger().balances());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn running_results_are_those_of_all_rows(case in cases()) {
        let settings = [format!("runtime.batch_rows={}", case.batch_rows), format!("runtime.workers={}", case.workers[0])];
        let mut script = start(RUNNING, &[&settings[0], &settings[1]], case.seed);
        for (place, row) in case.rows.iter().enumerate() {
            script.send("rides", &lines(&[*row])).unwrap();
            script.advance("2s").unwrap();
            if place == case.checkpoint {
                script.checkpoint().unwrap();
            }
            if place == case.crash {
                script.crash_and_restore(&["runtime.workers=2"]).unwrap();
            }
        }
        script.end().unwrap();
        let mut cars: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
        for (car, km, _) in &case.rows {
            let (total, longest) = cars.entry(car).or_insert((0, i64::MIN));
            (*total, *longest) = (*total + km, *km.max(longest));
        }
        cars.retain(|_, (total, _)| *total != 0);
        let line = |(car, (total, longest)): (&str, (i64, i64))| format!(r#"{{"car":"{car}","total":{total},"longest":{longest}}}"#);
        prop_assert_eq!(rows_of(&script, "out"), cars.into_iter().map(line).collect::<Vec<_>>());
    }
}

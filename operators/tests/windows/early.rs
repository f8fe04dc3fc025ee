//! Early rows, by the clock.

use expect_test::expect;
use millstream_testkit::Script;

use super::{lines, start};

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

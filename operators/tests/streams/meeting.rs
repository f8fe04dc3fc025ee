//! Sources that meet: who is too far ahead waits, who is idle holds nobody up.

use millstream_testkit::Script;

use crate::{lines, start};

/// Two sources that meet; the first may be ahead of the second by ten seconds.
pub const MEETING: &str = "
[sources.events]
type = 'script'
time = { by = 'at', max_ahead = '10s' }
schema = { k = 'bigint', id = 'bigint not null', at = 'timestamp not null' }
[sources.slow]
type = 'script'
time = { by = 'at', idle_after = '5s' }
schema = { k = 'bigint', id = 'bigint not null', at = 'timestamp not null' }
[operators.both]
type = 'union'
inputs = ['events', 'slow']
[sinks.out]
type = 'collect'
input = 'both'
";

fn seconds(times: &[i64]) -> String {
    lines(&times.iter().map(|second| (None, *second)).collect::<Vec<_>>(), 0)
}

fn read_from(script: &Script, source: &str) -> u64 {
    script.ledger().node(source).unwrap().rows_in
}

#[test]
fn a_source_that_is_too_far_ahead_waits_for_the_slowest() {
    let mut script = start(MEETING, "", &[], 3);
    script.send("events", &seconds(&[0, 100, 200, 300, 400])).unwrap();
    assert_eq!(read_from(&script, "events"), 1, "nobody knows yet where the other one begins");
    script.send("slow", &seconds(&[95])).unwrap();
    assert_eq!(read_from(&script, "events"), 3, "200 is too far ahead of 95, and was found so when it was read");
    // Barriers get through a source that waits, and what waited goes on after a crash.
    script.checkpoint().unwrap();
    script.crash_and_restore(&["runtime.workers=2"]).unwrap();
    assert_eq!(read_from(&script, "events"), 3, "counters are in the checkpoint");
    script.send("slow", &seconds(&[195])).unwrap();
    assert_eq!(read_from(&script, "events"), 4);
    // Who is idle holds nobody up.
    script.advance("5s").unwrap();
    assert_eq!(read_from(&script, "events"), 5);
    script.end().unwrap();
    assert!(script.ledger().balances());
}

#[test]
fn who_waits_can_be_stopped_and_who_ends_holds_nobody_up() {
    let mut script = start(MEETING, "", &[], 3);
    script.send("events", &seconds(&[0, 100, 200])).unwrap();
    script.end().unwrap();
    assert_eq!(read_from(&script, "events"), 3);
    let mut script = start(MEETING, "", &[], 3);
    script.send("events", &seconds(&[0, 100, 200])).unwrap();
    script.halt().unwrap();
    assert_eq!((read_from(&script, "events"), script.rows("out").unwrap().lines().count()), (1, 1));
}

const WINDOWS: &str = "
[operators.windows]
type = 'window'
input = 'both'
kind = 'tumble'
size = '10s'
[operators.counts]
type = 'aggregate'
input = 'windows'
compute = ['array_agg(id) as ids']
[sinks.counted]
type = 'collect'
input = 'counts'
[sinks.too_late]
type = 'collect'
input = 'counts.late'
";

#[test]
fn a_split_that_was_idle_is_judged_at_the_watermark_that_went_on_without_it() {
    let mut script = start(MEETING, WINDOWS, &["sources.events.time.max_ahead=1h"], 3);
    script.send("slow", &seconds(&[0])).unwrap();
    script.send("events", &seconds(&[1, 25])).unwrap();
    assert_eq!(script.rows("counted").unwrap(), "", "the slow one holds the watermark");
    script.advance("5s").unwrap();
    let first = "{\"ids\":[0,0],\"window_start\":\"1970-01-01T00:00:00Z\",\"window_end\":\"1970-01-01T00:00:10Z\"}\n";
    assert_eq!(script.rows("counted").unwrap(), first);
    // It comes back: a closed window never reopens, and it holds the watermark again.
    script.send("slow", &seconds(&[5, 26])).unwrap();
    script.send("events", &seconds(&[50])).unwrap();
    assert_eq!(script.rows("too_late").unwrap(), "{\"k\":null,\"id\":0,\"at\":\"1970-01-01T00:00:05Z\"}\n");
    assert_eq!(script.rows("counted").unwrap(), first);
    script.end().unwrap();
    assert_eq!(script.rows("counted").unwrap().lines().count(), 3);
}

#[test]
fn after_a_restart_nobody_waits_for_a_source_that_had_come_far_enough_before() {
    let mut script = start(MEETING, WINDOWS, &["runtime.workers=2"], 3);
    script.send("slow", &seconds(&[25])).unwrap();
    script.send("events", &seconds(&[0, 31])).unwrap();
    let windows = |script: &Script| script.rows("counted").unwrap().lines().count();
    assert_eq!(windows(&script), 1);
    script.checkpoint().unwrap();
    script.crash_and_restore(&["runtime.workers=1"]).unwrap();
    script.send("slow", &seconds(&[32])).unwrap();
    assert_eq!(windows(&script), 2, "the other one was at 31");
    script.send("events", &seconds(&[29])).unwrap();
    assert_eq!(script.rows("too_late").unwrap().lines().count(), 1, "judged as without a restart");
    script.end().unwrap();
    assert_eq!(windows(&script), 3);
}

#[test]
fn after_a_restart_the_watermark_that_went_on_without_an_idle_source_judges_its_rows() {
    let mut script = start(MEETING, WINDOWS, &["sources.events.time.max_ahead=1h"], 3);
    script.send("slow", &seconds(&[0])).unwrap();
    script.send("events", &seconds(&[1, 25])).unwrap();
    script.advance("5s").unwrap();
    script.checkpoint().unwrap();
    script.crash_and_restore(&["sources.events.time.max_ahead=1h", "runtime.workers=2"]).unwrap();
    // Before anybody has said anything anew.
    script.send("slow", &seconds(&[5, 26])).unwrap();
    script.send("events", &seconds(&[50])).unwrap();
    assert_eq!(script.rows("too_late").unwrap().lines().count(), 1, "5 s is behind the 25 s of the other one");
    assert_eq!(script.rows("counted").unwrap().lines().count(), 1, "who is back holds the watermark");
    script.advance("5s").unwrap();
    assert_eq!(script.rows("counted").unwrap().lines().count(), 2, "until it is idle again");
    script.end().unwrap();
    assert_eq!(script.rows("counted").unwrap().lines().count(), 3);
    assert!(script.ledger().balances());
}

#[test]
fn after_a_restart_nobody_waits_for_a_source_that_had_ended() {
    let mut script = start(MEETING, WINDOWS, &["runtime.workers=2", "sources.events.time.max_ahead=1h"], 3);
    script.send("slow", &seconds(&[4])).unwrap();
    script.send("events", &seconds(&[1, 25])).unwrap();
    script.end_source("slow").unwrap();
    assert_eq!(script.rows("counted").unwrap().lines().count(), 1);
    script.checkpoint().unwrap();
    // Twice: what a run that sends nothing hands in is what it was given.
    for workers in ["runtime.workers=3", "runtime.workers=1"] {
        script.crash_and_restore(&[workers, "sources.events.time.max_ahead=1h"]).unwrap();
        script.checkpoint().unwrap();
    }
    script.send("events", &seconds(&[5, 31])).unwrap();
    assert_eq!(script.rows("too_late").unwrap().lines().count(), 1, "5 s is behind its own 25 s");
    assert_eq!(script.rows("counted").unwrap().lines().count(), 2);
    script.end().unwrap();
    assert_eq!(script.rows("counted").unwrap().lines().count(), 3);
    assert!(script.ledger().balances());
}

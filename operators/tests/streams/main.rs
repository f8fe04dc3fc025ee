//! `deduplicate`, `event_time` and aggregates of changing streams in small topologies, against models that know all rows at once;
//! cut in batches and subtasks in many ways, with a checkpoint, a crash and a restore at another parallelism on the way.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod changing;
mod meeting;
mod overlapping;
#[path = "../support/mod.rs"]
mod support;
mod waking;

use std::collections::BTreeMap;

use expect_test::expect;
use millstream_api::time::rfc3339;
use millstream_testkit::Script;
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Disturbance, disturbance, rows_of, sorted};

const TIMED: &str = "
[sources.events]
type = 'script'
time = { by = 'at', max_delay = '10s' }
schema = { k = 'bigint', id = 'bigint not null', at = 'timestamp not null' }
";

const UNTIMED: &str = "
[sources.events]
type = 'script'
schema = { k = 'bigint', id = 'bigint not null', at = 'timestamp not null' }
";

/// A row: key and second; its number is its place.
type Row = (Option<i64>, i64);

fn start(source: &str, operators: &str, settings: &[&str], seed: u64) -> Script {
    support::start(&topology(source, operators), settings, seed)
}

/// Runs rows to their end, with a crash on the way.
fn disturbed(source: &str, operators: &str, rows: &[Row], how: &Disturbance) -> Script {
    support::disturbed(&topology(source, operators), "events", rows, lines, how)
}

fn topology(source: &str, operators: &str) -> String {
    format!("name = 'script'\n{source}{operators}")
}

fn to_json(place: usize, &(key, second): &Row) -> Value {
    json!({ "k": key, "id": place, "at": rfc3339(second * 1_000_000) })
}

fn lines(rows: &[Row], from: usize) -> String {
    rows.iter().enumerate().map(|(i, row)| format!("{}\n", to_json(from + i, row))).collect()
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    proptest::collection::vec((proptest::option::weighted(0.9, 0..4i64), 0..60i64), 0..40)
}

/// Rows with the watermark just before each.
fn judged(rows: &[Row]) -> Vec<(usize, Row, i64)> {
    let mut watermark = i64::MIN;
    let judge = |(place, row): (usize, &Row)| {
        let before = watermark;
        watermark = watermark.max(row.1 - 10);
        (place, *row, before)
    };
    rows.iter().enumerate().map(judge).collect()
}

fn deduplicate(options: &str, late: bool) -> String {
    let late = if late { "[sinks.too_late]\ntype = 'collect'\ninput = 'unique.late'\n" } else { "" };
    format!(
        "
[operators.passing]
type = 'filter'
input = 'events'
where = 'id >= 0'
[operators.unique]
type = 'deduplicate'
input = 'passing'
by = ['k']
{options}
[sinks.out]
type = 'collect'
input = 'unique'
{late}"
    )
}

/// The rows that are kept of those that are not late, each key being remembered for so many seconds.
fn within(rows: &[Row], seconds: i64, last: bool) -> (Vec<Value>, Vec<Value>) {
    let (mut in_time, late): (Vec<_>, Vec<_>) = judged(rows).into_iter().partition(|(_, (_, at), watermark)| at >= watermark);
    in_time.sort_by_key(|(place, (_, at), _)| (*at, *place));
    let mut periods: BTreeMap<Option<i64>, Vec<(i64, Value)>> = BTreeMap::new();
    for (place, row, _) in in_time {
        let of_key = periods.entry(row.0).or_default();
        match of_key.last_mut().filter(|(start, _)| row.1 < start + seconds) {
            None => of_key.push((row.1, to_json(place, &row))),
            Some((_, kept)) if last => *kept = to_json(place, &row),
            Some(_) => {}
        }
    }
    let kept = periods.into_values().flatten().map(|(_, row)| row).collect();
    (sorted(kept), sorted(late.iter().map(|(place, row, _)| to_json(*place, row)).collect()))
}

/// One row of each key: the first one by this order.
fn first_by<K: Ord>(rows: &[Row], order: impl Fn(usize, &Row, i64) -> K) -> Vec<Value> {
    let mut by_order = judged(rows);
    by_order.sort_by_key(|(place, row, watermark)| order(*place, row, *watermark));
    let mut kept: BTreeMap<Option<i64>, Value> = BTreeMap::new();
    by_order.iter().for_each(|(place, row, _)| {
        kept.entry(row.0).or_insert_with(|| to_json(*place, row));
    });
    sorted(kept.into_values().collect())
}

const SHIFTED: &str = "
[operators.shifted]
type = 'select'
input = 'events'
columns = [\"id\", \"case k when 0 then at when 1 then at - interval '1 second' when 2 then at - interval '2 seconds' \
    when 3 then at - interval '3 seconds' end as then\"]
[operators.retimed]
type = 'event_time'
input = 'shifted'
by = 'then'
max_delay = '2s'
on_bad_row = 'skip'
[operators.windows]
type = 'window'
input = 'retimed'
kind = 'tumble'
size = '5s'
[operators.counts]
type = 'aggregate'
input = 'windows'
compute = ['array_agg(id) as ids']
[sinks.out]
type = 'collect'
input = 'counts'
[sinks.too_late]
type = 'collect'
input = 'retimed.late'
";

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_key_is_remembered_for_as_long_as_said(rows in rows(), how in disturbance(), seconds in 1..30i64, last in any::<bool>()) {
        let keep = if last { "last" } else { "first" };
        let script = disturbed(TIMED, &deduplicate(&format!("keep = '{keep}'\nwithin = '{seconds}s'"), true), &rows, &how);
        let (kept, late) = within(&rows, seconds, last);
        prop_assert_eq!(rows_of(&script, "out"), kept);
        prop_assert_eq!(rows_of(&script, "too_late"), late);
    }

    #[test]
    fn without_within_every_key_has_one_row(rows in rows(), how in disturbance()) {
        let first = disturbed(TIMED, &deduplicate("", false), &rows, &how);
        // A row that is late is judged with those of its own watermark.
        prop_assert_eq!(rows_of(&first, "out"), first_by(&rows, |place, row, watermark| (watermark.max(row.1), row.1, place)));
        let last = disturbed(TIMED, &deduplicate("keep = 'last'", false), &rows, &how);
        prop_assert_eq!(rows_of(&last, "out"), first_by(&rows, |place, row, _| std::cmp::Reverse((row.1, place))));
    }

    #[test]
    fn without_event_time_the_place_in_the_source_counts(rows in rows(), how in disturbance()) {
        let first = disturbed(UNTIMED, &deduplicate("", false), &rows, &how);
        prop_assert_eq!(rows_of(&first, "out"), first_by(&rows, |place, _, _| place));
        let last = disturbed(UNTIMED, &deduplicate("keep = 'last'", false), &rows, &how);
        prop_assert_eq!(rows_of(&last, "out"), first_by(&rows, |place, _, _| std::cmp::Reverse(place)));
    }

    #[test]
    fn a_new_time_may_lie_behind_the_old_one_by_max_delay(rows in rows(), how in disturbance()) {
        let script = disturbed(TIMED, SHIFTED, &rows, &how);
        let (mut windows, mut late) = (BTreeMap::<i64, Vec<(i64, usize)>>::new(), Vec::new());
        for (place, (key, at), watermark) in judged(&rows) {
            let Some(shift) = key else { continue };
            let then = at - shift;
            if then < at.max(watermark) - 2 {
                late.push(json!({ "id": place, "then": rfc3339(then * 1_000_000) }));
            } else {
                windows.entry(then.div_euclid(5) * 5).or_default().push((then, place));
            }
        }
        let of_window = |(start, mut rows): (i64, Vec<(i64, usize)>)| {
            rows.sort_unstable();
            let ids: Vec<usize> = rows.into_iter().map(|(_, place)| place).collect();
            json!({ "ids": ids, "window_start": rfc3339(start * 1_000_000), "window_end": rfc3339((start + 5) * 1_000_000) })
        };
        prop_assert_eq!(rows_of(&script, "out"), sorted(windows.into_iter().map(of_window).collect()));
        prop_assert_eq!(rows_of(&script, "too_late"), sorted(late));
    }

    #[test]
    fn behind_a_source_without_time_it_is_the_time_of_the_source(rows in rows(), how in disturbance()) {
        let windows = |input: &str| format!("
[operators.windows]
type = 'window'
input = '{input}'
kind = 'tumble'
size = '5s'
[operators.counts]
type = 'aggregate'
input = 'windows'
by = ['k']
compute = ['array_agg(id) as ids']
[sinks.out]
type = 'collect'
input = 'counts'
[sinks.too_late]
type = 'collect'
input = 'counts.late'
");
        let between = "
[operators.passing]
type = 'filter'
input = 'events'
where = 'id >= 0'
[operators.retimed]
type = 'event_time'
input = 'passing'
by = 'at'
max_delay = '10s'
";
        let here = disturbed(TIMED, &windows("events"), &rows, &how);
        let there = disturbed(UNTIMED, &format!("{between}{}", windows("retimed")), &rows, &how);
        prop_assert_eq!(rows_of(&here, "out"), rows_of(&there, "out"));
        prop_assert_eq!(rows_of(&here, "too_late"), rows_of(&there, "too_late"));
    }
}

#[test]
fn a_row_is_judged_when_the_watermark_has_passed_it() {
    let mut script = start(TIMED, &deduplicate("keep = 'last'", false), &[], 3);
    script.send("events", &lines(&[(Some(1), 20), (Some(1), 30)], 0)).unwrap();
    assert_eq!(script.rows("out").unwrap(), "", "the watermark is 20: there may be more rows at 20");
    script.send("events", &lines(&[(Some(2), 31)], 2)).unwrap();
    expect![[r#"
        {"k":1,"id":0,"at":"1970-01-01T00:00:20Z"}
    "#]]
    .assert_eq(&script.rows("out").unwrap());
    // It is later than no other: the watermark has passed it already.
    script.send("events", &lines(&[(Some(1), 5), (Some(1), 50)], 3)).unwrap();
    expect![[r#"
        {"k":1,"id":1,"at":"1970-01-01T00:00:30Z"}
        {"k":2,"id":2,"at":"1970-01-01T00:00:31Z"}
    "#]]
    .assert_eq(&script.rows("out").unwrap());
}

#[test]
fn keys_leave_the_state_with_the_watermark() {
    let mut script = start(TIMED, &deduplicate("within = '30s'", true), &["runtime.workers=2"], 3);
    let mut most = [0usize; 2];
    for round in 0..40i64 {
        let rows: Vec<Row> = (0..50).map(|i| (Some((round * 50 + i) * 1_000_003), round * 50 + i)).collect();
        script.send("events", &lines(&rows, 0)).unwrap();
        let half = &mut most[usize::from(round >= 20)];
        *half = (*half).max(script.ledger().node("unique").unwrap().state_bytes);
    }
    assert!(most[1] <= most[0] + most[0] / 4, "{most:?}");
}

#[test]
fn rows_that_wait_are_in_state_at_a_halt() {
    let mut script = start(TIMED, &deduplicate("within = '30s'\nkeep = 'last'", true), &[], 3);
    script.send("events", &lines(&[(Some(1), 0), (Some(1), 5), (Some(2), 40), (Some(2), 41)], 0)).unwrap();
    script.halt().unwrap();
    assert_eq!(script.rows("out").unwrap(), "{\"k\":1,\"id\":1,\"at\":\"1970-01-01T00:00:05Z\"}\n");
    assert!(script.ledger().balances());
    assert_eq!(script.ledger().node("unique").unwrap().in_state, 2);
}

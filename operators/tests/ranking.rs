//! `top_n` and `unnest` in small topologies, against models that know all rows at once: out of order, late, equal and null,
//! over windows, over a source and over a changing stream; cut in batches and subtasks in many ways, with a checkpoint, a
//! crash and a restore at another parallelism on the way.

mod support;

use std::collections::BTreeMap;

use expect_test::expect;
use millstream_api::time::rfc3339;
use millstream_testkit::Script;
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Disturbance, disturbance, rows_of, sorted};

const FLIGHTS: &str = r#"
name = "script"
[sources.flights]
type = "script"
time = { by = "at", max_delay = "10s" }
schema = { carrier = "string", delay = "bigint", at = "timestamp not null" }
"#;

/// A row: carrier, delay, second.
type Row = (Option<&'static str>, Option<i64>, i64);

fn start(operators: &str, settings: &[&str], seed: u64) -> Script {
    support::start(&format!("{FLIGHTS}{operators}"), settings, seed)
}

/// Runs rows to their end, with a crash on the way.
fn disturbed(operators: &str, rows: &[Row], how: &Disturbance) -> Script {
    support::disturbed(&format!("{FLIGHTS}{operators}"), "flights", rows, |rows, _| lines(rows), how)
}

fn to_json(&(carrier, delay, second): &Row) -> Value {
    json!({ "carrier": carrier, "delay": delay, "at": rfc3339(second * 1_000_000) })
}

fn lines(rows: &[Row]) -> String {
    rows.iter().map(|row| format!("{}\n", to_json(row))).collect()
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let carrier = prop_oneof![Just(None), Just(Some("AA")), Just(Some("DL")), Just(Some("UA"))];
    let delay = prop_oneof![1 => Just(None), 5 => (-3..4i64).prop_map(Some)];
    proptest::collection::vec((carrier, delay, 0..60i64), 0..40)
}

/// The first `n` of these rows (in the order of coming): greatest delay first, nulls last, then by time, then as they came.
fn first(rows: &[Row], n: usize) -> Vec<Row> {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|(_, delay, second)| (delay.is_none(), std::cmp::Reverse(*delay), *second));
    rows.truncate(n);
    rows
}

fn ranked(row: &Row, rank: usize) -> Value {
    let mut row = to_json(row);
    row["rank"] = json!(rank + 1);
    row
}

const WINDOWED: &str = "
[operators.windows]
type = 'window'
input = 'flights'
kind = 'hop'
size = '20s'
slide = '10s'
[operators.worst]
type = 'top_n'
input = 'windows'
by = ['carrier']
order = ['delay desc']
n = 2
rank_as = 'rank'
[sinks.out]
type = 'collect'
input = 'worst'
[sinks.too_late]
type = 'collect'
input = 'worst.late'
";

/// Rows by the start of their window and by carrier.
type ByWindow = BTreeMap<(i64, Option<&'static str>), Vec<Row>>;

/// Rows of each window, and late rows.
fn in_windows(rows: &[Row]) -> (ByWindow, Vec<Row>) {
    let (mut windows, mut late) = (ByWindow::new(), Vec::new());
    let mut watermark = i64::MIN;
    for row in rows {
        let last = row.2.div_euclid(10) * 10;
        let open: Vec<i64> = [last - 10, last].into_iter().filter(|start| start + 20 > watermark).collect();
        open.iter().for_each(|&start| windows.entry((start, row.0)).or_default().push(*row));
        late.extend(open.is_empty().then_some(*row));
        watermark = watermark.max(row.2 - 10);
    }
    (windows, late)
}

const RUNNING: &str = "
[operators.worst]
type = 'top_n'
input = 'flights'
by = ['carrier']
order = ['delay desc']
n = 2
rank_as = 'rank'
[operators.unranked]
type = 'top_n'
input = 'flights'
order = ['delay desc']
n = 3
[sinks.out]
type = 'collect'
input = 'worst'
[sinks.all]
type = 'collect'
input = 'unranked'
";

const CHANGING: &str = "
[operators.totals]
type = 'aggregate'
input = 'flights'
by = ['carrier']
compute = ['sum(delay) as total']
[operators.best]
type = 'top_n'
input = 'totals'
order = ['total desc nulls first']
n = 2
rank_as = 'rank'
[operators.of_each_total]
type = 'top_n'
input = 'totals'
by = ['total']
order = []
n = 1
[sinks.out]
type = 'collect'
input = 'best'
[sinks.first]
type = 'collect'
input = 'of_each_total'
";

/// Carrier (nulls last) and total of all rows.
fn totals(rows: &[Row]) -> Vec<(Option<&'static str>, Option<i64>)> {
    let mut totals: BTreeMap<(bool, Option<&'static str>), Option<i64>> = BTreeMap::new();
    for &(carrier, delay, _) in rows {
        let total = totals.entry((carrier.is_none(), carrier)).or_default();
        *total = delay.map_or(*total, |delay| Some(total.unwrap_or(0) + delay));
    }
    totals.into_iter().map(|((_, carrier), total)| (carrier, total)).collect()
}

fn assert_totals(script: &Script, rows: &[Row]) {
    let mut by_total = totals(rows);
    by_total.sort_by_key(|(_, total)| (total.is_some(), std::cmp::Reverse(*total)));
    let best = by_total.iter().take(2).enumerate();
    let best = best.map(|(rank, (carrier, total))| json!({ "carrier": carrier, "total": total, "rank": rank + 1 }));
    assert_eq!(rows_of(script, "out"), sorted(best.collect()));
    by_total.dedup_by_key(|(_, total)| *total);
    let first = by_total.iter().map(|(carrier, total)| json!({ "carrier": carrier, "total": total }));
    assert_eq!(rows_of(script, "first"), sorted(first.collect()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_first_rows_of_each_window_are_those_of_a_sort(rows in rows(), how in disturbance()) {
        let script = disturbed(WINDOWED, &rows, &how);
        let (windows, late) = in_windows(&rows);
        let expected = windows.iter().flat_map(|((start, _), rows)| {
            first(rows, 2).into_iter().enumerate().map(move |(rank, row)| {
                let mut row = ranked(&row, rank);
                row["window_start"] = json!(rfc3339(start * 1_000_000));
                row["window_end"] = json!(rfc3339((start + 20) * 1_000_000));
                row
            })
        });
        prop_assert_eq!(rows_of(&script, "out"), sorted(expected.collect()));
        prop_assert_eq!(rows_of(&script, "too_late"), sorted(late.iter().map(to_json).collect()));
    }

    #[test]
    fn the_first_rows_of_all_are_those_of_a_sort(rows in rows(), how in disturbance()) {
        let script = disturbed(RUNNING, &rows, &how);
        let mut by_carrier: BTreeMap<Option<&str>, Vec<Row>> = BTreeMap::new();
        rows.iter().for_each(|row| by_carrier.entry(row.0).or_default().push(*row));
        let expected = by_carrier.values().flat_map(|rows| first(rows, 2).into_iter().enumerate());
        prop_assert_eq!(rows_of(&script, "out"), sorted(expected.map(|(rank, row)| ranked(&row, rank)).collect()));
        prop_assert_eq!(rows_of(&script, "all"), sorted(first(&rows, 3).iter().map(to_json).collect()));
    }

    #[test]
    fn a_changing_input_is_followed(rows in rows(), how in disturbance()) {
        assert_totals(&disturbed(CHANGING, &rows, &how), &rows);
    }

    #[test]
    fn a_changing_input_is_followed_after_every_row(rows in rows(), seed in 0..1000u64) {
        let mut script = start(CHANGING, &["runtime.workers=2"], seed);
        for (sent, row) in rows.iter().enumerate() {
            script.send("flights", &lines(&[*row])).unwrap();
            assert_totals(&script, &rows[..=sent]);
        }
    }

    #[test]
    fn a_list_becomes_the_rows_it_was_made_of(rows in rows(), how in disturbance()) {
        let operators = "
[operators.windows]
type = 'window'
input = 'flights'
kind = 'tumble'
size = '10s'
[operators.lists]
type = 'aggregate'
input = 'windows'
by = ['carrier']
compute = ['array_agg(delay) as delay']
[operators.rows]
type = 'unnest'
input = 'lists'
column = 'delay'
[operators.counts]
type = 'aggregate'
input = 'rows'
by = ['carrier', 'delay']
compute = ['count(*) as flights']
[sinks.out]
type = 'collect'
input = 'counts'
";
        let script = disturbed(operators, &rows, &how);
        let mut counts: BTreeMap<(i64, Option<&str>, Option<i64>), usize> = BTreeMap::new();
        let mut watermark = i64::MIN;
        for &(carrier, delay, second) in &rows {
            let start = second.div_euclid(10) * 10;
            if start + 10 > watermark {
                *counts.entry((start, carrier, delay)).or_default() += 1;
            }
            watermark = watermark.max(second - 10);
        }
        let expected = counts.iter().map(|((start, carrier, delay), flights)| json!({
            "carrier": carrier, "delay": delay, "flights": flights,
            "window_start": rfc3339(start * 1_000_000), "window_end": rfc3339((start + 10) * 1_000_000),
        }));
        prop_assert_eq!(rows_of(&script, "out"), sorted(expected.collect()));
    }
}

#[test]
fn a_view_can_be_keyed_by_what_is_ranked() {
    let operators = "
[operators.worst]
type = 'top_n'
input = 'flights'
by = ['carrier']
order = ['delay desc']
n = 2
rank_as = 'rank'
[sinks.board]
type = 'view'
input = 'worst'
key = ['carrier', 'rank']
";
    let mut script = start(operators, &[], 1);
    script.send("flights", &lines(&[(Some("UA"), Some(3), 1), (Some("UA"), Some(5), 2)])).unwrap();
    script.end().unwrap();
    assert_eq!(script.ledger().node("board").unwrap().rows_in, 4, "two rows, one of them withdrawn to come again with another rank");
}

#[test]
fn an_open_window_is_in_state_at_a_halt() {
    let mut script = start(WINDOWED, &[], 5);
    script.send("flights", &lines(&[(Some("UA"), Some(2), 0), (Some("UA"), Some(4), 19), (Some("UA"), Some(9), 25)])).unwrap();
    script.halt().unwrap();
    expect![[r#"
        {"carrier":"UA","delay":2,"at":"1970-01-01T00:00:00Z","window_start":"1969-12-31T23:59:50Z","window_end":"1970-01-01T00:00:10Z","rank":1}
    "#]]
    .assert_eq(&script.rows("out").unwrap());
    assert!(script.ledger().balances());
    assert_eq!(script.ledger().node("worst").unwrap().in_state, 3);
}

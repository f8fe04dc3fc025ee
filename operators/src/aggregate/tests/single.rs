//! Single properties of the running operator: bad rows, bad results, bounded memory, a full output.

use millstream_api::operator::Fates;
use millstream_api::options::OnBadRow;
use millstream_api::stream::WindowKind;
use serde_json::{Value, json};

use super::harness::{Harness, Row, input};
use crate::aggregate::{LATE, MAIN};

const REJECTED: usize = LATE + 1;

fn row(time: i64, key: i64, value: i64) -> Row {
    Row { time, key: Some(key), value: Some(value), mark: i64::MIN, weight: 1, position: time, window: None }
}

fn tumble(options: Value, policy: OnBadRow) -> Harness {
    Harness::new(options, input(Some((WindowKind::hop(10, 10, 0), false))), policy, 1)
}

#[test]
fn a_row_on_which_an_expression_fails_follows_the_policy() {
    let options = json!({ "by": ["6 / v as k"], "compute": ["sum(10 / (v - 2)) as s", "count(*) as n"] });
    let mut harness = tumble(options, OnBadRow::Reject);
    harness.batch(&[row(1, 0, 0), row(2, 0, 1), row(3, 0, 2), row(4, 0, 1)]);
    harness.watermark(i64::MAX);
    assert_eq!(harness.fates, Fates { taken: 2, rejected: 2, ..Fates::default() });
    assert_eq!(harness.rows(MAIN).len(), 1);
    assert_eq!(harness.rows(MAIN)[0]["s"], json!(-20));
    let reasons: Vec<Value> = harness.rows(REJECTED).iter().map(|row| row["reason"].clone()).collect();
    assert_eq!(reasons, ["division by zero", "division by zero"]);
}

#[test]
fn an_argument_that_the_filter_leaves_out_cannot_fail() {
    let mut harness = tumble(json!({ "compute": ["sum(6 / v) filter (where v <> 0) as s"] }), OnBadRow::Fail);
    harness.batch(&[row(1, 0, 0), row(2, 0, 2)]);
    harness.watermark(i64::MAX);
    assert_eq!(harness.rows(MAIN)[0]["s"], json!(3));
}

#[test]
fn a_bad_result_is_a_bad_row_with_its_key_and_window() {
    let options = json!({ "by": ["k"], "compute": ["sum(v) as s"] });
    let mut harness = tumble(options, OnBadRow::Reject);
    harness.batch(&[row(1, 7, i64::MAX), row(2, 7, 1), row(3, 8, 1)]);
    harness.watermark(i64::MAX);
    assert_eq!(harness.rows(MAIN).len(), 1);
    let rejected = harness.rows(REJECTED);
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0]["reason"], "overflow: the sum does not fit bigint");
    let raw = r#"{"k":7,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:00.000010Z"}"#;
    assert_eq!(rejected[0]["raw"], raw);
    assert_eq!(rejected[0]["place"], format!("result of node for {raw}"));
    assert_eq!(harness.fates, Fates { taken: 3, ..Fates::default() }, "results are not rows in");
}

#[test]
fn an_expression_that_fails_on_a_group_is_a_bad_result() {
    let options = json!({ "by": ["k"], "compute": ["10 / sum(v) as share", "count(*) as n"] });
    let mut harness = tumble(options, OnBadRow::Reject);
    harness.batch(&[row(1, 7, 2), row(2, 7, -2), row(3, 8, 5)]);
    harness.watermark(i64::MAX);
    assert_eq!((harness.rows(MAIN).len(), &harness.rows(MAIN)[0]["share"]), (1, &json!(2)));
    let rejected = harness.rows(REJECTED);
    assert_eq!((rejected.len(), &rejected[0]["reason"]), (1, &json!("division by zero")));
    assert!(rejected[0]["raw"].as_str().is_some_and(|raw| raw.starts_with(r#"{"k":7,"window_start""#)), "{}", rejected[0]);
}

#[test]
fn a_group_that_having_leaves_out_needs_no_other_results() {
    let rows = [row(1, 7, 2), row(2, 7, -2), row(3, 8, 5), row(4, 9, i64::MAX), row(4, 9, 1)];
    for (compute, having, sent, rejected) in [
        ("10 / sum(v) as share", "min(v) > 0", vec![json!(8)], 1),
        ("10 / sum(v) as share", "min(v) = 5", vec![json!(8)], 0),
        ("10 / sum(v) as share", "sum(v) <> 0", vec![json!(8)], 1),
        ("10 / sum(v) as share", "min(v) > 0 or share > 5", vec![json!(8)], 2),
        ("coalesce(sum(v), 0) as total", "total > 0", vec![json!(8)], 1),
    ] {
        let mut harness = tumble(json!({ "by": ["k"], "compute": [compute], "having": having }), OnBadRow::Reject);
        harness.batch(&rows);
        harness.watermark(i64::MAX);
        let keys: Vec<Value> = harness.rows(MAIN).iter().map(|row| row["k"].clone()).collect();
        assert_eq!((keys, harness.rows(REJECTED).len()), (sent, rejected), "{compute} having {having}");
    }
}

#[test]
fn a_running_result_that_stays_bad_is_reported_once() {
    let mut harness = Harness::new(json!({ "by": ["k"], "compute": ["sum(v) as s"] }), input(None), OnBadRow::Reject, 1);
    for value in [5, i64::MAX, 1, -10] {
        harness.batch(&[row(0, 7, value)]);
    }
    let sums: Vec<Value> = harness.rows(MAIN).iter().map(|row| row["s"].clone()).collect();
    // 5; withdrawn when the sum no longer fits; back when it does again.
    assert_eq!(sums, [json!(5), json!(5), json!(i64::MAX - 4)]);
    assert_eq!(harness.rows(1).len(), 1);
}

#[test]
fn state_is_dropped_when_no_window_needs_it() {
    let hop = WindowKind::hop(30, 7, 0);
    let options = json!({ "by": ["k"], "compute": ["count(*) as n", "min(v) as m"], "allowed_lateness": "5us" });
    let mut harness = Harness::new(options, input(Some((hop, false))), OnBadRow::Fail, 1);
    let mut most_bytes = 0;
    for time in 0..2000 {
        harness.batch(&[row(time, time % 50, time)]);
        harness.watermark(time);
        assert!(harness.rows_in_state() <= 30 + 7 + 5, "{}", harness.rows_in_state());
        if time == 200 {
            most_bytes = 2 * harness.state_bytes();
        }
        assert!(time < 200 || harness.state_bytes() <= most_bytes);
    }
    harness.watermark(i64::MAX);
    assert_eq!((harness.rows_in_state(), harness.state_bytes()), (0, 0));
}

#[test]
fn nothing_in_gives_nothing_out() {
    for options in [json!({ "compute": ["count(*) as n"] }), json!({ "by": ["k"], "compute": ["count(*) as n"] })] {
        let mut harness = tumble(options, OnBadRow::Fail);
        harness.watermark(5);
        harness.watermark(i64::MAX);
        assert!(harness.sent.is_empty());
    }
}

#[test]
fn the_ends_of_time_do_no_harm() {
    let mut harness = tumble(json!({ "compute": ["count(*) as n"] }), OnBadRow::Fail);
    harness.batch(&[row(i64::MIN, 0, 0), row(i64::MAX, 0, 0), row(0, 0, 0)]);
    harness.watermark(i64::MAX);
    assert_eq!(harness.fates.total(), 3);
}

//! What is said at check, what is sent for a batch, and what checkpoints write of windows. Results as a whole are in `tests/ranking.rs` of the crate.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::Int64Array;
use millstream_api::batch::{Hidden, Origin};
use millstream_api::operator::Fates;
use millstream_api::options::OnBadRow;
use millstream_api::stream::{Judge, WindowKind, Windowed};
use millstream_api::{Batch, EventTime, Stream};
use serde_json::{Value, json};

use super::TopNOptions;
use crate::testing::{Node, at, batch, ints, rows, schema, stream, timed, weighed};

fn keyed(n: u32) -> Value {
    json!({ "by": ["k"], "order": ["v desc"], "n": n, "rank_as": "rank" })
}

fn input() -> Stream {
    stream(schema("k bigint, v bigint"))
}

fn updating() -> Stream {
    Stream { updating: true, from_source: false, unique_key: Some(vec!["k".into(), "v".into()]), ..input() }
}

fn windowed(explicit: bool) -> Stream {
    let windows = WindowKind::hop(10, 10, 0);
    let columns = schema("k bigint, v bigint, window_start timestamp not null, window_end timestamp not null");
    Stream { windowed: Some(Windowed { windows, judge: Judge::Reader, explicit }), ..timed(columns) }
}

/// Rows of key and value, from position `from` on.
fn positioned<const N: usize>(rows: [(i64, i64); N], from: i64) -> Batch {
    let batch = batch(&[("k", ints(rows.map(|(k, _)| Some(k)))), ("v", ints(rows.map(|(_, v)| Some(v))))]);
    let position = Int64Array::from_iter_values(from..from + N as i64);
    let origin = Some(Origin { split: vec![0; N].into(), position });
    batch.with_hidden(Hidden { origin, ..Hidden::default() }).unwrap()
}

/// What a batch makes it send: rows with their weights.
fn sent(node: &mut Node, batch: Batch) -> Vec<String> {
    let (out, fates) = node.run(0, batch.clone());
    assert_eq!(fates, Fates { taken: batch.rows() as u64, ..Fates::default() });
    let weights = out.iter().flat_map(|(_, batch)| batch.weights().unwrap().to_vec());
    weights.zip(rows(&out, 0)).map(|(weight, row)| format!("{weight:+} {row}")).collect()
}

#[test]
fn only_rows_whose_rank_changes_are_sent_withdrawals_first() {
    let mut node = Node::plan::<TopNOptions>(keyed(2), vec![input()]);
    assert_eq!(
        sent(&mut node, positioned([(1, 5), (1, 7), (2, 1)], 0)),
        [r#"+1 {"k":1,"v":7,"rank":1}"#, r#"+1 {"k":1,"v":5,"rank":2}"#, r#"+1 {"k":2,"v":1,"rank":1}"#]
    );
    assert_eq!(sent(&mut node, positioned([(1, 6)], 3)), [r#"-1 {"k":1,"v":5,"rank":2}"#, r#"+1 {"k":1,"v":6,"rank":2}"#]);
    assert!(sent(&mut node, positioned([(1, 6), (1, 5)], 4)).is_empty(), "equal rows stay in the order of coming");
}

#[test]
fn where_nobody_reads_the_rank_a_row_that_moves_is_not_sent_again() {
    let mut node = Node::plan::<TopNOptions>(keyed(2), vec![input()]).reading(0, &["v"]);
    assert_eq!(sent(&mut node, positioned([(1, 5), (1, 7)], 0)), [r#"+1 {"v":7}"#, r#"+1 {"v":5}"#]);
    assert_eq!(sent(&mut node, positioned([(1, 9)], 2)), [r#"-1 {"v":5}"#, r#"+1 {"v":9}"#]);
}

#[test]
fn the_next_row_moves_up_when_one_is_withdrawn_even_before_it_comes() {
    let mut node = Node::plan::<TopNOptions>(keyed(1), vec![updating()]);
    let change = |rows: [(i64, i64); 1], weight: i8| {
        let batch = positioned(rows, 0).with_hidden(Hidden::default()).unwrap();
        weighed(batch, &[weight])
    };
    assert_eq!(sent(&mut node, change([(1, 5)], 1)), [r#"+1 {"k":1,"v":5,"rank":1}"#]);
    assert!(sent(&mut node, change([(1, 9)], -1)).is_empty());
    assert!(sent(&mut node, change([(1, 9)], 1)).is_empty());
    assert!(sent(&mut node, change([(1, 4)], 1)).is_empty());
    assert_eq!(sent(&mut node, change([(1, 5)], -1)), [r#"-1 {"k":1,"v":5,"rank":1}"#, r#"+1 {"k":1,"v":4,"rank":1}"#]);
    assert_eq!(sent(&mut node, change([(1, 4)], -1)), [r#"-1 {"k":1,"v":4,"rank":1}"#]);
}

#[test]
fn a_row_without_an_order_is_bad() {
    let options = json!({ "order": ["10 / v"], "n": 1 });
    let (out, fates) =
        Node::plan::<TopNOptions>(options, vec![input()]).with_policy(OnBadRow::Reject).run(0, positioned([(1, 0), (2, 3)], 0));
    assert_eq!(fates, Fates { taken: 1, rejected: 1, ..Fates::default() });
    assert_eq!(rows(&out, 0), [r#"{"k":2,"v":3}"#]);
    assert!(rows(&out, 1)[0].contains("division by zero"));
}

#[test]
fn left_over_rows_are_let_go_of() {
    let mut node = Node::plan::<TopNOptions>(keyed(1), vec![input()]).made();
    let bytes = |node: &mut Node, rounds: Range<i64>| {
        rounds.for_each(|round| drop(node.run(0, positioned([(round % 3, round)], round))));
        node.state_bytes()
    };
    let settled = bytes(&mut node, 0..2000);
    assert!(bytes(&mut node, 2000..6000) < 2 * settled, "three rows are kept, whatever has come");
}

#[test]
fn what_is_unique_is_known() {
    let key = |options: Value, stream: Stream| Node::plan::<TopNOptions>(options, vec![stream]).plan.outputs[0].stream.unique_key.clone();
    let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    assert_eq!(key(keyed(2), input()), names(&["k", "rank"]));
    assert_eq!(key(keyed(1), input()), names(&["k"]));
    assert_eq!(key(json!({ "by": ["k + 1 as k1"], "order": ["v"], "n": 1 }), updating()), names(&["k", "v"]));
    assert_eq!(key(json!({ "order": ["v"], "n": 2 }), input()), None);
    assert_eq!(key(keyed(2), windowed(true)), names(&["k", "rank", "window_start", "window_end"]));
}

#[test]
fn one_ranking_has_few_rows() {
    let most = |options: Value, stream: Stream| Node::plan::<TopNOptions>(options, vec![stream]).plan.outputs[0].stream.most_rows;
    assert_eq!(most(json!({ "order": ["v"], "n": 2 }), input()), Some(2));
    assert_eq!(most(json!({ "order": ["v"], "n": 3 }), updating()), Some(3));
    assert_eq!(most(keyed(2), input()), None, "there may be ever more keys");
    assert_eq!(most(json!({ "order": ["v"], "n": 2 }), windowed(true)), None, "there may be ever more windows");
}

#[test]
fn only_needed_columns_are_asked_for() {
    let required = |stream: Stream, names: &[&str]| {
        let node = Node::plan::<TopNOptions>(json!({ "order": ["v"], "n": 2, "rank_as": "rank" }), vec![stream]);
        node.reading(0, names).required().remove(0).into_iter().collect::<Vec<_>>()
    };
    assert_eq!(required(input(), &["rank"]), ["v"]);
    assert_eq!(required(updating(), &["rank"]), ["k", "v"], "equal rows are told apart by their columns");
    assert_eq!(required(windowed(false), &["window_end"]), ["v"], "windows follow from event time");
}

#[test]
fn the_plan_says_what_bounds_the_state() {
    let endless = |stream: Stream| Stream { bounded: false, ..stream };
    let bound = |options: Value, stream: Stream| {
        let plan = Node::plan::<TopNOptions>(options, vec![stream]).plan;
        assert_eq!(plan.bound.is_none(), plan.warnings.0.iter().any(|warning| warning.code == "unbounded-state"));
        plan.bound
    };
    assert_eq!(bound(keyed(3), endless(input())), None);
    assert_eq!(bound(keyed(3), endless(updating())), None);
    assert_eq!(bound(json!({ "order": ["v"], "n": 3 }), endless(input())).unwrap(), "at most 3 rows");
    assert_eq!(bound(keyed(3), endless(windowed(false))).unwrap(), "at most 3 rows for each key in each window that is open");
    assert_eq!(bound(keyed(3), updating()).unwrap(), "all rows of an input that ends");
}

#[test]
fn mistakes_are_all_found() {
    let options = json!({ "by": ["nope", "k + 1"], "order": ["v", "w desc"], "n": 2, "rank_as": "k" });
    let found: Vec<(&str, String)> =
        Node::mistakes::<TopNOptions>(options, vec![input()]).into_iter().map(|(code, path, _)| (code, path)).collect();
    let codes: Vec<&str> = found.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, ["unknown-column", "missing-name", "unknown-column", "duplicate-column"]);
    assert!(found[2].1.contains("order") && found[2].1.contains("Index(1)"), "{found:?}");
    let bad_name = Node::mistakes::<TopNOptions>(json!({ "order": ["v"], "n": 2, "rank_as": "a b" }), vec![input()]);
    assert_eq!(bad_name[0].0, "bad-name");
    let withdrawn = Stream { updating: true, ..windowed(true) };
    assert_eq!(Node::mistakes::<TopNOptions>(keyed(2), vec![withdrawn])[0].0, "updating-input");
    assert_eq!(Node::mistakes::<TopNOptions>(json!({ "order": ["v"], "n": 0 }), vec![input()]).len(), 1);
    let forgetful = json!({ "by": ["k"], "order": ["v"], "n": 1, "state_ttl": "1h" });
    assert_eq!(Node::mistakes::<TopNOptions>(forgetful.clone(), vec![windowed(true)])[0].0, "bad-value");
    assert!(Node::mistakes::<TopNOptions>(forgetful, vec![Stream { bounded: false, ..updating() }]).is_empty());
}

/// A row of each of these keys.
fn each(keys: Range<i64>, value: i64, time: i64) -> Batch {
    let rows = keys.clone().count();
    let position = Int64Array::from_iter_values(keys.clone());
    let columns = batch(&[("k", Arc::new(Int64Array::from_iter_values(keys))), ("v", Arc::new(Int64Array::from_value(value, rows)))]);
    let origin = Some(Origin { split: vec![0; rows].into(), position });
    at(columns.with_hidden(Hidden { origin, ..Hidden::default() }).unwrap(), &vec![time; rows])
}

#[test]
fn of_open_windows_those_keys_are_written_whose_first_rows_are_others() {
    let mut node = Node::plan::<TopNOptions>(keyed(2), vec![windowed(false)]).made();
    let mut checkpoints = node.note();
    node.run(0, each(0..999, 5, 3));
    assert_eq!(node.checkpoint(&mut checkpoints), (0, 999));
    assert_eq!(node.checkpoint(&mut checkpoints), (0, 0));
    node.run(0, each(996..1_000, 9, 4));
    // The number of rows is put down with the first key.
    assert_eq!(node.checkpoint(&mut checkpoints), (4, 1 + 3 * 2 + 1));
    node.run(0, each(996..999, 1, 5));
    assert_eq!(node.checkpoint(&mut checkpoints), (1, 1), "they are third");
    node.run(0, each(0..600, 7, 6));
    assert_eq!(node.checkpoint(&mut checkpoints), (1, 999 + 4 + 600), "of a window of which most has changed all is written");
    node.run(0, each(0..2, 7, 13));
    assert_eq!(node.checkpoint(&mut checkpoints), (0, 2), "another window");
    let in_state = node.rows_in_state();
    assert_eq!(in_state, 999 + 4 + 3 + 600 + 2);
    let mut node = node.restored(checkpoints);
    assert_eq!(node.rows_in_state(), in_state);
    let mut checkpoints = node.note();
    let sent = |sent: Vec<(usize, Batch)>| sent.iter().map(|(_, batch)| batch.rows()).sum::<usize>();
    assert_eq!(sent(node.pass(EventTime(10))), 999 + 4 + 600);
    assert_eq!(node.checkpoint(&mut checkpoints), (1, 0), "a window has gone");
    assert_eq!(sent(node.restored(checkpoints).pass(EventTime::MAX)), 2);
}

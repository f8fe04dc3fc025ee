//! What is said at check, and what checkpoints write. What is kept is in `tests/streams.rs` of the crate.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::Int64Array;
use millstream_api::{Batch, EventTime, Stream};
use serde_json::{Value, json};

use super::DeduplicateOptions;
use super::MAIN;
use crate::testing::{Node, at, batch, schema, stream, timed};

fn columns() -> arrow::datatypes::SchemaRef {
    schema("k bigint, v bigint")
}

fn mistakes(options: Value, stream: Stream) -> Vec<&'static str> {
    Node::mistakes::<DeduplicateOptions>(options, vec![stream]).into_iter().map(|(code, ..)| code).collect()
}

fn endless(stream: Stream) -> Stream {
    Stream { bounded: false, ..stream }
}

#[test]
fn what_cannot_be_is_said() {
    assert_eq!(mistakes(json!({ "by": [] }), timed(columns())), ["empty-list"]);
    assert_eq!(mistakes(json!({ "by": ["nope"] }), timed(columns())), ["unknown-column"]);
    assert_eq!(mistakes(json!({ "by": ["k"] }), Stream { updating: true, ..timed(columns()) }), ["updating-input"]);
    assert_eq!(mistakes(json!({ "by": ["k"], "within": "1h" }), stream(columns())), ["no-event-time"]);
    assert_eq!(mistakes(json!({ "by": ["k"], "within": "0s" }), timed(columns())), ["bad-value"]);
    assert_eq!(mistakes(json!({ "by": ["k"], "within": "1h", "state_ttl": "1h" }), timed(columns())), ["bad-value"]);
}

#[test]
fn keys_that_nothing_bounds_and_rows_without_an_order_are_warnings() {
    assert_eq!(mistakes(json!({ "by": ["k"] }), endless(timed(columns()))), ["unbounded-state"]);
    assert_eq!(mistakes(json!({ "by": ["k"], "within": "1h" }), endless(timed(columns()))), Vec::<&str>::new());
    assert_eq!(mistakes(json!({ "by": ["k"], "state_ttl": "1h" }), endless(timed(columns()))), Vec::<&str>::new());
    let joined = || Stream { from_source: false, ..stream(columns()) };
    assert_eq!(mistakes(json!({ "by": ["k"] }), joined()), ["no-order"]);
    assert_eq!(mistakes(json!({ "by": ["k"] }), Stream { splits: 2, ..stream(columns()) }), ["no-order"]);
    assert_eq!(mistakes(json!({ "by": ["k"], "keep": "last" }), joined()), Vec::<&str>::new());
}

#[test]
fn the_plan_says_what_leaves() {
    let planned = |options: Value, stream: Stream| {
        let plan = Node::plan::<DeduplicateOptions>(options, vec![stream]).plan;
        let main = &plan.outputs[0].stream;
        (main.updating, main.event_time, main.unique_key.clone(), plan.outputs.len(), plan.in_order)
    };
    let by_key = Some(vec!["k".to_owned()]);
    assert_eq!(planned(json!({ "by": ["k"] }), timed(columns())), (false, true, by_key.clone(), 2, false));
    assert_eq!(planned(json!({ "by": ["k"], "within": "1h" }), timed(columns())), (false, true, None, 3, false));
    assert_eq!(planned(json!({ "by": ["k"], "within": "1h", "keep": "last" }), timed(columns())), (false, true, None, 3, false));
    assert_eq!(planned(json!({ "by": ["k"], "keep": "last" }), timed(columns())), (true, true, by_key.clone(), 2, false));
    assert_eq!(planned(json!({ "by": ["k"] }), stream(columns())), (false, false, by_key, 2, true));
    assert_eq!(planned(json!({ "by": ["k % 2 as odd"], "keep": "last" }), stream(columns())), (true, false, None, 2, false));
}

/// A row of each of these keys.
fn rows(keys: Range<i64>, time: i64) -> Batch {
    let column = || Arc::new(Int64Array::from_iter_values(keys.clone()));
    at(batch(&[("k", column()), ("v", column())]), &vec![time; keys.clone().count()])
}

#[test]
fn rows_that_wait_are_written_once() {
    for keep in ["first", "last"] {
        let options = json!({ "by": ["k"], "keep": keep, "within": "1h" });
        let joined = Stream { from_source: false, ..timed(columns()) };
        let mut node = Node::plan::<DeduplicateOptions>(options, vec![joined]).made();
        let mut checkpoints = node.note();
        node.run(0, rows(0..999, 1_000));
        assert_eq!(node.checkpoint(&mut checkpoints), (0, 999));
        node.run(0, rows(999..1_004, 1_001));
        assert_eq!(node.checkpoint(&mut checkpoints), (0, 5));
        // So many batches that they are put together.
        (0..100).for_each(|_| drop(node.run(0, rows(7..8, 5_000))));
        assert_eq!(node.checkpoint(&mut checkpoints), (0, 100));
        let sent: usize = node.pass(EventTime(2_000)).iter().filter(|(port, _)| *port == MAIN).map(|(_, batch)| batch.rows()).sum();
        assert_eq!(sent, if keep == "first" { 1_004 } else { 0 });
        assert_eq!(node.checkpoint(&mut checkpoints), (0, 1_004), "the keys; what waits is there already");
        node.run(0, rows(0..3, 6_000));
        assert_eq!(node.checkpoint(&mut checkpoints), (0, 3));
        let in_state = node.rows_in_state();
        let mut node = node.restored(checkpoints);
        assert_eq!(node.rows_in_state(), in_state, "what was judged before is known by its time");
        let sent: usize = node.pass(EventTime::MAX).iter().map(|(_, batch)| batch.rows()).sum();
        assert_eq!(sent, if keep == "first" { 0 } else { 1_004 });
    }
}

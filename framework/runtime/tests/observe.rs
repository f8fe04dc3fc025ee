//! What can be seen of a run: who holds up whom, how far a source is, and that looking changes nothing.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::topology;
use millstream_runtime::feed::{Feed, InPlace};
use millstream_runtime::observe::Progress;
use millstream_runtime::{Job, Observation, RunOptions};
use millstream_testkit::VirtualRun;

const TEXT: &str = r#"
name = "t"
runtime = { workers = 1, batch_rows = 10, mailbox = 2, linger = "0s" }
[sources.a]
type = "numbers"
batches = 20
[operators.b]
type = "pass"
input = "a"
[sinks.c]
type = "watch"
input = "b"
[sinks.d]
type = "watch"
input = "b"
"#;

fn start() -> VirtualRun {
    let in_place = &mut |_: &str, source, _| Ok(Box::new(InPlace(source)) as Box<dyn Feed>);
    VirtualRun::new(&topology(TEXT), 1, Arc::default(), None, in_place).unwrap()
}

#[test]
fn a_sink_without_credit_holds_up_everything_in_front_of_it() {
    let mut run = start();
    run.hold(Some("c"));
    run.run().unwrap();
    run.advance(Duration::from_secs(10)).unwrap();
    let seen = run.observe();
    let held = |edge: usize| {
        let edge = &seen.edges[edge];
        (edge.from.as_str(), edge.to.as_str(), edge.batches, edge.batches_limit, edge.holds > 0, edge.held_percent, edge.holds_now)
    };
    assert_eq!(held(0), ("a", "b", 2, 2, true, 100.0, true));
    assert_eq!(held(1), ("b", "c", 2, 2, true, 100.0, true));
    assert_eq!(held(2), ("b", "d", 0, 2, false, 0.0, false));
    assert_eq!(seen.edges[1].bytes, 160);
    assert_eq!(seen.holder_of("b").unwrap().to, "c");
    assert!(seen.holder_of("c").is_none());
    let shares = |node| {
        let node = seen.node(node).unwrap();
        (node.recent.held_percent, node.recent.waiting_percent, node.over)
    };
    assert_eq!([shares("a"), shares("b"), shares("d")], [(100.0, 0.0, false), (100.0, 0.0, false), (0.0, 100.0, false)]);
    assert_eq!((seen.running_micros, seen.interval_micros), (10_000_000, 10_000_000));
    assert_eq!(seen.nodes[0].progress, Some(Progress { done: 5, total: 20 }));
}

#[test]
fn rates_are_over_the_last_second_at_least_and_shares_fall_when_credit_is_back() {
    let mut run = start();
    run.hold(Some("c"));
    run.run().unwrap();
    run.advance(Duration::from_secs(10)).unwrap();
    run.observe();
    run.hold(None);
    run.run().unwrap();
    run.advance(Duration::from_secs(2)).unwrap();
    // This one becomes what is compared with; the next one is compared with the first.
    run.observe();
    run.advance(Duration::from_secs(2)).unwrap();
    let seen = run.observe();
    assert_eq!(seen.interval_micros, 2_000_000);
    assert_eq!(seen.edges[1].held_percent, 0.0);
    assert_eq!((seen.edges[1].held_micros, seen.edges[1].holds_now), (10_000_000, false));
    let a = seen.node("a").unwrap();
    assert_eq!((a.rows_in, a.recent.rows_in_per_second, a.over), (200, 0.0, true));
    assert_eq!(a.progress, Some(Progress { done: 20, total: 20 }));
    assert!(a.splits[0].ended || seen.node("b").unwrap().inputs[0].ended);
    assert_eq!(seen.node("d").unwrap().fates.taken, 200);
}

#[test]
fn an_observation_survives_json() {
    let mut run = start();
    run.run().unwrap();
    run.advance(Duration::from_secs(3)).unwrap();
    let seen = run.observe();
    let text = serde_json::to_string(&seen).unwrap();
    assert_eq!(serde_json::from_str::<Observation>(&text).unwrap(), seen);
}

#[test]
fn actors_spend_their_time_on_something() {
    let job = Job::prepare(topology(TEXT), RunOptions::default()).map_err(|f| f.error).unwrap();
    let handle = job.handle();
    assert!(handle.observe().nodes.iter().all(|node| node.rows_in == 0 && !node.over));
    let report = job.run();
    let seen = handle.observe();
    assert!(seen.nodes.iter().all(|node| node.over), "{seen:#?}");
    for node in &seen.nodes {
        assert_eq!(node.rows_in, report.ledger.node(&node.node).unwrap().rows_in);
    }
}

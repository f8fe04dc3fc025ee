//! What is in flight when a sink does not take anything: exactly counted, and bounded for ever.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod common;

use std::sync::Arc;

use common::topology;
use millstream_runtime::channel::Fill;
use millstream_runtime::feed::{Feed, InPlace};
use millstream_testkit::VirtualRun;

const TEXT: &str = r#"
name = "t"
runtime = { workers = 1, batch_rows = 10, mailbox = 2, linger = "0s" }
[sources.a]
type = "numbers"
[operators.b]
type = "pass"
input = "a"
[sinks.c]
type = "watch"
input = "b"
"#;

fn start(text: &str, seed: u64) -> VirtualRun {
    VirtualRun::new(&topology(text), seed, Arc::default(), None, &mut |_, source, _| Ok(Box::new(InPlace(source)) as Box<dyn Feed>))
        .unwrap()
}

#[test]
fn a_blocked_sink_stops_the_source_after_exactly_five_batches() {
    for seed in 0..20 {
        let mut run = start(TEXT, seed);
        run.hold(Some("c"));
        run.run().unwrap();
        let fill = |run: &VirtualRun, from: &str, to: &str| run.channels(from, to).map(|c| c.channel.fill()).collect::<Vec<_>>();
        // Two wait for the sink. The operator has a third that it can't send, and so has not given back its credit; with a
        // fourth its own channel is full. The source holds a fifth.
        assert_eq!(fill(&run, "b", "c"), [Fill { in_flight: 2, queued: 2 }]);
        assert_eq!(fill(&run, "a", "b"), [Fill { in_flight: 2, queued: 1 }]);
        assert_eq!(run.ledger().node("a").unwrap().rows_in, 50);
        assert_eq!(run.ledger().node("b").unwrap().rows_in, 30);
        assert_eq!(run.ledger().node("c").unwrap().rows_in, 0);
    }
}

#[test]
fn the_byte_bound_holds_where_it_is_reached_first() {
    // A batch of ten numbers is 80 bytes: two fit into 200.
    let text = TEXT.replace("mailbox = 2", "mailbox = 100, in_flight = \"200B\"");
    let mut run = start(&text, 1);
    run.hold(Some("c"));
    run.run().unwrap();
    assert_eq!(run.channels("b", "c").map(|c| c.channel.fill().in_flight).collect::<Vec<_>>(), [2]);
    assert_eq!(run.ledger().node("a").unwrap().rows_in, 50);
}

#[test]
fn a_slow_sink_never_lets_more_than_the_bound_in_flight() {
    let mut run = start(TEXT, 7);
    for _ in 0..2_000 {
        run.hold(Some("c"));
        run.run().unwrap();
        let in_flight = |from, to| run.channels(from, to).map(|c| c.channel.fill().in_flight).max().unwrap();
        assert!(in_flight("a", "b") <= 2 && in_flight("b", "c") <= 2);
        let (read, written) = (run.ledger().node("a").unwrap().rows_in, run.ledger().node("c").unwrap().rows_in);
        assert!(read - written <= 50, "{read} rows read, {written} written");
        run.hold(None);
        for _ in 0..3 {
            run.step().unwrap();
        }
    }
    assert!(run.ledger().node("c").unwrap().rows_in > 1_000);
}

//! Topologies on real actors and threads: ends, stops, failures, fairness.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod common;

use common::{ON_FINISH, Saw, seen, topology};
use millstream_api::sink::Finish;
use millstream_runtime::{Checkpoints, Job, Outcome, RunOptions};
use millstream_state::Store;
use millstream_state::wanted::Fit;

fn run(text: &str) -> millstream_runtime::Report {
    Job::prepare(topology(text), RunOptions::default()).map_err(|f| f.error).unwrap().run()
}

#[test]
fn a_bounded_input_ends_by_itself_and_every_row_arrives() {
    let report = run(r#"
name = "t"
runtime = { workers = 2, batch_rows = 7, mailbox = 1 }
[sources.a]
type = "numbers"
batches = 1000
[operators.b]
type = "pass"
input = "a"
parallelism = 3
[sinks.c1]
type = "watch"
input = "b"
blocks = true
"#);
    assert!(matches!(report.outcome, Outcome::Done), "{:?}", report.outcome);
    assert!(report.ledger.balances());
    assert_eq!(report.ledger.node("c1").unwrap().fates.taken, 10_000);
    assert!(seen("c1").contains(&Saw::Finish(Finish::End)));
}

#[test]
fn an_error_ends_the_run_with_its_node_line_and_row() {
    let report = run(r#"
name = "t"
[sources.a]
type = "numbers"
[operators.b]
type = "pass"
input = "a"
parallelism = 2
fail_at = 12345
[sinks.c2]
type = "watch"
input = "b"
blocks = true
"#);
    let Outcome::Failed(failure) = report.outcome else { panic!("{:?}", report.outcome) };
    assert_eq!((failure.node.as_str(), failure.line, failure.parallelism), ("b", 5, 2));
    assert_eq!(failure.error.to_string(), "this number is not liked (at row 12345)");
    let saw = seen("c2");
    assert!(!saw.is_empty() && saw.iter().all(|s| *s == Saw::Drop), "a sink of a failed run is dropped, not finished: {saw:?}");
}

#[test]
fn a_panic_ends_the_run_like_an_error() {
    let report = run(r#"
name = "t"
[sources.a]
type = "numbers"
[operators.b]
type = "pass"
input = "a"
panic_at = 777
[sinks.c3]
type = "watch"
input = "b"
"#);
    let Outcome::Failed(failure) = report.outcome else { panic!("{:?}", report.outcome) };
    assert_eq!(failure.node, "b");
    assert!(failure.error.message().contains("panicked: this number is feared"), "{}", failure.error);
}

#[test]
fn a_stop_ends_an_endless_input_and_finishes_sinks() {
    let job = Job::prepare(
        topology(
            r#"
name = "t"
[sources.a]
type = "numbers"
[sinks.c4]
type = "watch"
input = "a"
blocks = true
"#,
        ),
        RunOptions::default(),
    )
    .map_err(|f| f.error)
    .unwrap();
    // Before it has started: the order waits for it.
    job.handle().stop();
    let report = job.run();
    assert!(matches!(report.outcome, Outcome::Stopped));
    assert!(report.ledger.balances());
    assert!(seen("c4").contains(&Saw::Finish(Finish::Halt)));
}

#[test]
fn a_busy_actor_does_not_starve_its_neighbours() {
    // One arbiter. The endless chain always has something to do; the short one must end all the same, and then stops the run.
    let job = Job::prepare(
        topology(
            r#"
name = "t"
runtime = { workers = 1 }
[sources.endless]
type = "numbers"
[sinks.busy]
type = "watch"
input = "endless"
[sources.short]
type = "numbers"
batches = 500
[sinks.short_end]
type = "watch"
input = "short"
"#,
        ),
        RunOptions::default(),
    )
    .map_err(|f| f.error)
    .unwrap();
    ON_FINISH.lock().unwrap().push(("short_end".to_owned(), job.handle()));
    let report = job.run();
    assert!(matches!(report.outcome, Outcome::Stopped));
    assert_eq!(report.ledger.node("short_end").unwrap().fates.taken, 5_000);
}

/// A run with checkpoints in a folder of its own, which goes on from the last one up to three times.
fn run_with_checkpoints(text: &str) -> millstream_runtime::Report {
    let folder = tempfile::tempdir().unwrap();
    let head = "[checkpoint]\nstore = \"file:./state\"\ninterval = \"1ms\"\nrestart_delay = \"1ms\"\nmax_restart_delay = \"1ms\"\n";
    let topology = topology(&format!("{text}{head}"));
    let settings = topology.checkpoint.clone().unwrap();
    let store = Store::open(&folder.path().join("state"), "file:./state").unwrap();
    let checkpoints = Checkpoints { settings, store, from: None, fit: Fit::default(), amend: None, next: 1 };
    Job::prepare(topology, RunOptions { checkpoints: Some(checkpoints), ..RunOptions::default() }).map_err(|f| f.error).unwrap().run()
}

#[test]
fn a_row_that_makes_the_run_fail_each_time_is_named_after_a_few_times() {
    for (name, fault) in [("c5", "fail_at = 12345"), ("c6", "panic_at = 12345")] {
        let report = run_with_checkpoints(&format!(
            "name = \"t\"\n[sources.a]\ntype = \"numbers\"\n[operators.b]\ntype = \"pass\"\ninput = \"a\"\n{fault}\n\
             [sinks.{name}]\ntype = \"watch\"\ninput = \"b\"\nblocks = true\nparallelism = 1\n"
        ));
        let Outcome::Failed(failure) = report.outcome else { panic!("{:?}", report.outcome) };
        assert_eq!(failure.node, "b");
        let help = failure.error.help_text().unwrap();
        assert!(help.ends_with("it has failed 3 times at the same place, so it would go on failing"), "{help}");
        assert_eq!(seen(name), [Saw::Drop; 3], "each time the sink is dropped, not finished");
    }
}

#[test]
fn with_checkpoints_every_row_is_counted_once_and_the_last_one_comes_at_the_end() {
    let report = run_with_checkpoints(
        "name = \"t\"\nruntime = { workers = 2, batch_rows = 7 }\n[sources.a]\ntype = \"numbers\"\nbatches = 1000\n\
         [operators.b]\ntype = \"pass\"\ninput = \"a\"\nparallelism = 3\n[sinks.c7]\ntype = \"watch\"\ninput = \"b\"\nblocks = true\nparallelism = 1\n",
    );
    assert!(matches!(report.outcome, Outcome::Done), "{:?}", report.outcome);
    assert_eq!(report.ledger.node("c7").unwrap().fates.taken, 10_000);
    assert!(report.ledger.balances());
    assert_eq!(seen("c7"), [Saw::Finish(Finish::End), Saw::Drop]);
}

#[test]
fn a_sink_that_writes_in_pieces_is_done_with_all_before_a_barrier_or_the_end() {
    let report = run_with_checkpoints(
        "name = \"t\"\nruntime = { batch_rows = 7 }\n[sources.a]\ntype = \"numbers\"\nbatches = 300\n\
         [sinks.c8]\ntype = \"watch\"\ninput = \"a\"\nblocks = true\npieces = \"small\"\nparallelism = 1\n",
    );
    assert!(matches!(report.outcome, Outcome::Done), "{:?}", report.outcome);
    assert_eq!(report.ledger.node("c8").unwrap().fates.taken, 3_000);
    assert!(report.ledger.balances());
}

#[test]
fn a_run_that_fails_ends_although_a_sink_is_not_done_with_its_batch() {
    let report = run("name = \"t\"\n[sources.a]\ntype = \"numbers\"\n[sinks.c9]\ntype = \"watch\"\ninput = \"a\"\nblocks = true\n\
         pieces = \"endless\"\n[sources.other]\ntype = \"numbers\"\n[operators.b]\ntype = \"pass\"\ninput = \"other\"\nfail_at = 12345\n\
         [sinks.c10]\ntype = \"watch\"\ninput = \"b\"\n");
    let Outcome::Failed(failure) = report.outcome else { panic!("{:?}", report.outcome) };
    assert_eq!(failure.node, "b");
    assert_eq!(report.ledger.node("c9").unwrap().fates.taken, 0, "nothing of it was written");
    assert_eq!(seen("c9")[0], Saw::Drop);
}

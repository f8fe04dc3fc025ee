//! Runs on stores that fail: whatever fails and however, no row is lost and none comes twice.
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millstream_api::Registry;
use millstream_api::error::ErrorKind;
use millstream_runtime::{Checkpoints, Job, Notice, Outcome, RunOptions};
use millstream_state::Store;
use millstream_state::blobs::FolderBlobs;
use millstream_state::wanted::Fit;
use millstream_testkit::{FailingBlobs, Fault, Operation};
use millstream_topology::{Topology, load_text};
use tempfile::TempDir;

/// Calls before the first checkpoint. That they fail is said before a run has begun, and costs nothing.
const BEFORE: usize = 8;

/// Calls that every run makes after that.
const SURE: usize = 8;

/// How many rows come in. Slowly enough for some checkpoints on the way.
const ROWS: usize = 300;

const TOPOLOGY: &str = r#"
name = "t"

[runtime]
workers    = 2
batch_rows = 16
linger     = "1ms"

[checkpoint]
store             = "file:./state"
interval          = "5ms"
restart_delay     = "1ms"
max_restart_delay = "2ms"

[sources.numbers]
type    = "generate"
columns = ["counter as n", "counter % 40 as k"]
rows    = 300
rate    = 6000

[operators.once]
type  = "deduplicate"
input = "numbers"
by    = ["k"]

[sinks.all]
type  = "file"
input = "numbers"
path  = "all.csv"
columns = ["n"]

[sinks.first]
type  = "file"
input = "once"
path  = "first.ndjson"
columns = ["n"]
"#;

fn topology(folder: &Path, settings: &[(&str, &str)]) -> Topology {
    let mut registry = Registry::new();
    millstream_operators::register(&mut registry);
    let text = settings
        .iter()
        .fold(TOPOLOGY.to_owned(), |text, (key, value)| text.replace("[checkpoint]\n", &format!("[checkpoint]\n{key} = {value}\n")));
    let outcome = load_text("t.toml", &text, folder, &Default::default(), &[], &registry);
    let report = outcome.report.render();
    outcome.topology.unwrap_or_else(|| panic!("{report}"))
}

/// Objects in the folder's `state`, of whose calls `judge` says what becomes of them.
fn blobs(folder: &Path, judge: impl Fn(usize, Operation) -> Fault + Send + Sync + 'static) -> Arc<FailingBlobs> {
    Arc::new(FailingBlobs::new(Arc::new(FolderBlobs::open(&folder.join("state")).unwrap()), judge))
}

/// What came of a run.
struct Ran {
    outcome: Outcome,
    /// How often it went on by itself.
    restarts: u64,
    /// How many checkpoints have failed.
    failed: u64,
}

/// Runs the topology from the newest checkpoint that can be used, as `run` and `run --from` do.
fn run(topology: Topology, store: Store) -> Ran {
    let settings = topology.checkpoint.clone().unwrap();
    let mut checkpoints = Checkpoints { settings, store, from: None, fit: Fit::default(), amend: None, next: 1 };
    let mut newest = checkpoints.store.checkpoints().unwrap();
    while let Err(error) = checkpoints.reload(newest.last().copied()) {
        assert!(error.message().contains("cannot be used"), "{error}");
        checkpoints.store.give_up(newest.pop().unwrap()).unwrap();
    }
    let notices = Box::new(|notice: &Notice<'_>| {
        if let Notice::Failed { failure, .. } = notice {
            assert!(!failure.error.message().is_empty());
        }
    });
    let options = RunOptions { checkpoints: Some(checkpoints), notices: Some(notices), ..RunOptions::default() };
    let job = Job::prepare(topology, options).map_err(|failure| failure.error).unwrap();
    let handle = job.handle();
    let report = job.run();
    let status = handle.checkpoints().unwrap();
    Ran { outcome: report.outcome, restarts: status.restarts, failed: status.failed }
}

fn all_rows_are_there_once(folder: &Path, how: &str) {
    let mut lines: Vec<String> = std::fs::read_to_string(folder.join("all.csv")).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(lines.remove(0), "n", "{how}");
    let numbers: Vec<usize> = lines.iter().map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers, (0..ROWS).collect::<Vec<_>>(), "{how}");
    let text = std::fs::read_to_string(folder.join("first.ndjson")).unwrap();
    let number = |line: &str| line.strip_prefix("{\"n\":").and_then(|line| line.strip_suffix('}')).unwrap().parse().unwrap();
    let mut first: Vec<usize> = text.lines().map(number).collect();
    first.sort_unstable();
    assert_eq!(first, (0..40).collect::<Vec<_>>(), "{how}");
}

/// Each call of a run in turn, in every way.
#[test]
fn a_call_that_fails_costs_no_row() {
    let (mut ended_badly, mut went_on) = (0, 0);
    for fault in [Fault::Fails, Fault::Torn, Fault::Unanswered] {
        for which in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let failing = blobs(folder.path(), move |call, _| if call == which + BEFORE { fault } else { Fault::None });
            let store = Store::over(failing.clone(), "store").take("a run").unwrap();
            let ran = run(topology(folder.path(), &[]), store);
            let how = format!("call {which} {fault:?}: {:?}", ran.outcome);
            // How many checkpoints there are is a matter of time; the last one there always is.
            assert!(failing.calls() > which + BEFORE || which >= SURE, "{how}: it was never made");
            went_on += ran.restarts;
            if let Outcome::Failed(failure) = ran.outcome {
                assert_eq!((failure.node.as_str(), fault), ("[checkpoint]", Fault::Torn), "{how}: {}", failure.error);
                ended_badly += 1;
                let good = Store::over(blobs(folder.path(), |_, _| Fault::None), "store").take("the next run").unwrap();
                let ran = run(topology(folder.path(), &[]), good);
                assert!(matches!(ran.outcome, Outcome::Done), "{how}, then {:?}", ran.outcome);
            }
            all_rows_are_there_once(folder.path(), &how);
        }
    }
    assert!(went_on > 10, "most failures are outlived: {went_on}");
    assert!(ended_badly > 0, "half a manifest is nobody's");
}

#[test]
fn failures_one_after_the_other_are_outlived() {
    let folder = tempfile::tempdir().unwrap();
    let failing = blobs(
        folder.path(),
        |call, operation| {
            if operation == Operation::Put && call % 2 == 0 && call < 40 { Fault::Fails } else { Fault::None }
        },
    );
    let store = Store::over(failing, "store").take("a run").unwrap();
    let ran = run(topology(folder.path(), &[("tolerable_failures", "1000")]), store);
    assert!(matches!(ran.outcome, Outcome::Done), "{:?}", ran.outcome);
    assert!(ran.failed > 0);
    all_rows_are_there_once(folder.path(), "tolerated");
}

/// A store that is slower than a checkpoint may be: that one fails, and the next one is written.
#[test]
fn a_slow_store_fails_a_checkpoint_and_not_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let slow = blobs(folder.path(), |call, _| if call == 8 { Fault::Slow(Duration::from_millis(600)) } else { Fault::None });
    let store = Store::over(slow, "store").take("a run").unwrap();
    let settings = [("timeout", "\"500ms\""), ("tolerable_failures", "5")];
    let ran = run(topology(folder.path(), &settings), store);
    assert!(matches!(ran.outcome, Outcome::Done), "{:?}", ran.outcome);
    assert!(ran.failed > 0);
    all_rows_are_there_once(folder.path(), "slow");
}

/// Two runs in one process: the first one ends at its next checkpoint, and does not go on by itself.
#[test]
fn a_run_whose_store_was_taken_ends_for_good() {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let store = || Store::over(blobs(folder.path(), |_, _| Fault::None), "store");
    let first = store().take("process 1").unwrap();
    let _second = store().take("process 2").unwrap();
    let settings = topology(folder.path(), &[]).checkpoint.unwrap();
    let checkpoints = Checkpoints { settings, store: first, from: None, fit: Fit::default(), amend: None, next: 3 };
    let options = RunOptions { checkpoints: Some(checkpoints), ..RunOptions::default() };
    let job = Job::prepare(topology(folder.path(), &[]), options).map_err(|failure| failure.error).unwrap();
    let handle = job.handle();
    let Outcome::Failed(failure) = job.run().outcome else { panic!("it went on") };
    assert_eq!(failure.error.kind(), ErrorKind::Taken);
    assert!(failure.error.message().ends_with("the store store was taken by process 2"), "{}", failure.error);
    assert_eq!(handle.checkpoints().unwrap().restarts, 0);
    assert!(!folder.path().join("all.csv").exists(), "nothing was made visible");
}

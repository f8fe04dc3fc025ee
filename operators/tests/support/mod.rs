//! What these tests share: scripts of small topologies, the rows of a sink, and runs that are cut and disturbed at random.

#![allow(dead_code, reason = "each test binary uses its own part of this module")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

use std::collections::BTreeMap;

use millstream_api::Registry;
use millstream_testkit::Script;
use proptest::prelude::*;
use serde_json::Value;

/// Starts a topology with all types that ship.
pub fn start(topology: &str, settings: &[&str], seed: u64) -> Script {
    let mut registry = Registry::new();
    millstream_operators::register(&mut registry);
    Script::start(registry, topology, settings, seed).unwrap_or_else(|e| panic!("{e}"))
}

/// The rows of a sink, sorted.
pub fn rows_of(script: &Script, sink: &str) -> Vec<Value> {
    sorted(script.rows(sink).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

pub fn sorted(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_key(|row| {
        row.as_object().unwrap().iter().map(|(name, value)| (name.clone(), value.to_string())).collect::<BTreeMap<_, _>>()
    });
    rows
}

/// How a run is cut and disturbed.
#[derive(Clone, Debug)]
pub struct Disturbance {
    pub seed: u64,
    pub workers: [usize; 2],
    /// Where keyed state is before the crash, and after it.
    pub state: [&'static str; 2],
    pub batch_rows: usize,
    pub turns: usize,
    /// After how many per cent of the rows there is a checkpoint.
    pub checkpoint: usize,
}

pub fn disturbance() -> impl Strategy<Value = Disturbance> {
    let state = || prop_oneof![2 => Just("memory"), 1 => Just("disk")];
    (0..1000u64, [1..4usize, 1..4usize], [state(), state()], 1..5usize, 0..40usize, 0..100usize).prop_map(
        |(seed, workers, state, batch_rows, turns, checkpoint)| Disturbance { seed, workers, state, batch_rows, turns, checkpoint },
    )
}

/// Runs rows through a topology to their end, with a crash on the way. `lines` are those from a place on, as they are sent.
pub fn disturbed<R>(topology: &str, source: &str, rows: &[R], lines: impl Fn(&[R], usize) -> String, how: &Disturbance) -> Script {
    let settings = |at: usize| {
        [
            format!("runtime.workers={}", how.workers[at]),
            format!("runtime.batch_rows={}", how.batch_rows),
            format!("runtime.state={}", how.state[at]),
        ]
    };
    let [first, second] = [0, 1].map(settings);
    let mut script = start(topology, &first.each_ref().map(String::as_str), how.seed);
    let (before, after) = rows.split_at(rows.len() * how.checkpoint / 100);
    script.send_only(source, &lines(before, 0)).unwrap();
    script.turns(how.turns).unwrap();
    script.checkpoint().unwrap();
    script.send(source, &lines(after, before.len())).unwrap();
    script.crash_and_restore(&second.each_ref().map(String::as_str)).unwrap();
    script.end().unwrap();
    assert!(script.ledger().balances(), "{:?}", script.ledger());
    script
}

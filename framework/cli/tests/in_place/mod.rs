//! Whole topologies in virtual time, with the sources that they name, and what comes of them in sinks that keep it: undisturbed, or with a
//! checkpoint in mid-stream, a crash, and back with other settings.

#![allow(dead_code, reason = "each test binary uses its own part of this module")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millstream_api::Registry;
use millstream_api::source::{Next, Source};
use millstream_runtime::feed::Feed;
use millstream_state::JobSnapshot;
use millstream_testkit::VirtualRun;
use millstream_testkit::script::applied;
use millstream_topology::{Topology, load_text};

/// How a run is cut.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    pub workers: usize,
    pub batch_rows: usize,
    pub mailbox: usize,
    pub state: &'static str,
}

impl Cut {
    pub fn settings(self) -> [String; 4] {
        let Cut { workers, batch_rows, mailbox, state } = self;
        [
            format!("runtime.workers={workers}"),
            format!("runtime.batch_rows={batch_rows}"),
            format!("runtime.mailbox={mailbox}"),
            format!("runtime.state={state}"),
        ]
    }
}

/// The rows of every sink that keeps them, changes applied.
pub type Rows = BTreeMap<String, String>;

/// All types that ship.
pub fn shipped() -> Registry {
    let mut registry = Registry::new();
    millstream_operators::register(&mut registry);
    registry
}

/// All types that ship, and those of tests.
pub fn registry() -> Registry {
    let mut registry = shipped();
    millstream_testkit::nodes::register(&mut registry);
    registry
}

/// A topology of this text, cut in this way.
pub fn load(text: &str, folder: &Path, env: &BTreeMap<String, String>, cut: Cut) -> Topology {
    let outcome = load_text("whole.toml", text, folder, env, &cut.settings(), &registry());
    outcome.topology.unwrap_or_else(|| panic!("{}\n{text}", outcome.report.render()))
}

/// A source that is asked until it has something: it may read ahead on threads of its own.
struct Patient(Box<dyn Source>);

impl Feed for Patient {
    fn poll(&mut self) -> millstream_api::Result<Next> {
        loop {
            match self.0.next(Duration::from_secs(1))? {
                Next::Nothing => {}
                next => return Ok(next),
            }
        }
    }
}

fn start(topology: &Topology, seed: u64, from: Option<&JobSnapshot>) -> VirtualRun {
    let mut feed = |_: &str, source, _| Ok(Box::new(Patient(source)) as Box<dyn Feed>);
    VirtualRun::new(topology, seed, Arc::default(), from, &mut feed).unwrap()
}

/// What comes of a run that nothing disturbs; `seed` says who gets its turn when. Keys on disk have left memory.
pub fn straight(topology: &Topology, seed: u64) -> Rows {
    let mut run = start(topology, seed, None);
    run.run().unwrap();
    for node in run.observe().nodes.iter().filter(|node| topology.node(&node.node).is_some_and(|node| node.on_disk)) {
        let disk = node.disk.unwrap_or_else(|| panic!("{} has nothing on disk", node.node));
        assert!(disk.evictions > 0 || node.rows_in == 0, "{}: no key has left memory", node.node);
    }
    finish(topology, run)
}

/// What comes of one with a checkpoint after some turns, half as many turns more, a crash, and back with the second topology.
pub fn restored(topologies: [&Topology; 2], seed: u64, turns: usize) -> Rows {
    let mut run = start(topologies[0], seed, None);
    give(&mut run, turns);
    let checkpoint = run.checkpoint().unwrap();
    give(&mut run, turns / 2);
    drop(run);
    finish(topologies[1], start(topologies[1], seed + 1, Some(&checkpoint)))
}

fn give(run: &mut VirtualRun, turns: usize) {
    for _ in 0..turns {
        run.step().unwrap();
    }
}

fn finish(topology: &Topology, mut run: VirtualRun) -> Rows {
    run.run().unwrap();
    assert!(run.is_over() && run.ledger().balances(), "{:?}", run.ledger());
    let sinks = topology.nodes.iter().filter(|node| node.kind == "collect");
    sinks.map(|sink| (sink.name.clone(), rows(&run, &sink.name))).collect()
}

/// What a sink has kept.
pub fn rows(run: &VirtualRun, sink: &str) -> String {
    applied(&run.views().get(sink).unwrap().rows().unwrap().1).unwrap()
}

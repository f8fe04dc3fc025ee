//! Whole topologies with `state = "disk"`, whose keys leave memory after every batch, undisturbed and with a crash in mid-stream: the
//! conformance cases give the published rows, the Nexmark queries what they give in memory.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

mod in_place;
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use in_place::{Cut, Rows, load, restored, straight};
use millstream_topology::Topology;
use serde_json::Value;
use support::{difference, read_rows};

const IN_MEMORY: Cut = Cut { workers: 1, batch_rows: 8192, mailbox: 8, state: "memory" };
const ON_DISK: Cut = Cut { workers: 2, batch_rows: 50, mailbox: 2, state: "disk" };
/// After a crash.
const AND_BACK: Cut = Cut { workers: 3, batch_rows: 7, mailbox: 1, state: "disk" };

/// A topology of the file whose result is kept.
fn topology(path: &Path, cut: Cut) -> Topology {
    let text = std::fs::read_to_string(path).unwrap();
    let (before, sink) = text.split_once("[sinks.result]").unwrap_or_else(|| panic!("{} has no sink `result`", path.display()));
    let option = |name: &str| sink.lines().find(|line| line.starts_with(name));
    let input = option("input").unwrap();
    let kept = match option("columns") {
        None => format!("[sinks.result]\ntype = \"collect\"\n{input}\n"),
        // One that keeps rows has all columns.
        Some(columns) => {
            format!("[operators.shown]\ntype = \"select\"\n{input}\n{columns}\n[sinks.result]\ntype = \"collect\"\ninput = \"shown\"\n")
        }
    };
    let text = format!("{before}{kept}");
    let env = BTreeMap::from([("EVENTS".to_owned(), "2000".to_owned())]);
    load(&text, path.parent().unwrap(), &env, cut)
}

/// How many nodes there are whose keys may leave memory.
fn on_disk(topology: &Topology) -> usize {
    topology.nodes.iter().filter(|node| node.on_disk).count()
}

fn paths_in(of: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(of);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The rows on disk, undisturbed and with a crash after some turns.
fn shaken(path: &Path, turns: usize) -> [Rows; 2] {
    let [on_disk, and_back] = [ON_DISK, AND_BACK].map(|cut| topology(path, cut));
    [straight(&on_disk, 3), restored([&on_disk, &and_back], 5, turns)]
}

#[test]
fn every_conformance_case_gives_the_published_rows() {
    let (mut failures, mut nodes) = (Vec::new(), 0);
    for case in paths_in("tests/conformance/cases") {
        let path = case.join("topology.toml");
        nodes += on_disk(&topology(&path, ON_DISK));
        let expected = read_rows(&case.join("expected.ndjson"));
        for (rows, how) in shaken(&path, 60).iter().zip(["undisturbed", "restored"]) {
            let found: Vec<Value> = rows["result"].lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            failures.extend(difference(&found, &expected).map(|found| format!("{} {how}: {found}", case.display())));
        }
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n\n"));
    assert!(nodes > 25, "only {nodes} nodes are on disk");
}

#[test]
fn every_nexmark_query_gives_what_it_gives_in_memory() {
    let mut nodes = 0;
    let is_query = |path: &PathBuf| path.extension().is_some_and(|end| end == "toml") && !path.ends_with("events.toml");
    for path in paths_in("../../config/nexmark").into_iter().filter(is_query) {
        let in_memory = straight(&topology(&path, IN_MEMORY), 0);
        nodes += on_disk(&topology(&path, ON_DISK));
        for (rows, how) in shaken(&path, 100).iter().zip(["undisturbed", "restored"]) {
            assert!(*rows == in_memory, "{} {how}: {} rows", path.display(), rows["result"].lines().count());
        }
        assert!(!in_memory["result"].is_empty(), "{} has no row", path.display());
    }
    assert!(nodes > 10, "only {nodes} nodes are on disk");
}

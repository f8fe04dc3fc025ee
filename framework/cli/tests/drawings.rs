//! Every topology of the repository can be drawn and explained.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use millstream_api::Registry;
use millstream_topology::{Drawing, Topology, draw, explain, load};
use serde_json::Value;

fn topologies() -> Vec<Topology> {
    let mut registry = Registry::new();
    millstream_operators::register(&mut registry);
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in ["examples", "framework/cli/tests/conformance/cases"] {
        for entry in std::fs::read_dir(repository.join(folder)).unwrap() {
            found.extend(Some(entry.unwrap().path().join("topology.toml")).filter(|path| path.exists()));
        }
    }
    assert!(found.len() > 15, "{found:?}");
    // An example with operators of its own is checked by its own binary.
    found.retain(|path| !path.parent().unwrap().join("Cargo.toml").exists());
    let checked = |path: &PathBuf| {
        let outcome = load(path, &BTreeMap::new(), &[], &registry);
        outcome.topology.unwrap_or_else(|| panic!("{}", outcome.report.render()))
    };
    found.iter().map(checked).collect()
}

#[test]
fn a_drawing_shows_every_node_and_edge() {
    for topology in topologies() {
        let nodes = topology.nodes.len();
        let edges: usize = topology.nodes.iter().map(|node| node.inputs.len()).sum();
        let svg = draw(&topology, Drawing::Svg);
        assert_eq!((svg.matches("class=\"box\"").count(), svg.matches("marker-end=").count()), (nodes, edges), "{}", topology.name);
        let mermaid = draw(&topology, Drawing::Mermaid);
        assert_eq!(mermaid.lines().filter(|line| line.contains("->")).count(), edges, "{mermaid}");
        let dot = draw(&topology, Drawing::Dot);
        assert_eq!(dot.lines().filter(|line| line.contains(" -> ")).count(), edges, "{dot}");
        let json: Value = serde_json::from_str(&draw(&topology, Drawing::Json)).unwrap();
        assert_eq!((json["nodes"].as_array().unwrap().len(), json["edges"].as_array().unwrap().len()), (nodes, edges));
    }
}

#[test]
fn every_node_that_keeps_state_is_explained() {
    for topology in topologies() {
        let text = explain(&topology);
        let (state, _) = text.split_once("\n\n").unwrap();
        for node in topology.nodes.iter().filter(|node| !node.plan.state.is_empty()) {
            let entry = format!("  {}\n    {}", node.name, node.plan.bound.as_deref().unwrap_or("nothing: "));
            assert!(state.contains(&entry), "{entry:?} is not in:\n{state}");
        }
    }
}

//! What the watermark of a node follows, as far as a file says it: the sources, and how far the nodes between hold it back.
//!
//! How far a node holds its watermark back only its operator knows. One is made and asked, and sees no row.

use std::collections::BTreeMap;

use millstream_api::EventTime;
use millstream_api::plan::Make;
use millstream_api::time::DurationText;
use millstream_topology::{Node, SourceSettings, Topology};

use super::{Holder, flowing};
use crate::build::operator_context;

/// From a node to the one that decides: how far the watermark falls behind, and because of whom.
#[derive(Clone, Default)]
struct Way {
    behind_micros: i64,
    because: Vec<String>,
}

/// All that moves the watermark of a node, in the order of the topology.
pub(super) fn all(topology: &Topology, decides: usize) -> Vec<Holder> {
    let mut ways = BTreeMap::from([(decides, Way::default())]);
    let mut found = Vec::new();
    // Every node stands after those it reads: when it comes, all its readers have.
    while let Some((index, way)) = ways.pop_last() {
        let node = &topology.nodes[index];
        if let Some(source) = &node.source {
            found.push(by_source(node, source, &way));
        } else if begins(topology, node) {
            found.push(by_beginning(node, &way));
        } else {
            // What the deciding node promises to others does not hold up itself.
            let way = if index == decides { way } else { past(topology, node, way) };
            flowing(node).for_each(|from| put(&mut ways, from, &way));
        }
    }
    found.reverse();
    found
}

/// Of several ways from a node the slowest counts.
fn put(ways: &mut BTreeMap<usize, Way>, from: usize, way: &Way) {
    let known = ways.entry(from).or_insert_with(|| way.clone());
    if known.behind_micros < way.behind_micros {
        *known = way.clone();
    }
}

/// The way with a node that may hold its watermark back.
fn past(topology: &Topology, node: &Node, mut way: Way) -> Way {
    let micros = held_back(topology, node);
    if micros > 0 {
        way.behind_micros = way.behind_micros.saturating_add(micros);
        way.because.insert(0, format!("{} stays {} behind", node.name, duration(micros)));
    }
    way
}

/// How far a node's stream stays behind the node's own watermark.
fn held_back(topology: &Topology, node: &Node) -> i64 {
    let Make::Operator(factory) = &node.plan.make else { return 0 };
    let own = EventTime(0);
    factory.make(&operator_context(topology, node, 0)).map_or(0, |operator| own.0.saturating_sub(operator.outgoing_watermark(own).0))
}

/// Whether rows get their event time in this node.
fn begins(topology: &Topology, node: &Node) -> bool {
    let gives = node.outputs.iter().any(|output| output.name == node.name && output.stream.event_time);
    gives && node.inputs.iter().all(|input| !topology.nodes[input.node].outputs[input.port].stream.event_time)
}

/// How a source moves the watermark.
fn by_source(node: &Node, source: &SourceSettings, way: &Way) -> Holder {
    let mut says = Vec::new();
    if source.times.iter().all(Option::is_none) {
        says.push("it has no event time: nothing but its end moves the watermark".to_owned());
    } else {
        let max_delay = source.max_delay.micros();
        says.push(match max_delay.saturating_add(way.behind_micros) {
            0 => "it passes a time when each split has read a row of that time or later, or has ended".to_owned(),
            micros => {
                let own = (max_delay > 0).then(|| "max_delay".to_owned());
                let because: Vec<String> = own.into_iter().chain(way.because.iter().cloned()).collect();
                let (after, because) = (duration(micros), because.join(", "));
                format!("it passes a time when each split has read a row {after} after it or later ({because}), or has ended")
            }
        });
        says.push(match source.idle_after {
            Some(after) => format!("a split that is silent for {after} no longer holds the watermark (idle_after)"),
            None => "a split that is silent holds the watermark for as long as it is (no idle_after)".to_owned(),
        });
    }
    Holder {
        node: node.name.clone(),
        max_delay: Some(source.max_delay.to_string()),
        idle_after: source.idle_after.map(|after| after.to_string()),
        says,
        ..Holder::default()
    }
}

/// How a node moves the watermark that gives rows their event time.
fn by_beginning(node: &Node, way: &Way) -> Holder {
    let mut says = vec![
        "it gives rows their event time: its watermark follows the times that it has seen of each split, less its max_delay".to_owned(),
    ];
    says.extend(way.because.iter().cloned());
    Holder { node: node.name.clone(), says, ..Holder::default() }
}

fn duration(micros: i64) -> String {
    DurationText::from_micros(micros).unwrap_or_default().to_string()
}

//! A file explained: what a node needs before it gives a row.

use std::collections::BTreeSet;

use millstream_api::options::OnBadRow;
use millstream_api::registry::Role;
use millstream_topology::{Input, Node, Topology};

use super::{Station, Why, flowing, follows, gives_early_rows, listed, titled, upstream, windows};

pub(super) fn explain(topology: &Topology, index: usize) -> Why {
    let node = &topology.nodes[index];
    let way = upstream(topology, index);
    // The last node on the way that waits for event time decides, and rows behind it come when it sends.
    let waits = beside_tables(topology, index).into_iter().find(|&at| waits_for_time(topology, at)).filter(|_| node.role != Role::Source);
    let decides = waits.unwrap_or(index);
    let mut answer = vec![format!("{} gives a row {}", titled(node), when(topology, node, index, waits))];
    if decides != index {
        answer.push(format!(
            "{} gives a row {}",
            titled(&topology.nodes[decides]),
            when(topology, &topology.nodes[decides], decides, waits)
        ));
    }
    let held_by = waits.map_or_else(Vec::new, |decides| follows::all(topology, decides));
    Why {
        node: node.name.clone(),
        kind: node.kind.clone(),
        answer,
        decided_by: topology.nodes[decides].name.clone(),
        held_by,
        on_the_way: way.into_iter().filter_map(|at| leaves_out(topology, at)).collect(),
        ..Why::default()
    }
}

/// The nodes in front of one and itself, last first, without those that only fill tables which are looked up.
fn beside_tables(topology: &Topology, index: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let mut left = BTreeSet::from([index]);
    // Every node stands after those it reads.
    while let Some(at) = left.pop_last() {
        found.push(at);
        left.extend(flowing(&topology.nodes[at]));
    }
    found
}

/// Whether a node gives rows when its watermark rises.
fn waits_for_time(topology: &Topology, index: usize) -> bool {
    windows(topology, index).is_some() || keeps(topology, index)
}

/// Whether a node keeps rows until its watermark has passed them. What counts is its state of keys: a table that is looked up
/// is complete before the first row.
fn keeps(topology: &Topology, index: usize) -> bool {
    let node = &topology.nodes[index];
    let timely = node.outputs.iter().any(|output| output.name == node.name && output.stream.event_time);
    let holds = node.plan.state.iter().any(|state| state.keyed) && node.plan.reads_first.is_none();
    node.role == Role::Operator && holds && timely
}

fn when(topology: &Topology, node: &Node, index: usize, waits: Option<usize>) -> String {
    match (node.role, waits) {
        (Role::Source, _) => "for each row that it reads".to_owned(),
        (_, Some(at)) if at == index => match windows(topology, index) {
            Some(kind) => {
                let early = if gives_early_rows(node) { "; before that come early rows, as often as `emit` says" } else { "" };
                format!("when a window closes ({kind}): its watermark must reach the end of the window, and any allowed lateness{early}")
            }
            None => "as rows come to it, or when its watermark passes those that it holds".to_owned(),
        },
        (_, Some(at)) => format!("when {} does", topology.nodes[at].name),
        (_, None) => looks_up(topology, node).unwrap_or_else(|| "as rows come to it".to_owned()),
    }
}

/// When rows come from a node that looks them up in a table.
fn looks_up(topology: &Topology, node: &Node) -> Option<String> {
    let table = &node.inputs[node.plan.reads_first?];
    let name = |input: &Input| topology.nodes[input.node].outputs[input.port].name.clone();
    let others: Vec<String> = node.inputs.iter().filter(|input| !std::ptr::eq(*input, table)).map(name).collect();
    Some(format!("as rows of {} come to it, once {} has been read to its end", listed(&others), name(table)))
}

/// Which rows a node leaves out, as far as the plan says so.
fn leaves_out(topology: &Topology, index: usize) -> Option<Station> {
    let node = &topology.nodes[index];
    let mut says = Vec::new();
    if node.kind == "filter" {
        says.push("leaves out rows for which `where` is not true".to_owned());
    }
    if windows(topology, index).is_some() {
        says.push("leaves out rows that are late for all their windows".to_owned());
    }
    match node.on_bad_row {
        OnBadRow::Fail => {}
        OnBadRow::Skip => says.push("skips rows that are bad".to_owned()),
        OnBadRow::Reject => says.push("rejects rows that are bad".to_owned()),
    }
    (!says.is_empty()).then(|| Station { node: node.name.clone(), says: says.join("; ") })
}

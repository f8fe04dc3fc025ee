//! Which rows can be late or rejected, and where they go.

use millstream_api::options::OnBadRow;
use millstream_api::registry::Role;
use millstream_api::stream::Judge;

use super::{Entry, readers};
use crate::graph::{Node, SourceSettings, Topology};
use crate::plan::REJECTED;

pub(super) fn lines(topology: &Topology) -> Vec<Entry> {
    topology.nodes.iter().map(|node| Entry::new(&node.name, node_says(topology, node))).filter(|entry| !entry.says.is_empty()).collect()
}

fn node_says(topology: &Topology, node: &Node) -> Vec<String> {
    let mut says = Vec::new();
    if let Some(source) = &node.source {
        says.extend(time_says(topology, node, source));
    }
    for (port, output) in node.plan.outputs.iter().enumerate() {
        match output.side.as_deref() {
            Some(side) if side.starts_with("late") && judges(node) => {
                says.push(format!("late rows {}", goes_to(topology, node, port, "are")));
            }
            Some(REJECTED) => says.push(bad_says(topology, node, port)),
            _ => {}
        }
    }
    // A sink has no side streams.
    if node.role == Role::Sink && node.on_bad_row != OnBadRow::Fail {
        says.push("a row that cannot be written is left out and counted as skipped".to_owned());
    }
    says
}

/// How far out of order rows may be, and what is done without a time.
fn time_says(topology: &Topology, node: &Node, source: &SourceSettings) -> Vec<String> {
    if source.times.iter().all(Option::is_none) {
        return vec!["no event time: none of its rows can be late".to_owned()];
    }
    let mut says = vec![format!("the watermark stays max_delay = \"{}\" behind the greatest event time of each split", source.max_delay)];
    let endless = node.plan.outputs.iter().any(|output| !output.stream.bounded);
    match source.idle_after {
        Some(after) => says.push(format!(
            "a split that is silent for {after} no longer holds the watermark back; what is late then depends on the wall clock"
        )),
        None if endless => says.push("a split that is silent holds the watermark back for as long as it is (no idle_after)".to_owned()),
        None => {}
    }
    if let Some(ahead) = source.max_ahead {
        says.push(format!("it waits while it is more than {ahead} ahead of the slowest source that it meets"));
    }
    let port = source.rejected_port;
    says.push(format!("without an event time: {}", policy(topology, node, source.on_null, port)));
    says
}

fn bad_says(topology: &Topology, node: &Node, port: usize) -> String {
    let what = if node.role == Role::Source { "a row that cannot be read" } else { "a row on which an expression fails" };
    format!("{what}: {}", policy(topology, node, node.on_bad_row, port))
}

fn policy(topology: &Topology, node: &Node, policy: OnBadRow, port: usize) -> String {
    match policy {
        OnBadRow::Fail => "the run fails".to_owned(),
        OnBadRow::Skip => "left out and counted as skipped".to_owned(),
        OnBadRow::Reject => goes_to(topology, node, port, "it is"),
    }
}

/// `go to delays.late, read by too_late`.
fn goes_to(topology: &Topology, node: &Node, port: usize, verb: &str) -> String {
    let name = &node.outputs[port].name;
    match readers(topology, node, port)[..] {
        [] => format!("{verb} counted; nobody reads {name}"),
        ref names => {
            format!("{verb} counted and sent to {name}, which {} read{}", super::listed(names), if names.len() == 1 { "s" } else { "" })
        }
    }
}

/// Whether the node decides itself which rows are late: a `window` may leave it to its reader.
fn judges(node: &Node) -> bool {
    let main = node.outputs.iter().find(|output| output.name == node.name);
    !main.and_then(|output| output.stream.windowed.as_ref()).is_some_and(|windowed| windowed.judge == Judge::Reader)
}

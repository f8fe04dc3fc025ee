//! A file explained: what a node needs before it gives a row.

use millstream_api::options::OnBadRow;
use millstream_api::plan::WindowUse;
use millstream_api::registry::Role;
use millstream_topology::{Node, SourceSettings, Topology};

use super::{Holder, Station, Why, titled, upstream};

pub(super) fn explain(topology: &Topology, index: usize) -> Why {
    let node = &topology.nodes[index];
    let way = upstream(topology, index);
    // The last node on the way that waits for event time decides, and rows behind it come when it sends.
    let waits = way.iter().rev().copied().find(|&at| waits_for_time(topology, at)).filter(|_| node.role != Role::Source);
    let decides = waits.unwrap_or(index);
    let mut answer = vec![format!("{} gives a row {}", titled(node), when(topology, node, index, waits))];
    if decides != index {
        answer.push(format!(
            "{} gives a row {}",
            titled(&topology.nodes[decides]),
            when(topology, &topology.nodes[decides], decides, waits)
        ));
    }
    let sources = upstream(topology, decides).into_iter().map(|at| &topology.nodes[at]);
    let timed = sources.filter_map(|node| Some((node, node.source.as_ref()?)));
    let held_by = timed.filter(|_| waits.is_some()).map(|(node, source)| follows(node, source)).collect();
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

/// The windows for whose end a node waits.
fn windows(topology: &Topology, index: usize) -> Option<String> {
    let node = &topology.nodes[index];
    node.inputs.iter().zip(&node.plan.inputs).find_map(|(input, plan)| {
        let windowed = topology.nodes[input.node].outputs[input.port].stream.windowed.as_ref()?;
        (plan.windows == WindowUse::Judges).then(|| windowed.windows.to_string())
    })
}

/// Whether a node gives rows when its watermark rises.
fn waits_for_time(topology: &Topology, index: usize) -> bool {
    windows(topology, index).is_some() || keeps(topology, index)
}

/// Whether a node keeps rows until its watermark has passed them: what withdraws rows does not wait, and has no event time.
fn keeps(topology: &Topology, index: usize) -> bool {
    let node = &topology.nodes[index];
    let timely = node.outputs.iter().any(|output| output.name == node.name && output.stream.event_time && !output.stream.updating);
    node.role == Role::Operator && !node.plan.state.is_empty() && timely
}

fn when(topology: &Topology, node: &Node, index: usize, waits: Option<usize>) -> String {
    match (node.role, waits) {
        (Role::Source, _) => "for each row that it reads".to_owned(),
        (_, Some(at)) if at == index => match windows(topology, index) {
            Some(kind) => {
                format!("when a window closes ({kind}): its watermark must reach the end of the window, and any allowed lateness")
            }
            None => "as rows come to it, or when its watermark passes those that it holds".to_owned(),
        },
        (_, Some(at)) => format!("when {} does", topology.nodes[at].name),
        (_, None) => "as rows come to it".to_owned(),
    }
}

/// How a source moves the watermark.
fn follows(node: &Node, source: &SourceSettings) -> Holder {
    let mut says = Vec::new();
    if source.times.iter().all(Option::is_none) {
        says.push("it has no event time: nothing but its end moves the watermark".to_owned());
    } else {
        says.push(match source.max_delay.micros() {
            0 => "it passes a time when each split has read a row of that time or later, or has ended".to_owned(),
            _ => {
                format!("it passes a time when each split has read a row {} after it or later (max_delay), or has ended", source.max_delay)
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

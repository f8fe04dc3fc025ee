//! A side stream explained: its rows wait for nothing.

use millstream_api::options::OnBadRow;
use millstream_topology::{Node, Topology};

use super::{Why, windows};
use crate::observe::Observation;
use crate::text::{grouped, rows};

/// Explains `NODE.late` or `NODE.rejected`; any other stream is the node's own.
pub(super) fn explain(topology: &Topology, observation: Option<&Observation>, index: usize, name: &str) -> Option<Why> {
    let node = &topology.nodes[index];
    let side = name.strip_prefix(node.name.as_str())?.strip_prefix('.')?;
    let is_late = side.starts_with("late");
    let reason = match side {
        _ if is_late && judges_windows(topology, node, index) => "is late for all its windows",
        _ if is_late => "is behind the watermark when it comes",
        "rejected" if node.on_bad_row == OnBadRow::Reject => "is bad",
        "rejected" => "is bad and `on_bad_row` is \"reject\", which it is not",
        _ => return None,
    };
    let mut answer = vec![format!("{name} (`{}`) gives a row at once, when a row {reason}", node.kind)];
    let seen = observation.map(|observation| &observation.nodes[index]);
    if let Some(seen) = seen {
        // Both sides of a join share one count.
        let (count, what) = if is_late { (seen.fates.late, "late") } else { (seen.fates.rejected, "rejected") };
        let end = if seen.over { "; it has ended: no more will come" } else { "" };
        answer.push(format!("{} came to {}: {} {what}{end}", rows(seen.rows_in), node.name, grouped(count)));
    }
    Some(Why {
        node: name.to_owned(),
        kind: node.kind.clone(),
        running: seen.is_some(),
        answer,
        decided_by: node.name.clone(),
        ..Why::default()
    })
}

/// Whether a node knows late rows by their windows.
fn judges_windows(topology: &Topology, node: &Node, index: usize) -> bool {
    let gives = node.outputs.iter().any(|output| output.name == node.name && output.stream.windowed.is_some());
    gives || windows(topology, index).is_some()
}

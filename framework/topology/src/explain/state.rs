//! What bounds each node's state.

use millstream_api::plan::WindowUse;

use super::{Entry, listed};
use crate::graph::{Node, Topology};

pub(super) fn lines(topology: &Topology) -> Vec<Entry> {
    let (stateful, stateless): (Vec<&Node>, Vec<&Node>) = topology.nodes.iter().partition(|node| !node.plan.state.is_empty());
    let mut entries: Vec<Entry> = stateful.iter().map(|node| entry(topology, node)).collect();
    let keyed: Vec<&str> =
        stateful.iter().filter(|node| node.plan.state.iter().any(|state| state.keyed)).map(|node| node.name.as_str()).collect();
    if !keyed.is_empty() {
        entries.push(Entry::new(format!("{} together", listed(&keyed)), limits(topology, &stateful)));
    }
    let names: Vec<&str> = stateless.iter().map(|node| node.name.as_str()).collect();
    if !names.is_empty() {
        entries.push(Entry::new(listed(&names), vec!["no state".to_owned()]));
    }
    let channels = &topology.runtime;
    let queues =
        format!("{} batches on a channel, {} on an edge (runtime.mailbox, runtime.in_flight)", channels.mailbox, channels.in_flight);
    entries.push(Entry::new("rows between nodes", vec![queues]));
    entries
}

/// What `runtime.memory` means for nodes with state.
fn limits(topology: &Topology, stateful: &[&Node]) -> Vec<String> {
    let memory = topology.runtime.memory;
    let on_disk: Vec<&str> = stateful.iter().filter(|node| node.on_disk).map(|node| node.name.as_str()).collect();
    let stays = |node: &&&Node| !node.on_disk && node.plan.state.iter().any(|state| state.keyed);
    let in_memory: Vec<&str> = stateful.iter().filter(stays).map(|node| node.name.as_str()).collect();
    match (on_disk.is_empty(), in_memory.is_empty()) {
        (true, _) => vec![format!("runtime.memory = \"{memory}\"; beyond it the run fails and names the node")],
        (false, true) => vec![format!("runtime.memory = \"{memory}\"; beyond it keys go to disk")],
        (false, false) => vec![
            format!("runtime.memory = \"{memory}\"; beyond it keys of {} go to disk", listed(&on_disk)),
            format!("the state of {} stays in memory", listed(&in_memory)),
        ],
    }
}

fn entry(topology: &Topology, node: &Node) -> Entry {
    let mut says = vec![node.plan.bound.clone().unwrap_or_else(|| "nothing: it grows with the rows that come".to_owned())];
    for (input, plan) in node.inputs.iter().zip(&node.plan.inputs) {
        let stream = &topology.nodes[input.node].outputs[input.port].stream;
        if let Some(windowed) = stream.windowed.as_ref().filter(|_| plan.windows == WindowUse::Judges) {
            let says_window = format!("{}, open until the watermark reaches their end and any allowed lateness", windowed.windows);
            // The inputs of a join have the same windows.
            if !says.contains(&says_window) {
                says.push(says_window);
            }
        }
    }
    Entry::new(&node.name, says)
}

//! The bound of keyed state in memory: one for all nodes of a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millstream_api::error::ErrorKind;
use millstream_api::time::SizeText;
use millstream_api::{Error, Result};
use millstream_topology::{Node, Topology};

/// The memory that all keyed state of a run may take together.
#[derive(Debug)]
pub struct MemoryBudget {
    limit: SizeText,
    used: AtomicUsize,
    /// What each node uses of it, by its place in the topology.
    nodes: Vec<NodeUse>,
}

#[derive(Debug)]
struct NodeUse {
    name: String,
    disk: Disk,
    used: AtomicUsize,
}

/// Whether keys of a node go to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    Used,
    /// They would with `state = "disk"`.
    Possible,
    Impossible,
}

impl MemoryBudget {
    /// A budget of `runtime.memory` for the nodes of a topology.
    pub fn new(topology: &Topology) -> Arc<Self> {
        let nodes = topology.nodes.iter().map(NodeUse::of).collect();
        Arc::new(MemoryBudget { limit: topology.runtime.memory, used: AtomicUsize::new(0), nodes })
    }

    /// Notes that the state of a subtask of this node has changed its size.
    pub(crate) fn change(&self, node: usize, before: usize, after: usize) -> Result<()> {
        // Wraps when it shrinks, and comes right again: only sums count.
        let grown = after.wrapping_sub(before);
        if let Some(node) = self.nodes.get(node) {
            node.used.fetch_add(grown, Ordering::Relaxed);
        }
        let used = self.used.fetch_add(grown, Ordering::Relaxed).wrapping_add(grown);
        if after <= before || used <= self.limit.bytes() {
            return Ok(());
        }
        Err(self.exceeded(used))
    }

    /// Who asks for the last byte is chance; who holds most of them is not.
    fn exceeded(&self, used: usize) -> Error {
        let all = format!("keyed state of all nodes is {used} bytes, more than runtime.memory = \"{}\"", self.limit);
        let Some((greatest, bytes)) =
            self.nodes.iter().map(|node| (node, node.used.load(Ordering::Relaxed))).max_by_key(|(_, bytes)| *bytes)
        else {
            return Error::new(ErrorKind::Limit, all);
        };
        let name = &greatest.name;
        let help = match greatest.disk {
            Disk::Possible => {
                format!("raise runtime.memory, use fewer keys or shorter windows, or let keys of `{name}` go to disk with state = \"disk\"")
            }
            Disk::Impossible => format!("raise runtime.memory, or use fewer keys or shorter windows; keys of `{name}` cannot go to disk"),
            Disk::Used => format!("raise runtime.memory: `{name}` goes to disk already, and needs some memory for each of its subtasks"),
        };
        Error::new(ErrorKind::Limit, format!("{all}; `{name}` holds most, {bytes} bytes")).help(help)
    }
}

impl NodeUse {
    fn of(node: &Node) -> NodeUse {
        let disk = match node.on_disk {
            true => Disk::Used,
            false if node.plan.spills.is_some() || !node.plan.spills_panes.is_empty() => Disk::Possible,
            false => Disk::Impossible,
        };
        NodeUse { name: node.name.clone(), disk, used: AtomicUsize::new(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(nodes: [(&str, Disk); 2]) -> MemoryBudget {
        let nodes = nodes.map(|(name, disk)| NodeUse { name: name.to_owned(), disk, used: AtomicUsize::new(0) });
        MemoryBudget { limit: "1kB".parse().unwrap(), used: AtomicUsize::new(0), nodes: nodes.into() }
    }

    #[test]
    fn who_holds_most_is_named_and_not_who_asks() {
        let budget = budget([("sums", Disk::Possible), ("rank", Disk::Impossible)]);
        budget.change(0, 0, 700).unwrap();
        budget.change(0, 0, 200).unwrap();
        budget.change(1, 0, 100).unwrap();
        budget.change(1, 100, 10).unwrap();
        let error = budget.change(1, 10, 120).unwrap_err();
        let message = "keyed state of all nodes is 1020 bytes, more than runtime.memory = \"1000B\"; `sums` holds most, 900 bytes";
        assert_eq!(error.message(), message);
        assert!(error.help_text().unwrap().ends_with("let keys of `sums` go to disk with state = \"disk\""));
    }

    #[test]
    fn nobody_is_told_to_do_what_he_does_or_cannot_do() {
        for (disk, told) in [(Disk::Used, "goes to disk already"), (Disk::Impossible, "cannot go to disk")] {
            let error = budget([("a", disk), ("b", Disk::Possible)]).change(0, 0, 2000).unwrap_err();
            let help = error.help_text().unwrap();
            assert!(help.contains(told) && !help.contains("state = "), "{help}");
        }
    }
}

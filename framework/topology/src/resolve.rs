//! From names to a graph: who reads whom, and in which order nodes can be planned.
//!
//! Works on declarations only; which side streams a node defines is known once it is planned.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use millstream_api::Diagnostic;
use millstream_api::diagnostic::nearest;
use millstream_api::registry::Role;

use crate::declare::{Declaration, InputDeclaration};
use crate::report::Problems;

/// The edges between declarations, by index.
pub(crate) struct Graph {
    /// For each node and each of its inputs the node that writes; none when there is no such node.
    pub writers: Vec<Vec<Option<usize>>>,
    /// Every node that is not behind a cycle, after those that it reads.
    pub order: Vec<usize>,
}

/// Whether a text may be the name of a node: `[A-Za-z_][A-Za-z0-9_-]*` without a double underscore, which separates keys in
/// the names of variables.
pub fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        && !text.contains("__")
}

/// Finds the writer of every input. Unknown names and cycles are noted.
pub(crate) fn resolve(nodes: &[Declaration<'_>], problems: &mut Problems) -> Graph {
    let mut by_name: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        by_name.entry(&node.name).or_insert(index);
    }
    let mut writers = Vec::with_capacity(nodes.len());
    for node in nodes {
        let found = node.inputs.iter().map(|input| {
            let writer = by_name.get(base(&input.stream)).copied();
            match writer.map(|index| nodes[index].role) {
                None => problems.push(unknown_stream(nodes, node, input)),
                Some(Role::Sink) => problems.push(reads_sink(node, input)),
                Some(_) => return writer,
            }
            None
        });
        writers.push(found.collect());
    }
    let (order, waiting) = sort(&writers);
    for cycle in cycles(&writers, &waiting) {
        problems.push(cycle_mistake(nodes, &writers, &cycle));
    }
    Graph { writers, order }
}

/// Warns of streams under a node's own name that nobody reads, and of sources with named streams of which none is read.
/// `has_main` says of each node that could be planned whether it has a stream under its own name.
pub(crate) fn warn_of_unread(nodes: &[Declaration<'_>], has_main: &BTreeMap<usize, bool>, problems: &mut Problems) {
    let mut read: BTreeMap<&str, bool> = BTreeMap::new();
    for input in nodes.iter().flat_map(|node| &node.inputs) {
        *read.entry(base(&input.stream)).or_default() |= !input.stream.contains('.');
    }
    for (index, has_main) in has_main {
        let node = &nodes[*index];
        let is_read = node.role == Role::Sink || read.get(node.name.as_str()).is_some_and(|main| *main || !has_main);
        if !is_read {
            let mut diagnostic = Diagnostic::warning("unread-stream", format!("nothing reads `{}`", node.name)).on_key();
            diagnostic.path.clone_from(&node.path);
            problems.push(diagnostic.help("add a sink that reads it, or leave it out"));
        }
    }
}

/// The node's part of a stream's name.
fn base(stream: &str) -> &str {
    stream.split_once('.').map_or(stream, |(base, _)| base)
}

fn at(diagnostic: Diagnostic, input: &InputDeclaration) -> Diagnostic {
    let mut diagnostic = diagnostic.text(0..input.stream.len());
    diagnostic.path.clone_from(&input.path);
    diagnostic
}

fn unknown_stream(nodes: &[Declaration<'_>], node: &Declaration<'_>, input: &InputDeclaration) -> Diagnostic {
    /// So many names can be read at a glance.
    const NAMES_SHOWN: usize = 20;
    let wanted = base(&input.stream);
    let defined = || nodes.iter().filter(|node| node.role != Role::Sink).map(|node| node.name.as_str());
    let count = defined().count();
    let mut list = defined().take(NAMES_SHOWN).collect::<Vec<_>>().join(", ");
    if count > NAMES_SHOWN {
        list = format!("{list} and {} more", count - NAMES_SHOWN);
    }
    let help = match nearest(wanted, defined()) {
        _ if count == 0 => "this file defines no stream; add a source".to_owned(),
        Some(near) => format!("did you mean `{near}{}`? defined here: {list}", &input.stream[wanted.len()..]),
        None => format!("defined here: {list}"),
    };
    let message = format!("`{}` reads `{}`, which is not defined", node.name, input.stream);
    at(Diagnostic::error("unknown-stream", message).help(help), input)
}

fn reads_sink(node: &Declaration<'_>, input: &InputDeclaration) -> Diagnostic {
    let message = format!("`{}` reads `{}`, which is a sink", node.name, input.stream);
    at(Diagnostic::error("reads-sink", message).help("sinks define no stream; read the one that the sink reads"), input)
}

/// All nodes after those that they read, as near to the order of the file as that allows; and which are in or behind a cycle.
fn sort(writers: &[Vec<Option<usize>>]) -> (Vec<usize>, Vec<bool>) {
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); writers.len()];
    let mut missing: Vec<usize> = vec![0; writers.len()];
    for (reader, inputs) in writers.iter().enumerate() {
        for writer in inputs.iter().flatten() {
            readers[*writer].push(reader);
            missing[reader] += 1;
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> = (0..writers.len()).filter(|node| missing[*node] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(writers.len());
    while let Some(Reverse(node)) = ready.pop() {
        order.push(node);
        for reader in &readers[node] {
            missing[*reader] -= 1;
            if missing[*reader] == 0 {
                ready.push(Reverse(*reader));
            }
        }
    }
    (order, missing.into_iter().map(|count| count > 0).collect())
}

/// One cycle for each set of nodes that hang together by cycles, each in the direction in which rows would flow.
fn cycles(writers: &[Vec<Option<usize>>], waiting: &[bool]) -> Vec<Vec<usize>> {
    let mut seen = vec![false; writers.len()];
    let mut found = Vec::new();
    for start in (0..writers.len()).filter(|node| waiting[*node]) {
        // Every waiting node reads a waiting node, so walking up must come to a node twice, or to one that was seen before.
        let (mut path, mut place) = (Vec::new(), BTreeMap::new());
        let mut node = Some(start);
        while let Some(current) = node.filter(|node| !seen[*node]) {
            seen[current] = true;
            place.insert(current, path.len());
            path.push(current);
            node = writers[current].iter().flatten().copied().find(|writer| waiting[*writer]);
        }
        if let Some(first) = node.and_then(|node| place.get(&node)) {
            let mut cycle = path.split_off(*first);
            cycle.reverse();
            found.push(cycle);
        }
    }
    found
}

fn cycle_mistake(nodes: &[Declaration<'_>], writers: &[Vec<Option<usize>>], cycle: &[usize]) -> Diagnostic {
    // Shown from the node that stands first in the file.
    let first = cycle.iter().enumerate().min_by_key(|(_, node)| **node).map_or(0, |(place, _)| place);
    let names = |index: &usize| nodes[*index].name.as_str();
    let mut way: Vec<&str> = cycle[first..].iter().chain(&cycle[..first]).map(names).collect();
    way.extend(way.first().copied());
    let (node, last) = (cycle[first], cycle[(first + cycle.len() - 1) % cycle.len()]);
    let message = format!("`{}` reads what it writes itself: {}", nodes[node].name, way.join(" → "));
    let diagnostic = Diagnostic::error("cycle", message).help("a stream cannot depend on itself; one of these must read another stream");
    match writers[node].iter().position(|writer| *writer == Some(last)) {
        Some(input) => at(diagnostic, &nodes[node].inputs[input]),
        None => diagnostic,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "_", "late-departures", "A1_b"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "1a", "-a", "a.b", "a__b", "ä", "a b", "a\n"] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn order_is_that_of_the_file_where_it_can_be() {
        let (order, waiting) = sort(&[vec![Some(2)], vec![], vec![Some(1)], vec![Some(0), Some(2), None]]);
        assert_eq!(order, [1, 2, 0, 3]);
        assert!(!waiting.contains(&true));
    }

    #[test]
    fn each_knot_gives_one_cycle() {
        // 0 ⇄ 1, 2 reads itself, 3 is behind both, 4 is free.
        let writers = [vec![Some(1)], vec![Some(0)], vec![Some(2)], vec![Some(1), Some(2)], vec![]];
        let (order, waiting) = sort(&writers);
        assert_eq!(order, [4]);
        assert_eq!(cycles(&writers, &waiting), [vec![1, 0], vec![2]]);
    }
}

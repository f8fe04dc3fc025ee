//! Over all nodes: tables that are read to their end first, and that nobody waits for himself.
//!
//! A lookup holds its left side back until its table is whole. Whatever feeds the left side then stands still, so it must not
//! be needed for the table, neither of this lookup nor of one that this one waits for.

use std::collections::BTreeSet;

use millstream_api::Diagnostic;

use crate::declare::Declaration;
use crate::plan::Planned;
use crate::report::Problems;

/// A node that reads one input first, and the nodes without inputs that its sides come from.
struct Lookup {
    node: usize,
    /// Which input is read first.
    first: usize,
    table: BTreeSet<usize>,
    held: BTreeSet<usize>,
}

/// Marks all nodes that feed a table, and notes every lookup that would wait for ever.
pub(crate) fn tables(nodes: &[Declaration<'_>], planned: &mut [Planned], problems: &mut Problems) {
    let lookups: Vec<Lookup> = (0..planned.len()).filter_map(|node| lookup(planned, node)).collect();
    for lookup in &lookups {
        if let Some(first) = waits_for_itself(&lookups, lookup) {
            problems.push(stuck(nodes, planned, lookup, first));
        }
        for node in upstream(planned, planned[lookup.node].inputs[lookup.first].0) {
            planned[node].feeds_table = true;
        }
    }
}

fn lookup(planned: &[Planned], node: usize) -> Option<Lookup> {
    let first = planned[node].plan.reads_first?;
    let sources =
        |input: usize| upstream(planned, planned[node].inputs[input].0).into_iter().filter(|&from| planned[from].inputs.is_empty());
    let others = (0..planned[node].inputs.len()).filter(|&input| input != first);
    Some(Lookup { node, first, table: sources(first).collect(), held: others.flat_map(sources).collect() })
}

/// A node and everything that it is made from.
fn upstream(planned: &[Planned], node: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        if found.insert(node) {
            open.extend(planned[node].inputs.iter().map(|(writer, _)| *writer));
        }
    }
    found
}

/// The lookup that holds back what the table of `start` needs, if that waits, by any number of others, for `start`.
fn waits_for_itself<'a>(lookups: &'a [Lookup], start: &Lookup) -> Option<&'a Lookup> {
    let waits_for = |one: &Lookup| lookups.iter().filter(|other| !one.table.is_disjoint(&other.held)).collect::<Vec<_>>();
    waits_for(start).into_iter().find(|first| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![*first]);
        while let Some(lookup) = open.pop() {
            if lookup.node == start.node {
                return true;
            }
            if seen.insert(lookup.node) {
                open.extend(waits_for(lookup));
            }
        }
        false
    })
}

fn stuck(nodes: &[Declaration<'_>], planned: &[Planned], lookup: &Lookup, first: &Lookup) -> Diagnostic {
    let declaration = |node: usize| &nodes[planned[node].declaration];
    let (reader, holder) = (declaration(lookup.node), declaration(first.node));
    let table = &reader.inputs[lookup.first];
    let shared = lookup.table.intersection(&first.held).next().map_or("", |source| &declaration(*source).name);
    let message = if lookup.node == first.node {
        let from = format!("both its sides come from `{shared}`, which would wait for itself");
        format!("`{}` reads `{}` to its end first, and {from}", reader.name, table.stream)
    } else {
        let held = format!("`{}` holds back the rows of `{shared}` and waits for what `{}` holds back", holder.name, reader.name);
        format!("`{}` reads `{}` to its end first, but {held}", reader.name, table.stream)
    };
    let help = format!("give the table a source of its own: a second source over the same file, in the place of `{shared}`");
    let mut found = Diagnostic::error("lookup-cycle", message).help(help).text(0..table.stream.len());
    found.path.clone_from(&table.path);
    found
}

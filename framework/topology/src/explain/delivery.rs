//! What holds of a row on its way from a source to a sink: within a run, and over the next one after a stop, a failure or a crash.

use std::collections::BTreeSet;

use millstream_api::plan::{Delivery, Make};
use millstream_api::registry::Role;

use super::{Entry, listed};
use crate::graph::{Node, Topology};

pub(super) fn lines(topology: &Topology) -> Vec<Entry> {
    let sources = sources_of(topology);
    let mut entries = vec![Entry::new(
        "within a run",
        vec![
            "each row is processed exactly once on each path; those that are filtered, late, rejected or skipped are in the ledger"
                .to_owned(),
            match &topology.checkpoint {
                None => "nothing is saved on the way: after a stop, a failure or a crash a run starts from the beginning".to_owned(),
                Some(settings) => format!(
                    "every {} a checkpoint is written to {}: after a stop, a failure or a crash a run goes on from the last one",
                    settings.interval,
                    settings.store.text()
                ),
            },
        ],
    )];
    for (index, node) in topology.nodes.iter().enumerate() {
        if let Make::Sink(factory) = &node.plan.make {
            let from: Vec<&Node> = sources[index].iter().map(|source| &topology.nodes[*source]).collect();
            entries.push(match topology.checkpoint {
                None => path(node, &from, factory.delivery()),
                Some(_) => path_with_checkpoints(node, &from, factory.two_phase(), factory.delivery()),
            });
        }
    }
    entries
}

/// The sources that each node's rows come from.
fn sources_of(topology: &Topology) -> Vec<BTreeSet<usize>> {
    let mut all: Vec<BTreeSet<usize>> = Vec::with_capacity(topology.nodes.len());
    for (index, node) in topology.nodes.iter().enumerate() {
        let mut own: BTreeSet<usize> = node.inputs.iter().flat_map(|input| all[input.node].iter().copied()).collect();
        if node.role == Role::Source {
            own.insert(index);
        }
        all.push(own);
    }
    all
}

fn path(sink: &Node, sources: &[&Node], delivery: Delivery) -> Entry {
    let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    let once: Vec<&str> = sources.iter().filter(|source| !repeats(source)).map(|source| source.name.as_str()).collect();
    let mut says = vec![given_out(delivery).to_owned()];
    says.push(match (once.is_empty(), delivery) {
        (true, Delivery::Whole) => {
            "exactly once in the end: a failed run leaves nothing, and the next one reads the same rows again, if they are still there"
                .to_owned()
        }
        (true, Delivery::Immediate) => {
            "at least once over restarts: the next run gives out again what a failed one has given out".to_owned()
        }
        (true, Delivery::Held) => {
            "exactly once in what is held: the next run builds it anew from the same rows, if they are still there".to_owned()
        }
        (false, _) => format!("at most once over restarts: {} cannot be read again, so a failure loses what was on the way", listed(&once)),
    });
    if sources.iter().flat_map(|source| &source.outputs).any(|output| !output.stream.bounded) && delivery == Delivery::Whole {
        says.push("the input has no end: a stop (Ctrl-C) makes it appear, without what windows still hold (--drain: with it)".to_owned());
    }
    Entry::new(format!("{} → {}", listed(&names), sink.name), says)
}

fn path_with_checkpoints(sink: &Node, sources: &[&Node], two_phase: bool, delivery: Delivery) -> Entry {
    let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    let once: Vec<&str> =
        sources.iter().filter(|source| !repeats(source) && !acknowledges(source)).map(|source| source.name.as_str()).collect();
    let answering: Vec<&str> = sources.iter().filter(|source| acknowledges(source)).map(|source| source.name.as_str()).collect();
    let mut says = vec![
        match (two_phase, delivery) {
            (true, _) => "exactly once: each checkpoint makes visible what it covers, and after a crash what came behind it is cut back",
            (false, Delivery::Held) => "exactly once in what is held: it is part of each checkpoint",
            (false, _) => "at least once over crashes: rows since the last checkpoint are given out again; exactly once over stops",
        }
        .to_owned(),
    ];
    if !once.is_empty() {
        says.push(format!("{} cannot be read again, so a crash loses what it gave since the last checkpoint", listed(&once)));
    }
    if !answering.is_empty() {
        let row = "a row is acknowledged to its sender when a checkpoint covers it: what a crash loses was not, and";
        says.push(format!("{}: {row} is lost only if it is not sent again; one that is sent again may come twice", listed(&answering)));
    }
    Entry::new(format!("{} → {}", listed(&names), sink.name), says)
}

fn acknowledges(source: &Node) -> bool {
    matches!(&source.plan.make, Make::Source(factory) if factory.acknowledges())
}

fn repeats(source: &Node) -> bool {
    matches!(&source.plan.make, Make::Source(factory) if factory.repeats())
}

fn given_out(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Whole => "appears whole at the end of the input or at a stop; before that nothing of it can be seen",
        Delivery::Immediate => "given out as it comes; it cannot be taken back",
        Delivery::Held => "held in memory as it comes; gone with the process",
    }
}

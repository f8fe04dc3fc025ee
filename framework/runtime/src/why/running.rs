//! A run explained: from the node upstream to where its rows are.

use millstream_api::EventTime;
use millstream_api::registry::Role;
use millstream_api::time::DurationText;
use millstream_topology::{Node, Topology};

use super::watermark::Search;
use super::{HeldUp, Station, Why, counts, gives_early_rows, listed, titled, upstream};
use crate::observe::{Moment, NodeObservation, Observation};
use crate::text::{grouped, rows};

/// From this share of the time on, being held up is worth a word.
const HELD_PERCENT: f64 = 1.0;

pub(super) fn explain(topology: &Topology, observation: &Observation, index: usize) -> Why {
    let case = Case { topology, observation };
    let node = &topology.nodes[index];
    let mut answer = vec![case.sent(index)];
    let decides = case.decides(index, &mut answer);
    let (decider, observed) = (&topology.nodes[decides], &observation.nodes[decides]);
    let timely = decider.source.is_some() || observed.watermark.0 != EventTime::MIN || observed.waits_for.is_some();
    let without_credit = case.observation.holder_of(&decider.name).is_some_and(|edge| edge.holds_now);
    let waits = !observed.over && timely && !without_credit && observed.ahead_of.is_none() && !gives_with_each_batch(decider, observed);
    answer.splice(1..1, case.services(index));
    answer.extend(case.standing(decider, observed));
    let held_by = if waits { case.held_by(decides, observed) } else { Vec::new() };
    Why {
        node: node.name.clone(),
        kind: node.kind.clone(),
        running: true,
        answer,
        decided_by: decider.name.clone(),
        watermark: timely.then_some(observed.watermark),
        waits_for: observed.waits_for,
        held_by,
        on_the_way: upstream(topology, index).into_iter().map(|index| station(&topology.nodes[index], &observation.nodes[index])).collect(),
        held_up: case.held_up(index),
    }
}

/// Whether a node holds nothing for event time: a filter, say.
fn gives_with_each_batch(node: &Node, observed: &NodeObservation) -> bool {
    node.source.is_none() && observed.waits_for.is_none()
}

struct Case<'a> {
    topology: &'a Topology,
    observation: &'a Observation,
}

impl Case<'_> {
    /// What the node has given so far.
    fn sent(&self, index: usize) -> String {
        let (node, observed) = (&self.topology.nodes[index], &self.observation.nodes[index]);
        let (given, verb) = match node.role {
            Role::Sink => (observed.fates.taken, "written"),
            Role::Source | Role::Operator => (observed.rows_out, "sent"),
        };
        let end = if observed.over { ", and has ended: no more will come" } else { "" };
        match given {
            0 => format!("{} has {verb} no row{end}", titled(node)),
            given => format!("{} has {verb} {}{end}", titled(node), rows(given)),
        }
    }

    /// The node that decides when rows come: upstream as long as nothing has come, or as long as nodes only pass on.
    fn decides(&self, index: usize, answer: &mut Vec<String>) -> usize {
        let mut at = index;
        let mut empty: Vec<String> = Vec::new();
        loop {
            let observed = &self.observation.nodes[at];
            let decides = self.topology.nodes[at].inputs.is_empty() || observed.waits_for.is_some() || lost(observed) || observed.over;
            let Some(from) = self.emptiest(at).filter(|_| !decides) else { break };
            if observed.rows_in == 0 {
                empty.push(observed.node.clone());
                let writer = &self.observation.nodes[from];
                if writer.rows_out > 0 {
                    answer.push(format!("{} has sent {}, which are on their way to {}", writer.node, rows(writer.rows_out), observed.node));
                    break;
                }
            }
            at = from;
        }
        if !empty.is_empty() {
            answer.insert(1, format!("no row has come to {}", listed(&empty)));
        }
        at
    }

    /// The node that it reads which has sent least: with one input there is no choice.
    fn emptiest(&self, index: usize) -> Option<usize> {
        let inputs = self.topology.nodes[index].inputs.iter().map(|input| input.node);
        inputs.min_by_key(|&from| (self.observation.nodes[from].waits_for.is_none(), self.observation.nodes[from].rows_out))
    }

    /// Services for which the node waits, or whoever is behind it and holds it up: nothing else matters before they answer.
    fn services(&self, index: usize) -> Vec<String> {
        let mut seen = vec![false; self.topology.nodes.len()];
        seen[index] = true;
        let mut says = Vec::new();
        for (at, node) in self.topology.nodes.iter().enumerate().skip(index) {
            seen[at] |= node.inputs.iter().any(|input| seen[input.node]);
            let observed = &self.observation.nodes[at];
            let awaited = observed.requests.as_ref().and_then(|requests| requests.awaited.as_ref());
            says.extend(awaited.filter(|_| seen[at]).map(|awaited| format!("{} {}", node.name, awaited.says(self.observation.at_micros))));
        }
        says
    }

    /// What the deciding node waits for.
    fn standing(&self, node: &Node, observed: &NodeObservation) -> Vec<String> {
        let mut says = Vec::new();
        if observed.over {
            return says;
        }
        if lost(observed) {
            says.push(format!("every row that came to {} is {}", node.name, listed(&fates(observed))));
            says.extend(advice(node, observed));
        }
        if let Some(Moment(at)) = observed.waits_for.filter(|at| observed.watermark < *at) {
            let now = match observed.watermark.0 {
                EventTime::MIN => "it has none yet".to_owned(),
                watermark => format!("it is {watermark}"),
            };
            says.push(format!("{} holds rows until its watermark reaches {at}; {now}", node.name));
            if gives_early_rows(node) {
                says.push("before that come early rows, as often as `emit` says".to_owned());
            }
        }
        if let Some(slower) = &observed.ahead_of {
            says.push(self.ahead(node, observed, slower));
        } else if let Some(edge) = self.observation.holder_of(&node.name).filter(|edge| edge.holds_now) {
            says.push(format!("{} has rows ready for which {} has no credit", node.name, edge.to));
        } else if observed.waits_for.is_none() && !lost(observed) {
            says.push(match node.role {
                Role::Source => format!("{} waits for {}", node.name, input_or_pace(node)),
                Role::Operator | Role::Sink => format!("{} holds nothing back: it waits for rows", node.name),
            });
        }
        says
    }

    /// A source that waits for another one to come on, and how far they are apart.
    fn ahead(&self, node: &Node, observed: &NodeObservation, slower: &str) -> String {
        let limit = node.source.as_ref().and_then(|source| source.max_ahead).map_or(String::new(), |ahead| format!(" = \"{ahead}\""));
        let held = format!("{} is held by time.max_ahead{limit}: it waits for {slower}", node.name);
        let (own, other) = (slowest(observed), self.observation.node(slower).map_or(EventTime::MIN, slowest));
        match (own, other) {
            (EventTime::MIN, _) => held,
            (own, EventTime::MIN) => format!("{held}, which has read no row with an event time; {} is at {own}", node.name),
            (own, other) => {
                let apart = DurationText::from_micros(own.0.saturating_sub(other.0)).unwrap_or_default();
                format!("{held}, which is at {other}; {} is at {own}, {apart} ahead", node.name)
            }
        }
    }

    fn held_by(&self, index: usize, observed: &NodeObservation) -> Vec<super::Holder> {
        if self.topology.nodes[index].outputs.iter().all(|output| !output.stream.event_time) && observed.waits_for.is_none() {
            return Vec::new();
        }
        let target = observed.waits_for.map(|Moment(at)| at);
        let seen = vec![false; self.topology.nodes.len()];
        let mut search = Search { topology: self.topology, observation: self.observation, target, found: Vec::new(), seen };
        search.walk(index, 0);
        search.found
    }

    /// Who waits for credit, in front of the node and behind it.
    fn held_up(&self, index: usize) -> Vec<HeldUp> {
        let mut near = upstream(self.topology, index);
        // What stands behind the node holds it up as well.
        for reader in index + 1..self.topology.nodes.len() {
            if self.topology.nodes[reader]
                .inputs
                .iter()
                .any(|input| input.node == index || (near.contains(&input.node) && input.node > index))
            {
                near.push(reader);
            }
        }
        let names: Vec<&str> = near.iter().map(|&node| self.topology.nodes[node].name.as_str()).collect();
        let edges = self.observation.edges.iter().filter(|edge| edge.held_percent >= HELD_PERCENT);
        edges
            .filter(|edge| names.contains(&edge.from.as_str()))
            .map(|edge| HeldUp { node: edge.from.clone(), by: edge.to.clone(), percent: edge.held_percent })
            .collect()
    }
}

/// How far the slowest split of a source has come that is neither idle nor at its end.
fn slowest(source: &NodeObservation) -> EventTime {
    let running = source.splits.iter().filter(|split| !split.ended && !split.idle);
    running.map(|split| split.greatest.0).min().unwrap_or(EventTime::MIN)
}

/// What a source waits for: where it is slowed down on purpose, mostly for that.
fn input_or_pace(node: &Node) -> String {
    let Some(source) = &node.source else { return "input".to_owned() };
    let rate = source.rate.map(|rows| format!("its `rate` of {} rows a second", grouped(rows as u64)));
    let pace = source.replay_speed.map(|_| "the time at which its next row is due (`pace`)".to_owned());
    rate.into_iter().chain(pace).chain(["input".to_owned()]).collect::<Vec<_>>().join(", or for ")
}

/// Whether rows have come and none of them counts any more.
fn lost(node: &NodeObservation) -> bool {
    // Of what a service has not taken yet no fate is known.
    node.rows_in > 0 && node.fates.passed + node.fates.taken == 0 && !fates(node).is_empty()
}

/// What can be done about rows that are lost.
fn advice(node: &Node, observed: &NodeObservation) -> Option<String> {
    let gone = &observed.fates;
    if gone.late > 0 {
        return Some("they came further behind than the sources' max_delay allows: raise it, or allowed_lateness".to_owned());
    }
    (gone.rejected + gone.skipped > 0 && node.role != Role::Sink)
        .then(|| format!("on_bad_row = \"reject\" and a sink that reads {}.rejected show what is wrong with them", node.name))
}

fn fates(node: &NodeObservation) -> Vec<String> {
    let gone = &node.fates;
    let named = [
        (gone.filtered, "filtered"),
        (gone.late, "late"),
        (gone.rejected, "rejected"),
        (gone.skipped, "skipped"),
        (gone.expired, "expired"),
    ];
    let only: Vec<&(u64, &str)> = named.iter().filter(|(count, _)| *count > 0).collect();
    match only[..] {
        [(_, what)] => vec![(*what).to_owned()],
        _ => counts(&named),
    }
}

/// `27,004 rows in, 521 skipped, 26,483 out`.
fn station(node: &Node, observed: &NodeObservation) -> Station {
    let gone = &observed.fates;
    let mut says = vec![format!("{} in", rows(observed.rows_in))];
    says.extend(counts(&[
        (gone.filtered, "filtered"),
        (gone.late, "late"),
        (gone.partly_late, "partly late"),
        (gone.rejected, "rejected"),
        (gone.skipped, "skipped"),
        (gone.expired, "expired"),
        (gone.taken, if node.role == Role::Sink { "written" } else { "taken" }),
    ]));
    if node.role != Role::Sink {
        says.push(format!("{} out", grouped(observed.rows_out)));
    }
    Station { node: node.name.clone(), says: says.join(", ") }
}

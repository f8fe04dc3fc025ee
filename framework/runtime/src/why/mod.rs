//! Why does a node give no rows? The question that users of event time ask most.
//!
//! The answer is a pure function of the plan and, where the topology runs, of an [`Observation`]: nothing is asked of the tasks.
//! A run is explained by walking upstream from the node ([`running`]): to the first node that no row has got past, to the source
//! split that holds the watermark ([`watermark`]), and to whoever has no credit. A file alone is explained by what the node needs
//! before it gives a row ([`planned`]) and by what moves its watermark ([`follows`]). Late and bad rows wait for nothing ([`side`]).

mod follows;
mod planned;
mod running;
mod side;
mod watermark;

use millstream_api::diagnostic::nearest;
use millstream_api::plan::WindowUse;
use millstream_topology::{Node, Topology};
use serde::{Deserialize, Serialize};

use crate::observe::{Moment, Observation};
use crate::text::grouped;

/// Why a node gives no rows, or what it waits for before it gives more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// The node that was asked for.
    pub node: String,
    /// Its `type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it runs: else the answer is about the file.
    pub running: bool,
    /// The answer in a sentence or a few.
    pub answer: Vec<String>,
    /// The node that decides when rows come: the one that was asked for, or one in front of it.
    pub decided_by: String,
    /// Its watermark.
    pub watermark: Option<Moment>,
    /// The least watermark at which it sends something of what it holds.
    pub waits_for: Option<Moment>,
    /// What its watermark waits for: splits of sources, mostly.
    pub held_by: Vec<Holder>,
    /// The nodes in front of it and itself, and what became of the rows that came to each.
    pub on_the_way: Vec<Station>,
    /// Who waits for credit on the way, and on whom.
    pub held_up: Vec<HeldUp>,
}

/// Something that a watermark waits for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    /// The source, or a node that holds its watermark back by itself.
    pub node: String,
    /// The split of the source.
    pub split: Option<String>,
    /// The greatest event time that was read.
    pub greatest: Option<Moment>,
    /// The watermark that follows from it.
    pub watermark: Option<Moment>,
    /// The source's `time.max_delay`.
    pub max_delay: Option<String>,
    /// The source's `time.idle_after`.
    pub idle_after: Option<String>,
    /// The event time of a row that is enough.
    pub unblocked_at: Option<Moment>,
    /// The same in words.
    pub says: Vec<String>,
}

/// A node on the way, and what became of its rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Station {
    /// The node.
    pub node: String,
    /// In words.
    pub says: String,
}

/// A node that waits for the credit of another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldUp {
    /// Who waits.
    pub node: String,
    /// On whom.
    pub by: String,
    /// Per cent of the last interval.
    pub percent: f64,
}

/// There is no node of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownNode {
    /// What was asked for.
    pub name: String,
    /// What would be right.
    pub help: String,
}

impl std::fmt::Display for UnknownNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "there is no node `{}`", self.name)
    }
}

impl std::error::Error for UnknownNode {}

/// Explains a node of a run, or without an observation what it needs before it gives a row.
///
/// # Errors
/// When there is no such node; the nearest name is in the help.
pub fn why(topology: &Topology, observation: Option<&Observation>, node: &str) -> Result<Why, UnknownNode> {
    let index = find(topology, node)?;
    if let Some(why) = side::explain(topology, observation, index, node) {
        return Ok(why);
    }
    Ok(match observation {
        Some(observation) => running::explain(topology, observation, index),
        None => planned::explain(topology, index),
    })
}

/// The index of a node, by its name or that of one of its streams.
///
/// # Errors
/// When there is no such node; the nearest name is in the help.
pub fn find(topology: &Topology, name: &str) -> Result<usize, UnknownNode> {
    let is_meant = |node: &Node| node.name == name || node.outputs.iter().any(|output| output.name == name);
    let names = || topology.nodes.iter().map(|node| node.name.as_str()).collect();
    topology.nodes.iter().position(is_meant).ok_or_else(|| unknown(name, "nodes", names()))
}

/// A name that is none of these.
pub(crate) fn unknown(name: &str, what: &str, names: Vec<&str>) -> UnknownNode {
    let near = nearest(name, names.iter().copied()).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
    UnknownNode { name: millstream_api::error::shortened(name), help: format!("{near}{what}: {}", names.join(", ")) }
}

impl Why {
    /// The answer as text for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |indent: usize, words: &str| {
            text.push_str(&" ".repeat(indent));
            text.push_str(words);
            text.push('\n');
        };
        for (index, sentence) in self.answer.iter().enumerate() {
            line(if index == 0 { 0 } else { 2 }, sentence);
        }
        if !self.held_by.is_empty() {
            line(0, if self.running { "the watermark is held by" } else { "the watermark follows" });
        }
        for holder in &self.held_by {
            let split = holder.split.as_ref().map_or(String::new(), |split| format!(", split {split}"));
            line(2, &format!("{}{split}", holder.node));
            holder.says.iter().for_each(|words| line(4, words));
        }
        if !self.on_the_way.is_empty() {
            line(0, "on the way");
        }
        for Station { node, says } in &self.on_the_way {
            line(2, &format!("{node}: {says}"));
        }
        for HeldUp { node, by, percent } in &self.held_up {
            line(0, &format!("{node} waits for credit of {by}: {percent:.0} % of the time"));
        }
        text
    }
}

/// The nodes in front of one and itself, in the order of the topology.
fn upstream(topology: &Topology, node: usize) -> Vec<usize> {
    let mut wanted = vec![false; topology.nodes.len()];
    wanted[node] = true;
    // Every node stands after those it reads.
    for index in (0..=node).rev() {
        if wanted[index] {
            topology.nodes[index].inputs.iter().for_each(|input| wanted[input.node] = true);
        }
    }
    (0..topology.nodes.len()).filter(|&index| wanted[index]).collect()
}

/// The windows for whose end a node waits.
fn windows(topology: &Topology, index: usize) -> Option<String> {
    let node = &topology.nodes[index];
    node.inputs.iter().zip(&node.plan.inputs).find_map(|(input, plan)| {
        let windowed = topology.nodes[input.node].outputs[input.port].stream.windowed.as_ref()?;
        (plan.windows == WindowUse::Judges).then(|| windowed.windows.to_string())
    })
}

/// Whether a node sends rows of windows that are still open, and withdraws them later.
fn gives_early_rows(node: &Node) -> bool {
    node.outputs.iter().any(|output| output.name == node.name && output.stream.updating && output.stream.windowed.is_some())
        && node.plan.inputs.iter().any(|plan| plan.windows == WindowUse::Judges)
}

/// The nodes whose rows flow through a node, so that it waits for their watermarks: all it reads but a table.
fn flowing(node: &Node) -> impl Iterator<Item = usize> {
    node.inputs.iter().enumerate().filter(|(input, _)| node.plan.reads_first != Some(*input)).map(|(_, input)| input.node)
}

/// `aggregate `delays``.
fn titled(node: &Node) -> String {
    format!("{} (`{}`)", node.name, node.kind)
}

/// `a, b and c`.
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `521 skipped`, for those counts that are not 0.
fn counts(counts: &[(u64, &str)]) -> Vec<String> {
    counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{} {what}", grouped(*count))).collect()
}

//! What of a checkpoint fits a topology that may have changed since.
//!
//! State belongs to a node by its name. It fits when the type is the same and everything that its meaning depends on (options,
//! columns read) is: then it is kept. Otherwise it would be lost or taken for something that it is not, and only the user can
//! say that this is right.

use std::collections::BTreeSet;
use std::fmt;

use crate::differences::differences;
use crate::manifest::{Manifest, NodeRecord};

/// What becomes of the state of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The node is new: it starts empty.
    New(String),
    /// The state is kept.
    Kept(String),
    /// The node is no longer there.
    Dropped {
        /// The node.
        node: String,
        /// What is lost.
        what: String,
    },
    /// There is a node of this name, and the state is not for it.
    Unfit {
        /// The node.
        node: String,
        /// Why.
        why: String,
        /// What is lost.
        what: String,
    },
}

impl Change {
    /// Whether state would be lost.
    pub fn loses(&self) -> bool {
        matches!(self, Change::Dropped { .. } | Change::Unfit { .. })
    }

    /// The node.
    pub fn node(&self) -> &str {
        match self {
            Change::New(node) | Change::Kept(node) | Change::Dropped { node, .. } | Change::Unfit { node, .. } => node,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::New(node) => write!(f, "`{node}` is new and starts empty"),
            Change::Kept(node) => write!(f, "`{node}` keeps its state"),
            Change::Dropped { node, what } => write!(f, "`{node}` is gone, and with it {what}"),
            Change::Unfit { node, why, what } => write!(f, "`{node}` {why}: {what} would be taken for something else, so it starts empty"),
        }
    }
}

/// Compares the nodes of a topology with those of the one that it follows. Nodes without state are not named.
pub fn compare(old: &[NodeRecord], new: &[NodeRecord]) -> Vec<Change> {
    let mut changes = Vec::new();
    for node in new {
        match old.iter().find(|old| old.name == node.name) {
            None if has_state(node) => changes.push(Change::New(node.name.clone())),
            None => {}
            Some(old) if !has_state(old) && !has_state(node) => {}
            Some(old) => changes.push(match why_unfit(old, node) {
                None => Change::Kept(node.name.clone()),
                Some(_) if !has_state(old) => Change::New(node.name.clone()),
                Some(why) => Change::Unfit { node: node.name.clone(), why, what: unfit(old) },
            }),
        }
    }
    let names: BTreeSet<&str> = new.iter().map(|node| node.name.as_str()).collect();
    let gone = old.iter().filter(|node| has_state(node) && !names.contains(node.name.as_str()));
    changes.extend(gone.map(|node| Change::Dropped { node: node.name.clone(), what: what_of(node) }));
    changes
}

/// Splits of sources that were not read to their ends and that are no longer there.
pub fn lost_splits(manifest: &Manifest, source: &str, splits: &[String]) -> Vec<String> {
    let tasks = manifest.tasks.iter().filter(|task| task.node == source);
    let open = tasks.flat_map(|task| &task.splits).filter(|split| !split.ended && split.position.is_some());
    open.filter(|split| !splits.contains(&split.split)).map(|split| split.split.clone()).collect()
}

fn has_state(node: &NodeRecord) -> bool {
    node.role == "source" || !node.state.is_empty()
}

fn what_of(node: &NodeRecord) -> String {
    match node.role.as_str() {
        "source" => "the place up to which it was read".to_owned(),
        _ => format!("its state ({})", node.state.join(", ")),
    }
}

/// What a node that goes on without it does not know any more.
fn unfit(node: &NodeRecord) -> String {
    match (node.role.as_str(), node.kind.as_str()) {
        ("sink", "file") => format!("{}, without which its file is written anew,", what_of(node)),
        _ => what_of(node),
    }
}

fn why_unfit(old: &NodeRecord, new: &NodeRecord) -> Option<String> {
    if (old.role.as_str(), old.kind.as_str()) != (&new.role, &new.kind) {
        return Some(format!("was the {} `{}` and is now the {} `{}`", old.role, old.kind, new.role, new.kind));
    }
    // Where a source stands is matched split by split.
    if old.role == "source" {
        return None;
    }
    let lost: Vec<&str> = old.state.iter().filter(|name| !new.state.contains(name)).map(String::as_str).collect();
    if !lost.is_empty() {
        return Some(format!("no longer has the state {}", lost.join(", ")));
    }
    match (&old.meaning, &new.meaning) {
        (Some(old), Some(new)) => differences(old, new),
        // Of a checkpoint that has no more than a hash.
        _ => (old.signature != new.signature).then(|| "has other options, columns or windows".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, kind: &str, role: &str, state: &[&str], signature: &str) -> NodeRecord {
        let state = state.iter().map(|name| (*name).to_owned()).collect();
        NodeRecord {
            name: name.into(),
            kind: kind.into(),
            role: role.into(),
            parallelism: 1,
            state,
            signature: signature.into(),
            meaning: None,
        }
    }

    fn texts(old: &[NodeRecord], new: &[NodeRecord]) -> Vec<String> {
        compare(old, new).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn state_follows_the_name_and_only_where_it_fits() {
        let old = [
            node("in", "file", "source", &[], "1"),
            node("thin", "filter", "operator", &[], "1"),
            node("sums", "aggregate", "operator", &["panes"], "1"),
            node("pairs", "join", "operator", &["left", "right"], "1"),
            node("board", "view", "sink", &["rows"], "1"),
            node("out", "file", "sink", &["written"], "1"),
        ];
        let new = [
            node("in", "file", "source", &[], "2"),
            node("thin", "filter", "operator", &[], "2"),
            node("sums", "aggregate", "operator", &["panes"], "2"),
            node("pairs", "top_n", "operator", &["ranks"], "1"),
            node("more", "aggregate", "operator", &["panes"], "1"),
            node("out", "file", "sink", &["written"], "2"),
        ];
        assert_eq!(
            texts(&old, &new),
            [
                "`in` keeps its state",
                "`sums` has other options, columns or windows: its state (panes) would be taken for something else, so it starts empty",
                "`pairs` was the operator `join` and is now the operator `top_n`: its state (left, right) would be taken for something else, so it starts empty",
                "`more` is new and starts empty",
                "`out` has other options, columns or windows: its state (written), without which its file is written anew, would be taken for something else, so it starts empty",
                "`board` is gone, and with it its state (rows)",
            ]
        );
        assert!(compare(&old, &old).iter().all(|change| !change.loses()));
    }
}

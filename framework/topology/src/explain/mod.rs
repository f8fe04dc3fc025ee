//! Three questions that the plan answers before a row has flowed, for `check --explain`: what bounds each node's state (`state`), which
//! rows can be late or rejected and where they go (`outcasts`), and what holds of a row on its way from a source to a sink (`delivery`).
//!
//! Nothing here decides anything, and nothing is said that the plan does not know.

mod delivery;
mod outcasts;
mod state;

use crate::graph::{Node, Topology};

/// The answers, as text for people.
pub fn explain(topology: &Topology) -> String {
    let sections = [
        ("What bounds state", state::lines(topology)),
        ("Which rows can be late or rejected, and where they go", outcasts::lines(topology)),
        ("What holds from source to sink", delivery::lines(topology)),
    ];
    let mut text = String::new();
    for (title, entries) in sections {
        text.push_str(&format!("{title}\n"));
        for entry in entries {
            text.push_str(&entry.text());
        }
        text.push('\n');
    }
    text
}

/// What is said of one node, or of all of them.
struct Entry {
    subject: String,
    says: Vec<String>,
}

impl Entry {
    fn new(subject: impl Into<String>, says: Vec<String>) -> Self {
        Entry { subject: subject.into(), says }
    }

    fn text(&self) -> String {
        let mut text = format!("  {}\n", self.subject);
        for line in &self.says {
            text.push_str(&format!("    {line}\n"));
        }
        text
    }
}

/// The nodes that read a stream, by name.
fn readers<'a>(topology: &'a Topology, node: &Node, port: usize) -> Vec<&'a str> {
    let reads = |reader: &&Node| {
        reader.inputs.iter().any(|input| input.port == port && std::ptr::eq(&raw const topology.nodes[input.node], &raw const *node))
    };
    topology.nodes.iter().filter(reads).map(|reader| reader.name.as_str()).collect()
}

/// `a, b and c`.
fn listed<S: AsRef<str>>(names: &[S]) -> String {
    match names {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_as_one_would_say_them() {
        assert_eq!(listed::<&str>(&[]), "");
        assert_eq!(listed(&["a"]), "a");
        assert_eq!(listed(&["a", "b", "c"]), "a, b and c");
    }
}

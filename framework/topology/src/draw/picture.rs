//! Boxes and arrows: what every drawing shows of a topology.

use millstream_api::plan::Route;
use millstream_api::registry::Role;

use crate::describe::route_text;
use crate::graph::{Input, Node, Topology};

/// A topology to be drawn.
pub(super) struct Picture<'a> {
    pub name: &'a str,
    /// In the order of the graph: a box stands after those it reads.
    pub boxes: Vec<Box<'a>>,
    pub arrows: Vec<Arrow<'a>>,
}

/// A node.
pub(super) struct Box<'a> {
    pub name: &'a str,
    pub kind: &'a str,
    pub role: Role,
    pub parallelism: usize,
    pub description: Option<&'a str>,
    /// What sets it apart: its windows, that it keeps state, that its rows can be withdrawn.
    pub notes: Vec<String>,
}

/// An edge.
pub(super) struct Arrow<'a> {
    /// Indices of boxes.
    pub from: usize,
    pub to: usize,
    /// The stream, where it has another name than the node: `delays.late`.
    pub stream: Option<&'a str>,
    /// Whether it is a side stream.
    pub side: bool,
    /// How rows find their subtask; none where there is nothing to find: one subtask, or each sends to the one of its own number.
    pub route: Option<String>,
    pub updating: bool,
}

impl<'a> Picture<'a> {
    pub fn of(topology: &'a Topology) -> Self {
        let boxes = topology.nodes.iter().map(|node| Box::of(topology, node)).collect();
        let ends = topology.nodes.iter().enumerate().flat_map(|(to, node)| node.inputs.iter().map(move |input| (to, node, input)));
        let arrows = ends.map(|(to, node, input)| Arrow::of(topology, to, node, input)).collect();
        Picture { name: &topology.name, boxes, arrows }
    }
}

impl<'a> Box<'a> {
    fn of(topology: &Topology, node: &'a Node) -> Self {
        Box {
            name: &node.name,
            kind: &node.kind,
            role: node.role,
            parallelism: node.parallelism,
            description: node.description.as_deref(),
            notes: notes(topology, node),
        }
    }

    /// `aggregate × 2`.
    pub fn type_line(&self) -> String {
        if self.parallelism == 1 { self.kind.to_owned() } else { format!("{} × {}", self.kind, self.parallelism) }
    }
}

fn notes(topology: &Topology, node: &Node) -> Vec<String> {
    let mut notes = Vec::new();
    let read = |input: &Input| &topology.nodes[input.node].outputs[input.port].stream;
    if let Some(output) = node.outputs.first() {
        let came = node
            .inputs
            .iter()
            .any(|input| read(input).windowed.as_ref().map(|w| &w.windows) == output.stream.windowed.as_ref().map(|w| &w.windows));
        notes.extend(output.stream.windowed.as_ref().filter(|_| !came).map(|windowed| windowed.windows.to_string()));
        if output.stream.updating && !node.inputs.iter().any(|input| read(input).updating) {
            notes.push("updating".to_owned());
        }
        if node.role == Role::Source && !output.stream.bounded {
            notes.push("endless".to_owned());
        }
    }
    if node.plan.state.iter().any(|state| state.keyed) {
        notes.push("keyed state".to_owned());
    }
    notes
}

impl<'a> Arrow<'a> {
    fn of(topology: &'a Topology, to: usize, reader: &Node, input: &Input) -> Self {
        let writer = &topology.nodes[input.node];
        let output = &writer.outputs[input.port];
        let straight = matches!(input.route, Route::Any) && (reader.parallelism == 1 || writer.parallelism == reader.parallelism);
        Arrow {
            from: input.node,
            to,
            stream: Some(output.name.as_str()).filter(|name| *name != writer.name),
            side: is_side(writer, input.port),
            route: (!straight).then(|| route_text(&input.route, writer.parallelism, reader)),
            updating: output.stream.updating,
        }
    }

    /// What stands at the arrow: `delays.late, in turn`; empty when there is nothing to say.
    pub fn label(&self) -> String {
        let parts: Vec<&str> = self.stream.into_iter().chain(self.route.as_deref()).collect();
        parts.join(", ")
    }
}

/// A source may define named streams in place of one of its own name; its rejected rows are a side stream all the same.
fn is_side(writer: &Node, port: usize) -> bool {
    let has_main = writer.plan.outputs.iter().any(|output| output.side.is_none());
    let rejected = writer.source.as_ref().is_some_and(|source| source.rejected_port == port);
    rejected || has_main && writer.plan.outputs[port].side.is_some()
}

//! Who judges lateness on a windowed stream, and whether its rows carry their windows.
//!
//! A `window` node leaves lateness to whoever aggregates its rows: a row of overlapping windows then travels once, and its
//! windows follow from its event time. A plain reader (a sink, a running aggregate) wants one row for each open window: then
//! the window node judges, and each row carries its window. It can't do both for the same stream.

use millstream_api::Diagnostic;
use millstream_api::plan::WindowUse;
use millstream_api::stream::Judge;

use crate::columns::Needs;
use crate::declare::Declaration;
use crate::plan::Planned;
use crate::report::Problems;

/// The columns that a `window` node adds.
pub(crate) const WINDOW_COLUMNS: [&str; 2] = ["window_start", "window_end"];

/// What was decided for one stream.
#[derive(Clone, Copy, Default)]
pub(crate) struct Decision {
    /// Whether rows carry their windows.
    pub explicit: bool,
    /// Whether the node that defines the stream judges lateness.
    pub judge: bool,
    /// Whether lateness is judged already when rows get here.
    pub judged: bool,
}

/// An input of a node, as an index of node and input.
type Reader = (usize, usize);

/// The ends of a stream of unjudged windows, seen through the nodes that pass them on.
#[derive(Clone, Copy, Default)]
struct Uses {
    judges: Option<Reader>,
    reads: Option<Reader>,
}

impl Uses {
    fn join(&mut self, other: Uses) {
        self.judges = self.judges.or(other.judges);
        self.reads = self.reads.or(other.reads);
    }
}

/// Decides for each stream, by node and port. Readers that cannot be served at the same time are noted.
pub(crate) fn decide(nodes: &[Declaration<'_>], planned: &[Planned], needs: &[Vec<Needs>], problems: &mut Problems) -> Vec<Vec<Decision>> {
    let uses = uses(planned);
    let mut groups = Groups::of(planned);
    let mut explicit = vec![false; planned.len()];
    let origins: Vec<(usize, usize)> = ports(planned).filter(|port| is_unjudged(planned, *port) && groups.is_origin(port.0)).collect();
    for (node, port) in &origins {
        let Uses { judges, reads } = uses[*node][*port];
        if planned[*node].plan.outputs[*port].stream.undivided_sessions() {
            if let Some(plain) = reads {
                problems.push(undivided_sessions(nodes, planned, *node, plain));
            }
            continue;
        }
        if let (Some(judge), Some(plain)) = (judges, reads) {
            problems.push(mixed_readers(nodes, planned, *node, judge, plain));
        }
        let named = WINDOW_COLUMNS.iter().any(|column| needs[*node][*port].columns.contains(*column));
        let group = groups.find(*node);
        explicit[group] |= named || judges.is_none();
    }
    let mut decisions: Vec<Vec<Decision>> =
        planned.iter().map(|node| node.plan.outputs.iter().map(|output| stated(&output.stream.windowed)).collect()).collect();
    for (node, port) in ports(planned).filter(|port| is_unjudged(planned, *port)) {
        let judged = uses[node][port].judges.is_none();
        let group = groups.find(node);
        let judge = judged && origins.contains(&(node, port));
        decisions[node][port] = Decision { explicit: explicit[group], judge, judged };
    }
    decisions
}

/// What a stream's own plan says.
fn stated(windowed: &Option<millstream_api::stream::Windowed>) -> Decision {
    windowed.as_ref().map_or_else(Decision::default, |w| Decision { explicit: w.explicit, judge: false, judged: w.judge == Judge::Done })
}

fn ports(planned: &[Planned]) -> impl Iterator<Item = (usize, usize)> + '_ {
    planned.iter().enumerate().flat_map(|(node, planned)| (0..planned.plan.outputs.len()).map(move |port| (node, port)))
}

fn is_unjudged(planned: &[Planned], (node, port): (usize, usize)) -> bool {
    planned[node].plan.outputs[port].stream.windowed.as_ref().is_some_and(|windowed| windowed.judge == Judge::Reader)
}

/// Whether a node hands on the unjudged windows of one of its inputs.
fn passes(planned: &[Planned], (node, input): Reader) -> bool {
    let reader = &planned[node];
    reader.plan.inputs[input].windows == WindowUse::Passes
        && is_unjudged(planned, reader.inputs[input])
        && (0..reader.plan.outputs.len()).any(|port| is_unjudged(planned, (node, port)))
}

/// The uses of every stream, from the sinks up.
fn uses(planned: &[Planned]) -> Vec<Vec<Uses>> {
    let mut uses: Vec<Vec<Uses>> = planned.iter().map(|node| vec![Uses::default(); node.plan.outputs.len()]).collect();
    for (reader, node) in planned.iter().enumerate().rev() {
        for (input, (writer, port)) in node.inputs.iter().enumerate() {
            let found = match node.plan.inputs[input].windows {
                WindowUse::Judges => Uses { judges: Some((reader, input)), reads: None },
                WindowUse::Passes if passes(planned, (reader, input)) => {
                    let mut beyond = Uses::default();
                    let unjudged = (0..uses[reader].len()).filter(|port| is_unjudged(planned, (reader, *port)));
                    unjudged.for_each(|port| beyond.join(uses[reader][port]));
                    beyond
                }
                WindowUse::Passes | WindowUse::Reads => Uses { judges: None, reads: Some((reader, input)) },
            };
            uses[*writer][*port].join(found);
        }
    }
    uses
}

/// Nodes whose unjudged windows flow together (through a union): their rows must be of one shape.
struct Groups {
    parent: Vec<usize>,
    origin: Vec<bool>,
}

impl Groups {
    fn of(planned: &[Planned]) -> Self {
        let mut groups = Groups { parent: (0..planned.len()).collect(), origin: vec![true; planned.len()] };
        for (reader, node) in planned.iter().enumerate() {
            for input in (0..node.inputs.len()).filter(|input| passes(planned, (reader, *input))) {
                groups.origin[reader] = false;
                let (one, other) = (groups.find(reader), groups.find(node.inputs[input].0));
                groups.parent[one.max(other)] = one.min(other);
            }
        }
        groups
    }

    fn is_origin(&self, node: usize) -> bool {
        self.origin[node]
    }

    fn find(&mut self, node: usize) -> usize {
        let mut root = node;
        while self.parent[root] != root {
            root = self.parent[root];
        }
        self.parent[node] = root;
        root
    }
}

/// Sessions are not explicit, whoever reads them.
fn undivided_sessions(nodes: &[Declaration<'_>], planned: &[Planned], window: usize, plain: Reader) -> Diagnostic {
    let window = &nodes[planned[window].declaration].name;
    let node = &nodes[planned[plain.0].declaration];
    let message = format!("`{}` reads single rows of `{window}`, whose sessions have no bounds before a key is known", node.name);
    let help = "put an `aggregate` between; only `filter` and `select` may come before it";
    at_input(Diagnostic::error("session-window", message).help(help), node, plain.1)
}

fn at_input(mut diagnostic: Diagnostic, node: &Declaration<'_>, input: usize) -> Diagnostic {
    diagnostic.path.clone_from(&node.inputs[input].path);
    let length = node.inputs[input].stream.len();
    diagnostic.text(0..length)
}

fn mixed_readers(nodes: &[Declaration<'_>], planned: &[Planned], window: usize, judge: Reader, plain: Reader) -> Diagnostic {
    let declaration = |index: usize| &nodes[planned[index].declaration];
    let (window, judge) = (&declaration(window).name, &declaration(judge.0).name);
    let plain_node = declaration(plain.0);
    let message = format!(
        "`{}` reads single rows of the windows of `{window}`, while `{judge}` takes whole windows and judges lateness itself",
        plain_node.name
    );
    let help = format!("give `{}` a `window` node of its own that reads what `{window}` reads", plain_node.name);
    at_input(Diagnostic::error("mixed-window-readers", message).help(help), plain_node, plain.1)
}

//! The checked graph: what `check` leaves behind and the runtime runs. Nothing downstream of it looks at text again.

use std::collections::BTreeSet;
use std::path::PathBuf;

use millstream_api::Stream;
use millstream_api::meaning::Meaning;
use millstream_api::options::OnBadRow;
use millstream_api::plan::{Plan, Route, Shape};
use millstream_api::registry::Role;
use millstream_api::time::DurationText;
use millstream_expr::Scalar;

use crate::checkpoint::CheckpointSettings;
use crate::secret::Secrets;
use crate::settings::{RuntimeSettings, ServerSettings};

/// A topology that may run.
pub struct Topology {
    /// The file's `name`.
    pub name: String,
    /// Where it was read from, as given by the user.
    pub file: PathBuf,
    /// `[runtime]`, with defaults filled in.
    pub runtime: RuntimeSettings,
    /// Where relative paths start.
    pub folder: PathBuf,
    /// `[checkpoint]`; none means no checkpoints.
    pub checkpoint: Option<CheckpointSettings>,
    /// The line of that table, from 1.
    pub checkpoint_line: usize,
    /// `[server]`; none means no listener.
    pub server: Option<ServerSettings>,
    /// What messages about it must not show.
    pub secrets: Secrets,
    /// All nodes, every node after those it reads.
    pub nodes: Vec<Node>,
}

impl Topology {
    /// The sources that meet in each node with several inputs, as indices of nodes: their rows come together there, so that
    /// one that is far ahead of another fills what the node or those behind it keep.
    pub fn meetings(&self) -> Vec<BTreeSet<usize>> {
        let mut sources: Vec<BTreeSet<usize>> = Vec::with_capacity(self.nodes.len());
        let mut meetings = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let mut of_node: BTreeSet<usize> = node.inputs.iter().flat_map(|input| sources[input.node].iter().copied()).collect();
            if node.inputs.is_empty() {
                of_node.insert(index);
            }
            if node.inputs.len() > 1 {
                meetings.push(of_node.clone());
            }
            sources.push(of_node);
        }
        meetings
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }
}

/// A node of the graph, planned, with its inputs resolved.
pub struct Node {
    /// Its name in the file.
    pub name: String,
    /// Its `type`.
    pub kind: String,
    /// Source, operator or sink.
    pub role: Role,
    /// The line of the file that declares it, from 1.
    pub line: usize,
    /// How many subtasks it has.
    pub parallelism: usize,
    /// Whether its keys go to disk when there is no memory for them.
    pub on_disk: bool,
    /// What it does with bad rows.
    pub on_bad_row: OnBadRow,
    /// Free text of the file.
    pub description: Option<String>,
    /// What it reads, in the order of its input keys.
    pub inputs: Vec<Input>,
    /// What it defines; the index is the port.
    pub outputs: Vec<NodeOutput>,
    /// Whether what it sends becomes part of a table that a lookup reads to its end first.
    pub feeds_table: bool,
    /// What the meaning of its state depends on.
    pub meaning: Meaning,
    /// The same as version 0.1.0 and before say it; `None`: its state is of another form now.
    pub signature: Option<u64>,
    /// Event time and pace; sources only.
    pub source: Option<SourceSettings>,
    /// What makes its subtasks. `plan.inputs` and `plan.outputs` run parallel to the fields here.
    pub plan: Plan,
}

impl Node {
    /// Whether it is a source whose rows have event time.
    pub fn has_event_time(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.times.iter().any(Option::is_some))
    }
}

/// An edge of the graph, seen from its reader.
pub struct Input {
    /// Index in [`Topology::nodes`] of the node that writes.
    pub node: usize,
    /// Its port.
    pub port: usize,
    /// How rows are spread over the reader's subtasks.
    pub route: Route,
}

/// A stream of the graph.
pub struct NodeOutput {
    /// Its full name: `delays`, `delays.late`.
    pub name: String,
    /// What the plan knows of it.
    pub stream: Stream,
    /// What really flows.
    pub shape: Shape,
}

/// What the runtime does for every source, whatever its type.
pub struct SourceSettings {
    /// Event time, by output that has any; `None` where the stream has none (a side stream, a source without `time`).
    pub times: Vec<Option<Scalar>>,
    /// How far a split's watermark stays behind the greatest event time.
    pub max_delay: DurationText,
    /// When a waiting split counts as idle; `None`: never.
    pub idle_after: Option<DurationText>,
    /// How far it may be ahead of the slowest source that it meets; `None`: as far as it gets.
    pub max_ahead: Option<DurationText>,
    /// What happens to a row whose time is null.
    pub on_null: OnBadRow,
    /// Rows a second, at most.
    pub rate: Option<usize>,
    /// How many times the data's own speed rows are replayed at; `None`: as fast as they are taken.
    pub replay_speed: Option<f64>,
    /// The port of the stream `.rejected`.
    pub rejected_port: usize,
}

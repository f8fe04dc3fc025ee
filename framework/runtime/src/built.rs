//! What [`build`](crate::build) makes: subtasks ready to run, and what lies between them.

use std::sync::Arc;

use millstream_api::Error;
use millstream_api::plan::Shape;
use millstream_state::TaskId;
use millstream_topology::{Input, Node, NodeOutput, Topology};

use crate::channel::Channel;
use crate::ledger::Stats;
use crate::meter::Held;
use crate::tap::TapPoint;
use crate::task::Task;
use crate::wake::WakeSlot;

/// A subtask ready to run.
pub struct BuiltTask {
    /// Which it is.
    pub id: TaskId,
    /// Index of its node in the topology.
    pub node: usize,
    /// Where its runner says how to wake it.
    pub slot: WakeSlot,
    /// Whether it blocks and so wants a thread of its own.
    pub blocks: bool,
    /// Its counters.
    pub stats: Stats,
    /// The task itself.
    pub task: Box<dyn Task>,
}

/// A channel, for looking at how full it is.
#[derive(Clone)]
pub struct BuiltChannel {
    /// Who sends.
    pub sender: TaskId,
    /// Who receives.
    pub receiver: TaskId,
    /// The channel.
    pub channel: Arc<Channel>,
}

/// One edge of the graph, for looking at it.
#[derive(Clone)]
pub struct BuiltEdge {
    /// Index of the node that sends.
    pub writer: usize,
    /// Index of the node that reads.
    pub reader: usize,
    /// Which of its inputs.
    pub input: usize,
    /// Its channels.
    pub channels: Vec<Arc<Channel>>,
    /// How long it has held up each sending subtask.
    pub held: Vec<Held>,
}

/// Where the rows of a stream, or those that come to a sink, can be looked at.
#[derive(Clone)]
pub struct BuiltTap {
    /// The name of the stream or sink.
    pub name: String,
    /// What flows.
    pub shape: Shape,
    /// Whether rows can be withdrawn.
    pub updating: bool,
    /// Where to look.
    pub point: TapPoint,
}

/// All tasks of a topology.
pub struct Built {
    /// The subtasks, node by node.
    pub tasks: Vec<BuiltTask>,
    /// The channels between them.
    pub channels: Vec<BuiltChannel>,
    /// The edges that they belong to.
    pub edges: Vec<BuiltEdge>,
    /// Where rows can be looked at.
    pub taps: Vec<BuiltTap>,
}

/// A node that could not be made.
#[derive(Debug)]
pub struct BuildError {
    /// Index of the node.
    pub node: usize,
    /// Which of its subtasks.
    pub subtask: usize,
    /// Why.
    pub error: Error,
}

/// Where the rows of each stream of a node can be looked at, or of a sink those that come to it.
pub(crate) fn taps(topology: &Topology, node: &Node) -> Vec<BuiltTap> {
    let tap = |name: &str, output: &NodeOutput| BuiltTap {
        name: name.to_owned(),
        shape: output.shape.clone(),
        updating: output.stream.updating,
        point: TapPoint::default(),
    };
    if node.outputs.is_empty() {
        let read = |input: &Input| tap(&node.name, &topology.nodes[input.node].outputs[input.port]);
        return node.inputs.iter().take(1).map(read).collect();
    }
    node.outputs.iter().map(|output| tap(&output.name, output)).collect()
}

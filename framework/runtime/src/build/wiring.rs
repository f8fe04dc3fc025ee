//! The channels of a topology while they are laid: which subtask sends to which, and how.

use std::sync::Arc;

use millstream_api::plan::{Make, Route};
use millstream_api::{Combiner, EventTime, Result};
use millstream_topology::{Input, Node, Topology};

use super::{Surroundings, operator_context, task_id};
use crate::built::{BuildError, BuiltChannel, BuiltEdge, BuiltTap, taps};
use crate::channel::{Channel, EdgeBytes};
use crate::combining::Combining;
use crate::grammar::Checker;
use crate::lane::{Batching, Lane};
use crate::meter::Held;
use crate::outbox::{OutEdge, Outbox, Port, Spread};
use crate::wake::WakeSlot;

pub(super) type Incoming = Vec<(usize, Arc<Channel>)>;

/// Channels while they are laid: by node and subtask.
pub(super) struct Wiring {
    pub(super) slots: Vec<Vec<WakeSlot>>,
    incoming: Vec<Vec<Incoming>>,
    outgoing: Vec<Vec<Vec<Port>>>,
    pub(super) channels: Vec<BuiltChannel>,
    pub(super) edges: Vec<BuiltEdge>,
    /// By node: one for each of its streams, of a sink one for itself.
    pub(super) taps: Vec<Vec<BuiltTap>>,
}

impl Wiring {
    pub(super) fn new(topology: &Topology) -> Self {
        let per_subtask = |node: &Node| node.parallelism;
        let taps: Vec<Vec<BuiltTap>> = topology.nodes.iter().map(|node| taps(topology, node)).collect();
        let ports = |(node, taps): (&Node, &Vec<BuiltTap>)| -> Vec<Port> {
            let ports = node.outputs.iter().zip(taps);
            ports.map(|(output, tap)| Port { edges: Vec::new(), event_time: output.stream.event_time, tap: tap.point.clone() }).collect()
        };
        Wiring {
            slots: topology.nodes.iter().map(|n| (0..per_subtask(n)).map(|_| WakeSlot::default()).collect()).collect(),
            incoming: topology.nodes.iter().map(|n| vec![Incoming::new(); per_subtask(n)]).collect(),
            outgoing: topology.nodes.iter().zip(&taps).map(|n| (0..per_subtask(n.0)).map(|_| ports(n)).collect()).collect(),
            channels: Vec::new(),
            edges: Vec::new(),
            taps,
        }
    }

    /// Lays all channels of one edge of the graph.
    pub(super) fn connect(
        &mut self,
        topology: &Topology,
        reader: usize,
        input: usize,
        around: &Surroundings<'_>,
    ) -> Result<(), BuildError> {
        let to = &topology.nodes[reader];
        let Input { node: writer, port, route } = &to.inputs[input];
        let from = &topology.nodes[*writer];
        let output = &from.outputs[*port];
        let bytes = EdgeBytes::new(topology.runtime.in_flight.bytes());
        let batching = Batching { batch_rows: topology.runtime.batch_rows.get(), linger: topology.runtime.linger };
        let mut edge = BuiltEdge { writer: *writer, reader, input, channels: Vec::new(), held: Vec::new() };
        for sender in 0..from.parallelism {
            let mut lanes = Vec::new();
            for receiver in receivers(route, sender, from.parallelism, to.parallelism) {
                let slots = (self.slots[*writer][sender].clone(), self.slots[reader][receiver].clone());
                let channel = Channel::new(topology.runtime.mailbox.get(), bytes.clone(), slots.0, slots.1);
                self.incoming[reader][receiver].push((input, channel.clone()));
                edge.channels.push(channel.clone());
                let ends = (task_id(from, sender), task_id(to, receiver));
                self.channels.push(BuiltChannel { sender: ends.0, receiver: ends.1, channel: channel.clone() });
                let schema = output.shape.schema.clone();
                let checker = around.check_grammar.then(|| Checker::new(schema.clone(), output.stream.event_time, output.stream.updating));
                lanes.push(Lane::new(channel, schema, batching, checker));
            }
            let spread = match route {
                Route::Any => Spread::Any(sender),
                Route::Broadcast => Spread::ToAll,
                Route::Key(key) => {
                    let bound = key.bind(&output.shape.schema);
                    let values = bound.map_err(|error| BuildError { node: reader, subtask: 0, error })?;
                    Spread::ByKey { values, key_groups: topology.runtime.key_groups.get() }
                }
            };
            let combiner = combiner(topology, from, to, input).map_err(|error| BuildError { node: reader, subtask: 0, error })?;
            let floor = around.restore.map_or(EventTime::MIN, |restore| restore.watermark(&to.name));
            let combining = combiner.map(|combiner| Combining::new(combiner, batching, floor));
            let held = Held::default();
            edge.held.push(held.clone());
            self.outgoing[*writer][sender][*port].edges.push(OutEdge { spread, lanes, combining, held });
        }
        self.edges.push(edge);
        Ok(())
    }

    pub(super) fn take(&mut self, topology: &Topology, node: usize, subtask: usize) -> (Incoming, Outbox) {
        let ports = std::mem::take(&mut self.outgoing[node][subtask]);
        debug_assert_eq!(ports.len(), topology.nodes[node].outputs.len());
        (std::mem::take(&mut self.incoming[node][subtask]), Outbox::new(ports))
    }
}

/// Which subtasks of the reader a subtask of the writer sends to.
fn receivers(route: &Route, sender: usize, senders: usize, receivers: usize) -> Vec<usize> {
    match route {
        Route::Any if senders == receivers => vec![sender],
        _ => (0..receivers).collect(),
    }
}

/// What aggregates before the route, where that can save anything. A source has one subtask, which has enough to do.
fn combiner(topology: &Topology, from: &Node, to: &Node, input: usize) -> Result<Option<Box<dyn Combiner>>> {
    match (&from.plan.make, &to.plan.make) {
        (Make::Operator(_), Make::Operator(factory)) if from.parallelism.max(to.parallelism) > 1 => {
            factory.combiner(input, &operator_context(topology, to, 0))
        }
        _ => Ok(None),
    }
}

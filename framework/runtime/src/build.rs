//! From a topology to tasks and channels: every subtask, every channel between two, and what they start from.

mod wiring;

use std::sync::Arc;
use std::time::Duration;

use millstream_api::key_group::owned_groups;
use millstream_api::message::CheckpointId;
use millstream_api::plan::{Make, OperatorContext, Shape, SinkContext, SourceContext, rejected_schema};
use millstream_api::requests::Requests;
use millstream_api::view::Views;
use millstream_api::{Error, EventTime, Result, Source};
use millstream_state::{JobSnapshot, SnapshotListener, SplitSnapshot, TaskCounts, TaskId, TaskSnapshot};
use millstream_topology::{Input, Node, Topology};

use self::wiring::{Incoming, Wiring};
use crate::ahead::{Seat, seats};
pub use crate::built::{BuildError, Built, BuiltChannel, BuiltEdge, BuiltTap, BuiltTask};
use crate::changing::Changing;
use crate::ended_task::EndedTask;
use crate::feed::Feed;
use crate::inbox::Inbox;
use crate::ledger::Stats;
use crate::memory::MemoryBudget;
use crate::operator_task::{OperatorParts, OperatorTask};
use crate::outbox::{Outbox, counted_ports};
use crate::pace::Pace;
use crate::schedule::Schedule;
use crate::source_task::{SourceParts, SourcePort, SourceTask};
use crate::spilling::{self, Disk, DiskUse};
use crate::tap::TapPoint;
use crate::task::Task;
use crate::wake::WakeSlot;
use crate::worker::Worker;

/// How sources are read: on threads or in place.
pub type MakeFeed<'a> = dyn FnMut(&str, Box<dyn Source>, WakeSlot) -> Result<Box<dyn Feed>> + 'a;

/// What a run is built with, beside the topology.
pub struct Surroundings<'a> {
    /// Time and chance.
    pub schedule: Schedule,
    /// Where views make themselves known.
    pub views: Views,
    /// Who takes snapshots.
    pub snapshots: Arc<dyn SnapshotListener>,
    /// The checkpoint to go on from.
    pub restore: Option<&'a JobSnapshot>,
    /// Whether sinks are told of checkpoints that exist, and the number before that of the first one.
    pub two_phase: Option<CheckpointId>,
    /// How sources are read.
    pub feed: &'a mut MakeFeed<'a>,
    /// Whether what is sent is checked against the grammar.
    pub check_grammar: bool,
    /// How the disk is used for keys.
    pub disk: DiskUse,
}

/// Makes all tasks and channels of a topology.
///
/// # Errors
/// When a node can't be made: a file that can't be opened, say.
pub fn build(topology: &Topology, mut surroundings: Surroundings<'_>) -> Result<Built, BuildError> {
    let mut wiring = Wiring::new(topology);
    for reader in 0..topology.nodes.len() {
        for input in 0..topology.nodes[reader].inputs.len() {
            wiring.connect(topology, reader, input, &surroundings)?;
        }
    }
    let mut seats = seats(topology, &wiring.slots);
    let memory = MemoryBudget::new(topology);
    let disk = open_disk(topology, surroundings.disk)?;
    let mut tasks = Vec::new();
    for (index, node) in topology.nodes.iter().enumerate() {
        for subtask in 0..node.parallelism {
            let failed = |error| BuildError { node: index, subtask, error };
            let maker = Maker {
                topology,
                index,
                node,
                id: task_id(node, subtask),
                number: tasks.len() as u32,
                slot: wiring.slots[index][subtask].clone(),
                memory: &memory,
                disk: disk.as_ref(),
                tap: wiring.taps[index].first().map(|tap| tap.point.clone()),
            };
            let (inbox, outbox) = wiring.take(topology, index, subtask);
            let (task, blocks, stats) = maker.make(inbox, outbox, seats[index].take(), &mut surroundings).map_err(failed)?;
            tasks.push(BuiltTask { id: maker.id, node: index, slot: maker.slot, blocks, stats, task });
        }
    }
    Ok(Built { tasks, channels: wiring.channels, edges: wiring.edges, taps: wiring.taps.into_iter().flatten().collect() })
}

/// What cannot be opened is trouble of the first node that needs it.
fn open_disk(topology: &Topology, how: DiskUse) -> Result<Option<Disk>, BuildError> {
    let first = topology.nodes.iter().position(|node| node.on_disk).unwrap_or_default();
    Disk::open(topology, how).map_err(|error| BuildError { node: first, subtask: 0, error })
}

fn task_id(node: &Node, subtask: usize) -> TaskId {
    TaskId { node: node.name.clone(), subtask }
}

/// What an operator knows of its place when it is made.
pub(crate) fn operator_context(topology: &Topology, node: &Node, subtask: usize) -> OperatorContext {
    OperatorContext {
        node: node.name.clone(),
        subtask,
        parallelism: node.parallelism,
        key_groups: topology.runtime.key_groups.get(),
        batch_rows: topology.runtime.batch_rows.get(),
        on_bad_row: node.on_bad_row,
        inputs: node.inputs.iter().map(|Input { node, port, .. }| topology.nodes[*node].outputs[*port].shape.clone()).collect(),
        outputs: node.outputs.iter().map(|output| output.shape.clone()).collect(),
    }
}

/// Where a node notes how its requests went, with the clock of the run.
fn with_clock(requests: Option<Requests>, around: &Surroundings<'_>) -> Option<Requests> {
    requests.inspect(|requests| requests.tell_time(around.schedule.clock.clone()))
}

/// Into how many batches a second of a source with a `rate` is cut.
const BATCHES_PER_SECOND: usize = 100;

/// Makes one task.
struct Maker<'a> {
    topology: &'a Topology,
    index: usize,
    node: &'a Node,
    id: TaskId,
    /// Its number among all tasks of the job.
    number: u32,
    slot: WakeSlot,
    memory: &'a Arc<MemoryBudget>,
    disk: Option<&'a Disk>,
    /// Of a sink: where its rows can be looked at.
    tap: Option<TapPoint>,
}

type Made = (Box<dyn Task>, bool, Stats);

impl Maker<'_> {
    fn make(&self, incoming: Incoming, outbox: Outbox, seat: Option<Seat>, surroundings: &mut Surroundings<'_>) -> Result<Made> {
        match &self.node.plan.make {
            Make::Source(_) | Make::Operator(_) if has_ended(surroundings.restore, &self.node.name) => Ok(self.over(outbox, surroundings)),
            Make::Source(factory) => {
                let splits = self.splits(factory.splits()?, surroundings.restore);
                let context = SourceContext {
                    node: self.node.name.clone(),
                    batch_rows: self.read_rows(),
                    workers: self.topology.runtime.workers.get(),
                    outputs: self.shapes(),
                    positions: positions(&splits),
                };
                let source = factory.make(&context)?;
                let (door, pauses) = (source.door(), source.pauses());
                let requests = with_clock(source.requests(), surroundings);
                let feed = (surroundings.feed)(&self.node.name, source, self.slot.clone())?;
                let parts = SourceParts { door, pauses, ..self.source_parts(feed, outbox, splits, seat, surroundings)? };
                let stats = parts.stats.clone();
                stats.set_requests(requests);
                Ok((Box::new(SourceTask::new(parts)), false, stats))
            }
            Make::Operator(factory) => {
                let worker = Worker::Operator(factory.make(&operator_context(self.topology, self.node, self.id.subtask))?);
                // What reads and writes a disk has a thread of its own.
                self.operator(worker, incoming, outbox, surroundings, self.node.on_disk)
            }
            Make::Sink(factory) => {
                let context = SinkContext {
                    node: self.node.name.clone(),
                    subtask: self.id.subtask,
                    input: self.input_shape(0),
                    on_bad_row: self.node.on_bad_row,
                    views: surroundings.views.clone(),
                    checkpoints: surroundings.two_phase.is_some(),
                };
                let sink = factory.make(&context)?;
                let requests = with_clock(sink.requests(), surroundings);
                let made = self.operator(Worker::Sink { sink, dirty: false }, incoming, outbox, surroundings, factory.blocks())?;
                made.2.set_requests(requests);
                Ok(made)
            }
        }
    }

    /// The task of a node that had ended when the checkpoint was taken: it only says so again.
    fn over(&self, outbox: Outbox, around: &Surroundings<'_>) -> Made {
        let stats = self.stats(around.restore);
        let snapshot = around.restore.map(|restore| TaskSnapshot {
            watermark: restore.watermark(&self.node.name),
            entries: Default::default(),
            pieces: None,
            positions: if self.id.subtask == 0 { restore.positions(&self.node.name) } else { Vec::new() },
            counts: stats.counts(),
            ended: true,
        });
        let task = EndedTask::new(self.id.clone(), outbox, snapshot, around.snapshots.clone(), around.schedule.clone());
        (Box::new(task), false, stats)
    }

    /// The ledger of the node goes on in its first subtask.
    fn stats(&self, restore: Option<&JobSnapshot>) -> Stats {
        restore.filter(|restore| restore.has(&self.node.name)).map_or_else(Stats::default, |restore| {
            let counts = if self.id.subtask == 0 { restore.counts(&self.node.name) } else { TaskCounts::default() };
            Stats::starting(counts, restore.watermark(&self.node.name))
        })
    }

    fn operator(&self, mut worker: Worker, incoming: Incoming, outbox: Outbox, around: &Surroundings<'_>, blocks: bool) -> Result<Made> {
        let node = &self.node.name;
        let restored = around.restore.filter(|snapshot| snapshot.has(node));
        let key_groups = self.topology.runtime.key_groups.get();
        let groups = owned_groups(self.id.subtask, self.node.parallelism, key_groups);
        let spilling = self.disk.map(|disk| disk.subtask(self.node, key_groups, around.two_phase.is_some())).transpose()?.flatten();
        let state = spilling::restored(spilling.as_ref(), restored, node, &groups, around.schedule.clock.now())?;
        let watermark = restored.map_or(EventTime::MIN, |snapshot| snapshot.watermark(node));
        let stats = self.stats(around.restore);
        let two_phase = around.two_phase.filter(|_| matches!(worker, Worker::Sink { .. }));
        let parts = OperatorParts {
            id: self.id.clone(),
            declared: self.node.plan.state.iter().map(|state| state.name).collect(),
            changing: Changing::of(&mut worker, self.node, around.two_phase.is_some() || around.disk == DiskUse::Test),
            worker,
            inbox: Inbox::new(incoming, around.schedule.order.clone(), watermark).reading_first(self.node.plan.reads_first),
            outbox,
            tap: self.tap.clone().filter(|_| self.node.outputs.is_empty()),
            counted_ports: counted_ports(&self.node.plan.outputs),
            full_at_rows: self.topology.runtime.batch_rows.get().saturating_mul(2),
            stats: stats.clone(),
            schedule: around.schedule.clone(),
            memory: self.memory.clone(),
            index: self.index,
            spilling,
            snapshots: around.snapshots.clone(),
            two_phase,
        };
        Ok((Box::new(OperatorTask::new(parts, state.as_ref())?), blocks, stats))
    }

    fn source_parts(
        &self,
        feed: Box<dyn Feed>,
        outbox: Outbox,
        splits: Vec<SplitSnapshot>,
        seat: Option<Seat>,
        around: &Surroundings<'_>,
    ) -> Result<SourceParts> {
        let settings = self.node.source.as_ref().ok_or_else(|| Error::internal("a source without its settings"))?;
        let ports = self.node.outputs.iter().zip(&settings.times).map(|(output, time)| {
            let time = time.as_ref().map(|time| time.bind(&output.shape.schema)).transpose()?;
            Ok(SourcePort { time, origin: output.shape.origin, read: output.shape.read })
        });
        let rejected = self.node.outputs.get(settings.rejected_port);
        let rejected_schema = rejected.map_or_else(rejected_schema, |output| output.shape.schema.clone());
        Ok(SourceParts {
            id: self.id.clone(),
            number: self.number,
            feed,
            door: None,
            pauses: None,
            outbox,
            ports: ports.collect::<Result<_>>()?,
            rejected_port: settings.rejected_port,
            rejected_schema,
            feeds_table: self.node.feeds_table,
            on_bad_row: self.node.on_bad_row,
            on_null: settings.on_null,
            idle_after: settings.idle_after.map(|after| Duration::from_micros(after.micros().unsigned_abs())),
            pace: Pace::new(settings.rate, settings.replay_speed, around.schedule.clock.now()),
            splits,
            seat,
            max_delay_micros: settings.max_delay.micros(),
            watermark: around.restore.map_or(EventTime::MIN, |restore| restore.watermark(&self.node.name)),
            stats: self.stats(around.restore),
            schedule: around.schedule.clone(),
            snapshots: around.snapshots.clone(),
            checkpoints: around.two_phase.is_some(),
        })
    }

    /// Rows that a source reads at once: with a `rate`, so few that they come evenly; at the data's own speed, each by itself.
    fn read_rows(&self) -> usize {
        let full = self.topology.runtime.batch_rows.get();
        if self.node.source.as_ref().is_some_and(|source| source.replay_speed.is_some()) {
            return 1;
        }
        let rate = self.node.source.as_ref().and_then(|source| source.rate);
        rate.map_or(full, |rows_per_second| (rows_per_second / BATCHES_PER_SECOND).clamp(1, full))
    }

    /// The splits of a source, each where the checkpoint left it.
    fn splits(&self, names: Vec<String>, restore: Option<&JobSnapshot>) -> Vec<SplitSnapshot> {
        let known = restore.map(|snapshot| snapshot.positions(&self.node.name)).unwrap_or_default();
        let fresh = |split| SplitSnapshot { split, position: None, greatest: EventTime::MIN, ended: false };
        names.into_iter().map(|name| known.iter().find(|k| k.split == name).cloned().unwrap_or_else(|| fresh(name))).collect()
    }

    fn shapes(&self) -> Vec<Shape> {
        self.node.outputs.iter().map(|output| output.shape.clone()).collect()
    }

    fn input_shape(&self, input: usize) -> Shape {
        let Input { node, port, .. } = &self.node.inputs[input];
        self.topology.nodes[*node].outputs[*port].shape.clone()
    }
}

fn has_ended(restore: Option<&JobSnapshot>, node: &str) -> bool {
    restore.is_some_and(|restore| restore.has_ended(node))
}

fn positions(splits: &[SplitSnapshot]) -> Vec<(u32, millstream_api::source::Position)> {
    splits.iter().enumerate().filter_map(|(index, split)| Some((index as u32, split.position.clone()?))).collect()
}

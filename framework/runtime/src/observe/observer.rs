//! Takes observations of a run.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millstream_api::EventTime;
use millstream_api::plan::{Make, SourceFactory};
use millstream_api::registry::Role;
use millstream_api::source::Position;
use millstream_api::time::{Clock, ClockTime};
use millstream_topology::{Node, Topology};

use super::sample::{Sample, Sums, together};
use super::{
    DiskObservation, EdgeObservation, InputObservation, Moment, NodeObservation, Observation, Progress, RequestsObservation,
    SplitObservation, SubtaskObservation,
};
use crate::build::{Built, BuiltEdge};
use crate::channel::{Channel, Standing};
use crate::ledger::{Counters, SplitState, Stats};
use crate::meter::Activity;

/// Rates are over at least this long, once a run has lasted for it.
const INTERVAL: Duration = Duration::from_secs(1);

/// Looks at a run. Belongs to one set of tasks: a restart has another.
pub struct Observer {
    topology: String,
    clock: Arc<dyn Clock>,
    started: ClockTime,
    nodes: Vec<Watched>,
    edges: Vec<BuiltEdge>,
    samples: Mutex<Samples>,
}

/// A node as far as an observation needs it.
struct Watched {
    name: String,
    kind: String,
    role: Role,
    on_disk: bool,
    stats: Vec<Stats>,
    /// The stream of each input.
    inputs: Vec<String>,
    /// The nodes that read from outside in front of it, through streams with event time; itself, when it is one.
    sources: Vec<usize>,
    source: Option<WatchedSource>,
}

struct WatchedSource {
    factory: Arc<dyn SourceFactory>,
    max_delay_micros: i64,
}

/// What rates are over: `base` is at least [`INTERVAL`] old as soon as anything is.
struct Samples {
    base: Arc<Sample>,
    newest: Arc<Sample>,
}

impl Observer {
    /// Of these tasks, which start now.
    pub fn new(topology: &Topology, built: &Built, clock: Arc<dyn Clock>) -> Observer {
        let started = clock.now();
        let mut nodes: Vec<Watched> = Vec::new();
        for (index, node) in topology.nodes.iter().enumerate() {
            let stats = built.tasks.iter().filter(|task| task.node == index).map(|task| task.stats.clone()).collect();
            let sources = sources(topology, index, &nodes);
            nodes.push(Watched { stats, sources, ..Watched::new(topology, node) });
        }
        let edges = built.edges.clone();
        // A run that goes on from a checkpoint has the counts of the runs before it: they are not of the first interval.
        let start = Arc::new(Sample {
            at: started,
            nodes: nodes.iter().map(|node| node.stats.iter().map(|stats| Sums::of(&stats.get(), started)).collect()).collect(),
            edges: edges.iter().map(|edge| edge.held.iter().map(|held| held.until(started)).collect()).collect(),
        });
        let samples = Mutex::new(Samples { base: start.clone(), newest: start });
        Observer { topology: topology.name.clone(), clock, started, nodes, edges, samples }
    }

    /// The run now.
    pub fn observe(&self) -> Observation {
        let now = self.clock.now();
        let counters: Vec<Vec<Counters>> = self.nodes.iter().map(|node| node.stats.iter().map(Stats::get).collect()).collect();
        let sample = Arc::new(Sample {
            at: now,
            nodes: counters.iter().map(|node| node.iter().map(|c| Sums::of(c, now)).collect()).collect(),
            edges: self.edges.iter().map(|edge| edge.held.iter().map(|held| held.until(now)).collect()).collect(),
        });
        let base = self.base(&sample);
        let splits: Vec<Vec<SplitState>> = self.nodes.iter().map(|node| node.stats.iter().flat_map(Stats::splits).collect()).collect();
        let nodes = (0..self.nodes.len()).map(|node| self.node(node, &counters[node], &splits, &sample, &base)).collect();
        Observation {
            topology: self.topology.clone(),
            at_micros: now.0,
            running_micros: now.0.saturating_sub(self.started.0).unsigned_abs(),
            interval_micros: sample.since(&base),
            nodes,
            edges: (0..self.edges.len()).map(|edge| self.edge(edge, &sample, &base)).collect(),
        }
    }

    /// What rates are over. Notes the new sample when the last one is old enough.
    fn base(&self, sample: &Arc<Sample>) -> Arc<Sample> {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        if u128::from(sample.since(&samples.newest)) >= INTERVAL.as_micros() {
            samples.base = std::mem::replace(&mut samples.newest, sample.clone());
        }
        samples.base.clone()
    }

    fn node(&self, index: usize, counters: &[Counters], splits: &[Vec<SplitState>], sample: &Sample, base: &Sample) -> NodeObservation {
        let node = &self.nodes[index];
        let recent = sample.subtasks(base, index);
        let sum = |part: fn(&Counters) -> u64| counters.iter().map(part).sum();
        let watermark = counters.iter().map(|c| c.watermark).min().unwrap_or(EventTime::MIN);
        let mut fates = Default::default();
        counters.iter().for_each(|c| millstream_api::operator::Fates::add(&mut fates, &c.fates));
        let subtask = |(c, recent): (&Counters, &super::Recent)| SubtaskObservation {
            rows_in: c.rows_in,
            rows_out: c.rows_out,
            state_bytes: c.state_bytes as u64,
            watermark: Moment(c.watermark),
            busy_percent: recent.busy_percent,
            held_percent: recent.held_percent,
        };
        let over = counters.iter().all(|c| c.times.activity() == Activity::Over);
        NodeObservation {
            node: node.name.clone(),
            kind: node.kind.clone(),
            role: node.role.name().to_owned(),
            over,
            rows_in: sum(|c| c.rows_in),
            rows_out: sum(|c| c.rows_out),
            batches_in: sum(|c| c.batches_in),
            batches_out: sum(|c| c.batches_out),
            bytes_in: sum(|c| c.bytes_in),
            fates: fates.into(),
            state_bytes: sum(|c| c.state_bytes as u64),
            disk: node.on_disk.then(|| DiskObservation {
                keys: sum(|c| c.disk.keys),
                bytes: sum(|c| c.disk.bytes),
                lookups: sum(|c| c.disk.lookups),
                evictions: sum(|c| c.disk.evictions),
            }),
            watermark: Moment(watermark),
            // A source that has ended sends no watermark any more: it is behind nothing.
            lag_micros: self.lag(node, watermark, splits).filter(|_| !(over && node.role == Role::Source)),
            waits_for: counters.iter().filter_map(|c| c.waits_for).min().map(Moment),
            ahead_of: counters.iter().find_map(|c| c.ahead_of).and_then(|of| self.nodes.get(of)).map(|of| of.name.clone()),
            requests: RequestsObservation::of(node.stats.iter().filter_map(Stats::requests)),
            inputs: node.inputs.iter().enumerate().map(|(input, stream)| self.input(index, input, stream)).collect(),
            splits: splits[index].iter().map(|split| node.split(split)).collect(),
            progress: node.progress(&splits[index]),
            recent: together(&recent),
            subtasks: counters.iter().zip(&recent).map(subtask).collect(),
        }
    }

    /// How far a watermark is behind the greatest event time in front of the node.
    fn lag(&self, node: &Watched, watermark: EventTime, splits: &[Vec<SplitState>]) -> Option<u64> {
        let greatest = node.sources.iter().flat_map(|&source| &splits[source]).map(|split| split.greatest).max()?;
        match watermark {
            EventTime::MAX => Some(0),
            EventTime::MIN => None,
            // As unsigned numbers their difference always fits.
            watermark => Some(greatest.0.max(watermark.0).abs_diff(watermark.0)),
        }
    }

    fn input(&self, reader: usize, input: usize, stream: &str) -> InputObservation {
        let edge = self.edges.iter().filter(|edge| (edge.reader, edge.input) == (reader, input));
        let seen: Vec<_> = edge.flat_map(|edge| &edge.channels).map(|channel| channel.seen()).collect();
        let all = |standing| seen.iter().all(|seen| seen.standing == standing);
        let ended = all(Standing::Over);
        let idle = !ended && !seen.iter().any(|seen| seen.standing == Standing::Active);
        let counts = seen.iter().filter(|seen| seen.standing == Standing::Active || (idle && seen.standing == Standing::Idle));
        let watermark = match ended {
            true => EventTime::MAX,
            false => counts.map(|seen| seen.watermark).min().unwrap_or(EventTime::MIN),
        };
        InputObservation { stream: stream.to_owned(), watermark: Moment(watermark), idle, ended }
    }

    fn edge(&self, index: usize, sample: &Sample, base: &Sample) -> EdgeObservation {
        let edge = &self.edges[index];
        let held = &sample.edges[index];
        let sum = |part: fn(&Channel) -> usize| edge.channels.iter().map(|channel| part(channel)).sum::<usize>() as u64;
        let bound = edge.channels.first().map(|channel| channel.edge());
        EdgeObservation {
            stream: self.nodes[edge.reader].inputs[edge.input].clone(),
            from: self.nodes[edge.writer].name.clone(),
            to: self.nodes[edge.reader].name.clone(),
            batches: sum(|channel| channel.fill().in_flight),
            batches_limit: sum(Channel::mailbox),
            bytes: bound.map_or(0, |bound| bound.used() as u64),
            bytes_limit: bound.map_or(0, |bound| bound.limit() as u64),
            holds: held.iter().map(|held| held.times).sum(),
            held_micros: held.iter().map(|held| held.micros).sum(),
            holds_now: held.iter().any(|held| held.now),
            held_percent: sample.held_percent(base, index),
        }
    }
}

impl Watched {
    fn new(topology: &Topology, node: &Node) -> Watched {
        let source = match (&node.plan.make, &node.source) {
            (Make::Source(factory), Some(settings)) => {
                Some(WatchedSource { factory: factory.clone(), max_delay_micros: settings.max_delay.micros() })
            }
            _ => None,
        };
        Watched {
            name: node.name.clone(),
            kind: node.kind.clone(),
            role: node.role,
            on_disk: node.on_disk,
            stats: Vec::new(),
            inputs: node.inputs.iter().map(|input| topology.nodes[input.node].outputs[input.port].name.clone()).collect(),
            sources: Vec::new(),
            source,
        }
    }

    fn split(&self, split: &SplitState) -> SplitObservation {
        let max_delay = self.source.as_ref().map_or(0, |source| source.max_delay_micros);
        SplitObservation {
            split: split.split.clone(),
            position: split.position.as_ref().map(|Position(text)| text.clone()),
            greatest: Moment(split.greatest),
            watermark: Moment(if split.ended { EventTime::MAX } else { split.greatest.minus(max_delay) }),
            idle: split.idle,
            ended: split.ended,
        }
    }

    fn progress(&self, splits: &[SplitState]) -> Option<Progress> {
        let factory = &self.source.as_ref()?.factory;
        let total = factory.size_hint()?;
        let read = |(index, split): (usize, &SplitState)| {
            let position = split.position.as_ref();
            position.map_or(Some(0), |position| factory.progress(u32::try_from(index).unwrap_or(u32::MAX), position))
        };
        let done: u64 = splits.iter().enumerate().map(read).sum::<Option<u64>>()?;
        // Splits that grow while they are read may be longer than they were.
        Some(Progress { done: done.min(total), total })
    }
}

/// The sources in front of a node, of which those it reads are known.
fn sources(topology: &Topology, index: usize, known: &[Watched]) -> Vec<usize> {
    let node = &topology.nodes[index];
    if node.inputs.is_empty() {
        return vec![index];
    }
    let timely = node.inputs.iter().filter(|input| topology.nodes[input.node].outputs[input.port].stream.event_time);
    let mut sources: Vec<usize> = timely.flat_map(|input| known[input.node].sources.iter().copied()).collect();
    sources.sort_unstable();
    sources.dedup();
    sources
}

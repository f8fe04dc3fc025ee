//! The sender's side of a subtask: which rows go to whom.
//!
//! A subtask takes nothing new in before everything that is ready here has been sent: so what waits here is at most what one
//! call of the operator has said (which stops at [`Output::is_full`](millstream_api::Output::is_full)), and what lingers.

use arrow::array::{ArrayRef, UInt32Array};
use millstream_api::key_group::{key_groups, owner};
use millstream_api::message::Item;
use millstream_api::plan::{KeyValues, OutputPlan};
use millstream_api::time::ClockTime;
use millstream_api::{Batch, Result};

use crate::combining::Combining;
use crate::lane::Lane;
use crate::meter::Held;
use crate::tap::TapPoint;

/// How the rows of an edge are spread over its lanes.
pub enum Spread {
    /// Batch by batch, each to the lane on which least is under way, in turn among equals: after this one. So a subtask that shares
    /// its thread with others, or is slow, gets fewer.
    Any(usize),
    /// Each row to the lane that owns its key group.
    ByKey {
        /// Computes the key.
        values: KeyValues,
        /// `runtime.key_groups`.
        key_groups: u16,
    },
    /// Everything to all.
    ToAll,
}

/// One edge of the graph, seen from one sending subtask.
pub struct OutEdge {
    /// How rows are spread.
    pub spread: Spread,
    /// One for each receiving subtask that this one sends to.
    pub lanes: Vec<Lane>,
    /// What puts rows together before they are spread.
    pub combining: Option<Combining>,
    /// How long it has held up this subtask.
    pub held: Held,
}

/// A port with its readers.
#[derive(Default)]
pub struct Port {
    /// The edges from it; none when nobody reads it.
    pub edges: Vec<OutEdge>,
    /// Whether the stream has watermarks.
    pub event_time: bool,
    /// Where its rows can be looked at.
    pub tap: TapPoint,
}

/// All that a subtask writes to.
#[derive(Default)]
pub struct Outbox {
    ports: Vec<Port>,
}

impl Outbox {
    /// With these ports, in the order of the node's plan.
    pub fn new(ports: Vec<Port>) -> Self {
        Outbox { ports }
    }

    /// Whether anybody reads a port.
    pub fn is_read(&self, port: usize) -> bool {
        self.ports.get(port).is_some_and(|port| !port.edges.is_empty())
    }

    /// Takes rows for a port.
    ///
    /// # Errors
    /// Only internal ones, such as a port that the plan does not have.
    pub fn push(&mut self, port: usize, batch: Batch, since: ClockTime) -> Result<()> {
        let ports = self.ports.len();
        let Some(port) = self.ports.get_mut(port) else {
            return Err(millstream_api::Error::internal(format!("rows for port {port} of a node with {ports}")));
        };
        port.tap.show(&batch);
        port.edges.iter_mut().try_for_each(|edge| edge.push(batch.clone(), since))
    }

    /// Takes anything but rows, for all ports. Streams without event time have no watermarks and no idleness.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn control(&mut self, item: &Item, since: ClockTime) -> Result<()> {
        let timely = matches!(item, Item::Watermark(_) | Item::Idle(_));
        let ports = self.ports.iter_mut().filter(|port| port.event_time || !timely);
        ports.flat_map(|port| &mut port.edges).try_for_each(|edge| edge.control(item, since))
    }

    /// Takes a watermark for one port.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn control_port(&mut self, port: usize, item: &Item, since: ClockTime) -> Result<()> {
        let edges = self.ports.get_mut(port).map(|port| &mut port.edges).into_iter().flatten();
        edges.into_iter().try_for_each(|edge| edge.control(item, since))
    }

    /// Sends what is ready. Whether all of it could be sent.
    ///
    /// # Errors
    /// When what is sent breaks the grammar.
    pub fn flush(&mut self, now: ClockTime) -> Result<bool> {
        let mut all = true;
        for edge in self.ports.iter_mut().flat_map(|port| &mut port.edges) {
            all &= edge.flush(now)?;
        }
        Ok(all)
    }

    /// When the next buffered rows have lingered long enough.
    pub fn deadline(&self) -> Option<ClockTime> {
        self.ports.iter().flat_map(|port| &port.edges).filter_map(OutEdge::deadline).min()
    }
}

impl OutEdge {
    fn flush(&mut self, now: ClockTime) -> Result<bool> {
        if self.combining.as_ref().and_then(Combining::deadline).is_some_and(|deadline| now >= deadline) {
            self.send_combined()?;
        }
        let mut all = true;
        for lane in &mut self.lanes {
            all &= lane.flush(now)?;
        }
        self.held.note(all, now);
        Ok(all)
    }

    fn deadline(&self) -> Option<ClockTime> {
        let lanes = self.lanes.iter().filter_map(Lane::deadline);
        lanes.chain(self.combining.as_ref().and_then(Combining::deadline)).min()
    }

    fn control(&mut self, item: &Item, since: ClockTime) -> Result<()> {
        if self.combining.as_ref().is_some_and(|combining| combining.is_due(item)) {
            self.send_combined()?;
        }
        if let Some(combining) = &mut self.combining {
            combining.note(item);
        }
        self.lanes.iter_mut().try_for_each(|lane| lane.control(item.clone(), since))
    }

    fn push(&mut self, batch: Batch, since: ClockTime) -> Result<()> {
        let Some(combining) = &mut self.combining else { return self.spread(batch, since) };
        let rest = combining.add(batch, since)?;
        if combining.is_full() {
            self.send_combined()?;
        }
        match rest {
            Some(rest) if rest.rows() > 0 => self.spread(rest, since),
            _ => Ok(()),
        }
    }

    fn spread(&mut self, batch: Batch, since: ClockTime) -> Result<()> {
        match &mut self.spread {
            Spread::ToAll => self.lanes.iter_mut().try_for_each(|lane| lane.push(batch.clone(), since)),
            Spread::Any(turn) => {
                *turn = freest(&self.lanes, *turn);
                self.lanes.get_mut(*turn).map_or(Ok(()), |lane| lane.push(batch, since))
            }
            Spread::ByKey { .. } if self.lanes.len() == 1 => self.lanes[0].push(batch, since),
            Spread::ByKey { values, key_groups } => {
                let (keys, groups) = (values(batch.records())?, *key_groups);
                self.divide(&batch, &keys, groups, since)
            }
        }
    }

    /// Sends what the combiner holds.
    fn send_combined(&mut self) -> Result<()> {
        let Some(combining) = &mut self.combining else { return Ok(()) };
        let Some((partial, since)) = combining.take()? else { return Ok(()) };
        match self.spread {
            Spread::ByKey { key_groups, .. } if self.lanes.len() > 1 => {
                let keys = combining.keys(&partial);
                self.divide(&partial, &keys, key_groups, since)
            }
            _ => self.spread(partial, since),
        }
    }

    /// Gives each row to the lane that owns its key.
    fn divide(&mut self, batch: &Batch, keys: &[ArrayRef], key_groups: u16, since: ClockTime) -> Result<()> {
        let parts = partition(batch, keys, key_groups, self.lanes.len())?;
        self.lanes.iter_mut().zip(parts).filter(|(_, part)| part.rows() > 0).try_for_each(|(lane, part)| lane.push(part, since))
    }
}

/// Which ports are a node's own streams, by its plan.
pub fn counted_ports(outputs: &[OutputPlan]) -> Vec<bool> {
    outputs.iter().map(|output| !matches!(output.side.as_deref(), Some("late" | "rejected"))).collect()
}

/// The lane on which least is under way; of several the first after `last`.
fn freest(lanes: &[Lane], last: usize) -> usize {
    let in_turn = (1..=lanes.len()).map(|step| (last + step) % lanes.len());
    in_turn.min_by_key(|&lane| lanes[lane].batches_under_way()).unwrap_or_default()
}

/// The rows of each subtask, in the order they came.
fn partition(batch: &Batch, keys: &[ArrayRef], groups: u16, subtasks: usize) -> Result<Vec<Batch>> {
    let mut rows: Vec<Vec<u32>> = vec![Vec::with_capacity(batch.rows() / subtasks * 5 / 4); subtasks];
    let owners: Vec<usize> = (0..groups).map(|group| owner(group, subtasks, groups)).collect();
    for (row, group) in key_groups(keys, batch.rows(), groups)?.into_iter().enumerate() {
        rows[owners[usize::from(group)]].push(row as u32);
    }
    rows.into_iter()
        .map(|indices| match indices.len() {
            0 => Ok(batch.slice(0, 0)),
            n if n == batch.rows() => Ok(batch.clone()),
            _ => batch.take(&UInt32Array::from(indices)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::channel::{Channel, EdgeBytes};
    use crate::lane::Batching;
    use crate::wake::WakeSlot;

    #[test]
    fn rows_for_anybody_go_to_whoever_has_least_to_do() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let column = Arc::new(Int64Array::from(vec![1; 4]));
        let batch = Batch::plain(RecordBatch::try_new(schema.clone(), vec![column]).unwrap());
        let bytes = EdgeBytes::new(1 << 20);
        let channel = || Channel::new(8, bytes.clone(), WakeSlot::default(), WakeSlot::default());
        let channels = [channel(), channel()];
        let batching = Batching { batch_rows: 4, linger: "0s".parse().unwrap() };
        let lanes = channels.iter().map(|channel| Lane::new(channel.clone(), schema.clone(), batching, None)).collect();
        let spread = Spread::Any(1);
        let mut edge = OutEdge { spread, lanes, combining: None, held: Held::default() };
        let sent = |edge: &mut OutEdge| {
            edge.push(batch.clone(), ClockTime(0)).unwrap();
            edge.flush(ClockTime(0)).unwrap();
            channels.each_ref().map(|channel| channel.fill().in_flight)
        };
        assert_eq!([sent(&mut edge), sent(&mut edge), sent(&mut edge)], [[1, 0], [1, 1], [2, 1]], "in turn among equals");
        assert_eq!(sent(&mut edge), [2, 2]);
        for _ in 0..2 {
            channels[1].receive().unwrap();
            channels[1].processed();
        }
        assert_eq!([sent(&mut edge), sent(&mut edge)], [[2, 1], [2, 2]], "the second one was faster");
    }
}

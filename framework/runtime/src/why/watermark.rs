//! What holds a watermark: from a node upstream to the splits of sources.

use millstream_api::EventTime;
use millstream_api::time::DurationText;
use millstream_topology::{SourceSettings, Topology};

use super::Holder;
use crate::observe::{Moment, NodeObservation, Observation, SplitObservation};

/// Looks for what holds the watermark of a node, which would send something if it reached `target`.
pub(super) struct Search<'a> {
    pub topology: &'a Topology,
    pub observation: &'a Observation,
    pub target: Option<EventTime>,
    pub found: Vec<Holder>,
    /// Nodes that have been looked at: a diamond is walked once.
    pub seen: Vec<bool>,
}

impl Search<'_> {
    /// Walks upstream from a node. `behind` is how far the nodes passed so far hold their own watermarks back.
    pub fn walk(&mut self, index: usize, behind: i64) {
        if std::mem::replace(&mut self.seen[index], true) {
            return;
        }
        let node = &self.topology.nodes[index];
        let observed = &self.observation.nodes[index];
        if let Some(source) = &node.source {
            return self.splits(source, observed, behind);
        }
        let open = |idle: bool| observed.inputs.iter().enumerate().filter(move |(_, input)| !input.ended && input.idle == idle);
        // When all are idle, each of them could go on.
        let counts: Vec<_> = if open(false).next().is_some() { open(false).collect() } else { open(true).collect() };
        let Some(least) = counts.iter().map(|(_, input)| input.watermark).min() else {
            let says = vec!["all its inputs have ended".to_owned()];
            return self.found.push(Holder { node: observed.node.clone(), says, ..Holder::default() });
        };
        for (input, seen) in counts.into_iter().filter(|(_, input)| input.watermark == least || input.idle) {
            let from = node.inputs[input].node;
            if let Some(back) = self.held_back(from, &seen.stream, &observed.node, least) {
                self.walk(from, behind.saturating_add(back));
            }
        }
    }

    /// How far a node's stream is behind its own watermark; `None` when the watermark is only still on its way.
    fn held_back(&mut self, from: usize, stream: &str, to: &str, sent: Moment) -> Option<i64> {
        let writer = &self.observation.nodes[from];
        let (own, sent) = (writer.watermark.0, sent.0);
        if own <= sent || own == EventTime::MAX {
            return Some(0);
        }
        let edge = self.observation.edges.iter().find(|edge| edge.stream == stream && edge.to == to);
        if let Some(edge) = edge.filter(|edge| edge.batches > 0) {
            let says = vec![format!("its watermark {own} comes behind rows that {to} has not dealt with yet ({} batches)", edge.batches)];
            self.found.push(Holder { node: writer.node.clone(), watermark: Some(writer.watermark), says, ..Holder::default() });
            return None;
        }
        if sent == EventTime::MIN || self.topology.nodes[from].source.is_some() {
            return Some(0);
        }
        let back = own.0.saturating_sub(sent.0);
        let says = vec![format!("it stays {} behind its own watermark {own}, as far as its rows need it", duration(back))];
        self.found.push(Holder { node: writer.node.clone(), watermark: Some(Moment(sent)), says, ..Holder::default() });
        Some(back)
    }

    fn splits(&mut self, source: &SourceSettings, observed: &NodeObservation, behind: i64) {
        let open = |idle: bool| observed.splits.iter().filter(move |split| !split.ended && split.idle == idle);
        let counts: Vec<&SplitObservation> = if open(false).next().is_some() { open(false).collect() } else { open(true).collect() };
        let Some(least) = counts.iter().map(|split| split.watermark).min() else {
            let says = vec!["it is read to its end: the last watermark is on its way".to_owned()];
            return self.found.push(Holder { node: observed.node.clone(), says, ..Holder::default() });
        };
        let holding: Vec<&SplitObservation> = counts.into_iter().filter(|split| split.watermark == least || split.idle).collect();
        for split in holding.iter().take(MOST_SPLITS) {
            let holder = self.split(source, observed, split, behind);
            self.found.push(holder);
        }
        if let Some(more) = holding.len().checked_sub(MOST_SPLITS).filter(|more| *more > 0)
            && let Some(last) = self.found.last_mut()
        {
            last.says.push(format!("and so do {more} more splits"));
        }
    }

    fn split(&self, source: &SourceSettings, node: &NodeObservation, split: &SplitObservation, behind: i64) -> Holder {
        let mut says = Vec::new();
        match split.greatest.0 {
            EventTime::MIN => says.push("no row with an event time has been read".to_owned()),
            greatest => {
                let less =
                    if source.max_delay.micros() == 0 { String::new() } else { format!(", less max_delay = \"{}\"", source.max_delay) };
                says.push(format!("greatest event time {greatest}{less}: watermark {}", split.watermark.0));
            }
        }
        let unblocked_at = self.target.map(|target| later(later(target, source.max_delay.micros()), behind));
        match unblocked_at {
            Some(at) if at != EventTime::MAX && split.greatest.0 >= at => {
                says.push(format!("it has passed {at}, which is enough: the watermark is on its way"));
            }
            Some(at) if at != EventTime::MAX => says.push(format!("a row at {at} or later is enough, or the end of the split")),
            _ => says.push("a later row raises it, or the end of the split".to_owned()),
        }
        says.push(match source.idle_after {
            Some(after) if split.idle => {
                format!("it is idle (idle_after = \"{after}\"), and so is all that comes to the node: the watermark stands")
            }
            Some(after) => format!("idle_after = \"{after}\": after that long without input it no longer holds the watermark"),
            None if split.idle => "it is idle, and so is all that comes to the node: the watermark stands".to_owned(),
            None => "no idle_after: it holds the watermark for as long as it is silent".to_owned(),
        });
        Holder {
            node: node.node.clone(),
            split: Some(split.split.clone()),
            greatest: Some(split.greatest),
            watermark: Some(split.watermark),
            max_delay: Some(source.max_delay.to_string()),
            idle_after: source.idle_after.map(|after| after.to_string()),
            unblocked_at: unblocked_at.map(Moment),
            says,
        }
    }
}

/// So many splits with the same watermark are named.
const MOST_SPLITS: usize = 5;

fn later(time: EventTime, micros: i64) -> EventTime {
    EventTime(time.0.saturating_add(micros))
}

fn duration(micros: i64) -> String {
    DurationText::from_micros(micros).unwrap_or_default().to_string()
}

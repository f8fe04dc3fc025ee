//! The receiver's side of a subtask: many channels in, one sequence of events out.
//!
//! Merges watermarks by minimum, leaves out idle senders, aligns barriers, and knows when an input and the whole node have
//! ended. It never waits for one input while another has something, except for a barrier: then a channel whose barrier has
//! come is not drained until it has come on all the others that still run. What waits there is bounded by the credits.
//!
//! An input may be read to its end before any other is looked at: a table for a lookup. Until it is read only a stop sends a
//! barrier, and that checkpoint cannot be: what is behind it in the table is not in the state, and rows of the others need it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, Int64Array};
use millstream_api::batch::Hidden;
use millstream_api::message::{CheckpointId, Idleness, Item};
use millstream_api::time::ClockTime;
use millstream_api::{Batch, EventTime, Result};

use crate::channel::{Channel, Seen, Sent, Standing};
use crate::schedule::MergeOrder;

/// What a subtask has to deal with next.
#[derive(Debug)]
pub enum Event {
    /// Rows of an input. The credit goes back with [`Inbox::processed`].
    Batch {
        /// Which input of the node.
        input: usize,
        /// The rows.
        batch: Batch,
        /// Which channel, for [`Inbox::processed`].
        channel: usize,
    },
    /// The node's watermark has risen.
    Watermark(EventTime),
    /// The barrier has come on all channels that still run.
    Barrier(CheckpointId),
    /// Whether all senders that still run are idle, or how often sources have woken, is not as it was.
    Idle(Idleness),
    /// All channels of this input have ended. Comes before the last watermark.
    InputEnd(usize),
    /// All inputs have ended. The watermark `MAX` has come before.
    End,
    /// No more comes in this run, but not all inputs have ended.
    Halt,
}

struct Incoming {
    channel: Arc<Channel>,
    input: usize,
    watermark: EventTime,
    /// What the sender says.
    idleness: Idleness,
    last: Option<Last>,
    barrier: Option<CheckpointId>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    End,
    Halt,
}

impl Incoming {
    /// Whether its watermark does not count. `wakings` is what is known from all channels.
    fn is_idle(&self, wakings: &BTreeMap<u32, u32>) -> bool {
        self.idleness.is_idle && self.idleness.knows_of(wakings)
    }

    /// Tells whoever looks at the run.
    fn note(&self, wakings: &BTreeMap<u32, u32>) {
        let standing = match (self.last, self.is_idle(wakings)) {
            (Some(_), _) => Standing::Over,
            (None, true) => Standing::Idle,
            (None, false) => Standing::Active,
        };
        self.channel.note_seen(Seen { watermark: self.watermark, standing });
    }
}

/// The channels into one subtask.
pub struct Inbox {
    channels: Vec<Incoming>,
    order: MergeOrder,
    turn: usize,
    /// The input that is read before any other is looked at, as long as it runs.
    first: Option<usize>,
    /// Whether a barrier or a stop came in that input before its end.
    cut_off: bool,
    watermark: EventTime,
    /// What has been passed on: whether all are idle, and all that is known of wakings.
    idleness: Idleness,
    finished: bool,
    since: ClockTime,
    /// Events that one item has brought, first to be dealt with last.
    pending: Vec<Event>,
}

impl Inbox {
    /// Channels with the number of the input that each belongs to, and the watermark to start from, which is the first event if there is one:
    /// its node has to pass it on, since all edges are new.
    pub fn new(channels: Vec<(usize, Arc<Channel>)>, order: MergeOrder, watermark: EventTime) -> Self {
        let incoming = |(input, channel)| Incoming {
            channel,
            input,
            watermark: EventTime::MIN,
            idleness: Idleness::default(),
            last: None,
            barrier: None,
        };
        Inbox {
            channels: channels.into_iter().map(incoming).collect(),
            order,
            turn: 0,
            first: None,
            cut_off: false,
            watermark,
            idleness: Idleness::default(),
            finished: false,
            since: ClockTime(0),
            pending: Vec::from_iter((watermark > EventTime::MIN).then_some(Event::Watermark(watermark))),
        }
    }

    /// The same, with an input that is read to its end before any other is looked at.
    #[must_use]
    pub fn reading_first(self, input: Option<usize>) -> Self {
        Inbox { first: input, ..self }
    }

    /// Whether the input that is read first was stopped before its end, so that what follows cannot be dealt with in this run, and
    /// there can be no checkpoint.
    pub fn was_cut_off(&self) -> bool {
        self.cut_off
    }

    /// The node's watermark.
    pub fn watermark(&self) -> EventTime {
        self.watermark
    }

    /// Since when the oldest row behind the last event has been under way.
    pub fn since(&self) -> ClockTime {
        self.since
    }

    /// The next event, or `None` when there is nothing to do before somebody sends.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn next_event(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.pending.pop() {
                return Ok(Some(event));
            }
            let Some((index, sent)) = self.take() else { return Ok(None) };
            self.since = sent.since;
            self.apply(index, sent.item)?;
        }
    }

    /// The batch of this channel has been processed: its credit goes back.
    pub fn processed(&self, channel: usize) {
        self.channels[channel].channel.processed();
    }

    /// Whether an item waits that may be taken.
    pub fn has_items(&self) -> bool {
        self.channels.iter().any(|c| c.barrier.is_none() && self.has_turn(c) && c.channel.has_items())
    }

    /// Whether a channel may be drained: none but those of the input that is read first, as long as it runs.
    fn has_turn(&self, channel: &Incoming) -> bool {
        self.first.is_none_or(|first| channel.input == first)
    }

    fn take(&mut self) -> Option<(usize, Sent)> {
        let n = self.channels.len();
        if n == 0 {
            return None;
        }
        let first = self.order.pick(self.turn, n);
        for step in 0..n {
            let index = (first + step) % n;
            if self.channels[index].barrier.is_some() || !self.has_turn(&self.channels[index]) {
                continue;
            }
            if let Some(sent) = self.channels[index].channel.receive() {
                self.turn = index + 1;
                return Some((index, sent));
            }
        }
        None
    }

    fn apply(&mut self, index: usize, item: Item) -> Result<()> {
        let from = &mut self.channels[index];
        match item {
            Item::Batch(batch) => {
                let (input, watermark) = (from.input, from.watermark);
                let batch = marked(batch, watermark, self.watermark)?;
                self.pending.push(Event::Batch { input, batch, channel: index });
            }
            Item::Watermark(watermark) => {
                from.watermark = watermark;
                from.note(&self.idleness.wakings);
                self.raise_watermark();
            }
            Item::Idle(idleness) => {
                from.idleness = idleness;
                self.hear_idleness(index);
            }
            Item::Barrier(id) => {
                from.barrier = Some(id);
                self.align();
            }
            Item::End => self.ended(index, Last::End),
            Item::Halt => self.ended(index, Last::Halt),
        }
        Ok(())
    }

    fn ended(&mut self, index: usize, last: Last) {
        self.channels[index].last = Some(last);
        self.channels[index].note(&self.idleness.wakings);
        let input = self.channels[index].input;
        let input_ended = |c: &Incoming| c.input != input || c.last == Some(Last::End);
        let mut events = Vec::new();
        if last == Last::End && self.channels.iter().all(input_ended) {
            events.push(Event::InputEnd(input));
        }
        if self.channels.iter().all(|c| c.last.is_some()) {
            self.finished = true;
            if self.channels.iter().all(|c| c.last == Some(Last::End)) {
                self.watermark = EventTime::MAX;
                events.extend([Event::Watermark(EventTime::MAX), Event::End]);
            } else {
                events.push(Event::Halt);
            }
        }
        events.reverse();
        if self.first == Some(input) && self.channels.iter().all(|c| c.input != input || c.last.is_some()) {
            self.first = None;
            self.cut_off |= !self.channels.iter().all(input_ended);
        }
        if !self.finished {
            self.raise_watermark();
            let known = self.idleness.clone();
            self.notice_idle_since(&known);
            self.align();
        }
        self.pending.extend(events);
    }

    /// The smallest watermark of the senders that run and are not idle. With none of them it stands.
    fn raise_watermark(&mut self) {
        let wakings = &self.idleness.wakings;
        let held_by = self.channels.iter().filter(|c| !c.is_idle(wakings) && c.last != Some(Last::End)).map(|c| c.watermark).min();
        if let Some(lowest) = held_by
            && lowest > self.watermark
        {
            self.watermark = lowest;
            self.pending.push(Event::Watermark(lowest));
        }
    }

    /// A channel has said whether it is idle: that may be news for others too.
    fn hear_idleness(&mut self, index: usize) {
        let known = self.idleness.clone();
        self.idleness.hear(&self.channels[index].idleness.wakings);
        self.channels.iter().for_each(|channel| channel.note(&self.idleness.wakings));
        self.raise_watermark();
        self.notice_idle_since(&known);
    }

    /// Passes on whether all are idle, and what is known of wakings, where that is not as it was.
    fn notice_idle_since(&mut self, known: &Idleness) {
        let mut running = self.channels.iter().filter(|c| c.last.is_none()).peekable();
        self.idleness.is_idle = running.peek().is_some() && running.all(|c| c.is_idle(&self.idleness.wakings));
        if self.idleness != *known {
            // Dealt with after the watermark that this may have raised: pending is a stack. One that has risen because the first of all
            // idle senders woke counts for the readers only from here on.
            self.pending.insert(0, Event::Idle(self.idleness.clone()));
        }
    }

    fn align(&mut self) {
        let mut running = self.channels.iter().filter(|c| c.last.is_none() && self.has_turn(c)).peekable();
        let Some(id) = running.peek().and_then(|c| c.barrier) else { return };
        if running.all(|c| c.barrier.is_some()) {
            self.channels.iter_mut().for_each(|c| c.barrier = None);
            match self.first {
                Some(_) => self.cut_off = true,
                None => self.pending.insert(0, Event::Barrier(id)),
            }
        }
    }
}

/// Rows of a sender that was idle, or came later, may be behind a watermark that the node has passed on already: then that
/// one judges them, here and downstream.
fn marked(batch: Batch, sender: EventTime, node: EventTime) -> Result<Batch> {
    let Some(times) = batch.times() else { return Ok(batch) };
    if sender >= node || times.iter().all(|&t| EventTime(t) >= node) {
        return Ok(batch);
    }
    let mark = |row: usize, time: i64| {
        let own = batch.hidden().marks.as_ref().filter(|m| !m.is_empty()).map_or(i64::MIN, |m| m.value(row));
        if EventTime(time) < node { own.max(node.0) } else { own }
    };
    let marks: Int64Array = times.iter().enumerate().map(|(row, &time)| mark(row, time)).collect::<Vec<_>>().into();
    batch.with_hidden(Hidden { marks: Some(marks), ..batch.hidden().clone() })
}

#[cfg(test)]
mod tests;

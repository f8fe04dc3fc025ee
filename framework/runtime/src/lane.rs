//! The sender's side of one channel: joins small batches, cuts great ones, and waits for credit.
//!
//! A batch is sent when it is full or when its oldest row has been under way for `linger`, counted from where the row
//! entered the topology; so rows of a quiet stream linger once and not at each node, and a fast stream fills its batches.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use millstream_api::message::Item;
use millstream_api::time::{ClockTime, DurationText};
use millstream_api::{Batch, EventTime, Result};

use crate::channel::{Channel, Sent};
use crate::grammar::Checker;

/// How a lane makes batches.
#[derive(Clone, Copy, Debug)]
pub struct Batching {
    /// Rows of a full batch.
    pub batch_rows: usize,
    /// How long a row may wait for others.
    pub linger: DurationText,
}

impl Batching {
    /// How many rows of `whole` from `offset` on make a batch: a full one, or one row more, so that an update, which is a
    /// withdrawal directly followed by a row, is not cut in two.
    fn piece_rows(&self, whole: &Batch, offset: usize) -> usize {
        let length = self.batch_rows.min(whole.rows() - offset);
        let weight = |row: usize| whole.weights().and_then(|weights| weights.get(row)).copied();
        let (last, next) = (weight(offset + length - 1), weight(offset + length));
        if (last, next) == (Some(-1), Some(1)) { length + 1 } else { length }
    }
}

/// The way to one receiving subtask.
pub struct Lane {
    channel: Arc<Channel>,
    schema: SchemaRef,
    batching: Batching,
    checker: Option<Checker>,
    buffer: Vec<Batch>,
    buffered_rows: usize,
    /// When the oldest buffered row entered the topology.
    since: ClockTime,
    /// The watermark that came while rows were buffered: it is sent behind them.
    watermark: Option<EventTime>,
    ready: VecDeque<Sent>,
}

impl Lane {
    /// A lane into `channel`. `checker` looks at everything that is sent.
    pub fn new(channel: Arc<Channel>, schema: SchemaRef, batching: Batching, checker: Option<Checker>) -> Self {
        Lane {
            channel,
            schema,
            batching,
            checker,
            buffer: Vec::new(),
            buffered_rows: 0,
            since: ClockTime(0),
            watermark: None,
            ready: VecDeque::new(),
        }
    }

    /// Takes rows to be sent.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn push(&mut self, batch: Batch, since: ClockTime) -> Result<()> {
        // Partial results have other columns than rows.
        if self.buffer.first().is_some_and(|first| first.is_partial() != batch.is_partial()) {
            self.cut()?;
        }
        if self.buffer.is_empty() {
            self.since = since;
        }
        self.since = self.since.min(since);
        self.buffered_rows += batch.rows();
        self.buffer.push(batch);
        // A batch that is more than a quarter full on its own is not worth a copy.
        if self.buffered_rows >= self.batching.batch_rows || (self.buffer.len() == 1 && self.buffered_rows * 4 > self.batching.batch_rows) {
            self.cut()?;
        }
        Ok(())
    }

    /// Takes anything but rows; it stays behind the rows that came before it.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn control(&mut self, item: Item, since: ClockTime) -> Result<()> {
        if let Item::Watermark(watermark) = item
            && !self.buffer.is_empty()
        {
            self.watermark = Some(watermark);
            return Ok(());
        }
        self.cut()?;
        self.make_ready(item, since);
        Ok(())
    }

    /// Sends what is ready, as far as the credit goes; what has lingered long enough is ready.
    /// Whether nothing that is ready is left.
    ///
    /// # Errors
    /// When what is sent breaks the grammar.
    pub fn flush(&mut self, now: ClockTime) -> Result<bool> {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.cut()?;
        }
        while let Some(Sent { item, since }) = self.ready.pop_front() {
            match item {
                Item::Batch(batch) => {
                    // Checked only when it is really sent, so that it is checked once.
                    let checked = self.checker.is_some().then(|| batch.clone());
                    if let Err(batch) = self.channel.send_batch(batch, since) {
                        self.ready.push_front(Sent { item: Item::Batch(batch), since });
                        return Ok(false);
                    }
                    self.check(checked.map(Item::Batch))?;
                }
                control => {
                    self.check(Some(control.clone()))?;
                    self.channel.send_control(control, since);
                }
            }
        }
        Ok(true)
    }

    /// When the buffered rows have lingered long enough; `None` when there are none.
    pub fn deadline(&self) -> Option<ClockTime> {
        (!self.buffer.is_empty()).then(|| self.since.plus(self.batching.linger.duration()))
    }

    /// Batches that are ready or sent, and not yet processed by the receiver.
    pub fn batches_under_way(&self) -> usize {
        let ready = self.ready.iter().filter(|sent| matches!(sent.item, Item::Batch(_))).count();
        ready + self.channel.fill().in_flight
    }

    /// Rows that are neither sent nor dropped.
    pub fn waiting_rows(&self) -> usize {
        let ready = self.ready.iter().map(|sent| if let Item::Batch(batch) = &sent.item { batch.rows() } else { 0 });
        self.buffered_rows + ready.sum::<usize>()
    }

    fn check(&mut self, item: Option<Item>) -> Result<()> {
        match (&mut self.checker, item) {
            (Some(checker), Some(item)) => checker.check(&item),
            _ => Ok(()),
        }
    }

    /// Makes all buffered rows ready, in batches of about `batch_rows`, and the watermark that came with them.
    fn cut(&mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            let buffer = std::mem::take(&mut self.buffer);
            let schema = if buffer[0].is_partial() { buffer[0].schema() } else { self.schema.clone() };
            let whole = Batch::concat(&schema, &buffer)?;
            self.buffered_rows = 0;
            let mut offset = 0;
            while offset < whole.rows() {
                let length = self.batching.piece_rows(&whole, offset);
                let piece = if length == whole.rows() { whole.clone() } else { whole.slice(offset, length) };
                self.make_ready(Item::Batch(piece), self.since);
                offset += length;
            }
        }
        if let Some(watermark) = self.watermark.take() {
            self.make_ready(Item::Watermark(watermark), self.since);
        }
        Ok(())
    }

    fn make_ready(&mut self, item: Item, since: ClockTime) {
        let replaces = matches!((&item, self.ready.back().map(|s| &s.item)), (Item::Watermark(_), Some(Item::Watermark(_))));
        if replaces {
            self.ready.pop_back();
        }
        self.ready.push_back(Sent { item, since });
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int8Array, Int64Array, RecordBatch};
    use millstream_api::batch::Hidden;

    use super::*;

    /// The lengths into which a batch with these weights is cut.
    fn cut(weights: Option<&[i8]>, rows: usize, batch_rows: usize) -> Vec<usize> {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
        let batch = Batch::plain(RecordBatch::try_from_iter([("n", column)]).unwrap());
        let weights = weights.map(|weights| Int8Array::from(weights.to_vec()));
        let batch = batch.with_hidden(Hidden { weights, ..Hidden::default() }).unwrap();
        let batching = Batching { batch_rows, linger: DurationText::default() };
        let (mut offset, mut lengths) = (0, Vec::new());
        while offset < rows {
            lengths.push(batching.piece_rows(&batch, offset));
            offset += lengths[lengths.len() - 1];
        }
        lengths
    }

    #[test]
    fn a_batch_is_cut_when_full_but_not_within_an_update() {
        assert_eq!(cut(None, 5, 2), [2, 2, 1]);
        assert_eq!(cut(Some(&[1, 1, -1, 1, 1]), 5, 2), [2, 2, 1]);
        assert_eq!(cut(Some(&[1, -1, 1, -1, 1]), 5, 2), [3, 2]);
        assert_eq!(cut(Some(&[-1, -1, -1, 1, -1]), 5, 1), [1, 1, 2, 1]);
    }
}

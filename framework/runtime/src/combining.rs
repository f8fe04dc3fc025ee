//! A [`Combiner`] on one edge: when it takes rows in, and when what it holds goes out.
//!
//! It stands before the lanes, like their buffers: what it holds goes out when it is much, when its oldest row has lingered,
//! before a watermark at which a reader needs it, and before a barrier or an end. Where it puts few rows together it lets them
//! pass for a while. None of that shows in what the reader makes of them.

use arrow::array::ArrayRef;
use millstream_api::message::Item;
use millstream_api::time::ClockTime;
use millstream_api::{Batch, Combiner, EventTime, Result};

use crate::lane::Batching;

/// A combiner and what decides when it is used.
pub struct Combining {
    combiner: Box<dyn Combiner>,
    batching: Batching,
    /// A watermark that the readers had when the run began.
    floor: EventTime,
    /// The readers no longer wait for this sender, so that nobody here knows by which watermark they judge its rows.
    overtaken: bool,
    /// When the oldest row that is held entered the topology.
    since: Option<ClockTime>,
    /// Rows that came in since the last time something went out.
    rows_in: u64,
    /// So many batches pass before it is tried again.
    pass: usize,
}

/// Fewer rows than this for each partial result are not worth it.
const ROWS_PER_PARTIAL: u64 = 2;

/// So many batches pass after it was not worth it.
const BATCHES_TO_PASS: usize = 64;

/// It is judged by at least so many rows: a quiet stream says nothing of a busy one.
const ROWS_TO_JUDGE_BY: u64 = 1024;

impl Combining {
    /// Before the lanes of an edge whose readers start with the watermark `floor`.
    pub fn new(combiner: Box<dyn Combiner>, batching: Batching, floor: EventTime) -> Self {
        Combining { combiner, batching, floor, overtaken: false, since: None, rows_in: 0, pass: 0 }
    }

    /// Takes rows in; gives those that are to be sent as they are.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn add(&mut self, batch: Batch, since: ClockTime) -> Result<Option<Batch>> {
        if self.overtaken {
            return Ok(Some(batch));
        }
        if self.pass > 0 {
            self.pass -= 1;
            return Ok(Some(batch));
        }
        let rows = batch.rows();
        let rest = self.combiner.add(batch, self.floor)?;
        self.rows_in += (rows - rest.as_ref().map_or(0, Batch::rows)) as u64;
        self.since = Some(self.since.map_or(since, |oldest| oldest.min(since)));
        Ok(rest)
    }

    /// Whether it holds so much that it should go out.
    pub fn is_full(&self) -> bool {
        self.combiner.held() >= self.batching.batch_rows
    }

    /// Whether what it holds must go out before this item.
    pub fn is_due(&self, item: &Item) -> bool {
        match item {
            Item::Watermark(watermark) => self.combiner.due().is_some_and(|due| due <= *watermark),
            _ => true,
        }
    }

    /// Notes an item that the readers get.
    pub fn note(&mut self, item: &Item) {
        self.overtaken |= matches!(item, Item::Idle(idleness) if idleness.is_idle);
    }

    /// When the rows that it holds have lingered long enough; `None` when there are none.
    pub fn deadline(&self) -> Option<ClockTime> {
        self.since.map(|since| since.plus(self.batching.linger.duration()))
    }

    /// What it holds, and since when.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn take(&mut self) -> Result<Option<(Batch, ClockTime)>> {
        let (Some(since), partial) = (self.since.take(), self.combiner.take()?) else { return Ok(None) };
        let rows_in = std::mem::take(&mut self.rows_in);
        let partials = partial.as_ref().map_or(0, Batch::rows) as u64;
        if rows_in >= ROWS_TO_JUDGE_BY && rows_in < partials * ROWS_PER_PARTIAL {
            self.pass = BATCHES_TO_PASS;
        }
        Ok(partial.map(|partial| (partial, since)))
    }

    /// The key of partial results.
    pub fn keys(&self, partial: &Batch) -> Vec<ArrayRef> {
        self.combiner.keys(partial)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array, RecordBatch};
    use arrow::datatypes::Int64Type;
    use millstream_api::batch::Hidden;
    use millstream_api::message::Idleness;
    use millstream_api::time::DurationText;

    use super::*;

    /// Puts equal numbers together, but not zeros.
    #[derive(Default)]
    struct Equal(std::collections::BTreeMap<i64, i64>);

    fn numbers(values: Vec<i64>, counts: Option<Vec<i64>>) -> Batch {
        let column: ArrayRef = Arc::new(Int64Array::from(values));
        let records = RecordBatch::try_from_iter([("n", column)]).unwrap();
        Batch::new(records, Hidden { counts: counts.map(Int64Array::from), ..Hidden::default() }).unwrap()
    }

    impl Combiner for Equal {
        fn add(&mut self, batch: Batch, _: EventTime) -> Result<Option<Batch>> {
            let (zeros, others): (Vec<i64>, Vec<i64>) =
                batch.records().column(0).as_primitive::<Int64Type>().values().iter().partition(|&&n| n == 0);
            others.into_iter().for_each(|n| *self.0.entry(n).or_default() += 1);
            Ok((!zeros.is_empty()).then(|| numbers(zeros, None)))
        }

        fn due(&self) -> Option<EventTime> {
            self.0.keys().next().copied().map(EventTime)
        }

        fn held(&self) -> usize {
            self.0.len()
        }

        fn take(&mut self) -> Result<Option<Batch>> {
            let (values, counts): (Vec<i64>, Vec<i64>) = std::mem::take(&mut self.0).into_iter().unzip();
            Ok((!values.is_empty()).then(|| numbers(values, Some(counts))))
        }

        fn keys(&self, partial: &Batch) -> Vec<ArrayRef> {
            vec![partial.records().column(0).clone()]
        }
    }

    fn combining() -> Combining {
        let batching = Batching { batch_rows: 3, linger: "10ms".parse::<DurationText>().unwrap() };
        Combining::new(Box::<Equal>::default(), batching, EventTime::MIN)
    }

    #[test]
    fn what_is_held_goes_out_when_it_is_much_has_lingered_or_is_needed() {
        let mut combining = combining();
        assert_eq!(combining.add(numbers(vec![5, 5, 9, 0], None), ClockTime(7)).unwrap().unwrap().rows(), 1);
        combining.add(numbers(vec![9], None), ClockTime(3)).unwrap();
        assert_eq!((combining.is_full(), combining.deadline()), (false, Some(ClockTime(10_003))));
        let due = [4, 5].map(|watermark| combining.is_due(&Item::Watermark(EventTime(watermark))));
        assert_eq!((due, combining.is_due(&Item::Barrier(1))), ([false, true], true));
        combining.add(numbers(vec![1], None), ClockTime(8)).unwrap();
        assert!(combining.is_full());
        let (partial, since) = combining.take().unwrap().unwrap();
        assert_eq!((partial.rows(), partial.represented_rows(), since), (3, 5, ClockTime(3)));
        assert!(combining.take().unwrap().is_none() && combining.deadline().is_none());
    }

    #[test]
    fn rows_pass_while_there_is_little_to_put_together() {
        let mut combining = combining();
        combining.add(numbers((1..=ROWS_TO_JUDGE_BY as i64).collect(), None), ClockTime(0)).unwrap();
        combining.take().unwrap();
        for _ in 0..BATCHES_TO_PASS {
            assert_eq!(combining.add(numbers(vec![4, 4], None), ClockTime(0)).unwrap().unwrap().rows(), 2);
        }
        assert!(combining.add(numbers(vec![4, 4], None), ClockTime(0)).unwrap().is_none());
    }

    #[test]
    fn rows_pass_once_the_readers_do_not_wait_for_the_sender() {
        let mut combining = combining();
        combining.note(&Item::Watermark(EventTime(5)));
        assert!(combining.add(numbers(vec![4], None), ClockTime(0)).unwrap().is_none());
        combining.note(&Item::Idle(Idleness { is_idle: true, ..Idleness::default() }));
        assert_eq!(combining.add(numbers(vec![4], None), ClockTime(0)).unwrap().unwrap().rows(), 1);
    }
}

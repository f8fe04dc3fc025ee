//! Taps: rows as they pass, for whoever wants to see them.
//!
//! A tap takes no part in anything: a subtask offers what it sends to a short queue and goes on, whether there was room or not.
//! Rows that found no room are counted, and whoever looks is told. While nobody looks, a tap costs one load of an atomic for each
//! batch. It shows the columns that flow, which are those that somebody reads.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::why::UnknownNode;
use arrow::array::{ArrayRef, Int8Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millstream_api::{Batch, Result};
use tokio::sync::mpsc::{Receiver, Sender, channel, error::TrySendError};

/// Batches that wait for one that looks.
const QUEUE_BATCHES: usize = 16;

/// How many may look at one stream at a time.
const MOST_READERS: usize = 8;

/// The name of the column with the weight of a row of an updating stream.
pub const WEIGHT: &str = "_weight";

/// Where a stream can be looked at. All subtasks of its node share one. Cheap to clone.
#[derive(Clone, Default)]
pub struct TapPoint(Arc<Point>);

#[derive(Default)]
struct Point {
    /// How many look: what is read for every batch.
    readers: AtomicUsize,
    over: AtomicBool,
    queues: Mutex<Vec<Queue>>,
}

struct Queue {
    batches: Sender<Batch>,
    dropped_rows: Arc<AtomicU64>,
}

/// As many look at a stream as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyReaders;

/// Why rows cannot be looked at.
#[derive(Debug, PartialEq, Eq)]
pub enum TapError {
    /// There is no such stream or sink.
    Unknown(UnknownNode),
    /// Nobody reads the stream of this name, so its rows are not made.
    Unread(String),
    /// As many look at it as may.
    TooMany(String),
}

impl TapPoint {
    /// Offers a batch to all that look. Never waits.
    pub fn show(&self, batch: &Batch) {
        if self.0.readers.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut queues = self.queues();
        queues.retain(|queue| match queue.batches.try_send(batch.clone()) {
            Ok(()) => true,
            Err(TrySendError::Full(batch)) => {
                queue.dropped_rows.fetch_add(batch.rows() as u64, Ordering::Relaxed);
                true
            }
            Err(TrySendError::Closed(_)) => false,
        });
        self.0.readers.store(queues.len(), Ordering::Relaxed);
    }

    /// Looks at what passes from now on.
    ///
    /// # Errors
    /// When too many look already.
    pub fn open(&self, schema: SchemaRef, updating: bool) -> Result<TapReader, TooManyReaders> {
        let (sender, batches) = channel(QUEUE_BATCHES);
        let dropped_rows = Arc::<AtomicU64>::default();
        let mut queues = self.queues();
        queues.retain(|queue| !queue.batches.is_closed());
        if queues.len() >= MOST_READERS {
            return Err(TooManyReaders);
        }
        // After the end nobody sends any more: without its sender the reader ends at once.
        if !self.0.over.load(Ordering::Relaxed) {
            queues.push(Queue { batches: sender, dropped_rows: dropped_rows.clone() });
        }
        self.0.readers.store(queues.len(), Ordering::Relaxed);
        let schema = if updating { with_weight(&schema) } else { schema };
        Ok(TapReader { schema, updating, batches, dropped_rows, point: self.clone() })
    }

    /// Nothing passes any more.
    pub fn close(&self) {
        let mut queues = self.queues();
        self.0.over.store(true, Ordering::Relaxed);
        queues.clear();
        self.0.readers.store(0, Ordering::Relaxed);
    }

    fn queues(&self) -> MutexGuard<'_, Vec<Queue>> {
        self.0.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rows as they pass. Its drop ends the looking.
pub struct TapReader {
    schema: SchemaRef,
    updating: bool,
    batches: Receiver<Batch>,
    dropped_rows: Arc<AtomicU64>,
    point: TapPoint,
}

impl TapReader {
    /// The columns of the rows; of an updating stream with their weight as the last.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows for which there was no room in the queue, so far.
    pub fn dropped_rows(&self) -> u64 {
        self.dropped_rows.load(Ordering::Relaxed)
    }

    /// The next rows; `None` when the run is over.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<RecordBatch>>> {
        self.batches.poll_recv(context).map(|batch| Some(self.records(&batch?)))
    }

    /// The next rows, if there are any now.
    pub fn try_next(&mut self) -> Option<Result<RecordBatch>> {
        let batch = self.batches.try_recv().ok()?;
        Some(self.records(&batch))
    }

    fn records(&self, batch: &Batch) -> Result<RecordBatch> {
        if !self.updating {
            return Ok(batch.records().clone());
        }
        let weights = batch.hidden().weights.clone().unwrap_or_else(|| Int8Array::from_value(1, batch.rows()));
        let columns: Vec<ArrayRef> = batch.records().columns().iter().cloned().chain([Arc::new(weights) as ArrayRef]).collect();
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

impl Drop for TapReader {
    fn drop(&mut self) {
        self.batches.close();
        let mut queues = self.point.queues();
        queues.retain(|queue| !queue.batches.is_closed());
        self.point.0.readers.store(queues.len(), Ordering::Relaxed);
    }
}

fn with_weight(schema: &SchemaRef) -> SchemaRef {
    let weight = Arc::new(Field::new(WEIGHT, DataType::Int8, false));
    Arc::new(Schema::new(schema.fields().iter().cloned().chain([weight]).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use millstream_api::batch::Hidden;

    use super::*;

    fn batch(numbers: &[i64]) -> Batch {
        let records = RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(numbers.to_vec()))]).unwrap();
        Batch::plain(records)
    }

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
    }

    #[test]
    fn what_finds_no_room_is_counted_and_nobody_waits() {
        let point = TapPoint::default();
        point.show(&batch(&[1]));
        let mut reader = point.open(schema(), false).unwrap();
        (0..20).for_each(|n| point.show(&batch(&[n, n])));
        assert_eq!(reader.dropped_rows(), 8);
        let seen: Vec<usize> = std::iter::from_fn(|| reader.try_next()).map(|rows| rows.unwrap().num_rows()).collect();
        assert_eq!(seen, [2; 16]);
        point.show(&batch(&[7]));
        assert_eq!(reader.try_next().unwrap().unwrap().num_rows(), 1);
    }

    #[test]
    fn who_looks_no_longer_costs_nothing() {
        let point = TapPoint::default();
        let readers: Vec<TapReader> = (0..8).map(|_| point.open(schema(), false).unwrap()).collect();
        assert_eq!(point.open(schema(), false).err(), Some(TooManyReaders));
        drop(readers);
        assert_eq!(point.0.readers.load(Ordering::Relaxed), 0);
        assert!(point.open(schema(), false).is_ok());
    }

    #[test]
    fn an_updating_stream_shows_weights() {
        let point = TapPoint::default();
        let mut reader = point.open(schema(), true).unwrap();
        let hidden = Hidden { weights: Some(vec![-1].into()), ..Hidden::default() };
        point.show(&batch(&[1]).with_hidden(hidden).unwrap());
        let rows = reader.try_next().unwrap().unwrap();
        assert_eq!(rows.schema().field(1).name(), WEIGHT);
        assert_eq!(rows.column(1).as_ref(), &Int8Array::from(vec![-1]) as &dyn arrow::array::Array);
    }

    #[test]
    fn the_end_of_the_run_ends_it() {
        let point = TapPoint::default();
        let mut early = point.open(schema(), false).unwrap();
        point.show(&batch(&[1]));
        point.close();
        let mut late = point.open(schema(), false).unwrap();
        let context = &mut Context::from_waker(std::task::Waker::noop());
        assert!(matches!(early.poll(context), Poll::Ready(Some(Ok(_)))));
        assert!(matches!(early.poll(context), Poll::Ready(None)));
        assert!(matches!(late.poll(context), Poll::Ready(None)));
    }
}

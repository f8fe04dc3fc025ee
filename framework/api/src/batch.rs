//! The unit of data: columns, and beside them what the engine knows of each row.
//!
//! A [`Batch`] is an Arrow [`RecordBatch`] with up to six hidden columns. They are not in the record batch, so that no
//! expression can see them and no sink writes them by accident; every kernel here treats them together with the visible ones.
//!
//! | hidden column | present | meaning |
//! |---|---|---|
//! | time | the stream has event time | microseconds since 1970 |
//! | weight | the stream is updating | +1 a row comes, −1 an equal row is withdrawn |
//! | mark | some row is behind its split's watermark | that watermark, just before the row was read; `i64::MIN` for rows not behind |
//! | window | the stream is windowed with explicit bounds | `[start, end)` of the row's window |
//! | origin | somebody downstream orders by position | split and position of the row in it |
//! | count | the rows are partial results of a [`Combiner`](crate::Combiner) | how many rows of the stream each of them stands for |

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int8Array, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array, new_empty_array};
use arrow::array::{AsArray, PrimitiveArray};
use arrow::compute::{concat, concat_batches, filter, filter_record_batch, take};
use arrow::datatypes::{ArrowPrimitiveType, Int8Type, Int64Type, SchemaRef, UInt32Type};

use crate::error::{Error, Result};
use crate::memory::{compacted, retained_bytes};
use crate::time::EventTime;

/// The bounds of each row's window, in microseconds since 1970.
#[derive(Clone, Debug)]
pub struct Windows {
    /// First instant of the window.
    pub start: Int64Array,
    /// First instant after it.
    pub end: Int64Array,
}

/// Where each row stood in the input, for ties.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The split's rank among the node's splits in the order of their names.
    pub split: UInt32Array,
    /// The row's number in its split; rises in the order of reading.
    pub position: Int64Array,
}

/// The hidden columns of a batch; see the [module](self). Each that is present has one value per row and no nulls.
#[derive(Clone, Debug, Default)]
pub struct Hidden {
    /// Event time.
    pub times: Option<Int64Array>,
    /// +1 or −1; absent means all +1.
    pub weights: Option<Int8Array>,
    /// Lateness marks; absent means no row is behind.
    pub marks: Option<Int64Array>,
    /// Explicit windows.
    pub windows: Option<Windows>,
    /// Split and position.
    pub origin: Option<Origin>,
    /// How many rows each one stands for; absent means one.
    pub counts: Option<Int64Array>,
}

impl Hidden {
    /// Applies one kernel to every column that is present.
    fn map(&self, kernel: impl Fn(&dyn Array) -> Result<ArrayRef>) -> Result<Hidden> {
        fn typed<T: ArrowPrimitiveType>(
            array: &PrimitiveArray<T>,
            kernel: &impl Fn(&dyn Array) -> Result<ArrayRef>,
        ) -> Result<PrimitiveArray<T>> {
            Ok(kernel(array)?.as_primitive::<T>().clone())
        }
        Ok(Hidden {
            times: self.times.as_ref().map(|a| typed(a, &kernel)).transpose()?,
            weights: self.weights.as_ref().map(|a| typed(a, &kernel)).transpose()?,
            marks: self.marks.as_ref().map(|a| typed(a, &kernel)).transpose()?,
            windows: match &self.windows {
                Some(w) => Some(Windows { start: typed(&w.start, &kernel)?, end: typed(&w.end, &kernel)? }),
                None => None,
            },
            origin: match &self.origin {
                Some(o) => Some(Origin { split: typed(&o.split, &kernel)?, position: typed(&o.position, &kernel)? }),
                None => None,
            },
            counts: self.counts.as_ref().map(|a| typed(a, &kernel)).transpose()?,
        })
    }

    fn lengths(&self) -> impl Iterator<Item = usize> + '_ {
        let one = |a: Option<&dyn Array>| a.map(|a| a.len());
        [
            one(self.times.as_ref().map(|a| a as _)),
            one(self.weights.as_ref().map(|a| a as _)),
            one(self.marks.as_ref().map(|a| a as _)),
            one(self.windows.as_ref().map(|w| &w.start as _)),
            one(self.windows.as_ref().map(|w| &w.end as _)),
            one(self.origin.as_ref().map(|o| &o.split as _)),
            one(self.origin.as_ref().map(|o| &o.position as _)),
            one(self.counts.as_ref().map(|a| a as _)),
        ]
        .into_iter()
        .flatten()
    }

    /// Memory of the hidden columns, in bytes.
    fn size_bytes(&self, rows: usize) -> usize {
        self.lengths().count() * rows * 8
    }
}

/// Rows of one stream. Cheap to clone: columns are shared.
#[derive(Clone, Debug)]
pub struct Batch {
    records: RecordBatch,
    hidden: Arc<Hidden>,
}

impl Batch {
    /// Rows with their hidden columns; an error when their lengths differ.
    pub fn new(records: RecordBatch, hidden: Hidden) -> Result<Self> {
        let wrong = hidden.lengths().find(|&n| n != records.num_rows());
        match wrong {
            Some(n) => Err(Error::internal(format!("a hidden column has {n} rows, the batch {}", records.num_rows()))),
            None => Ok(Batch { records, hidden: Arc::new(hidden) }),
        }
    }

    /// Rows without any hidden column.
    pub fn plain(records: RecordBatch) -> Self {
        Batch { records, hidden: Arc::default() }
    }

    /// The visible columns.
    pub fn records(&self) -> &RecordBatch {
        &self.records
    }

    /// The hidden columns.
    pub fn hidden(&self) -> &Hidden {
        &self.hidden
    }

    /// The schema of the visible columns.
    pub fn schema(&self) -> SchemaRef {
        self.records.schema()
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.records.num_rows()
    }

    /// Event times, if the stream has them.
    pub fn times(&self) -> Option<&[i64]> {
        self.hidden.times.as_ref().map(|a| a.values().as_ref())
    }

    /// Weights, if any row may be a withdrawal.
    pub fn weights(&self) -> Option<&[i8]> {
        self.hidden.weights.as_ref().map(|a| a.values().as_ref())
    }

    /// Whether the rows are partial results, in columns of their maker's own.
    pub fn is_partial(&self) -> bool {
        self.hidden.counts.is_some()
    }

    /// How many rows of the stream they stand for.
    pub fn represented_rows(&self) -> u64 {
        match &self.hidden.counts {
            Some(counts) => counts.values().iter().sum::<i64>().unsigned_abs(),
            None => self.rows() as u64,
        }
    }

    /// The watermark at which lateness of row `row` is judged: the greater one of its own mark and the node's watermark.
    pub fn judged_at(&self, row: usize, node: EventTime) -> EventTime {
        match &self.hidden.marks {
            Some(marks) => node.max(EventTime(marks.value(row))),
            None => node,
        }
    }

    /// The same rows with other visible columns (as many rows).
    pub fn with_records(&self, records: RecordBatch) -> Result<Batch> {
        Batch::new(records, self.hidden().clone())
    }

    /// The same rows with other hidden columns.
    pub fn with_hidden(&self, hidden: Hidden) -> Result<Batch> {
        Batch::new(self.records.clone(), hidden)
    }

    /// The rows where `mask` is true. Null counts as false.
    pub fn filter(&self, mask: &BooleanArray) -> Result<Batch> {
        if mask.true_count() == self.rows() {
            return Ok(self.clone());
        }
        let hidden = Arc::new(self.hidden.map(|a| Ok(filter(a, mask)?))?);
        Ok(Batch { records: compacted(filter_record_batch(&self.records, mask)?)?, hidden })
    }

    /// The rows at `indices`, in that order; a row may be taken more than once.
    pub fn take(&self, indices: &UInt32Array) -> Result<Batch> {
        let hidden = Arc::new(self.hidden.map(|a| Ok(take(a, indices, None)?))?);
        Ok(Batch { records: take_records(&self.records, indices)?, hidden })
    }

    /// `length` rows from row `offset` on, without copying.
    pub fn slice(&self, offset: usize, length: usize) -> Batch {
        let hidden = self.hidden.map(|a| Ok(a.slice(offset, length)));
        Batch { records: self.records.slice(offset, length), hidden: Arc::new(hidden.unwrap_or_default()) }
    }

    /// Only the columns at `indices`, in that order.
    pub fn project(&self, indices: &[usize]) -> Result<Batch> {
        Ok(Batch { records: self.records.project(indices)?, hidden: self.hidden.clone() })
    }

    /// All rows of all batches in order. A hidden weight or mark column that only some have is filled with its neutral value.
    pub fn concat(schema: &SchemaRef, batches: &[Batch]) -> Result<Batch> {
        if let [one] = batches {
            return Ok(one.clone());
        }
        let records = concat_batches(schema, batches.iter().map(Batch::records))?;
        Batch::new(records, concat_hidden(batches)?)
    }

    /// The same rows, with strings and bytes copied out of shared buffers of which they need little. `take` and `filter` do so
    /// themselves.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn compacted(&self) -> Result<Batch> {
        Ok(Batch { records: compacted(self.records.clone())?, hidden: self.hidden.clone() })
    }

    /// Memory that the batch retains, in bytes: the measure of `in_flight`. Buffers shared with other batches count fully.
    pub fn size_bytes(&self) -> usize {
        retained_bytes(&self.records) + self.hidden.size_bytes(self.rows())
    }
}

/// `take_record_batch`, also for rows of which no column flows.
fn take_records(records: &RecordBatch, indices: &UInt32Array) -> Result<RecordBatch> {
    let columns = records.columns().iter().map(|column| take(column, indices, None)).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(indices.len()));
    compacted(RecordBatch::try_new_with_options(records.schema(), columns, &options)?)
}

fn concat_hidden(batches: &[Batch]) -> Result<Hidden> {
    fn joined<T: ArrowPrimitiveType>(
        batches: &[Batch],
        of: impl Fn(&Hidden) -> Option<&PrimitiveArray<T>>,
        neutral: Option<T::Native>,
    ) -> Result<Option<PrimitiveArray<T>>> {
        if batches.iter().all(|b| of(&b.hidden).is_none()) {
            return Ok(None);
        }
        let parts: Vec<ArrayRef> = batches
            .iter()
            .map(|b| match (of(&b.hidden), neutral) {
                (Some(array), _) => Ok(Arc::new(array.clone()) as ArrayRef),
                (None, Some(value)) => Ok(Arc::new(PrimitiveArray::<T>::from_value(value, b.rows())) as ArrayRef),
                (None, None) if b.rows() == 0 => Ok(new_empty_array(&T::DATA_TYPE)),
                (None, None) => Err(Error::internal("batches of one stream differ in their hidden columns")),
            })
            .collect::<Result<_>>()?;
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        Ok(Some(concat(&parts)?.as_primitive::<T>().clone()))
    }
    let start = joined::<Int64Type>(batches, |h| h.windows.as_ref().map(|w| &w.start), None)?;
    let end = joined::<Int64Type>(batches, |h| h.windows.as_ref().map(|w| &w.end), None)?;
    let split = joined::<UInt32Type>(batches, |h| h.origin.as_ref().map(|o| &o.split), None)?;
    let position = joined::<Int64Type>(batches, |h| h.origin.as_ref().map(|o| &o.position), None)?;
    Ok(Hidden {
        times: joined::<Int64Type>(batches, |h| h.times.as_ref(), None)?,
        weights: joined::<Int8Type>(batches, |h| h.weights.as_ref(), Some(1))?,
        marks: joined::<Int64Type>(batches, |h| h.marks.as_ref(), Some(i64::MIN))?,
        windows: start.zip(end).map(|(start, end)| Windows { start, end }),
        origin: split.zip(position).map(|(split, position)| Origin { split, position }),
        counts: joined::<Int64Type>(batches, |h| h.counts.as_ref(), None)?,
    })
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn batch(values: &[i64], marks: Option<&[i64]>) -> Batch {
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
        let records = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(values.to_vec()))]).unwrap();
        let hidden = Hidden {
            times: Some(Int64Array::from(values.to_vec())),
            marks: marks.map(|m| Int64Array::from(m.to_vec())),
            ..Hidden::default()
        };
        Batch::new(records, hidden).unwrap()
    }

    #[test]
    fn hidden_columns_follow_the_rows() {
        let batch = batch(&[1, 2, 3, 4], Some(&[i64::MIN, 9, i64::MIN, 7]));
        let taken = batch.take(&UInt32Array::from(vec![3, 1])).unwrap();
        assert_eq!(taken.times().unwrap(), &[4, 2]);
        assert_eq!(taken.judged_at(0, EventTime(5)), EventTime(7));
        assert_eq!(taken.judged_at(1, EventTime(50)), EventTime(50));
        assert_eq!(batch.slice(1, 2).times().unwrap(), &[2, 3]);
        assert_eq!(batch.filter(&BooleanArray::from(vec![true, false, false, true])).unwrap().times().unwrap(), &[1, 4]);
    }

    #[test]
    fn concat_fills_what_only_some_have() {
        let (a, b) = (batch(&[1], None), batch(&[2], Some(&[5])));
        let both = Batch::concat(&a.schema(), &[a.clone(), b]).unwrap();
        assert_eq!(both.hidden().marks.as_ref().unwrap().values().as_ref(), &[i64::MIN, 5]);
        assert!(both.weights().is_none());
    }

    #[test]
    fn lengths_must_agree() {
        let short = Hidden { times: Some(Int64Array::from(vec![1])), ..Hidden::default() };
        assert!(batch(&[1, 2], None).with_hidden(short).is_err());
    }
}

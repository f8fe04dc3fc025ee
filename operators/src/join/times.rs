//! Event time of a join of streams that change: kept with each row, as its last two columns, and the later one for a pair.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use millstream_api::{Batch, EventTime};

/// The columns that are kept of rows of this shape.
pub(super) fn kept(input: &Schema, event_time: bool) -> Schema {
    let own = input.fields().iter().map(|field| field.as_ref().clone());
    let hidden = ["(time)", "(mark)"].map(|name| Field::new(name, DataType::Int64, true));
    Schema::new(own.chain(hidden.into_iter().filter(|_| event_time)).collect::<Vec<_>>())
}

/// Those columns of a batch.
pub(super) fn kept_columns(batch: &Batch, event_time: bool) -> Vec<ArrayRef> {
    let mut columns = batch.records().columns().to_vec();
    if event_time {
        let or_least = |own: &Option<Int64Array>| -> ArrayRef {
            Arc::new(own.clone().unwrap_or_else(|| Int64Array::from_value(i64::MIN, batch.rows())))
        };
        columns.extend([or_least(&batch.hidden().times), or_least(&batch.hidden().marks)]);
    }
    columns
}

/// The time of each row and its mark, where it is behind; `i64::MIN` where it is not.
pub(super) struct Times {
    pub(super) times: ArrayRef,
    pub(super) marks: ArrayRef,
}

impl Times {
    /// Those of rows of the columns that are kept.
    pub(super) fn of(kept: &RecordBatch) -> Times {
        let columns = kept.columns();
        Times { times: columns[columns.len() - 2].clone(), marks: columns[columns.len() - 1].clone() }
    }
}

/// The later of the two times of each pair, and its mark where it is behind: that of its rows, or at least the node's watermark.
pub(super) fn later(pairs: [Times; 2], watermark: EventTime) -> (Int64Array, Option<Int64Array>) {
    let greater = |of: fn(&Times) -> &ArrayRef| -> Vec<i64> {
        let [left, right] = pairs.each_ref().map(|times| of(times).as_primitive::<Int64Type>().values());
        left.iter().zip(right).map(|(left, right)| *left.max(right)).collect()
    };
    let times = greater(|times| &times.times);
    let mark = |(mark, time): (i64, &i64)| match mark.max(watermark.0) {
        behind if behind > *time => behind,
        _ => i64::MIN,
    };
    let marks: Vec<i64> = greater(|times| &times.marks).into_iter().zip(&times).map(mark).collect();
    let any = marks.iter().any(|mark| *mark != i64::MIN);
    (Int64Array::from(times), any.then(|| Int64Array::from(marks)))
}

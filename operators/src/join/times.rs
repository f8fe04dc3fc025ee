//! Event time of a join of streams that change: kept with each row, as its last two columns, and the later one for a pair.

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use millstream_api::EventTime;

/// The columns that are kept of rows of this shape.
pub(super) fn kept(input: &Schema, event_time: bool) -> Schema {
    let own = input.fields().iter().map(|field| field.as_ref().clone());
    let hidden = ["time", "mark"].map(|name| Field::new(name, DataType::Int64, true));
    Schema::new(own.chain(hidden.into_iter().filter(|_| event_time)).collect::<Vec<_>>())
}

/// The later of the two times of each pair, and its mark where it is behind: that of its rows, or at least the node's watermark.
pub(super) fn later(from: &[RecordBatch; 2], watermark: EventTime) -> (Int64Array, Option<Int64Array>) {
    let column = |side: usize, from_end: usize| -> &Int64Array {
        let columns = from[side].columns();
        columns[columns.len() - from_end].as_primitive()
    };
    let greater = |from_end: usize| -> Vec<i64> {
        let (left, right) = (column(0, from_end).values(), column(1, from_end).values());
        left.iter().zip(right).map(|(left, right)| *left.max(right)).collect()
    };
    let times = greater(2);
    let mark = |(mark, time): (i64, &i64)| match mark.max(watermark.0) {
        behind if behind > *time => behind,
        _ => i64::MIN,
    };
    let marks: Vec<i64> = greater(1).into_iter().zip(&times).map(mark).collect();
    let any = marks.iter().any(|mark| *mark != i64::MIN);
    (Int64Array::from(times), any.then(|| Int64Array::from(marks)))
}

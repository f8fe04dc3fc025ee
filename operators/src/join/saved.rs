//! Rows of a snapshot of mode `changes`, where rows of both sides only come from now on.

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::datatypes::Int64Type;
use millstream_api::error::ErrorKind;
use millstream_api::{Batch, Error, Result};

/// Rows of a snapshot, each as often as it was there.
pub(super) fn one_by_one(saved: &RecordBatch) -> Result<RecordBatch> {
    let weights = saved.column(0).as_primitive::<Int64Type>();
    if weights.values().iter().all(|&weight| weight == 1) {
        return Ok(saved.clone());
    }
    if weights.values().iter().any(|&weight| weight < 0) {
        let message = "the state has withdrawals of rows that have not come, and rows of both sides are never withdrawn now";
        return Err(Error::new(ErrorKind::State, message).help("run with --fresh to start without the old state"));
    }
    let copies = weights.values().iter().enumerate().flat_map(|(row, &weight)| std::iter::repeat_n(row as u32, weight as usize));
    let rows = Batch::plain(saved.clone()).take(&UInt32Array::from_iter_values(copies))?;
    Ok(rows.records().clone())
}

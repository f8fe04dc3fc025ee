//! Evaluation on the rows that need it, and only if it fails on all.
//!
//! DataFusion skips an operand for a batch of which it is not needed at all, and sometimes for single rows, as it finds cheaper.
//! Here it is evaluated on all rows first, which is cheapest while nothing fails; only when that fails, on the rows that need it.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, take};
use datafusion_common::Result;
use datafusion_physical_expr::PhysicalExpr;

/// The values of `expr` on the rows where `needed`, which has no nulls, is true. What stands on other rows has no meaning.
pub(crate) fn where_needed(
    expr: &Arc<dyn PhysicalExpr>,
    batch: &RecordBatch,
    needed: impl FnOnce() -> Result<BooleanArray>,
) -> Result<ArrayRef> {
    let rows = batch.num_rows();
    let failure = match expr.evaluate(batch).and_then(|value| value.into_array(rows)) {
        Ok(values) => return Ok(values),
        Err(failure) => failure,
    };
    let needed = needed()?;
    if needed.true_count() == rows {
        return Err(failure);
    }
    let some = filter_record_batch(batch, &needed)?;
    let values = expr.evaluate(&some)?.into_array(some.num_rows())?;
    Ok(take(&values, &places(&needed), None)?)
}

/// For each row the place of its value among those of the rows that are needed; null for other rows.
fn places(needed: &BooleanArray) -> UInt32Array {
    let mut next = 0;
    let place = |needed: bool| {
        needed.then(|| {
            next += 1;
            next - 1
        })
    };
    needed.values().iter().map(place).collect()
}

//! Evaluation on a batch of which some rows may be bad.
//!
//! The whole batch at once, which is all there is to it as long as no row fails. A kernel that fails says only that some row is
//! bad, so the batch is halved until the bad rows stand alone: `k` bad rows of `n` cost about `2k · log n` evaluations of small
//! slices, and a good row's value is the same either way.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::DataType;
use datafusion_physical_expr::PhysicalExpr;
use millstream_api::{Error, Result};

use crate::physical::failure;
use crate::scalar::{BadValue, Evaluated};

/// Evaluates `expr`, which gives `data_type`, on every row.
pub(crate) fn rows(expr: &Arc<dyn PhysicalExpr>, records: &RecordBatch, data_type: &DataType) -> Result<Evaluated> {
    if records.num_rows() == 0 {
        return Ok(Evaluated { values: new_null_array(data_type, 0), bad: Vec::new() });
    }
    if let Ok(values) = all_at_once(expr, records) {
        return Ok(Evaluated { values: typed(values, data_type)?, bad: Vec::new() });
    }
    let mut halves = Halves { expr, data_type, values: Vec::new(), bad: Vec::new() };
    halves.split(records, 0)?;
    let parts: Vec<&dyn Array> = halves.values.iter().map(AsRef::as_ref).collect();
    Ok(Evaluated { values: concat(&parts)?, bad: halves.bad })
}

fn all_at_once(expr: &Arc<dyn PhysicalExpr>, records: &RecordBatch) -> datafusion_common::Result<ArrayRef> {
    expr.evaluate(records)?.into_array(records.num_rows())
}

fn typed(values: ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    match values.data_type() {
        found if found == data_type => Ok(values),
        DataType::Null => Ok(new_null_array(data_type, values.len())),
        _ => Err(Error::internal(format!("an expression gave {} where {data_type} was planned", values.data_type()))),
    }
}

struct Halves<'a> {
    expr: &'a Arc<dyn PhysicalExpr>,
    data_type: &'a DataType,
    values: Vec<ArrayRef>,
    bad: Vec<BadValue>,
}

impl Halves<'_> {
    /// Evaluates a slice of the batch that begins at row `first`.
    fn split(&mut self, slice: &RecordBatch, first: usize) -> Result<()> {
        let rows = slice.num_rows();
        match all_at_once(self.expr, slice) {
            Ok(values) => self.values.push(typed(values, self.data_type)?),
            Err(error) if rows == 1 => {
                self.bad.push(BadValue { row: first, reason: failure::reason(&error)? });
                self.values.push(new_null_array(self.data_type, 1));
            }
            Err(_) => {
                let half = rows / 2;
                self.split(&slice.slice(0, half), first)?;
                self.split(&slice.slice(half, rows - half), first + half)?;
            }
        }
        Ok(())
    }
}

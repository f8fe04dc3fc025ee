//! `and` and `or` whose right side counts only where the left side does not decide.
//!
//! DataFusion skips the right side for a batch of which it is not needed at all, and sometimes for single rows, as it finds
//! cheaper. Here it is evaluated on all rows first, which is cheapest while nothing fails; only when that fails, on the rows
//! that need it.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{and_kleene, filter_record_batch, is_null, or, or_kleene, take};
use arrow::datatypes::{DataType, Schema};
use datafusion_common::{Result, internal_err};
use datafusion_expr::{ColumnarValue, Operator};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::BinaryExpr;

use super::Operand;

/// In place of an `and` or `or` of DataFusion's.
pub(crate) fn guarded(binary: &BinaryExpr) -> Arc<dyn PhysicalExpr> {
    Arc::new(Guarded {
        left: Operand(Arc::clone(binary.left())),
        right: Operand(Arc::clone(binary.right())),
        is_and: *binary.op() == Operator::And,
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Guarded {
    left: Operand,
    right: Operand,
    is_and: bool,
}

impl fmt::Display for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} {} {})", self.left, if self.is_and { "AND" } else { "OR" }, self.right)
    }
}

impl PhysicalExpr for Guarded {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        Ok(self.left.0.nullable(schema)? || self.right.0.nullable(schema)?)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let rows = batch.num_rows();
        let left = self.left.0.evaluate(batch)?.into_array(rows)?;
        let left = left.as_boolean();
        let decided = if self.is_and { left.false_count() } else { left.true_count() };
        if decided == rows {
            return Ok(ColumnarValue::Array(Arc::new(left.clone())));
        }
        let right = match self.right.0.evaluate(batch).and_then(|value| value.into_array(rows)) {
            Ok(values) => values,
            Err(failure) if decided == 0 => return Err(failure),
            Err(_) => self.right_where_needed(batch, left)?,
        };
        let kernel = if self.is_and { and_kleene } else { or_kleene };
        Ok(ColumnarValue::Array(Arc::new(kernel(left, right.as_boolean())?)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.left.0, &self.right.0]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let [left, right] = children.as_slice() else { return internal_err!("a condition has two sides") };
        Ok(Arc::new(Guarded { left: Operand(Arc::clone(left)), right: Operand(Arc::clone(right)), is_and: self.is_and }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Guarded {
    /// The right side, null on rows that the left side decides.
    fn right_where_needed(&self, batch: &RecordBatch, left: &BooleanArray) -> Result<ArrayRef> {
        let undecided = if self.is_and { left.clone() } else { arrow::compute::not(left)? };
        let needed = or(&is_null(left)?, &true_only(&undecided))?;
        let some = filter_record_batch(batch, &needed)?;
        let values = self.right.0.evaluate(&some)?.into_array(some.num_rows())?;
        let mut next = 0;
        let places: UInt32Array = needed
            .values()
            .iter()
            .map(|needed| {
                needed.then(|| {
                    next += 1;
                    next - 1
                })
            })
            .collect();
        Ok(take(&values, &places, None)?)
    }
}

/// Null as false.
fn true_only(mask: &BooleanArray) -> BooleanArray {
    match mask.nulls() {
        Some(nulls) => BooleanArray::new(mask.values() & nulls.inner(), None),
        None => mask.clone(),
    }
}

//! `and` and `or` whose right side counts only where the left side does not decide.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{and_kleene, is_null, not, or, or_kleene};
use arrow::datatypes::{DataType, Schema};
use datafusion_common::{Result, internal_err};
use datafusion_expr::{ColumnarValue, Operator};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::BinaryExpr;

use super::Operand;
use super::needed::where_needed;

/// In place of an `and` or `or` of DataFusion's.
pub(crate) fn guarded(binary: &BinaryExpr) -> Arc<dyn PhysicalExpr> {
    Arc::new(Guarded {
        left: Operand(Arc::clone(binary.left())),
        right: Operand(Arc::clone(binary.right())),
        is_and: *binary.op() == Operator::And,
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Guarded {
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
        let right = where_needed(&self.right.0, batch, || self.undecided(left))?;
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
    /// The rows that the left side does not decide.
    fn undecided(&self, left: &BooleanArray) -> Result<BooleanArray> {
        let open = if self.is_and { left.clone() } else { not(left)? };
        Ok(or(&is_null(left)?, &true_only(&open))?)
    }
}

/// Null as false.
fn true_only(mask: &BooleanArray) -> BooleanArray {
    match mask.nulls() {
        Some(nulls) => BooleanArray::new(mask.values() & nulls.inner(), None),
        None => mask.clone(),
    }
}

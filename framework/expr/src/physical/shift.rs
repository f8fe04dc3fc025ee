//! `<<` and `>>` by no more bits than there are. Arrow takes the number of bits modulo their width, so that `1 << 64` would be 1.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, RecordBatch};
use arrow::compute::kernels::arity::binary;
use arrow::datatypes::{DataType, Int16Type, Int32Type, Int64Type, Schema};
use datafusion_common::{Result, ScalarValue, internal_err};
use datafusion_expr::{ColumnarValue, Operator};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::BinaryExpr;

use super::Operand;
use super::failure::RowFailure;

/// In place of a `<<` or `>>` of DataFusion's.
pub(crate) fn checked(shift: &BinaryExpr, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let (left, right) = (Operand(Arc::clone(shift.left())), Operand(Arc::clone(shift.right())));
    Ok(Arc::new(Shift { left, operator: *shift.op(), right, result: shift.data_type(schema)? }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Shift {
    left: Operand,
    operator: Operator,
    right: Operand,
    result: DataType,
}

impl fmt::Display for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} {} {})", self.left, self.operator, self.right)
    }
}

impl Shift {
    fn compute(&self, values: &ArrayRef, by: &ArrayRef) -> Result<ArrayRef> {
        match (&self.result, self.operator) {
            (DataType::Int16, Operator::BitwiseShiftLeft) => shifted::<Int16Type>(values, by, i16::wrapping_shl),
            (DataType::Int16, _) => shifted::<Int16Type>(values, by, i16::wrapping_shr),
            (DataType::Int32, Operator::BitwiseShiftLeft) => shifted::<Int32Type>(values, by, i32::wrapping_shl),
            (DataType::Int32, _) => shifted::<Int32Type>(values, by, i32::wrapping_shr),
            (DataType::Int64, Operator::BitwiseShiftLeft) => shifted::<Int64Type>(values, by, i64::wrapping_shl),
            (DataType::Int64, _) => shifted::<Int64Type>(values, by, i64::wrapping_shr),
            (other, _) => internal_err!("values of type {other} are shifted"),
        }
    }
}

/// Fails when a row with both operands has a number of bits that its type does not have.
fn shifted<T>(values: &ArrayRef, by: &ArrayRef, shift: fn(T::Native, u32) -> T::Native) -> Result<ArrayRef>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i64>,
{
    let (values, by) = (values.as_primitive::<T>(), by.as_primitive::<T>());
    let width = i64::try_from(size_of::<T::Native>() * 8).unwrap_or(i64::MAX);
    let mut counts = values.iter().zip(by).filter_map(|(value, by)| value.and(by).map(Into::into));
    if let Some(wrong) = counts.find(|by| !(0..width).contains(by)) {
        return Err(RowFailure(format!("cannot shift by {wrong} bits")).into());
    }
    Ok(Arc::new(binary::<_, _, _, T>(values, by, |value, by| shift(value, by.into() as u32))?))
}

impl PhysicalExpr for Shift {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(self.result.clone())
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        Ok(self.left.0.nullable(schema)? || self.right.0.nullable(schema)?)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let (left, right) = (self.left.0.evaluate(batch)?, self.right.0.evaluate(batch)?);
        if let (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) = (&left, &right) {
            let value = self.compute(&left.to_array()?, &right.to_array()?)?;
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&value, 0)?));
        }
        let rows = batch.num_rows();
        Ok(ColumnarValue::Array(self.compute(&left.into_array(rows)?, &right.into_array(rows)?)?))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.left.0, &self.right.0]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let [left, right] = children.as_slice() else { return internal_err!("an operator has two operands") };
        let (left, right) = (Operand(Arc::clone(left)), Operand(Arc::clone(right)));
        Ok(Arc::new(Shift { left, operator: self.operator, right, result: self.result.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

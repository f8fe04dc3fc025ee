//! An integer times a decimal constant, as an amount times a rate: in one pass, and without a check of each row.
//!
//! DataFusion makes the integer a decimal first, of twice its width, and multiplies that with a check for overflow. The product of two
//! 64-bit numbers always fits 128 bits; whether it fits the digits of the result as well is known from the types.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Int64Type, Schema};
use datafusion_common::{Result, ScalarValue, internal_err};
use datafusion_expr::{ColumnarValue, Operator};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, Literal};

use super::Operand;
use super::cast::Explained;

/// In place of this operation, if it is one between a bigint and a decimal constant; its result is of type `result`.
pub(super) fn product(binary: &BinaryExpr, result: &DataType, schema: &Schema) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let DataType::Decimal128(precision, _) = result else { return Ok(None) };
    if *binary.op() != Operator::Multiply || *precision == DECIMAL128_MAX_PRECISION {
        return Ok(None);
    }
    let sides = [(binary.left(), binary.right()), (binary.right(), binary.left())];
    for (integer, constant) in sides {
        let (Some(integer), Some(factor)) = (bigint(integer, schema)?, constant_of(constant)) else { continue };
        return Ok(Some(Arc::new(Scaled { integer: Operand(integer), factor, result: result.clone() })));
    }
    Ok(None)
}

/// The bigint that is made a decimal without a change of its digits.
fn bigint(operand: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let Some(cast) = operand.downcast_ref::<Explained>() else { return Ok(None) };
    let keeps_digits = matches!(cast.target(), DataType::Decimal128(precision, 0) if *precision >= BIGINT_DIGITS);
    let from_bigint = keeps_digits && cast.operand().data_type(schema)? == DataType::Int64;
    Ok(from_bigint.then(|| Arc::clone(cast.operand())))
}

/// Digits that any bigint fits.
const BIGINT_DIGITS: u8 = 19;

fn constant_of(operand: &Arc<dyn PhysicalExpr>) -> Option<i64> {
    match operand.downcast_ref::<Literal>()?.value() {
        ScalarValue::Decimal128(Some(value), _, _) => i64::try_from(*value).ok(),
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Scaled {
    integer: Operand,
    /// The constant without its point, which is in the type of the result.
    factor: i64,
    result: DataType,
}

impl fmt::Display for Scaled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} * {})", self.integer, self.factor)
    }
}

impl Scaled {
    fn compute(&self, integers: &ArrayRef) -> ArrayRef {
        let factor = i128::from(self.factor);
        let products = integers.as_primitive::<Int64Type>().unary::<_, Decimal128Type>(|value| i128::from(value) * factor);
        Arc::new(products.with_data_type(self.result.clone()))
    }
}

impl PhysicalExpr for Scaled {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(self.result.clone())
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.integer.0.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        Ok(match self.integer.0.evaluate(batch)? {
            ColumnarValue::Array(integers) => ColumnarValue::Array(self.compute(&integers)),
            ColumnarValue::Scalar(integer) => ColumnarValue::Scalar(ScalarValue::try_from_array(&self.compute(&integer.to_array()?), 0)?),
        })
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.integer.0]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let [integer] = children.as_slice() else { return internal_err!("a product with a constant has one operand") };
        Ok(Arc::new(Scaled { integer: Operand(Arc::clone(integer)), factor: self.factor, result: self.result.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, Int64Array};
    use arrow::compute::cast;
    use arrow::compute::kernels::numeric::mul;
    use arrow::datatypes::Field;

    use super::*;
    use crate::planner::{self, Scope};

    fn schema() -> Schema {
        Schema::new(vec![Field::new("n", DataType::Int64, true), Field::new("d", DataType::Decimal128(10, 2), true)])
    }

    fn compiled(text: &str) -> Arc<dyn PhysicalExpr> {
        let schema = schema();
        let planned = planner::plan(text, &Scope::new(&schema).unwrap()).unwrap();
        planner::compile(&planned.expr, planned.depth, &schema).unwrap()
    }

    #[test]
    fn a_bigint_times_a_constant_is_what_decimals_give() {
        let integers: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), Some(1), Some(-7), Some(i64::MAX), Some(i64::MIN), None]));
        let decimals: ArrayRef = Arc::new(Decimal128Array::from(vec![None; 6]).with_precision_and_scale(10, 2).unwrap());
        let records = RecordBatch::try_new(Arc::new(schema()), vec![integers.clone(), decimals]).unwrap();
        for (text, constant) in [("n * cast(0.908 as decimal(4, 3))", 908), ("cast(-0.001 as decimal(4, 3)) * n", -1)] {
            let expr = compiled(text);
            assert!(expr.is::<Scaled>(), "{text}");
            let constant = Decimal128Array::new_scalar(constant);
            let constant = arrow::array::Scalar::new(constant.into_inner().with_precision_and_scale(4, 3).unwrap());
            let expected = mul(&cast(&integers, &DataType::Decimal128(20, 0)).unwrap(), &constant).unwrap();
            let found = expr.evaluate(&records).unwrap().into_array(6).unwrap();
            assert_eq!(&found, &expected, "{text}");
        }
    }

    #[test]
    fn what_may_not_fit_is_left_alone() {
        for text in ["n * d", "d * cast(0.5 as decimal(4, 3))", "n + cast(0.5 as decimal(4, 3))", "n * cast(0.5 as decimal(38, 3))"] {
            assert!(!compiled(text).is::<Scaled>(), "{text}");
        }
    }
}

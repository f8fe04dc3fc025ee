//! Arithmetic that fails instead of giving a wrong value.
//!
//! Integers and times: Arrow's checked kernels. Decimals: these check the 128 bits, here the 38 digits are checked too. Floats:
//! division by zero is an error as for other numbers, and so is an infinity that comes of finite operands.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Datum, RecordBatch};
use arrow::compute::kernels::numeric::{add, div, mul, neg, rem, sub};
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Float32Type, Float64Type, Schema};
use arrow::error::ArrowError;
use datafusion_common::{Result, ScalarValue, internal_err};
use datafusion_expr::{ColumnarValue, Operator};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::BinaryExpr;

use super::{Operand, scaled};

/// In place of a `+ - * / %` of DataFusion's.
pub(crate) fn checked(binary: &BinaryExpr, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let (left, right) = (Arc::clone(binary.left()), Arc::clone(binary.right()));
    let checked: Arc<dyn PhysicalExpr> = Arc::new(BinaryExpr::new(left, *binary.op(), right).with_fail_on_overflow(true));
    let result = checked.data_type(schema)?;
    if let Some(product) = scaled::product(binary, &result, schema)? {
        return Ok(product);
    }
    let needs_more = match result {
        DataType::Float32 | DataType::Float64 => true,
        DataType::Decimal128(precision, _) => precision == DECIMAL128_MAX_PRECISION,
        _ => false,
    };
    if !needs_more {
        return Ok(checked);
    }
    let (left, right) = (Operand(Arc::clone(binary.left())), Operand(Arc::clone(binary.right())));
    Ok(Arc::new(Arithmetic { left, operator: *binary.op(), right, result }))
}

/// In place of DataFusion's unary minus.
pub(crate) fn checked_negative(operand: &Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    Arc::new(Negative { operand: Operand(Arc::clone(operand)) })
}

/// An operator on floats or on decimals of the greatest precision.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Arithmetic {
    left: Operand,
    operator: Operator,
    right: Operand,
    result: DataType,
}

impl fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} {} {})", self.left, self.operator, self.right)
    }
}

impl Arithmetic {
    fn compute(&self, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef> {
        let values = match self.operator {
            Operator::Plus => add(left, right)?,
            Operator::Minus => sub(left, right)?,
            Operator::Multiply => mul(left, right)?,
            Operator::Divide => div(left, right)?,
            Operator::Modulo => rem(left, right)?,
            other => return internal_err!("{other} is no arithmetic"),
        };
        match values.data_type() {
            DataType::Float64 => check_floats::<Float64Type>(self.operator, left, right, &values)?,
            DataType::Float32 => check_floats::<Float32Type>(self.operator, left, right, &values)?,
            DataType::Decimal128(precision, _) => check_decimals(&values, *precision)?,
            _ => {}
        }
        Ok(values)
    }
}

impl PhysicalExpr for Arithmetic {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(self.result.clone())
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        Ok(self.left.0.nullable(schema)? || self.right.0.nullable(schema)?)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        use ColumnarValue::{Array, Scalar};
        let (left, right) = (self.left.0.evaluate(batch)?, self.right.0.evaluate(batch)?);
        Ok(match (left, right) {
            (Array(l), Array(r)) => Array(self.compute(&l, &r)?),
            (Array(l), Scalar(r)) => Array(self.compute(&l, &r.to_scalar()?)?),
            (Scalar(l), Array(r)) => Array(self.compute(&l.to_scalar()?, &r)?),
            (Scalar(l), Scalar(r)) => {
                let value = self.compute(&l.to_array()?, &r.to_array()?)?;
                Scalar(ScalarValue::try_from_array(&value, 0)?)
            }
        })
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.left.0, &self.right.0]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let [left, right] = children.as_slice() else { return internal_err!("an operator has two operands") };
        let (left, right) = (Operand(Arc::clone(left)), Operand(Arc::clone(right)));
        Ok(Arc::new(Arithmetic { left, operator: self.operator, right, result: self.result.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Floats never fail by themselves: a division by zero or an overflow shows as a result that is not finite although the
/// operands are.
fn check_floats<T>(operator: Operator, left: &dyn Datum, right: &dyn Datum, values: &ArrayRef) -> Result<(), ArrowError>
where
    T: ArrowPrimitiveType,
    T::Native: Into<f64>,
{
    let results = values.as_primitive::<T>();
    let finite = results.values().iter().fold(true, |all, v| all & (*v).into().is_finite());
    let divides = matches!(operator, Operator::Divide | Operator::Modulo);
    if finite {
        return Ok(());
    }
    let operand = |datum: &dyn Datum, row: usize| -> f64 {
        let (array, scalar) = datum.get();
        array.as_primitive::<T>().value(if scalar { 0 } else { row }).into()
    };
    for row in (0..results.len()).filter(|&row| results.is_valid(row) && !results.value(row).into().is_finite()) {
        let (l, r) = (operand(left, row), operand(right, row));
        if divides && r == 0.0 {
            return Err(ArrowError::DivideByZero);
        }
        if l.is_finite() && r.is_finite() {
            return Err(ArrowError::ArithmeticOverflow(format!("{l} {operator} {r}")));
        }
    }
    Ok(())
}

fn check_decimals(values: &ArrayRef, precision: u8) -> Result<(), ArrowError> {
    let decimals = values.as_primitive::<Decimal128Type>();
    decimals.validate_decimal_precision(precision).map_err(|e| ArrowError::ArithmeticOverflow(e.to_string()))
}

/// Unary minus.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Negative {
    operand: Operand,
}

impl fmt::Display for Negative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(- {})", self.operand)
    }
}

impl PhysicalExpr for Negative {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.operand.0.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.operand.0.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        Ok(match self.operand.0.evaluate(batch)? {
            ColumnarValue::Array(values) => ColumnarValue::Array(neg(&values)?),
            ColumnarValue::Scalar(value) => ColumnarValue::Scalar(ScalarValue::try_from_array(&neg(&value.to_array()?)?, 0)?),
        })
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.operand.0]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let [operand] = children.as_slice() else { return internal_err!("a minus has one operand") };
        Ok(checked_negative(operand))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

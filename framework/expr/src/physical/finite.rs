//! Mathematical functions whose result is no number although their arguments are: `ln(0)`, `power(10, 400)`, `acos(2)`.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Schema};
use datafusion_common::{Result, internal_err};
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use super::Operand;
use super::failure::RowFailure;
use crate::canonical;

/// In place of a function call of DataFusion's, when it gives a float.
pub(crate) fn finite(node: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let Some(call) = node.downcast_ref::<ScalarFunctionExpr>() else { return Ok(None) };
    let float = matches!(call.data_type(schema)?, DataType::Float32 | DataType::Float64);
    let computes = !call.children().is_empty() && !canonical::NAMES.contains(&call.name());
    Ok((float && computes).then(|| Arc::new(Finite { call: Operand(Arc::clone(node)), name: call.name().to_owned() }) as _))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Finite {
    call: Operand,
    name: String,
}

impl fmt::Display for Finite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.call, f)
    }
}

impl PhysicalExpr for Finite {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.call.0.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.call.0.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let result = self.call.0.evaluate(batch)?;
        let rows = batch.num_rows();
        let mut suspects = rows_without_number(&result.to_array(rows)?);
        if suspects.is_empty() {
            return Ok(result);
        }
        for argument in self.call.0.children() {
            let excused = rows_without_number(&argument.evaluate(batch)?.into_array(rows)?);
            suspects.retain(|row| excused.binary_search(row).is_err());
        }
        if suspects.is_empty() {
            Ok(result)
        } else {
            Err(RowFailure(format!("the result of `{}` is not a finite number", self.name)).into())
        }
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.call.0]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let [call] = children.as_slice() else { return internal_err!("there is one call") };
        Ok(Arc::new(Finite { call: Operand(Arc::clone(call)), name: self.name.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The rows whose value is infinite or not a number, in rising order.
fn rows_without_number(values: &ArrayRef) -> Vec<usize> {
    match values.data_type() {
        DataType::Float64 => rows_of(values.as_primitive::<Float64Type>()),
        DataType::Float32 => rows_of(values.as_primitive::<Float32Type>()),
        _ => Vec::new(),
    }
}

fn rows_of<T: ArrowPrimitiveType>(values: &PrimitiveArray<T>) -> Vec<usize>
where
    T::Native: Into<f64>,
{
    let all_finite = values.values().iter().fold(true, |all, v| all & (*v).into().is_finite());
    if all_finite {
        return Vec::new();
    }
    (0..values.len()).filter(|&row| values.is_valid(row) && !values.value(row).into().is_finite()).collect()
}

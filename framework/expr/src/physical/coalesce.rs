//! `coalesce`: each argument counts only on the rows where all before it are null.
//!
//! DataFusion writes it out as a `case`, which evaluates each argument twice, and a nested one more often than can be counted.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{is_not_null, is_null};
use arrow::datatypes::{DataType, Schema};
use datafusion_common::{Result, internal_err};
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use super::Operand;
use super::needed::where_needed;

/// In place of a call of DataFusion's `coalesce`.
pub(crate) fn coalesce(call: &ScalarFunctionExpr, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let arguments = call.args().iter().map(|argument| Operand(Arc::clone(argument))).collect();
    Ok(Arc::new(Coalesce { arguments, result: call.data_type(schema)? }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Coalesce {
    arguments: Vec<Operand>,
    result: DataType,
}

impl fmt::Display for Coalesce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arguments: Vec<String> = self.arguments.iter().map(ToString::to_string).collect();
        write!(f, "coalesce({})", arguments.join(", "))
    }
}

impl PhysicalExpr for Coalesce {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(self.result.clone())
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.arguments.iter().try_fold(true, |all, argument| Ok(all && argument.0.nullable(schema)?))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let rows = batch.num_rows();
        let Some((first, rest)) = self.arguments.split_first() else { return internal_err!("coalesce has an argument at least") };
        let mut values = first.0.evaluate(batch)?.into_array(rows)?;
        for argument in rest {
            if values.logical_null_count() == 0 {
                break;
            }
            let others = where_needed(&argument.0, batch, || Ok(is_null(&values)?))?;
            values = zip(&is_not_null(&values)?, &values, &others)?;
        }
        Ok(ColumnarValue::Array(values))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.arguments.iter().map(|argument| &argument.0).collect()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Coalesce { arguments: children.into_iter().map(Operand).collect(), result: self.result.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

//! Casts that say which value could not be cast.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::CastOptions;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Schema};
use arrow::util::display::FormatOptions;
use datafusion_common::{Result, ScalarValue, internal_err};
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::CastExpr;
use millstream_api::error::shortened;
use millstream_api::types::SqlName;

use super::Operand;
use super::failure::RowFailure;

/// In place of a cast of DataFusion's.
pub(crate) fn explained(cast: &CastExpr, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let nullable = cast.nullable(schema)?;
    Ok(Arc::new(Explained { operand: Operand(Arc::clone(cast.expr())), target: cast.cast_type().clone(), nullable }))
}

const OPTIONS: CastOptions<'static> = CastOptions { safe: false, format_options: FormatOptions::new() };

/// A cast that says which value could not be cast.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Explained {
    operand: Operand,
    target: DataType,
    nullable: bool,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CAST({} AS {})", self.operand, SqlName(&self.target))
    }
}

impl PhysicalExpr for Explained {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(self.target.clone())
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(self.nullable)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let value = self.operand.0.evaluate(batch)?;
        let cast = value.cast_to(&self.target, Some(&OPTIONS));
        match cast {
            Ok(cast) if self.target != DataType::Float32 || !lost_to_infinity(&value, &cast)? => Ok(cast),
            _ => Err(self.failure(&value).into()),
        }
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.operand.0]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let [operand] = children.as_slice() else { return internal_err!("a cast has one operand") };
        Ok(Arc::new(Explained { operand: Operand(Arc::clone(operand)), target: self.target.clone(), nullable: self.nullable }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Explained {
    /// What is cast.
    pub(super) fn operand(&self) -> &Arc<dyn PhysicalExpr> {
        &self.operand.0
    }

    /// What it is cast to.
    pub(super) fn target(&self) -> &DataType {
        &self.target
    }

    /// The value is named when there is just one, as when a batch that failed is evaluated row by row.
    fn failure(&self, value: &ColumnarValue) -> RowFailure {
        let one = match value {
            ColumnarValue::Scalar(value) => Some(value.clone()),
            ColumnarValue::Array(values) if values.len() == 1 => ScalarValue::try_from_array(values, 0).ok(),
            ColumnarValue::Array(_) => None,
        };
        if matches!(self.target, DataType::Interval(_)) && !matches!(value.data_type(), DataType::Utf8 | DataType::Utf8View) {
            // Days added to a date: nobody wrote this cast.
            return RowFailure("overflow".to_owned());
        }
        let shown = one.map_or_else(|| "a value".to_owned(), |value| shown(&value));
        RowFailure(format!("cannot cast {shown} to {}", SqlName(&self.target)))
    }
}

fn shown(value: &ScalarValue) -> String {
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            format!("\"{}\"", shortened(text))
        }
        // Not in full: 1e300 has 301 digits.
        ScalarValue::Float64(Some(number)) => format!("{number:?}"),
        other => shortened(&other.to_string()),
    }
}

/// Whether a finite number became infinite.
fn lost_to_infinity(value: &ColumnarValue, cast: &ColumnarValue) -> Result<bool> {
    let infinite = |array: &ArrayRef| array.as_primitive::<Float32Type>().iter().flatten().filter(|v| v.is_infinite()).count();
    let ColumnarValue::Array(results) = cast else {
        return Ok(matches!(cast, ColumnarValue::Scalar(ScalarValue::Float32(Some(v))) if v.is_infinite()));
    };
    let found = infinite(results);
    if found == 0 {
        return Ok(false);
    }
    let ColumnarValue::Array(operands) = value else { return Ok(true) };
    let before = match operands.data_type() {
        DataType::Float64 => operands.as_primitive::<Float64Type>().iter().flatten().filter(|v| v.is_infinite()).count(),
        DataType::Float32 => infinite(operands),
        _ => 0,
    };
    Ok(found > before)
}

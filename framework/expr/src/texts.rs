//! What functions of ours need of their arguments: texts, and whether they are the same for all rows.
//!
//! DataFusion gives an argument as a column or, where it is constant, as one value. Functions need not tell the two apart.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs};

/// Texts, one for each row or one for all.
pub(crate) struct Texts(StringViewArray);

impl Texts {
    pub(crate) fn of(argument: &ColumnarValue) -> Result<Texts> {
        let texts = match argument {
            ColumnarValue::Scalar(text) => text.to_array_of_size(1)?,
            ColumnarValue::Array(texts) => Arc::clone(texts),
        };
        Ok(Texts(cast(&texts, &DataType::Utf8View)?.as_string_view().clone()))
    }

    /// The text of a row; `None`: it is null.
    pub(crate) fn at(&self, row: usize) -> Option<&str> {
        let row = if self.0.len() == 1 { 0 } else { row };
        (row < self.0.len() && self.0.is_valid(row)).then(|| self.0.value(row))
    }
}

/// The bytes of the longest text among these.
pub(crate) fn longest_bytes(texts: &ColumnarValue) -> Result<u64> {
    let texts = Texts::of(texts)?;
    Ok(texts.0.iter().flatten().map(|text| text.len() as u64).max().unwrap_or(0))
}

/// What `compute` gives for so many rows: for one only, where every argument is constant, and so the result is.
pub(crate) fn computed(args: &ScalarFunctionArgs, compute: impl FnOnce(usize) -> Result<ArrayRef>) -> Result<ColumnarValue> {
    if args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_))) {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&compute(1)?, 0)?));
    }
    compute(args.number_rows).map(ColumnarValue::Array)
}

//! `lpad`, `rpad` and `repeat`, whose result is as long as a number says: the number may come from a record, so it is bounded.
//!
//! DataFusion's allocate what they are asked for, and panic when that is negative or more than there is.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion_common::{Result, internal_err};
use datafusion_expr::{ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};

use crate::physical::failure::RowFailure;

/// How many bytes the result on one row may have, about.
const RESULT_LIMIT: i64 = 64 * 1024;

/// The names of the functions that must be bounded.
pub(crate) const UNBOUNDED: [&str; 3] = ["lpad", "rpad", "repeat"];

/// The same function with an end to it.
pub(crate) fn bounded(plain: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Bounded { plain }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    plain: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.plain.name()
    }

    fn signature(&self) -> &Signature {
        self.plain.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.plain.return_type(arguments)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.plain.return_field_from_args(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.plain.documentation()
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [text, count, ..] = args.args.as_mut_slice() else { return internal_err!("{} takes a text and a number", self.name()) };
        let counts = count.to_array(args.number_rows)?;
        let wanted = cast(&counts, &DataType::Int64)?;
        let wanted: &Int64Array = wanted.as_primitive::<Int64Type>();
        let most = match self.name() {
            "repeat" => RESULT_LIMIT / longest_bytes(&text.to_array(args.number_rows)?)?.max(1),
            _ => RESULT_LIMIT,
        };
        if wanted.iter().flatten().any(|count| count > most) {
            return Err(RowFailure(format!("the result of `{}` is longer than 64 KiB", self.name())).into());
        }
        if wanted.iter().flatten().any(|count| count < 0) {
            let positive: ArrayRef = Arc::new(wanted.unary::<_, Int64Type>(|count| count.max(0)));
            *count = ColumnarValue::Array(cast(&positive, counts.data_type())?);
        }
        self.plain.invoke_with_args(args)
    }
}

/// The bytes of the longest text among these.
fn longest_bytes(texts: &ArrayRef) -> Result<i64> {
    let texts = cast(texts, &DataType::Utf8View)?;
    let longest = texts.as_string_view().iter().flatten().map(str::len).max();
    Ok(longest.and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(0))
}

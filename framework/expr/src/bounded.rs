//! Functions whose result may be as long as a record says: it is bounded.
//!
//! Of `lpad`, `rpad` and `repeat` a number says it. DataFusion's allocate what they are asked for, and panic when that is negative or more
//! than there is. Of the others ([`growth`]) it is a second text.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion_common::{Result, internal_err};
use datafusion_expr::{ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};

use crate::growth;
use crate::physical::failure::RowFailure;
use crate::texts::longest_bytes;

/// How many bytes the result on one row may have, about.
pub(crate) const RESULT_LIMIT: i64 = 64 * 1024;

/// The names of the functions that must be bounded.
pub(crate) const UNBOUNDED: [&str; 7] = ["array_to_string", "levenshtein", "lpad", "regexp_replace", "repeat", "replace", "rpad"];

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

    fn aliases(&self) -> &[String] {
        self.plain.aliases()
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
        match self.name() {
            "lpad" | "rpad" | "repeat" => self.bound_number(&mut args)?,
            name => growth::check(name, &args.args, args.number_rows)?,
        }
        self.plain.invoke_with_args(args)
    }
}

impl Bounded {
    /// The number that says how long the result is must not be too great, and is none below 0.
    fn bound_number(&self, args: &mut ScalarFunctionArgs) -> Result<()> {
        let [text, count, ..] = args.args.as_mut_slice() else { return internal_err!("{} takes a text and a number", self.name()) };
        let counts = count.to_array(args.number_rows)?;
        let wanted = cast(&counts, &DataType::Int64)?;
        let wanted: &Int64Array = wanted.as_primitive::<Int64Type>();
        let most = match self.name() {
            "repeat" => RESULT_LIMIT / i64::try_from(longest_bytes(text)?).unwrap_or(i64::MAX).max(1),
            _ => RESULT_LIMIT,
        };
        if wanted.iter().flatten().any(|count| count > most) {
            return Err(RowFailure(format!("the result of `{}` is longer than 64 KiB", self.name())).into());
        }
        if wanted.iter().flatten().any(|count| count < 0) {
            let positive: ArrayRef = Arc::new(wanted.unary::<_, Int64Type>(|count| count.max(0)));
            *count = ColumnarValue::Array(cast(&positive, counts.data_type())?);
        }
        Ok(())
    }
}

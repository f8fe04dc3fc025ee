//! Values in a form in which equal ones have equal bits and order is the order of the form.
//!
//! Functions that no expression can name; [`crate::rewrite`] puts them around operands of comparisons, and in place of `nullif`.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, Decimal128Array};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Float32Type, Float64Type, IntervalMonthDayNanoType};
use datafusion_common::{Result, internal_err};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// The names of the functions here. They never fail, and do not compute.
pub(crate) const NAMES: [&str; 3] = ["canonical_float", "interval_length", "nullif_by_value"];

/// A float with one zero and one not-a-number.
pub(crate) fn canonical_float(operand: Expr) -> Expr {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(Form::new(Of::Float))));
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(&FUNCTION), vec![operand]))
}

/// An interval's length in nanoseconds, a month being 30 days and a day 24 hours, as PostgreSQL compares them.
pub(crate) fn interval_length(operand: Expr) -> Expr {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(Form::new(Of::Interval))));
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(&FUNCTION), vec![operand]))
}

/// `nullif` of floats or intervals, which are compared in these forms.
pub(crate) fn nullif_by_value(operands: Vec<Expr>) -> Expr {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(ScalarUDF::from(NullIf { signature: Signature::any(2, Volatility::Immutable) })));
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(&FUNCTION), operands))
}

const LENGTH_TYPE: DataType = DataType::Decimal128(38, 0);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Form {
    of: Of,
    signature: Signature,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Of {
    Float,
    Interval,
}

impl Form {
    fn new(of: Of) -> Self {
        Form { of, signature: Signature::any(1, Volatility::Immutable) }
    }

    fn apply(&self, array: &ArrayRef) -> Result<ArrayRef> {
        match self.of {
            Of::Float => float_form(array),
            Of::Interval => length_form(array),
        }
    }
}

impl ScalarUDFImpl for Form {
    fn name(&self) -> &str {
        match self.of {
            Of::Float => "canonical_float",
            Of::Interval => "interval_length",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [DataType::Interval(_)] => Ok(LENGTH_TYPE),
            [other] => Ok(other.clone()),
            _ => internal_err!("{} takes one argument", self.name()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        match args.args.as_slice() {
            [ColumnarValue::Array(array)] => Ok(ColumnarValue::Array(self.apply(array)?)),
            [ColumnarValue::Scalar(scalar)] => Ok(ColumnarValue::Array(self.apply(&scalar.to_array_of_size(rows)?)?)),
            _ => internal_err!("{} takes one argument", self.name()),
        }
    }
}

fn float_form(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Float64 => Ok(Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(one_zero_f64))),
        DataType::Float32 => Ok(Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(one_zero_f32))),
        other => internal_err!("{other} is no float"),
    }
}

fn one_zero_f64(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value + 0.0 }
}

fn one_zero_f32(value: f32) -> f32 {
    if value.is_nan() { f32::NAN } else { value + 0.0 }
}

fn length_form(array: &ArrayRef) -> Result<ArrayRef> {
    const NANOSECONDS_OF_DAY: i128 = 86_400_000_000_000;
    let lengths: Decimal128Array = array
        .as_primitive::<IntervalMonthDayNanoType>()
        .unary(|i| (i128::from(i.months) * 30 + i128::from(i.days)) * NANOSECONDS_OF_DAY + i128::from(i.nanoseconds));
    Ok(Arc::new(lengths.with_data_type(LENGTH_TYPE)))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct NullIf {
    signature: Signature,
}

impl ScalarUDFImpl for NullIf {
    fn name(&self) -> &str {
        "nullif_by_value"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [first, _] => Ok(first.clone()),
            _ => internal_err!("{} takes two arguments", self.name()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value, other] = args.args.as_slice() else { return internal_err!("{} takes two arguments", self.name()) };
        let (value, other) = (value.to_array(args.number_rows)?, other.to_array(args.number_rows)?);
        let form = if matches!(value.data_type(), DataType::Interval(_)) { length_form } else { float_form };
        Ok(ColumnarValue::Array(nullif(&value, &eq(&form(&value)?, &form(&other)?)?)?))
    }
}

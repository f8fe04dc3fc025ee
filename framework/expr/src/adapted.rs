//! DataFusion's functions with arguments and results of our types.
//!
//! Some take a bigint and nothing smaller, some count in unsigned integers, which SQL does not have, or in other units of time.
//! Said here once, so that nothing after it has to know.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit, TimestampMicrosecondType};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::type_coercion::functions::fields_with_udf;
use datafusion_expr::{ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};
use millstream_api::types::{UTC, timestamp_type};

use crate::types::ours;

/// The same function with arguments and results of our types.
pub(crate) fn adapted(plain: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    let signature = Signature::user_defined(plain.signature().volatility);
    Arc::new(ScalarUDF::from(Adapted { plain, signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Adapted {
    plain: Arc<ScalarUDF>,
    signature: Signature,
}

impl ScalarUDFImpl for Adapted {
    fn name(&self) -> &str {
        self.plain.name()
    }

    fn aliases(&self) -> &[String] {
        self.plain.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The types that the function takes in place of these.
    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let taken = |types: Vec<DataType>| -> Result<Vec<DataType>> {
            let fields: Vec<FieldRef> = types.into_iter().map(|found| Arc::new(Field::new("", found, true)) as FieldRef).collect();
            let fields = fields_with_udf(&fields, self.plain.as_ref())?;
            Ok(fields.iter().map(|field| field.data_type().clone()).collect())
        };
        taken(given.to_vec()).or_else(|refusal| taken(given.iter().map(widened).collect()).map_err(|_| refusal))
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let plain = self.plain.return_type(arguments)?;
        Ok(ours(&plain).unwrap_or(plain))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let field = self.plain.return_field_from_args(args)?;
        Ok(match ours(field.data_type()) {
            Some(ours) => Arc::new(field.as_ref().clone().with_data_type(ours)),
            None => field,
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.plain.documentation()
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let wanted = args.return_field.data_type().clone();
        if self.plain.name().starts_with("date_") {
            args.args = args.args.into_iter().map(without_zone).collect();
        }
        let value = self.plain.inner().invoke_with_args(args)?;
        match value {
            ColumnarValue::Array(times) if times.data_type() == &PLAIN_TIMESTAMP => Ok(ColumnarValue::Array(in_utc(&times))),
            value if ours(&value.data_type()).is_some() => value.cast_to(&wanted, None),
            value => Ok(value),
        }
    }
}

const PLAIN_TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// Timestamps of UTC as those of no zone, which is the same and spares functions the look into a calendar of zones.
fn without_zone(argument: ColumnarValue) -> ColumnarValue {
    match argument {
        ColumnarValue::Array(times) if times.data_type() == &timestamp_type() => {
            ColumnarValue::Array(Arc::new(times.as_primitive::<TimestampMicrosecondType>().clone().with_timezone_opt(None::<Arc<str>>)))
        }
        ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(time, Some(zone))) if zone.as_ref() == UTC => {
            ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(time, None))
        }
        other => other,
    }
}

fn in_utc(times: &ArrayRef) -> ArrayRef {
    Arc::new(times.as_primitive::<TimestampMicrosecondType>().clone().with_timezone(UTC))
}

fn widened(given: &DataType) -> DataType {
    match given {
        DataType::Int16 | DataType::Int32 => DataType::Int64,
        other => other.clone(),
    }
}

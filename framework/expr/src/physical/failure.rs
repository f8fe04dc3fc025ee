//! Why a row failed, in SQL's words.

use std::fmt;

use arrow::error::ArrowError;
use datafusion_common::DataFusionError;
use millstream_api::{Error, Result};

/// A failure that has its wording already.
#[derive(Debug)]
pub(crate) struct RowFailure(pub(crate) String);

impl fmt::Display for RowFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RowFailure {}

impl From<RowFailure> for DataFusionError {
    fn from(failure: RowFailure) -> Self {
        DataFusionError::External(Box::new(failure))
    }
}

/// Why a row failed; an error when it is not the row's fault.
pub(crate) fn reason(error: &DataFusionError) -> Result<String> {
    match error {
        DataFusionError::External(cause) => match cause.downcast_ref::<RowFailure>() {
            Some(RowFailure(reason)) => Ok(reason.clone()),
            None => Ok(cause.to_string()),
        },
        DataFusionError::ArrowError(cause, _) => Ok(arrow_reason(cause)),
        DataFusionError::Execution(message) | DataFusionError::Plan(message) => Ok(worded(message)),
        DataFusionError::Context(_, cause) | DataFusionError::Diagnostic(_, cause) => reason(cause),
        DataFusionError::Shared(cause) => reason(cause),
        other => Err(Error::internal(other)),
    }
}

fn arrow_reason(error: &ArrowError) -> String {
    match error {
        ArrowError::DivideByZero => "division by zero".to_owned(),
        ArrowError::ArithmeticOverflow(_) => "overflow".to_owned(),
        ArrowError::ExternalError(cause) => match cause.downcast_ref::<DataFusionError>() {
            Some(inner) => reason(inner).unwrap_or_else(|_| worded(&cause.to_string())),
            None => worded(&cause.to_string()),
        },
        ArrowError::CastError(message)
        | ArrowError::ParseError(message)
        | ArrowError::ComputeError(message)
        | ArrowError::InvalidArgumentError(message) => worded(message),
        other => worded(&other.to_string()),
    }
}

/// A library's message as ours: one line, without the prefixes that name its kinds of errors.
fn worded(message: &str) -> String {
    const PREFIXES: [&str; 6] =
        ["Arrow error: ", "Execution error: ", "Compute error: ", "Cast error: ", "Parser error: ", "Invalid argument error: "];
    let mut rest = message.lines().next().unwrap_or_default();
    while let Some(shorter) = PREFIXES.iter().find_map(|prefix| rest.strip_prefix(prefix)) {
        rest = shorter;
    }
    if rest.to_ascii_lowercase().contains("overflow") {
        return "overflow".to_owned();
    }
    rest.trim_end_matches('.').to_owned()
}

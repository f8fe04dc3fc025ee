//! Tests of all functions together; those of one accumulator stand beside it.

mod model;
mod parsing;
mod properties;

use arrow::array::ArrayRef;

use super::Arguments;

/// Arguments of one column without a filter.
pub(super) fn arguments(values: ArrayRef) -> Arguments {
    Arguments { values: vec![values], ..Arguments::default() }
}

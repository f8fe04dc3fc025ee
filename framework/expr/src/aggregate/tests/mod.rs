//! What the tests of the accumulators share.

use super::Arguments;
use arrow::array::ArrayRef;

/// Arguments of one column without a filter.
pub(super) fn arguments(values: ArrayRef) -> Arguments {
    Arguments { values: vec![values], filter: None, bad: Vec::new() }
}

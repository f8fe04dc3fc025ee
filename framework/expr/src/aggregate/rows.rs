//! Which rows of a batch take part in an aggregate, and the loop over them that all accumulators share.

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::NullBuffer;

use super::Arguments;

impl Arguments {
    /// The rows that pass the filter; `None`: all.
    pub(super) fn passing(&self) -> Option<NullBuffer> {
        self.filter.as_ref().map(true_rows)
    }

    /// The rows that pass the filter and whose first argument is not null; `None`: all.
    pub(super) fn taking_part(&self) -> Option<NullBuffer> {
        let valid = self.values.first().and_then(|values| values.nulls());
        match self.passing() {
            None => valid.filter(|valid| valid.null_count() > 0).cloned(),
            passing => NullBuffer::union(passing.as_ref(), valid),
        }
    }
}

/// Where the mask is true, neither false nor null.
fn true_rows(mask: &BooleanArray) -> NullBuffer {
    match mask.nulls() {
        Some(nulls) => NullBuffer::new(mask.values() & nulls.inner()),
        None => NullBuffer::new(mask.values().clone()),
    }
}

/// Calls `f(row, group)` for each row that takes part.
#[inline]
pub(super) fn each(groups: &[usize], part: Option<&NullBuffer>, mut f: impl FnMut(usize, usize)) {
    match part {
        None => groups.iter().enumerate().for_each(|(row, &group)| f(row, group)),
        Some(part) => part.valid_indices().for_each(|row| f(row, groups[row])),
    }
}

/// Lengthens a vector by group to `total` groups.
pub(super) fn grow<T: Clone + Default>(values: &mut Vec<T>, total: usize) {
    if values.len() < total {
        values.resize(total, T::default());
    }
}

/// Makes these groups as if no row had ever come into them.
pub(super) fn reset<T: Default>(values: &mut [T], groups: &[usize]) {
    for &group in groups {
        if let Some(value) = values.get_mut(group) {
            *value = T::default();
        }
    }
}

/// The valid rows of a state column.
pub(super) fn valid(column: &ArrayRef) -> Option<&NullBuffer> {
    column.nulls()
}

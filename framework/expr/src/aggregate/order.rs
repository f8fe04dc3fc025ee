//! Which row is first: a [`RowOrder`] as byte strings whose order is that of the rows.
//!
//! What `order by` says, event time, then split and position, else all columns. The bytes are part of the state of ordered aggregates, so that
//! states of different slices, subtasks and runs can be merged.

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray};
use arrow::compute::SortOptions;
use arrow::row::{RowConverter, SortField};
use millstream_api::{Error, Result};

use super::interner::normalised;
use super::{Arguments, RowOrder};

/// Byte strings one after the other.
#[derive(Default)]
pub(super) struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Keys {
    /// The keys of a batch's rows.
    pub(super) fn of(arguments: &Arguments, order: Option<&RowOrder>) -> Result<Keys> {
        let Some(order) = order else { return Err(Error::internal("an ordered aggregate was not given the order of its rows")) };
        let rows = match order.hidden.origin {
            Some(_) => None,
            None => Some(column_rows(order.records.columns())?),
        };
        let mut keys = Keys::default();
        for row in 0..order.records.num_rows() {
            if let Some(first) = &arguments.order {
                keys.bytes.extend_from_slice(first.value(row));
            }
            if let Some(times) = &order.hidden.times {
                keys.bytes.extend_from_slice(&sortable(times.value(row)));
            }
            if let Some(origin) = &order.hidden.origin {
                keys.bytes.extend_from_slice(&origin.split.value(row).to_be_bytes());
                keys.bytes.extend_from_slice(&sortable(origin.position.value(row)));
            }
            if let Some(Some(rows)) = &rows {
                keys.bytes.extend_from_slice(rows.row(row).data());
            }
            keys.ends.push(keys.bytes.len());
        }
        Ok(keys)
    }

    /// The key at an index.
    pub(super) fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    /// Adds a key at the end.
    pub(super) fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    /// Adds all keys of a state column.
    pub(super) fn push_all(&mut self, column: &ArrayRef) {
        let column: &BinaryViewArray = column.as_binary_view();
        (0..column.len()).for_each(|row| self.push(column.value(row)));
    }

    /// Memory in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>()
    }
}

/// All columns from left to right, nulls last; `None` where there are no columns.
fn column_rows(columns: &[ArrayRef]) -> Result<Option<arrow::row::Rows>> {
    if columns.is_empty() {
        return Ok(None);
    }
    let options = SortOptions { descending: false, nulls_first: false };
    let fields = columns.iter().map(|column| SortField::new_with_options(column.data_type().clone(), options)).collect();
    let columns: Vec<ArrayRef> = columns.iter().map(normalised).collect();
    Ok(Some(RowConverter::new(fields)?.convert_columns(&columns)?))
}

/// Big-endian with the sign turned: sorts as bytes like the numbers.
fn sortable(value: i64) -> [u8; 8] {
    ((value as u64) ^ (1 << 63)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, RecordBatch, StringViewArray, UInt32Array};
    use arrow::datatypes::{DataType, Field, Schema};
    use millstream_api::batch::{Hidden, Origin};

    use super::*;

    fn ranked(hidden: Hidden) -> Vec<usize> {
        let schema = Schema::new(vec![Field::new("n", DataType::Int64, true), Field::new("t", DataType::Utf8View, true)]);
        let numbers = Int64Array::from(vec![Some(2), None, Some(1), Some(1), Some(1)]);
        let texts = StringViewArray::from(vec![Some("a"), Some("a"), Some("b"), None, Some("a")]);
        let records = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(numbers), Arc::new(texts)]).unwrap();
        let keys = Keys::of(&Arguments::default(), Some(&RowOrder { hidden, records })).unwrap();
        let mut rows: Vec<usize> = (0..5).collect();
        rows.sort_by(|&a, &b| keys.get(a).cmp(keys.get(b)));
        rows
    }

    fn ints(values: [i64; 5]) -> Int64Array {
        Int64Array::from(values.to_vec())
    }

    #[test]
    fn time_then_position_then_columns() {
        assert_eq!(ranked(Hidden::default()), [4, 2, 3, 0, 1], "by columns from left to right, nulls last");
        let times = Some(ints([0, -1, i64::MAX, i64::MIN, -1]));
        assert_eq!(ranked(Hidden { times: times.clone(), ..Hidden::default() }), [3, 4, 1, 0, 2]);
        let origin = Some(Origin { split: UInt32Array::from(vec![1, 256, 1, 1, 2]), position: ints([9, 0, 8, -1, 0]) });
        assert_eq!(ranked(Hidden { origin: origin.clone(), ..Hidden::default() }), [3, 2, 0, 4, 1]);
        assert_eq!(ranked(Hidden { times, origin, ..Hidden::default() }), [3, 4, 1, 0, 2]);
    }

    #[test]
    fn without_an_order_it_is_a_mistake_of_ours() {
        assert!(Keys::of(&Arguments::default(), None).is_err());
    }
}

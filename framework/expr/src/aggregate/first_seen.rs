//! `array_agg(distinct x)` and `string_agg(distinct x)` over rows that only come: each value once, at the place of its first row.
//!
//! Of equal values the order of the first row is all that is kept, so a group has as much state as it has different values.
//! Where rows can be withdrawn another row may become the first one; [`super::standing`] keeps them all.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, new_empty_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use hashbrown::HashMap;
use millstream_api::Result;

use super::collect::{Shape, full_list_of, list_of, texts_of};
use super::interner::normalised;
use super::order::Keys;
use super::rows::each;
use super::{Arguments, Groups, RowOrder};
use crate::scalar::Evaluated;

/// Values, in Arrow's row format, with the order of the first row of each.
type Seen = HashMap<Box<[u8]>, Box<[u8]>>;

/// The values of some groups, one group after the other.
struct Ordered<'a> {
    values: ArrayRef,
    /// The order of the first row of each.
    keys: Vec<&'a [u8]>,
    /// How many values each group has.
    lengths: Vec<usize>,
}

/// What one value takes beside its bytes and those of its order.
const ENTRY_BYTES: usize = 2 * size_of::<(Box<[u8]>, Box<[u8]>)>();

/// The different values of each group.
pub(super) struct FirstSeen {
    data_type: DataType,
    shape: Shape,
    converter: RowConverter,
    groups: Vec<Seen>,
    heap_bytes: usize,
}

impl FirstSeen {
    pub(super) fn new(data_type: DataType, shape: Shape) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(data_type.clone())])?;
        Ok(FirstSeen { data_type, shape, converter, groups: Vec::new(), heap_bytes: 0 })
    }

    /// Adds values with their orders: value `i` to group `groups[i]`, unless it takes no part.
    fn add(&mut self, values: &ArrayRef, keys: &Keys, groups: &[usize], total: usize, part: Option<&NullBuffer>) -> Result<()> {
        if self.groups.len() < total {
            self.groups.resize_with(total, Seen::new);
        }
        let values = self.converter.convert_columns(&[normalised(values)])?;
        each(groups, part, |row, group| {
            let (value, key) = (values.row(row), keys.get(row));
            match self.groups[group].get_mut(value.data()) {
                Some(first) if key < first.as_ref() => {
                    self.heap_bytes = self.heap_bytes + key.len() - first.len();
                    *first = key.into();
                }
                Some(_) => {}
                None => {
                    self.groups[group].insert(value.data().into(), key.into());
                    self.heap_bytes += value.data().len() + key.len() + ENTRY_BYTES;
                }
            }
        });
        Ok(())
    }

    /// The values of these groups in order.
    fn ordered(&self, groups: &[usize]) -> Result<Ordered<'_>> {
        let (mut values, mut keys, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for &group in groups {
            let mut seen: Vec<(&[u8], &[u8])> = self.groups[group].iter().map(|(value, key)| (key.as_ref(), value.as_ref())).collect();
            seen.sort_unstable();
            lengths.push(seen.len());
            keys.extend(seen.iter().map(|(key, _)| *key));
            values.extend(seen.iter().map(|(_, value)| *value));
        }
        if values.is_empty() {
            return Ok(Ordered { values: new_empty_array(&self.data_type), keys, lengths });
        }
        let parser = self.converter.parser();
        let mut columns = self.converter.convert_rows(values.iter().map(|bytes| parser.parse(bytes)))?;
        Ok(Ordered { values: columns.swap_remove(0), keys, lengths })
    }
}

impl Groups for FirstSeen {
    fn update(&mut self, arguments: &Arguments, groups: &[usize], total: usize, order: Option<&RowOrder>) -> Result<()> {
        let part = match self.shape {
            Shape::List => arguments.passing(),
            Shape::Text(_) => arguments.taking_part(),
        };
        self.add(&arguments.values[0], &Keys::of(arguments, order)?, groups, total, part.as_ref())
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        let (values, orders) = (state[0].as_list::<i32>(), state[1].as_list::<i32>());
        let of_value: Vec<usize> =
            groups.iter().enumerate().flat_map(|(row, &group)| std::iter::repeat_n(group, values.value_length(row) as usize)).collect();
        let (first, first_order) = (values.value_offsets()[0] as usize, orders.value_offsets()[0] as usize);
        let mut keys = Keys::default();
        keys.push_all(&orders.values().slice(first_order, of_value.len()));
        self.add(&values.values().slice(first, of_value.len()), &keys, &of_value, total, None)
    }

    fn state(&mut self) -> Result<Vec<ArrayRef>> {
        let all: Vec<usize> = (0..self.groups.len()).collect();
        self.state_at(&all)
    }

    fn state_at(&mut self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        let Ordered { values, keys, lengths } = self.ordered(groups)?;
        let keys: ArrayRef = Arc::new(BinaryViewArray::from_iter_values(keys));
        Ok(vec![full_list_of(values, &lengths)?, full_list_of(keys, &lengths)?])
    }

    fn evaluate_at(&mut self, groups: &[usize]) -> Result<Evaluated> {
        let Ordered { values, lengths, .. } = self.ordered(groups)?;
        let values = match &self.shape {
            Shape::List => list_of(values, &lengths)?,
            Shape::Text(separator) => texts_of(&values, &lengths, separator),
        };
        Ok(Evaluated { values, bad: Vec::new() })
    }

    fn clear(&mut self, groups: &[usize]) -> Result<()> {
        for &group in groups {
            let gone = self.groups.get_mut(group).map(std::mem::take).unwrap_or_default();
            self.heap_bytes -= gone.iter().map(|(value, key)| value.len() + key.len() + ENTRY_BYTES).sum::<usize>();
        }
        Ok(())
    }

    fn total(&self) -> usize {
        self.groups.len()
    }

    fn size_bytes(&self) -> usize {
        self.groups.capacity() * size_of::<Seen>() + self.heap_bytes
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int64Array, RecordBatch};
    use arrow::datatypes::{Float64Type, Schema};
    use millstream_api::batch::Hidden;

    use super::*;
    use crate::aggregate::tests::arguments;

    #[test]
    fn a_value_stands_where_its_first_row_does_and_leaves_no_bytes_behind() {
        let mut list = FirstSeen::new(DataType::Float64, Shape::List).unwrap();
        let mut at = |times: Vec<i64>, values: Vec<f64>| {
            let hidden = Hidden { times: Some(Int64Array::from(times)), ..Hidden::default() };
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(values.len()));
            let records = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).unwrap();
            let groups = vec![0; values.len()];
            list.update(&arguments(Arc::new(Float64Array::from(values))), &groups, 1, Some(&RowOrder { hidden, records })).unwrap();
        };
        at(vec![5, 6, 7, 8], vec![2.0, 0.0, f64::NAN, 3.0]);
        at(vec![1, 2, 9], vec![3.0, -0.0, -f64::NAN]);
        let values = list.evaluate_at(&[0]).unwrap().values.as_list::<i32>().value(0);
        let texts: Vec<String> = values.as_primitive::<Float64Type>().values().iter().map(f64::to_string).collect();
        assert_eq!(texts, ["3", "0", "2", "NaN"]);
        list.clear(&[0]).unwrap();
        assert_eq!((list.heap_bytes, list.evaluate_at(&[0]).unwrap().values.is_null(0)), (0, true));
    }
}

//! `first_value` and `last_value`: the value, null or not, of the first or last row.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryViewArray, UInt32Array, new_null_array};
use arrow::compute::{concat, take};
use arrow::datatypes::DataType;
use millstream_api::Result;

use super::order::Keys;
use super::rows::{each, grow, reset, valid};
use super::store::Store;
use super::{Arguments, Groups, RowOrder};
use crate::scalar::Evaluated;

/// The winning row of each group.
pub(super) struct Edge {
    last: bool,
    data_type: DataType,
    /// Values of rows that won once; rewritten when most of them no longer do.
    store: Store,
    places: Vec<Option<usize>>,
    keys: Vec<Vec<u8>>,
    key_bytes: usize,
}

/// The store is rewritten when it has more than twice as many values as there are groups, and this many more.
const SLACK_ROWS: usize = 4096;

impl Edge {
    /// `last_value` when `last`, else `first_value`.
    pub(super) fn new(data_type: DataType, last: bool) -> Self {
        Edge { last, store: Store::new(data_type.clone()), data_type, places: Vec::new(), keys: Vec::new(), key_bytes: 0 }
    }

    /// Lets rows compete; `key` gives the order of each.
    fn compete<'a>(
        &mut self,
        values: &ArrayRef,
        groups: &[usize],
        part: Option<&arrow::buffer::NullBuffer>,
        total: usize,
        key: impl Fn(usize) -> &'a [u8],
    ) -> Result<()> {
        grow(&mut self.places, total);
        grow(&mut self.keys, total);
        // As if all values were added; then only those that won are, and the winners' places are set right.
        let base = self.store.len();
        each(groups, part, |row, group| {
            let (new, old) = (key(row), self.keys[group].as_slice());
            let better = if self.last { new > old } else { new < old };
            if better || self.places[group].is_none() {
                self.places[group] = Some(base + row);
                self.key_bytes = self.key_bytes + new.len() - old.len();
                self.keys[group].clear();
                self.keys[group].extend_from_slice(new);
            }
        });
        let mut winners: Vec<u32> = Vec::new();
        each(groups, part, |row, group| {
            if self.places[group] == Some(base + row) {
                winners.push(row as u32);
            }
        });
        winners.iter().enumerate().for_each(|(i, &row)| self.places[groups[row as usize]] = Some(base + i));
        self.store.push(&take(values, &UInt32Array::from(winners), None)?)?;
        self.compact()
    }

    fn compact(&mut self) -> Result<()> {
        if self.store.len() <= 2 * self.places.len() + SLACK_ROWS {
            return Ok(());
        }
        let live: Vec<usize> = self.places.iter().flatten().copied().collect();
        let mut store = Store::new(self.data_type.clone());
        store.push(&self.store.take(&live)?)?;
        self.store = store;
        self.places.iter_mut().flatten().enumerate().for_each(|(i, place)| *place = i);
        Ok(())
    }

    fn values(&self, groups: impl Iterator<Item = usize>) -> Result<ArrayRef> {
        let places: Vec<Option<usize>> = groups.map(|group| self.places[group]).collect();
        let present: Vec<usize> = places.iter().flatten().copied().collect();
        let taken = self.store.take(&present)?;
        if present.len() == places.len() {
            return Ok(taken);
        }
        let padded = concat(&[&taken, &new_null_array(&self.data_type, 1)])?;
        let mut next = 0;
        let indices: UInt32Array = places
            .iter()
            .map(|place| {
                next += u32::from(place.is_some());
                if place.is_some() { next - 1 } else { present.len() as u32 }
            })
            .collect();
        Ok(take(&padded, &indices, None)?)
    }
}

impl Groups for Edge {
    fn update(&mut self, arguments: &Arguments, groups: &[usize], total: usize, order: Option<&RowOrder>) -> Result<()> {
        let keys = Keys::of(arguments, order)?;
        self.compete(&arguments.values[0], groups, arguments.passing().as_ref(), total, |row| keys.get(row))
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        let keys = state[1].as_binary_view();
        self.compete(&state[0], groups, valid(&state[1]), total, |row| keys.value(row))
    }

    fn state(&mut self) -> Result<Vec<ArrayRef>> {
        let all: Vec<usize> = (0..self.places.len()).collect();
        self.state_at(&all)
    }

    fn state_at(&mut self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        let keys = groups.iter().map(|&group| self.places[group].is_some().then_some(self.keys[group].as_slice()));
        Ok(vec![self.values(groups.iter().copied())?, Arc::new(BinaryViewArray::from_iter(keys))])
    }

    fn evaluate_at(&mut self, groups: &[usize]) -> Result<Evaluated> {
        Ok(Evaluated { values: self.values(groups.iter().copied())?, bad: Vec::new() })
    }

    fn clear(&mut self, groups: &[usize]) -> Result<()> {
        for &group in groups {
            if let Some(key) = self.keys.get_mut(group) {
                self.key_bytes -= std::mem::take(key).len();
            }
        }
        reset(&mut self.places, groups);
        Ok(())
    }

    fn total(&self) -> usize {
        self.places.len()
    }

    fn size_bytes(&self) -> usize {
        self.store.size_bytes() + self.key_bytes + self.places.capacity() * (size_of::<Option<usize>>() + size_of::<Vec<u8>>())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, RecordBatch, RecordBatchOptions};
    use arrow::datatypes::{Int64Type, Schema};
    use millstream_api::batch::Hidden;

    use super::*;
    use crate::aggregate::tests::arguments;

    #[test]
    fn what_no_longer_wins_is_let_go_of() {
        let mut last = Edge::new(DataType::Int64, true);
        for round in 0..40i64 {
            let values = Int64Array::from_iter_values((0..1000).map(|i| round * 1000 + i));
            let options = RecordBatchOptions::new().with_row_count(Some(1000));
            let records = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).unwrap();
            let order = RowOrder { hidden: Hidden { times: Some(values.clone()), ..Hidden::default() }, records };
            let groups: Vec<usize> = (0..1000).map(|i| i % 500).collect();
            last.update(&arguments(Arc::new(values)), &groups, 501, Some(&order)).unwrap();
            assert!(last.store.len() <= 2 * 501 + SLACK_ROWS, "{}", last.store.len());
        }
        let values = last.evaluate().unwrap().values;
        assert!((0..500).all(|group| values.as_primitive::<Int64Type>().value(group) == 39_500 + group as i64));
        assert!(values.is_null(500), "a group without rows");
    }
}

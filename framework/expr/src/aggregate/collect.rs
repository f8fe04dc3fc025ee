//! `array_agg` and `string_agg`: all values of a group, in the order of the rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, ListArray, StringViewBuilder, UInt32Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field};
use millstream_api::error::ErrorKind;
use millstream_api::{Error, Result};

use super::order::Keys;
use super::rows::{each, grow};
use super::store::Store;
use super::{Arguments, Groups, RowOrder};
use crate::scalar::Evaluated;

/// What is made of the values in the end.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    /// A list, nulls included.
    List,
    /// A text, with this between the values; nulls left out.
    Text(String),
}

/// The values of each group with the keys they are ordered by.
pub(super) struct Collect {
    shape: Shape,
    store: Store,
    /// The order of each value in the store.
    keys: Keys,
    /// The positions of each group's values.
    members: Vec<Vec<usize>>,
    /// Values of groups that were cleared.
    left_over: usize,
}

impl Collect {
    pub(super) fn new(data_type: DataType, shape: Shape) -> Self {
        Collect { shape, store: Store::new(data_type), keys: Keys::default(), members: Vec::new(), left_over: 0 }
    }

    /// The positions of these groups' values in order, and how many each has.
    fn ordered(&mut self, groups: impl Iterator<Item = usize>) -> (Vec<usize>, Vec<usize>) {
        let (mut positions, mut lengths) = (Vec::new(), Vec::new());
        for group in groups {
            let members = &mut self.members[group];
            // Kept sorted: the next time there is little to do.
            members.sort_by(|&a, &b| self.keys.get(a).cmp(self.keys.get(b)));
            positions.extend_from_slice(members);
            lengths.push(members.len());
        }
        (positions, lengths)
    }

    /// Puts the values of all groups together anew.
    fn compact(&mut self) -> Result<()> {
        let (positions, _) = self.ordered(0..self.members.len());
        let mut store = Store::new(self.store.data_type().clone());
        store.push(&self.store.take(&positions)?)?;
        let mut keys = Keys::default();
        positions.iter().for_each(|&position| keys.push(self.keys.get(position)));
        (self.store, self.keys, self.left_over) = (store, keys, 0);
        self.members.iter_mut().flatten().enumerate().for_each(|(place, member)| *member = place);
        Ok(())
    }

    fn lists(&mut self, groups: impl Iterator<Item = usize>) -> Result<ArrayRef> {
        let (positions, lengths) = self.ordered(groups);
        list_of(self.store.take(&positions)?, &lengths)
    }

    fn texts(&mut self, groups: impl Iterator<Item = usize>, separator: &str) -> Result<ArrayRef> {
        let (positions, lengths) = self.ordered(groups);
        Ok(texts_of(&self.store.take(&positions)?, &lengths, separator))
    }
}

impl Groups for Collect {
    fn update(&mut self, arguments: &Arguments, groups: &[usize], total: usize, order: Option<&RowOrder>) -> Result<()> {
        grow(&mut self.members, total);
        let keys = Keys::of(arguments, order)?;
        let part = match self.shape {
            Shape::List => arguments.passing(),
            Shape::Text(_) => arguments.taking_part(),
        };
        let mut rows: Vec<u32> = Vec::with_capacity(groups.len());
        let base = self.store.len();
        each(groups, part.as_ref(), |row, group| {
            self.members[group].push(base + rows.len());
            self.keys.push(keys.get(row));
            rows.push(row as u32);
        });
        if rows.len() == groups.len() {
            return self.store.push(&arguments.values[0]);
        }
        self.store.push(&take(&arguments.values[0], &UInt32Array::from(rows), None)?)
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        grow(&mut self.members, total);
        let (values, keys) = (state[0].as_list::<i32>(), state[1].as_list::<i32>());
        let base = self.store.len();
        let first = values.value_offsets()[0];
        for (row, &group) in groups.iter().enumerate() {
            let offsets = values.value_offsets();
            let positions = (offsets[row] - first) as usize..(offsets[row + 1] - first) as usize;
            self.members[group].extend(positions.map(|position| base + position));
        }
        let all = |list: &ListArray| {
            let offsets = list.value_offsets();
            let (from, to) = (offsets[0] as usize, offsets[list.len()] as usize);
            list.values().slice(from, to - from)
        };
        self.keys.push_all(&all(keys));
        self.store.push(&all(values))
    }

    fn state(&mut self) -> Result<Vec<ArrayRef>> {
        let all: Vec<usize> = (0..self.members.len()).collect();
        self.state_at(&all)
    }

    fn state_at(&mut self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        let (positions, lengths) = self.ordered(groups.iter().copied());
        let values = self.store.take(&positions)?;
        let keys: ArrayRef = Arc::new(BinaryViewArray::from_iter_values(positions.iter().map(|&p| self.keys.get(p))));
        Ok(vec![full_list_of(values, &lengths)?, full_list_of(keys, &lengths)?])
    }

    fn evaluate_at(&mut self, groups: &[usize]) -> Result<Evaluated> {
        let groups = groups.iter().copied();
        let values = match self.shape.clone() {
            Shape::List => self.lists(groups)?,
            Shape::Text(separator) => self.texts(groups, &separator)?,
        };
        Ok(Evaluated { values, bad: Vec::new() })
    }

    fn clear(&mut self, groups: &[usize]) -> Result<()> {
        for &group in groups {
            self.left_over += self.members.get_mut(group).map(std::mem::take).unwrap_or_default().len();
        }
        if self.left_over > self.store.len() / 2 { self.compact() } else { Ok(()) }
    }

    fn total(&self) -> usize {
        self.members.len()
    }

    fn size_bytes(&self) -> usize {
        let members = self.store.len() * size_of::<usize>() + self.members.capacity() * size_of::<Vec<usize>>();
        self.store.size_bytes() + self.keys.size_bytes() + members
    }
}

/// The type of a list of these values, as array_agg gives it.
pub(super) fn list_type(item: &DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item.clone(), true)))
}

/// Texts of so many values each, with the separator between them; nulls are left out, and a text of no values is null.
pub(super) fn texts_of(values: &ArrayRef, lengths: &[usize], separator: &str) -> ArrayRef {
    let mut values = values.as_string_view().iter();
    let mut texts = StringViewBuilder::new();
    for &length in lengths {
        let parts: Vec<&str> = values.by_ref().take(length).flatten().collect();
        texts.append_option((!parts.is_empty()).then(|| parts.join(separator)));
    }
    Arc::new(texts.finish())
}

/// Lists of these lengths; an empty one is null, as SQL has it for an aggregate of no rows.
pub(super) fn list_of(values: ArrayRef, lengths: &[usize]) -> Result<ArrayRef> {
    let nulls = NullBuffer::from_iter(lengths.iter().map(|&length| length > 0));
    list_with(values, lengths, Some(nulls).filter(|nulls| nulls.null_count() > 0))
}

/// Lists of these lengths, for a state.
pub(super) fn full_list_of(values: ArrayRef, lengths: &[usize]) -> Result<ArrayRef> {
    list_with(values, lengths, None)
}

fn list_with(values: ArrayRef, lengths: &[usize], nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    if i32::try_from(values.len()).is_err() {
        return Err(Error::new(ErrorKind::Limit, "the lists of an aggregate have more than 2,147,483,647 values together")
            .help("use smaller windows, or a function that does not keep every value"));
    }
    let item = Arc::new(Field::new("item", values.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
    Ok(Arc::new(ListArray::try_new(item, offsets, values, nulls)?))
}

//! `count(*)`, `count(x)`, `bool_and` and `bool_or`: whatever follows from how many rows there are of a kind.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::datatypes::Int64Type;
use millstream_api::Result;

use super::rows::{each, grow, reset};
use super::{Arguments, Groups, RowOrder};
use crate::scalar::Evaluated;

/// Rows of each group that take part.
#[derive(Default)]
pub(super) struct Count {
    counts: Vec<i64>,
}

impl Count {
    fn add(&mut self, arguments: &Arguments, groups: &[usize], total: usize, weight: i64) {
        grow(&mut self.counts, total);
        let counts = &mut self.counts;
        if let [only] = counts.as_mut_slice() {
            let rows = arguments.taking_part().map_or(groups.len(), |part| part.len() - part.null_count());
            *only += rows as i64 * weight;
            return;
        }
        each(groups, arguments.taking_part().as_ref(), |_, group| counts[group] += weight);
    }
}

impl Groups for Count {
    fn update(&mut self, arguments: &Arguments, groups: &[usize], total: usize, _: Option<&RowOrder>) -> Result<()> {
        self.add(arguments, groups, total, 1);
        Ok(())
    }

    fn retract(&mut self, arguments: &Arguments, groups: &[usize], total: usize, _: Option<&RowOrder>) -> Result<()> {
        self.add(arguments, groups, total, -1);
        Ok(())
    }

    fn is_empty(&self, group: usize) -> bool {
        self.counts.get(group).is_none_or(|&count| count == 0)
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        grow(&mut self.counts, total);
        let added = state[0].as_primitive::<Int64Type>().values();
        groups.iter().zip(added).for_each(|(&group, added)| self.counts[group] += added);
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(Int64Array::from(self.counts.clone()))])
    }

    fn state_at(&mut self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(Int64Array::from_iter_values(groups.iter().map(|&group| self.counts[group])))])
    }

    fn evaluate_at(&mut self, groups: &[usize]) -> Result<Evaluated> {
        let values = Int64Array::from_iter_values(groups.iter().map(|&group| self.counts[group]));
        Ok(Evaluated { values: Arc::new(values), bad: Vec::new() })
    }

    fn evaluate(&mut self) -> Result<Evaluated> {
        Ok(Evaluated { values: Arc::new(Int64Array::from(self.counts.clone())), bad: Vec::new() })
    }

    fn clear(&mut self, groups: &[usize]) -> Result<()> {
        reset(&mut self.counts, groups);
        Ok(())
    }

    fn total(&self) -> usize {
        self.counts.len()
    }

    fn size_bytes(&self) -> usize {
        self.counts.capacity() * size_of::<i64>()
    }
}

/// How many true and false values each group has.
pub(super) struct Truth {
    trues: Vec<i64>,
    falses: Vec<i64>,
    all: bool,
}

impl Truth {
    /// `bool_and` when `all`, else `bool_or`.
    pub(super) fn new(all: bool) -> Self {
        Truth { trues: Vec::new(), falses: Vec::new(), all }
    }

    fn grow(&mut self, total: usize) {
        grow(&mut self.trues, total);
        grow(&mut self.falses, total);
    }

    fn add(&mut self, arguments: &Arguments, groups: &[usize], total: usize, weight: i64) {
        self.grow(total);
        let values = arguments.values[0].as_boolean();
        each(groups, arguments.taking_part().as_ref(), |row, group| {
            let counts = if values.value(row) { &mut self.trues } else { &mut self.falses };
            counts[group] += weight;
        });
    }

    fn result(&self, group: usize) -> Option<bool> {
        let (trues, falses) = (self.trues[group], self.falses[group]);
        (trues + falses != 0).then_some(if self.all { falses == 0 } else { trues != 0 })
    }
}

impl Groups for Truth {
    fn update(&mut self, arguments: &Arguments, groups: &[usize], total: usize, _: Option<&RowOrder>) -> Result<()> {
        self.add(arguments, groups, total, 1);
        Ok(())
    }

    fn retract(&mut self, arguments: &Arguments, groups: &[usize], total: usize, _: Option<&RowOrder>) -> Result<()> {
        self.add(arguments, groups, total, -1);
        Ok(())
    }

    fn is_empty(&self, group: usize) -> bool {
        self.trues.get(group).is_none_or(|&count| count == 0) && self.falses.get(group).is_none_or(|&count| count == 0)
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let (trues, falses) = (state[0].as_primitive::<Int64Type>(), state[1].as_primitive::<Int64Type>());
        for (row, &group) in groups.iter().enumerate() {
            self.trues[group] += trues.value(row);
            self.falses[group] += falses.value(row);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(Int64Array::from(self.trues.clone())), Arc::new(Int64Array::from(self.falses.clone()))])
    }

    fn state_at(&mut self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        let of = |counts: &[i64]| Arc::new(Int64Array::from_iter_values(groups.iter().map(|&group| counts[group]))) as ArrayRef;
        Ok(vec![of(&self.trues), of(&self.falses)])
    }

    fn evaluate_at(&mut self, groups: &[usize]) -> Result<Evaluated> {
        let values: BooleanArray = groups.iter().map(|&group| self.result(group)).collect();
        Ok(Evaluated { values: Arc::new(values), bad: Vec::new() })
    }

    fn clear(&mut self, groups: &[usize]) -> Result<()> {
        reset(&mut self.trues, groups);
        reset(&mut self.falses, groups);
        Ok(())
    }

    fn total(&self) -> usize {
        self.trues.len()
    }

    fn size_bytes(&self) -> usize {
        (self.trues.capacity() + self.falses.capacity()) * size_of::<i64>()
    }
}

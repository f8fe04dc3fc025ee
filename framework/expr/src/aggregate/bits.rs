//! `bit_and`, `bit_or` and `bit_xor` of integers.
//!
//! `bit_and` is `bit_or` of the complements, so nothing but zeros stands in a group without rows. Only `bit_xor` can take a row
//! back from its result; the others keep their values where rows are withdrawn ([`super::standing`]).

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use millstream_api::Result;

use super::rows::{each, grow, reset};
use super::{Arguments, Groups, RowOrder};
use crate::scalar::Evaluated;

/// How the bits of two numbers become those of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    And,
    Or,
    Xor,
}

impl Join {
    /// What is kept of a number, and what a number that was kept stands for.
    fn turned(self, bits: i64) -> i64 {
        if self == Join::And { !bits } else { bits }
    }

    /// Of two numbers as they are kept.
    fn kept(self, left: i64, right: i64) -> i64 {
        if self == Join::Xor { left ^ right } else { left | right }
    }
}

/// The bits of each group, and how many rows they are of.
pub(super) struct Bits {
    join: Join,
    kept: Vec<i64>,
    counts: Vec<i64>,
}

impl Bits {
    pub(super) fn new(join: Join) -> Self {
        Bits { join, kept: Vec::new(), counts: Vec::new() }
    }

    fn grow(&mut self, total: usize) {
        grow(&mut self.kept, total);
        grow(&mut self.counts, total);
    }

    fn add(&mut self, group: usize, kept: i64, count: i64) {
        self.kept[group] = self.join.kept(self.kept[group], kept);
        self.counts[group] += count;
    }

    fn change(&mut self, arguments: &Arguments, groups: &[usize], total: usize, weight: i64) {
        self.grow(total);
        let values = arguments.values[0].as_primitive::<Int64Type>().values();
        each(groups, arguments.taking_part().as_ref(), |row, group| self.add(group, self.join.turned(values[row]), weight));
    }
}

impl Groups for Bits {
    fn update(&mut self, arguments: &Arguments, groups: &[usize], total: usize, _: Option<&RowOrder>) -> Result<()> {
        self.change(arguments, groups, total, 1);
        Ok(())
    }

    fn retract(&mut self, arguments: &Arguments, groups: &[usize], total: usize, _: Option<&RowOrder>) -> Result<()> {
        self.change(arguments, groups, total, -1);
        Ok(())
    }

    fn is_empty(&self, group: usize) -> bool {
        self.counts.get(group).is_none_or(|&count| count == 0) && self.kept.get(group).is_none_or(|&kept| kept == 0)
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let (kept, counts) = (state[0].as_primitive::<Int64Type>().values(), state[1].as_primitive::<Int64Type>().values());
        groups.iter().enumerate().for_each(|(row, &group)| self.add(group, kept[row], counts[row]));
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(Int64Array::from(self.kept.clone())), Arc::new(Int64Array::from(self.counts.clone()))])
    }

    fn evaluate_at(&mut self, groups: &[usize]) -> Result<Evaluated> {
        let one = |&group: &usize| (self.counts[group] != 0).then(|| self.join.turned(self.kept[group]));
        let values: Int64Array = groups.iter().map(one).collect();
        Ok(Evaluated { values: Arc::new(values), bad: Vec::new() })
    }

    fn clear(&mut self, groups: &[usize]) -> Result<()> {
        reset(&mut self.kept, groups);
        reset(&mut self.counts, groups);
        Ok(())
    }

    fn total(&self) -> usize {
        self.kept.len()
    }

    fn size_bytes(&self) -> usize {
        (self.kept.capacity() + self.counts.capacity()) * size_of::<i64>()
    }
}

/// The joined bits of groups of these numbers, one group after the other; null of none.
pub(super) fn joined(values: &ArrayRef, lengths: &[usize], join: Join) -> Evaluated {
    let mut values = values.as_primitive::<Int64Type>().values().iter().map(|&value| join.turned(value));
    let one = |&length: &usize| values.by_ref().take(length).reduce(|left, right| join.kept(left, right)).map(|kept| join.turned(kept));
    let values: Int64Array = lengths.iter().map(one).collect();
    Evaluated { values: Arc::new(values), bad: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::tests::arguments;

    #[test]
    fn all_bits_take_part_and_a_group_without_rows_is_null() {
        for (join, wanted) in [(Join::And, 0b1000), (Join::Or, !0b0100), (Join::Xor, !0b1111)] {
            let values = vec![0b1010, 0b1001, !0b0100, 0b1000];
            let mut bits = Bits::new(join);
            bits.update(&arguments(Arc::new(Int64Array::from(values.clone()))), &[0; 4], 2, None).unwrap();
            let found = bits.evaluate().unwrap().values;
            let at_once = joined(&(Arc::new(Int64Array::from(values)) as ArrayRef), &[4, 0], join).values;
            assert_eq!(found.as_primitive::<Int64Type>(), &Int64Array::from(vec![Some(wanted), None]), "{join:?}");
            assert_eq!(&found, &at_once, "{join:?}");
        }
    }
}

//! `sum` and `avg` of real and double: accumulated in twice the precision and rounded once, so that neither order nor
//! merging shows. Values that a [`Double`] can't add up (infinite, not a number, near overflow) are kept apart.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::datatypes::{Float64Type, Int64Type};
use hashbrown::HashMap;
use millstream_api::Result;

use super::double::Double;
use super::rows::{each, grow, reset};
use super::{Arguments, Groups, RowOrder};
use crate::scalar::Evaluated;

/// From here on values are added up scaled by [`SCALE`], so that no partial sum can overflow: 2^63 smaller ones can't either.
const GREAT: f64 = f64::from_bits((1023 + 960) << 52);
/// 2^-64
const NEGLIGIBLE: f64 = f64::from_bits((1023 - 64) << 52);
/// 2^-128
const SCALE: f64 = f64::from_bits((1023 - 128) << 52);

/// Sums and counts by group.
pub(super) struct FloatSum {
    sums: Vec<Double>,
    counts: Vec<i64>,
    /// Groups that had values which are not finite or very great; nearly always empty.
    apart: HashMap<usize, Apart>,
    mean: bool,
}

/// What is kept apart of a group's values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Apart {
    nans: i64,
    infinite: i64,
    minus_infinite: i64,
    /// The sum of the very great ones, times [`SCALE`].
    great: Double,
}

impl Apart {
    fn add(&mut self, value: f64, weight: i64) {
        match value {
            v if v.is_nan() => self.nans += weight,
            f64::INFINITY => self.infinite += weight,
            f64::NEG_INFINITY => self.minus_infinite += weight,
            v => self.great = self.great.plus(v * SCALE * weight as f64),
        }
    }

    fn merge(&mut self, other: &Apart) {
        self.nans += other.nans;
        self.infinite += other.infinite;
        self.minus_infinite += other.minus_infinite;
        self.great = self.great.plus_double(other.great);
    }

    /// The sum of a group with these values, if it is not finite.
    fn special(&self) -> Option<f64> {
        match (self.nans, self.infinite, self.minus_infinite) {
            (0, 0, 0) => None,
            (0, _, 0) => Some(f64::INFINITY),
            (0, 0, _) => Some(f64::NEG_INFINITY),
            _ => Some(f64::NAN),
        }
    }
}

impl FloatSum {
    /// `avg` when `mean`, else `sum`.
    pub(super) fn new(mean: bool) -> Self {
        FloatSum { sums: Vec::new(), counts: Vec::new(), apart: HashMap::new(), mean }
    }

    fn grow(&mut self, total: usize) {
        grow(&mut self.sums, total);
        grow(&mut self.counts, total);
    }

    fn add(&mut self, arguments: &Arguments, groups: &[usize], total: usize) {
        self.grow(total);
        let values = arguments.values[0].as_primitive::<Float64Type>().values();
        let FloatSum { sums, counts, apart, .. } = self;
        each(groups, arguments.taking_part().as_ref(), |row, group| {
            let value = values[row];
            counts[group] += 1;
            if value.abs() < GREAT {
                sums[group] = sums[group].plus(value);
            } else {
                apart.entry(group).or_default().add(value, 1);
            }
        });
    }

    /// Called when as many rows were withdrawn as came, the last of them with `value`. If nothing is left but what was lost
    /// far behind the point, the sum is exactly zero again; else some withdrawal is ahead of its row.
    fn settle(&mut self, group: usize, value: f64) {
        if self.sums[group].high.abs() <= value.abs() * NEGLIGIBLE {
            self.sums[group] = Double::default();
        }
        if self.apart.get(&group).is_some_and(|apart| *apart == Apart::default()) {
            self.apart.remove(&group);
        }
    }

    fn result(&self, group: usize) -> Option<f64> {
        let count = self.counts[group];
        if count == 0 {
            return None;
        }
        let finish = |sum: Double| if self.mean { sum.divided(count) } else { sum.rounded() };
        Some(match self.apart.get(&group) {
            None => finish(self.sums[group]),
            Some(apart) => match apart.special() {
                Some(special) => special,
                None if apart.great.high == 0.0 => finish(self.sums[group]),
                None => finish(apart.great.plus_double(self.sums[group].scaled(SCALE))) / SCALE,
            },
        })
    }
}

impl Groups for FloatSum {
    fn update(&mut self, arguments: &Arguments, groups: &[usize], total: usize, _: Option<&RowOrder>) -> Result<()> {
        self.add(arguments, groups, total);
        Ok(())
    }

    fn retract(&mut self, arguments: &Arguments, groups: &[usize], total: usize, _: Option<&RowOrder>) -> Result<()> {
        self.grow(total);
        let values = arguments.values[0].as_primitive::<Float64Type>().values();
        each(groups, arguments.taking_part().as_ref(), |row, group| {
            let value = values[row];
            self.counts[group] -= 1;
            if value.abs() < GREAT {
                self.sums[group] = self.sums[group].plus(-value);
            } else {
                self.apart.entry(group).or_default().add(value, -1);
            }
            if self.counts[group] == 0 {
                self.settle(group, value);
            }
        });
        Ok(())
    }

    fn is_empty(&self, group: usize) -> bool {
        let nothing = self.counts.get(group).is_none_or(|&count| count == 0) && !self.apart.contains_key(&group);
        nothing && self.sums.get(group).is_none_or(|sum| sum.high == 0.0)
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let floats = |column: usize| state[column].as_primitive::<Float64Type>();
        let ints = |column: usize| state[column].as_primitive::<Int64Type>();
        let (high, low, counts) = (floats(0), floats(1), ints(2));
        for (row, &group) in groups.iter().enumerate() {
            self.sums[group] = self.sums[group].plus_double(Double { high: high.value(row), low: low.value(row) });
            self.counts[group] += counts.value(row);
            if ints(3).is_valid(row) {
                let great = Double { high: floats(6).value(row), low: floats(7).value(row) };
                let (nans, infinite, minus_infinite) = (ints(3).value(row), ints(4).value(row), ints(5).value(row));
                self.apart.entry(group).or_default().merge(&Apart { nans, infinite, minus_infinite, great });
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ArrayRef>> {
        let all: Vec<usize> = (0..self.sums.len()).collect();
        self.state_at(&all)
    }

    fn state_at(&mut self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        let ints = |of: fn(&Apart) -> i64| -> ArrayRef {
            Arc::new(groups.iter().map(|group| self.apart.get(group).map(of)).collect::<Int64Array>())
        };
        let floats = |of: fn(&Apart) -> f64| -> ArrayRef {
            Arc::new(groups.iter().map(|group| self.apart.get(group).map(of)).collect::<Float64Array>())
        };
        Ok(vec![
            Arc::new(groups.iter().map(|&group| Some(self.sums[group].high)).collect::<Float64Array>()),
            Arc::new(groups.iter().map(|&group| Some(self.sums[group].low)).collect::<Float64Array>()),
            Arc::new(groups.iter().map(|&group| self.counts[group]).collect::<Int64Array>()),
            ints(|apart| apart.nans),
            ints(|apart| apart.infinite),
            ints(|apart| apart.minus_infinite),
            floats(|apart| apart.great.high),
            floats(|apart| apart.great.low),
        ])
    }

    fn evaluate_at(&mut self, groups: &[usize]) -> Result<Evaluated> {
        let values: Float64Array = groups.iter().map(|&group| self.result(group)).collect();
        Ok(Evaluated { values: Arc::new(values), bad: Vec::new() })
    }

    fn clear(&mut self, groups: &[usize]) -> Result<()> {
        reset(&mut self.sums, groups);
        reset(&mut self.counts, groups);
        self.apart.retain(|group, _| !groups.contains(group));
        Ok(())
    }

    fn total(&self) -> usize {
        self.sums.len()
    }

    fn size_bytes(&self) -> usize {
        self.sums.capacity() * size_of::<Double>() + self.counts.capacity() * size_of::<i64>() + self.apart.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::tests::arguments;

    fn sum_of(values: &[f64]) -> f64 {
        let mut sum = FloatSum::new(false);
        sum.update(&arguments(Arc::new(Float64Array::from(values.to_vec()))), &vec![0; values.len()], 1, None).unwrap();
        sum.result(0).unwrap()
    }

    #[test]
    fn the_ends_of_the_range_do_not_depend_on_order() {
        assert_eq!(sum_of(&[f64::MAX, f64::MAX, -f64::MAX, 1.0]), f64::MAX);
        assert_eq!(sum_of(&[-f64::MAX, 1.0, f64::MAX]), 1.0);
        assert_eq!(sum_of(&[f64::MAX, f64::MAX]), f64::INFINITY);
        assert!(sum_of(&[f64::INFINITY, 1.0, f64::NEG_INFINITY]).is_nan());
        assert!(sum_of(&[f64::NAN, f64::INFINITY]).is_nan());
        assert_eq!(sum_of(&[f64::NEG_INFINITY, f64::MAX, 3.0]), f64::NEG_INFINITY);
        assert_eq!(sum_of(&[-0.0, -0.0]).to_bits(), 0);
    }

    #[test]
    fn a_withdrawn_nan_is_gone() {
        let mut sum = FloatSum::new(true);
        let of = |v: Vec<f64>| arguments(Arc::new(Float64Array::from(v)));
        sum.update(&of(vec![f64::NAN, 0.1, 0.2]), &[0, 0, 0], 1, None).unwrap();
        sum.retract(&of(vec![f64::NAN, 0.1]), &[0, 0], 1, None).unwrap();
        assert_eq!(sum.result(0), Some(0.2));
        sum.retract(&of(vec![0.2]), &[0], 1, None).unwrap();
        assert_eq!((sum.result(0), sum.apart.len()), (None, 0));
    }
}

//! `sum` and `avg` of integers and decimals, exact: the sum is 192 bits wide and judged only when it is asked for, so that
//! neither order nor merging nor a withdrawal can make it overflow on the way.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array};
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, DecimalType, Int64Type, i256};
use hashbrown::HashMap;
use millstream_api::Result;

use super::rows::{each, grow, reset};
use super::{Arguments, Groups, RowOrder};
use crate::scalar::{BadValue, Evaluated};

/// What is made of sum and count in the end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Finish {
    /// The sum of integers as bigint.
    Bigint,
    /// The sum of decimals as decimal(38, scale).
    Decimal { scale: i8 },
    /// The mean of integers as double.
    MeanDouble,
    /// The mean of decimals, `shift` digits finer than they are, rounded half away from zero.
    MeanDecimal { precision: u8, scale: i8, shift: u8 },
}

/// Sums and counts by group.
pub(super) struct ExactSum {
    /// The lower 128 bits of each sum.
    sums: Vec<i128>,
    /// What is above them; empty nearly always.
    carries: HashMap<usize, i64>,
    counts: Vec<i64>,
    finish: Finish,
}

impl ExactSum {
    pub(super) fn new(finish: Finish) -> Self {
        ExactSum { sums: Vec::new(), carries: HashMap::new(), counts: Vec::new(), finish }
    }

    fn grow(&mut self, total: usize) {
        grow(&mut self.sums, total);
        grow(&mut self.counts, total);
    }

    #[inline]
    fn add(&mut self, group: usize, value: i128, count: i64) {
        let (sum, overflowed) = self.sums[group].overflowing_add(value);
        self.sums[group] = sum;
        self.counts[group] += count;
        if overflowed {
            self.carry(group, if value > 0 { 1 } else { -1 });
        }
    }

    #[cold]
    fn carry(&mut self, group: usize, carry: i64) {
        let carried = self.carries.entry(group).or_default();
        *carried += carry;
        if *carried == 0 {
            self.carries.remove(&group);
        }
    }

    fn accumulate(&mut self, arguments: &Arguments, groups: &[usize], total: usize, weight: i64) {
        self.grow(total);
        let part = arguments.taking_part();
        match arguments.values[0].data_type() {
            DataType::Decimal128(_, _) => {
                let values = arguments.values[0].as_primitive::<Decimal128Type>().values();
                // A decimal has at most 38 digits, so its negative is there.
                each(groups, part.as_ref(), |row, group| self.add(group, values[row] * i128::from(weight), weight));
            }
            _ => {
                let values = arguments.values[0].as_primitive::<Int64Type>().values();
                each(groups, part.as_ref(), |row, group| self.add(group, i128::from(values[row]) * i128::from(weight), weight));
            }
        }
    }

    /// The sum, unless it needs more than 128 bits.
    fn sum(&self, group: usize) -> Option<i128> {
        (self.carries.is_empty() || !self.carries.contains_key(&group)).then(|| self.sums.get(group).copied().unwrap_or(0))
    }

    /// The result of each group: `None` for no value, an error for one that does not fit.
    fn results<T>(&self, groups: &[usize], finish: impl Fn(i128, i64) -> Option<T>, too_great: &str) -> (Vec<Option<T>>, Vec<BadValue>) {
        let mut bad = Vec::new();
        let values = groups.iter().enumerate().map(|(row, &group)| {
            let count = self.counts[group];
            if count == 0 {
                return None;
            }
            let result = self.sum(group).and_then(|sum| finish(sum, count));
            if result.is_none() {
                bad.push(BadValue { row, reason: format!("overflow: {too_great}") });
            }
            result
        });
        (values.collect(), bad)
    }
}

impl Groups for ExactSum {
    fn update(&mut self, arguments: &Arguments, groups: &[usize], total: usize, _: Option<&RowOrder>) -> Result<()> {
        self.accumulate(arguments, groups, total, 1);
        Ok(())
    }

    fn retract(&mut self, arguments: &Arguments, groups: &[usize], total: usize, _: Option<&RowOrder>) -> Result<()> {
        self.accumulate(arguments, groups, total, -1);
        Ok(())
    }

    fn is_empty(&self, group: usize) -> bool {
        self.counts.get(group).is_none_or(|&count| count == 0) && self.sum(group) == Some(0)
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let sums = state[0].as_primitive::<Decimal128Type>().values();
        let carries = state[1].as_primitive::<Int64Type>();
        let counts = state[2].as_primitive::<Int64Type>().values();
        for (row, &group) in groups.iter().enumerate() {
            self.add(group, sums[row], counts[row]);
            if carries.value(row) != 0 {
                self.carry(group, carries.value(row));
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ArrayRef>> {
        let all: Vec<usize> = (0..self.sums.len()).collect();
        self.state_at(&all)
    }

    fn state_at(&mut self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        let carries = match self.carries.is_empty() {
            true => Int64Array::from_value(0, groups.len()),
            false => groups.iter().map(|group| self.carries.get(group).copied().unwrap_or(0)).collect(),
        };
        let sums = Decimal128Array::from_iter_values(groups.iter().map(|&group| self.sums[group]));
        let counts = Int64Array::from_iter_values(groups.iter().map(|&group| self.counts[group]));
        Ok(vec![Arc::new(sums.with_data_type(STATE_SUM)), Arc::new(carries), Arc::new(counts)])
    }

    fn evaluate_at(&mut self, groups: &[usize]) -> Result<Evaluated> {
        let (values, bad): (ArrayRef, _) = match self.finish {
            Finish::Bigint => {
                let (values, bad) = self.results(groups, |sum, _| i64::try_from(sum).ok(), "the sum does not fit bigint");
                (Arc::new(Int64Array::from(values)), bad)
            }
            Finish::Decimal { scale } => {
                let precision = DECIMAL128_MAX_PRECISION;
                let text = format!("the sum does not fit decimal({precision},{scale})");
                let (values, bad) = self.results(groups, |sum, _| fits(sum, precision).then_some(sum), &text);
                (Arc::new(Decimal128Array::from(values).with_data_type(DataType::Decimal128(precision, scale))), bad)
            }
            Finish::MeanDouble => {
                let (values, bad) = self.results(groups, |sum, count| Some(sum as f64 / count as f64), "");
                (Arc::new(Float64Array::from(values)), bad)
            }
            Finish::MeanDecimal { precision, scale, shift } => {
                let text = format!("the mean does not fit decimal({precision},{scale})");
                let (values, bad) = self.results(groups, |sum, count| decimal_mean(sum, count, shift, precision), &text);
                (Arc::new(Decimal128Array::from(values).with_data_type(DataType::Decimal128(precision, scale))), bad)
            }
        };
        Ok(Evaluated { values, bad })
    }

    fn clear(&mut self, groups: &[usize]) -> Result<()> {
        reset(&mut self.sums, groups);
        reset(&mut self.counts, groups);
        self.carries.retain(|group, _| !groups.contains(group));
        Ok(())
    }

    fn total(&self) -> usize {
        self.sums.len()
    }

    fn size_bytes(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.counts.capacity() * size_of::<i64>() + self.carries.allocation_size()
    }
}

/// The type of the sum's lower bits in a state; only its bits count.
pub(super) const STATE_SUM: DataType = DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0);

fn fits(value: i128, precision: u8) -> bool {
    Decimal128Type::is_valid_decimal_precision(value, precision)
}

/// `sum / count` with `shift` more digits, rounded half away from zero.
fn decimal_mean(sum: i128, count: i64, shift: u8, precision: u8) -> Option<i128> {
    let shifted = i256::from_i128(sum).checked_mul(i256::from_i128(10i128.pow(u32::from(shift))))?;
    let count = i256::from_i128(i128::from(count));
    let (quotient, rest) = (shifted.checked_div(count)?, shifted.checked_rem(count)?);
    let doubled = rest.wrapping_abs().checked_add(rest.wrapping_abs())?;
    let away = if doubled >= count.wrapping_abs() { (shifted.signum() * count.signum()).to_i128()? } else { 0 };
    quotient.to_i128()?.checked_add(away).filter(|&mean| fits(mean, precision))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::tests::arguments;

    fn decimals(values: &[i128], scale: i8) -> Arguments {
        arguments(Arc::new(Decimal128Array::from(values.to_vec()).with_data_type(DataType::Decimal128(38, scale))))
    }

    #[test]
    fn an_overflow_on_the_way_does_not_show() {
        let most = 10i128.pow(38) - 1;
        let mut sum = ExactSum::new(Finish::Decimal { scale: 0 });
        sum.update(&decimals(&[most, most, most, -most, -most, 7], 0), &[0; 6], 1, None).unwrap();
        assert_eq!(sum.evaluate().unwrap().bad.len(), 1);
        let mut other = ExactSum::new(Finish::Decimal { scale: 0 });
        other.merge(&sum.state().unwrap(), &[0], 1).unwrap();
        other.update(&decimals(&[-most], 0), &[0], 1, None).unwrap();
        let result = other.evaluate().unwrap();
        assert!(result.bad.is_empty());
        assert_eq!(result.values.as_primitive::<Decimal128Type>().value(0), 7);
    }

    #[test]
    fn bigint_sums_are_judged_in_the_end() {
        let mut sum = ExactSum::new(Finish::Bigint);
        sum.update(&arguments(Arc::new(Int64Array::from(vec![i64::MAX, 1]))), &[0, 0], 2, None).unwrap();
        let result = sum.evaluate().unwrap();
        assert_eq!(result.bad, [BadValue { row: 0, reason: "overflow: the sum does not fit bigint".to_owned() }]);
        assert!(result.values.is_null(1));
        sum.retract(&arguments(Arc::new(Int64Array::from(vec![2]))), &[0], 2, None).unwrap();
        assert_eq!(sum.evaluate().unwrap().values.as_primitive::<Int64Type>().value(0), i64::MAX - 1);
    }

    #[test]
    fn decimal_means_round_half_away_from_zero() {
        for (sum, count, shift, mean) in [(1, 3, 4, 3333), (2, 3, 4, 6667), (-1, 2, 0, -1), (1, 2, 0, 1), (-2, 3, 4, -6667), (0, 5, 4, 0)] {
            assert_eq!(decimal_mean(sum, count, shift, 38), Some(mean), "{sum} / {count}");
        }
        assert_eq!(decimal_mean(10i128.pow(37), 1, 4, 38), None);
    }
}

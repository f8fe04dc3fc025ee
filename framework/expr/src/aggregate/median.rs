//! `median`: the middle of all values, or the mean of the two in the middle. Exact, so it keeps every value of a group.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array};
use arrow::array::{ArrowPrimitiveType, PrimitiveArray};
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL128_MAX_SCALE, DataType, Decimal128Type, DecimalType, Float64Type};
use millstream_api::Result;

use super::collect::full_list_of;
use super::rows::{each, grow};
use super::{Arguments, Groups, RowOrder};
use crate::scalar::{BadValue, Evaluated};

/// A type that has a median.
pub(super) trait Middle: ArrowPrimitiveType {
    /// Sorts values, NaN last.
    fn sort(values: &mut [Self::Native]);
    /// The results; `None` inside: it does not fit.
    fn array(medians: Vec<Option<Option<Self::Native>>>, result: &DataType) -> ArrayRef;
    /// The mean of two values in the unit of the result; `None`: it does not fit.
    fn between(a: Self::Native, b: Self::Native, result: &DataType) -> Option<Self::Native>;
}

impl Middle for Float64Type {
    fn sort(values: &mut [f64]) {
        values.sort_unstable_by(|a, b| a.is_nan().cmp(&b.is_nan()).then(a.total_cmp(b)));
    }

    fn array(medians: Vec<Option<Option<f64>>>, _: &DataType) -> ArrayRef {
        Arc::new(medians.into_iter().map(Option::flatten).collect::<Float64Array>())
    }

    fn between(a: f64, b: f64, _: &DataType) -> Option<f64> {
        Some(if a == b { a + 0.0 } else { a / 2.0 + b / 2.0 })
    }
}

impl Middle for Decimal128Type {
    fn sort(values: &mut [i128]) {
        values.sort_unstable();
    }

    fn array(medians: Vec<Option<Option<i128>>>, result: &DataType) -> ArrayRef {
        Arc::new(medians.into_iter().map(Option::flatten).collect::<Decimal128Array>().with_data_type(result.clone()))
    }

    fn between(a: i128, b: i128, result: &DataType) -> Option<i128> {
        let DataType::Decimal128(precision, scale) = result else { return None };
        let sum = a.checked_add(b)?;
        // The result has one digit more than the values, unless their scale is the greatest there is.
        let mean = if *scale < DECIMAL128_MAX_SCALE { sum.checked_mul(5)? } else { sum / 2 };
        Decimal128Type::is_valid_decimal_precision(mean, *precision).then_some(mean)
    }
}

/// The type of the median of decimals: exact, so one digit finer.
pub(super) fn decimal_median(precision: u8, scale: i8) -> DataType {
    DataType::Decimal128((precision + 1).min(DECIMAL128_MAX_PRECISION), (scale + 1).min(DECIMAL128_MAX_SCALE))
}

/// The medians of groups of which these are the two values in the middle (twice the same, where there is one in the middle);
/// `lengths` says whether a group has values: 2, else 0.
pub(super) fn between(values: &ArrayRef, lengths: &[usize], result: &DataType) -> Evaluated {
    fn of<T: Middle>(values: &ArrayRef, lengths: &[usize], result: &DataType) -> Evaluated {
        let mut pairs = values.as_primitive::<T>().values().chunks_exact(2);
        let mut next = |length: &usize| (*length > 0).then(|| pairs.next()).flatten();
        finished::<T>(lengths.iter().map(|length| next(length).map(|pair| T::between(pair[0], pair[1], result))).collect(), result)
    }
    match values.data_type() {
        DataType::Decimal128(_, _) => of::<Decimal128Type>(values, lengths, result),
        _ => of::<Float64Type>(values, lengths, result),
    }
}

/// Results, with those that do not fit among the bad ones.
fn finished<T: Middle>(medians: Vec<Option<Option<T::Native>>>, result: &DataType) -> Evaluated {
    let reason = format!("overflow: the median does not fit {}", millstream_api::types::SqlName(result));
    let too_great = medians.iter().enumerate().filter(|(_, median)| matches!(median, Some(None)));
    let bad = too_great.map(|(row, _)| BadValue { row, reason: reason.clone() }).collect();
    Evaluated { values: T::array(medians, result), bad }
}

/// All values of each group.
pub(super) struct Median<T: Middle> {
    values: Vec<Vec<T::Native>>,
    /// How many values there are in all.
    held: usize,
    argument: DataType,
    result: DataType,
}

impl<T: Middle> Median<T> {
    pub(super) fn new(argument: DataType, result: DataType) -> Self {
        Median { values: Vec::new(), held: 0, argument, result }
    }

    /// The median of a group: `None` without values, `Some(None)` if it does not fit.
    fn median(&mut self, group: usize) -> Option<Option<T::Native>> {
        let values = &mut self.values[group];
        // Kept sorted: the next time there is little to do.
        T::sort(values);
        let upper = *values.get(values.len() / 2)?;
        let lower = if values.len() % 2 == 1 { upper } else { values[values.len() / 2 - 1] };
        Some(T::between(lower, upper, &self.result))
    }
}

impl<T: Middle> Groups for Median<T> {
    fn update(&mut self, arguments: &Arguments, groups: &[usize], total: usize, _: Option<&RowOrder>) -> Result<()> {
        grow(&mut self.values, total);
        let values = arguments.values[0].as_primitive::<T>().values();
        each(groups, arguments.taking_part().as_ref(), |row, group| {
            self.values[group].push(values[row]);
            self.held += 1;
        });
        Ok(())
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        grow(&mut self.values, total);
        let lists = state[0].as_list::<i32>();
        for (row, &group) in groups.iter().enumerate() {
            let list = lists.value(row);
            self.values[group].extend_from_slice(list.as_primitive::<T>().values());
            self.held += list.len();
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ArrayRef>> {
        let all: Vec<usize> = (0..self.values.len()).collect();
        self.state_at(&all)
    }

    fn state_at(&mut self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        let lengths: Vec<usize> = groups.iter().map(|&group| self.values[group].len()).collect();
        let values: PrimitiveArray<T> = groups.iter().flat_map(|&group| &self.values[group]).copied().map(Some).collect();
        Ok(vec![full_list_of(Arc::new(values.with_data_type(self.argument.clone())), &lengths)?])
    }

    fn evaluate_at(&mut self, groups: &[usize]) -> Result<Evaluated> {
        let medians: Vec<_> = groups.iter().map(|&group| self.median(group)).collect();
        Ok(finished::<T>(medians, &self.result))
    }

    fn clear(&mut self, groups: &[usize]) -> Result<()> {
        for &group in groups {
            self.held -= self.values.get_mut(group).map(std::mem::take).unwrap_or_default().len();
        }
        Ok(())
    }

    fn total(&self) -> usize {
        self.values.len()
    }

    fn size_bytes(&self) -> usize {
        self.held * size_of::<T::Native>() + self.values.capacity() * size_of::<Vec<T::Native>>()
    }
}

//! `stddev` and `variance`: mean and squared deviations by Welford's method, merged by that of Chan, Golub and LeVeque.
//!
//! The mean of finite values is always finite, so that squares which are not are known for an overflow.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::datatypes::{Float64Type, Int64Type};
use millstream_api::Result;

use super::rows::{each, grow, reset};
use super::{Arguments, Groups, RowOrder};
use crate::scalar::{BadValue, Evaluated};

/// Which measure of spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Measure {
    /// Of a sample (divided by n − 1), else of the whole population.
    pub(super) sample: bool,
    /// The root of the variance.
    pub(super) root: bool,
}

/// Moments by group.
pub(super) struct Spread {
    moments: Vec<Moments>,
    measure: Measure,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    pub(super) count: i64,
    pub(super) mean: f64,
    /// The sum of the squared deviations from the mean.
    pub(super) squares: f64,
}

impl Moments {
    #[inline]
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1;
        let deviation = value - self.mean;
        if deviation.is_infinite() {
            self.move_far(value, 1.0 / self.count as f64);
        } else {
            self.mean += deviation / self.count as f64;
        }
        self.squares += deviation * (value - self.mean);
    }

    pub(super) fn merge(&mut self, other: Moments) {
        if self.count == 0 || other.count == 0 {
            // Nothing is rounded: a state that is restored gives what it gave before.
            *self = if self.count == 0 { other } else { *self };
            return;
        }
        let count = self.count + other.count;
        let deviation = other.mean - self.mean;
        let share = other.count as f64 / count as f64;
        self.squares += other.squares + deviation * deviation * self.count as f64 * share;
        if deviation.is_infinite() {
            self.move_far(other.mean, share);
        } else {
            self.mean += deviation * share;
        }
        self.count = count;
    }

    /// Moves the mean by a share of its way to a value that is further off than any double: in two halves, as neither overflows.
    #[cold]
    fn move_far(&mut self, value: f64, share: f64) {
        let half = (value / 2.0 - self.mean / 2.0) * share;
        self.mean = self.mean + half + half;
    }

    /// The measure; `None` of too few values.
    fn measured(&self, measure: Measure) -> Option<f64> {
        let divisor = self.count - i64::from(measure.sample);
        (divisor > 0).then(|| {
            let variance = self.squares / divisor as f64;
            if measure.root { variance.sqrt() } else { variance }
        })
    }

    /// Whether every value was finite, but not what their measure is made of.
    fn overflowed(&self) -> bool {
        self.mean.is_finite() && !self.squares.is_finite()
    }
}

/// The measures of the groups with these moments; an overflow is bad.
fn evaluated(moments: impl Iterator<Item = Moments>, measure: Measure) -> Evaluated {
    let mut bad = Vec::new();
    let values = moments.enumerate().map(|(row, moments)| {
        let value = moments.measured(measure)?;
        if moments.overflowed() {
            bad.push(BadValue { row, reason: "overflow: the squared deviations from the mean do not fit double".to_owned() });
            return None;
        }
        Some(value)
    });
    let values: Float64Array = values.collect();
    Evaluated { values: Arc::new(values), bad }
}

/// The measures of groups of these values, one group after the other.
pub(super) fn measured(values: &ArrayRef, lengths: &[usize], measure: Measure) -> Evaluated {
    let mut values = values.as_primitive::<Float64Type>().values().iter();
    let moments = lengths.iter().map(|&length| {
        let mut moments = Moments::default();
        values.by_ref().take(length).for_each(|&value| moments.add(value));
        moments
    });
    evaluated(moments, measure)
}

impl Spread {
    pub(super) fn new(measure: Measure) -> Self {
        Spread { moments: Vec::new(), measure }
    }
}

impl Groups for Spread {
    fn update(&mut self, arguments: &Arguments, groups: &[usize], total: usize, _: Option<&RowOrder>) -> Result<()> {
        grow(&mut self.moments, total);
        let values = arguments.values[0].as_primitive::<Float64Type>().values();
        each(groups, arguments.taking_part().as_ref(), |row, group| self.moments[group].add(values[row]));
        Ok(())
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        grow(&mut self.moments, total);
        let counts = state[0].as_primitive::<Int64Type>();
        let (means, squares) = (state[1].as_primitive::<Float64Type>(), state[2].as_primitive::<Float64Type>());
        for (row, &group) in groups.iter().enumerate() {
            let other = Moments { count: counts.value(row), mean: means.value(row), squares: squares.value(row) };
            self.moments[group].merge(other);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ArrayRef>> {
        let all: Vec<usize> = (0..self.moments.len()).collect();
        self.state_at(&all)
    }

    fn state_at(&mut self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        let moments = || groups.iter().map(|&group| &self.moments[group]);
        Ok(vec![
            Arc::new(moments().map(|m| Some(m.count)).collect::<Int64Array>()),
            Arc::new(moments().map(|m| Some(m.mean)).collect::<Float64Array>()),
            Arc::new(moments().map(|m| Some(m.squares)).collect::<Float64Array>()),
        ])
    }

    fn evaluate_at(&mut self, groups: &[usize]) -> Result<Evaluated> {
        Ok(evaluated(groups.iter().map(|&group| self.moments[group]), self.measure))
    }

    fn clear(&mut self, groups: &[usize]) -> Result<()> {
        reset(&mut self.moments, groups);
        Ok(())
    }

    fn total(&self) -> usize {
        self.moments.len()
    }

    fn size_bytes(&self) -> usize {
        self.moments.capacity() * size_of::<Moments>()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;

    use super::*;
    use crate::aggregate::tests::arguments;

    const ROOT: Measure = Measure { sample: true, root: true };

    fn of(values: &[f64]) -> Spread {
        let mut spread = Spread::new(ROOT);
        spread.update(&arguments(Arc::new(Float64Array::from(values.to_vec()))), &vec![0; values.len()], 1, None).unwrap();
        spread
    }

    /// The values one by one, as the two halves merged, and as values that are kept: `None` where the result is an overflow.
    fn measures(values: &[f64]) -> [Option<f64>; 3] {
        let (left, right) = values.split_at(values.len() / 2);
        let mut merged = of(left);
        merged.merge(&of(right).state().unwrap(), &[0], 1).unwrap();
        let kept: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
        let all = [of(values).evaluate_at(&[0]).unwrap(), merged.evaluate_at(&[0]).unwrap(), measured(&kept, &[values.len()], ROOT)];
        all.map(|all| {
            assert_eq!(all.values.is_null(0), all.bad.len() == 1);
            all.bad.is_empty().then(|| all.values.as_primitive::<Float64Type>().value(0))
        })
    }

    #[test]
    fn finite_values_that_overflow_are_an_error() {
        for values in [[1e200, -1e200], [-1e308, 1e308], [f64::MAX, f64::MIN]] {
            assert_eq!(measures(&values), [None; 3], "{values:?}");
        }
        let many = [f64::MAX, f64::MAX, f64::MIN, f64::MIN, 1.0, f64::MIN, f64::MAX];
        assert_eq!(measures(&many), [None; 3]);
        assert_eq!(measures(&[1e308, 1e308]), [Some(0.0); 3]);
        assert_eq!(measures(&[3e150, 1e150, 2e150]).map(|value| value.map(|value| (value / 1e147).round())), [Some(1000.0); 3]);
    }

    #[test]
    fn values_that_are_not_finite_are_no_overflow() {
        for special in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for values in [[special, 1.0, f64::MAX, f64::MIN], [f64::MAX, f64::MIN, special, 1.0], [special, special, 2.0, -special]] {
                assert!(measures(&values).iter().all(|value| value.is_some_and(f64::is_nan)), "{values:?}");
            }
        }
    }

    #[test]
    fn the_row_of_the_overflow_is_told_and_too_few_values_are_null() {
        let mut spread = of(&[1e200]);
        let rest = Float64Array::from(vec![-1e200, 1.0, 3.0, 1e308]);
        spread.update(&arguments(Arc::new(rest)), &[0, 1, 1, 2], 3, None).unwrap();
        let result = spread.evaluate_at(&[2, 1, 0]).unwrap();
        let rows: Vec<usize> = result.bad.iter().map(|bad| bad.row).collect();
        assert_eq!((rows, result.values.null_count()), (vec![2], 2));
        assert!(result.bad[0].reason.starts_with("overflow: "));
    }
}

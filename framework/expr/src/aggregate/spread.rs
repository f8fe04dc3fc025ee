//! `stddev` and `variance`: mean and squared deviations by Welford's method, merged by that of Chan, Golub and LeVeque.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::datatypes::{Float64Type, Int64Type};
use millstream_api::Result;

use super::rows::{each, grow, reset};
use super::{Arguments, Groups, RowOrder};
use crate::scalar::Evaluated;

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
struct Moments {
    count: i64,
    mean: f64,
    /// The sum of the squared deviations from the mean.
    squares: f64,
}

impl Moments {
    #[inline]
    fn add(&mut self, value: f64) {
        self.count += 1;
        let deviation = value - self.mean;
        self.mean += deviation / self.count as f64;
        self.squares += deviation * (value - self.mean);
    }

    fn merge(&mut self, other: Moments) {
        if self.count == 0 || other.count == 0 {
            // Nothing is rounded: a state that is restored gives what it gave before.
            *self = if self.count == 0 { other } else { *self };
            return;
        }
        let count = self.count + other.count;
        let deviation = other.mean - self.mean;
        let share = other.count as f64 / count as f64;
        self.squares += other.squares + deviation * deviation * self.count as f64 * share;
        self.mean += deviation * share;
        self.count = count;
    }

    /// The measure; `None` of too few values.
    fn measured(&self, measure: Measure) -> Option<f64> {
        let divisor = self.count - i64::from(measure.sample);
        (divisor > 0).then(|| {
            let variance = self.squares / divisor as f64;
            if measure.root { variance.sqrt() } else { variance }
        })
    }
}

/// The measures of groups of these values, one group after the other.
pub(super) fn measured(values: &ArrayRef, lengths: &[usize], measure: Measure) -> ArrayRef {
    let mut values = values.as_primitive::<Float64Type>().values().iter();
    let measures = lengths.iter().map(|&length| {
        let mut moments = Moments::default();
        values.by_ref().take(length).for_each(|&value| moments.add(value));
        moments.measured(measure)
    });
    Arc::new(measures.collect::<Float64Array>())
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
        let values: Float64Array = groups.iter().map(|&group| self.moments[group].measured(self.measure)).collect();
        Ok(Evaluated { values: Arc::new(values), bad: Vec::new() })
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

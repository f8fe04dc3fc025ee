//! `approx_percentile_cont(x, p)`: exact for up to [`EXACT_VALUES`] values, then from a histogram whose buckets are 2^-8 of
//! a power of two wide, so that a result is within 0.2 % of the right value.
//!
//! Not DataFusion's t-digest: what that gives depends on the order of rows and on how states were merged, and the same
//! input must give the same answer here. A bucket is the sign, exponent and first bits of a value; adding counts is all
//! there is to merging.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::datatypes::{Float64Type, Int64Type};
use millstream_api::Result;

use super::collect::full_list_of;
use super::rows::{each, grow};
use super::{Arguments, Groups, RowOrder};
use crate::scalar::Evaluated;

/// Up to so many values of a group are kept as they are.
const EXACT_VALUES: usize = 1000;
/// The bits of a value that a bucket does not look at.
const DROPPED_BITS: u32 = 52 - 8;

/// The values of each group, exact or not.
pub(super) struct Quantile {
    fraction: f64,
    sketches: Vec<Sketch>,
    heap_bytes: usize,
}

#[derive(Clone, Debug, Default)]
struct Sketch {
    /// The values, while there are no buckets.
    exact: Vec<f64>,
    buckets: BTreeMap<i64, i64>,
    count: i64,
}

impl Sketch {
    fn add(&mut self, value: f64) {
        let value = if value.is_nan() { f64::NAN } else { value + 0.0 };
        self.count += 1;
        if self.buckets.is_empty() && self.exact.len() < EXACT_VALUES {
            self.exact.push(value);
            return;
        }
        self.collapse();
        *self.buckets.entry(bucket(value)).or_default() += 1;
    }

    fn add_bucket(&mut self, bucket: i64, count: i64) {
        self.collapse();
        self.count += count;
        *self.buckets.entry(bucket).or_default() += count;
    }

    fn collapse(&mut self) {
        for value in std::mem::take(&mut self.exact) {
            *self.buckets.entry(bucket(value)).or_default() += 1;
        }
    }

    /// The value at this share of the way from the least to the greatest, between two values in proportion.
    fn quantile(&mut self, fraction: f64) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let position = fraction * (self.count - 1) as f64;
        let (lower, share) = (position.floor(), position.fract());
        let (below, above) = (self.at_rank(lower as i64), self.at_rank(position.ceil() as i64));
        Some(if share == 0.0 || below == above { below } else { below + (above - below) * share })
    }

    fn at_rank(&mut self, rank: i64) -> f64 {
        if self.buckets.is_empty() {
            self.exact.sort_unstable_by(f64::total_cmp);
            return self.exact.get(rank as usize).copied().unwrap_or(f64::NAN);
        }
        let mut seen = 0;
        let found = self.buckets.iter().find(|(_, count)| {
            seen += **count;
            seen > rank
        });
        found.map_or(f64::NAN, |(bucket, _)| middle(*bucket))
    }

    fn heap_bytes(&self) -> usize {
        self.exact.capacity() * size_of::<f64>() + self.buckets.len() * 3 * size_of::<i64>()
    }
}

/// The bucket of a value; buckets are ordered like the values.
fn bucket(value: f64) -> i64 {
    let bits = value.abs().to_bits() >> DROPPED_BITS;
    if value < 0.0 { -1 - bits as i64 } else { bits as i64 }
}

/// The middle of a bucket.
fn middle(bucket: i64) -> f64 {
    let (bits, sign) = if bucket < 0 { (-1 - bucket, -1.0) } else { (bucket, 1.0) };
    let low = (bits as u64) << DROPPED_BITS;
    let low_value = f64::from_bits(low);
    // Zero and what is not finite stand for themselves.
    if low == 0 || !low_value.is_finite() { low_value * sign } else { f64::from_bits(low | (1 << (DROPPED_BITS - 1))) * sign }
}

impl Quantile {
    /// `fraction` from 0 to 1.
    pub(super) fn new(fraction: f64) -> Self {
        Quantile { fraction, sketches: Vec::new(), heap_bytes: 0 }
    }
}

impl Groups for Quantile {
    fn update(&mut self, arguments: &Arguments, groups: &[usize], total: usize, _: Option<&RowOrder>) -> Result<()> {
        grow(&mut self.sketches, total);
        let values = arguments.values[0].as_primitive::<Float64Type>().values();
        each(groups, arguments.taking_part().as_ref(), |row, group| {
            let sketch = &mut self.sketches[group];
            let before = sketch.heap_bytes();
            sketch.add(values[row]);
            self.heap_bytes = self.heap_bytes + sketch.heap_bytes() - before;
        });
        Ok(())
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        grow(&mut self.sketches, total);
        let (exact, buckets, counts) = (state[0].as_list::<i32>(), state[1].as_list::<i32>(), state[2].as_list::<i32>());
        for (row, &group) in groups.iter().enumerate() {
            let sketch = &mut self.sketches[group];
            let before = sketch.heap_bytes();
            exact.value(row).as_primitive::<Float64Type>().values().iter().for_each(|&value| sketch.add(value));
            let (buckets, counts) = (buckets.value(row), counts.value(row));
            let buckets = buckets.as_primitive::<Int64Type>().values().iter();
            buckets.zip(counts.as_primitive::<Int64Type>().values()).for_each(|(&b, &count)| sketch.add_bucket(b, count));
            self.heap_bytes = self.heap_bytes + sketch.heap_bytes() - before;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ArrayRef>> {
        let all: Vec<usize> = (0..self.sketches.len()).collect();
        self.state_at(&all)
    }

    fn state_at(&mut self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        let sketches = || groups.iter().map(|&group| &self.sketches[group]);
        let exact_lengths: Vec<usize> = sketches().map(|s| s.exact.len()).collect();
        let bucket_lengths: Vec<usize> = sketches().map(|s| s.buckets.len()).collect();
        let exact: Float64Array = sketches().flat_map(|s| &s.exact).map(|&v| Some(v)).collect();
        let buckets: Int64Array = sketches().flat_map(|s| s.buckets.keys()).map(|&v| Some(v)).collect();
        let counts: Int64Array = sketches().flat_map(|s| s.buckets.values()).map(|&v| Some(v)).collect();
        Ok(vec![
            full_list_of(Arc::new(exact), &exact_lengths)?,
            full_list_of(Arc::new(buckets), &bucket_lengths)?,
            full_list_of(Arc::new(counts), &bucket_lengths)?,
        ])
    }

    fn evaluate_at(&mut self, groups: &[usize]) -> Result<Evaluated> {
        let values: Float64Array = groups.iter().map(|&group| self.sketches[group].quantile(self.fraction)).collect();
        Ok(Evaluated { values: Arc::new(values), bad: Vec::new() })
    }

    fn clear(&mut self, groups: &[usize]) -> Result<()> {
        for &group in groups {
            self.heap_bytes -= self.sketches.get_mut(group).map(std::mem::take).unwrap_or_default().heap_bytes();
        }
        Ok(())
    }

    fn total(&self) -> usize {
        self.sketches.len()
    }

    fn size_bytes(&self) -> usize {
        self.sketches.capacity() * size_of::<Sketch>() + self.heap_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_are_exact_and_many_are_near() {
        let mut few = Sketch::default();
        [4.0, 1.0, 3.0, 2.0].into_iter().for_each(|v| few.add(v));
        assert_eq!([0.0, 0.5, 1.0].map(|f| few.quantile(f)), [Some(1.0), Some(2.5), Some(4.0)]);
        let mut many = Sketch::default();
        (-50_000..=50_000).for_each(|v| many.add(f64::from(v)));
        for fraction in [0.0, 0.01, 0.25, 0.5, 0.9, 1.0] {
            let right = fraction * 100_000.0 - 50_000.0;
            let found = many.quantile(fraction).unwrap();
            assert!((found - right).abs() <= right.abs() * 0.002, "{fraction}: {found} for {right}");
        }
    }

    #[test]
    fn buckets_keep_order_and_what_is_special() {
        let values = [f64::NEG_INFINITY, -2.0, -1.0, -1e-300, 0.0, 1e-300, 1.0, 1.01, f64::MAX, f64::INFINITY, f64::NAN];
        assert!(values.windows(2).all(|pair| bucket(pair[0]) < bucket(pair[1])));
        assert_eq!(middle(bucket(f64::INFINITY)), f64::INFINITY);
        assert_eq!(middle(bucket(0.0)), 0.0);
        assert!(middle(bucket(f64::NAN)).is_nan());
    }
}

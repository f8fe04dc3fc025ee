//! `min` and `max` of everything that has an order. A NaN is greater than every number, as in PostgreSQL, and a zero is
//! `0.0` whatever its sign, so that the order of rows doesn't show.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryViewArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow::datatypes::{TimeUnit, TimestampMicrosecondType};
use millstream_api::Result;

use super::rows::{each, grow, reset, valid};
use super::{Arguments, Groups, RowOrder};
use crate::scalar::Evaluated;

/// Accumulators for the least or greatest value of this type; `None`: it has no order.
pub(super) fn groups(data_type: &DataType, greatest: bool) -> Option<Box<dyn Groups>> {
    fn of<T: ArrowPrimitiveType>(data_type: &DataType, greatest: bool) -> Option<Box<dyn Groups>>
    where
        T::Native: Ordered,
    {
        let best = Best::<T> { best: Vec::new(), seen: Vec::new(), data_type: data_type.clone(), greatest };
        Some(Box::new(best))
    }
    match data_type {
        DataType::Boolean => of::<Int8Type>(data_type, greatest),
        DataType::Int16 => of::<Int16Type>(data_type, greatest),
        DataType::Int32 => of::<Int32Type>(data_type, greatest),
        DataType::Int64 => of::<Int64Type>(data_type, greatest),
        DataType::Float32 => of::<Float32Type>(data_type, greatest),
        DataType::Float64 => of::<Float64Type>(data_type, greatest),
        DataType::Decimal128(_, _) => of::<Decimal128Type>(data_type, greatest),
        DataType::Date32 => of::<Date32Type>(data_type, greatest),
        DataType::Timestamp(TimeUnit::Microsecond, _) => of::<TimestampMicrosecondType>(data_type, greatest),
        DataType::Utf8View | DataType::BinaryView => {
            Some(Box::new(BestBytes { best: Vec::new(), heap_bytes: 0, data_type: data_type.clone(), greatest }))
        }
        _ => None,
    }
}

/// The order of values, with all NaNs equal and greatest.
trait Ordered: Copy + Default + Send {
    fn less(self, other: Self) -> bool;
    /// One value for all that are equal.
    fn plain(self) -> Self {
        self
    }
}

macro_rules! ordered {
    ($($integer:ty),*; $($float:ty),*) => {
        $(impl Ordered for $integer {
            #[inline]
            fn less(self, other: Self) -> bool {
                self < other
            }
        })*
        $(impl Ordered for $float {
            #[inline]
            fn less(self, other: Self) -> bool {
                self < other || (other.is_nan() && !self.is_nan())
            }
            fn plain(self) -> Self {
                if self.is_nan() { <$float>::NAN } else { self + 0.0 }
            }
        })*
    };
}

ordered!(i8, i16, i32, i64, i128; f32, f64);

struct Best<T: ArrowPrimitiveType> {
    best: Vec<T::Native>,
    seen: Vec<bool>,
    data_type: DataType,
    greatest: bool,
}

impl<T: ArrowPrimitiveType> Best<T>
where
    T::Native: Ordered,
{
    fn grow(&mut self, total: usize) {
        if self.best.len() < total {
            self.best.resize(total, Default::default());
        }
        grow(&mut self.seen, total);
    }

    #[inline]
    fn offer(&mut self, group: usize, value: T::Native) {
        let best = self.best[group];
        if self.better(best, value) || !self.seen[group] {
            self.best[group] = value;
            self.seen[group] = true;
        }
    }

    #[inline]
    fn better(&self, best: T::Native, value: T::Native) -> bool {
        if self.greatest { best.less(value) } else { value.less(best) }
    }

    /// Lets rows compete that are all of one group: the best of them is found before it is put down.
    fn offer_to_only(&mut self, values: &[T::Native], groups: &[usize], part: Option<&NullBuffer>) {
        let mut found: Option<T::Native> = None;
        each(groups, part, |row, _| match found {
            Some(best) if !self.better(best, values[row]) => {}
            _ => found = Some(values[row]),
        });
        if let Some(best) = found {
            self.offer(0, best);
        }
    }

    fn typed(&self, column: &ArrayRef) -> Result<PrimitiveArray<T>> {
        Ok(match column.data_type() {
            DataType::Boolean => cast(column, &DataType::Int8)?.as_primitive::<T>().clone(),
            _ => column.as_primitive::<T>().clone(),
        })
    }

    fn array(&self, groups: impl Iterator<Item = usize> + Clone) -> Result<ArrayRef> {
        let values = match groups.clone().all(|group| self.seen[group]) {
            true => PrimitiveArray::<T>::from_iter_values(groups.map(|group| self.best[group].plain())),
            false => groups.map(|group| self.seen[group].then(|| self.best[group].plain())).collect(),
        };
        Ok(match self.data_type {
            DataType::Boolean => cast(&values, &DataType::Boolean)?,
            _ => Arc::new(values.with_data_type(self.data_type.clone())),
        })
    }
}

impl<T: ArrowPrimitiveType> Groups for Best<T>
where
    T::Native: Ordered,
{
    fn update(&mut self, arguments: &Arguments, groups: &[usize], total: usize, _: Option<&RowOrder>) -> Result<()> {
        self.grow(total);
        let column = self.typed(&arguments.values[0])?;
        let (values, part) = (column.values(), arguments.taking_part());
        if total == 1 {
            self.offer_to_only(values, groups, part.as_ref());
        } else {
            each(groups, part.as_ref(), |row, group| self.offer(group, values[row]));
        }
        Ok(())
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let column = self.typed(&state[0])?;
        each(groups, valid(&state[0]), |row, group| self.offer(group, column.value(row)));
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.array(0..self.best.len())?])
    }

    fn state_at(&mut self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.array(groups.iter().copied())?])
    }

    fn evaluate_at(&mut self, groups: &[usize]) -> Result<Evaluated> {
        Ok(Evaluated { values: self.array(groups.iter().copied())?, bad: Vec::new() })
    }

    fn clear(&mut self, groups: &[usize]) -> Result<()> {
        reset(&mut self.seen, groups);
        Ok(())
    }

    fn total(&self) -> usize {
        self.best.len()
    }

    fn size_bytes(&self) -> usize {
        self.best.capacity() * size_of::<T::Native>() + self.seen.capacity()
    }
}

/// Strings by their bytes, which is the order of their code points, and bytes.
struct BestBytes {
    best: Vec<Option<Box<[u8]>>>,
    heap_bytes: usize,
    data_type: DataType,
    greatest: bool,
}

impl BestBytes {
    fn offer(&mut self, group: usize, value: &[u8]) {
        let best = &mut self.best[group];
        let better = match best.as_deref() {
            None => true,
            Some(best) if self.greatest => best < value,
            Some(best) => value < best,
        };
        if better {
            self.heap_bytes = self.heap_bytes + value.len() - best.as_ref().map_or(0, |best| best.len());
            *best = Some(value.into());
        }
    }

    fn array(&self, groups: impl Iterator<Item = usize>) -> Result<ArrayRef> {
        let values = BinaryViewArray::from_iter(groups.map(|group| self.best[group].as_deref()));
        Ok(match self.data_type {
            DataType::Utf8View => Arc::new(values.to_string_view()?),
            _ => Arc::new(values),
        })
    }

    fn offer_all(&mut self, column: &ArrayRef, groups: &[usize], part: Option<&NullBuffer>) {
        match column.data_type() {
            DataType::Utf8View => {
                let values = column.as_string_view();
                each(groups, part, |row, group| self.offer(group, values.value(row).as_bytes()));
            }
            _ => {
                let values = column.as_binary_view();
                each(groups, part, |row, group| self.offer(group, values.value(row)));
            }
        }
    }
}

impl Groups for BestBytes {
    fn update(&mut self, arguments: &Arguments, groups: &[usize], total: usize, _: Option<&RowOrder>) -> Result<()> {
        grow(&mut self.best, total);
        self.offer_all(&arguments.values[0], groups, arguments.taking_part().as_ref());
        Ok(())
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        grow(&mut self.best, total);
        self.offer_all(&state[0], groups, valid(&state[0]));
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.array(0..self.best.len())?])
    }

    fn state_at(&mut self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.array(groups.iter().copied())?])
    }

    fn evaluate_at(&mut self, groups: &[usize]) -> Result<Evaluated> {
        Ok(Evaluated { values: self.array(groups.iter().copied())?, bad: Vec::new() })
    }

    fn clear(&mut self, groups: &[usize]) -> Result<()> {
        for &group in groups {
            if let Some(gone) = self.best.get_mut(group).and_then(Option::take) {
                self.heap_bytes -= gone.len();
            }
        }
        Ok(())
    }

    fn total(&self) -> usize {
        self.best.len()
    }

    fn size_bytes(&self) -> usize {
        self.best.capacity() * size_of::<Option<Box<[u8]>>>() + self.heap_bytes
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, TimestampMicrosecondArray};
    use millstream_api::types::{UTC, timestamp_type};

    use super::*;
    use crate::aggregate::tests::arguments;

    fn of(values: ArrayRef, greatest: bool) -> ArrayRef {
        let mut groups = groups(values.data_type(), greatest).unwrap();
        groups.update(&arguments(values.clone()), &vec![0; values.len()], 1, None).unwrap();
        groups.evaluate().unwrap().values
    }

    #[test]
    fn a_nan_is_greatest_and_zeros_are_one() {
        let other_nan = f64::from_bits(f64::NAN.to_bits() | 1 | (1 << 63));
        let values = |values: Vec<f64>| -> ArrayRef { Arc::new(Float64Array::from(values)) };
        let double = |array: ArrayRef| array.as_primitive::<Float64Type>().value(0);
        assert_eq!(double(of(values(vec![f64::INFINITY, other_nan]), true)).to_bits(), f64::NAN.to_bits());
        assert_eq!(double(of(values(vec![other_nan, 3.0, f64::INFINITY]), false)), 3.0);
        assert_eq!(double(of(values(vec![-0.0, 0.0]), false)).to_bits(), 0);
        assert_eq!(double(of(values(vec![-0.0]), true)).to_bits(), 0);
    }

    #[test]
    fn the_type_stays() {
        let at: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(-5), None, Some(7)]).with_timezone(UTC));
        let first = of(at, false);
        assert_eq!((first.data_type(), first.as_primitive::<TimestampMicrosecondType>().value(0)), (&timestamp_type(), -5));
        let decimals = arrow::array::Decimal128Array::from(vec![3, 10, 4]).with_data_type(DataType::Decimal128(5, 2));
        let most = of(Arc::new(decimals), true);
        assert_eq!((most.data_type(), most.as_primitive::<Decimal128Type>().value(0)), (&DataType::Decimal128(5, 2), 10));
        let bytes: ArrayRef = Arc::new(BinaryViewArray::from_iter_values([b"b".as_slice(), b"\xff", b"a"]));
        assert_eq!(of(bytes, true).as_binary_view().value(0), b"\xff");
        assert!(groups(&DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano), true).is_none());
    }
}

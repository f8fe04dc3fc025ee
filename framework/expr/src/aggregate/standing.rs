//! `min`, `max`, `median`, `stddev`, `variance`, `corr` and its like, `bit_and`, `bit_or`, `first_value`, `last_value`, `array_agg` and
//! `string_agg` over rows that can be withdrawn: the next value takes the place of one that goes, so every value that stands is
//! kept, in order, with how often it is there.
//!
//! A value is kept as bytes that sort as it does (Arrow's row format); where the order is that of the rows, the bytes of the
//! row's order stand before it. So a withdrawal finds its equal, and counts may be below zero for a while: a withdrawal may
//! overtake its row.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, Int64Array, UInt32Array, new_empty_array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Int64Type};
use arrow::row::{RowConverter, SortField};
use hashbrown::HashSet;
use millstream_api::Result;

use super::bits::{Join, joined};
use super::collect::{full_list_of, list_of, texts_of};
use super::interner::normalised;
use super::median::between;
use super::order::Keys;
use super::relation::{Relation, related};
use super::rows::each;
use super::spread::{Measure, measured};
use super::{Arguments, Groups, RowOrder};
use crate::scalar::Evaluated;

/// What the values of a group are in the order of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Their own, NaN last; nulls are left out.
    Value,
    /// That of their rows.
    Row,
    /// That of their rows, each value once, where the first row that has it stands.
    FirstRow,
}

/// What is made of the values that stand.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Made {
    First,
    Last,
    /// With the type of the result.
    Median(DataType),
    /// By value, so that the order of coming does not show even in the last digit.
    Spread(Measure),
    Bits(Join),
    /// By value, for the same reason.
    Related(Relation),
    List,
    /// With the separator; nulls are left out.
    Text(String),
}

/// A value that stands, or that was withdrawn before it came.
struct Held {
    count: i64,
    /// Where its own bytes begin, behind those of its row's order.
    value_at: usize,
}

/// The values of each group.
pub(super) struct Standing {
    data_type: DataType,
    by: By,
    made: Made,
    converter: RowConverter,
    groups: Vec<BTreeMap<Box<[u8]>, Held>>,
    heap_bytes: usize,
}

/// What one value takes beside its bytes, with its part of the tree's nodes.
const ENTRY_BYTES: usize = 2 * size_of::<(Box<[u8]>, Held)>();

impl Standing {
    pub(super) fn new(data_type: DataType, by: By, made: Made) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(data_type.clone())])?;
        Ok(Standing { data_type, by, made, converter, groups: Vec::new(), heap_bytes: 0 })
    }

    fn change(&mut self, arguments: &Arguments, groups: &[usize], total: usize, order: Option<&RowOrder>, weight: i64) -> Result<()> {
        grow_maps(&mut self.groups, total);
        let by_rows = self.by != By::Value;
        let nulls = by_rows && !matches!(self.made, Made::Text(_));
        let part = if nulls { arguments.passing() } else { arguments.taking_part() };
        let values = match self.by {
            By::Row => arguments.values[0].clone(),
            By::Value | By::FirstRow => normalised(&arguments.values[0]),
        };
        let values = self.converter.convert_columns(&[values])?;
        let keys = if by_rows { Some(Keys::of(arguments, order)?) } else { None };
        let mut bytes = Vec::new();
        each(groups, part.as_ref(), |row, group| {
            bytes.clear();
            bytes.extend_from_slice(keys.as_ref().map_or(&[], |keys| keys.get(row)));
            let value_at = bytes.len();
            bytes.extend_from_slice(values.row(row).data());
            self.add(group, &bytes, value_at, weight);
        });
        Ok(())
    }

    fn add(&mut self, group: usize, bytes: &[u8], value_at: usize, weight: i64) {
        let held = &mut self.groups[group];
        let Some(found) = held.get_mut(bytes) else {
            if weight != 0 {
                held.insert(bytes.into(), Held { count: weight, value_at });
                self.heap_bytes += bytes.len() + ENTRY_BYTES;
            }
            return;
        };
        found.count += weight;
        if found.count == 0 {
            held.remove(bytes);
            self.heap_bytes -= bytes.len() + ENTRY_BYTES;
        }
    }

    /// Adds the values of a group that make its result, and says how many these are.
    fn choose<'a>(&'a self, group: usize, chosen: &mut Vec<&'a [u8]>) -> usize {
        let value = |bytes: &'a [u8], held: &Held| &bytes[held.value_at..];
        let before = chosen.len();
        let mut standing = self.groups[group].iter().filter(|(_, held)| held.count > 0);
        match &self.made {
            Made::First => chosen.extend(standing.next().map(|(bytes, held)| value(bytes, held))),
            Made::Last => chosen.extend(standing.next_back().map(|(bytes, held)| value(bytes, held))),
            Made::List | Made::Text(_) if self.by == By::FirstRow => {
                let mut seen = HashSet::new();
                chosen.extend(standing.map(|(bytes, held)| value(bytes, held)).filter(|value| seen.insert(*value)));
            }
            Made::Bits(Join::And | Join::Or) => chosen.extend(standing.map(|(bytes, held)| value(bytes, held))),
            Made::Spread(_) | Made::Bits(_) | Made::Related(_) | Made::List | Made::Text(_) => {
                standing
                    .for_each(|(bytes, held)| chosen.extend(std::iter::repeat_n(value(bytes, held), held.count.unsigned_abs() as usize)));
            }
            Made::Median(_) => {
                let all: i64 = self.groups[group].values().map(|held| held.count.max(0)).sum();
                let (lower, upper) = ((all - 1) / 2, all / 2);
                let mut passed = 0;
                for (bytes, held) in standing {
                    let last = passed + held.count;
                    let middle = [lower, upper].into_iter().filter(|place| (passed..last).contains(place)).count();
                    chosen.extend(std::iter::repeat_n(value(bytes, held), middle));
                    passed = last;
                    if passed > upper {
                        break;
                    }
                }
            }
        }
        chosen.len() - before
    }

    fn values(&self, chosen: &[&[u8]]) -> Result<ArrayRef> {
        if chosen.is_empty() {
            return Ok(new_empty_array(&self.data_type));
        }
        let parser = self.converter.parser();
        let mut columns = self.converter.convert_rows(chosen.iter().map(|bytes| parser.parse(bytes)))?;
        Ok(columns.swap_remove(0))
    }
}

impl Groups for Standing {
    fn update(&mut self, arguments: &Arguments, groups: &[usize], total: usize, order: Option<&RowOrder>) -> Result<()> {
        self.change(arguments, groups, total, order, 1)
    }

    fn retract(&mut self, arguments: &Arguments, groups: &[usize], total: usize, order: Option<&RowOrder>) -> Result<()> {
        self.change(arguments, groups, total, order, -1)
    }

    fn is_empty(&self, group: usize) -> bool {
        self.groups.get(group).is_none_or(BTreeMap::is_empty)
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        grow_maps(&mut self.groups, total);
        let (keys, places, counts) = (state[0].as_list::<i32>(), state[1].as_list::<i32>(), state[2].as_list::<i32>());
        for (row, &group) in groups.iter().enumerate() {
            let (keys, places, counts) = (keys.value(row), places.value(row), counts.value(row));
            let (keys, places, counts) = (keys.as_binary_view(), places.as_primitive::<Int64Type>(), counts.as_primitive::<Int64Type>());
            for value in 0..keys.len() {
                let value_at = usize::try_from(places.value(value)).unwrap_or_default();
                self.add(group, keys.value(value), value_at, counts.value(value));
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ArrayRef>> {
        let all: Vec<usize> = (0..self.groups.len()).collect();
        self.state_at(&all)
    }

    fn state_at(&mut self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        let lengths: Vec<usize> = groups.iter().map(|&group| self.groups[group].len()).collect();
        let all = || groups.iter().flat_map(|&group| &self.groups[group]);
        let keys = BinaryViewArray::from_iter_values(all().map(|(bytes, _)| bytes));
        let places: Int64Array = all().map(|(_, held)| Some(held.value_at as i64)).collect();
        let counts: Int64Array = all().map(|(_, held)| Some(held.count)).collect();
        Ok(vec![
            full_list_of(Arc::new(keys), &lengths)?,
            full_list_of(Arc::new(places), &lengths)?,
            full_list_of(Arc::new(counts), &lengths)?,
        ])
    }

    fn evaluate_at(&mut self, groups: &[usize]) -> Result<Evaluated> {
        let mut chosen = Vec::new();
        let lengths: Vec<usize> = groups.iter().map(|&group| self.choose(group, &mut chosen)).collect();
        let values = self.values(&chosen)?;
        let values = match &self.made {
            Made::Median(result) => return Ok(between(&values, &lengths, result)),
            Made::List => list_of(values, &lengths)?,
            Made::Text(separator) => texts_of(&values, &lengths, separator),
            Made::Spread(measure) => return Ok(measured(&values, &lengths, *measure)),
            Made::Bits(join) => return Ok(joined(&values, &lengths, *join)),
            Made::Related(relation) => return Ok(related(&values, &lengths, *relation)),
            Made::First | Made::Last => one_each(&values, &lengths)?,
        };
        Ok(Evaluated { values, bad: Vec::new() })
    }

    fn clear(&mut self, groups: &[usize]) -> Result<()> {
        for &group in groups {
            let gone = self.groups.get_mut(group).map(std::mem::take).unwrap_or_default();
            self.heap_bytes -= gone.keys().map(|bytes| bytes.len() + ENTRY_BYTES).sum::<usize>();
        }
        Ok(())
    }

    fn total(&self) -> usize {
        self.groups.len()
    }

    fn size_bytes(&self) -> usize {
        self.groups.capacity() * size_of::<BTreeMap<Box<[u8]>, Held>>() + self.heap_bytes
    }
}

fn grow_maps(groups: &mut Vec<BTreeMap<Box<[u8]>, Held>>, total: usize) {
    if groups.len() < total {
        groups.resize_with(total, BTreeMap::new);
    }
}

/// A value for each length of 1, null for each of 0.
fn one_each(values: &ArrayRef, lengths: &[usize]) -> Result<ArrayRef> {
    if values.is_empty() {
        return Ok(new_null_array(values.data_type(), lengths.len()));
    }
    let mut next = 0;
    let indices: UInt32Array = lengths
        .iter()
        .map(|&length| {
            next += length as u32;
            (length > 0).then(|| next - 1)
        })
        .collect();
    Ok(take(values, &indices, None)?)
}

#[cfg(test)]
mod tests {
    use arrow::array::Float64Array;
    use arrow::datatypes::Float64Type;

    use super::*;
    use crate::aggregate::tests::arguments;

    fn doubles(values: Vec<f64>) -> Arguments {
        arguments(Arc::new(Float64Array::from(values)))
    }

    fn one(groups: &mut Standing) -> Option<f64> {
        let values = groups.evaluate_at(&[0]).unwrap().values;
        values.is_valid(0).then(|| values.as_primitive::<Float64Type>().value(0))
    }

    #[test]
    fn the_next_value_takes_the_place_of_one_that_goes() {
        let mut most = Standing::new(DataType::Float64, By::Value, Made::Last).unwrap();
        most.update(&doubles(vec![1.0, f64::NAN, -0.0, 7.0, 7.0]), &[0; 5], 1, None).unwrap();
        assert!(one(&mut most).unwrap().is_nan());
        most.retract(&doubles(vec![-f64::NAN, 7.0]), &[0; 2], 1, None).unwrap();
        assert_eq!(one(&mut most), Some(7.0));
        most.retract(&doubles(vec![7.0, 1.0]), &[0; 2], 1, None).unwrap();
        assert_eq!(one(&mut most).unwrap().to_bits(), 0, "a zero whatever its sign");
        most.retract(&doubles(vec![0.0]), &[0], 1, None).unwrap();
        assert_eq!((one(&mut most), most.is_empty(0), most.heap_bytes), (None, true, 0));
    }

    #[test]
    fn a_withdrawal_may_overtake_its_row() {
        let mut middle = Standing::new(DataType::Float64, By::Value, Made::Median(DataType::Float64)).unwrap();
        middle.retract(&doubles(vec![5.0]), &[0], 1, None).unwrap();
        assert_eq!((one(&mut middle), middle.is_empty(0)), (None, false));
        middle.update(&doubles(vec![1.0, 5.0, 2.0, 2.0, 9.0]), &[0; 5], 1, None).unwrap();
        assert_eq!(one(&mut middle), Some(2.0));
        middle.retract(&doubles(vec![2.0, 2.0]), &[0; 2], 1, None).unwrap();
        assert_eq!(one(&mut middle), Some(5.0));
    }
}

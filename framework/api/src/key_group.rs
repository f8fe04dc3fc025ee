//! Key groups: the unit in which keyed state is routed, snapshotted and moved.
//!
//! A row's key group is `xxh3_64(canonical key bytes) mod key_groups`; subtask `i` of `n` owns the contiguous range
//! `[i·G/n, (i+1)·G/n)` (rounded up), as in Flink. State on disk and topic partitions depend on the encoding, so it is
//! fixed: the golden values in the tests must never change.
//!
//! Canonical bytes of a key are those of its columns one after the other:
//!
//! | value | bytes |
//! |---|---|
//! | null | `00` |
//! | boolean | `01`, then `00` or `01` |
//! | smallint, int, bigint, date, timestamp | `01`, then the value as 8 bytes, little-endian two's complement (unsigned 64-bit: its bits) |
//! | real, double | `01`, then the value as IEEE 754 double, 8 bytes little-endian; −0.0 as 0.0, every NaN as `7ff8000000000000` |
//! | decimal | `01`, then the unscaled value as 16 bytes little-endian |
//! | string, bytes | `01`, then the length as 4 bytes little-endian, then the bytes |
//! | anything else | `01`, then the length as 4 bytes and Arrow's row encoding of the value |

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, UInt64Type};
use arrow::row::{RowConverter, SortField};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Result};

/// The key group of each row. `rows` is needed for keys without columns, which all are in one group.
pub fn key_groups(keys: &[ArrayRef], rows: usize, groups: u16) -> Result<Vec<u16>> {
    let modulus = u64::from(groups.max(1));
    // A division costs more than the hash itself; the usual numbers of groups need none.
    match modulus.is_power_of_two() {
        true => groups_of(keys, rows, |hash| (hash & (modulus - 1)) as u16),
        false => groups_of(keys, rows, |hash| (hash % modulus) as u16),
    }
}

fn groups_of(keys: &[ArrayRef], rows: usize, group: impl Fn(u64) -> u16) -> Result<Vec<u16>> {
    if let [key] = keys
        && let Some(column) = fixed_width(key)?
    {
        return Ok(match &column {
            Fixed::Signed(words) if words.null_count() == 0 => {
                words.values().iter().map(|word| group(hash_of_word(*word as u64))).collect()
            }
            _ => (0..rows).map(|row| group(if key.is_null(row) { xxh3_64(&[0]) } else { hash_of_word(column.value(row)) })).collect(),
        });
    }
    if let [first, second] = keys
        && let (Some(first), Some(second)) = (fixed_width(first)?, fixed_width(second)?)
        && first.null_count() + second.null_count() == 0
    {
        return Ok((0..rows).map(|row| group(hash_of_words(first.value(row), second.value(row)))).collect());
    }
    let keys = CanonicalKeys::new(keys)?;
    let mut bytes = Vec::new();
    Ok((0..rows)
        .map(|row| {
            bytes.clear();
            keys.encode(row, &mut bytes);
            group(xxh3_64(&bytes))
        })
        .collect())
}

/// The hash of the canonical bytes of a value of at most 8 bytes.
#[inline]
fn hash_of_word(word: u64) -> u64 {
    let mut bytes = [1u8; 9];
    bytes[1..].copy_from_slice(&word.to_le_bytes());
    xxh3_64(&bytes)
}

/// The hash of the canonical bytes of two such values.
#[inline]
fn hash_of_words(first: u64, second: u64) -> u64 {
    let mut bytes = [1u8; 18];
    bytes[1..9].copy_from_slice(&first.to_le_bytes());
    bytes[10..].copy_from_slice(&second.to_le_bytes());
    xxh3_64(&bytes)
}

/// The key group of a key, by the [hash](xxh3_64) of its canonical bytes.
pub fn group_of_hash(hash: u64, groups: u16) -> u16 {
    (hash % u64::from(groups.max(1))) as u16
}

/// The key group of a key, by its canonical bytes.
pub fn group_of_key(canonical: &[u8], groups: u16) -> u16 {
    group_of_hash(xxh3_64(canonical), groups)
}

/// The canonical bytes of keys, for whoever needs more of them than their groups.
pub struct CanonicalKeys(Vec<Column>);

impl CanonicalKeys {
    /// The keys of these columns.
    ///
    /// # Errors
    /// When a column is of a type that cannot be a key.
    pub fn new(keys: &[ArrayRef]) -> Result<CanonicalKeys> {
        keys.iter().map(Column::new).collect::<Result<_>>().map(CanonicalKeys)
    }

    /// Puts the bytes of a row's key behind what is in `out`.
    pub fn encode(&self, row: usize, out: &mut Vec<u8>) {
        self.0.iter().for_each(|column| column.encode(row, out));
    }
}

/// The key groups that subtask `subtask` of `parallelism` owns.
pub fn owned_groups(subtask: usize, parallelism: usize, groups: u16) -> Range<u16> {
    let bound = |i: usize| ((i * usize::from(groups)).div_ceil(parallelism.max(1))) as u16;
    bound(subtask)..bound(subtask + 1)
}

/// The subtask of `parallelism` that owns `group`.
pub fn owner(group: u16, parallelism: usize, groups: u16) -> usize {
    usize::from(group) * parallelism.max(1) / usize::from(groups.max(1))
}

/// Values of at most 8 bytes, as the bits that go into the canonical bytes.
enum Fixed {
    Signed(arrow::array::Int64Array),
    Unsigned(arrow::array::UInt64Array),
    Float(arrow::array::Float64Array),
}

impl Fixed {
    fn null_count(&self) -> usize {
        match self {
            Fixed::Signed(a) => a.null_count(),
            Fixed::Unsigned(a) => a.null_count(),
            Fixed::Float(a) => a.null_count(),
        }
    }

    fn value(&self, row: usize) -> u64 {
        match self {
            Fixed::Signed(a) => a.value(row) as u64,
            Fixed::Unsigned(a) => a.value(row),
            Fixed::Float(a) => match a.value(row) {
                v if v.is_nan() => f64::NAN.to_bits() & 0x7fff_ffff_ffff_ffff,
                v => (v + 0.0).to_bits(),
            },
        }
    }
}

fn fixed_width(key: &ArrayRef) -> Result<Option<Fixed>> {
    Ok(match key.data_type() {
        DataType::Int64 => Some(Fixed::Signed(key.as_primitive::<Int64Type>().clone())),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::Date32 => {
            let widened = if key.data_type() == &DataType::Date32 { cast(key, &DataType::Int32)? } else { key.clone() };
            Some(Fixed::Signed(cast(&widened, &DataType::Int64)?.as_primitive::<Int64Type>().clone()))
        }
        DataType::Timestamp(_, _) => Some(Fixed::Signed(cast(key, &DataType::Int64)?.as_primitive::<Int64Type>().clone())),
        DataType::UInt64 => Some(Fixed::Unsigned(key.as_primitive::<UInt64Type>().clone())),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            Some(Fixed::Float(cast(key, &DataType::Float64)?.as_primitive::<Float64Type>().clone()))
        }
        _ => None,
    })
}

enum Column {
    Fixed(ArrayRef, Fixed),
    Boolean(arrow::array::BooleanArray),
    Decimal(arrow::array::Decimal128Array),
    Bytes(arrow::array::BinaryViewArray),
    Rows(ArrayRef, arrow::row::Rows),
}

impl Column {
    fn new(key: &ArrayRef) -> Result<Column> {
        if let Some(fixed) = fixed_width(key)? {
            return Ok(Column::Fixed(key.clone(), fixed));
        }
        Ok(match key.data_type() {
            DataType::Boolean => Column::Boolean(key.as_boolean().clone()),
            DataType::Decimal128(_, _) => Column::Decimal(key.as_primitive::<Decimal128Type>().clone()),
            DataType::Utf8View => Column::Bytes(key.as_string_view().clone().to_binary_view()),
            DataType::BinaryView => Column::Bytes(key.as_binary_view().clone()),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => {
                Column::Bytes(cast(key, &DataType::BinaryView)?.as_binary_view().clone())
            }
            other => {
                let converter = RowConverter::new(vec![SortField::new(other.clone())])?;
                Column::Rows(key.clone(), converter.convert_columns(std::slice::from_ref(key)).map_err(Error::from)?)
            }
        })
    }

    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        let array: &dyn Array = match self {
            Column::Fixed(array, _) | Column::Rows(array, _) => array,
            Column::Boolean(a) => a,
            Column::Decimal(a) => a,
            Column::Bytes(a) => a,
        };
        if array.is_null(row) {
            return out.push(0);
        }
        out.push(1);
        match self {
            Column::Fixed(_, fixed) => out.extend_from_slice(&fixed.value(row).to_le_bytes()),
            Column::Boolean(a) => out.push(u8::from(a.value(row))),
            Column::Decimal(a) => out.extend_from_slice(&a.value(row).to_le_bytes()),
            Column::Bytes(a) => counted(a.value(row), out),
            Column::Rows(_, rows) => counted(rows.row(row).as_ref(), out),
        }
    }
}

fn counted(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BooleanArray, Decimal128Array, Float64Array, Int16Array, Int64Array, StringArray, StringViewArray, TimestampMicrosecondArray,
    };
    use proptest::prelude::*;

    use super::*;

    fn groups(columns: &[ArrayRef]) -> Vec<u16> {
        key_groups(columns, columns[0].len(), 128).unwrap()
    }

    /// Computed from the table in the module's documentation with another implementation of XXH3 (Python's `xxhash`).
    /// State on disk depends on these numbers: they must never change.
    #[test]
    fn golden_values() {
        let integers = Int64Array::from(vec![Some(0), Some(1), Some(-1), Some(42), Some(1 << 53), None]);
        assert_eq!(groups(&[Arc::new(integers)]), [0, 119, 12, 108, 106, 91]);
        assert_eq!(groups(&[Arc::new(Float64Array::from(vec![0.0, 1.5, f64::NAN]))]), [0, 56, 87]);
        assert_eq!(groups(&[Arc::new(BooleanArray::from(vec![false, true]))]), [64, 115]);
        let texts = StringViewArray::from(vec!["", "UA", "a longer text than twelve bytes", "ü"]);
        assert_eq!(groups(&[Arc::new(texts)]), [104, 43, 124, 1]);
        let decimals = Decimal128Array::from(vec![12345, -1]);
        assert_eq!(groups(&[Arc::new(decimals)]), [51, 48]);
        let pair: [ArrayRef; 2] = [Arc::new(StringViewArray::from(vec!["UA", "UA"])), Arc::new(Int64Array::from(vec![Some(7), None]))];
        assert_eq!(groups(&pair), [81, 1]);
        assert_eq!(key_groups(&[], 2, 128).unwrap(), [66, 66]);
    }

    #[test]
    fn equal_keys_are_in_one_group_whatever_their_arrow_type() {
        let number = groups(&[Arc::new(Int64Array::from(vec![7]))]);
        assert_eq!(groups(&[Arc::new(Int16Array::from(vec![7]))]), number);
        assert_eq!(groups(&[Arc::new(TimestampMicrosecondArray::from(vec![7]))]), number);
        assert_eq!(groups(&[Arc::new(StringArray::from(vec!["UA"]))]), groups(&[Arc::new(StringViewArray::from(vec!["UA"]))]));
        assert_eq!(groups(&[Arc::new(Float64Array::from(vec![-0.0]))]), groups(&[Arc::new(Float64Array::from(vec![0.0]))]));
        let nans = [f64::NAN, -f64::NAN, f64::from_bits(0x7ff8_0000_0000_0001)];
        assert_eq!(groups(&[Arc::new(Float64Array::from(nans.to_vec()))]), [87; 3]);
    }

    proptest! {
        #[test]
        fn every_group_has_exactly_the_owner_whose_range_it_is_in(parallelism in 1usize..40, total in 1u16..300) {
            let mut next = 0;
            for subtask in 0..parallelism {
                let owned = owned_groups(subtask, parallelism, total);
                prop_assert_eq!(owned.start, next);
                next = owned.end;
                for group in owned {
                    prop_assert_eq!(owner(group, parallelism, total), subtask);
                }
            }
            prop_assert_eq!(next, total);
        }
    }
}

//! Keys to dense numbers: which group a row belongs to.
//!
//! Equal keys get the same number, new keys the next free one from 0 on, so that accumulators can be plain vectors. Null is
//! a key of its own, `-0.0` is `0.0`, and every NaN is the same key. Numbers are local to one interner: what leaves a node
//! (state, routes) goes by [`millstream_api::key_group`], never by these hashes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryViewArray, Int64Array, PrimitiveArray};
use arrow::compute::{cast, max, min};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type};
use arrow::row::{RowConverter, Rows, SortField};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use millstream_api::{Error, Result};
use xxhash_rust::xxh3::xxh3_64;

use super::pairs::Pairs;
use super::words::WordTable;

/// Numbers keys of fixed column types.
pub struct Interner {
    types: Vec<DataType>,
    keys: Keys,
    /// Numbers given up, to be given again.
    free: Vec<usize>,
    null: Option<usize>,
    used: usize,
}

enum Keys {
    /// No columns: one key.
    Unit,
    /// One column that fits 64 bits.
    Words { table: WordTable, words: Vec<i64> },
    /// Two columns that fit 64 bits each.
    Pairs(Pairs),
    /// Anything else: one column of strings or bytes as it is, several columns or other types as Arrow rows.
    Bytes { table: HashTable<usize>, bytes: Vec<Box<[u8]>>, converter: Option<RowConverter>, heap_bytes: usize },
}

impl Interner {
    /// An interner without keys, for columns of these types.
    pub fn new(types: &[DataType]) -> Result<Self> {
        let keys = match types {
            [] => Keys::Unit,
            [one] if fits_word(one) => Keys::Words { table: WordTable::new(), words: Vec::new() },
            [one, two] if fits_word(one) && fits_word(two) => Keys::Pairs(Pairs::new()),
            [DataType::Utf8View | DataType::BinaryView] => bytes_keys(None),
            several => {
                let fields = several.iter().map(|t| SortField::new(t.clone())).collect();
                bytes_keys(Some(RowConverter::new(fields)?))
            }
        };
        Ok(Interner { types: types.to_vec(), keys, free: Vec::new(), null: None, used: 0 })
    }

    /// Writes the number of each row's key to `ids` (what was in there is gone). `rows` counts where there are no columns.
    pub fn intern(&mut self, columns: &[ArrayRef], rows: usize, ids: &mut Vec<usize>) -> Result<()> {
        ids.clear();
        ids.reserve(rows);
        if let Keys::Unit = self.keys {
            self.used = self.used.max(usize::from(rows > 0));
            ids.resize(rows, 0);
            return Ok(());
        }
        let [first, ..] = columns else { return Err(Error::internal("a key without its columns")) };
        if let Keys::Words { .. } = self.keys {
            self.intern_words(&to_words(first)?, ids);
            return Ok(());
        }
        if let (Keys::Pairs(_), [_, second]) = (&self.keys, columns) {
            self.intern_pairs(&to_words(first)?, &to_words(second)?, ids);
            return Ok(());
        }
        match self.convert(columns)? {
            Some(converted) => (0..converted.num_rows()).for_each(|row| ids.push(self.intern_bytes(Some(converted.row(row).data())))),
            None => {
                let views = to_views(first)?;
                (0..views.len()).for_each(|row| ids.push(self.intern_bytes(views.is_valid(row).then(|| views.value(row)))));
            }
        }
        Ok(())
    }

    /// One more than the greatest number in use since the start: how long a vector by number must be.
    pub fn total(&self) -> usize {
        self.used
    }

    /// How many keys there are.
    pub fn live(&self) -> usize {
        self.used - self.free.len()
    }

    /// Forgets these keys. Their numbers will be given to other keys.
    pub fn release(&mut self, ids: &[usize]) {
        for &id in ids {
            if self.null == Some(id) {
                self.null = None;
            } else {
                self.forget(id);
            }
            self.free.push(id);
        }
    }

    /// The keys of these numbers, column by column.
    pub fn columns(&self, ids: &[usize]) -> Result<Vec<ArrayRef>> {
        match &self.keys {
            Keys::Unit => Ok(Vec::new()),
            Keys::Words { words, .. } => {
                let words: Int64Array = ids.iter().map(|&id| (self.null != Some(id)).then(|| words[id])).collect();
                Ok(vec![from_words(&words, &self.types[0])?])
            }
            Keys::Pairs(pairs) => (0..2).map(|i| from_words(&pairs.column(i, ids), &self.types[i])).collect(),
            Keys::Bytes { bytes, converter: Some(converter), .. } => {
                let parser = converter.parser();
                Ok(converter.convert_rows(ids.iter().map(|&id| parser.parse(&bytes[id])))?)
            }
            Keys::Bytes { bytes, converter: None, .. } => {
                let views = BinaryViewArray::from_iter(ids.iter().map(|&id| (self.null != Some(id)).then(|| &*bytes[id])));
                let views: ArrayRef = Arc::new(views);
                Ok(vec![cast(&views, &self.types[0])?])
            }
        }
    }

    /// The keys of all numbers, of which none may have been given up, column by column.
    pub fn all_columns(&self) -> Result<Vec<ArrayRef>> {
        match &self.keys {
            Keys::Words { words, .. } if self.null.is_none() => Ok(vec![from_words(&Int64Array::from(words.clone()), &self.types[0])?]),
            _ => self.columns(&(0..self.used).collect::<Vec<_>>()),
        }
    }

    /// Memory in bytes.
    pub fn size_bytes(&self) -> usize {
        let free = self.free.capacity() * size_of::<usize>();
        free + match &self.keys {
            Keys::Unit => 0,
            Keys::Words { table, words } => table.size_bytes() + words.capacity() * size_of::<i64>(),
            Keys::Pairs(pairs) => pairs.size_bytes(),
            Keys::Bytes { table, bytes, heap_bytes, .. } => {
                table.allocation_size() + bytes.capacity() * size_of::<Box<[u8]>>() + heap_bytes
            }
        }
    }

    fn convert(&self, columns: &[ArrayRef]) -> Result<Option<Rows>> {
        let Keys::Bytes { converter: Some(converter), .. } = &self.keys else { return Ok(None) };
        let columns: Vec<ArrayRef> = columns.iter().map(normalised).collect();
        Ok(Some(converter.convert_columns(&columns)?))
    }

    fn intern_words(&mut self, column: &Int64Array, ids: &mut Vec<usize>) {
        let Interner { keys: Keys::Words { table, words }, free, used, null, .. } = self else { return };
        if let Some((least, greatest)) = min(column).zip(max(column)) {
            table.prepare(least, greatest, *used + column.len());
        }
        let mut new = |word: i64| {
            let id = next_id(free, used);
            set_at(words, id, word);
            id
        };
        if column.null_count() == 0 {
            return table.number_all(column.values(), ids, new);
        }
        ids.extend(column.iter().map(|word| match word {
            Some(word) => table.number(word, || new(word)),
            None => *null.get_or_insert_with(|| new(0)),
        }));
    }

    fn intern_pairs(&mut self, first: &Int64Array, second: &Int64Array, ids: &mut Vec<usize>) {
        let Interner { keys: Keys::Pairs(pairs), free, used, .. } = self else { return };
        pairs.number_all(first, second, ids, || next_id(free, used));
    }

    fn intern_bytes(&mut self, key: Option<&[u8]>) -> usize {
        let Some(key) = key else { return self.intern_null() };
        let Keys::Bytes { table, bytes, heap_bytes, .. } = &mut self.keys else { return 0 };
        let entry = table.entry(xxh3_64(key), |&id| &*bytes[id] == key, |&id| xxh3_64(&bytes[id]));
        match entry {
            Entry::Occupied(found) => *found.get(),
            Entry::Vacant(vacant) => {
                let id = next_id(&mut self.free, &mut self.used);
                vacant.insert(id);
                *heap_bytes += key.len();
                set_at(bytes, id, key.into());
                id
            }
        }
    }

    fn intern_null(&mut self) -> usize {
        if let Some(id) = self.null {
            return id;
        }
        let id = next_id(&mut self.free, &mut self.used);
        match &mut self.keys {
            Keys::Unit | Keys::Words { .. } | Keys::Pairs(_) => {}
            Keys::Bytes { bytes, .. } => set_at(bytes, id, Box::default()),
        }
        self.null = Some(id);
        id
    }

    fn forget(&mut self, id: usize) {
        match &mut self.keys {
            Keys::Unit => {}
            Keys::Words { table, words } => table.remove(words[id]),
            Keys::Pairs(pairs) => pairs.remove(id),
            Keys::Bytes { table, bytes, heap_bytes, .. } => {
                if let Ok(found) = table.find_entry(xxh3_64(&bytes[id]), |&other| other == id) {
                    found.remove();
                }
                *heap_bytes -= bytes[id].len();
                bytes[id] = Box::default();
            }
        }
    }
}

fn bytes_keys(converter: Option<RowConverter>) -> Keys {
    Keys::Bytes { table: HashTable::new(), bytes: Vec::new(), converter, heap_bytes: 0 }
}

fn next_id(free: &mut Vec<usize>, used: &mut usize) -> usize {
    free.pop().unwrap_or_else(|| {
        *used += 1;
        *used - 1
    })
}

pub(super) fn set_at<T: Default>(values: &mut Vec<T>, index: usize, value: T) {
    if values.len() == index {
        return values.push(value);
    }
    if values.len() < index {
        values.resize_with(index + 1, T::default);
    }
    values[index] = value;
}

pub(super) fn fits_word(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Date32 | DataType::Timestamp(_, _))
}

pub(super) fn to_words(column: &ArrayRef) -> Result<Int64Array> {
    let words = match column.data_type() {
        DataType::Int64 => return Ok(column.as_primitive::<Int64Type>().clone()),
        DataType::Date32 => cast(&cast(column, &DataType::Int32)?, &DataType::Int64)?,
        _ => cast(column, &DataType::Int64)?,
    };
    Ok(words.as_primitive::<Int64Type>().clone())
}

fn from_words(words: &Int64Array, data_type: &DataType) -> Result<ArrayRef> {
    Ok(match data_type {
        DataType::Date32 => cast(&cast(words, &DataType::Int32)?, &DataType::Date32)?,
        other => cast(words, other)?,
    })
}

pub(super) fn to_views(column: &ArrayRef) -> Result<BinaryViewArray> {
    Ok(match column.data_type() {
        DataType::Utf8View => column.as_string_view().clone().to_binary_view(),
        _ => cast(column, &DataType::BinaryView)?.as_binary_view().clone(),
    })
}

/// The column with `0.0` for `-0.0` and one NaN for all, so that equal values have equal bytes.
pub fn normalised(column: &ArrayRef) -> ArrayRef {
    fn floats<T: ArrowPrimitiveType>(column: &ArrayRef, one: impl Fn(T::Native) -> T::Native) -> ArrayRef {
        let values: &PrimitiveArray<T> = column.as_primitive();
        Arc::new(values.unary::<_, T>(one))
    }
    match column.data_type() {
        DataType::Float64 => floats::<Float64Type>(column, |v| if v.is_nan() { f64::NAN } else { v + 0.0 }),
        DataType::Float32 => floats::<Float32Type>(column, |v| if v.is_nan() { f32::NAN } else { v + 0.0 }),
        _ => column.clone(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, StringViewArray};

    use super::*;

    fn ids(interner: &mut Interner, columns: &[ArrayRef]) -> Vec<usize> {
        let mut ids = Vec::new();
        interner.intern(columns, columns[0].len(), &mut ids).unwrap();
        ids
    }

    #[test]
    fn words_strings_and_rows_number_in_the_order_of_coming() {
        let words: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None, Some(7), Some(i64::MIN), None]));
        let strings: ArrayRef = Arc::new(StringViewArray::from(vec![Some("b"), None, Some("b"), Some(""), None]));
        for columns in [vec![words.clone()], vec![strings.clone()], vec![words.clone(), words.clone()], vec![words, strings]] {
            let types: Vec<DataType> = columns.iter().map(|c| c.data_type().clone()).collect();
            let mut interner = Interner::new(&types).unwrap();
            assert_eq!(ids(&mut interner, &columns), [0, 1, 0, 2, 1]);
            let back = interner.columns(&[0, 1, 2]).unwrap();
            for (column, back) in columns.iter().zip(&back) {
                let expected = arrow::compute::take(column, &arrow::array::UInt32Array::from(vec![0, 1, 3]), None).unwrap();
                assert_eq!(&expected, back);
            }
            assert_eq!(interner.all_columns().unwrap(), back);
        }
    }

    #[test]
    fn pairs_are_told_apart_whether_they_fit_one_word_or_not() {
        let of = |values: &[Option<i64>]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
        let far = Some(1i64 << 32);
        let columns = [of(&[Some(0), far, Some(-1), None, Some(0), Some(1)]), of(&[Some(-1), Some(-1), Some(0), Some(0), None, far])];
        let mut interner = Interner::new(&[DataType::Int64, DataType::Int64]).unwrap();
        assert_eq!(ids(&mut interner, &columns), [0, 1, 2, 3, 4, 5]);
        assert_eq!(interner.columns(&[0, 1, 2, 3, 4, 5]).unwrap(), columns);
        interner.release(&[5, 2]);
        assert_eq!(ids(&mut interner, &columns), [0, 1, 2, 3, 4, 5], "numbers are given again, last in first out");
    }

    #[test]
    fn zeros_and_nans_are_one_key_each() {
        let other_nan = f64::from_bits(f64::NAN.to_bits() | 1 | (1 << 63));
        let values: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, other_nan]));
        assert_eq!(ids(&mut Interner::new(&[DataType::Float64]).unwrap(), &[values]), [0, 0, 1, 1]);
    }

    #[test]
    fn released_numbers_are_given_again() {
        for data_type in [DataType::Int64, DataType::Utf8View] {
            let key = |v: Vec<Option<i64>>| cast(&Int64Array::from(v), &data_type).unwrap();
            let mut interner = Interner::new(std::slice::from_ref(&data_type)).unwrap();
            assert_eq!(ids(&mut interner, &[key(vec![Some(1), None, Some(3)])]), [0, 1, 2]);
            interner.release(&[1, 0]);
            assert_eq!(interner.live(), 1);
            assert_eq!(ids(&mut interner, &[key(vec![Some(3), Some(9), None, Some(1)])]), [2, 0, 1, 3]);
            assert_eq!(interner.columns(&[0, 1]).unwrap()[0].null_count(), 1);
        }
    }

    #[test]
    fn no_columns_are_one_key() {
        let mut interner = Interner::new(&[]).unwrap();
        let mut numbers = vec![5];
        interner.intern(&[], 2, &mut numbers).unwrap();
        assert_eq!((numbers, interner.total()), (vec![0, 0], 1));
    }
}

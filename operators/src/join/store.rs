//! All rows of one side of a `changes` join, by key.
//!
//! A row is kept as its bytes in Arrow's row format, so that a withdrawal finds its equal; equal rows are one entry with a
//! weight. Weights may be below zero for a while: a withdrawal may overtake its row.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Found;
use millstream_api::Result;
use xxhash_rust::xxh3::xxh3_64;

use super::probe::NO_KEY;
use crate::columns::records;

/// One row, and how often it is there.
#[derive(Default)]
pub(super) struct Entry {
    bytes: Box<[u8]>,
    /// How often it came, less how often it was withdrawn.
    pub(super) weight: i64,
    /// The weights of all rows of the other side that are a pair with it; kept only where it matters.
    pub(super) partners: i64,
    /// The number of its key.
    pub(super) key: usize,
    /// Its place among the rows of its key.
    place: usize,
    /// Whether the batch at hand has changed its weight.
    pub(super) touched: bool,
}

/// The rows of one side.
pub(super) struct Store {
    schema: SchemaRef,
    converter: RowConverter,
    entries: Vec<Entry>,
    free: Vec<u32>,
    table: HashTable<u32>,
    by_key: Vec<Vec<u32>>,
    heap_bytes: usize,
}

impl Store {
    /// A store without rows, for rows of these columns.
    pub(super) fn new(columns: &Schema) -> Result<Store> {
        let mut fields: Vec<Field> = columns.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        if fields.is_empty() {
            // The row format needs a column to count rows by.
            fields.push(Field::new("(row)", DataType::Boolean, true));
        }
        let converter = RowConverter::new(fields.iter().map(|field| SortField::new(field.data_type().clone())).collect())?;
        Ok(Store {
            schema: Arc::new(Schema::new(fields)),
            converter,
            entries: Vec::new(),
            free: Vec::new(),
            table: HashTable::new(),
            by_key: Vec::new(),
            heap_bytes: 0,
        })
    }

    /// The schema of the rows as they are kept.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows as bytes. `rows` counts where there are no columns.
    pub(super) fn convert(&self, columns: &[ArrayRef], rows: usize) -> Result<Rows> {
        if columns.is_empty() {
            let one: ArrayRef = Arc::new(BooleanArray::from(vec![true; rows]));
            return Ok(self.converter.convert_columns(&[one])?);
        }
        Ok(self.converter.convert_columns(columns)?)
    }

    /// The entry of a row, which is made (with the weight 0) if it is not there.
    pub(super) fn entry(&mut self, bytes: &[u8], key: usize) -> u32 {
        let entries = &self.entries;
        let hash = |id: u32| xxh3_64(&entries[id as usize].bytes);
        match self.table.entry(xxh3_64(bytes), |&id| *entries[id as usize].bytes == *bytes, |&id| hash(id)) {
            Found::Occupied(found) => *found.get(),
            Found::Vacant(vacant) => {
                let id = self.free.pop().unwrap_or(self.entries.len() as u32);
                vacant.insert(id);
                self.heap_bytes += bytes.len();
                let place = listed(&mut self.by_key, key, id);
                let entry = Entry { bytes: bytes.into(), key, place, ..Entry::default() };
                match self.entries.get_mut(id as usize) {
                    Some(free) => *free = entry,
                    None => self.entries.push(entry),
                }
                id
            }
        }
    }

    /// A store without rows, for the same columns.
    pub(super) fn emptied(&self) -> Result<Store> {
        Store::new(&self.schema)
    }

    /// An entry.
    pub(super) fn get(&self, id: u32) -> &Entry {
        &self.entries[id as usize]
    }

    /// An entry, to be changed.
    pub(super) fn get_mut(&mut self, id: u32) -> &mut Entry {
        &mut self.entries[id as usize]
    }

    /// The entries of a key.
    pub(super) fn of_key(&self, key: usize) -> &[u32] {
        self.by_key.get(key).map_or(&[], Vec::as_slice)
    }

    /// Forgets a row. Its number will be given to another.
    pub(super) fn remove(&mut self, id: u32) {
        let entry = std::mem::take(&mut self.entries[id as usize]);
        if let Ok(found) = self.table.find_entry(xxh3_64(&entry.bytes), |&other| other == id) {
            found.remove();
        }
        self.heap_bytes -= entry.bytes.len();
        if let Some(list) = self.by_key.get_mut(entry.key) {
            list.swap_remove(entry.place);
            if let Some(&moved) = list.get(entry.place) {
                self.entries[moved as usize].place = entry.place;
            }
            if list.is_empty() {
                *list = Vec::new();
            }
        }
        self.free.push(id);
    }

    /// The rows of these entries, column by column.
    pub(super) fn rows(&self, ids: impl ExactSizeIterator<Item = u32>) -> Result<RecordBatch> {
        let rows = ids.len();
        let parser = self.converter.parser();
        let columns = self.converter.convert_rows(ids.map(|id| parser.parse(&self.entries[id as usize].bytes)))?;
        records(&self.schema, columns, rows)
    }

    /// All entries that are to be kept.
    pub(super) fn live(&self) -> Vec<u32> {
        self.by_key.iter().flatten().copied().filter(|&id| self.get(id).weight != 0).collect()
    }

    /// The entries of these keys that are to be kept.
    pub(super) fn live_of(&self, keys: &[usize]) -> Vec<u32> {
        keys.iter().flat_map(|&key| self.of_key(key)).copied().filter(|&id| self.get(id).weight != 0).collect()
    }

    /// Memory in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        let lists = self.by_key.capacity() * size_of::<Vec<u32>>() + self.entries.len() * size_of::<u32>();
        self.heap_bytes + lists + self.entries.capacity() * size_of::<Entry>() + self.table.allocation_size()
    }
}

/// Puts an entry among those of its key; the result is its place.
fn listed(by_key: &mut Vec<Vec<u32>>, key: usize, id: u32) -> usize {
    if key == NO_KEY {
        return 0;
    }
    if by_key.len() <= key {
        by_key.resize_with(key + 1, Vec::new);
    }
    by_key[key].push(id);
    by_key[key].len() - 1
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;
    use crate::testing::schema;

    #[test]
    fn equal_rows_are_one_entry_and_numbers_are_given_again() {
        let mut store = Store::new(&schema("a bigint")).unwrap();
        let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), None, Some(5), Some(7)]));
        let rows = store.convert(&[column], 4).unwrap();
        let ids: Vec<u32> = (0..4).map(|row| store.entry(rows.row(row).data(), row % 2)).collect();
        assert_eq!(ids, [0, 1, 0, 2]);
        assert_eq!((store.of_key(0), store.of_key(1), store.of_key(9)), (&[0][..], &[1, 2][..], &[][..]));
        store.remove(1);
        assert_eq!(store.of_key(1), [2]);
        assert_eq!(store.entry(rows.row(1).data(), 0), 1);
        store.remove(2);
        assert_eq!((store.of_key(1), store.of_key(0)), (&[][..], &[0, 1][..]));
        assert_eq!(store.rows([1, 0].into_iter()).unwrap().column(0).as_ref(), &Int64Array::from(vec![None, Some(5)]));
    }

    #[test]
    fn rows_without_columns_are_counted() {
        let mut store = Store::new(&Schema::empty()).unwrap();
        let rows = store.convert(&[], 3).unwrap();
        assert_eq!((0..3).map(|row| store.entry(rows.row(row).data(), 0)).collect::<Vec<_>>(), [0, 0, 0]);
    }
}

//! The rows that are kept, by key and in order.
//!
//! Rows are in columns, in the batches that they came in (cut down to the rows that were kept). A ranking is a sorted list of
//! places in these; so a row that moves up or down is not copied. Small batches next to each other are joined, which changes no
//! place. Rows that are no longer in any ranking stay where they are until they are the greater part, then the others are put
//! together anew. So what a batch costs does not grow with the rows that are kept.

mod saved;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, new_empty_array};
use arrow::compute::{concat_batches, interleave};
use arrow::datatypes::{DataType, SchemaRef};
use millstream_api::{Batch, Result};
use millstream_expr::Interner;

pub(crate) use self::saved::Saved;
use crate::columns::{in_one_buffer, records};

/// Batches are not joined beyond this many rows.
const SEGMENT_ROWS: usize = 8 * 1024;

/// How many rows may be left over, however few are kept.
const LEFT_OVER_ROWS: usize = 4096;

/// Where a row is: a batch and a row of it. Good until the next [`Rankings::tidy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    part: u32,
    row: u32,
}

/// A row of a ranking.
struct Entry {
    place: Place,
    /// How many equal rows there are; below zero while a withdrawal has overtaken its row.
    count: i64,
}

/// Which rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The first ones of each key; none is withdrawn.
    First,
    /// The last one of each key; none is withdrawn.
    Last,
    /// All; a row is withdrawn by an equal one, which has the same byte string.
    All,
}

/// Rankings of many keys. The last one of the kept columns has the byte strings that say the order.
pub(crate) struct Rankings {
    keep: Keep,
    n: usize,
    interner: Interner,
    keyed: bool,
    /// The ranking of each key, by the number of the key.
    groups: Vec<Vec<Entry>>,
    /// How many entries there are.
    entries: usize,
    schema: SchemaRef,
    /// The rows of each batch: a segment, and the first one's row in it. Both rise.
    parts: Vec<(u32, u32)>,
    segments: Vec<RecordBatch>,
    /// Rows of all segments.
    stored: usize,
    segment_bytes: usize,
    /// The batch in which each key was last touched, by its number.
    touched_in: Vec<u64>,
    batch: u64,
    /// Whether keys are forgotten, so that a withdrawal of a row that is not there is of one that was; else it may still come.
    forgets: bool,
    /// How many such withdrawals there were.
    forgotten: u64,
}

impl Rankings {
    /// No rows yet.
    pub(crate) fn new(keep: Keep, n: usize, key_types: &[DataType], schema: SchemaRef) -> Result<Self> {
        Ok(Rankings {
            keep,
            n,
            interner: Interner::new(key_types)?,
            keyed: !key_types.is_empty(),
            groups: Vec::new(),
            entries: 0,
            schema,
            parts: Vec::new(),
            segments: Vec::new(),
            stored: 0,
            segment_bytes: 0,
            touched_in: Vec::new(),
            batch: 0,
            forgets: false,
            forgotten: 0,
        })
    }

    /// The same rankings, of which keys are forgotten.
    pub(crate) fn forgetful(mut self) -> Self {
        self.forgets = true;
        self
    }

    /// How many rows were withdrawn since the last call that had been forgotten.
    pub(crate) fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }

    /// Whether there is no row of a key.
    pub(crate) fn is_empty(&self, group: usize) -> bool {
        self.groups[group].is_empty()
    }

    /// The number of each row's key.
    pub(crate) fn number(&mut self, keys: &[ArrayRef], rows: usize) -> Result<Vec<usize>> {
        let mut ids = Vec::new();
        self.interner.intern(keys, rows, &mut ids)?;
        self.groups.resize_with(self.interner.total(), Vec::new);
        Ok(ids)
    }

    /// These numbers of keys, each once, in the order in which they come.
    pub(crate) fn touched(&mut self, ids: &[usize]) -> Vec<usize> {
        self.batch += 1;
        self.touched_in.resize(self.groups.len(), 0);
        ids.iter().copied().filter(|&id| std::mem::replace(&mut self.touched_in[id], self.batch) != self.batch).collect()
    }

    /// Adds (or withdraws) rows; `ids` are the numbers of their keys, `touched` the same numbers, each once. The result: those of them of
    /// which some of these rows are kept.
    pub(crate) fn change(
        &mut self,
        ids: &[usize],
        touched: &[usize],
        rows: RecordBatch,
        count: impl Fn(usize) -> i64,
    ) -> Result<Vec<usize>> {
        let part = self.parts.len() as u32;
        let before: usize = touched.iter().map(|&group| self.groups[group].len()).sum();
        self.parts.push((self.segments.len() as u32, 0));
        self.segments.push(rows);
        for (row, &group) in ids.iter().enumerate() {
            let entry = Entry { place: Place { part, row: row as u32 }, count: count(row) };
            match self.keep {
                Keep::First => self.insert(group, entry),
                Keep::Last => self.replace(group, entry),
                Keep::All => self.weigh(group, entry),
            }
        }
        let after: usize = touched.iter().map(|&group| self.groups[group].len()).sum();
        self.entries = self.entries + after - before;
        self.cut_last_part(touched)
    }

    /// The places of a key's first rows, in order.
    pub(crate) fn first(&self, group: usize) -> Vec<Place> {
        let mut places = Vec::new();
        self.add_first(group, &mut places);
        places
    }

    /// Adds the places of a key's first rows, in order.
    pub(crate) fn add_first(&self, group: usize, places: &mut Vec<Place>) {
        let mut room = self.n;
        for entry in &self.groups[group] {
            if room == 0 {
                break;
            }
            let times = usize::try_from(entry.count).unwrap_or(0).min(room);
            places.extend(std::iter::repeat_n(entry.place, times));
            room -= times;
        }
    }

    /// How many numbers of keys there are.
    pub(crate) fn total(&self) -> usize {
        self.groups.len()
    }

    /// The byte string that says the order of a row.
    pub(crate) fn order(&self, place: Place) -> &[u8] {
        self.kept_parts().order(place)
    }

    /// A kept column of the rows at these places.
    pub(crate) fn column(&self, column: usize, places: &[Place]) -> Result<ArrayRef> {
        if self.segments.is_empty() {
            return Ok(new_empty_array(self.schema.field(column).data_type()));
        }
        let arrays: Vec<&dyn Array> = self.segments.iter().map(|segment| segment.column(column).as_ref()).collect();
        let places: Vec<(usize, usize)> = places.iter().map(|&place| self.kept_parts().row(place)).collect();
        Ok(interleave(&arrays, &places)?)
    }

    /// Lets go of keys without rows, and of rows without a key where they are too many.
    pub(crate) fn tidy(&mut self, touched: &[usize]) -> Result<()> {
        let empty: Vec<usize> = touched.iter().copied().filter(|&group| self.groups[group].is_empty()).collect();
        if self.keyed {
            self.interner.release(&empty);
        }
        if self.stored > 2 * self.entries + LEFT_OVER_ROWS { self.put_together() } else { Ok(()) }
    }

    /// The keys of these numbers.
    pub(crate) fn keys(&self, ids: &[usize]) -> Result<Vec<ArrayRef>> {
        self.interner.columns(ids)
    }

    /// Takes all rows of these keys out.
    pub(crate) fn clear(&mut self, ids: &[usize]) {
        for &group in ids {
            self.entries -= std::mem::take(&mut self.groups[group]).len();
        }
    }

    /// Memory in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        let lists = self.groups.capacity() * size_of::<Vec<Entry>>() + self.entries * size_of::<Entry>();
        let numbers = self.parts.capacity() * size_of::<(u32, u32)>() + self.touched_in.capacity() * size_of::<u64>();
        self.interner.size_bytes() + lists + numbers + self.segment_bytes
    }

    fn kept_parts(&self) -> Parts<'_> {
        Parts { parts: &self.parts, segments: &self.segments }
    }

    /// Puts a row where it belongs, unless there are enough before it.
    fn insert(&mut self, group: usize, entry: Entry) {
        let (parts, entries) = (Parts { parts: &self.parts, segments: &self.segments }, &mut self.groups[group]);
        let new = parts.order(entry.place);
        if entries.len() == self.n && entries.last().is_some_and(|last| parts.order(last.place) <= new) {
            return;
        }
        let at = entries.partition_point(|old| parts.order(old.place) <= new);
        entries.insert(at, entry);
        entries.truncate(self.n);
    }

    /// Puts a row in the place of one before it.
    fn replace(&mut self, group: usize, entry: Entry) {
        let (parts, entries) = (Parts { parts: &self.parts, segments: &self.segments }, &mut self.groups[group]);
        match entries.first_mut() {
            None => entries.push(entry),
            Some(old) if parts.order(old.place) < parts.order(entry.place) => *old = entry,
            Some(_) => {}
        }
    }

    /// Counts a row together with those that are equal to it.
    fn weigh(&mut self, group: usize, entry: Entry) {
        let (parts, entries) = (Parts { parts: &self.parts, segments: &self.segments }, &mut self.groups[group]);
        match entries.binary_search_by(|old| parts.order(old.place).cmp(parts.order(entry.place))) {
            Err(_) if self.forgets && entry.count < 0 => self.forgotten += entry.count.unsigned_abs(),
            Err(at) => entries.insert(at, entry),
            Ok(at) => {
                entries[at].count += entry.count;
                if entries[at].count == 0 {
                    entries.remove(at);
                }
            }
        }
    }

    /// Leaves those rows of the last part that are in a ranking, and gives the keys of these.
    fn cut_last_part(&mut self, touched: &[usize]) -> Result<Vec<usize>> {
        self.parts.pop();
        let Some(part) = self.segments.pop() else { return Ok(Vec::new()) };
        let number = self.parts.len() as u32;
        let (mut rows, mut keys) = (Vec::new(), Vec::new());
        for &group in touched {
            let before = rows.len();
            for entry in self.groups[group].iter_mut().filter(|entry| entry.place.part == number) {
                rows.push(std::mem::replace(&mut entry.place.row, rows.len() as u32));
            }
            keys.extend((rows.len() > before).then_some(group));
        }
        if !rows.is_empty() {
            self.push(Batch::plain(part).take(&UInt32Array::from(rows))?);
            self.join_small()?;
        }
        Ok(keys)
    }

    /// Makes one part of all rows that are in a ranking.
    fn put_together(&mut self) -> Result<()> {
        let places: Vec<Place> = self.groups.iter().flatten().map(|entry| entry.place).collect();
        let columns = (0..self.schema.fields().len()).map(|column| self.column(column, &places)).collect::<Result<_>>()?;
        let all = Batch::plain(records(&self.schema, columns, places.len())?);
        (self.stored, self.segment_bytes) = (0, 0);
        self.parts.clear();
        self.segments.clear();
        // Taking lets go of the strings of rows that are gone.
        self.push(all.take(&UInt32Array::from_iter_values(0..places.len() as u32))?);
        self.groups.iter_mut().flatten().enumerate().for_each(|(row, entry)| entry.place = Place { part: 0, row: row as u32 });
        Ok(())
    }

    fn push(&mut self, part: Batch) {
        self.parts.push((self.segments.len() as u32, 0));
        self.push_segment(part);
    }

    fn push_segment(&mut self, segment: Batch) {
        self.stored += segment.rows();
        self.segment_bytes += segment.size_bytes();
        self.segments.push(segment.records().clone());
    }

    /// Joins the last segments while they are small. Where their rows are is said by `parts`.
    fn join_small(&mut self) -> Result<()> {
        while let [.., before, last] = self.segments.as_slice()
            && before.num_rows() <= 2 * last.num_rows()
            && before.num_rows() + last.num_rows() <= SEGMENT_ROWS
        {
            let (joined, moved) = (concat_batches(&self.schema, [before, last])?, before.num_rows() as u32);
            let number = self.segments.len() as u32 - 1;
            for part in self.parts.iter_mut().rev().take_while(|(segment, _)| *segment == number) {
                *part = (number - 1, part.1 + moved);
            }
            for gone in self.segments.drain(number as usize - 1..) {
                self.stored -= gone.num_rows();
                self.segment_bytes -= Batch::plain(gone).size_bytes();
            }
            let columns = joined.columns().iter().map(in_one_buffer).collect();
            self.push_segment(Batch::plain(records(&self.schema, columns, joined.num_rows())?));
        }
        Ok(())
    }
}

/// Where rows are.
#[derive(Clone, Copy)]
struct Parts<'a> {
    parts: &'a [(u32, u32)],
    segments: &'a [RecordBatch],
}

impl<'a> Parts<'a> {
    /// The segment and the row of a place.
    fn row(self, place: Place) -> (usize, usize) {
        let (segment, first) = self.parts[place.part as usize];
        (segment as usize, (first + place.row) as usize)
    }

    /// The byte string that says the order of a row.
    fn order(self, place: Place) -> &'a [u8] {
        let (segment, row) = self.row(place);
        let segment = &self.segments[segment];
        segment.column(segment.num_columns() - 1).as_binary::<i32>().value(row)
    }
}

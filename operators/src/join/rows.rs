//! Rows that wait, column by column: put away batch by batch, found again by their number, forgotten one by one.
//!
//! A row's number says when it came and never changes. Rows lie in segments in the order of their numbers; a batch that is large
//! enough is a segment as it is, small ones next to each other are joined, and of a segment of which more than half is gone the
//! rest is copied out. So there are few segments, a row is copied a few times at most, and memory follows the rows that are
//! there, whichever of them go first.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array, new_empty_array};
use arrow::compute::{concat_batches, interleave, take};
use arrow::datatypes::SchemaRef;
use millstream_api::{Batch, Error, Result};

use crate::columns::{in_one_buffer, records};

/// A segment is not joined to another beyond this many rows.
const SEGMENT_ROWS: usize = 8 * 1024;

/// Rows of one side.
pub(super) struct KeptRows {
    schema: SchemaRef,
    segments: Vec<Segment>,
    next: u64,
    live: usize,
}

/// Rows with rising numbers.
struct Segment {
    numbers: Numbers,
    rows: RecordBatch,
    /// Which rows are gone; empty while none is.
    gone: Vec<bool>,
    live: usize,
    bytes: usize,
}

/// The numbers of a segment's rows.
enum Numbers {
    /// One after the other, from this one on.
    From(u64),
    Each(Vec<u64>),
}

/// Rows that were looked up, to be read column by column.
pub(super) struct Picks<'a> {
    kept: &'a KeptRows,
    places: Places,
}

enum Places {
    /// Rows of one segment.
    One(usize, UInt32Array),
    /// Segments, counted from the first of these, and rows.
    Many(std::ops::RangeInclusive<usize>, Vec<(usize, usize)>),
}

impl Picks<'_> {
    /// How many rows were looked up.
    pub(super) fn len(&self) -> usize {
        match &self.places {
            Places::One(_, rows) => rows.len(),
            Places::Many(_, places) => places.len(),
        }
    }

    /// How many columns they have.
    pub(super) fn columns(&self) -> usize {
        self.kept.schema.fields().len()
    }

    /// One of their columns.
    pub(super) fn column(&self, index: usize) -> Result<ArrayRef> {
        Ok(match &self.places {
            Places::One(segment, rows) => match self.kept.segments.get(*segment) {
                Some(segment) => take(segment.rows.column(index), rows, None)?,
                None => new_empty_array(self.kept.schema.field(index).data_type()),
            },
            Places::Many(segments, places) => {
                let segments = &self.kept.segments[segments.clone()];
                let pieces: Vec<&dyn Array> = segments.iter().map(|segment| segment.rows.column(index).as_ref()).collect();
                interleave(&pieces, places)?
            }
        })
    }

    /// All of their columns.
    pub(super) fn records(&self) -> Result<RecordBatch> {
        let schema = &self.kept.schema;
        let columns = (0..schema.fields().len()).map(|index| self.column(index)).collect::<Result<_>>()?;
        Ok(Batch::plain(records(schema, columns, self.len())?).compacted()?.records().clone())
    }
}

impl KeptRows {
    /// No rows, of these columns.
    pub(super) fn new(schema: SchemaRef) -> KeptRows {
        KeptRows { schema, segments: Vec::new(), next: 0, live: 0 }
    }

    /// The columns.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.live
    }

    /// The number of the row that is put away next.
    pub(super) fn end(&self) -> u64 {
        self.next
    }

    /// Puts rows away; the result is the number of the first, the others follow.
    pub(super) fn add(&mut self, rows: &RecordBatch) -> Result<u64> {
        let first = self.next;
        if rows.num_rows() == 0 {
            return Ok(first);
        }
        self.next += rows.num_rows() as u64;
        self.live += rows.num_rows();
        self.segments.push(Segment::new(Numbers::From(first), records(&self.schema, rows.columns().to_vec(), rows.num_rows())?));
        while let [.., before, last] = self.segments.as_slice()
            && before.live <= 2 * last.live
            && before.live + last.live <= SEGMENT_ROWS
        {
            self.join_last()?;
        }
        Ok(first)
    }

    /// Looks these rows up; a row may be named more than once.
    pub(super) fn find(&self, numbers: impl ExactSizeIterator<Item = u64>) -> Result<Picks<'_>> {
        let (mut places, mut near) = (Vec::with_capacity(numbers.len()), 0);
        let (mut least, mut greatest) = (usize::MAX, 0);
        for number in numbers {
            let place = self.place(number, near).ok_or_else(|| Error::internal("a row that waits is gone"))?;
            near = place.0;
            (least, greatest) = (least.min(near), greatest.max(near));
            places.push(place);
        }
        if least >= greatest {
            let rows = UInt32Array::from_iter_values(places.iter().map(|place| place.1 as u32));
            return Ok(Picks { kept: self, places: Places::One(greatest, rows) });
        }
        places.iter_mut().for_each(|place| place.0 -= least);
        Ok(Picks { kept: self, places: Places::Many(least..=greatest, places) })
    }

    /// These rows, in this order; a row may be named more than once.
    pub(super) fn gather(&self, numbers: &[u64]) -> Result<RecordBatch> {
        self.find(numbers.iter().copied())?.records()
    }

    /// The rows from this number on, in pieces with the number of each one's first row. Columns are shared. Only where no row was
    /// ever forgotten.
    pub(super) fn since(&self, number: u64) -> impl Iterator<Item = (u64, RecordBatch)> + '_ {
        let first = self.segments.partition_point(|segment| segment.number(0) + segment.rows.num_rows() as u64 <= number);
        self.segments[first..].iter().map(move |segment| {
            let (from, rows) = (segment.number(0), segment.rows.num_rows());
            let skipped = number.saturating_sub(from) as usize;
            (from + skipped as u64, segment.rows.slice(skipped, rows - skipped))
        })
    }

    /// Rows that are there, by their rising numbers, as they lie: segment by segment which of the numbers, its rows, and their places there.
    pub(super) fn lying<'a>(&'a self, numbers: &'a [u64]) -> impl Iterator<Item = (Range<usize>, &'a RecordBatch, UInt32Array)> + 'a {
        let mut from = 0;
        self.segments.iter().filter_map(move |segment| {
            let places = numbers[from..].iter().map_while(|&number| Some(segment.place(number)? as u32));
            let places: UInt32Array = places.map(Some).collect();
            let range = from..from + places.len();
            from = range.end;
            (!range.is_empty()).then_some((range, &segment.rows, places))
        })
    }

    /// Whether a row is there.
    pub(super) fn has(&self, number: u64) -> bool {
        self.place(number, 0).is_some_and(|(segment, place)| !self.segments[segment].is_gone(place))
    }

    /// Forgets a row.
    pub(super) fn remove(&mut self, number: u64) {
        if let Some((segment, place)) = self.place(number, 0) {
            self.live -= usize::from(self.segments[segment].remove(place));
        }
    }

    /// Gives back the memory of rows that are gone.
    pub(super) fn tidy(&mut self) -> Result<()> {
        if !self.segments.iter().any(Segment::is_sparse) {
            return Ok(());
        }
        for segment in std::mem::take(&mut self.segments) {
            if segment.live == 0 {
                continue;
            }
            self.segments.push(if segment.is_sparse() { segment.without_gone()? } else { segment });
            if let [.., before, last] = self.segments.as_slice()
                && before.live + last.live <= SEGMENT_ROWS / 2
            {
                self.join_last()?;
            }
        }
        Ok(())
    }

    /// Memory in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.segments.iter().map(Segment::size_bytes).sum()
    }

    fn join_last(&mut self) -> Result<()> {
        if let (Some(last), Some(before)) = (self.segments.pop(), self.segments.pop()) {
            let (before, last) = (before.without_gone()?, last.without_gone()?);
            let rows = concat_batches(&self.schema, [&before.rows, &last.rows])?;
            let columns = rows.columns().iter().map(in_one_buffer).collect();
            let rows = records(&self.schema, columns, rows.num_rows())?;
            self.segments.push(Segment::new(before.numbers_with(&last), rows));
        }
        Ok(())
    }

    /// The segment of a row and its place there; `near` is where to look first.
    fn place(&self, number: u64, near: usize) -> Option<(usize, usize)> {
        let place = |index: usize| Some((index, self.segments.get(index)?.place(number)?));
        place(near).or_else(|| place(self.segments.partition_point(|segment| segment.number(0) <= number).checked_sub(1)?))
    }
}

impl Segment {
    fn new(numbers: Numbers, rows: RecordBatch) -> Segment {
        let bytes = Batch::plain(rows.clone()).size_bytes();
        Segment { numbers, gone: Vec::new(), live: rows.num_rows(), rows, bytes }
    }

    /// The number of the row at this place.
    fn number(&self, place: usize) -> u64 {
        match &self.numbers {
            Numbers::From(first) => first + place as u64,
            Numbers::Each(numbers) => numbers.get(place).copied().unwrap_or(u64::MAX),
        }
    }

    fn place(&self, number: u64) -> Option<usize> {
        match &self.numbers {
            Numbers::From(first) => {
                let place = usize::try_from(number.checked_sub(*first)?).ok()?;
                (place < self.rows.num_rows()).then_some(place)
            }
            Numbers::Each(numbers) => numbers.binary_search(&number).ok(),
        }
    }

    /// The numbers of the rows of this segment and of another that follows it. None is gone.
    fn numbers_with(&self, other: &Segment) -> Numbers {
        let all = |segment: &Segment| (0..segment.rows.num_rows()).map(|place| segment.number(place)).collect::<Vec<u64>>();
        match (&self.numbers, &other.numbers) {
            (Numbers::From(first), Numbers::From(next)) if first + self.rows.num_rows() as u64 == *next => Numbers::From(*first),
            _ => Numbers::Each([all(self), all(other)].concat()),
        }
    }

    fn is_gone(&self, place: usize) -> bool {
        self.gone.get(place).copied().unwrap_or(false)
    }

    /// Whether the row was there.
    fn remove(&mut self, place: usize) -> bool {
        if self.gone.is_empty() {
            self.gone = vec![false; self.rows.num_rows()];
        }
        let was_there = !std::mem::replace(&mut self.gone[place], true);
        self.live -= usize::from(was_there);
        was_there
    }

    fn is_sparse(&self) -> bool {
        2 * self.live < self.rows.num_rows()
    }

    /// The places of the rows that are not gone.
    fn left(&self) -> Vec<u32> {
        (0..self.rows.num_rows() as u32).filter(|&place| !self.is_gone(place as usize)).collect()
    }

    fn taken(&self, places: &[u32]) -> Result<RecordBatch> {
        Ok(Batch::plain(self.rows.clone()).take(&UInt32Array::from(places.to_vec()))?.records().clone())
    }

    fn without_gone(self) -> Result<Segment> {
        if self.live == self.rows.num_rows() {
            return Ok(self);
        }
        let left = self.left();
        let numbers = left.iter().map(|&place| self.number(place as usize)).collect();
        Ok(Segment::new(Numbers::Each(numbers), self.taken(&left)?))
    }

    fn size_bytes(&self) -> usize {
        let numbers = if let Numbers::Each(numbers) = &self.numbers { numbers.capacity() * size_of::<u64>() } else { 0 };
        self.bytes + numbers + self.gone.capacity()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array, StringViewArray};
    use arrow::datatypes::Int64Type;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::schema;

    fn batch(values: &[i64]) -> RecordBatch {
        RecordBatch::try_new(schema("v bigint"), vec![Arc::new(Int64Array::from(values.to_vec()))]).unwrap()
    }

    fn values(rows: &RecordBatch) -> Vec<i64> {
        rows.column(0).as_primitive::<Int64Type>().values().to_vec()
    }

    proptest! {
        #[test]
        fn rows_are_found_whatever_went_before(steps in prop::collection::vec((1..40usize, prop::collection::vec(any::<u16>(), 0..40)), 1..30)) {
            let mut kept = KeptRows::new(schema("v bigint"));
            let mut model: Vec<(u64, i64)> = Vec::new();
            for (rows, gone) in steps {
                let start = kept.next as i64 * 10;
                let added: Vec<i64> = (0..rows as i64).map(|i| start + i * 10).collect();
                let first = kept.add(&batch(&added)).unwrap();
                model.extend(added.into_iter().enumerate().map(|(i, value)| (first + i as u64, value)));
                for pick in gone {
                    if !model.is_empty() {
                        let (number, _) = model.remove(usize::from(pick) % model.len());
                        kept.remove(number);
                    }
                }
                kept.tidy().unwrap();
                let numbers: Vec<u64> = model.iter().rev().map(|(number, _)| *number).collect();
                prop_assert_eq!(values(&kept.gather(&numbers).unwrap()), model.iter().rev().map(|(_, value)| *value).collect::<Vec<_>>());
                let there: Vec<u64> = model.iter().map(|(number, _)| *number).collect();
                let lying = kept.lying(&there).flat_map(|(range, rows, places)| {
                    let found: Vec<i64> = places.values().iter().map(|&place| values(rows)[place as usize]).collect();
                    there[range].iter().copied().zip(found).collect::<Vec<_>>()
                });
                prop_assert_eq!(&lying.collect::<Vec<_>>(), &model);
                prop_assert_eq!(kept.len(), model.len());
                prop_assert!(kept.segments.iter().map(|segment| segment.rows.num_rows()).sum::<usize>() <= 2 * model.len());
            }
        }
    }

    #[test]
    fn what_came_in_many_pieces_is_in_few_buffers() {
        let mut kept = KeptRows::new(schema("t string"));
        for n in 0..100 {
            let text: ArrayRef = Arc::new(StringViewArray::from(vec![format!("a text that is not in the view itself: {n}")]));
            kept.add(&RecordBatch::try_new(schema("t string"), vec![text]).unwrap()).unwrap();
        }
        let all = kept.gather(&(0..100).collect::<Vec<_>>()).unwrap();
        assert!(all.column(0).as_string_view().data_buffers().len() <= kept.segments.len());
        assert!(all.column(0).as_string_view().value(99).ends_with(": 99"));
    }

    #[test]
    fn rows_since_a_number_are_those_that_were_added_since() {
        let mut kept = KeptRows::new(schema("v bigint"));
        for value in 0..50 {
            kept.add(&batch(&[2 * value, 2 * value + 1])).unwrap();
        }
        for from in [0, 1, 7, 64, 99, 100] {
            let since: Vec<(u64, RecordBatch)> = kept.since(from).collect();
            let found: Vec<i64> = since.iter().flat_map(|(_, rows)| values(rows)).collect();
            assert_eq!(found, (from as i64..100).collect::<Vec<_>>());
            assert!(since.iter().all(|(first, rows)| values(rows)[0] == *first as i64));
        }
    }

    #[test]
    fn one_row_at_a_time_makes_few_segments_and_all_of_them_go() {
        let mut kept = KeptRows::new(schema("v bigint"));
        for value in 0..1_000 {
            kept.add(&batch(&[value])).unwrap();
        }
        assert!(kept.segments.len() <= 12, "{}", kept.segments.len());
        (0..1_000).for_each(|number| kept.remove(number));
        kept.tidy().unwrap();
        assert_eq!((kept.len(), kept.size_bytes()), (0, 0));
    }
}

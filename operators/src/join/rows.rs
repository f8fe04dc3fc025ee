//! Rows that wait, column by column: put away batch by batch, found again by their number, forgotten one by one.
//!
//! A row's number says when it came and never changes. Rows lie in segments in the order of their numbers; small segments next to
//! each other are joined, and of a segment of which more than half is gone the rest is copied out. So there are few segments,
//! a row is copied a few times at most, and memory follows the rows that are there, whichever of them go first.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, interleave};
use arrow::datatypes::{DataType, SchemaRef};
use millstream_api::{Batch, Error, Result};

use crate::columns::records;

/// A segment is not joined to another beyond this many rows.
const SEGMENT_ROWS: usize = 32 * 1024;

/// Rows of one side.
pub(super) struct KeptRows {
    schema: SchemaRef,
    segments: Vec<Segment>,
    next: u64,
    live: usize,
}

/// Rows with rising numbers.
struct Segment {
    numbers: Vec<u64>,
    rows: RecordBatch,
    gone: Vec<bool>,
    live: usize,
    bytes: usize,
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

    /// Puts rows away; the result is the number of the first, the others follow.
    pub(super) fn add(&mut self, rows: &RecordBatch) -> Result<u64> {
        let first = self.next;
        if rows.num_rows() == 0 {
            return Ok(first);
        }
        self.next += rows.num_rows() as u64;
        self.live += rows.num_rows();
        self.segments.push(Segment::new((first..self.next).collect(), records(&self.schema, rows.columns().to_vec(), rows.num_rows())?));
        while let [.., before, last] = self.segments.as_slice()
            && before.live <= 2 * last.live
            && before.live + last.live <= SEGMENT_ROWS
        {
            self.join_last()?;
        }
        Ok(first)
    }

    /// These rows, in this order; a row may be named more than once.
    pub(super) fn gather(&self, numbers: &[u64]) -> Result<RecordBatch> {
        let places = self.places(numbers)?;
        let segment = places.first().map_or(0, |place| place.0);
        let gathered = if places.iter().all(|place| place.0 == segment) {
            let rows = UInt32Array::from_iter_values(places.iter().map(|place| place.1 as u32));
            let Some(segment) = self.segments.get(segment) else { return Ok(RecordBatch::new_empty(self.schema.clone())) };
            Batch::plain(segment.rows.clone()).take(&rows)?
        } else {
            let column = |index: usize| -> Result<ArrayRef> {
                let pieces: Vec<&dyn Array> = self.segments.iter().map(|segment| segment.rows.column(index).as_ref()).collect();
                Ok(interleave(&pieces, &places)?)
            };
            let columns = (0..self.schema.fields().len()).map(column).collect::<Result<_>>()?;
            Batch::plain(records(&self.schema, columns, numbers.len())?).compacted()?
        };
        Ok(gathered.records().clone())
    }

    /// Whether a row is there.
    pub(super) fn has(&self, number: u64) -> bool {
        self.place(number, 0).is_some_and(|(segment, place)| !self.segments[segment].gone[place])
    }

    /// Forgets a row.
    pub(super) fn remove(&mut self, number: u64) {
        if let Some((segment, place)) = self.place(number, 0) {
            let segment = &mut self.segments[segment];
            if !std::mem::replace(&mut segment.gone[place], true) {
                segment.live -= 1;
                self.live -= 1;
            }
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
        self.segments.iter().map(|segment| segment.bytes + segment.numbers.len() * (size_of::<u64>() + size_of::<bool>())).sum()
    }

    fn join_last(&mut self) -> Result<()> {
        if let (Some(last), Some(before)) = (self.segments.pop(), self.segments.pop()) {
            let (mut before, last) = (before.without_gone()?, last.without_gone()?);
            before.numbers.extend(last.numbers);
            let rows = concat_batches(&self.schema, [&before.rows, &last.rows])?;
            let columns = rows.columns().iter().map(in_one_buffer).collect();
            self.segments.push(Segment::new(before.numbers, records(&self.schema, columns, rows.num_rows())?));
        }
        Ok(())
    }

    fn places(&self, numbers: &[u64]) -> Result<Vec<(usize, usize)>> {
        let mut near = 0;
        let place = |number: &u64| {
            let place = self.place(*number, near).ok_or_else(|| Error::internal("a row that waits is gone"))?;
            near = place.0;
            Ok(place)
        };
        numbers.iter().map(place).collect()
    }

    /// The segment of a row and its place there; `near` is where to look first.
    fn place(&self, number: u64, near: usize) -> Option<(usize, usize)> {
        let place = |index: usize| Some((index, self.segments.get(index)?.place(number)?));
        place(near).or_else(|| place(self.segments.partition_point(|segment| segment.first() <= number).checked_sub(1)?))
    }
}

/// The column with its strings or bytes copied into one buffer. What is put together of many pieces would hold the buffers of all.
pub(super) fn in_one_buffer(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8View if column.as_string_view().data_buffers().len() > 1 => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView if column.as_binary_view().data_buffers().len() > 1 => Arc::new(column.as_binary_view().gc()),
        _ => column.clone(),
    }
}

impl Segment {
    fn new(numbers: Vec<u64>, rows: RecordBatch) -> Segment {
        let bytes = Batch::plain(rows.clone()).size_bytes();
        Segment { gone: vec![false; numbers.len()], live: numbers.len(), numbers, rows, bytes }
    }

    fn first(&self) -> u64 {
        self.numbers.first().copied().unwrap_or(u64::MAX)
    }

    fn place(&self, number: u64) -> Option<usize> {
        let (first, last) = (self.first(), self.numbers.last().copied()?);
        if number < first || number > last {
            return None;
        }
        if last - first + 1 == self.numbers.len() as u64 {
            return Some((number - first) as usize);
        }
        self.numbers.binary_search(&number).ok()
    }

    fn is_sparse(&self) -> bool {
        2 * self.live < self.numbers.len()
    }

    fn without_gone(self) -> Result<Segment> {
        if self.live == self.numbers.len() {
            return Ok(self);
        }
        let left: Vec<u32> = (0..self.numbers.len() as u32).filter(|&place| !self.gone[place as usize]).collect();
        let numbers = left.iter().map(|&place| self.numbers[place as usize]).collect();
        let rows = Batch::plain(self.rows).take(&UInt32Array::from(left))?;
        Ok(Segment::new(numbers, rows.records().clone()))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringViewArray};
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
                prop_assert_eq!(kept.len(), model.len());
                prop_assert!(kept.segments.iter().map(|segment| segment.numbers.len()).sum::<usize>() <= 2 * model.len());
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

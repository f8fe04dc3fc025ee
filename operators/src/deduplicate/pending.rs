//! Rows that the watermark has not passed yet, in runs that are sorted: so a watermark finds its rows without looking at the
//! others.
//!
//! Those that a checkpoint has written and those that none has are never in one run: so each is written once.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use millstream_api::{Batch, EventTime, Result};

use super::intake::{RELEASE, number, order, take};

/// How many runs there may be before they are put together.
const MOST_RUNS: usize = 64;

/// Rows that wait.
pub(super) struct Pending {
    schema: SchemaRef,
    runs: Vec<Run>,
    rows: usize,
}

/// Rows by the time at which they may be judged, then by their order.
struct Run {
    records: RecordBatch,
    /// Whether a checkpoint has written them.
    is_written: bool,
}

impl Pending {
    /// No rows yet.
    pub(super) fn new(schema: SchemaRef) -> Pending {
        Pending { schema, runs: Vec::new(), rows: 0 }
    }

    /// Adds rows.
    pub(super) fn push(&mut self, rows: RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.rows += rows.num_rows();
        self.runs.push(Run { records: sorted(rows)?, is_written: false });
        if self.runs.len() > MOST_RUNS { self.put_together() } else { Ok(()) }
    }

    /// Makes one run of those that are written and one of the others. What is left of a batch may need little of its texts.
    fn put_together(&mut self) -> Result<()> {
        let (written, new): (Vec<Run>, Vec<Run>) = std::mem::take(&mut self.runs).into_iter().partition(|run| run.is_written);
        for (runs, is_written) in [(written, true), (new, false)] {
            if !runs.is_empty() {
                let records = concat_batches(&self.schema, runs.iter().map(|run| &run.records))?;
                let records = Batch::plain(sorted(records)?).compacted()?.records().clone();
                self.runs.push(Run { records, is_written });
            }
        }
        Ok(())
    }

    /// Takes out the rows that the watermark has passed, in order; `None`: there are none.
    pub(super) fn take_passed(&mut self, watermark: EventTime) -> Result<Option<RecordBatch>> {
        let mut passed = Vec::new();
        for Run { records: run, .. } in &mut self.runs {
            let release = number(run, RELEASE).values();
            let length = release.partition_point(|release| is_passed(*release, watermark));
            if length > 0 {
                passed.push(run.slice(0, length));
                *run = run.slice(length, run.num_rows() - length);
            }
        }
        self.runs.retain(|run| run.records.num_rows() > 0);
        self.rows -= passed.iter().map(RecordBatch::num_rows).sum::<usize>();
        match passed.len() {
            0 => Ok(None),
            1 => Ok(passed.pop()),
            _ => Ok(Some(sorted(concat_batches(&self.schema, &passed)?)?)),
        }
    }

    /// The watermark that passes the first of them.
    pub(super) fn first_passed(&self) -> Option<EventTime> {
        let first = self.runs.iter().filter_map(|run| number(&run.records, RELEASE).values().first()).min();
        first.map(|release| EventTime(release.saturating_add(1)))
    }

    /// How many rows wait.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// All rows that wait, run by run.
    pub(super) fn all(&self) -> impl Iterator<Item = &RecordBatch> {
        self.runs.iter().map(|run| &run.records)
    }

    /// Those of them that no checkpoint has written.
    pub(super) fn not_written(&self) -> impl Iterator<Item = &RecordBatch> {
        self.runs.iter().filter(|run| !run.is_written).map(|run| &run.records)
    }

    /// A checkpoint has them all.
    pub(super) fn all_written(&mut self) {
        self.runs.iter_mut().for_each(|run| run.is_written = true);
    }

    /// Memory in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.runs.iter().map(|run| Batch::plain(run.records.clone()).size_bytes()).sum()
    }
}

/// Whether a row that may be judged at this time may be at this watermark.
pub(super) fn is_passed(release: i64, watermark: EventTime) -> bool {
    watermark == EventTime::MAX || release < watermark.0
}

fn sorted(rows: RecordBatch) -> Result<RecordBatch> {
    let (release, bytes) = (number(&rows, RELEASE), order(&rows));
    let key = |row: u32| (release.value(row as usize), bytes.value(row as usize));
    let mut places: Vec<u32> = (0..rows.num_rows() as u32).collect();
    if places.is_sorted_by_key(|row| key(*row)) {
        return Ok(rows);
    }
    places.sort_by(|a, b| key(*a).cmp(&key(*b)));
    take(&rows, places)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BinaryArray, Int64Array, StringViewArray};

    use super::*;

    /// A row that is passed at once with a long text, and one that waits.
    fn rows(i: i64) -> RecordBatch {
        let long = "x".repeat(100_000);
        let columns: [(&str, ArrayRef); 3] = [
            ("release", Arc::new(Int64Array::from(vec![0, 1_000_000 + i]))),
            ("c0", Arc::new(StringViewArray::from(vec![long.as_str(), "a text behind it"]))),
            ("order", Arc::new(BinaryArray::from(vec![b"a".as_slice(), b"b"]))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn rows_that_are_left_do_not_keep_the_texts_of_those_that_have_gone() {
        let mut pending = Pending::new(rows(0).schema());
        for i in 0..10 * MOST_RUNS as i64 {
            pending.push(rows(i)).unwrap();
            assert_eq!(pending.take_passed(EventTime(1)).unwrap().unwrap().num_rows(), 1);
        }
        assert_eq!(pending.len(), 10 * MOST_RUNS);
        assert!(pending.size_bytes() < 2 * MOST_RUNS * 100_000, "{}", pending.size_bytes());
    }
}

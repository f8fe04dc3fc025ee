//! Rows that the watermark has not passed yet, in runs that are sorted: so a watermark finds its rows without looking at the
//! others.

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
    /// By the time at which they may be judged, then by their order.
    runs: Vec<RecordBatch>,
    rows: usize,
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
        self.runs.push(sorted(rows)?);
        if self.runs.len() > MOST_RUNS {
            self.runs = vec![sorted(concat_batches(&self.schema, &self.runs)?)?];
        }
        Ok(())
    }

    /// Takes out the rows that the watermark has passed, in order; `None`: there are none.
    pub(super) fn take_passed(&mut self, watermark: EventTime) -> Result<Option<RecordBatch>> {
        let mut passed = Vec::new();
        for run in &mut self.runs {
            let release = number(run, RELEASE).values();
            let length = match watermark {
                EventTime::MAX => release.len(),
                EventTime(watermark) => release.partition_point(|release| *release < watermark),
            };
            if length > 0 {
                passed.push(run.slice(0, length));
                *run = run.slice(length, run.num_rows() - length);
            }
        }
        self.runs.retain(|run| run.num_rows() > 0);
        self.rows -= passed.iter().map(RecordBatch::num_rows).sum::<usize>();
        match passed.len() {
            0 => Ok(None),
            1 => Ok(passed.pop()),
            _ => Ok(Some(sorted(concat_batches(&self.schema, &passed)?)?)),
        }
    }

    /// The watermark that passes the first of them.
    pub(super) fn first_passed(&self) -> Option<EventTime> {
        let first = self.runs.iter().filter_map(|run| number(run, RELEASE).values().first()).min();
        first.map(|release| EventTime(release.saturating_add(1)))
    }

    /// How many rows wait.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// All rows that wait, run by run.
    pub(super) fn runs(&self) -> &[RecordBatch] {
        &self.runs
    }

    /// Memory in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.runs.iter().map(|run| Batch::plain(run.clone()).size_bytes()).sum()
    }
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

//! Rows behind their own watermark: they take no part and go to a side stream.

use arrow::array::UInt32Array;
use millstream_api::batch::Hidden;
use millstream_api::plan::{OperatorContext, Shape};
use millstream_api::{Batch, EventTime, Output, Result};

use super::LATE;
use crate::columns::{places, records};

/// Where the late rows of one side go.
pub(super) struct LateRows {
    port: usize,
    shape: Shape,
    places: Vec<usize>,
}

impl LateRows {
    /// Those of side `side`.
    pub(super) fn new(context: &OperatorContext, side: usize) -> Result<LateRows> {
        let shape = context.outputs[LATE + side].clone();
        let places = if shape.read { places(&context.inputs[side].schema, &shape.schema)? } else { Vec::new() };
        Ok(LateRows { port: LATE + side, shape, places })
    }

    /// Counts and sends the rows of the batch that are behind their own watermark; the result is the others.
    pub(super) fn without(&self, batch: Batch, node: EventTime, out: &mut Output) -> Result<Batch> {
        let Some(times) = batch.times() else { return Ok(batch) };
        let is_late = |row: usize| EventTime(times[row]) < batch.judged_at(row, node);
        let late: Vec<u32> = (0..times.len()).filter(|&row| is_late(row)).map(|row| row as u32).collect();
        if late.is_empty() {
            return Ok(batch);
        }
        let rest = (0..times.len()).filter(|&row| !is_late(row)).map(|row| row as u32);
        let rest = batch.take(&UInt32Array::from_iter_values(rest))?;
        self.send(&batch, late, out)?;
        Ok(rest)
    }

    /// Counts and sends these rows of a batch.
    pub(super) fn send(&self, batch: &Batch, rows: Vec<u32>, out: &mut Output) -> Result<()> {
        out.fates().late += rows.len() as u64;
        if !self.shape.read || rows.is_empty() {
            return Ok(());
        }
        let rows = batch.take(&UInt32Array::from(rows))?;
        let columns = self.places.iter().map(|&place| rows.records().column(place).clone()).collect();
        let records = records(&self.shape.schema, columns, rows.rows())?;
        let origin = rows.hidden().origin.clone().filter(|_| self.shape.origin);
        let hidden = Hidden { windows: None, origin, ..rows.hidden().clone() };
        out.emit(self.port, Batch::new(records, hidden)?);
        Ok(())
    }
}

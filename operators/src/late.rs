//! Rows that came too late: counted, and put aside on a side stream of their node.

use arrow::array::{BooleanArray, Int64Array, UInt32Array};
use arrow::compute::not;
use millstream_api::batch::Hidden;
use millstream_api::plan::{OperatorContext, Shape};
use millstream_api::{Batch, EventTime, Output, Result};

use crate::columns::places;

/// The side stream of the late rows of an input.
pub(crate) struct LateRows {
    port: usize,
    shape: Shape,
    places: Vec<usize>,
}

impl LateRows {
    /// Those of an input, on this port.
    pub(crate) fn new(context: &OperatorContext, input: usize, port: usize) -> Result<LateRows> {
        let shape = context.outputs[port].clone();
        let places = if shape.read { places(&context.inputs[input].schema, &shape.schema)? } else { Vec::new() };
        Ok(LateRows { port, shape, places })
    }

    /// Puts aside the rows that are behind their own watermark; the others are left. `node` is the watermark of the node.
    pub(crate) fn without(&self, batch: Batch, node: EventTime, out: &mut Output) -> Result<Batch> {
        let Some(times) = batch.times() else { return Ok(batch) };
        let is_late = |(row, time): (usize, &i64)| Some(EventTime(*time) < batch.judged_at(row, node));
        let late: BooleanArray = times.iter().enumerate().map(is_late).collect();
        if late.true_count() == 0 { Ok(batch) } else { self.put_aside(&batch, &late, out) }
    }

    /// Puts aside the rows where `late` is true; the others are left.
    pub(crate) fn put_aside(&self, batch: &Batch, late: &BooleanArray, out: &mut Output) -> Result<Batch> {
        self.count(late.true_count(), out);
        if self.shape.read {
            self.emit(batch.filter(late)?, out)?;
        }
        batch.filter(&not(late)?)
    }

    /// Like [`put_aside`](LateRows::put_aside), of a node that closes windows: each row says by which watermark it was judged.
    pub(crate) fn put_aside_judged(&self, batch: &Batch, late: &BooleanArray, node: EventTime, out: &mut Output) -> Result<Batch> {
        self.count(late.true_count(), out);
        if self.shape.read {
            let rows = batch.filter(late)?;
            let marks: Int64Array = (0..rows.rows()).map(|row| Some(rows.judged_at(row, node).0)).collect();
            let Hidden { times, origin, .. } = rows.hidden().clone();
            self.emit(rows.with_hidden(Hidden { times, marks: Some(marks), origin, ..Hidden::default() })?, out)?;
        }
        batch.filter(&not(late)?)
    }

    /// Puts aside these rows of a batch.
    pub(crate) fn send(&self, batch: &Batch, rows: Vec<u32>, out: &mut Output) -> Result<()> {
        self.count(rows.len(), out);
        if self.shape.read && !rows.is_empty() {
            self.emit(batch.take(&UInt32Array::from(rows))?, out)?;
        }
        Ok(())
    }

    fn count(&self, rows: usize, out: &mut Output) {
        out.fates().late += rows as u64;
    }

    /// What is late for its windows has none.
    fn emit(&self, rows: Batch, out: &mut Output) -> Result<()> {
        let hidden = rows.hidden().clone();
        let hidden = Hidden { windows: None, origin: hidden.origin.filter(|_| self.shape.origin), ..hidden };
        out.emit(self.port, rows.project(&self.places)?.with_hidden(hidden)?);
        Ok(())
    }
}

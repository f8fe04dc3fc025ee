//! Rows that came too late, put aside on the stream `NAME.late`.

use arrow::array::{BooleanArray, Int64Array};
use arrow::compute::not;
use millstream_api::batch::Hidden;
use millstream_api::plan::{OperatorContext, Shape};
use millstream_api::{Batch, EventTime, Output, Result};

use crate::columns::places;

/// The side stream of a node's late rows.
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

    /// Puts aside the rows where `late` is true; the others are left. `node` is the watermark of the node.
    pub(crate) fn put_aside(&self, batch: &Batch, late: &BooleanArray, node: EventTime, out: &mut Output) -> Result<Batch> {
        out.fates().late += late.true_count() as u64;
        if self.shape.read {
            let rows = batch.filter(late)?;
            // Behind this node's watermark, so each says by which one it was judged.
            let marks: Int64Array = (0..rows.rows()).map(|row| Some(rows.judged_at(row, node).0)).collect();
            let Hidden { times, origin, .. } = rows.hidden().clone();
            let hidden = Hidden { times, marks: Some(marks), origin: origin.filter(|_| self.shape.origin), ..Hidden::default() };
            out.emit(self.port, rows.project(&self.places)?.with_hidden(hidden)?);
        }
        batch.filter(&not(late)?)
    }
}

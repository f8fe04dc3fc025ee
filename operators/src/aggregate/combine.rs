//! The aggregate over windows before the route: panes of groups on the sender's side.
//!
//! A row goes to the pane that it would go to at the reader: its slice, and the first window that is open by its own
//! watermark. The reader's watermark can only be greater than a row's where it no longer waits for the sender (the runtime
//! then combines nothing), or at the start of a run that goes on from a checkpoint, which is the `floor`. So which windows
//! a row is too late for is known here; a row that is too late for all of them, or bad, is left to the reader. So is one behind the
//! floor: windows that it is in may have closed when less lateness was allowed.

use arrow::array::{ArrayRef, BooleanArray, Int64Array};
use arrow::compute::{concat_batches, not, or};
use millstream_api::batch::Hidden;
use millstream_api::plan::OperatorContext;
use millstream_api::{Batch, Combiner, EventTime, Result};

use super::pane::Pane;
use super::plan::Design;
use super::program::Program;
use super::state::Layout;
use super::windowed::open_panes;
use super::windows::OpenPanes;

/// The panes of one sender.
pub(super) struct Combine {
    program: Program,
    open: OpenPanes,
    layout: Layout,
}

impl Combine {
    /// A combiner that holds nothing.
    pub(super) fn new(design: &Design, context: &OperatorContext, rejected_port: usize) -> Result<Self> {
        let program = Program::new(design, context, rejected_port)?;
        Ok(Combine { open: open_panes(design, context), layout: Layout::new(&program, context.key_groups), program })
    }
}

impl Combiner for Combine {
    fn add(&mut self, batch: Batch, floor: EventTime) -> Result<Option<Batch>> {
        let survey = self.open.survey(&batch, EventTime::MIN)?;
        let late = self.open.late(&batch, EventTime::MIN, &survey)?;
        let left = either(late, self.open.behind(&batch, floor, &survey)?)?;
        let (rows, rest) = match &left {
            None => (batch.clone(), None),
            Some(left) => (batch.filter(&not(left)?)?, Some(batch.filter(left)?)),
        };
        if rows.rows() == 0 {
            return Ok(rest);
        }
        let Some(evaluated) = self.program.evaluate_good(&rows)? else { return Ok(Some(batch)) };
        let (places, _) = self.open.places(&rows, EventTime::MIN, &survey)?;
        self.open.add(&places, &evaluated, &self.program, Pane::update_counted)?;
        Ok(rest)
    }

    fn due(&self) -> Option<EventTime> {
        self.open.next_close()
    }

    fn held(&self) -> usize {
        self.open.groups()
    }

    fn take(&mut self) -> Result<Option<Batch>> {
        let (mut parts, mut counts) = (Vec::new(), Vec::new());
        for ((a, b), mut pane) in self.open.drain() {
            let of_pane = [a, b].map(|number| Int64Array::from_value(number, pane.len()));
            let [a, b] = of_pane;
            let (keys, states) = pane.state()?;
            counts.extend_from_slice(pane.counts());
            parts.push(self.layout.records([a, b, Int64Array::from(pane.counts().to_vec())], keys, states)?);
        }
        if counts.is_empty() {
            return Ok(None);
        }
        let records = concat_batches(self.layout.schema(), &parts)?;
        Batch::new(records, Hidden { counts: Some(counts.into()), ..Hidden::default() }).map(Some)
    }

    fn keys(&self, partial: &Batch) -> Vec<ArrayRef> {
        self.layout.keys(partial.records())
    }
}

/// The rows that one or the other has.
pub(super) fn either(one: Option<BooleanArray>, other: Option<BooleanArray>) -> Result<Option<BooleanArray>> {
    Ok(match (one, other) {
        (Some(one), Some(other)) => Some(or(&one, &other)?),
        (one, other) => one.or(other),
    })
}

//! The aggregate over sessions before the route: the sessions that the rows of a sender are by themselves.
//!
//! What is one session here is part of one at the reader, which joins it to those that it touches. It must come before a
//! watermark that closes a session which it could make longer, so that mostly it is sent with each batch.

use arrow::array::ArrayRef;
use arrow::compute::not;
use millstream_api::batch::Hidden;
use millstream_api::plan::OperatorContext;
use millstream_api::{Batch, Combiner, EventTime, Result};
use millstream_expr::{Groups, Interner};

use super::combine::either;
use super::open_sessions::{behind, columns, fresh, join, times, too_late};
use super::plan::Design;
use super::program::Program;
use super::state::{Layout, Rows};
use super::timeline::Timeline;

/// The sessions of one sender.
pub(super) struct CombineSessions {
    program: Program,
    layout: Layout,
    lateness: i64,
    gap: i64,
    interner: Interner,
    timeline: Timeline,
    /// Accumulators by the slots of the timeline.
    groups: Vec<Box<dyn Groups>>,
    /// The number of each row's key, and its slot; kept for their memory.
    ids: Vec<usize>,
    slots: Vec<usize>,
}

impl CombineSessions {
    /// A combiner that holds nothing.
    pub(super) fn new(design: &Design, gap: i64, context: &OperatorContext, rejected_port: usize) -> Result<Self> {
        let program = Program::new(design, context, rejected_port)?;
        Ok(CombineSessions {
            layout: Layout::new(&program, context.key_groups),
            lateness: design.allowed_lateness,
            gap,
            interner: Interner::new(program.key_types())?,
            timeline: Timeline::new(gap),
            groups: fresh(&program)?,
            ids: Vec::new(),
            slots: Vec::new(),
            program,
        })
    }
}

impl Combiner for CombineSessions {
    fn add(&mut self, batch: Batch, floor: EventTime) -> Result<Option<Batch>> {
        // See `combine`: sessions that rows behind the floor would be in may have closed.
        let late = too_late(&batch, EventTime::MIN, self.lateness)?;
        let (rows, rest) = match either(late, behind(&batch, floor)?)? {
            None => (batch.clone(), None),
            Some(left) => (batch.filter(&not(&left)?)?, Some(batch.filter(&left)?)),
        };
        let Some(evaluated) = self.program.evaluate_good(&rows)? else { return Ok(Some(batch)) };
        self.interner.intern(&evaluated.keys, evaluated.rows, &mut self.ids)?;
        let timeline = &mut self.timeline;
        self.slots.clear();
        self.slots.extend(self.ids.iter().zip(times(&rows)?).map(|(&key, &time)| timeline.place(key, time)));
        let total = self.timeline.slots();
        for (groups, arguments) in self.groups.iter_mut().zip(&evaluated.arguments) {
            groups.update(arguments, &self.slots, total, evaluated.order.as_ref())?;
        }
        join(&mut self.groups, self.timeline.joined(), total)?;
        Ok(rest)
    }

    fn due(&self) -> Option<EventTime> {
        // A session that ends behind the first row could be made longer by it, and closes no sooner than this.
        self.timeline.least().map(|first| EventTime(first.saturating_add(self.lateness).saturating_add(1)))
    }

    fn held(&self) -> usize {
        self.timeline.open()
    }

    fn take(&mut self) -> Result<Option<Batch>> {
        if self.timeline.open() == 0 {
            return Ok(None);
        }
        let Rows { numbers, keys, states } = columns(&self.timeline, &self.interner, &mut self.groups)?;
        let counts = Some(numbers[2].clone());
        let records = self.layout.records(numbers, keys, states)?;
        self.interner = Interner::new(self.program.key_types())?;
        self.timeline = Timeline::new(self.gap);
        self.groups = fresh(&self.program)?;
        Batch::new(records, Hidden { counts, ..Hidden::default() }).map(Some)
    }

    fn keys(&self, partial: &Batch) -> Vec<ArrayRef> {
        self.layout.keys(partial.records())
    }
}

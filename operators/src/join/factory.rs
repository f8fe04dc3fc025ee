//! Subtasks of a join, the columns that they need and keep, and what matters to their state.

use millstream_api::meaning::Matters;
use millstream_api::plan::{Columns, OperatorContext, OperatorFactory};
use millstream_api::{Operator, Result};
use millstream_expr::{Scalar, Side, normal_text};

use super::appends::Appends;
use super::as_of::AsOfJoin;
use super::changes::Changes;
use super::interval::IntervalJoin;
use super::lookup::LookupJoin;
use super::plan::{Design, is_bound};
use super::window::WindowJoin;
use super::{LATE, MAIN, Mode};
use crate::columns::names;
use crate::narrow::{Narrow, narrowed};

pub(super) struct JoinFactory {
    pub(super) design: Design,
}

/// What a subtask is told of the rows that come, and of those that it keeps.
pub(super) struct Told<'a> {
    /// Rows as they come.
    pub(super) coming: &'a OperatorContext,
    /// Rows cut down to what is kept.
    pub(super) kept: OperatorContext,
    /// How they are cut down, by side.
    pub(super) narrow: [Narrow; 2],
}

impl OperatorFactory for JoinFactory {
    fn required(&self, outputs: &[Columns]) -> Vec<Columns> {
        let of_side = |side: usize| {
            let mut columns = self.design.kept(&outputs[MAIN], side);
            columns.extend(outputs.get(LATE + side).into_iter().flatten().cloned());
            columns
        };
        [0, 1].map(of_side).to_vec()
    }

    fn matters(&self, outputs: &[Columns]) -> Option<Matters> {
        Some(self.design.matters(&outputs[MAIN]))
    }

    fn make(&self, context: &OperatorContext) -> Result<Box<dyn Operator>> {
        let output = names(&context.outputs[MAIN].schema);
        let narrow = |side: usize| Narrow::new(&context.inputs[side].schema, &self.design.kept(&output, side));
        let narrow = [narrow(0)?, narrow(1)?];
        let told = Told { coming: context, kept: narrowed(context, &[&narrow[0], &narrow[1]]), narrow };
        Ok(match self.design.mode {
            Mode::Window => Box::new(WindowJoin::new(&self.design, told)?),
            Mode::Interval => Box::new(IntervalJoin::new(&self.design, told)?),
            Mode::AsOf => Box::new(AsOfJoin::new(&self.design, told)?),
            Mode::Lookup => Box::new(LookupJoin::new(&self.design, told)?),
            Mode::Changes if self.design.appends => Box::new(Appends::new(&self.design, told)?),
            Mode::Changes => Box::new(Changes::new(&self.design, told)?),
        })
    }
}

impl Design {
    /// The columns that are kept of a side's rows when these are needed of the output.
    fn kept(&self, output: &Columns, side: usize) -> Columns {
        let mut joined: Columns = self.needed(output).flat_map(|column| column.columns().iter().cloned()).collect();
        joined.extend(self.rest.iter().flat_map(|rest| rest.columns().iter().cloned()));
        let mut columns = self.of_side(&joined, side);
        columns.extend(self.key_columns(side));
        // Versions are put in order again from what is kept of them.
        columns.extend(self.ties.columns.iter().filter(|_| side == 1).cloned());
        columns
    }

    fn key_columns(&self, side: usize) -> Columns {
        self.keys[side].iter().flat_map(|key| key.columns().iter().cloned()).collect()
    }

    /// Of columns of the scope those of a side, under its own names. The window of a row is known without a column.
    fn of_side(&self, joined: &Columns, side: usize) -> Columns {
        let scope = [Side::Left, Side::Right][side];
        let not_shared = |name: &&str| self.mode != Mode::Window || !is_bound(name);
        joined.iter().filter_map(|name| scope.own_name(name)).filter(not_shared).map(str::to_owned).collect()
    }

    fn matters(&self, output: &Columns) -> Matters {
        // A table that is looked up is all that a lookup keeps.
        let is_kept = |side: usize| self.mode != Mode::Lookup || side == 1;
        let rows = [0, 1].map(|side| if is_kept(side) { self.kept(output, side) } else { Columns::new() });
        let reads = [0, 1].map(|side| self.key_columns(side));
        let [before, after] = self.interval;
        let matters = Matters { reads: reads.to_vec(), rows: rows.to_vec(), ..Matters::default() }
            .option("mode", format!("{:?}", self.mode).to_lowercase())
            .option("kind", format!("{:?}", self.kind).to_lowercase())
            .option("on", &self.on)
            .option("before", format!("{before} µs"))
            .option("after", format!("{after} µs"));
        let mut matters = if self.mode == Mode::AsOf { self.ties.matter(matters) } else { matters };
        if self.updating {
            // What is withdrawn is calculated anew from the rows.
            let sent = |column: &Scalar| (column.field().name().clone(), normal_text(column.text()));
            matters.sends = self.needed(output).map(sent).collect();
        }
        matters
    }
}

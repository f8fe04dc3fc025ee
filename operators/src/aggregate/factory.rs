//! Subtasks of an aggregate, the columns that they need, and what matters to their state.

use millstream_api::meaning::Matters;
use millstream_api::plan::{Columns, OperatorContext, OperatorFactory};
use millstream_api::{Combiner, Operator, Result};
use millstream_expr::{Aggregate, Scalar, normal_text};

use super::combine::Combine;
use super::combine_sessions::CombineSessions;
use super::items::Needed;
use super::plan::Design;
use super::running::Running;
use super::sessions::Sessions;
use super::windowed::Windowed;
use super::{LATE, MAIN};
use crate::order::listed;

pub(super) struct AggregateFactory {
    pub(super) design: Design,
}

impl OperatorFactory for AggregateFactory {
    fn required(&self, outputs: &[Columns]) -> Vec<Columns> {
        let mut columns = self.design.reads(&outputs[MAIN]);
        if self.design.windows.is_some() {
            columns.extend(outputs[LATE].iter().cloned());
        }
        vec![columns]
    }

    fn matters(&self, outputs: &[Columns]) -> Option<Matters> {
        Some(self.design.matters(&outputs[MAIN]))
    }

    fn make(&self, context: &OperatorContext) -> Result<Box<dyn Operator>> {
        if let Some(gap) = self.design.sessions_gap() {
            return Ok(Box::new(Sessions::new(&self.design, gap, context, LATE + 1)?));
        }
        Ok(match self.design.windows {
            Some(_) => Box::new(Windowed::new(&self.design, context, LATE + 1)?),
            None => Box::new(Running::new(&self.design, context, MAIN + 1)?),
        })
    }

    fn combiner(&self, _: usize, context: &OperatorContext) -> Result<Option<Box<dyn Combiner>>> {
        let output: Columns = context.outputs[MAIN].schema.fields().iter().map(|field| field.name().clone()).collect();
        if self.design.windows.is_none() || !self.design.needed(&output).functions.iter().all(|function| function.shrinks()) {
            return Ok(None);
        }
        Ok(Some(match self.design.sessions_gap() {
            Some(gap) => Box::new(CombineSessions::new(&self.design, gap, context, LATE + 1)?),
            None => Box::new(Combine::new(&self.design, context, LATE + 1)?),
        }))
    }
}

impl Design {
    /// The columns that are read when these are needed of the output.
    fn reads(&self, output: &Columns) -> Columns {
        let functions = self.needed(output).functions;
        let mut columns: Columns = self.by.iter().flat_map(|key| key.columns().iter().cloned()).collect();
        columns.extend(functions.iter().flat_map(|function| function.columns().iter().cloned()));
        if functions.iter().any(|function| function.ordered()) {
            columns.extend(self.ties.columns.iter().cloned());
        }
        columns
    }

    /// State is of keys and functions. What is calculated from them matters only where rows that were sent are withdrawn: that is calculated
    /// anew, and must be what was sent.
    fn matters(&self, output: &Columns) -> Matters {
        let Needed { functions, results } = self.needed(output);
        let mut matters = Matters { reads: vec![self.reads(output)], ..Matters::default() }
            .option("by", listed(self.by.iter().map(|key| normal_text(key.text()))))
            .option("compute", listed(functions.iter().map(|function| normal_text(function.text()))));
        if functions.iter().any(|function| function.ordered()) {
            matters = self.ties.matter(matters);
        }
        if self.leaves_windows {
            matters = matters.option("windowed", false);
        }
        if self.windows.is_none() || self.every.is_some() {
            matters = matters.option("having", self.having.as_ref().map(|having| normal_text(having.text())).unwrap_or_default());
            let of_functions = functions.iter().map(|function| sent(function.field().name(), Aggregate::text(function)));
            matters.sends = of_functions.chain(results.iter().map(|result| sent(result.field().name(), Scalar::text(result)))).collect();
        }
        if let Some(every) = self.every {
            // Rows that were sent are put down as they are.
            let columns = self.schema.fields().iter().map(|field| field.name().clone()).filter(|name| output.contains(name));
            matters = matters.option("emit", format!("every {every} µs: {}", listed(columns)));
        }
        matters
    }
}

fn sent(column: &str, text: &str) -> (String, String) {
    (column.to_owned(), normal_text(text))
}

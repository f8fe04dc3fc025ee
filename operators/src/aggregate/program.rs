//! The bound expressions of one subtask: what both forms of the aggregate do with rows coming in and groups going out.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, make_comparator};
use arrow::compute::{SortOptions, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};
use millstream_api::batch::{Hidden, Windows};
use millstream_api::plan::{Columns, OperatorContext};
use millstream_api::types::UTC;
use millstream_api::{Batch, Output, Result};
use millstream_expr::{BadValue, BoundAggregate, BoundScalar, Evaluated, RowOrder, Scalar};

use super::items::Needed;
use super::pane::{Evaluations, Pane};
use super::plan::Design;
use super::window_bounds;
use crate::bad_rows::BadRows;
use crate::columns::{place, places, records};

/// What one subtask evaluates.
pub(super) struct Program {
    keys: Vec<BoundScalar>,
    key_types: Vec<DataType>,
    aggregates: Vec<BoundAggregate>,
    /// The order of rows, where the accumulators must be told.
    order: Option<Order>,
    /// Evaluated on finished groups, each column of which is in `grouped`.
    results: Vec<BoundScalar>,
    having: Option<BoundScalar>,
    /// The columns that `having` needs, and those from which these are calculated.
    in_having: Columns,
    /// Keys, functions and, per window, its bounds; all nullable, since a bad result is null until it is taken out.
    grouped: SchemaRef,
    /// The same, then the results that are calculated from them.
    computed: SchemaRef,
    output: SchemaRef,
    output_places: Vec<usize>,
    /// The columns of `computed` that say which group a row is of: the keys and the bounds of its window.
    group_places: Vec<usize>,
    bad_rows: BadRows,
    state_fields: Vec<Vec<Field>>,
}

/// Rows made of groups, before the bad and the unwanted ones are taken out.
pub(super) struct Finished {
    computed: RecordBatch,
    /// The groups whose result is bad.
    pub(super) bad: Vec<BadValue>,
    passes: Option<BooleanArray>,
}

impl Program {
    /// Binds the expressions that the outputs of `context` need.
    pub(super) fn new(design: &Design, context: &OperatorContext, rejected_port: usize) -> Result<Program> {
        let input = &context.inputs[0].schema;
        let output = context.outputs[super::MAIN].schema.clone();
        let needed: Columns = output.fields().iter().map(|field| field.name().clone()).collect();
        let Needed { functions: aggregates, results } = design.needed(&needed);
        let keys = design.by.iter().map(|key| key.field().clone());
        let of_groups = aggregates.iter().map(|aggregate| aggregate.field().clone());
        let bounds = window_bounds().into_iter().filter(|_| design.windows.is_some());
        let fields: Vec<Field> = keys.chain(of_groups).chain(bounds).map(|field| field.with_nullable(true)).collect();
        let bounds = design.by.len() + aggregates.len()..fields.len();
        let calculated = results.iter().map(|result| result.field().clone().with_nullable(true));
        let computed = Arc::new(Schema::new(fields.iter().cloned().chain(calculated).collect::<Vec<_>>()));
        let grouped = Arc::new(Schema::new(fields));
        Ok(Program {
            keys: design.by.iter().map(|key| key.bind(input)).collect::<Result<_>>()?,
            key_types: design.by.iter().map(|key| key.field().data_type().clone()).collect(),
            order: if aggregates.iter().any(|aggregate| aggregate.ordered()) { Some(Order::new(design, input)?) } else { None },
            state_fields: aggregates.iter().map(|aggregate| aggregate.state_fields().to_vec()).collect(),
            aggregates: aggregates.iter().map(|aggregate| aggregate.bind(input)).collect::<Result<_>>()?,
            results: results.iter().map(|result| result.bind(&grouped)).collect::<Result<_>>()?,
            having: design.having.as_ref().map(|having| having.bind(&computed)).transpose()?,
            in_having: in_having(design, &results),
            output_places: places(&computed, &output)?,
            output,
            grouped,
            computed,
            group_places: (0..design.by.len()).chain(bounds).collect(),
            bad_rows: BadRows::new(context, rejected_port),
        })
    }

    /// A pane without groups.
    pub(super) fn pane(&self) -> Result<Pane> {
        Pane::new(&self.key_types, &self.aggregates)
    }

    /// The types of the key's columns.
    pub(super) fn key_types(&self) -> &[DataType] {
        &self.key_types
    }

    /// The aggregate functions that are computed.
    pub(super) fn aggregates(&self) -> &[BoundAggregate] {
        &self.aggregates
    }

    /// The state columns of each function.
    pub(super) fn state_fields(&self) -> &[Vec<Field>] {
        &self.state_fields
    }

    /// The schema of the rows that leave.
    pub(super) fn output(&self) -> &SchemaRef {
        &self.output
    }

    /// Evaluates keys and arguments, and settles the bad rows. What is left: the batch without them, and its values.
    pub(super) fn evaluate(&self, batch: Batch, out: &mut Output) -> Result<(Batch, Evaluations)> {
        let (values, bad) = self.evaluate_all(&batch)?;
        match self.bad_rows.settle(&batch, &bad, out)? {
            None => Ok((batch, values)),
            // Rare, so it may cost: the good rows are evaluated once more.
            Some(remains) => {
                let batch = batch.filter(&remains)?;
                let (values, _) = self.evaluate_all(&batch)?;
                Ok((batch, values))
            }
        }
    }

    /// Keys and arguments; `None` when a row is bad.
    pub(super) fn evaluate_good(&self, batch: &Batch) -> Result<Option<Evaluations>> {
        let (values, bad) = self.evaluate_all(batch)?;
        Ok(bad.is_empty().then_some(values))
    }

    fn evaluate_all(&self, batch: &Batch) -> Result<(Evaluations, Vec<BadValue>)> {
        let mut bad = Vec::new();
        let mut keys = Vec::with_capacity(self.keys.len());
        for key in &self.keys {
            let evaluated = key.evaluate(batch.records())?;
            bad.extend(evaluated.bad);
            keys.push(evaluated.values);
        }
        let mut arguments = Vec::with_capacity(self.aggregates.len());
        for aggregate in &self.aggregates {
            let mut evaluated = aggregate.arguments(batch.records())?;
            bad.append(&mut evaluated.bad);
            arguments.push(evaluated);
        }
        let order = self.order.as_ref().map(|order| order.of(batch)).transpose()?;
        Ok((Evaluations { keys, arguments, order, rows: batch.rows() }, bad))
    }

    /// Rows of groups with these keys and results, each of its window if there are windows.
    pub(super) fn finish(
        &self,
        keys: Vec<ArrayRef>,
        results: Vec<Evaluated>,
        windows: Option<&Windows>,
        groups: usize,
    ) -> Result<Finished> {
        let mut bad = Bad::default();
        let mut columns = keys;
        for result in results {
            bad.of(&self.in_having, self.grouped.field(columns.len()).name()).extend(result.bad);
            columns.push(result.values);
        }
        if let Some(Windows { start, end }) = windows {
            let instants = |of: &Int64Array| Arc::new(of.reinterpret_cast::<TimestampMicrosecondType>().with_timezone(UTC)) as ArrayRef;
            columns.extend([instants(start), instants(end)]);
        }
        let computed = self.calculated(records(&self.grouped, columns, groups)?, &mut bad)?;
        let passes = match &self.having {
            None => None,
            Some(having) => {
                let evaluated = having.evaluate(&computed)?;
                bad.in_having.extend(evaluated.bad);
                Some(evaluated.values.as_boolean().clone())
            }
        };
        Ok(Finished { computed, bad: bad.where_passed(passes.as_ref()), passes })
    }

    /// Adds what is calculated from finished groups.
    fn calculated(&self, grouped: RecordBatch, bad: &mut Bad) -> Result<RecordBatch> {
        if self.results.is_empty() {
            return Ok(grouped);
        }
        let mut columns = grouped.columns().to_vec();
        for result in &self.results {
            let evaluated = result.evaluate(&grouped)?;
            bad.of(&self.in_having, self.computed.field(columns.len()).name()).extend(evaluated.bad);
            columns.push(evaluated.values);
        }
        records(&self.computed, columns, grouped.num_rows())
    }

    /// Treats these results (of those that are bad) as bad rows of this node.
    pub(super) fn report(&self, finished: &Finished, bad: &[BadValue], out: &mut Output) -> Result<()> {
        if bad.is_empty() {
            return Ok(());
        }
        self.bad_rows.settle_results(&finished.computed.project(&self.group_places)?, bad, out)
    }

    /// The rows to be sent, and for each result whether it is one of them; `None`: all are.
    pub(super) fn wanted(&self, finished: &Finished) -> Result<(RecordBatch, Option<BooleanArray>)> {
        let all = finished.computed.project(&self.output_places)?;
        let wanted = finished.wanted().filter(|wanted| wanted.false_count() > 0);
        let rows = match &wanted {
            None => all,
            Some(wanted) => filter_record_batch(&all, wanted)?,
        };
        Ok((records(&self.output, rows.columns().to_vec(), rows.num_rows())?, wanted))
    }
}

/// The columns that decide which row is first, and only these, whatever else flows.
struct Order {
    places: Vec<usize>,
    origin: bool,
}

impl Order {
    fn new(design: &Design, input: &Schema) -> Result<Order> {
        let places = design.ties.columns.iter().map(|name| place(input, name)).collect::<Result<_>>()?;
        Ok(Order { places, origin: design.ties.origin })
    }

    fn of(&self, batch: &Batch) -> Result<RowOrder> {
        let hidden = batch.hidden();
        let origin = hidden.origin.clone().filter(|_| self.origin);
        let hidden = Hidden { times: hidden.times.clone(), origin, ..Hidden::default() };
        Ok(RowOrder { hidden, records: batch.records().project(&self.places)? })
    }
}

/// The columns of a group's row that `having` needs, directly or for results that it needs.
fn in_having(design: &Design, results: &[&Scalar]) -> Columns {
    let mut needed = design.having.as_ref().map(|having| having.columns().clone()).unwrap_or_default();
    let needed_results = results.iter().filter(|result| needed.contains(result.field().name()));
    let behind: Vec<String> = needed_results.flat_map(|result| result.columns().iter().cloned()).collect();
    needed.extend(behind);
    needed
}

/// Bad results of groups, by whether `having` needs them.
#[derive(Default)]
struct Bad {
    in_having: Vec<BadValue>,
    others: Vec<BadValue>,
}

impl Bad {
    /// Where those of this column belong.
    fn of(&mut self, in_having: &Columns, column: &str) -> &mut Vec<BadValue> {
        if in_having.contains(column) { &mut self.in_having } else { &mut self.others }
    }

    /// Those that count, one for each group: a group that `having` leaves out needs no other results.
    fn where_passed(self, passes: Option<&BooleanArray>) -> Vec<BadValue> {
        let Bad { in_having: mut bad, others } = self;
        let is_needed = |value: &BadValue| passes.is_none_or(|passes| passes.is_valid(value.row) && passes.value(value.row));
        bad.extend(others.into_iter().filter(is_needed));
        bad.sort_by_key(|value| value.row);
        bad.dedup_by_key(|value| value.row);
        bad
    }
}

impl Finished {
    /// Which results are neither bad nor left out by `having`; `None`: all.
    fn wanted(&self) -> Option<BooleanArray> {
        if self.bad.is_empty() && self.passes.is_none() {
            return None;
        }
        let mut wanted = vec![true; self.computed.num_rows()];
        if let Some(passes) = &self.passes {
            wanted = passes.iter().map(|passes| passes == Some(true)).collect();
        }
        self.bad.iter().for_each(|value| wanted[value.row] = false);
        Some(BooleanArray::from(wanted))
    }
}

/// Whether a row of one batch differs from a row of the other.
pub(super) fn differences<'a>(before: &'a RecordBatch, after: &'a RecordBatch) -> Result<impl Fn(usize, usize) -> bool + use<>> {
    let columns = before.columns().iter().zip(after.columns());
    let compare = columns.map(|(a, b)| Ok(make_comparator(a, b, SortOptions::default())?)).collect::<Result<Vec<_>>>()?;
    Ok(move |old: usize, new: usize| compare.iter().any(|compare| compare(old, new).is_ne()))
}

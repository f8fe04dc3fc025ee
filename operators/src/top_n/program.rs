//! The bound expressions of one subtask: what both forms of the operator do with rows coming in and rows going out.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millstream_api::plan::OperatorContext;
use millstream_api::types::UTC;
use millstream_api::{Batch, Output, Result};
use millstream_expr::{BadValue, BoundScalar};

use super::plan::Design;
use super::rankings::{Keep, Place, Rankings};
use super::{MAIN, WINDOW_END, WINDOW_START};
use crate::bad_rows::BadRows;
use crate::columns::{names, place, records};
use crate::narrow::{Narrow, in_state};
use crate::order::RowSorter;

/// A window's bounds `[start, end)` in microseconds.
pub(super) type Window = (i64, i64);

/// What one subtask evaluates.
pub(super) struct Program {
    keep: Keep,
    n: usize,
    keys: Vec<BoundScalar>,
    key_types: Vec<DataType>,
    sorter: RowSorter,
    /// Where the kept columns are in the rows that come.
    input_places: Vec<usize>,
    /// The kept columns, and behind them the byte strings of the order.
    kept: SchemaRef,
    output: SchemaRef,
    columns: Vec<Column>,
    bad_rows: BadRows,
}

/// Where a column of the output comes from.
enum Column {
    Kept(usize),
    Rank,
    WindowStart,
    WindowEnd,
}

/// Rows that came in, evaluated.
pub(super) struct Evaluated {
    pub(super) batch: Batch,
    pub(super) keys: Vec<ArrayRef>,
    pub(super) kept: RecordBatch,
}

impl Program {
    /// Binds what the outputs of `context` need. `implicit`: rows do not carry the columns of their window.
    pub(super) fn new(design: &Design, context: &OperatorContext, implicit: bool) -> Result<Program> {
        let input = &context.inputs[0].schema;
        let output = context.outputs[MAIN].schema.clone();
        let narrow = Narrow::new(input, &design.kept(&names(&output)))?;
        let mut columns = Vec::new();
        for field in output.fields() {
            columns.push(match field.name().as_str() {
                name if Some(name) == design.rank.as_deref() => Column::Rank,
                WINDOW_START if implicit => Column::WindowStart,
                WINDOW_END if implicit => Column::WindowEnd,
                name => Column::Kept(place(narrow.schema(), name)?),
            });
        }
        let kept = narrow.schema().fields().iter();
        let kept = kept.map(|field| Field::new(in_state(field), field.data_type().clone(), field.is_nullable()));
        let kept: Vec<Field> = kept.chain([Field::new("order", DataType::Binary, false)]).collect();
        Ok(Program {
            keep: design.keep,
            n: design.n,
            keys: design.by.iter().map(|key| key.bind(input)).collect::<Result<_>>()?,
            key_types: design.by.iter().map(|key| key.field().data_type().clone()).collect(),
            sorter: RowSorter::new(&design.order, &design.ties, input)?,
            input_places: narrow.places().to_vec(),
            kept: Arc::new(Schema::new(kept)),
            output,
            columns,
            bad_rows: BadRows::new(context, context.outputs.len() - 1),
        })
    }

    /// Rankings without rows.
    pub(super) fn rankings(&self) -> Result<Rankings> {
        Rankings::new(self.keep, self.n, &self.key_types, self.kept.clone())
    }

    /// The types of the key's columns.
    pub(super) fn key_types(&self) -> &[DataType] {
        &self.key_types
    }

    /// The columns that are kept.
    pub(super) fn kept(&self) -> &SchemaRef {
        &self.kept
    }

    /// Whether the rank is a column that somebody reads.
    pub(super) fn ranked(&self) -> bool {
        self.columns.iter().any(|column| matches!(column, Column::Rank))
    }

    /// Evaluates keys and order, and settles the bad rows, which are not among the result.
    pub(super) fn evaluate(&self, batch: Batch, out: &mut Output) -> Result<Evaluated> {
        let mut bad = Vec::new();
        let evaluated = self.evaluate_all(batch, &mut bad)?;
        match self.bad_rows.settle(&evaluated.batch, &bad, out)? {
            None => Ok(evaluated),
            // Rare, so it may cost: the good rows are evaluated once more.
            Some(remains) => self.evaluate_all(evaluated.batch.filter(&remains)?, &mut Vec::new()),
        }
    }

    fn evaluate_all(&self, batch: Batch, bad: &mut Vec<BadValue>) -> Result<Evaluated> {
        let mut keys = Vec::with_capacity(self.keys.len());
        for key in &self.keys {
            let evaluated = key.evaluate(batch.records())?;
            bad.extend(evaluated.bad);
            keys.push(evaluated.values);
        }
        let order = Arc::new(self.sorter.sortable(&batch, bad)?) as ArrayRef;
        let columns = self.input_places.iter().map(|&place| batch.records().column(place).clone()).chain([order]).collect();
        Ok(Evaluated { kept: records(&self.kept, columns, batch.rows())?, keys, batch })
    }

    /// The rows at these places as they leave, with their ranks.
    pub(super) fn rows(&self, rankings: &Rankings, places: &[Place], ranks: &[i64], (start, end): Window) -> Result<RecordBatch> {
        let constant = |value: i64| Arc::new(TimestampMicrosecondArray::from_value(value, places.len()).with_timezone(UTC)) as ArrayRef;
        let column = |column: &Column| match column {
            Column::Kept(index) => rankings.column(*index, places),
            Column::Rank => Ok(Arc::new(Int64Array::from(ranks.to_vec())) as ArrayRef),
            Column::WindowStart => Ok(constant(start)),
            Column::WindowEnd => Ok(constant(end)),
        };
        records(&self.output, self.columns.iter().map(column).collect::<Result<_>>()?, places.len())
    }
}

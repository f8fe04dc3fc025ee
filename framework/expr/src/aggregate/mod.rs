//! Aggregate functions over groups of rows.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{Field, Schema};
use millstream_api::Result;
use millstream_api::batch::Hidden;
use millstream_api::plan::Columns;

use crate::error::ExprError;
use crate::scalar::{BadValue, Evaluated};

/// A typed aggregate function: an item of `compute`. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Aggregate {}

impl Aggregate {
    /// Parses `avg(dep_delay) as mean_delay`, `count(distinct a) filter (where b) as n` … against a stream's logical schema.
    pub fn parse(text: &str, schema: &Schema) -> Result<Aggregate, ExprError> {
        todo!()
    }

    /// Name, type and nullability of the result.
    pub fn field(&self) -> &Field {
        todo!()
    }

    /// The columns that its arguments and its filter read.
    pub fn columns(&self) -> &Columns {
        todo!()
    }

    /// Whether the result depends on the order of rows (first_value, last_value, array_agg, string_agg), so that
    /// [`Groups::update`] must be given one.
    pub fn ordered(&self) -> bool {
        todo!()
    }

    /// Whether rows can be withdrawn from it ([`Groups::retract`]).
    pub fn retractable(&self) -> bool {
        todo!()
    }

    /// The columns of its state, as [`Groups::state`] gives and [`Groups::merge`] takes them.
    pub fn state_fields(&self) -> &[Field] {
        todo!()
    }

    /// Makes it ready for batches of this physical schema.
    pub fn bind(&self, schema: &Schema) -> Result<BoundAggregate> {
        todo!()
    }
}

/// An aggregate function ready to run.
pub struct BoundAggregate {}

impl BoundAggregate {
    /// Evaluates arguments and filter on all rows of a batch, once, before the rows are divided among windows.
    pub fn arguments(&self, records: &RecordBatch) -> Result<Arguments> {
        todo!()
    }

    /// Fresh groups: an accumulator for one window or slice, or for a whole running aggregate.
    pub fn groups(&self) -> Box<dyn Groups> {
        todo!()
    }
}

/// The evaluated arguments of one aggregate for the rows of a batch.
#[derive(Clone)]
pub struct Arguments {
    /// One array per argument.
    pub values: Vec<ArrayRef>,
    /// Where false or null, the row does not take part.
    pub filter: Option<BooleanArray>,
    /// Rows on which an argument or the filter failed.
    pub bad: Vec<BadValue>,
}

impl Arguments {
    /// The arguments of the rows at `indices` (`bad` stays behind: the caller has dealt with it).
    pub fn take(&self, indices: &UInt32Array) -> Result<Arguments> {
        todo!()
    }
}

/// What decides which row is first: event time if the stream has it, then origin (split, position) while rows come from a
/// source, else the row's columns from left to right, nulls last.
pub struct RowOrder {
    /// Hidden columns of the rows.
    pub hidden: Hidden,
    /// All columns of the rows, for ties where there is no origin.
    pub records: RecordBatch,
}

/// Accumulators of one aggregate function for many groups, numbered densely from 0.
pub trait Groups: Send {
    /// Adds rows: `groups[i]` is the group of row `i`, below `total`. New groups start empty.
    fn update(&mut self, arguments: &Arguments, groups: &[usize], total: usize, order: Option<&RowOrder>) -> Result<()>;

    /// Withdraws rows that were added before. Only where [`Aggregate::retractable`].
    fn retract(&mut self, arguments: &Arguments, groups: &[usize], total: usize) -> Result<()>;

    /// Merges states of other accumulators: row `i` of the state into group `groups[i]`.
    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) -> Result<()>;

    /// The state of all groups, one row each. What is accumulated stays as it is.
    fn state(&mut self) -> Result<Vec<ArrayRef>>;

    /// The results of all groups, one row each; a result that overflows is in `bad`. What is accumulated stays as it is.
    fn evaluate(&mut self) -> Result<Evaluated>;

    /// Memory, in bytes, roughly.
    fn size_bytes(&self) -> usize;
}

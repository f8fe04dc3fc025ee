//! Aggregate functions over groups of rows.
//!
//! An [`Aggregate`] is parsed and typed once; bound to a physical schema it evaluates its arguments for whole batches and
//! makes [`Groups`]: accumulators for many groups at once, vectors indexed by group. Modules in reading order:
//!
//! - [`item`]: items of `compute`, and expressions over calls
//! - `parse`: a call to a function, its arguments and its filter
//! - `function`: which functions there are, what they take, give and keep
//! - `rows`, `order`, `interner` (on `words` and `pairs`), `store`: which rows take part, which is first, numbers for keys, columns that
//!   grow
//! - `count`, `bits`, `exact`, `float` (on `double`), `spread`, `relation`, `extreme`: accumulators of fixed size
//! - `edge`, `collect`, `first_seen`, `median`, `quantile`, `cardinality`, `distinct`: accumulators that keep values
//! - `standing`: the same results over rows that can be withdrawn
//!
//! These are not DataFusion's accumulators: a window or a running aggregate here needs results of single groups again and
//! again without giving up what is accumulated, withdrawals, sums that do not depend on the order of rows, and overflow
//! judged on the result. Its `GroupsAccumulator`s empty themselves, wrap, and round with every row.

mod bits;
mod cardinality;
mod collect;
mod count;
mod distinct;
mod double;
mod edge;
mod exact;
mod extreme;
mod first_seen;
mod float;
mod function;
mod interner;
pub mod item;
mod median;
mod order;
mod pairs;
mod parse;
mod quantile;
mod relation;
mod rows;
mod spread;
mod standing;
mod store;
mod words;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::row::RowConverter;
use millstream_api::batch::Hidden;
use millstream_api::plan::Columns;
use millstream_api::{Batch, Error, Result};

pub use self::interner::{Interner, normalised};
pub use self::item::{ComputeItem, GroupExpression};
use crate::aggregate::function::{Function, Retraction, comparable};
use crate::aggregate::relation::paired;
use crate::error::ExprError;
use crate::order::OrderItem;
use crate::scalar::{BadValue, BoundScalar, Evaluated, Scalar};

/// A typed aggregate function: an item of `compute`. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Aggregate {
    spec: Arc<Spec>,
}

/// What the text says, resolved and typed.
#[derive(Clone, Debug)]
struct Spec {
    function: Function,
    distinct: bool,
    /// Whether rows can be withdrawn.
    retracting: bool,
    arguments: Vec<Scalar>,
    /// What each argument is cast to before it is accumulated.
    argument_types: Vec<DataType>,
    /// What `order by` says, before anything else that decides which row is first.
    order_by: Vec<OrderItem>,
    filter: Option<Scalar>,
    field: Field,
    columns: Columns,
    state_fields: Vec<Field>,
    text: String,
}

impl Aggregate {
    /// Parses `avg(dep_delay) as mean_delay`, `count(distinct a) filter (where b) as n` … against a stream's logical schema.
    ///
    /// # Errors
    /// Every mistake a user can make, with its place in the text.
    pub fn parse(text: &str, schema: &Schema) -> Result<Aggregate, ExprError> {
        parse::parse(text, schema).map(Aggregate::of)
    }

    fn of(spec: Spec) -> Aggregate {
        Aggregate { spec: Arc::new(spec) }
    }

    /// Name, type and nullability of the result, for a group of at least one row.
    pub fn field(&self) -> &Field {
        &self.spec.field
    }

    /// The expression's text without `as name`.
    pub fn text(&self) -> &str {
        &self.spec.text
    }

    /// The function's name.
    pub fn function_name(&self) -> &'static str {
        self.spec.function.name()
    }

    /// The columns that its arguments and its filter read.
    pub fn columns(&self) -> &Columns {
        &self.spec.columns
    }

    /// Whether the result depends on the order of rows (first_value, last_value, array_agg, string_agg), so that
    /// [`Groups::update`] must be given one.
    pub fn ordered(&self) -> bool {
        self.spec.function.ordered()
    }

    /// Whether a group keeps each of its values, or each different one, so that its state grows with its rows.
    pub fn keeps_values(&self) -> bool {
        let spec = &self.spec;
        spec.distinct || spec.function.keeps_values() || (spec.retracting && spec.function.retraction() == Retraction::KeepsValues)
    }

    /// Whether the state of a group stays small however many rows it has, so that it is worth making before rows are sent.
    pub fn shrinks(&self) -> bool {
        !self.keeps_values() && !matches!(self.spec.function, Function::ApproxDistinct | Function::ApproxPercentile(_))
    }

    /// The same function for rows that can be withdrawn ([`Groups::retract`]). Some then keep every value: the least one may
    /// go, and the second least takes its place. `None`: it cannot take a row back.
    pub fn retracting(&self) -> Option<Aggregate> {
        let spec = &self.spec;
        let argument = spec.function.accumulated(&spec.argument_types);
        let possible = match spec.function.retraction() {
            Retraction::Plain => true,
            Retraction::KeepsValues => comparable(argument.clone()).is_ok(),
            Retraction::Refused => false,
        };
        let state_fields = spec.function.state(spec.distinct, true, &argument);
        possible.then(|| Aggregate { spec: Arc::new(Spec { retracting: true, state_fields, ..Spec::clone(spec) }) })
    }

    /// What to use in its place where it cannot take a row back.
    pub fn retractable_alternative(&self) -> Option<&'static str> {
        self.spec.function.retractable_alternative()
    }

    /// The columns of its state, as [`Groups::state`] gives and [`Groups::merge`] takes them.
    pub fn state_fields(&self) -> &[Field] {
        &self.spec.state_fields
    }

    /// Makes it ready for batches of this physical schema.
    pub fn bind(&self, schema: &Schema) -> Result<BoundAggregate> {
        Ok(BoundAggregate {
            spec: Arc::clone(&self.spec),
            arguments: self.spec.arguments.iter().map(|argument| argument.bind(schema)).collect::<Result<_>>()?,
            order_by: self.spec.order_by.iter().map(|item| item.value().bind(schema)).collect::<Result<_>>()?,
            filter: self.spec.filter.as_ref().map(|filter| filter.bind(schema)).transpose()?,
        })
    }
}

/// An aggregate function ready to run.
pub struct BoundAggregate {
    spec: Arc<Spec>,
    arguments: Vec<BoundScalar>,
    order_by: Vec<BoundScalar>,
    filter: Option<BoundScalar>,
}

impl BoundAggregate {
    /// Evaluates arguments and filter on all rows of a batch, once, before the rows are divided among windows.
    pub fn arguments(&self, records: &RecordBatch) -> Result<Arguments> {
        let mut arguments = Arguments::default();
        for (argument, data_type) in self.arguments.iter().zip(&self.spec.argument_types) {
            let Evaluated { values, bad } = argument.evaluate(records)?;
            let coerced = if values.data_type() == data_type { values } else { cast(&values, data_type)? };
            arguments.values.push(coerced);
            arguments.bad.extend(bad);
        }
        if let Function::Relation(_) = self.spec.function {
            arguments.values = vec![paired(&arguments.values)?];
        }
        arguments.order = self.order(records, &mut arguments.bad)?;
        if let Some(filter) = &self.filter {
            let Evaluated { values, bad } = filter.evaluate(records)?;
            let passes = values.as_boolean().clone();
            // The filter guards the arguments: where it is not true, they are not asked for.
            arguments.bad.retain(|value| passes.is_valid(value.row) && passes.value(value.row));
            arguments.bad.extend(bad);
            arguments.filter = Some(passes);
        }
        Ok(arguments)
    }

    /// The bytes by which rows are ordered, where `order by` says so.
    fn order(&self, records: &RecordBatch, bad: &mut Vec<BadValue>) -> Result<Option<BinaryArray>> {
        if self.order_by.is_empty() {
            return Ok(None);
        }
        let mut columns = Vec::with_capacity(self.order_by.len());
        for item in &self.order_by {
            let evaluated = item.evaluate(records)?;
            bad.extend(evaluated.bad);
            columns.push(normalised(&evaluated.values));
        }
        let converter = RowConverter::new(self.spec.order_by.iter().map(OrderItem::sort_field).collect())?;
        Ok(Some(converter.convert_columns(&columns)?.try_into_binary()?))
    }

    /// Fresh groups: an accumulator for one window or slice, or for a whole running aggregate.
    pub fn groups(&self) -> Result<Box<dyn Groups>> {
        function::groups(&self.spec)
    }
}

/// The evaluated arguments of one aggregate for the rows of a batch.
#[derive(Clone, Default)]
pub struct Arguments {
    /// One array per argument; the two of a function of pairs are one.
    pub values: Vec<ArrayRef>,
    /// What rows are ordered by before anything else, as bytes that sort as it does.
    pub order: Option<BinaryArray>,
    /// Where false or null, the row does not take part.
    pub filter: Option<BooleanArray>,
    /// Rows on which an argument or the filter failed.
    pub bad: Vec<BadValue>,
}

impl Arguments {
    /// The arguments of the rows at `indices` (`bad` stays behind: the caller has dealt with it).
    pub fn take(&self, indices: &UInt32Array) -> Result<Arguments> {
        let values = self.values.iter().map(|values| Ok(take(values, indices, None)?)).collect::<Result<_>>()?;
        let order = match &self.order {
            Some(order) => Some(take(order, indices, None)?.as_binary().clone()),
            None => None,
        };
        let filter = match &self.filter {
            Some(filter) => Some(take(filter, indices, None)?.as_boolean().clone()),
            None => None,
        };
        Ok(Arguments { values, order, filter, bad: Vec::new() })
    }

    /// The arguments of `rows` rows from `start` on, without a copy (`bad` stays behind).
    pub fn slice(&self, start: usize, rows: usize) -> Arguments {
        Arguments {
            values: self.values.iter().map(|values| values.slice(start, rows)).collect(),
            order: self.order.as_ref().map(|order| order.slice(start, rows)),
            filter: self.filter.as_ref().map(|filter| filter.slice(start, rows)),
            bad: Vec::new(),
        }
    }
}

/// What decides which row is first, unless [`Arguments::order`] does: event time if the stream has it, then origin (split, position) while rows come from a
/// source, else the row's columns from left to right, nulls last.
pub struct RowOrder {
    /// Hidden columns of the rows.
    pub hidden: Hidden,
    /// All columns of the rows, for ties where there is no origin.
    pub records: RecordBatch,
}

impl RowOrder {
    /// The order of a batch's rows.
    pub fn of(batch: &Batch) -> Result<RowOrder> {
        let Hidden { times, origin, .. } = batch.hidden().clone();
        let records = if origin.is_some() { batch.records().project(&[])? } else { batch.records().clone() };
        Ok(RowOrder { hidden: Hidden { times, origin, ..Hidden::default() }, records })
    }

    /// The order of the rows at `indices`.
    pub fn take(&self, indices: &UInt32Array) -> Result<RowOrder> {
        RowOrder::of(&Batch::new(self.records.clone(), self.hidden.clone())?.take(indices)?)
    }

    /// The order of `rows` rows from `start` on.
    pub fn slice(&self, start: usize, rows: usize) -> Result<RowOrder> {
        RowOrder::of(&Batch::new(self.records.clone(), self.hidden.clone())?.slice(start, rows))
    }
}

/// Accumulators of one aggregate function for many groups, numbered densely from 0.
pub trait Groups: Send {
    /// Adds rows: `groups[i]` is the group of row `i`, below `total`. New groups start empty.
    fn update(&mut self, arguments: &Arguments, groups: &[usize], total: usize, order: Option<&RowOrder>) -> Result<()>;

    /// Withdraws rows that were added, or will be: a withdrawal may overtake its row. Only of an aggregate that is
    /// [`retracting`](Aggregate::retracting).
    fn retract(&mut self, arguments: &Arguments, groups: &[usize], total: usize, order: Option<&RowOrder>) -> Result<()> {
        let _ = (arguments, groups, total, order);
        Err(Error::internal("rows are withdrawn from an aggregate that cannot do that"))
    }

    /// Whether a group is as if no row had ever come: all were withdrawn, and no withdrawal is ahead of its row. Never where
    /// rows cannot be withdrawn.
    fn is_empty(&self, group: usize) -> bool {
        let _ = group;
        false
    }

    /// Merges states of other accumulators: row `i` of the state into group `groups[i]`.
    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) -> Result<()>;

    /// The state of all groups, one row each. What is accumulated stays as it is.
    fn state(&mut self) -> Result<Vec<ArrayRef>>;

    /// The state of these groups, one row each, in this order. What is accumulated stays as it is.
    fn state_at(&mut self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        let indices = UInt32Array::from_iter_values(groups.iter().map(|&group| group as u32));
        self.state()?.iter().map(|column| Ok(take(column, &indices, None)?)).collect()
    }

    /// The results of these groups, one row each, in this order; a result that overflows is in `bad`. What is accumulated
    /// stays as it is.
    fn evaluate_at(&mut self, groups: &[usize]) -> Result<Evaluated>;

    /// Makes these groups as if no row had ever come into them.
    fn clear(&mut self, groups: &[usize]) -> Result<()>;

    /// How many groups there are.
    fn total(&self) -> usize;

    /// The results of all groups.
    fn evaluate(&mut self) -> Result<Evaluated> {
        let all: Vec<usize> = (0..self.total()).collect();
        self.evaluate_at(&all)
    }

    /// Memory, in bytes, roughly.
    fn size_bytes(&self) -> usize;
}

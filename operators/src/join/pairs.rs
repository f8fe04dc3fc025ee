//! The bound expressions of one subtask: keys of the rows that come, conditions on pairs, pairs to rows of the result.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, TimestampMicrosecondArray, UInt32Array, new_null_array,
};
use arrow::compute::{filter, prep_null_mask_filter, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millstream_api::batch::Hidden;
use millstream_api::plan::{Columns, OperatorContext};
use millstream_api::types::{UTC, timestamp_type};
use millstream_api::{Batch, Output, Result};
use millstream_expr::{BadValue, BoundScalar, Scalar, Side};

use super::plan::{Design, is_bound};
use super::rows::Picks;
use super::{MAIN, Mode, REJECTED, WINDOW_START};
use crate::bad_rows::BadRows;
use crate::columns::{names, place, records};
use crate::narrow::Narrow;

/// A window's bounds `[start, end)` in microseconds.
pub(super) type Window = (i64, i64);

/// The key of one side.
pub(super) struct Keys {
    scalars: Vec<BoundScalar>,
    /// The types of the key's columns.
    pub(super) types: Vec<DataType>,
    nulls_match: Vec<bool>,
    bad_rows: BadRows,
}

impl Keys {
    /// The key of side `side`.
    pub(super) fn new(design: &Design, context: &OperatorContext, side: usize) -> Result<Keys> {
        let schema = &context.inputs[side].schema;
        Ok(Keys {
            scalars: design.keys[side].iter().map(|key| key.bind(schema)).collect::<Result<_>>()?,
            types: design.keys[side].iter().map(|key| key.field().data_type().clone()).collect(),
            nulls_match: design.nulls_match.clone(),
            bad_rows: BadRows::new(context, REJECTED),
        })
    }

    /// The key's columns, once the rows without a key are settled. What is left: the batch without them, and the columns.
    pub(super) fn of(&self, batch: Batch, out: &mut Output) -> Result<(Batch, Vec<ArrayRef>)> {
        self.settled(&batch.clone(), batch, out)
    }

    /// The same for the columns that are kept: what is left has these only, while a bad row is told of with all.
    pub(super) fn of_kept(&self, batch: &Batch, narrow: &Narrow, out: &mut Output) -> Result<(Batch, Vec<ArrayRef>)> {
        self.settled(batch, narrow.of(batch)?, out)
    }

    fn settled(&self, whole: &Batch, batch: Batch, out: &mut Output) -> Result<(Batch, Vec<ArrayRef>)> {
        let (keys, bad) = self.evaluate(batch.records())?;
        match self.bad_rows.settle(whole, &bad, out)? {
            None => Ok((batch, keys)),
            Some(remains) => {
                let keys = keys.iter().map(|key| Ok(filter(key, &remains)?)).collect::<Result<_>>()?;
                Ok((batch.filter(&remains)?, keys))
            }
        }
    }

    /// The key's columns of rows that have come through [`of`](Keys::of) before.
    pub(super) fn again(&self, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        Ok(self.evaluate(rows)?.0)
    }

    fn evaluate(&self, rows: &RecordBatch) -> Result<(Vec<ArrayRef>, Vec<BadValue>)> {
        let mut bad = Vec::new();
        let mut keys = Vec::with_capacity(self.scalars.len());
        for scalar in &self.scalars {
            let evaluated = scalar.evaluate(rows)?;
            bad.extend(evaluated.bad);
            keys.push(evaluated.values);
        }
        Ok((keys, bad))
    }

    /// Whether the row's key can equal another: none with a null that equals nothing.
    pub(super) fn can_match(&self, keys: &[ArrayRef], row: usize) -> bool {
        keys.iter().zip(&self.nulls_match).all(|(key, nulls_match)| *nulls_match || key.is_valid(row))
    }
}

/// Which rows are picked from one side.
#[derive(Clone, Copy)]
pub(super) enum Rows<'a> {
    /// There is none, and its columns are null.
    None,
    /// Each, in order.
    All,
    /// Those in these places.
    At(&'a UInt32Array),
    /// These, of rows that are kept.
    Kept(&'a Picks<'a>),
}

impl<'a> std::convert::From<Option<&'a UInt32Array>> for Rows<'a> {
    fn from(rows: Option<&'a UInt32Array>) -> Self {
        rows.map_or(Rows::None, Rows::At)
    }
}

/// Rows of both sides, one of each for each row of a result.
pub(super) struct Picked<'a> {
    /// Where they are picked from, by side, unless they are of those that are kept.
    pub(super) from: [&'a RecordBatch; 2],
    /// Which rows, by side.
    pub(super) rows: [Rows<'a>; 2],
    pub(super) window: Option<Window>,
}

impl Picked<'_> {
    fn len(&self) -> usize {
        let of_side = |side: usize| match self.rows[side] {
            Rows::None => None,
            Rows::All => Some(self.from[side].num_rows()),
            Rows::At(rows) => Some(rows.len()),
            Rows::Kept(found) => Some(found.len()),
        };
        of_side(0).or_else(|| of_side(1)).unwrap_or_default()
    }
}

/// What is evaluated on pairs.
pub(super) struct Pairs {
    condition: Option<(BoundScalar, Joined)>,
    columns: Vec<BoundScalar>,
    joined: Joined,
    output: SchemaRef,
    bad_rows: BadRows,
}

impl Pairs {
    /// Binds the condition and the columns of the result that are needed.
    pub(super) fn new(design: &Design, context: &OperatorContext) -> Result<Pairs> {
        let sides = [&context.inputs[0].schema, &context.inputs[1].schema];
        let output = context.outputs[MAIN].schema.clone();
        let columns: Vec<&Scalar> = design.needed(&names(&output)).collect();
        let windowed = design.mode == Mode::Window;
        let joined = Joined::new(columns.iter().flat_map(|column| column.columns().iter().cloned()).collect(), sides, windowed)?;
        let condition = match &design.rest {
            None => None,
            Some(rest) => {
                let joined = Joined::new(rest.columns().clone(), sides, windowed)?;
                Some((rest.bind(&joined.schema)?, joined))
            }
        };
        Ok(Pairs {
            condition,
            columns: columns.iter().map(|column| column.bind(&joined.schema)).collect::<Result<_>>()?,
            joined,
            output,
            bad_rows: BadRows::new(context, REJECTED),
        })
    }

    /// Whether equal keys are not enough for a pair.
    pub(super) fn conditional(&self) -> bool {
        self.condition.is_some()
    }

    /// Which of the pairs fulfil the condition; `None`: all do.
    pub(super) fn fulfil(&self, pairs: &Picked<'_>, out: &mut Output) -> Result<Option<BooleanArray>> {
        let Some((condition, joined)) = &self.condition else { return Ok(None) };
        let rows = joined.rows(pairs)?;
        let evaluated = condition.evaluate(&rows)?;
        if !evaluated.bad.is_empty() {
            self.bad_rows.settle_results(&rows, &evaluated.bad, out)?;
        }
        let holds = evaluated.values.as_boolean();
        // Null is not true.
        Ok(Some(if holds.null_count() > 0 { prep_null_mask_filter(holds) } else { holds.clone() }))
    }

    /// Sends rows of the result with these event times.
    pub(super) fn send(&self, picked: &Picked<'_>, times: Int64Array, out: &mut Output) -> Result<()> {
        let (records, remains) = self.result(picked, out)?;
        let times = match remains {
            None => times,
            Some(remains) => filter(&times, &remains)?.as_primitive().clone(),
        };
        out.emit(MAIN, Batch::new(records, Hidden { times: Some(times), ..Hidden::default() })?.compacted()?);
        Ok(())
    }

    /// The rows of the result, and which of the picked ones they are if some are bad and gone.
    pub(super) fn result(&self, picked: &Picked<'_>, out: &mut Output) -> Result<(RecordBatch, Option<BooleanArray>)> {
        let rows = self.joined.rows(picked)?;
        let mut bad = Vec::new();
        let mut columns = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let evaluated = column.evaluate(&rows)?;
            bad.extend(evaluated.bad);
            columns.push(evaluated.values);
        }
        if bad.is_empty() {
            return Ok((records(&self.output, columns, rows.num_rows())?, None));
        }
        bad.sort_by_key(|value| value.row);
        bad.dedup_by_key(|value| value.row);
        self.bad_rows.settle_results(&rows, &bad, out)?;
        let mut remains = vec![true; rows.num_rows()];
        bad.iter().for_each(|value| remains[value.row] = false);
        let remains = BooleanArray::from(remains);
        let columns = columns.iter().map(|column| Ok(filter(column, &remains)?)).collect::<Result<_>>()?;
        Ok((records(&self.output, columns, remains.true_count())?, Some(remains)))
    }
}

/// Batches that have columns of both sides, under their names in the scope of the join.
struct Joined {
    schema: SchemaRef,
    from: Vec<From>,
}

/// Where a column of a joined batch comes from.
enum From {
    /// A column of a side.
    Side(usize, usize, DataType),
    /// The start of the window; of a side, null where it has no row.
    Start(Option<usize>),
    /// Its end, likewise.
    End(Option<usize>),
}

impl From {
    fn bound(name: &str, side: Option<usize>) -> From {
        if name == WINDOW_START { From::Start(side) } else { From::End(side) }
    }
}

impl Joined {
    fn new(wanted: Columns, sides: [&SchemaRef; 2], windowed: bool) -> Result<Joined> {
        let mut fields = Vec::new();
        let mut from = Vec::new();
        for name in wanted {
            let of_side = |side: Side| side.own_name(&name).map(|own| (usize::from(side == Side::Right), own));
            let (data_type, source) = match of_side(Side::Left).or_else(|| of_side(Side::Right)) {
                Some((side, own)) if windowed && is_bound(own) => (timestamp_type(), From::bound(own, Some(side))),
                Some((side, own)) => {
                    let place = place(sides[side], own)?;
                    let data_type = sides[side].field(place).data_type().clone();
                    (data_type.clone(), From::Side(side, place, data_type))
                }
                None => (timestamp_type(), From::bound(&name, None)),
            };
            fields.push(Field::new(name, data_type, true));
            from.push(source);
        }
        Ok(Joined { schema: Arc::new(Schema::new(fields)), from })
    }

    fn rows(&self, picked: &Picked<'_>) -> Result<RecordBatch> {
        let rows = picked.len();
        let (start, end) = picked.window.unwrap_or_default();
        let bound = |of: &Option<usize>, value: i64| -> ArrayRef {
            match of.map(|side| &picked.rows[side]) {
                Some(Rows::None) => new_null_array(&timestamp_type(), rows),
                _ => Arc::new(TimestampMicrosecondArray::from_value(value, rows).with_timezone(UTC)),
            }
        };
        let columns = self.from.iter().map(|from| {
            Ok(match from {
                From::Start(of) => bound(of, start),
                From::End(of) => bound(of, end),
                From::Side(side, place, data_type) => match picked.rows[*side] {
                    Rows::At(indices) => take(picked.from[*side].column(*place), indices, None)?,
                    Rows::All => picked.from[*side].column(*place).clone(),
                    Rows::Kept(found) => found.column(*place)?,
                    Rows::None => new_null_array(data_type, rows),
                },
            })
        });
        records(&self.schema, columns.collect::<Result<_>>()?, rows)
    }
}

//! Rows that come in to rows as they are kept, and these to rows that leave.
//!
//! A kept row has, before its columns, what the engine knows of it, and behind them the byte string of its order; so rows of
//! different batches, and of a snapshot, are compared and sent without anything beside them.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, Int8Array, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt32Type};
use millstream_api::batch::{Hidden, Origin};
use millstream_api::plan::OperatorContext;
use millstream_api::{Batch, EventTime, Output, Result};
use millstream_expr::BoundScalar;

use super::plan::Design;
use super::{Keep, MAIN};
use crate::bad_rows::BadRows;
use crate::columns::{names, places, records};
use crate::narrow::{Narrow, in_state};
use crate::order::RowSorter;

/// The columns before those of the row: when it may be judged, its event time, its mark, its split and position.
pub(super) const RELEASE: usize = 0;
pub(super) const TIME: usize = 1;
const MARK: usize = 2;
const SPLIT: usize = 3;
const POSITION: usize = 4;
const HIDDEN: usize = 5;

/// What one subtask does with rows that come and go.
pub(super) struct Intake {
    keys: Vec<BoundScalar>,
    key_types: Vec<DataType>,
    sorter: RowSorter,
    bad_rows: BadRows,
    /// The columns of rows that are kept.
    narrow: Narrow,
    kept: SchemaRef,
    output: SchemaRef,
    output_places: Vec<usize>,
    event_time: bool,
    /// Whether split and position leave.
    origin: bool,
    /// Whether a row that comes late is judged with those of its own watermark: the first row of a key that was sent stays.
    late_with_its_mark: bool,
}

impl Intake {
    pub(super) fn new(design: &Design, context: &OperatorContext) -> Result<Intake> {
        let input = &context.inputs[0].schema;
        let shape = &context.outputs[MAIN];
        let narrow = Narrow::new(input, &design.kept(&names(&shape.schema)))?;
        let visible = narrow.schema();
        let hidden = |name: &str, data_type: DataType| Field::new(name, data_type, false);
        let first = [
            hidden("release", DataType::Int64),
            hidden("time", DataType::Int64),
            hidden("mark", DataType::Int64),
            hidden("split", DataType::UInt32),
            hidden("position", DataType::Int64),
        ];
        let own = visible.fields().iter().map(|field| field.as_ref().clone().with_name(in_state(field)));
        let kept: Vec<Field> = first.into_iter().chain(own).chain([hidden("order", DataType::Binary)]).collect();
        Ok(Intake {
            keys: design.by.iter().map(|key| key.bind(visible)).collect::<Result<_>>()?,
            key_types: design.by.iter().map(|key| key.field().data_type().clone()).collect(),
            sorter: RowSorter::new(&[], &design.ties, input)?,
            bad_rows: BadRows::new(context, context.outputs.len() - 1),
            output_places: places(visible, &shape.schema)?.into_iter().map(|place| HIDDEN + place).collect(),
            output: shape.schema.clone(),
            kept: Arc::new(Schema::new(kept)),
            narrow,
            event_time: design.event_time,
            origin: shape.origin,
            late_with_its_mark: design.keep == Keep::First && design.within.is_none(),
        })
    }

    /// The types of the key's columns.
    pub(super) fn key_types(&self) -> &[DataType] {
        &self.key_types
    }

    /// The schema of kept rows.
    pub(super) fn kept(&self) -> &SchemaRef {
        &self.kept
    }

    /// The batch without its bad rows, which are settled.
    pub(super) fn settle(&self, batch: Batch, out: &mut Output) -> Result<Batch> {
        let mut bad = Vec::new();
        let rows = self.narrow.of(&batch)?;
        for key in &self.keys {
            bad.extend(key.evaluate(rows.records())?.bad);
        }
        match self.bad_rows.settle(&batch, &bad, out)? {
            None => Ok(batch),
            Some(remains) => batch.filter(&remains),
        }
    }

    /// Rows as they are kept. A row may be judged when the watermark is greater than its event time; or, where it is judged
    /// with those of its own watermark, greater than that.
    pub(super) fn keep(&self, batch: &Batch) -> Result<RecordBatch> {
        let rows = batch.rows();
        let hidden = batch.hidden();
        let order = self.sorter.sortable(batch, &mut Vec::new())?;
        let zeros = || Int64Array::from_value(0, rows);
        let times = hidden.times.clone().unwrap_or_else(zeros);
        let marks = hidden.marks.clone().unwrap_or_else(|| Int64Array::from_value(i64::MIN, rows));
        let release: Int64Array = match self.late_with_its_mark {
            true => times.values().iter().zip(marks.values()).map(|(time, mark)| Some(*time.max(mark))).collect(),
            false => times.clone(),
        };
        let origin = hidden.origin.clone();
        let origin = origin.unwrap_or_else(|| Origin { split: UInt32Array::from_value(0, rows), position: zeros() });
        let first: [ArrayRef; HIDDEN] =
            [Arc::new(release), Arc::new(times), Arc::new(marks), Arc::new(origin.split), Arc::new(origin.position)];
        let own = self.narrow.places().iter().map(|&place| batch.records().column(place).clone());
        let columns = first.into_iter().chain(own).chain([Arc::new(order) as ArrayRef]);
        records(&self.kept, columns.collect(), rows)
    }

    /// The key columns of kept rows. Bad ones are not among these.
    pub(super) fn keys(&self, kept: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let own = kept.columns()[HIDDEN..kept.num_columns() - 1].to_vec();
        let rows = records(self.narrow.schema(), own, kept.num_rows())?;
        self.keys.iter().map(|key| Ok(key.evaluate(&rows)?.values)).collect()
    }

    /// Kept rows as they leave. One that is behind `passed`, the watermark that was passed on, says so.
    pub(super) fn leave(&self, kept: &RecordBatch, weights: Option<Int8Array>, passed: EventTime) -> Result<Batch> {
        let mut hidden = Hidden { weights, ..Hidden::default() };
        if self.event_time {
            let (times, marks) = (number(kept, TIME), number(kept, MARK));
            let mark = |(time, mark): (&i64, &i64)| if *time < passed.0 { passed.0.max(*mark) } else { *mark };
            let marks: Vec<i64> = times.values().iter().zip(marks.values()).map(mark).collect();
            hidden.times = Some(times.clone());
            hidden.marks = marks.iter().any(|mark| *mark != i64::MIN).then(|| Int64Array::from(marks));
        }
        if self.origin {
            let split = kept.column(SPLIT).as_primitive::<UInt32Type>().clone();
            hidden.origin = Some(Origin { split, position: number(kept, POSITION).clone() });
        }
        let columns = self.output_places.iter().map(|&place| kept.column(place).clone()).collect();
        Batch::new(records(&self.output, columns, kept.num_rows())?, hidden)
    }
}

/// A column of whole numbers of kept rows.
pub(super) fn number(kept: &RecordBatch, column: usize) -> &Int64Array {
    kept.column(column).as_primitive::<Int64Type>()
}

/// The byte strings of the order of kept rows.
pub(super) fn order(kept: &RecordBatch) -> &BinaryArray {
    kept.column(kept.num_columns() - 1).as_binary::<i32>()
}

/// These of the kept rows, in this order.
pub(super) fn take(kept: &RecordBatch, rows: Vec<u32>) -> Result<RecordBatch> {
    Ok(Batch::plain(kept.clone()).take(&UInt32Array::from(rows))?.records().clone())
}

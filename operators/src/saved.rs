//! What the snapshots of several operators have in common: the watermark up to which they have acted, and columns that may not be those that
//! are wanted now.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use millstream_api::error::ErrorKind;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::{Error, EventTime, Result};

/// The name of the watermark's piece of the state.
pub(crate) const WATERMARK: &str = "watermark";

/// Puts down the watermark up to which an operator has acted.
///
/// # Errors
/// Only internal ones.
pub(crate) fn write_watermark(watermark: EventTime, state: &mut StateWriter) -> Result<()> {
    let schema = Schema::new(vec![Field::new(WATERMARK, DataType::Int64, false)]);
    let watermark = Int64Array::from_value(watermark.0, 1);
    state.put(WATERMARK, RecordBatch::try_new(Arc::new(schema), vec![Arc::new(watermark)])?);
    Ok(())
}

/// The watermark that all subtasks had at the barrier, [`EventTime::MIN`] at the first start. Rows are judged by it from the first one on.
pub(crate) fn read_watermark(state: &StateReader) -> EventTime {
    let saved = state.get(WATERMARK).flat_map(|records| records.column(0).as_primitive::<Int64Type>().values().to_vec());
    EventTime(saved.min().unwrap_or(i64::MIN))
}

/// The column that says how much longer windows stayed open for rows that are late, in microseconds.
const LATENESS: &str = "allowed_lateness";

/// Puts down the watermark up to which windows have closed that stay open for so much longer.
///
/// # Errors
/// Only internal ones.
pub(crate) fn write_closed(watermark: EventTime, lateness: i64, state: &mut StateWriter) -> Result<()> {
    let schema = Schema::new([WATERMARK, LATENESS].map(|name| Field::new(name, DataType::Int64, false)).to_vec());
    let columns = [watermark.0, lateness].map(|micros| Arc::new(Int64Array::from_value(micros, 1)) as ArrayRef);
    state.put(WATERMARK, RecordBatch::try_new(Arc::new(schema), columns.to_vec())?);
    Ok(())
}

/// The watermark at which just those windows are closed that were at the barrier, now that they stay open for so much longer. So none of them is
/// opened again by more lateness, and with less the real watermark, which comes first, closes those that it is enough for.
pub(crate) fn read_closed(state: &StateReader, lateness: i64) -> EventTime {
    let lateness_of = |records: &RecordBatch| {
        let column = records.column_by_name(LATENESS)?.as_primitive_opt::<Int64Type>()?;
        column.values().first().copied()
    };
    let before = state.get(WATERMARK).find_map(lateness_of).unwrap_or(lateness);
    match read_watermark(state) {
        end @ (EventTime::MIN | EventTime::MAX) => end,
        EventTime(watermark) => EventTime(watermark.saturating_add(lateness.saturating_sub(before))),
    }
}

/// Whether the columns of a snapshot have the types that are wanted now; their names may be others.
///
/// # Errors
/// When they have not.
pub(crate) fn check_types(saved: &Schema, wanted: &Schema) -> Result<()> {
    let types = |schema: &Schema| -> Vec<DataType> { schema.fields().iter().map(|field| field.data_type().clone()).collect() };
    if types(saved) == types(wanted) { Ok(()) } else { Err(of_others()) }
}

/// The error that a snapshot does not fit what is wanted now.
pub(crate) fn of_others() -> Error {
    Error::new(ErrorKind::State, "the state is of other columns, or of another key or order, than the file has now")
        .help("run with --fresh to start without the old state")
}

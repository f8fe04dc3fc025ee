//! Columns by name: from a stream's logical schema to what really flows, and back to the user's words.
//!
//! A node plans against all columns of a stream, but only those that somebody reads flow. What is here finds the places of
//! columns in a physical schema and builds record batches that may have no column at all (a stream that is only counted).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use millstream_api::diagnostic::nearest;
use millstream_api::plan::Columns;
use millstream_api::state::picked::picked;
use millstream_api::{Batch, Diagnostic, Error, Result};

/// The place of each column of `wanted` in `have`.
///
/// # Errors
/// When one is missing: the plan has asked for too little.
pub fn places(have: &Schema, wanted: &Schema) -> Result<Vec<usize>> {
    wanted.fields().iter().map(|field| place(have, field.name())).collect()
}

/// The place of a column in a physical schema.
///
/// # Errors
/// When it is missing: the plan has asked for too little.
pub fn place(have: &Schema, name: &str) -> Result<usize> {
    have.index_of(name).map_err(|_| Error::internal(format!("the column `{name}` was planned but does not flow")))
}

/// A record batch of these columns, also where there are none.
///
/// # Errors
/// When the columns are not of the schema.
pub fn records(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// The column with its strings or bytes copied into one buffer. What is put together of many pieces would hold the buffers of all.
pub(crate) fn in_one_buffer(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8View if column.as_string_view().data_buffers().len() > 1 => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView if column.as_binary_view().data_buffers().len() > 1 => Arc::new(column.as_binary_view().gc()),
        _ => column.clone(),
    }
}

/// The columns of these rows for a snapshot, which shares them with the batch. Where they are less than half of it, what would be kept in
/// memory for them is more than a copy.
///
/// # Errors
/// When there is no such row.
pub(crate) fn sharing(records: &RecordBatch, rows: &UInt32Array) -> Result<Vec<ArrayRef>> {
    if rows.len() == records.num_rows() {
        return Ok(records.columns().to_vec());
    }
    if 2 * rows.len() < records.num_rows() {
        return Ok(Batch::plain(records.clone()).take(rows)?.records().columns().to_vec());
    }
    records.columns().iter().map(|column| picked(column, rows)).collect()
}

/// A column with one value in all rows, which batches of any length share.
pub(crate) struct Constant {
    value: i64,
    longest: Int64Array,
}

impl Constant {
    /// One of this value.
    pub(crate) fn new(value: i64) -> Constant {
        Constant { value, longest: Int64Array::from_value(value, 0) }
    }

    /// So many rows of it.
    pub(crate) fn of(&mut self, rows: usize) -> ArrayRef {
        if self.longest.len() < rows {
            self.longest = Int64Array::from_value(self.value, rows);
        }
        Arc::new(self.longest.slice(0, rows))
    }
}

/// The names of all columns.
pub fn names(schema: &Schema) -> Columns {
    schema.fields().iter().map(|field| field.name().clone()).collect()
}

/// The mistake of naming a column that is not in `schema`; the caller adds the place.
pub fn unknown_column(name: &str, schema: &Schema, stream: &str) -> Diagnostic {
    let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let list = known.join(", ");
    let help = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? `{stream}` has: {list}"),
        None => format!("`{stream}` has: {list}"),
    };
    Diagnostic::error("unknown-column", format!("`{stream}` has no column `{name}`")).help(help)
}

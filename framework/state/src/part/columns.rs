//! Columns on their way into a part: how large they are, without bytes that belong to none of their rows, and once where they would
//! be there many times over.
//!
//! Nothing here is needed to have the rows right. It is what keeps a part as large as its rows, and no larger.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray, RecordBatch, RecordBatchOptions, RunArray, StructArray};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use millstream_api::error::Result;
use millstream_api::state::picked::places_in;
use serde::{Deserialize, Serialize};

/// Bytes of a view.
const VIEW_BYTES: usize = 16;

/// Strings are copied out of their buffers when these have more than a quarter, and this much, that no row needs.
const SLACK_BYTES: usize = 4 * 1024;

/// A column that is the same as another one and not written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Twin {
    /// Its place among all columns.
    place: usize,
    /// The place of the other one, which is before it.
    of: usize,
    name: String,
    nullable: bool,
}

/// About the bytes that the rows of a batch need.
pub(super) fn size(records: &RecordBatch) -> usize {
    records.columns().iter().map(column_size).sum()
}

fn column_size(column: &ArrayRef) -> usize {
    if let Some((places, values)) = places_in(column) {
        // Their part of what all take: to look at each would cost as much as to copy it.
        return column_size(values).saturating_mul(places.len()) / values.len().max(1);
    }
    let of_list = |offsets: &[i32], values: &ArrayRef| size_of_val(offsets) + column_size(&part_of(values, offsets));
    match column.data_type() {
        DataType::Utf8View => column.len() * VIEW_BYTES + column.as_string_view().total_buffer_bytes_used(),
        DataType::BinaryView => column.len() * VIEW_BYTES + column.as_binary_view().total_buffer_bytes_used(),
        DataType::List(_) => of_list(column.as_list::<i32>().offsets(), column.as_list::<i32>().values()),
        DataType::Struct(_) => column.as_struct().columns().iter().map(column_size).sum(),
        _ => column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size()),
    }
}

/// The values of the lists that begin and end at these offsets.
fn part_of(values: &ArrayRef, offsets: &[i32]) -> ArrayRef {
    let bound = |offset: Option<&i32>| offset.and_then(|&offset| usize::try_from(offset).ok()).unwrap_or_default();
    let (from, to) = (bound(offsets.first()), bound(offsets.last()));
    values.slice(from, to - from)
}

/// The same rows without bytes of strings that belong to none of them: views share the buffers of what they were cut from.
pub(super) fn tight(records: &RecordBatch) -> Result<RecordBatch> {
    let columns = records.columns().iter().map(tight_column).collect::<Result<_>>()?;
    Ok(RecordBatch::try_new_with_options(records.schema(), columns, &rows(records.num_rows()))?)
}

fn tight_column(column: &ArrayRef) -> Result<ArrayRef> {
    let is_loose = |buffers: &[Buffer], used: usize| {
        let held: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        held > used + used / 4 + SLACK_BYTES
    };
    Ok(match column.data_type() {
        DataType::Utf8View => {
            let views = column.as_string_view();
            if is_loose(views.data_buffers(), views.total_buffer_bytes_used()) { Arc::new(views.gc()) } else { column.clone() }
        }
        DataType::BinaryView => {
            let views = column.as_binary_view();
            if is_loose(views.data_buffers(), views.total_buffer_bytes_used()) { Arc::new(views.gc()) } else { column.clone() }
        }
        DataType::List(field) if has_views(field.data_type()) => {
            let list = column.as_list::<i32>();
            let values = tight_column(&part_of(list.values(), list.offsets()))?;
            let offsets = OffsetBuffer::from_lengths(list.offsets().lengths());
            Arc::new(ListArray::try_new(field.clone(), offsets, values, list.nulls().cloned())?)
        }
        DataType::Struct(fields) if fields.iter().any(|field| has_views(field.data_type())) => {
            let columns = column.as_struct().columns().iter().map(tight_column).collect::<Result<_>>()?;
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns, column.nulls().cloned(), column.len())?)
        }
        _ => column.clone(),
    })
}

fn has_views(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8View | DataType::BinaryView => true,
        DataType::List(field) => has_views(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_views(field.data_type())),
        _ => false,
    }
}

/// Columns that are the same as one before them in all batches: of a key that is a column of the row as well, say. Whether columns of values
/// that are not all of one length are the same is seen only where they share memory.
pub(super) fn twins(batches: &[&RecordBatch]) -> Vec<Twin> {
    let Some(first) = batches.first() else { return Vec::new() };
    let same = |batch: &RecordBatch, one: usize, other: usize| {
        let (one, other) = (batch.column(one), batch.column(other));
        one.data_type() == other.data_type() && (one.to_data().ptr_eq(&other.to_data()) || have_same_bytes(one, other))
    };
    let mut twins: Vec<Twin> = Vec::new();
    for (place, field) in first.schema().fields().iter().enumerate() {
        let is_written = |of: &usize| !twins.iter().any(|twin| twin.place == *of);
        let of = (0..place).filter(is_written).find(|&of| batches.iter().all(|batch| same(batch, place, of)));
        if let Some(of) = of.filter(|_| field.metadata().is_empty()) {
            twins.push(Twin { place, of, name: field.name().clone(), nullable: field.is_nullable() });
        }
    }
    twins
}

/// Whether two columns of one type have the same values, bit for bit, and no nulls; only of types whose values are all of one length.
fn have_same_bytes(one: &ArrayRef, other: &ArrayRef) -> bool {
    one.null_count() + other.null_count() == 0 && value_bytes(one).is_some_and(|bytes| value_bytes(other) == Some(bytes))
}

/// A batch without those of its columns that are not written.
pub(super) fn without_twins(records: &RecordBatch, twins: &[Twin]) -> Result<RecordBatch> {
    let left: Vec<usize> = (0..records.num_columns()).filter(|place| !twins.iter().any(|twin| twin.place == *place)).collect();
    Ok(records.project(&left)?)
}

/// A batch with the columns that were not written; `None`: there are none like that.
pub(super) fn with_twins(records: &RecordBatch, twins: &[Twin]) -> Result<Option<RecordBatch>> {
    let mut fields: Vec<Arc<Field>> = records.schema().fields().iter().cloned().collect();
    let mut columns = records.columns().to_vec();
    for twin in twins {
        let Some(column) = columns.get(twin.of).filter(|_| twin.of < twin.place && twin.place <= columns.len()).cloned() else {
            return Ok(None);
        };
        fields.insert(twin.place, Arc::new(Field::new(&twin.name, column.data_type().clone(), twin.nullable)));
        columns.insert(twin.place, column);
    }
    let schema = Arc::new(Schema::new_with_metadata(fields, records.schema().metadata().clone()));
    Ok(Some(RecordBatch::try_new_with_options(schema, columns, &rows(records.num_rows()))?))
}

/// Batches of one schema with one value in the place of each column that has the same in all rows of all of them.
pub(super) fn shortened(batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
    if batches.iter().any(|batch| batch.num_rows() == 0) {
        return Ok(batches);
    }
    let Some(first) = batches.first() else { return Ok(batches) };
    let constant: Vec<bool> = (0..first.num_columns()).map(|place| is_constant(&batches, place)).collect();
    if !constant.contains(&true) {
        return Ok(batches);
    }
    batches.iter().map(|batch| changed(batch, |place, column| if constant[place] { once(column) } else { Ok(column.clone()) })).collect()
}

/// What [`shortened`] was given.
pub(super) fn spread(records: &RecordBatch) -> Result<RecordBatch> {
    changed(records, |_, column| match column.data_type() {
        DataType::RunEndEncoded(_, values) => Ok(cast(column, values.data_type())?),
        _ => Ok(column.clone()),
    })
}

/// The batch with other forms of its columns.
fn changed(records: &RecordBatch, form: impl Fn(usize, &ArrayRef) -> Result<ArrayRef>) -> Result<RecordBatch> {
    let columns = records.columns().iter().enumerate().map(|(place, column)| form(place, column)).collect::<Result<Vec<_>>>()?;
    let schema = records.schema();
    let fields = schema.fields().iter().zip(&columns);
    let fields: Vec<Field> = fields.map(|(field, column)| field.as_ref().clone().with_data_type(column.data_type().clone())).collect();
    let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    Ok(RecordBatch::try_new_with_options(schema, columns, &rows(records.num_rows()))?)
}

fn once(column: &ArrayRef) -> Result<ArrayRef> {
    let ends = Int32Array::from_iter_values(i32::try_from(column.len()));
    Ok(Arc::new(RunArray::<Int32Type>::try_new(&ends, &column.slice(0, 1))?))
}

/// Whether a column has the same value in all rows of these batches; only of types whose values are all of one length.
fn is_constant(batches: &[RecordBatch], place: usize) -> bool {
    let mut value: Option<Option<Vec<u8>>> = None;
    batches.iter().all(|batch| {
        let of_batch = constant_value(batch.column(place));
        let first = value.get_or_insert_with(|| of_batch.clone().unwrap_or_default());
        of_batch.is_some_and(|of_batch| of_batch == *first)
    })
}

/// The value (`None`: null) that a column has in all of its rows; `None`: they have not one.
fn constant_value(column: &ArrayRef) -> Option<Option<Vec<u8>>> {
    let width = column.data_type().primitive_width()?;
    if column.null_count() == column.len() {
        return Some(None);
    }
    let bytes = value_bytes(column)?;
    // All are the same when each is as the one before it.
    let is_constant = column.null_count() == 0 && bytes[width..] == bytes[..bytes.len() - width];
    is_constant.then(|| Some(bytes[..width].to_vec()))
}

/// The bytes of all values; only of types whose values are all of one length.
fn value_bytes(column: &ArrayRef) -> Option<Buffer> {
    let width = column.data_type().primitive_width()?;
    let data = column.to_data();
    Some(data.buffers().first()?.slice_with_length(data.offset() * width, data.len() * width))
}

pub(super) fn rows(count: usize) -> RecordBatchOptions {
    RecordBatchOptions::new().with_row_count(Some(count))
}

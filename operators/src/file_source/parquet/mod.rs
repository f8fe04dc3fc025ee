//! Parquet files: columns of row groups, of which only those are read that somebody wants.
//!
//! The thread whose turn it is only says which row group is next; whoever decodes it reads it, a page of each column at a time, so
//! that a row group need not fit into memory. Modules in reading order: [`types`] says what a column of a file is here, [`convert`]
//! makes it so, [`chunks`] lets several threads read one file.

mod chunks;
mod convert;
mod types;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use millstream_api::error::{BadRow, Error, ErrorKind, Result};
use millstream_api::panics::caught;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::Type as PhysicalType;
use parquet::schema::types::Type;

use self::chunks::SharedFile;
use self::convert::{Converted, convert, shown};
pub(crate) use self::types::{readable, sql_type};
use super::cannot_read;
use super::paths::InputFile;
use crate::decode::schema::{ColumnSpec, arrow_schema};

/// How Parquet files are read.
#[derive(Clone, Debug)]
pub(crate) struct ParquetShape {
    /// The columns that are wanted.
    pub(crate) wanted: Vec<ColumnSpec>,
}

/// A file whose row groups are given one after the other.
pub(crate) struct ParquetFile {
    opened: Arc<Opened>,
    next_group: usize,
    /// Rows of the next row group that were read before.
    skip_rows: usize,
    given_bytes: u64,
}

/// What is known of an open file.
struct Opened {
    file: SharedFile,
    name: Arc<str>,
    metadata: ArrowReaderMetadata,
    projection: ProjectionMask,
    /// For each wanted column, which of the projected ones it is.
    columns: Vec<usize>,
    /// Rows before each row group.
    rows_before: Vec<u64>,
}

/// A row group to be read.
pub(crate) struct RowGroup {
    opened: Arc<Opened>,
    index: usize,
    skip_rows: usize,
}

/// Rows of a row group.
pub(crate) struct GroupRows {
    pub(crate) name: Arc<str>,
    /// The row group, and how many rows of it are read with these.
    pub(crate) row_group: usize,
    pub(crate) end_row: usize,
    pub(crate) records: RecordBatch,
    pub(crate) bad: Vec<BadRow>,
}

/// The columns of a file, as Arrow has them.
///
/// # Errors
/// When it can't be read or is no Parquet.
pub(crate) fn schema_of(file: &InputFile) -> Result<SchemaRef> {
    Ok(load(file)?.1.schema().clone())
}

/// Why a column of the file can't be read as declared; none when it can.
pub(crate) fn mismatch(schema: &Schema, wanted: &ColumnSpec) -> Option<(&'static str, String)> {
    let name = wanted.both_names();
    let Ok(field) = schema.field_with_name(wanted.input_name()) else {
        return Some(("missing-column", format!("has no column {name}")));
    };
    if readable(field.data_type(), wanted) {
        return None;
    }
    let is = sql_type(field.data_type()).map_or_else(|| field.data_type().to_string(), |found| types::sql_name(&found));
    Some(("type-mismatch", format!("has {name} as {is}, which cannot be read as {}", types::declared(wanted))))
}

impl ParquetFile {
    /// At the first row group.
    ///
    /// # Errors
    /// When it can't be read, is no Parquet, or has other columns.
    pub(crate) fn open(file: &InputFile, shape: &ParquetShape) -> Result<ParquetFile> {
        let (shared, metadata) = load(file)?;
        let schema = metadata.schema().clone();
        for wanted in &shape.wanted {
            if let Some((_, reason)) = mismatch(&schema, wanted) {
                return Err(
                    Error::new(ErrorKind::Io, format!("{} {reason}", file.name)).help("all files of a source must have its columns")
                );
            }
        }
        let mut roots: Vec<usize> = shape.wanted.iter().filter_map(|wanted| schema.index_of(wanted.input_name()).ok()).collect();
        let places: Vec<usize> = roots.clone();
        roots.sort_unstable();
        let columns = places.iter().filter_map(|place| roots.binary_search(place).ok()).collect();
        let projection = ProjectionMask::roots(metadata.parquet_schema(), roots);
        let groups = metadata.metadata().row_groups();
        let rows_before = groups.iter().scan(0, |rows, group| {
            let before = *rows;
            *rows += u64::try_from(group.num_rows()).unwrap_or_default();
            Some(before)
        });
        let rows_before = rows_before.collect();
        let opened = Opened { file: shared, name: file.name.clone(), metadata, projection, columns, rows_before };
        Ok(ParquetFile { opened: Arc::new(opened), next_group: 0, skip_rows: 0, given_bytes: 0 })
    }

    /// At a row of a row group.
    ///
    /// # Errors
    /// As [`ParquetFile::open`], and when there is no such row.
    pub(crate) fn resume(file: &InputFile, shape: &ParquetShape, row_group: usize, row: usize) -> Result<ParquetFile> {
        let opened = ParquetFile::open(file, shape)?;
        let groups = opened.opened.metadata.metadata().row_groups();
        let rows = groups.get(row_group).map_or(0, |group| usize::try_from(group.num_rows()).unwrap_or_default());
        if row > rows {
            let message = format!("`{}` has {rows} rows in row group {row_group}, but {row} had been read", file.name);
            return Err(Error::new(ErrorKind::State, message).help("the file was replaced; start afresh with --fresh"));
        }
        Ok(ParquetFile { next_group: row_group, skip_rows: row, ..opened })
    }

    /// The next row group; none at the end.
    pub(crate) fn next(&mut self) -> Option<RowGroup> {
        let group = self.opened.metadata.metadata().row_groups().get(self.next_group)?;
        self.given_bytes += u64::try_from(group.compressed_size()).unwrap_or_default();
        let next = RowGroup { opened: self.opened.clone(), index: self.next_group, skip_rows: std::mem::take(&mut self.skip_rows) };
        self.next_group += 1;
        Some(next)
    }

    /// Bytes of the row groups that were given.
    pub(crate) fn given_bytes(&self) -> u64 {
        self.given_bytes
    }
}

impl RowGroup {
    /// Reads it, and hands on its rows in batches until `each` says that no more are wanted.
    ///
    /// # Errors
    /// When the file is damaged or can't be read.
    pub(crate) fn read(&self, shape: &ParquetShape, batch_rows: usize, each: &mut dyn FnMut(GroupRows) -> bool) -> Result<()> {
        let schema = arrow_schema(&shape.wanted);
        let mut reader = guarded(&self.opened.name, || self.reader(batch_rows))?;
        let mut end_row = self.skip_rows;
        loop {
            let batch = guarded(&self.opened.name, || reader.next().transpose().map_err(|error| cannot_read(&self.opened.name, error)))?;
            let Some(batch) = batch else { return Ok(()) };
            let first_row = self.opened.rows_before.get(self.index).map_or(0, |before| before + end_row as u64);
            end_row += batch.num_rows();
            let (records, bad) = self.opened.rows(&batch, shape, &schema, first_row)?;
            if !each(GroupRows { name: self.opened.name.clone(), row_group: self.index, end_row, records, bad }) {
                return Ok(());
            }
        }
    }

    fn reader(&self, batch_rows: usize) -> Result<ParquetRecordBatchReader> {
        let Opened { file, metadata, projection, name, .. } = &*self.opened;
        ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), metadata.clone())
            .with_row_groups(vec![self.index])
            .with_projection(projection.clone())
            .with_batch_size(batch_rows.max(1))
            .with_offset(self.skip_rows)
            .build()
            .map_err(|error| cannot_read(name, error))
    }
}

impl Opened {
    /// The rows of a batch as they were declared, and those that cannot be so.
    fn rows(&self, batch: &RecordBatch, shape: &ParquetShape, schema: &SchemaRef, first_row: u64) -> Result<(RecordBatch, Vec<BadRow>)> {
        let mut reasons: Vec<(usize, String)> = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(shape.wanted.len());
        for (wanted, &index) in shape.wanted.iter().zip(&self.columns) {
            let column = batch.column(index);
            let Converted { array, failed } = convert(column, &wanted.column_type)?;
            let expected = types::declared(wanted);
            reasons
                .extend(failed.iter().map(|&row| (row, format!("`{}`: expected {expected}, found {}", wanted.name, shown(column, row)))));
            if !wanted.column_type.nullable && column.logical_null_count() > 0 {
                let nulls = (0..batch.num_rows()).filter(|&row| array.is_null(row) && failed.binary_search(&row).is_err());
                reasons.extend(nulls.map(|row| (row, format!("`{}` is null, but the column is `not null`", wanted.name))));
            }
            arrays.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        if reasons.is_empty() {
            return Ok((RecordBatch::try_new_with_options(schema.clone(), arrays, &options)?, Vec::new()));
        }
        reasons.sort_by_key(|(row, _)| *row);
        reasons.dedup_by_key(|(row, _)| *row);
        let mut good = vec![true; batch.num_rows()];
        reasons.iter().for_each(|(row, _)| good[*row] = false);
        let place = |row: usize| format!("{}: row {}", self.name, first_row + row as u64 + 1);
        let bad = reasons.into_iter().map(|(row, reason)| BadRow::of_row(reason, place(row), batch, row)).collect();
        // Until the bad rows are gone, nulls may stand in columns that have none.
        let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<_>>();
        let all = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)?;
        let kept = filter_record_batch(&all, &BooleanArray::from(good))?;
        let options = RecordBatchOptions::new().with_row_count(Some(kept.num_rows()));
        Ok((RecordBatch::try_new_with_options(schema.clone(), kept.columns().to_vec(), &options)?, bad))
    }
}

/// Opens a file and reads its footer. Texts and bytes are asked for as views, as they travel here, and old timestamps as microseconds.
fn load(file: &InputFile) -> Result<(SharedFile, ArrowReaderMetadata)> {
    let failed =
        |error: &dyn std::fmt::Display| cannot_read(&file.name, error).help("is it a Parquet file, and whole? Its footer is written last");
    let shared = SharedFile::open(&file.path).map_err(|error| cannot_read(&file.name, error))?;
    guarded(&file.name, || {
        let found = ArrowReaderMetadata::load(&shared, ArrowReaderOptions::new()).map_err(|error| failed(&error))?;
        let kinds = found.parquet_schema().root_schema().get_fields();
        let fields = found.schema().fields().iter().zip(kinds).map(|(field, kind)| match asked_for(field.data_type(), kind) {
            Some(other) => field.as_ref().clone().with_data_type(other),
            None => field.as_ref().clone(),
        });
        let schema = Schema::new_with_metadata(fields.collect::<Vec<_>>(), found.schema().metadata().clone());
        let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
        let metadata = ArrowReaderMetadata::try_new(found.metadata().clone(), options).map_err(|error| failed(&error))?;
        Ok((shared, metadata))
    })
}

/// As what a column is asked for when that is not what it is found as.
fn asked_for(found: &DataType, kind: &Type) -> Option<DataType> {
    // Nanoseconds since 1970 would wrap around in 2262, and Spark writes the year 9999 where it has no date.
    if kind.is_primitive() && kind.get_physical_type() == PhysicalType::INT96 {
        return Some(DataType::Timestamp(TimeUnit::Microsecond, None));
    }
    as_view(found)
}

fn as_view(found: &DataType) -> Option<DataType> {
    match found {
        DataType::Utf8 | DataType::LargeUtf8 => Some(DataType::Utf8View),
        DataType::Binary | DataType::LargeBinary => Some(DataType::BinaryView),
        DataType::Dictionary(_, values) => as_view(values),
        _ => None,
    }
}

/// The library promises errors for files that are damaged, but a file comes from outside: should it panic all the same, that is the
/// failure of this file.
fn guarded<T>(name: &str, read: impl FnOnce() -> Result<T>) -> Result<T> {
    caught(read).unwrap_or_else(|| Err(cannot_read(name, "the file is damaged")))
}

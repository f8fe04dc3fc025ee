//! Rows as Apache Parquet.
//!
//! A row group is encoded in memory and written when it is full, so memory is bounded by one row group whatever the file's
//! size. The types are Arrow's own, so a timestamp stays one in UTC and a decimal keeps all its digits.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Fields, Schema};
use millstream_api::panics::caught;
use millstream_api::types::SqlName;
use millstream_api::{Diagnostic, Diagnostics, Error, Result};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::{ArrowWriter, add_encoded_arrow_schema_to_metadata};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::WriterProperties;
use tempfile::NamedTempFile;

use super::contents::{Contents, Failure};
use super::packing::Compression;

fn codec(compression: Compression) -> parquet::basic::Compression {
    match compression {
        Compression::Zstd => parquet::basic::Compression::ZSTD(Default::default()),
        Compression::Snappy => parquet::basic::Compression::SNAPPY,
        Compression::Gzip => parquet::basic::Compression::GZIP(Default::default()),
        Compression::None => parquet::basic::Compression::UNCOMPRESSED,
    }
}

/// What the files say of who has written them.
const CREATED_BY: &str = "millstream";

/// Whether this is a Parquet file that Millstream has written.
pub(super) fn is_own(path: &Path) -> bool {
    let read = || ParquetMetaDataReader::new().parse_and_finish(&File::open(path).ok()?).ok();
    let metadata = caught(read).flatten();
    metadata.is_some_and(|metadata| metadata.file_metadata().created_by() == Some(CREATED_BY))
}

/// Rows of a row group, at most: the writer's default, which readers expect.
const ROW_GROUP_ROWS: usize = 1 << 20;

/// Memory of the row group that is being encoded, from which on it is written.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// Looks for columns that Parquet has no type for.
///
/// # Errors
/// `type-mismatch` for each.
pub(super) fn check(names: &[String], schema: &Schema) -> Result<(), Diagnostics> {
    let mut found = Diagnostics::default();
    for field in names.iter().filter_map(|name| schema.field_with_name(name).ok()) {
        if let Some(part) = without_type(field.data_type()) {
            let message = format!("`{}` has the type {}, which parquet files cannot hold", field.name(), SqlName(part));
            let help = format!(
                "cast it in a `select` before, such as \"cast({} as string) as {}\", or leave it out of `columns`",
                field.name(),
                field.name()
            );
            found.push(Diagnostic::error("type-mismatch", message).key("input").help(help));
        }
    }
    found.into_result(())
}

/// The part of a type that Parquet has nothing for.
fn without_type(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::Interval(_) => Some(data_type),
        DataType::List(item) => without_type(item.data_type()),
        DataType::Struct(fields) => fields.iter().find_map(|field| without_type(field.data_type())),
        _ => None,
    }
}

/// The types that the file says it was written from: with plain texts and bytes, since many readers can do little with views. The
/// bytes in the file are the same.
fn without_views(schema: &Schema) -> Schema {
    Schema::new_with_metadata(schema.fields().iter().map(plain).collect::<Fields>(), schema.metadata().clone())
}

fn plain(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(item) => DataType::List(plain(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain).collect()),
        _ => return field.clone(),
    };
    Arc::new(field.as_ref().clone().with_data_type(data_type))
}

/// A Parquet file that is being written.
pub(super) struct Parquet {
    writer: ArrowWriter<NamedTempFile>,
}

impl Parquet {
    /// A file of these columns.
    ///
    /// # Errors
    /// When a column is of a type that [`check`] refuses.
    pub(super) fn new(file: NamedTempFile, schema: &Arc<Schema>, compression: Compression) -> Result<Self> {
        let mut properties = WriterProperties::builder()
            .set_compression(codec(compression))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_created_by(CREATED_BY.to_owned())
            .build();
        add_encoded_arrow_schema_to_metadata(&without_views(schema), &mut properties);
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(file, schema.clone(), options).map_err(Error::internal)?;
        Ok(Parquet { writer })
    }
}

impl Contents for Parquet {
    fn write(&mut self, records: &RecordBatch) -> Result<(), Failure> {
        self.writer.write(records)?;
        if self.writer.memory_size() >= ROW_GROUP_BYTES {
            self.writer.flush()?;
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<NamedTempFile, Failure> {
        Ok(self.writer.into_inner()?)
    }
}

impl From<ParquetError> for Failure {
    /// Types were checked when the file was planned, so what can still go wrong is the disk.
    fn from(cause: ParquetError) -> Self {
        Failure::Io(cause.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use arrow::array::{ArrayRef, AsArray, Decimal128Array, ListArray, TimestampMicrosecondArray};
    use arrow::compute::concat_batches;
    use arrow::datatypes::Int64Type;
    use millstream_api::operator::Fates;
    use millstream_api::sink::Finish;
    use millstream_api::types::UTC;
    use millstream_api::view::Views;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use serde_json::json;

    use super::super::FileSinkOptions;
    use super::*;
    use crate::decode::schema::{ColumnSpec, arrow_schema};
    use crate::testing::{Node, batch, ints, record_rows, schema, sink, stream, texts, weighed};

    fn read(path: &Path) -> RecordBatch {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
        let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
        concat_batches(&batches[0].schema(), &batches).unwrap()
    }

    #[test]
    fn every_type_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let times = TimestampMicrosecondArray::from(vec![-1, 1_357_035_420_500_000]).with_timezone(UTC);
        let decimals = Decimal128Array::from(vec![Some(-1_205), None]).with_precision_and_scale(38, 3).unwrap();
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(1), None]), None]);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("name", texts(["é", ""])),
            ("n", ints([Some(i64::MIN), None])),
            ("at", Arc::new(times)),
            ("price", Arc::new(decimals)),
            ("items", Arc::new(lists)),
        ];
        let rows = batch(&columns);
        for compression in ["zstd", "snappy", "gzip", "none"] {
            let options = json!({ "path": "rows.parquet", "compression": compression });
            let mut file = sink::<FileSinkOptions>(options, stream(rows.schema().clone()), folder.path(), &Views::default());
            file.write(rows.clone(), &mut Fates::default()).unwrap();
            assert!(!folder.path().join("rows.parquet").exists());
            file.finish(Finish::End).unwrap();
            let found = read(&folder.path().join("rows.parquet"));
            assert_eq!(record_rows(&found), record_rows(rows.records()), "{compression}");
            assert_eq!(found.schema().field(2).data_type(), rows.schema().field(2).data_type());
            std::fs::remove_file(folder.path().join("rows.parquet")).unwrap();
        }
    }

    #[test]
    fn readers_find_plain_texts_and_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let columns = [
            ("a", "string not null"),
            ("b", "bytes"),
            ("c", "list<string>"),
            ("d", "struct<x: bytes, y: list<struct<z: string>>>"),
            ("e", "json"),
            ("f", "date"),
        ];
        let input = stream(arrow_schema(&columns.map(|(name, text)| ColumnSpec::parse(name, text).unwrap())));
        let written = input.schema.clone();
        sink::<FileSinkOptions>(json!({ "path": "rows.parquet" }), input, folder.path(), &Views::default()).finish(Finish::End).unwrap();
        let file = File::open(folder.path().join("rows.parquet")).unwrap();
        let found = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().schema().clone();
        let types: Vec<String> = found.fields().iter().map(|field| format!("{:?}", field.data_type())).collect();
        assert!(types.iter().all(|name| !name.contains("View")), "{types:?}");
        assert_eq!((found.field(0).data_type(), found.field(1).data_type()), (&DataType::Utf8, &DataType::Binary));
        assert!(!found.field(0).is_nullable());
        assert_eq!(found.field(4).metadata(), written.field(4).metadata());
    }

    #[test]
    fn a_failed_run_leaves_nothing_and_an_empty_one_the_columns() {
        let folder = tempfile::tempdir().unwrap();
        let options = || json!({ "path": "rows", "format": "parquet" });
        let input = || stream(schema("a bigint, b string"));
        let mut failed = sink::<FileSinkOptions>(options(), input(), folder.path(), &Views::default());
        failed.write(batch(&[("a", ints([Some(1)])), ("b", texts(["x"]))]), &mut Fates::default()).unwrap();
        drop(failed);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        sink::<FileSinkOptions>(options(), input(), folder.path(), &Views::default()).finish(Finish::Halt).unwrap();
        let file = SerializedFileReader::new(File::open(folder.path().join("rows")).unwrap()).unwrap();
        assert_eq!(file.metadata().file_metadata().num_rows(), 0);
        assert_eq!(file.metadata().file_metadata().schema_descr().num_columns(), 2);
    }

    #[test]
    fn row_groups_are_written_when_they_are_large() {
        let folder = tempfile::tempdir().unwrap();
        let file = NamedTempFile::new_in(folder.path()).unwrap();
        let wide = |seed: u64| -> RecordBatch {
            // Text that neither a dictionary nor a compression makes small.
            let text = |row: u64| {
                (0..64)
                    .map(|i| format!("{:016x}", (seed * 1000 + row * 64 + i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
                    .collect::<String>()
            };
            let values: ArrayRef = Arc::new((0..1000).map(|row| Some(text(row))).collect::<arrow::array::StringViewArray>());
            batch(&[("text", values)]).records().clone()
        };
        let mut parquet = Box::new(Parquet::new(file, &wide(0).schema(), Compression::None).unwrap());
        let mut most = 0;
        for seed in 0..150 {
            parquet.write(&wide(seed)).map_err(|_| "failed").unwrap();
            most = most.max(parquet.writer.memory_size());
        }
        assert!(most < ROW_GROUP_BYTES + (8 << 20), "{most}");
        let file = parquet.close().map_err(|_| "failed").unwrap();
        let reader = SerializedFileReader::new(file.into_file()).unwrap();
        assert!(reader.metadata().num_row_groups() >= 2, "{}", reader.metadata().num_row_groups());
        assert_eq!(reader.metadata().file_metadata().num_rows(), 150_000);
    }

    #[test]
    fn changes_have_their_weight_and_intervals_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let updating = millstream_api::Stream { updating: true, ..stream(schema("n bigint")) };
        let options = json!({ "path": "rows.PARQUET", "changes": true });
        let mut file = sink::<FileSinkOptions>(options, updating, folder.path(), &Views::default());
        file.write(weighed(batch(&[("n", ints([Some(5), Some(5)]))]), &[1, -1]), &mut Fates::default()).unwrap();
        file.finish(Finish::End).unwrap();
        let found = read(&folder.path().join("rows.PARQUET"));
        assert_eq!(found.column(1).as_primitive::<arrow::datatypes::Int8Type>().values(), &[1, -1]);
        let mistakes = Node::mistakes::<FileSinkOptions>(
            json!({ "path": "rows.parquet" }),
            vec![stream(schema("a bigint, b interval, c list<interval>"))],
        );
        let shown: Vec<&str> = mistakes.iter().map(|(_, _, message)| message.as_str()).collect();
        assert_eq!(
            shown,
            ["`b` has the type interval, which parquet files cannot hold", "`c` has the type interval, which parquet files cannot hold"]
        );
    }
}

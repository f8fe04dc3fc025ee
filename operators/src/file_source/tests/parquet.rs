//! Parquet files.

use std::fs::File;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::{Compression as Packing, GzipLevel, ZstdLevel};
use ::parquet::data_type::{Int96, Int96Type};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use arrow::array::{ArrayRef, Int64Array, ListArray, StringArray, StructArray, TimestampNanosecondArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Int16Type};
use millstream_api::types::json_field;

use super::*;

/// Writes columns in row groups of this many rows.
fn write(path: &Path, columns: &[(&str, ArrayRef)], group_rows: usize, packing: Packing) {
    let records = RecordBatch::try_from_iter_with_nullable(columns.iter().map(|(name, column)| (*name, column.clone(), true))).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).set_compression(packing).build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), records.schema(), Some(properties)).unwrap();
    writer.write(&records).unwrap();
    writer.close().unwrap();
}

fn numbers(range: std::ops::Range<i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter(range.map(|n| (n % 10 != 7).then_some(n))))
}

fn texts(range: std::ops::Range<i64>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(range.map(|n| format!("text {n}"))))
}

/// Three files, of 95, 0 and 30 rows, with columns in another order and one more than are declared.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, range: std::ops::Range<i64>, packing| {
        let columns = [("t", texts(range.clone())), ("more", numbers(range.clone())), ("n", numbers(range))];
        write(&folder.path().join(name), &columns, 20, packing);
    };
    file("a.parquet", 0..95, Packing::SNAPPY);
    file("b.parquet", 0..0, Packing::GZIP(GzipLevel::default()));
    file("c.parquet", 95..125, Packing::ZSTD(ZstdLevel::default()));
    folder
}

fn of_type(name: &str, text: &str) -> ColumnSpec {
    ColumnSpec::parse(name, text).unwrap()
}

fn factory_of(folder: &Path, path: &str, columns: &[ColumnSpec]) -> FileFactory {
    FileFactory::new(folder.to_owned(), path.to_owned(), list(folder, path).unwrap(), Format::Parquet, columns.to_vec())
}

#[test]
fn rows_come_in_file_order_and_go_on_exactly_where_a_batch_ended() {
    let folder = folder();
    let columns = [of_type("n", "bigint not null"), of_type("t", "string")];
    let factory = factory_of(folder.path(), "*.parquet", &columns);
    let schema = arrow_schema(&columns);
    let expected: Vec<i64> = (0..125).filter(|n| n % 10 != 7).collect();
    for workers in [1, 3] {
        for batch_rows in [1, 7, 1000] {
            let whole = read_all(&mut *factory.make(&context(&schema, workers, batch_rows)).unwrap()).unwrap();
            assert_eq!(whole.numbers, expected);
            assert!(whole.rows.iter().all(|rows| (1..=batch_rows).contains(rows)));
            let places: Vec<&str> = whole.bad.iter().map(|bad| bad.place.as_str()).collect();
            assert_eq!(places[..3], ["a.parquet: row 8", "a.parquet: row 18", "a.parquet: row 28"]);
            assert_eq!(whole.bad[9].place, "c.parquet: row 3");
            assert_eq!(whole.bad[9].reason, "`n` is null, but the column is `not null`");
            assert_eq!(whole.bad[9].raw, "{\"t\":\"text 97\",\"n\":null}");
            for (rows, bad, position) in whole.stands.iter().step_by(4) {
                let mut context = context(&schema, workers, 9);
                context.positions = vec![(0, position.clone())];
                let rest = read_all(&mut *factory.make(&context).unwrap()).unwrap();
                assert_eq!((&rest.numbers[..], &rest.bad[..]), (&whole.numbers[*rows..], &whole.bad[*bad..]), "{position:?}");
            }
        }
    }
}

#[test]
fn no_column_is_read_that_nobody_wants() {
    let folder = folder();
    let factory = factory_of(folder.path(), "a.parquet", &[of_type("n", "smallint"), of_type("t", "string")]);
    let mut source = factory.make(&context(&Schema::empty(), 1, 1000)).unwrap();
    let mut rows = 0;
    while let Next::Rows(batch) = source.next(FOREVER).unwrap() {
        assert_eq!(batch.parts[0].records.num_columns(), 0);
        rows += batch.parts[0].records.num_rows();
    }
    assert_eq!(rows, 95);
}

#[test]
fn values_that_do_not_fit_are_bad_rows() {
    let folder = tempfile::tempdir().unwrap();
    let values = Arc::new(Int64Array::from(vec![1, 40_000, -3]));
    write(&folder.path().join("in.parquet"), &[("n", values)], 10, Packing::UNCOMPRESSED);
    let columns = [of_type("n", "smallint")];
    let factory = factory_of(folder.path(), "in.parquet", &columns);
    let mut source = factory.make(&context(&arrow_schema(&columns), 1, 10)).unwrap();
    let Next::Rows(rows) = source.next(FOREVER).unwrap() else { panic!("no rows") };
    assert_eq!(rows.parts[0].records.column(0).as_primitive::<Int16Type>().values().as_ref(), [1, -3]);
    assert_eq!((rows.bad[0].reason.as_str(), rows.bad[0].raw.as_str()), ("`n`: expected smallint, found 40000", "{\"n\":40000}"));
}

#[test]
fn columns_and_types_are_those_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let lists = ListArray::from_iter_primitive::<arrow::datatypes::UInt32Type, _, _>([Some(vec![Some(1), None]), None]);
    let times = TimestampNanosecondArray::from(vec![1_500, -1]).with_timezone("UTC");
    let clock = arrow::array::Time64NanosecondArray::from(vec![1, 2]);
    let columns: [(&str, ArrayRef); 4] =
        [("at", Arc::new(times)), ("tags", Arc::new(lists)), ("clock", Arc::new(clock)), ("not a name", texts(0..2))];
    write(&folder.path().join("in.parquet"), &columns, 10, Packing::LZ4_RAW);
    let plan = plan(folder.path(), serde_json::json!({ "path": "in.parquet", "format": "parquet" })).unwrap();
    let inferred = [of_type("at", "timestamp"), of_type("tags", "list<bigint>"), of_type("not_a_name", "string from 'not a name'")];
    assert_eq!(plan.outputs[0].stream.schema, arrow_schema(&inferred));
    let warnings: Vec<&str> = plan.warnings.0.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(
        warnings,
        [
            "`clock` of the input is left out, because there is no type for its Time64(ns)",
            "`not a name` of the input, which cannot be a column name, is the column `not_a_name`"
        ]
    );
    let Make::Source(factory) = &plan.make else { panic!("no source") };
    let mut source = factory.make(&context(&plan.outputs[0].stream.schema, 1, 10)).unwrap();
    let Next::Rows(rows) = source.next(FOREVER).unwrap() else { panic!("no rows") };
    let shown: Vec<String> = (0..2).map(|row| millstream_api::error::row_as_json(&rows.parts[0].records, row)).collect();
    assert_eq!(
        shown,
        [
            "{\"at\":\"1970-01-01T00:00:00.000001Z\",\"tags\":[1,null],\"not_a_name\":\"text 0\"}",
            "{\"at\":\"1969-12-31T23:59:59.999999Z\",\"tags\":null,\"not_a_name\":\"text 1\"}"
        ]
    );
}

#[test]
fn json_stays_json_within_a_list_and_a_struct() {
    let folder = tempfile::tempdir().unwrap();
    let values: ArrayRef = Arc::new(StringArray::from(vec![r#"{"a":1}"#, "[2]"]));
    let field = |name| Arc::new(json_field(Field::new(name, DataType::Utf8, true)));
    let items = ListArray::new(field("element"), OffsetBuffer::new(vec![0, 2].into()), values.clone(), None);
    let inside = StructArray::new(vec![field("v")].into(), vec![values.slice(0, 1)], None);
    let columns: [(&str, ArrayRef); 2] = [("items", Arc::new(items)), ("inside", Arc::new(inside))];
    write(&folder.path().join("in.parquet"), &columns, 10, Packing::UNCOMPRESSED);
    let plan = plan(folder.path(), serde_json::json!({ "path": "in.parquet", "format": "parquet" })).unwrap();
    let inferred = [of_type("items", "list<json>"), of_type("inside", "struct<v: json>")];
    assert_eq!(plan.outputs[0].stream.schema, arrow_schema(&inferred));
    let Make::Source(factory) = &plan.make else { panic!("no source") };
    let mut source = factory.make(&context(&plan.outputs[0].stream.schema, 1, 10)).unwrap();
    let Next::Rows(rows) = source.next(FOREVER).unwrap() else { panic!("no rows") };
    let row = crate::encode::json::row_text(&rows.parts[0].records, 0).unwrap();
    assert_eq!(row, r#"{"items":[{"a":1},[2]],"inside":{"v":{"a":1}}}"#);
}

#[test]
fn old_timestamps_reach_beyond_the_year_2262() {
    let folder = tempfile::tempdir().unwrap();
    let file = File::create(folder.path().join("in.parquet")).unwrap();
    let schema = Arc::new(parse_message_type("message m { required int96 at; }").unwrap());
    let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    // A second after midnight of the Julian days of 1970-01-01, 9999-12-31 and 0001-01-01.
    let times = [2_440_588, 5_373_484, 1_721_426].map(|day| {
        let mut time = Int96::new();
        time.set_data(1_000_000_000, 0, day);
        time
    });
    column.typed::<Int96Type>().write_batch(&times, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    let plan = plan(folder.path(), serde_json::json!({ "path": "in.parquet", "format": "parquet" })).unwrap();
    let Make::Source(factory) = &plan.make else { panic!("no source") };
    let mut source = factory.make(&context(&plan.outputs[0].stream.schema, 1, 10)).unwrap();
    let Next::Rows(rows) = source.next(FOREVER).unwrap() else { panic!("no rows") };
    let shown: Vec<String> = (0..3).map(|row| millstream_api::error::row_as_json(&rows.parts[0].records, row)).collect();
    assert_eq!(shown, ["1970-01-01", "9999-12-31", "0001-01-01"].map(|day| format!("{{\"at\":\"{day}T00:00:01Z\"}}")));
}

#[test]
fn columns_that_do_not_match_are_mistakes_of_the_file() {
    let folder = folder();
    let codes = |options: serde_json::Value| -> Vec<(&str, String)> {
        plan(folder.path(), options).err().unwrap().0.into_iter().map(|found| (found.code, found.message)).collect()
    };
    let schema = serde_json::json!({ "m": "bigint", "n": "string", "t": "timestamp(ms)" });
    assert_eq!(
        codes(serde_json::json!({ "path": "a.parquet", "format": "parquet", "schema": schema })),
        [
            ("missing-column", "`a.parquet` has no column `m`".to_owned()),
            ("type-mismatch", "`a.parquet` has `n` as bigint, which cannot be read as string".to_owned()),
            ("type-mismatch", "`a.parquet` has `t` as string, which cannot be read as timestamp(ms)".to_owned())
        ]
    );
    let options = serde_json::json!({ "path": "a.parquet", "format": "parquet", "compression": "gzip", "header": true, "follow": true });
    assert_eq!(codes(options).iter().map(|(code, _)| *code).collect::<Vec<_>>(), ["unused-key", "unused-key", "bad-value"]);
    // A file behind the first is looked at when it is opened.
    write(&folder.path().join("d.parquet"), &[("n", texts(0..3)), ("t", texts(0..3))], 10, Packing::SNAPPY);
    let factory = factory_of(folder.path(), "[cd].parquet", &columns());
    let mut source = factory.make(&context(&arrow_schema(&columns()), 1, 1000)).unwrap();
    let error = read_all(&mut *source).unwrap_err();
    assert_eq!(error.message(), "d.parquet has `n` as string, which cannot be read as bigint");
}

/// Reproducible numbers: Knuth's MMIX generator.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

#[test]
fn a_damaged_file_is_an_error_that_names_it() {
    let folder = folder();
    let path = folder.path().join("a.parquet");
    let bytes = std::fs::read(&path).unwrap();
    // The library panics on some of these; whatever it does, it is the failure of this file.
    let mut chance = Chance(1);
    for _ in 0..300 {
        let mut bytes = bytes.clone();
        for _ in 0..=chance.below(3) {
            let at = chance.below(bytes.len());
            bytes[at] = [0, 0xff, bytes[at] ^ 0x55, chance.below(256) as u8][chance.below(4)];
        }
        bytes.truncate(bytes.len() - chance.below(8) / 7 * chance.below(bytes.len()));
        std::fs::write(&path, &bytes).unwrap();
        let factory = factory_of(folder.path(), "a.parquet", &columns());
        let read = factory.make(&context(&arrow_schema(&columns()), 2, 50)).and_then(|mut source| read_all(&mut *source));
        if let Err(error) = read {
            assert!(error.message().starts_with("cannot read a.parquet: ") || error.message().starts_with("a.parquet has"), "{error}");
        }
    }
    std::fs::write(&path, "{\"n\": 1}\n").unwrap();
    let found = plan(folder.path(), serde_json::json!({ "path": "a.parquet", "format": "parquet" })).err().unwrap();
    assert_eq!(found.0[0].code, "cannot-read");
}

#[test]
fn a_position_of_another_format_or_file_is_refused() {
    let folder = folder();
    let factory = factory_of(folder.path(), "a.parquet", &columns());
    let make = |text: &str| {
        let mut context = context(&arrow_schema(&columns()), 1, 10);
        context.positions = vec![(0, Position(text.to_owned()))];
        factory.make(&context).err().unwrap().message().to_owned()
    };
    assert_eq!(make("{\"file\":\"a.parquet\",\"offset\":0,\"line\":1,\"rows\":0}"), "`a.parquet` was being read in another format");
    assert_eq!(
        make("{\"file\":\"a.parquet\",\"row_group\":4,\"row\":16,\"rows\":0}"),
        "`a.parquet` has 15 rows in row group 4, but 16 had been read"
    );
}

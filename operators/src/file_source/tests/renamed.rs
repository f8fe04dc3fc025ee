//! Columns that the input calls otherwise, in each format.

use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::Schema;
use millstream_api::diagnostic::Severity;
use millstream_api::error::row_as_json;
use serde_json::{Value, json};

use super::*;

/// The rows of a source as JSON, a bad one by its reason.
fn rows(plan: &Plan) -> Vec<String> {
    let Make::Source(factory) = &plan.make else { panic!("no source") };
    let mut source = factory.make(&context(&plan.outputs[0].stream.schema, 1, 100)).unwrap();
    let Next::Rows(rows) = source.next(FOREVER).unwrap() else { panic!("no rows") };
    let records = &rows.parts[0].records;
    let good = (0..records.num_rows()).map(|row| row_as_json(records, row));
    good.chain(rows.bad.into_iter().map(|bad| bad.reason)).collect()
}

const JSON: &str =
    "{\"@timestamp\":1,\"user.id\":\"a\",\"plain\":true}\n{\"user.id\":\"b\",\"plain\":false,\"@timestamp\":2}\n{\"@timestamp\":\"x\"}\n";

/// A folder with the same in each format.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("in.ndjson", JSON);
    write("in.csv", "@timestamp,user.id,plain\n1,a,true\n2,b,false\nx,c,true\n");
    write(
        "changes.ndjson",
        "{\"op\":\"c\",\"after\":{\"@timestamp\":1,\"user.id\":\"a\"}}\n{\"op\":\"d\",\"before\":{\"@timestamp\":1}}\n",
    );
    let columns: [(&str, ArrayRef); 2] =
        [("@timestamp", Arc::new(Int64Array::from(vec![1, 2]))), ("user.id", Arc::new(StringArray::from(vec!["a", "b"])))];
    let records = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer =
        ArrowWriter::try_new(std::fs::File::create(folder.path().join("in.parquet")).unwrap(), records.schema(), None).unwrap();
    writer.write(&records).unwrap();
    writer.close().unwrap();
    folder
}

fn declared(path: &str, format: &str) -> Value {
    let schema = json!({ "at": "bigint not null from '@timestamp'", "user": "string from 'user.id'" });
    json!({ "path": path, "format": format, "schema": schema })
}

#[test]
fn a_declared_column_can_have_another_name_than_in_the_input() {
    let folder = folder();
    let read = |path: &str, format: &str| rows(&plan(folder.path(), declared(path, format)).unwrap());
    let good = ["{\"at\":1,\"user\":\"a\"}", "{\"at\":2,\"user\":\"b\"}"];
    let bad = |found: &str| format!("`at`: expected bigint, found {found}");
    assert_eq!(read("in.ndjson", "json"), [good[0], good[1], &bad("\"x\"")]);
    assert_eq!(read("in.csv", "csv"), [good[0], good[1], &bad("\"x\"")]);
    assert_eq!(read("in.parquet", "parquet"), good);
    let lacks = "`before` lacks `user.id`: the database must be told to send old rows (in PostgreSQL, REPLICA IDENTITY FULL)";
    assert_eq!(read("changes.ndjson", "debezium"), [good[0], lacks]);
}

#[test]
fn a_column_that_the_input_lacks_is_named_by_both_names() {
    let folder = folder();
    for (path, format) in [("in.csv", "csv"), ("in.parquet", "parquet")] {
        let options = json!({ "path": path, "format": format, "schema": { "at": "bigint from '@time'" } });
        let found = plan(folder.path(), options).map(|_| ()).unwrap_err();
        assert!(found.0[0].message.ends_with(" has no column `@time` (`at`)"), "{found:?}");
        assert_eq!(found.0[0].code, "missing-column");
    }
}

#[test]
fn an_inferred_column_gets_a_name_that_it_can_have() {
    let folder = folder();
    for (path, format) in [("in.ndjson", "json"), ("in.csv", "csv"), ("in.parquet", "parquet")] {
        let plan = plan(folder.path(), json!({ "path": path, "format": format })).unwrap();
        assert!(rows(&plan)[1].contains("\"user_id\":\"b\""), "{path}: {:?}", rows(&plan));
        assert!(plan.warnings.0.iter().all(|warning| (warning.severity, warning.code) == (Severity::Warning, "renamed-column")));
        let not_null = if format == "parquet" { " not null" } else { "" };
        let help = format!("in a `schema` it is user_id = \"string{not_null} from 'user.id'\"");
        assert_eq!(plan.warnings.0[1].help.as_ref(), Some(&help), "{path}");
        let columns: &Schema = &plan.outputs[0].stream.schema;
        assert_eq!(columns.field(0).name(), "timestamp");
    }
}

#[test]
fn a_name_twice_in_a_header_that_no_column_can_have_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("in.csv"), "a,,b c,\n1,2,3,4\n").unwrap();
    let plan = plan(folder.path(), json!({ "path": "in.csv", "format": "csv" })).unwrap();
    assert_eq!(rows(&plan), ["{\"a\":1,\"b_c\":3}"]);
    let messages: Vec<&str> = plan.warnings.0.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "`` of the input is left out, because it cannot be a column name, and the header has it more than once",
            "`b c` of the input, which cannot be a column name, is the column `b_c`"
        ]
    );
}

//! A stream with a column of each type, rows for it as JSON lines, and values as text.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use millstream_api::types::{ColumnType, SqlName};
use millstream_expr::{Evaluated, Scalar};

/// The columns that the tables below use.
pub fn schema() -> SchemaRef {
    let columns = [
        ("b", "boolean"),
        ("small", "smallint"),
        ("i", "int"),
        ("n", "bigint"),
        ("m", "bigint"),
        ("r", "real"),
        ("d", "double"),
        ("e", "double"),
        ("dec", "decimal(10,2)"),
        ("big", "decimal(38,0)"),
        ("s", "string"),
        ("t", "string"),
        ("day", "date"),
        ("ts", "timestamp"),
        ("until", "timestamp"),
        ("tags", "list<string>"),
        ("place", "struct<city: string, zip: int>"),
        ("key", "bigint not null"),
        ("Carrier", "string"),
        ("dep-delay", "bigint"),
        ("bin", "bytes"),
    ];
    let field = |(name, text): (&str, &str)| {
        let parsed = ColumnType::parse(text).unwrap();
        Field::new(name, parsed.data_type, parsed.nullable)
    };
    Arc::new(Schema::new(columns.map(field).to_vec()))
}

/// One row per JSON object; `key` is 0 unless given.
pub fn rows(lines: &[&str]) -> RecordBatch {
    let schema = schema();
    let mut decoder = ReaderBuilder::new(schema.clone()).build_decoder().unwrap();
    for line in lines {
        let with_key = if line.contains("\"key\"") { (*line).to_owned() } else { line.replacen('{', "{\"key\":0,", 1).replace(",}", "}") };
        let used = decoder.decode(with_key.as_bytes()).unwrap();
        assert_eq!(used, with_key.len());
        decoder.decode(b"\n").unwrap();
    }
    decoder.flush().unwrap().unwrap_or_else(|| RecordBatch::new_empty(schema))
}

/// The expression on these rows.
pub fn evaluate(text: &str, records: &RecordBatch) -> Evaluated {
    let scalar = Scalar::parse(text, &schema()).unwrap_or_else(|e| panic!("{text}: {e:?}"));
    let evaluated = scalar.bind(&records.schema()).unwrap().evaluate(records).unwrap();
    assert_eq!(evaluated.values.data_type(), scalar.field().data_type(), "{text}");
    assert_eq!(evaluated.values.len(), records.num_rows(), "{text}");
    evaluated
}

/// The values as text, and `!reason` for a bad row.
pub fn shown(evaluated: &Evaluated) -> Vec<String> {
    let mut values: Vec<String> = (0..evaluated.values.len()).map(|row| value(&evaluated.values, row)).collect();
    for bad in &evaluated.bad {
        assert_eq!(values[bad.row], "null", "the value of a bad row is null");
        values[bad.row] = format!("!{}", bad.reason);
    }
    values
}

/// The value of `text` on one row.
pub fn one(text: &str, row: &str) -> String {
    shown(&evaluate(text, &rows(&[row]))).remove(0)
}

/// The SQL name of the type of `text`.
pub fn type_of(text: &str) -> String {
    let scalar = Scalar::parse(text, &schema()).unwrap_or_else(|e| panic!("{text}: {e:?}"));
    SqlName(scalar.field().data_type()).to_string()
}

fn value(array: &ArrayRef, row: usize) -> String {
    let options = FormatOptions::new().with_null("null");
    let shown = ArrayFormatter::try_new(array.as_ref(), &options).unwrap().value(row).to_string();
    if array.data_type() == &DataType::Utf8View && !array.is_null(row) { format!("'{shown}'") } else { shown }
}

//! The `generate` source: rows made up from SQL expressions over a counter.
//!
//! Row `n` depends on nothing but `n`, so the source is deterministic and may begin anywhere: its position is the next `n`.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millstream_api::error::ErrorKind;
use millstream_api::plan::{Inputs, Make, OutputPlan, Plan, SourceContext, SourceFactory};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::source::{Next, Position, SourcePart, SourceRows};
use millstream_api::{BadRow, Diagnostic, Diagnostics, Error, Result, Source, Stream};
use millstream_expr::{BoundScalar, Scalar};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::columns::records;
use crate::select::expressions;

/// Makes rows up: a column for each expression over `counter`, which counts the rows from 0.
///
/// The same options always give the same rows. With `rate` they come evenly; `counter` can make the event time too. A row on
/// which an expression fails (an overflow, a division by zero) follows `on_bad_row`. Only columns that somebody reads are
/// computed.
///
/// ```toml
/// [sources.readings]
/// type    = "generate"
/// rows    = 1000
/// columns = [
///     "counter as id",
///     "counter % 10 as sensor",
///     "20.0 + sin(counter / 50.0) as celsius",
///     "to_timestamp(1704067200 + counter) as at",
/// ]
/// time    = { by = "at" }
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct GenerateOptions {
    /// The columns: `"counter"`, or an SQL expression over it with a name, `"counter % 10 as sensor"`. No two may have the same
    /// name.
    pub columns: Vec<String>,
    /// How many rows. Default: without end.
    pub rows: Option<u64>,
}

/// The column that expressions are over.
const COUNTER: &str = "counter";

/// The greatest number of rows: more than that nobody will wait for, and no counter overflows.
const MAX_ROWS: u64 = 1 << 62;

impl NodeOptions for GenerateOptions {
    const KIND: &'static str = "generate";
    const ROLE: Role = Role::Source;
    const INPUTS: InputKeys = InputKeys::None;

    fn plan(self, _: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let mut found = Diagnostics::default();
        let columns = found.ok(expressions(&self.columns, &counter_schema()));
        if self.rows.is_some_and(|rows| rows > MAX_ROWS) {
            let message = format!("`rows` can be {MAX_ROWS} at most");
            found.push(Diagnostic::error("out-of-range", message).key("rows").help("without `rows` there is no end"));
        }
        let Some(columns) = columns else { return Err(found) };
        let schema = Arc::new(Schema::new(columns.iter().map(|column| column.field().clone()).collect::<Vec<_>>()));
        let counter = columns.iter().find(|column| column.as_column() == Some(COUNTER));
        let unique_key = counter.map(|column| vec![column.field().name().clone()]);
        let stream = Stream { from_source: true, bounded: self.rows.is_some(), unique_key, ..Stream::plain(schema) };
        let factory = GenerateFactory { columns, rows: self.rows };
        found.into_result(Plan::new(Vec::new(), vec![OutputPlan::main(stream)], Make::Source(Arc::new(factory))))
    }
}

fn counter_schema() -> Schema {
    Schema::new(vec![Field::new(COUNTER, DataType::Int64, false)])
}

struct GenerateFactory {
    columns: Vec<Scalar>,
    rows: Option<u64>,
}

impl SourceFactory for GenerateFactory {
    fn splits(&self) -> Result<Vec<String>> {
        Ok(vec!["rows".to_owned()])
    }

    fn repeats(&self) -> bool {
        true
    }

    fn make(&self, context: &SourceContext) -> Result<Box<dyn Source>> {
        let shape = context.outputs.first().ok_or_else(|| Error::internal("a source without an output"))?;
        let input = Arc::new(counter_schema());
        let find = |name: &String| self.columns.iter().find(|column| column.field().name() == name);
        let columns = shape
            .schema
            .fields()
            .iter()
            .map(|field| find(field.name()).ok_or_else(|| Error::internal(format!("no column `{}`", field.name())))?.bind(&input));
        let position = context.positions.first().map(|(_, position)| Place::from_position(position)).transpose()?;
        Ok(Box::new(Generate {
            node: context.node.clone(),
            columns: columns.collect::<Result<_>>()?,
            schema: shape.schema.clone(),
            input,
            place: position.unwrap_or_default(),
            end: self.rows.unwrap_or(MAX_ROWS),
            batch_rows: context.batch_rows.max(1) as u64,
        }))
    }

    fn size_hint(&self) -> Option<u64> {
        self.rows
    }
}

/// Where the source stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    /// The next counter.
    counter: u64,
    /// Good rows before it.
    good: i64,
}

impl Place {
    fn to_position(self) -> Position {
        Position(format!("{} {}", self.counter, self.good))
    }

    fn from_position(Position(text): &Position) -> Result<Self> {
        let parts =
            text.split_once(' ').and_then(|(counter, good)| Some(Place { counter: counter.parse().ok()?, good: good.parse().ok()? }));
        parts.ok_or_else(|| Error::new(ErrorKind::State, format!("`{text}` is no position of a generate source")))
    }
}

struct Generate {
    node: String,
    columns: Vec<BoundScalar>,
    schema: SchemaRef,
    input: SchemaRef,
    place: Place,
    end: u64,
    batch_rows: u64,
}

impl Source for Generate {
    fn next(&mut self, _: Duration) -> Result<Next> {
        let from = self.place.counter;
        if from >= self.end {
            return Ok(Next::End);
        }
        let until = from.saturating_add(self.batch_rows).min(self.end);
        let counters = Int64Array::from_iter_values((from..until).map(|counter| counter as i64));
        let input = RecordBatch::try_new(self.input.clone(), vec![Arc::new(counters)])?;
        let (records, bad) = self.rows(&input)?;
        let first_row = self.place.good;
        self.place = Place { counter: until, good: first_row + records.num_rows() as i64 };
        let parts = vec![SourcePart { output: 0, records, first_row, weights: None }];
        Ok(Next::Rows(SourceRows { split: 0, parts, bad, position: self.place.to_position() }))
    }
}

impl Generate {
    /// The rows of these counters, and those on which an expression failed.
    fn rows(&self, input: &RecordBatch) -> Result<(RecordBatch, Vec<BadRow>)> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        let mut bad = Vec::new();
        for column in &self.columns {
            let evaluated = column.evaluate(input)?;
            bad.extend(evaluated.bad);
            columns.push(evaluated.values);
        }
        if bad.is_empty() {
            return Ok((records(&self.schema, columns, input.num_rows())?, Vec::new()));
        }
        // A row that failed several times is bad once, with its first reason.
        bad.sort_by_key(|value| value.row);
        bad.dedup_by_key(|value| value.row);
        let mut good = vec![true; input.num_rows()];
        bad.iter().for_each(|value| good[value.row] = false);
        let good = good.into();
        let columns = columns.iter().map(|column| Ok(filter(column, &good)?)).collect::<Result<_>>()?;
        let described = bad.into_iter().map(|value| {
            let place = format!("{}: row {}", self.node, self.place.counter + value.row as u64);
            BadRow::of_row(value.reason, place, input, value.row)
        });
        let described: Vec<BadRow> = described.collect();
        Ok((records(&self.schema, columns, input.num_rows() - described.len())?, described))
    }
}

#[cfg(test)]
mod tests {
    use millstream_api::plan::Shape;
    use serde_json::json;

    use super::*;
    use crate::testing::{Node, record_rows};

    fn source(options: serde_json::Value, read: &[&str], positions: Vec<(u32, Position)>, batch_rows: usize) -> Box<dyn Source> {
        let plan = Node::plan::<GenerateOptions>(options, Vec::new()).plan;
        let Make::Source(factory) = plan.make else { panic!("not a source") };
        let all = &plan.outputs[0].stream.schema;
        let places: Vec<usize> = (0..all.fields().len()).filter(|&place| read.contains(&all.field(place).name().as_str())).collect();
        let schema = Arc::new(all.project(&places).unwrap());
        let outputs = vec![Shape { schema, explicit_windows: false, judge: false, origin: false, read: true }];
        factory.make(&SourceContext { node: "made".into(), batch_rows, workers: 1, outputs, positions }).unwrap()
    }

    /// All rows with their numbers, the bad ones, and the position after each batch.
    fn read_all(mut source: Box<dyn Source>) -> (Vec<String>, Vec<String>, Vec<(usize, Position)>) {
        let (mut rows, mut bad, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        while let Next::Rows(came) = source.next(Duration::ZERO).unwrap() {
            let first = came.parts[0].first_row;
            rows.extend(record_rows(&came.parts[0].records).into_iter().enumerate().map(|(i, row)| format!("{} {row}", first + i as i64)));
            bad.extend(came.bad.iter().map(|bad| format!("{} at {}: {}", bad.reason, bad.place, bad.raw)));
            positions.push((rows.len(), came.position));
        }
        assert!(matches!(source.next(Duration::ZERO).unwrap(), Next::End));
        (rows, bad, positions)
    }

    fn options() -> serde_json::Value {
        json!({ "rows": 10, "columns": ["counter as id", "60 / (counter - 4) as share", "'n' || cast(counter as string) as name"] })
    }

    #[test]
    fn rows_are_what_the_expressions_say() {
        let (rows, bad, _) = read_all(source(options(), &["id", "name"], Vec::new(), 3));
        assert_eq!((rows.len(), rows[9].as_str(), bad.len()), (10, r#"9 {"id":9,"name":"n9"}"#, 0));
        let (rows, bad, _) = read_all(source(options(), &["share"], Vec::new(), 3));
        assert_eq!((rows.len(), rows[4].as_str()), (9, r#"4 {"share":60}"#));
        assert_eq!(bad, [r#"division by zero at made: row 4: {"counter":4}"#]);
    }

    #[test]
    fn neither_batches_nor_restarts_show() {
        let (straight, _, _) = read_all(source(options(), &["id", "share"], Vec::new(), 100));
        let (cut, _, positions) = read_all(source(options(), &["id", "share"], Vec::new(), 3));
        assert_eq!(straight, cut);
        for (seen, position) in positions {
            let (rest, _, _) = read_all(source(options(), &["id", "share"], vec![(0, position)], 4));
            assert_eq!(rest, straight[seen..]);
        }
    }

    #[test]
    fn the_stream_is_known_before_it_runs() {
        let endless = Node::plan::<GenerateOptions>(json!({ "columns": ["counter", "counter * 2.5 as x"] }), Vec::new()).plan;
        let stream = &endless.outputs[0].stream;
        assert!(!stream.bounded && stream.from_source);
        assert_eq!(stream.unique_key, Some(vec!["counter".to_owned()]));
        let found = Node::mistakes::<GenerateOptions>(json!({ "columns": ["count as id", "counter + 1"], "rows": u64::MAX }), Vec::new());
        let codes: Vec<&str> = found.iter().map(|(code, _, _)| *code).collect();
        assert_eq!(codes, ["unknown-column", "missing-name", "out-of-range"]);
    }
}

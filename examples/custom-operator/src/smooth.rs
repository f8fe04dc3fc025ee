//! `smooth`: an exponentially weighted moving average of a value, for each key, in the order of event time.
//!
//! Rows of a key may come in any order, and the average depends on the order. So a row waits until the watermark has passed
//! it; then all rows before the watermark are dealt with in the order of event time, ties by their place in the source. That
//! makes the result the same whatever the number of workers or the size of batches.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{cast, not};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use millstream_api::batch::Hidden;
use millstream_api::plan::{
    Columns, InputPlan, Inputs, KeyExpressions, KeyValues, Make, OperatorContext, OperatorFactory, OutputPlan, Parallelism, Plan, Route,
    WindowUse,
};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::state::{StateDecl, StateReader, StateWriter};
use millstream_api::time::DurationText;
use millstream_api::types::SqlName;
use millstream_api::{Batch, Diagnostic, Diagnostics, Error, EventTime, Operator, Output, Result, Stream};
use millstream_expr::{BoundScalar, Scalar, ScalarKey};
use millstream_operators::bad_rows::{BadRows, rejected_output};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::state::{Averages, restore_waiting, snapshot_waiting};

const MAIN: usize = 0;
const LATE: usize = 1;
const REJECTED: usize = 2;

/// An exponentially weighted moving average of a value, for each key.
///
/// Every row comes out with one more column: the average of the value up to this row, in which a value that is `half_life`
/// older counts half as much. Rows come out in the order of event time once the watermark has passed them; a row behind its
/// own watermark is late and goes to `NAME.late`. A null value leaves the average as it is.
///
/// ```toml
/// [operators.trend]
/// type      = "smooth"
/// input     = "departures"
/// by        = ["carrier"]
/// value     = "dep_delay"
/// half_life = "6h"
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct SmoothOptions {
    /// The key: SQL expressions. Without any there is one average over all rows.
    #[serde(default)]
    pub by: Vec<String>,
    /// What is averaged: an SQL expression that is a number.
    pub value: String,
    /// The age at which a value counts half.
    pub half_life: DurationText,
    /// The name of the new column.
    #[serde(default = "smoothed")]
    pub name: String,
}

fn smoothed() -> String {
    "smoothed".to_owned()
}

impl NodeOptions for SmoothOptions {
    const KIND: &'static str = "smooth";
    const ROLE: Role = Role::Operator;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let mut found = Diagnostics::default();
        let (name, stream) = &inputs.streams[0];
        if !stream.event_time {
            let message = format!("`{name}` has no event time, which the order of rows depends on");
            found.push(Diagnostic::error("no-event-time", message).key("input").help("give its source `time`"));
        }
        if stream.updating {
            let message = format!("`{name}` is updating: an average can't take back a row");
            found.push(Diagnostic::error("updating-input", message).key("input").help("read a stream before it is aggregated"));
        }
        if stream.schema.column_with_name(&self.name).is_some() {
            let message = format!("there is a column `{}` already", self.name);
            found.push(Diagnostic::error("duplicate-column", message).key("name").help("choose another name for the average"));
        }
        if self.half_life.micros() == 0 {
            found.push(Diagnostic::error("bad-value", "a half-life must be longer than nothing").key("half_life").help("\"1h\", say"));
        }
        let keys = self
            .by
            .iter()
            .enumerate()
            .filter_map(|(index, text)| found.ok(Scalar::parse(text, &stream.schema).map_err(|error| error.at("by").index(index))));
        let keys: Vec<Scalar> = keys.collect();
        let value = found.ok(Scalar::parse(&self.value, &stream.schema).map_err(|error| error.at("value")));
        if let Some(value) = value.as_ref().filter(|value| !value.field().data_type().is_numeric()) {
            let message = format!("`{}` is {}, not a number", self.value, SqlName(value.field().data_type()));
            found.push(Diagnostic::error("type-mismatch", message).key("value").help("an average needs numbers; cast it if it holds some"));
        }
        match value {
            Some(value) if !found.has_errors() => Ok(design(self, keys, value, stream)),
            _ => Err(found),
        }
    }
}

fn design(options: SmoothOptions, keys: Vec<Scalar>, value: Scalar, input: &Stream) -> Plan {
    let average = Field::new(&options.name, DataType::Float64, true);
    let fields: Vec<_> = input.schema.fields().iter().cloned().chain([Arc::new(average)]).collect();
    let main = Stream { windowed: None, from_source: false, ..input.with_schema(Arc::new(Schema::new(fields))) };
    let late = Stream { windowed: None, ..input.clone() };
    let global = keys.is_empty();
    let key = Arc::new(ScalarKey(keys));
    let route = if global { Route::Any } else { Route::Key(key.clone()) };
    let factory = SmoothFactory { key, value, half_life: options.half_life, name: options.name };
    let inputs = vec![InputPlan { route, windows: WindowUse::Reads, origin: input.from_source }];
    let outputs = vec![OutputPlan::main(main), OutputPlan::side("late", late), rejected_output([input])];
    let mut plan = Plan::new(inputs, outputs, Make::Operator(Arc::new(factory)));
    if global {
        plan.parallelism = Parallelism::One("there is one average over all rows; name a key in `by` to divide the work");
    }
    plan.state = vec![StateDecl { name: "waiting", keyed: true }, StateDecl { name: "averages", keyed: true }];
    plan
}

struct SmoothFactory {
    key: Arc<ScalarKey>,
    value: Scalar,
    half_life: DurationText,
    name: String,
}

impl OperatorFactory for SmoothFactory {
    fn required(&self, outputs: &[Columns]) -> Vec<Columns> {
        let mut columns: Columns = outputs[MAIN].iter().filter(|name| **name != self.name).cloned().collect();
        columns.extend(outputs[LATE].iter().cloned());
        columns.extend(self.key.columns());
        columns.extend(self.value.columns().iter().cloned());
        vec![columns]
    }

    fn make(&self, context: &OperatorContext) -> Result<Box<dyn Operator>> {
        let input = &context.inputs[0];
        Ok(Box::new(Smooth {
            key: self.key.bind(&input.schema)?,
            value: self.value.bind(&input.schema)?,
            bad_rows: BadRows::new(context, REJECTED),
            averages: Averages::new(self.half_life, context.key_groups),
            name: self.name.clone(),
            input: input.schema.clone(),
            main: context.outputs[MAIN].schema.clone(),
            late: context.outputs[LATE].schema.clone(),
            late_read: context.outputs[LATE].read,
            waiting: Vec::new(),
        }))
    }
}

/// One subtask: it has all rows of its keys.
struct Smooth {
    key: KeyValues,
    value: BoundScalar,
    bad_rows: BadRows,
    averages: Averages,
    name: String,
    input: SchemaRef,
    main: SchemaRef,
    late: SchemaRef,
    late_read: bool,
    /// Rows that the watermark has not passed.
    waiting: Vec<Batch>,
}

impl Smooth {
    /// Sends late rows aside; the others are left.
    fn without_late(&self, batch: Batch, out: &mut Output) -> Result<Batch> {
        let node = out.watermark();
        let times = batch.times().ok_or_else(|| Error::internal("rows without event time"))?;
        let late: BooleanArray = times.iter().enumerate().map(|(row, &t)| Some(EventTime(t) < batch.judged_at(row, node))).collect();
        if late.true_count() == 0 {
            return Ok(batch);
        }
        out.fates().late += late.true_count() as u64;
        if self.late_read {
            let rows = batch.filter(&late)?;
            let marks: Int64Array = (0..rows.rows()).map(|row| Some(rows.judged_at(row, node).0)).collect();
            let records = columns_of(rows.records(), &self.late, None)?;
            out.emit(LATE, Batch::new(records, Hidden { times: rows.hidden().times.clone(), marks: Some(marks), ..Hidden::default() })?);
        }
        batch.filter(&not(&late)?)
    }

    /// All waiting rows before the watermark, in order; the others go on waiting.
    fn due(&mut self, watermark: EventTime) -> Result<Option<Batch>> {
        if self.waiting.is_empty() {
            return Ok(None);
        }
        let all = Batch::concat(&self.input, &std::mem::take(&mut self.waiting))?;
        let times = all.times().unwrap_or_default();
        let mut due: Vec<u32> = (0..times.len() as u32).filter(|&row| EventTime(times[row as usize]) < watermark).collect();
        let place = |row: u32| {
            let origin = all.hidden().origin.as_ref();
            origin.map(|o| (o.split.value(row as usize), o.position.value(row as usize)))
        };
        due.sort_by_key(|&row| (times[row as usize], place(row)));
        let rest: Vec<u32> = (0..times.len() as u32).filter(|&row| EventTime(times[row as usize]) >= watermark).collect();
        if !rest.is_empty() {
            self.waiting.push(all.take(&UInt32Array::from(rest))?);
        }
        if due.is_empty() { Ok(None) } else { all.take(&UInt32Array::from(due)).map(Some) }
    }

    fn smoothed(&mut self, rows: &Batch) -> Result<Batch> {
        let keys = (self.key)(rows.records())?;
        let values = cast(&self.value.evaluate(rows.records())?.values, &DataType::Float64)?;
        let times = rows.times().unwrap_or_default();
        let averages: Float64Array = self.averages.advance(&keys, values.as_primitive::<Float64Type>(), times)?;
        let records = columns_of(rows.records(), &self.main, Some((&self.name, Arc::new(averages))))?;
        Batch::new(records, Hidden { times: rows.hidden().times.clone(), ..Hidden::default() })
    }
}

impl Operator for Smooth {
    fn on_batch(&mut self, _: usize, batch: Batch, out: &mut Output) -> Result<()> {
        let mut batch = self.without_late(batch, out)?;
        // A row whose value can't be computed follows the node's `on_bad_row` before it is counted as taken.
        let bad = self.value.evaluate(batch.records())?.bad;
        if let Some(remain) = self.bad_rows.settle(&batch, &bad, out)? {
            batch = batch.filter(&remain)?;
        }
        out.fates().taken += batch.rows() as u64;
        if batch.rows() > 0 {
            // Nothing that waits is behind its own watermark, so no marks are needed any more.
            let hidden = Hidden { times: batch.hidden().times.clone(), origin: batch.hidden().origin.clone(), ..Hidden::default() };
            self.waiting.push(batch.with_hidden(hidden)?);
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        if let Some(due) = self.due(watermark)? {
            let rows = self.smoothed(&due)?;
            out.emit(MAIN, rows);
        }
        Ok(())
    }

    fn snapshot(&mut self, state: &mut StateWriter) -> Result<()> {
        for batch in &self.waiting {
            snapshot_waiting(batch, &(self.key)(batch.records())?, self.averages.key_groups, state)?;
        }
        self.averages.snapshot(state)
    }

    fn restore(&mut self, state: &StateReader) -> Result<()> {
        self.waiting = state.get("waiting").map(|records| restore_waiting(records, &self.input)).collect::<Result<_>>()?;
        self.averages.restore(state)
    }

    fn rows_in_state(&self) -> u64 {
        self.waiting.iter().map(|batch| batch.rows() as u64).sum()
    }

    fn state_bytes(&self) -> usize {
        self.averages.size_bytes() + self.waiting.iter().map(Batch::size_bytes).sum::<usize>()
    }
}

/// The columns of `schema` by name, one of which may be new.
fn columns_of(records: &RecordBatch, schema: &SchemaRef, new: Option<(&str, ArrayRef)>) -> Result<RecordBatch> {
    let column = |field: &Arc<Field>| match &new {
        Some((name, column)) if name == field.name() => Ok(column.clone()),
        _ => records.column_by_name(field.name()).cloned().ok_or_else(|| Error::internal(format!("no column `{}`", field.name()))),
    };
    let columns = schema.fields().iter().map(column).collect::<Result<_>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(records.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;
    use expect_test::expect;
    use millstream_api::Registry;
    use millstream_testkit::Script;

    use super::*;

    const TOPOLOGY: &str = r#"
name = "trend"
[sources.readings]
type = "script"
time = { by = "at", max_delay = "10s" }
schema = { sensor = "string", value = "bigint", at = "timestamp not null" }
[operators.trend]
type = "smooth"
input = "readings"
by = ["sensor"]
value = "value"
half_life = "10s"
[sinks.out]
type = "collect"
input = "trend"
[sinks.too_late]
type = "collect"
input = "trend.late"
"#;

    fn start(settings: &[&str], seed: u64) -> Script {
        let mut registry = Registry::new();
        registry.add::<SmoothOptions>();
        Script::start(registry, TOPOLOGY, settings, seed).unwrap_or_else(|e| panic!("{e}"))
    }

    const FIRST: &str = r#"{"sensor":"a","value":8,"at":"1970-01-01T00:00:10Z"}
{"sensor":"b","value":1,"at":"1970-01-01T00:00:12Z"}
{"sensor":"a","value":0,"at":"1970-01-01T00:00:00Z"}
{"sensor":"a","value":null,"at":"1970-01-01T00:00:15Z"}
"#;
    const SECOND: &str = r#"{"sensor":"a","value":16,"at":"1970-01-01T00:00:30Z"}
{"sensor":"b","value":3,"at":"1970-01-01T00:00:19Z"}
{"sensor":"b","value":3,"at":"1970-01-01T00:00:22Z"}
"#;

    #[test]
    fn values_count_half_after_the_half_life_in_the_order_of_event_time() {
        let mut script = start(&[], 1);
        script.send("readings", &format!("{FIRST}{SECOND}")).unwrap();
        script.end().unwrap();
        expect![[r#"
            {"sensor":"a","value":16,"at":"1970-01-01T00:00:30Z","smoothed":14.0}
            {"sensor":"a","value":8,"at":"1970-01-01T00:00:10Z","smoothed":8.0}
            {"sensor":"a","value":null,"at":"1970-01-01T00:00:15Z","smoothed":8.0}
            {"sensor":"b","value":1,"at":"1970-01-01T00:00:12Z","smoothed":1.0}
            {"sensor":"b","value":3,"at":"1970-01-01T00:00:22Z","smoothed":2.0}
        "#]]
        .assert_eq(&script.rows("out").unwrap());
        expect![[r#"
            {"sensor":"a","value":0,"at":"1970-01-01T00:00:00Z"}
            {"sensor":"b","value":3,"at":"1970-01-01T00:00:19Z"}
        "#]]
        .assert_eq(&script.rows("too_late").unwrap());
        assert!(script.ledger().balances());
    }

    #[test]
    fn a_crash_in_mid_stream_changes_nothing() {
        let mut straight = start(&["runtime.workers=1"], 1);
        straight.send("readings", &format!("{FIRST}{SECOND}")).unwrap();
        straight.end().unwrap();
        for seed in 1..20 {
            let mut script = start(&["runtime.workers=2"], seed);
            script.send_only("readings", FIRST).unwrap();
            script.turns(seed as usize).unwrap();
            script.checkpoint().unwrap();
            script.send("readings", SECOND).unwrap();
            script.crash_and_restore(&["runtime.workers=3"]).unwrap();
            script.end().unwrap();
            assert_eq!(script.rows("out").unwrap(), straight.rows("out").unwrap(), "seed {seed}");
        }
    }

    #[test]
    fn a_value_that_can_t_be_computed_follows_the_policy() {
        let mut registry = Registry::new();
        registry.add::<SmoothOptions>();
        let text = TOPOLOGY.replace("value = \"value\"\n", "value = \"16 / value\"\non_bad_row = \"skip\"\n");
        let mut script = Script::start(registry, &text, &[], 1).unwrap_or_else(|e| panic!("{e}"));
        script.send("readings", FIRST).unwrap();
        script.send("readings", r#"{"sensor":"c","value":0,"at":"1970-01-01T00:00:20Z"}"#).unwrap();
        script.end().unwrap();
        let ledger = script.ledger();
        assert_eq!(ledger.node("trend").map(|row| (row.fates.skipped, row.fates.late, row.fates.taken)), Some((1, 1, 3)));
        assert!(ledger.balances());
    }

    #[test]
    fn mistakes_are_found_at_check() {
        let mut registry = Registry::new();
        registry.add::<SmoothOptions>();
        let wrong = TOPOLOGY.replace("half_life = \"10s\"", "half_life = \"0s\"").replace("value = \"value\"\n", "value = \"walue\"\n");
        let Err(error) = Script::start(registry, &wrong, &[], 1) else { panic!("it is wrong") };
        assert!(error.message().contains("unknown-column") && error.message().contains("half-life"), "{error}");
    }

    #[test]
    fn the_new_column_is_a_double_that_may_be_null() {
        let mut averages = Averages::new("10s".parse().unwrap(), 128);
        let values = Float64Array::from(vec![None, Some(4.0)]);
        let found = averages.advance(&[], &values, &[0, 0]).unwrap();
        assert!(found.is_null(0));
        assert_eq!(found.value(1), 4.0);
    }
}

//! `event_time`: gives rows a new event time, after they were reshaped or where their source gives them none.
//!
//! Over a stream with event time, `max_delay` says how far the new time of a row may lie behind the old one: so the watermark
//! that comes, less `max_delay`, is a promise about the new times, and a row that breaks it is late. Behind a source without
//! event time the node does what the source would have done: each split's watermark follows its own rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::{cast, not};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use millstream_api::batch::Hidden;
use millstream_api::meaning::Matters;
use millstream_api::plan::{Columns, InputPlan, Inputs, Make, OperatorContext, OperatorFactory, OutputPlan, Parallelism, Plan, WindowUse};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::state::{StateDecl, StateReader, StateWriter};
use millstream_api::time::{DurationText, beyond_event_time};
use millstream_api::types::{SqlName, timestamp_type};
use millstream_api::{Batch, Diagnostic, Diagnostics, EventTime, Operator, Output, Progress, Result, Stream};
use millstream_expr::{BadValue, BoundScalar, Scalar, normal_text};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::bad_rows::{BadRows, rejected_output};
use crate::columns::places;
use crate::late::LateRows;

const MAIN: usize = 0;
/// Over a stream with event time only.
const LATE: usize = 1;

/// The name of the state: how far each split has come.
const SPLITS: &str = "splits";

/// Gives rows a new event time.
///
/// Over a stream with event time `max_delay` is how far the new time of a row may lie behind the old one. The watermark that
/// leaves is the one that came, minus `max_delay`; a row that lies further behind is late and goes to `NAME.late`, as does a row
/// that was late before and still is. Behind a source without `time` it is what `time` would have been there: each split's
/// watermark is its greatest event time so far minus `max_delay`, and the node has one subtask, which reads the rows in order.
///
/// A row on which `by` fails or gives null, or a year outside 1 to 9999, is bad and follows `on_bad_row`.
///
/// ```toml
/// [operators.announced]
/// type      = "event_time"
/// input     = "departures"
/// by        = "departed - interval '30 minutes'"
/// max_delay = "30m"
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct EventTimeOptions {
    /// The new event time: an SQL expression of type timestamp.
    pub by: String,
    /// How far the new time may lie behind the old one; behind a source without `time`, how far rows may be out of order.
    #[serde(default)]
    pub max_delay: DurationText,
}

impl NodeOptions for EventTimeOptions {
    const KIND: &'static str = "event_time";
    const ROLE: Role = Role::Operator;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let (name, input) = &inputs.streams[0];
        let input = &input.row_by_row();
        let mut found = Diagnostics::default();
        check_input(name, input, &mut found);
        let by = found.ok(time_of(&self.by, &input.schema));
        let Some(by) = by.filter(|_| !found.has_errors()) else { return Err(found) };
        let main = Stream { event_time: true, windowed: None, ..input.clone() };
        let windows = if input.windowed.is_some() { WindowUse::Reads } else { WindowUse::Passes };
        let factory = EventTimeFactory { by, max_delay: self.max_delay.micros(), begins: !input.event_time, splits: input.splits };
        let make = Make::Operator(Arc::new(factory));
        if input.event_time {
            let late = Stream { windowed: None, ..input.clone() };
            let outputs = vec![OutputPlan::main(main), OutputPlan::side("late", late), rejected_output([input])];
            return Ok(Plan::new(vec![InputPlan::any(windows)], outputs, make));
        }
        let reads = InputPlan { origin: input.splits > 1, ..InputPlan::any(windows) };
        let parallelism = Parallelism::One("rows get their first event time here, and a watermark needs all of them in order");
        let state = vec![StateDecl { name: SPLITS, keyed: false }];
        let bound = Some("one time for each split of the source".to_owned());
        let outputs = vec![OutputPlan::main(main), rejected_output([input])];
        Ok(Plan { parallelism, in_order: true, state, bound, ..Plan::new(vec![reads], outputs, make) })
    }
}

fn check_input(name: &str, input: &Stream, found: &mut Diagnostics) {
    if input.updating {
        let message = format!("`{name}` is updating: its rows can be withdrawn, and a row that is withdrawn has no time of its own");
        let help = "put the `event_time` before the node that makes it updating";
        found.push(Diagnostic::error("updating-input", message).key("input").help(help));
    } else if !input.event_time && !input.from_source {
        let message = format!("`{name}` has no event time, and its rows are not in the order of a source");
        let help = "give its source one, for example time = { by = \"created_at\" }, or put the `event_time` right behind the source";
        found.push(Diagnostic::error("no-event-time", message).key("input").help(help));
    }
}

fn time_of(by: &str, schema: &Schema) -> Result<Scalar, Diagnostic> {
    let time = Scalar::parse(by, schema).map_err(|error| error.at("by"))?;
    let found = time.field().data_type();
    if *found == timestamp_type() {
        return Ok(time);
    }
    let message = format!("event time must be a timestamp, `{by}` is {}", SqlName(found));
    let help = "write an expression of type timestamp, for example cast(… as timestamp)";
    Err(Diagnostic::error("type-mismatch", message).key("by").text(0..by.len()).help(help))
}

/// Why the value in this row is no event time.
fn unfit(times: &Int64Array, row: usize) -> Option<String> {
    if times.is_null(row) { Some("the event time is null".to_owned()) } else { beyond_event_time(times.value(row)) }
}

struct EventTimeFactory {
    by: Scalar,
    max_delay: i64,
    /// Whether rows come without event time.
    begins: bool,
    splits: usize,
}

impl OperatorFactory for EventTimeFactory {
    fn required(&self, outputs: &[Columns]) -> Vec<Columns> {
        let mut columns: Columns = outputs[MAIN].union(self.by.columns()).cloned().collect();
        if !self.begins {
            columns.extend(outputs[LATE].iter().cloned());
        }
        vec![columns]
    }

    fn matters(&self, _: &[Columns]) -> Option<Matters> {
        let columns = Matters { reads: vec![self.by.columns().clone()], ..Matters::default() };
        Some(columns.option("by", normal_text(self.by.text())).option("max_delay", format!("{} µs", self.max_delay)))
    }

    fn make(&self, context: &OperatorContext) -> Result<Box<dyn Operator>> {
        let input = &context.inputs[0].schema;
        let clock = NewTime {
            by: self.by.bind(input)?,
            places: places(input, &context.outputs[MAIN].schema)?,
            origin: context.outputs[MAIN].origin,
            bad_rows: BadRows::new(context, context.outputs.len() - 1),
        };
        if self.begins {
            return Ok(Box::new(Begin {
                clock,
                max_delay: self.max_delay,
                expected: self.splits,
                greatest: BTreeMap::new(),
                promised: EventTime::MIN,
            }));
        }
        Ok(Box::new(Follow { clock, max_delay: self.max_delay, late: LateRows::new(context, 0, LATE)? }))
    }
}

/// Computes the new event time of rows.
struct NewTime {
    by: BoundScalar,
    /// The columns that leave.
    places: Vec<usize>,
    /// Whether split and position leave.
    origin: bool,
    bad_rows: BadRows,
}

impl NewTime {
    /// The rows that have a new time, and their times.
    fn of(&self, batch: Batch, out: &mut Output) -> Result<(Batch, Int64Array)> {
        let evaluated = self.by.evaluate(batch.records())?;
        let times = cast(&evaluated.values, &DataType::Int64)?.as_primitive::<Int64Type>().clone();
        let mut bad = evaluated.bad;
        let failed: Vec<usize> = bad.iter().map(|value| value.row).collect();
        let other = (0..times.len()).filter(|row| failed.binary_search(row).is_err()).filter_map(|row| Some((row, unfit(&times, row)?)));
        bad.extend(other.map(|(row, reason)| BadValue { row, reason }));
        match self.bad_rows.settle(&batch, &bad, out)? {
            None => Ok((batch, times)),
            Some(remains) => {
                let times = arrow::compute::filter(&times, &remains)?.as_primitive::<Int64Type>().clone();
                Ok((batch.filter(&remains)?, times))
            }
        }
    }

    fn send(&self, batch: &Batch, times: Int64Array, marks: Option<Int64Array>, out: &mut Output) -> Result<()> {
        out.fates().passed += batch.rows() as u64;
        let times = Some(Int64Array::new(times.values().clone(), None));
        let origin = batch.hidden().origin.clone().filter(|_| self.origin);
        out.emit(MAIN, batch.project(&self.places)?.with_hidden(Hidden { times, marks, origin, ..Hidden::default() })?);
        Ok(())
    }
}

/// Over a stream with event time.
struct Follow {
    clock: NewTime,
    max_delay: i64,
    late: LateRows,
}

impl Operator for Follow {
    fn on_batch(&mut self, _: usize, batch: Batch, out: &mut Output) -> Result<()> {
        let (batch, times) = self.clock.of(batch, out)?;
        let old = batch.times().unwrap_or_default();
        let node = out.watermark();
        let is_late = |(row, time): (usize, &i64)| {
            let reached = batch.judged_at(row, node).max(EventTime(old[row]));
            EventTime(*time) < reached.minus(self.max_delay)
        };
        let late: BooleanArray = times.values().iter().enumerate().map(is_late).map(Some).collect();
        if late.true_count() == 0 {
            return self.clock.send(&batch, times, None, out);
        }
        let times = arrow::compute::filter(&times, &not(&late)?)?.as_primitive::<Int64Type>().clone();
        self.clock.send(&self.late.put_aside(&batch, &late, out)?, times, None, out)
    }

    fn outgoing_watermark(&self, watermark: EventTime) -> EventTime {
        watermark.minus(self.max_delay)
    }
}

/// Behind a source without event time.
struct Begin {
    clock: NewTime,
    max_delay: i64,
    /// How many splits there are.
    expected: usize,
    /// The greatest time of each split that has been read.
    greatest: BTreeMap<u32, EventTime>,
    promised: EventTime,
}

impl Begin {
    /// Marks rows that are behind their split's watermark just before them.
    fn marks(&mut self, batch: &Batch, times: &Int64Array) -> Option<Int64Array> {
        let origin = batch.hidden().origin.as_ref();
        let mut marks = vec![i64::MIN; times.len()];
        let mut behind = false;
        for (row, &time) in times.values().iter().enumerate() {
            let split = origin.map_or(0, |origin| origin.split.value(row));
            let greatest = self.greatest.entry(split).or_insert(EventTime::MIN);
            let watermark = greatest.minus(self.max_delay);
            if EventTime(time) < watermark {
                marks[row] = watermark.0;
                behind = true;
            }
            *greatest = EventTime(time).max(*greatest);
        }
        behind.then(|| Int64Array::from(marks))
    }
}

impl Operator for Begin {
    fn on_batch(&mut self, _: usize, batch: Batch, out: &mut Output) -> Result<()> {
        let (batch, times) = self.clock.of(batch, out)?;
        let marks = self.marks(&batch, &times);
        self.clock.send(&batch, times, marks, out)
    }

    /// Says how far it has come, also after a restart.
    fn resume(&mut self, out: &mut Output) -> Result<Progress> {
        let slowest = self.greatest.values().min().filter(|_| self.greatest.len() >= self.expected);
        if let Some(watermark) = slowest.map(|greatest| greatest.minus(self.max_delay)).filter(|watermark| *watermark > self.promised) {
            self.promised = watermark;
            out.promise(watermark);
        }
        Ok(Progress::Done)
    }

    fn snapshot(&mut self, state: &mut StateWriter) -> Result<()> {
        let splits: Int64Array = self.greatest.keys().map(|split| Some(i64::from(*split))).collect();
        let greatest: Int64Array = self.greatest.values().map(|greatest| Some(greatest.0)).collect();
        let field = |name: &str| Field::new(name, DataType::Int64, false);
        let schema = Arc::new(Schema::new(vec![field("split"), field("greatest")]));
        state.put(SPLITS, RecordBatch::try_new(schema, vec![Arc::new(splits), Arc::new(greatest)])?);
        Ok(())
    }

    fn restore(&mut self, state: &StateReader) -> Result<()> {
        for saved in state.get(SPLITS) {
            let column = |index: usize| saved.column(index).as_primitive::<Int64Type>().values().iter().copied();
            let splits = column(0).zip(column(1)).filter_map(|(split, greatest)| Some((u32::try_from(split).ok()?, EventTime(greatest))));
            self.greatest.extend(splits);
        }
        Ok(())
    }

    fn state_bytes(&self) -> usize {
        self.greatest.len() * size_of::<(u32, EventTime)>()
    }
}

#[cfg(test)]
mod tests {
    use millstream_api::operator::Fates;
    use millstream_api::options::OnBadRow;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Node, at, batch, marked, rows, schema, stream, timed, times};

    fn retimed(max_delay: &str, of: Stream) -> Node {
        Node::plan::<EventTimeOptions>(json!({ "by": "t", "max_delay": max_delay }), vec![of])
    }

    fn columns() -> arrow::datatypes::SchemaRef {
        schema("t timestamp")
    }

    fn stamps<const N: usize>(micros: [Option<i64>; N]) -> Batch {
        let stamps = arrow::array::TimestampMicrosecondArray::from(micros.to_vec()).with_timezone(millstream_api::types::UTC);
        batch(&[("t", Arc::new(stamps))])
    }

    #[test]
    fn a_row_further_behind_than_max_delay_is_late_whoever_came_before() {
        let mut node = retimed("5us", timed(columns()));
        let (out, fates) = node.run(0, at(stamps([105, 95, 94, 300].map(Some)), &[100, 100, 100, 100]));
        assert_eq!(times(&out, MAIN), [105, 95, 300]);
        assert_eq!(times(&out, LATE), [100], "with the time it came with");
        assert_eq!(fates, Fates { passed: 3, late: 1, ..Fates::default() });
        assert!(out.iter().filter(|(port, _)| *port == MAIN).all(|(_, batch)| batch.hidden().marks.is_none()));
        // A row that was late stays so unless its new time is not.
        let (out, _) = node.run(0, marked(at(stamps([86, 84].map(Some)), &[80, 80]), &[91, 91]));
        assert_eq!((times(&out, MAIN), times(&out, LATE)), (vec![86], vec![80]));
    }

    #[test]
    fn behind_a_source_without_time_it_is_the_time_of_the_source() {
        let mut node = retimed("10us", stream(columns()));
        let (out, _) = node.run(0, stamps([100, 90, 89, 120, 105].map(Some)));
        assert_eq!(times(&out, MAIN), [100, 90, 89, 120, 105]);
        let marks = out[0].1.hidden().marks.clone().unwrap();
        assert_eq!(marks.values().as_ref(), [i64::MIN, i64::MIN, 90, i64::MIN, 110]);
        assert_eq!(node.out.take_promise(), Some(EventTime(110)));
        node.run(0, stamps([Some(111)]));
        assert_eq!(node.out.take_promise(), None, "it never falls, nor is it said twice");
        assert_eq!((node.plan.in_order, node.plan.outputs.len()), (true, 2));
    }

    #[test]
    fn with_several_splits_the_slowest_holds_the_watermark() {
        let mut node = retimed("0s", Stream { splits: 2, ..stream(columns()) });
        assert!(node.plan.inputs[0].origin);
        let from = |split: u32, batch: Batch| {
            let rows = batch.rows();
            let split = arrow::array::UInt32Array::from_value(split, rows);
            let origin = Some(millstream_api::batch::Origin { split, position: Int64Array::from_value(0, rows) });
            batch.with_hidden(Hidden { origin, ..Hidden::default() }).unwrap()
        };
        node.run(0, from(1, stamps([Some(50)])));
        assert_eq!(node.out.take_promise(), None);
        node.run(0, from(0, stamps([Some(20), Some(30)])));
        assert_eq!(node.out.take_promise(), Some(EventTime(30)));
        let mut node = node.restarted();
        node.pass(EventTime::MIN);
        assert_eq!(node.out.take_promise(), Some(EventTime(30)), "said before a row comes");
    }

    #[test]
    fn a_row_without_a_new_time_is_bad() {
        let mut node = retimed("0s", timed(columns())).with_policy(OnBadRow::Reject);
        let (out, fates) = node.run(0, at(stamps([None, Some(7), Some(i64::MAX / 2)]), &[7, 7, 7]));
        assert_eq!(fates, Fates { passed: 1, rejected: 2, ..Fates::default() });
        let rejected = rows(&out, LATE + 1);
        assert!(rejected[0].contains("the event time is null"));
        assert!(rejected[1].contains("the event time is in the year 148108, and years go from 1 to 9999"), "{}", rejected[1]);
    }

    #[test]
    fn what_cannot_be_is_said() {
        let mistakes = |options: Value, stream: Stream| -> Vec<&str> {
            Node::mistakes::<EventTimeOptions>(options, vec![stream]).into_iter().map(|(code, ..)| code).collect()
        };
        let by = || json!({ "by": "t" });
        assert_eq!(mistakes(by(), Stream { updating: true, ..timed(columns()) }), ["updating-input"]);
        assert_eq!(mistakes(by(), Stream { from_source: false, ..stream(columns()) }), ["no-event-time"]);
        assert_eq!(mistakes(json!({ "by": "a" }), timed(schema("a bigint"))), ["type-mismatch"]);
    }
}

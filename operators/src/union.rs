//! `union`: the rows of several streams as one.
//!
//! Rows are handed on as they come: between inputs there is no order, and each keeps its event time, its window and its
//! weight. All that must be equal (names, types, windows) is checked in the plan; at run time columns are only put in order.

use std::sync::Arc;

use arrow::array::{PrimitiveArray, UInt32Array};
use arrow::datatypes::{Field, Schema, SchemaRef};
use millstream_api::batch::{Hidden, Origin};
use millstream_api::plan::{Columns, InputPlan, Inputs, Make, OperatorContext, OperatorFactory, OutputPlan, Plan, WindowUse};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::types::{SqlName, is_json, json_field};
use millstream_api::{Batch, Diagnostic, Diagnostics, Operator, Output, Result, Stream};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::columns::{places, records};

const MAIN: usize = 0;

/// The rows of several streams as one stream.
///
/// The inputs must have the same columns with the same types; their order may differ, the first input's counts. A column that
/// may be null in one input may be null in the union. Event time is kept when all inputs have it; windowed inputs must have
/// equal windows. The union's watermark is the smallest of its inputs'.
///
/// ```toml
/// [operators.all_flights]
/// type   = "union"
/// inputs = ["departures", "arrivals"]
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct UnionOptions {}

impl NodeOptions for UnionOptions {
    const KIND: &'static str = "union";
    const ROLE: Role = Role::Operator;
    const INPUTS: InputKeys = InputKeys::Many;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let mut found = Diagnostics::default();
        if inputs.streams.is_empty() {
            return Err(Diagnostic::error("empty-list", "a union of no streams").key("inputs").help("name the streams to unite").into());
        }
        for index in 1..inputs.streams.len() {
            found.0.extend(differences(&inputs.streams[0], &inputs.streams[index]).into_iter().map(|d| d.key("inputs").index(index)));
        }
        let streams: Vec<&Stream> = inputs.streams.iter().map(|(_, stream)| stream).collect();
        let stream = Stream {
            schema: merged_schema(&streams),
            event_time: streams.iter().all(|stream| stream.event_time),
            updating: streams.iter().any(|stream| stream.updating),
            windowed: streams[0].windowed.clone(),
            unique_key: None,
            most_rows: streams.iter().map(|stream| stream.most_rows).sum(),
            from_source: streams.iter().all(|stream| stream.from_source),
            splits: streams.iter().map(|stream| stream.splits).sum(),
            bounded: streams.iter().all(|stream| stream.bounded),
        };
        let factory = UnionFactory { inputs: streams.len(), event_time: stream.event_time };
        let reads = vec![InputPlan::any(WindowUse::Passes); streams.len()];
        found.into_result(Plan::new(reads, vec![OutputPlan::main(stream)], Make::Operator(Arc::new(factory))))
    }
}

/// What keeps `other` from being united with `first`.
fn differences(first: &(String, Stream), other: &(String, Stream)) -> Vec<Diagnostic> {
    let ((first_name, first), (other_name, other)) = (first, other);
    let mut found = Vec::new();
    for field in first.schema.fields() {
        let name = field.name();
        match other.schema.field_with_name(name) {
            Err(_) => found.push(format!("`{other_name}` lacks the column `{name}` that `{first_name}` has")),
            Ok(same) if !same_type(field, same) => found.push(format!(
                "the column `{name}` is {} in `{first_name}` and {} in `{other_name}`",
                SqlName(field.data_type()),
                SqlName(same.data_type()),
            )),
            Ok(_) => {}
        }
    }
    let extra = other.schema.fields().iter().filter(|field| first.schema.column_with_name(field.name()).is_none());
    found.extend(extra.map(|field| format!("`{other_name}` has a column `{}` that `{first_name}` lacks", field.name())));
    let help = "put a `select` before the union that gives both streams the same columns";
    let mut found: Vec<Diagnostic> = found.into_iter().map(|message| Diagnostic::error("union-mismatch", message).help(help)).collect();
    if first.windowed != other.windowed {
        found.push(
            Diagnostic::error("window-mismatch", format!("`{first_name}` and `{other_name}` do not have the same windows"))
                .help("unite the streams first and put one `window` behind the union"),
        );
    }
    found
}

fn same_type(a: &Field, b: &Field) -> bool {
    a.data_type().equals_datatype(b.data_type())
}

fn merged_schema(streams: &[&Stream]) -> SchemaRef {
    let merged = streams[0].schema.fields().iter().map(|field| {
        let all = || streams.iter().filter_map(|stream| stream.schema.field_with_name(field.name()).ok());
        let merged = Field::new(field.name(), field.data_type().clone(), all().any(Field::is_nullable));
        if all().all(is_json) { json_field(merged) } else { merged }
    });
    Arc::new(Schema::new(merged.collect::<Vec<_>>()))
}

struct UnionFactory {
    inputs: usize,
    event_time: bool,
}

impl OperatorFactory for UnionFactory {
    fn required(&self, outputs: &[Columns]) -> Vec<Columns> {
        vec![outputs[MAIN].clone(); self.inputs]
    }

    fn make(&self, context: &OperatorContext) -> Result<Box<dyn Operator>> {
        let schema = context.outputs[MAIN].schema.clone();
        let places = context.inputs.iter().map(|input| places(&input.schema, &schema)).collect::<Result<_>>()?;
        Ok(Box::new(Union { places, schema, event_time: self.event_time, origin: context.outputs[MAIN].origin }))
    }
}

struct Union {
    places: Vec<Vec<usize>>,
    schema: SchemaRef,
    event_time: bool,
    /// Whether split and position go on. They may have come for other readers of some of the inputs only.
    origin: bool,
}

impl Operator for Union {
    fn on_batch(&mut self, input: usize, batch: Batch, out: &mut Output) -> Result<()> {
        out.fates().passed += batch.rows() as u64;
        let columns = self.places[input].iter().map(|&place| batch.records().column(place).clone()).collect();
        let records = records(&self.schema, columns, batch.rows())?;
        out.emit(MAIN, Batch::new(records, self.hidden(input, batch.hidden()))?);
        Ok(())
    }
}

impl Union {
    fn hidden(&self, input: usize, hidden: &Hidden) -> Hidden {
        let mut hidden = hidden.clone();
        if !self.event_time {
            hidden.times = None;
            hidden.marks = None;
        }
        hidden.origin = hidden.origin.filter(|_| self.origin).map(|origin| self.renumbered(input, origin));
        hidden
    }

    /// Splits of different inputs must not share a number. Ties go by the split's own rank, then by the order of the inputs.
    fn renumbered(&self, input: usize, origin: Origin) -> Origin {
        let (inputs, input) = (self.places.len() as u32, input as u32);
        let split: UInt32Array = PrimitiveArray::unary(&origin.split, |split: u32| split.saturating_mul(inputs).saturating_add(input));
        Origin { split, ..origin }
    }
}

#[cfg(test)]
mod tests {
    use millstream_api::operator::Fates;
    use millstream_api::stream::{Judge, WindowKind, Windowed};
    use millstream_api::types::sql_type;
    use serde_json::json;

    use super::*;
    use crate::testing::{Node, at, batch, ints, rows, schema, stream, timed, times, weighed};

    fn plan(streams: Vec<Stream>) -> Node {
        Node::plan::<UnionOptions>(json!({}), streams)
    }

    #[test]
    fn columns_are_put_in_the_order_of_the_first_input() {
        let mut node = plan(vec![timed(schema("a bigint not null, b bigint")), timed(schema("b bigint, a bigint"))]);
        assert!(node.plan.outputs[0].stream.schema.field(0).is_nullable());
        let (out, fates) = node.run(1, at(batch(&[("b", ints([Some(2)])), ("a", ints([None]))]), &[9]));
        assert_eq!(rows(&out, 0), [r#"{"a":null,"b":2}"#]);
        assert_eq!(times(&out, 0), [9]);
        assert_eq!(fates, Fates { passed: 1, ..Fates::default() });
    }

    #[test]
    fn a_column_is_json_when_it_is_in_all_inputs() {
        let inputs = vec![stream(schema("a json, b json not null")), stream(schema("a json, b string"))];
        let fields = plan(inputs).plan.outputs[0].stream.schema.clone();
        assert_eq!(
            [0, 1].map(|place| (sql_type(fields.field(place)), fields.field(place).is_nullable())),
            [("json".into(), true), ("string".into(), true)]
        );
    }

    #[test]
    fn event_time_is_lost_when_one_input_has_none_and_weights_stay() {
        let mut node = plan(vec![timed(schema("a bigint")), Stream { updating: true, ..stream(schema("a bigint")) }]);
        let planned = &node.plan.outputs[0].stream;
        assert!(!planned.event_time && planned.updating);
        let (out, _) = node.run(0, at(batch(&[("a", ints([Some(1)]))]), &[9]));
        assert!(out[0].1.times().is_none());
        let (out, _) = node.run(1, weighed(batch(&[("a", ints([Some(1)]))]), &[-1]));
        assert_eq!(out[0].1.weights(), Some(&[-1i8][..]));
    }

    #[test]
    fn splits_of_different_inputs_stay_apart() {
        let union = Union { places: vec![vec![], vec![], vec![]], schema: schema("a bigint"), event_time: true, origin: true };
        let origin = || Origin { split: vec![0, 1].into(), position: vec![5, 6].into() };
        assert_eq!(union.renumbered(1, origin()).split.values().as_ref(), &[1, 4]);
        assert_eq!(union.renumbered(2, origin()).split.values().as_ref(), &[2, 5]);
    }

    #[test]
    fn what_others_need_of_one_input_does_not_go_on() {
        let mut node = plan(vec![timed(schema("a bigint")), timed(schema("a bigint"))]);
        let come = at(batch(&[("a", ints([Some(1)]))]), &[9]);
        let hidden = Hidden { origin: Some(Origin { split: vec![0].into(), position: vec![5].into() }), ..come.hidden().clone() };
        let batches: Vec<Batch> = [come.clone(), come.with_hidden(hidden).unwrap()]
            .into_iter()
            .enumerate()
            .map(|(input, batch)| node.run(input, batch).0[0].1.clone())
            .collect();
        let together = Batch::concat(&batches[0].schema(), &batches).unwrap();
        assert_eq!((together.rows(), together.hidden().origin.is_none()), (2, true));
    }

    #[test]
    fn each_difference_is_named() {
        let windows = Windowed { windows: WindowKind::hop(2, 1, 0), judge: Judge::Reader, explicit: false };
        let other = Stream { windowed: Some(windows), ..timed(schema("b string, c bigint")) };
        let found = Node::mistakes::<UnionOptions>(json!({}), vec![timed(schema("a bigint, b bigint")), other]);
        let shown: Vec<(&str, &str)> = found.iter().map(|(code, _, message)| (*code, message.as_str())).collect();
        let expected = [
            ("union-mismatch", "`input_1` lacks the column `a` that `input` has"),
            ("union-mismatch", "the column `b` is bigint in `input` and string in `input_1`"),
            ("union-mismatch", "`input_1` has a column `c` that `input` lacks"),
            ("window-mismatch", "`input` and `input_1` do not have the same windows"),
        ];
        assert_eq!(shown, expected);
        assert!(found.iter().all(|(_, path, _)| path.contains("Index(1)")));
    }
}

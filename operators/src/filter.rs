//! `filter`: keeps the rows for which a condition is true.
//!
//! Follows SQL: a row for which the condition is false or null is left out. The rest of the row is not looked at, and columns
//! that only the condition reads do not travel on.

use std::sync::Arc;

use arrow::array::AsArray;
use millstream_api::plan::{Columns, InputPlan, Inputs, Make, OperatorContext, OperatorFactory, OutputPlan, Plan, WindowUse};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::{Batch, Diagnostics, Operator, Output, Result};
use millstream_expr::{BoundScalar, Scalar, doubts};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::bad_rows::{BadRows, rejected_output};
use crate::columns::places;

const MAIN: usize = 0;
const REJECTED: usize = 1;

/// Keeps the rows for which a condition is true.
///
/// A row for which it is false or null is counted as filtered. A row on which it fails (a division by zero, a bad cast)
/// follows `on_bad_row`; with `reject` it goes to `NAME.rejected`. Event time, windows and keys stay what they are.
///
/// ```toml
/// [operators.long_delays]
/// type  = "filter"
/// input = "departures"
/// where = "dep_delay > 60 and carrier <> 'UA'"
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct FilterOptions {
    /// The condition: an SQL expression of type boolean.
    #[serde(rename = "where")]
    pub condition: String,
}

impl NodeOptions for FilterOptions {
    const KIND: &'static str = "filter";
    const ROLE: Role = Role::Operator;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let stream = inputs.streams[0].1.clone();
        let condition = Scalar::predicate(&self.condition, &stream.schema).map_err(|error| error.at("where"))?;
        let outputs = vec![OutputPlan::main(stream.clone()), rejected_output([&stream])];
        let factory = FilterFactory { condition };
        let warnings = Diagnostics(doubts("where", &self.condition));
        let plan = Plan::new(vec![InputPlan::any(WindowUse::Passes)], outputs, Make::Operator(Arc::new(factory)));
        Ok(Plan { warnings, ..plan })
    }
}

struct FilterFactory {
    condition: Scalar,
}

impl OperatorFactory for FilterFactory {
    fn required(&self, outputs: &[Columns]) -> Vec<Columns> {
        vec![outputs[MAIN].union(self.condition.columns()).cloned().collect()]
    }

    fn make(&self, context: &OperatorContext) -> Result<Box<dyn Operator>> {
        let input = &context.inputs[0].schema;
        Ok(Box::new(Filter {
            condition: self.condition.bind(input)?,
            places: places(input, &context.outputs[MAIN].schema)?,
            bad_rows: BadRows::new(context, REJECTED),
        }))
    }
}

struct Filter {
    condition: BoundScalar,
    places: Vec<usize>,
    bad_rows: BadRows,
}

impl Operator for Filter {
    fn on_batch(&mut self, _: usize, batch: Batch, out: &mut Output) -> Result<()> {
        let evaluated = self.condition.evaluate(batch.records())?;
        self.bad_rows.settle(&batch, &evaluated.bad, out)?;
        // The value of a bad row is null, so that it does not pass.
        let mask = evaluated.values.as_boolean();
        let (rows, passed) = (mask.len() as u64, mask.true_count() as u64);
        let mut bad: Vec<usize> = evaluated.bad.iter().map(|value| value.row).collect();
        bad.dedup();
        out.fates().passed += passed;
        out.fates().filtered += rows - passed - bad.len() as u64;
        if passed > 0 {
            out.emit(MAIN, batch.project(&self.places)?.filter(mask)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use millstream_api::operator::Fates;
    use millstream_api::options::OnBadRow;
    use serde_json::json;

    use super::*;
    use crate::testing::{Node, batch, ints, rows, schema, stream};

    fn node(condition: &str) -> Node {
        Node::plan::<FilterOptions>(json!({ "where": condition }), vec![stream(schema("a bigint, b bigint"))])
    }

    #[test]
    fn only_true_passes() {
        let mut node = node("a > 1");
        let (out, fates) = node.run(0, batch(&[("a", ints([Some(1), Some(2), None, Some(3)])), ("b", ints([1, 2, 3, 4].map(Some)))]));
        assert_eq!(rows(&out, 0), [r#"{"a":2,"b":2}"#, r#"{"a":3,"b":4}"#]);
        assert_eq!(fates, Fates { passed: 2, filtered: 2, ..Fates::default() });
    }

    #[test]
    fn columns_of_the_condition_do_not_travel_on() {
        let node = node("a > 1").reading(0, &["b"]);
        assert_eq!(node.required(), [["a", "b"].map(str::to_owned).into()]);
        let (out, _) = node.made().run(0, batch(&[("a", ints([Some(1), Some(2)])), ("b", ints([Some(8), Some(9)]))]));
        assert_eq!(rows(&out, 0), [r#"{"b":9}"#]);
    }

    #[test]
    fn a_row_on_which_it_fails_follows_the_policy() {
        let input = || batch(&[("a", ints([Some(0), Some(2), Some(3)])), ("b", ints([1, 2, 3].map(Some)))]);
        let (out, fates) = node("6 / a > 2").with_policy(OnBadRow::Reject).run(0, input());
        assert_eq!(rows(&out, 0), [r#"{"a":2,"b":2}"#]);
        assert_eq!(fates, Fates { passed: 1, filtered: 1, rejected: 1, ..Fates::default() });
        let rejected = rows(&out, 1);
        assert_eq!(rejected.len(), 1);
        assert!(rejected[0].contains(r#""raw":"{\"a\":0,\"b\":1}""#), "{rejected:?}");
        assert_eq!(node("6 / a > 2").with_policy(OnBadRow::Skip).run(0, input()).1.skipped, 1);
        let error = node("6 / a > 2").fail(0, input());
        assert!(error.message().starts_with("bad row: division by zero"), "{error}");
    }

    #[test]
    fn a_condition_must_be_one() {
        let mistakes = Node::mistakes::<FilterOptions>(json!({ "where": "a + nope" }), vec![stream(schema("a bigint"))]);
        assert_eq!(mistakes[0].0, "unknown-column");
        let mistakes = Node::mistakes::<FilterOptions>(json!({ "where": "a + 1" }), vec![stream(schema("a bigint"))]);
        assert_eq!(mistakes[0].0, "not-boolean");
    }
}

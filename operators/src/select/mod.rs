//! `select`: other columns for the same rows.
//!
//! Columns that pass through are shared, not copied, and a column that nobody reads downstream is neither computed nor asked
//! for. The list of columns is parsed in [`items`].

mod items;

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::filter;
use arrow::datatypes::{Schema, SchemaRef};
use millstream_api::plan::{Columns, InputPlan, Inputs, Make, OperatorContext, OperatorFactory, OutputPlan, Plan, WindowUse};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::{Batch, Diagnostics, Operator, Output, Result, Stream};
use millstream_expr::{BoundScalar, doubts_of_items};
use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) use self::items::expressions;
use self::items::{Column, From};
use crate::bad_rows::{BadRows, rejected_output};
use crate::columns::{place, records};

const MAIN: usize = 0;
const REJECTED: usize = 1;

/// Gives rows other columns: chosen, renamed, left out or computed.
///
/// The stream has the columns in the order of the list. A row on which an expression fails (an overflow, a bad cast) follows
/// `on_bad_row`; with `reject` it goes to `NAME.rejected`. Event time and windows stay with the rows, also when the columns
/// they came from are left out.
///
/// ```toml
/// [operators.in_euro]
/// type    = "select"
/// input   = "bids"
/// columns = ["* except (price, extra)", "price * 0.908 as euro", "lower(channel) as channel_name"]
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct SelectOptions {
    /// The columns: `"*"` (all), `"* except (a, b)"`, a column's name, or an SQL expression with a name,
    /// `"expr as name"`. No two may have the same name.
    pub columns: Vec<String>,
}

impl NodeOptions for SelectOptions {
    const KIND: &'static str = "select";
    const ROLE: Role = Role::Operator;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let (name, input) = &inputs.streams[0];
        let columns = items::parse(&self.columns, &input.schema, name)?;
        let schema = Arc::new(Schema::new(columns.iter().map(|column| column.field.clone()).collect::<Vec<_>>()));
        let stream = Stream { unique_key: renamed_key(input, &columns), schema, ..input.clone() };
        let outputs = vec![OutputPlan::main(stream), rejected_output([input])];
        let plan = Plan::new(vec![InputPlan::any(WindowUse::Passes)], outputs, Make::Operator(Arc::new(SelectFactory { columns })));
        Ok(Plan { warnings: Diagnostics(doubts_of_items("columns", &self.columns)), ..plan })
    }
}

/// The unique key under its new names; none when one of its columns is left out.
fn renamed_key(input: &Stream, columns: &[Column]) -> Option<Vec<String>> {
    let new_name = |old: &String| {
        let passed = columns.iter().find(|column| matches!(&column.from, From::Input(name) if name == old));
        passed.map(|column| column.field.name().clone())
    };
    input.unique_key.as_ref()?.iter().map(new_name).collect()
}

struct SelectFactory {
    columns: Vec<Column>,
}

impl OperatorFactory for SelectFactory {
    fn required(&self, outputs: &[Columns]) -> Vec<Columns> {
        let needed = self.columns.iter().filter(|column| outputs[MAIN].contains(column.field.name()));
        vec![needed.flat_map(Column::reads).collect()]
    }

    fn make(&self, context: &OperatorContext) -> Result<Box<dyn Operator>> {
        let input = &context.inputs[0].schema;
        let schema = context.outputs[MAIN].schema.clone();
        let needed = self.columns.iter().filter(|column| schema.column_with_name(column.field.name()).is_some());
        let columns = needed.map(|column| Bound::new(column, input)).collect::<Result<_>>()?;
        Ok(Box::new(Select { columns, schema, bad_rows: BadRows::new(context, REJECTED) }))
    }
}

/// Where a column that flows comes from.
enum Bound {
    Input(usize),
    Computed(BoundScalar),
}

impl Bound {
    fn new(column: &Column, input: &Schema) -> Result<Bound> {
        Ok(match &column.from {
            From::Input(name) => Bound::Input(place(input, name)?),
            From::Expression(scalar) => Bound::Computed(scalar.bind(input)?),
        })
    }
}

struct Select {
    columns: Vec<Bound>,
    schema: SchemaRef,
    bad_rows: BadRows,
}

impl Operator for Select {
    fn on_batch(&mut self, _: usize, batch: Batch, out: &mut Output) -> Result<()> {
        let mut bad = Vec::new();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            columns.push(match column {
                Bound::Input(place) => batch.records().column(*place).clone(),
                Bound::Computed(scalar) => {
                    let evaluated = scalar.evaluate(batch.records())?;
                    bad.extend(evaluated.bad);
                    evaluated.values
                }
            });
        }
        let mut rest = batch;
        if let Some(good) = self.bad_rows.settle(&rest, &bad, out)? {
            // Before the columns become a batch: the null of a bad row may stand in a column that is not null.
            columns = columns.iter().map(|column| Ok(filter(column, &good)?)).collect::<Result<_>>()?;
            rest = rest.filter(&good)?;
        }
        out.fates().passed += rest.rows() as u64;
        out.emit(MAIN, rest.with_records(records(&self.schema, columns, rest.rows())?)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use millstream_api::operator::Fates;
    use millstream_api::options::OnBadRow;
    use serde_json::json;

    use super::*;
    use crate::testing::{Node, at, batch, ints, rows, schema, timed, times};

    fn node(columns: &[&str]) -> Node {
        Node::plan::<SelectOptions>(json!({ "columns": columns }), vec![timed(schema("a bigint, b bigint, c bigint"))])
    }

    fn input() -> Batch {
        let columns = [("a", ints([Some(1), Some(0), None])), ("b", ints([Some(4), Some(5), Some(6)])), ("c", ints([7, 8, 9].map(Some)))];
        at(batch(&columns), &[10, 20, 30])
    }

    #[test]
    fn columns_are_chosen_renamed_and_computed() {
        let (out, fates) = node(&["* except (a)", "a as first", "b + c as sum"]).run(0, input());
        let expected =
            [r#"{"b":4,"c":7,"first":1,"sum":11}"#, r#"{"b":5,"c":8,"first":0,"sum":13}"#, r#"{"b":6,"c":9,"first":null,"sum":15}"#];
        assert_eq!(rows(&out, 0), expected);
        assert_eq!(times(&out, 0), [10, 20, 30]);
        assert_eq!(fates, Fates { passed: 3, ..Fates::default() });
    }

    #[test]
    fn what_nobody_reads_is_neither_computed_nor_asked_for() {
        let node = node(&["b / a as ratio", "c as last"]).reading(0, &["last"]);
        assert_eq!(node.required(), [["c".to_owned()].into()]);
        let (out, fates) = node.made().run(0, input());
        assert_eq!(rows(&out, 0), [r#"{"last":7}"#, r#"{"last":8}"#, r#"{"last":9}"#]);
        assert_eq!(fates.total(), 3);
    }

    #[test]
    fn rows_without_columns_are_still_rows() {
        let (out, _) = node(&["b", "c"]).reading(0, &[]).made().run(0, input());
        assert_eq!(out[0].1.rows(), 3);
    }

    #[test]
    fn a_bad_row_of_several_columns_is_bad_once() {
        let mut node = node(&["b / a as x", "c / a as y", "a"]).with_policy(OnBadRow::Reject);
        let (out, fates) = node.run(0, input());
        assert_eq!(rows(&out, 0), [r#"{"x":4,"y":7,"a":1}"#, r#"{"x":null,"y":null,"a":null}"#]);
        assert_eq!(times(&out, 0), [10, 30]);
        assert_eq!(fates, Fates { passed: 2, rejected: 1, ..Fates::default() });
        assert!(rows(&out, 1)[0].contains("row of node with event time 1970-01-01T00:00:00.000020Z"));
    }

    #[test]
    fn a_key_lives_on_under_its_new_name() {
        let keyed = Stream { unique_key: Some(vec!["a".into(), "b".into()]), ..timed(schema("a bigint, b bigint")) };
        let key_of = |columns: &[&str]| {
            let plan = Node::plan::<SelectOptions>(json!({ "columns": columns }), vec![keyed.clone()]).plan;
            plan.outputs[0].stream.unique_key.clone()
        };
        assert_eq!(key_of(&["b", "a as id"]), Some(vec!["id".into(), "b".into()]));
        assert_eq!(key_of(&["a", "b + 1 as b"]), None);
    }
}

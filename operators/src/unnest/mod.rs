//! `unnest`: a list becomes rows.
//!
//! Whole arrays at a time: each row is repeated as often as its list has elements, and the lists' elements, which Arrow keeps
//! one behind the other, become the column. A batch of long lists is taken a few rows at a time, so that what leaves is about as large as any batch.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use millstream_api::batch::Hidden;
use millstream_api::operator::Progress;
use millstream_api::plan::{Columns, InputPlan, Inputs, Make, OperatorContext, OperatorFactory, OutputPlan, Plan, WindowUse};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::types::SqlName;
use millstream_api::{Batch, Diagnostic, Diagnostics, Error, Operator, Output, Result, Stream};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::columns::{place, records, unknown_column};

const MAIN: usize = 0;

/// Makes a row of each element of a list.
///
/// The other columns are repeated, and the list's column has the element. A row whose list is null or empty gives no row and
/// is counted as filtered; an element that is null gives a row. Event time, windows and weights stay with the rows.
///
/// ```toml
/// [operators.tags]
/// type   = "unnest"
/// input  = "articles"
/// column = "tags"
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct UnnestOptions {
    /// The column with the list.
    pub column: String,
}

impl NodeOptions for UnnestOptions {
    const KIND: &'static str = "unnest";
    const ROLE: Role = Role::Operator;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let (name, input) = &inputs.streams[0];
        let element = element(&self.column, &input.schema, name).map_err(|mistake| mistake.key("column"))?;
        let fields = input.schema.fields().iter().map(|field| match field.name() == &self.column {
            true => Arc::new(element.as_ref().clone().with_name(&self.column)),
            false => field.clone(),
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<FieldRef>>()));
        // What told rows apart tells no longer, and what bounded them neither: all rows of a list have one place, and elements may be equal.
        let stream = Stream { unique_key: None, most_rows: None, from_source: false, schema, ..input.clone() };
        let make = Make::Operator(Arc::new(UnnestFactory { column: self.column }));
        Ok(Plan::new(vec![InputPlan::any(WindowUse::Passes)], vec![OutputPlan::main(stream)], make))
    }
}

/// The field of the list's elements.
fn element(column: &str, schema: &Schema, stream: &str) -> Result<FieldRef, Diagnostic> {
    let Some((_, field)) = schema.column_with_name(column) else { return Err(unknown_column(column, schema, stream)) };
    match field.data_type() {
        DataType::List(element) => Ok(element.clone()),
        other => Err(Diagnostic::error("type-mismatch", format!("`{column}` is {}, not a list", SqlName(other)))
            .help("name a column of type list<…>, such as one that array_agg gives")),
    }
}

struct UnnestFactory {
    column: String,
}

impl OperatorFactory for UnnestFactory {
    fn required(&self, outputs: &[Columns]) -> Vec<Columns> {
        let mut columns = outputs[MAIN].clone();
        columns.insert(self.column.clone());
        vec![columns]
    }

    fn make(&self, context: &OperatorContext) -> Result<Box<dyn Operator>> {
        let input = &context.inputs[0].schema;
        let schema = context.outputs[MAIN].schema.clone();
        let list = place(input, &self.column)?;
        let columns = schema.fields().iter().map(|field| match field.name() == &self.column {
            true => Ok(None),
            false => place(input, field.name()).map(Some),
        });
        Ok(Box::new(Unnest { list, columns: columns.collect::<Result<_>>()?, schema, batch_rows: context.batch_rows, rest: None }))
    }
}

struct Unnest {
    list: usize,
    /// Where the columns that leave are in the rows that come; `None`: it is the element.
    columns: Vec<Option<usize>>,
    schema: SchemaRef,
    /// How many rows should leave at a time.
    batch_rows: usize,
    /// Rows that have come and wait until there is room.
    rest: Option<Batch>,
}

impl Operator for Unnest {
    fn on_batch(&mut self, _: usize, batch: Batch, out: &mut Output) -> Result<()> {
        self.rest = Some(batch);
        self.resume(out).map(|_| ())
    }

    fn resume(&mut self, out: &mut Output) -> Result<Progress> {
        while let Some(batch) = self.rest.take_if(|_| !out.is_full()) {
            let rows = self.rows_that_fit(&batch)?;
            if rows < batch.rows() {
                self.rest = Some(batch.slice(rows, batch.rows() - rows));
            }
            self.send(&batch.slice(0, rows), out)?;
        }
        Ok(if self.rest.is_some() { Progress::More } else { Progress::Done })
    }
}

impl Unnest {
    fn lists<'a>(&self, batch: &'a Batch) -> Result<&'a ListArray> {
        let lists = batch.records().column(self.list).as_list_opt::<i32>();
        lists.ok_or_else(|| Error::internal("a column that was planned as a list is none"))
    }

    /// How many of the first rows have about as many elements as should leave at a time; at least one.
    fn rows_that_fit(&self, batch: &Batch) -> Result<usize> {
        let offsets = self.lists(batch)?.value_offsets();
        let most = i64::from(offsets[0]).saturating_add(i64::try_from(self.batch_rows).unwrap_or(i64::MAX));
        let fit = offsets[1..].partition_point(|&end| i64::from(end) <= most);
        Ok(fit.max(1).min(batch.rows()))
    }

    fn send(&self, batch: &Batch, out: &mut Output) -> Result<()> {
        let lists = self.lists(batch)?;
        let mut rows: Vec<u32> = Vec::new();
        let mut passed = 0;
        for row in (0..lists.len()).filter(|&row| lists.is_valid(row) && lists.value_length(row) > 0) {
            passed += 1;
            rows.extend(std::iter::repeat_n(row as u32, lists.value_length(row) as usize));
        }
        out.fates().passed += passed;
        out.fates().filtered += batch.rows() as u64 - passed;
        if rows.is_empty() {
            return Ok(());
        }
        let indices = UInt32Array::from(rows);
        let column = |place: &Option<usize>| match place {
            Some(place) => Ok(take(batch.records().column(*place), &indices, None)?),
            None => flat(lists),
        };
        let columns = self.columns.iter().map(column).collect::<Result<_>>()?;
        let hidden = batch.project(&[])?.take(&indices)?.hidden().clone();
        let rows = records(&self.schema, columns, indices.len())?;
        out.emit(MAIN, Batch::new(rows, Hidden { origin: None, ..hidden })?);
        Ok(())
    }
}

/// The elements of all lists that are not null, one behind the other.
fn flat(lists: &ListArray) -> Result<ArrayRef> {
    if lists.null_count() == 0 {
        let offsets = lists.value_offsets();
        let (from, to) = (offsets[0] as usize, offsets[lists.len()] as usize);
        return Ok(lists.values().slice(from, to - from));
    }
    let parts: Vec<ArrayRef> = (0..lists.len()).filter(|&row| lists.is_valid(row)).map(|row| lists.value(row)).collect();
    Ok(concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<&dyn Array>>())?)
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use arrow::datatypes::{Field, Int64Type};
    use millstream_api::operator::Fates;
    use serde_json::json;

    use super::*;
    use crate::testing::{Node, at, batch, ints, rows, schema, timed, times, weighed};

    fn node() -> Node {
        let id = schema("id bigint").field(0).clone();
        let list = Field::new("list", DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true))), true);
        let keyed = Stream { unique_key: Some(vec!["id".into()]), ..timed(Arc::new(Schema::new(vec![id, list]))) };
        Node::plan::<UnnestOptions>(json!({ "column": "list" }), vec![keyed])
    }

    fn input() -> Batch {
        let lists = [Some(vec![Some(1), None]), None, Some(vec![]), Some(vec![Some(4)])];
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists));
        at(batch(&[("id", ints([1, 2, 3, 4].map(Some))), ("list", lists)]), &[10, 20, 30, 40])
    }

    #[test]
    fn elements_are_rows_and_lists_without_any_are_filtered() {
        let (out, fates) = node().run(0, weighed(input(), &[1, 1, 1, -1]));
        assert_eq!(rows(&out, 0), [r#"{"id":1,"list":1}"#, r#"{"id":1,"list":null}"#, r#"{"id":4,"list":4}"#]);
        assert_eq!(times(&out, 0), [10, 10, 40]);
        assert_eq!(out[0].1.weights(), Some(&[1i8, 1, -1][..]));
        assert_eq!(fates, Fates { passed: 2, filtered: 2, ..Fates::default() });
    }

    #[test]
    fn a_part_of_a_batch_gives_the_elements_of_its_own_rows() {
        let (out, _) = node().run(0, input().slice(3, 1));
        assert_eq!(rows(&out, 0), [r#"{"id":4,"list":4}"#]);
        assert!(node().run(0, input().slice(1, 2)).0.is_empty());
    }

    #[test]
    fn rows_are_repeated_where_nobody_reads_the_element() {
        let node = node().reading(0, &["id"]);
        assert_eq!(node.required(), [["id", "list"].map(str::to_owned).into()]);
        assert_eq!(rows(&node.made().run(0, input()).0, 0), [r#"{"id":1}"#, r#"{"id":1}"#, r#"{"id":4}"#]);
    }

    #[test]
    fn long_lists_leave_a_few_rows_at_a_time() {
        let mut unnest =
            Unnest { list: 1, columns: vec![Some(0), None], schema: schema("id bigint, list bigint"), batch_rows: 10, rest: None };
        // Of no elements, of a few, and one alone of more than should leave at a time.
        let lengths = [4, 0, 5, 2, 25, 0, 9, 1, 1];
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(lengths.map(|length| Some((0..length).map(Some))));
        let lists: ArrayRef = Arc::new(lists);
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..lengths.len() as i64));
        let mut out = Output::new(10);
        unnest.on_batch(0, batch(&[("id", ids), ("list", lists)]), &mut out).unwrap();
        let mut left = Vec::new();
        loop {
            left.push(out.take_batches().iter().map(|(_, batch)| batch.rows()).collect::<Vec<_>>());
            if unnest.resume(&mut out).unwrap() == Progress::Done {
                break;
            }
        }
        left.push(out.take_batches().iter().map(|(_, batch)| batch.rows()).collect());
        assert_eq!(left, [vec![9, 2], vec![25], vec![10], vec![1]], "it waits for room, and each row leaves once");
        assert_eq!(out.take_fates(), Fates { passed: 7, filtered: 2, ..Fates::default() });
    }

    #[test]
    fn a_null_list_with_elements_behind_it_has_none() {
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1)]), Some(vec![Some(2)])]);
        let (field, offsets, values, _) = lists.into_parts();
        let lists: ArrayRef = Arc::new(ListArray::new(field, offsets, values, Some(vec![false, true].into())));
        let (out, _) = node().run(0, at(batch(&[("id", Arc::new(Int64Array::from(vec![1, 2]))), ("list", lists)]), &[1, 2]));
        assert_eq!(rows(&out, 0), [r#"{"id":2,"list":2}"#]);
    }

    #[test]
    fn the_plan_knows_the_element_and_forgets_what_was_unique() {
        let stream = &node().plan.outputs[0].stream;
        assert_eq!(stream.schema.field(1).data_type(), &DataType::Int64);
        assert_eq!((&stream.unique_key, stream.from_source), (&None, false));
        let mistakes = |column: &str| Node::mistakes::<UnnestOptions>(json!({ "column": column }), vec![timed(schema("a bigint"))]);
        assert_eq!(mistakes("a")[0].0, "type-mismatch");
        assert_eq!(mistakes("b")[0].0, "unknown-column");
    }
}

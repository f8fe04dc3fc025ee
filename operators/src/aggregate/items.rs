//! The items of `compute` and `having`: which functions they need, and what is calculated from these once a group is finished.
//!
//! Functions are accumulated; expressions over them (`sum(a) / count(*)`) are evaluated on finished groups only, so they cost
//! nothing for a row. A call that stands in several expressions is one function.

use arrow::datatypes::{Field, Schema};
use millstream_api::plan::Columns;
use millstream_api::{Diagnostic, Diagnostics};
use millstream_expr::{Aggregate, ComputeItem, GroupExpression, Scalar};

use super::plan::{Design, Planner};
use super::window_bounds;

/// What was written under `compute` and `having`.
pub(super) struct Items {
    /// What is accumulated.
    pub(super) functions: Vec<Function>,
    /// In the order of `compute`; `None`: the item is wrong.
    columns: Vec<Option<Column>>,
    having: Option<GroupExpression>,
}

/// A function and the key of the file where it is first called.
pub(super) struct Function {
    pub(super) aggregate: Aggregate,
    place: Place,
}

/// `having`, or an item of `compute`.
#[derive(Clone, Copy)]
enum Place {
    Having,
    Compute(usize),
}

/// A column that an item of `compute` gives.
enum Column {
    Function(Field),
    Expression(Box<GroupExpression>),
}

/// What is calculated from finished groups.
pub(super) struct Calculated {
    /// The columns of `compute`, in order.
    pub(super) fields: Vec<Field>,
    /// Those that are expressions.
    pub(super) results: Vec<Scalar>,
}

impl Place {
    fn mark(self, diagnostic: Diagnostic) -> Diagnostic {
        match self {
            Place::Having => diagnostic.key("having"),
            Place::Compute(index) => diagnostic.key("compute").index(index),
        }
    }
}

impl Function {
    /// Gives a diagnostic the function's place in the file.
    pub(super) fn mark(&self, diagnostic: Diagnostic) -> Diagnostic {
        self.place.mark(diagnostic)
    }
}

impl Planner<'_> {
    /// The items of `compute` and `having`, those that are right.
    pub(super) fn items(&self, compute: &[String], having: Option<&str>, scope: &Schema, found: &mut Diagnostics) -> Items {
        let mut items = Items { functions: Vec::new(), columns: Vec::new(), having: None };
        for (index, text) in compute.iter().enumerate() {
            let place = Place::Compute(index);
            match found.ok(ComputeItem::parse(text, scope).map_err(|error| self.explained(error, "compute", Some(index)))) {
                Some(ComputeItem::Function(function)) => {
                    items.columns.push(Some(Column::Function(function.field().clone())));
                    items.functions.push(self.retractable(function, place, found));
                }
                Some(ComputeItem::Expression(expression)) => {
                    self.add_calls(&expression, place, &mut items, found);
                    items.columns.push(Some(Column::Expression(expression)));
                }
                None => items.columns.push(None),
            }
        }
        if let Some(text) = having {
            items.having = found.ok(GroupExpression::parse(text, scope).map_err(|error| self.explained(error, "having", None)));
            if let Some(expression) = items.having.clone() {
                self.add_calls(&expression, Place::Having, &mut items, found);
            }
        }
        items
    }

    fn add_calls(&self, expression: &GroupExpression, place: Place, items: &mut Items, found: &mut Diagnostics) {
        for call in expression.calls() {
            if !items.functions.iter().any(|known| known.aggregate.field().name() == call.field().name()) {
                items.functions.push(self.retractable(call.clone(), place, found));
            }
        }
    }

    /// The function as the input needs it: able to take rows back, where these can be withdrawn.
    fn retractable(&self, aggregate: Aggregate, place: Place, found: &mut Diagnostics) -> Function {
        if !self.input.updating || self.windowed {
            return Function { aggregate, place };
        }
        let aggregate = aggregate.retracting().unwrap_or_else(|| {
            found.push(place.mark(self.cannot_retract(&aggregate)));
            aggregate
        });
        Function { aggregate, place }
    }

    /// The columns of `compute`, and how those that are expressions are calculated; `None` when one is wrong.
    pub(super) fn calculated(&self, by: &[Scalar], items: &Items, found: &mut Diagnostics) -> Option<Calculated> {
        let mut calculated = Calculated { fields: Vec::new(), results: Vec::new() };
        let mut complete = true;
        for (index, column) in items.columns.iter().enumerate() {
            let expression = match column {
                Some(Column::Expression(expression)) => expression,
                Some(Column::Function(field)) => {
                    calculated.fields.push(field.clone());
                    continue;
                }
                None => {
                    complete = false;
                    continue;
                }
            };
            let keys = by.iter().map(|key| key.field().clone()).collect();
            let scope = self.with_calls(keys, expression);
            match found.ok(expression.column(&scope).map_err(|error| error.at("compute").index(index))) {
                Some(result) => {
                    calculated.fields.push(result.field().clone());
                    calculated.results.push(result);
                }
                None => complete = false,
            }
        }
        complete.then_some(calculated)
    }

    /// The condition on groups, which may name all columns that leave.
    pub(super) fn having(&self, items: &Items, output: &Schema, found: &mut Diagnostics) -> Option<Scalar> {
        let expression = items.having.as_ref()?;
        let columns = output.fields().iter().map(|field| field.as_ref().clone()).collect();
        found.ok(expression.condition(&self.with_calls(columns, expression)).map_err(|error| error.at("having")))
    }

    /// These columns, the bounds of the window, and one for each call of an expression.
    fn with_calls(&self, columns: Vec<Field>, expression: &GroupExpression) -> Schema {
        let mut fields = columns;
        let calls = expression.calls().iter().map(|call| call.field().clone());
        let bounds = window_bounds().into_iter().filter(|_| self.windowed);
        for field in bounds.chain(calls) {
            if !fields.iter().any(|known| known.name() == field.name()) {
                fields.push(field);
            }
        }
        Schema::new(fields)
    }
}

/// What is computed of a group when some columns of the output are needed.
pub(super) struct Needed<'a> {
    pub(super) functions: Vec<&'a Aggregate>,
    pub(super) results: Vec<&'a Scalar>,
}

impl Design {
    /// What is computed when these columns are needed of the output.
    pub(super) fn needed(&self, output: &Columns) -> Needed<'_> {
        let in_having = |name: &str| self.having.as_ref().is_some_and(|having| having.columns().contains(name));
        let wanted = |field: &Field| output.contains(field.name()) || in_having(field.name());
        let results: Vec<&Scalar> = self.results.iter().filter(|result| wanted(result.field())).collect();
        let in_result = |name: &str| results.iter().any(|result| result.columns().contains(name));
        let functions = self.functions.iter().filter(|function| wanted(function.field()) || in_result(function.field().name()));
        Needed { functions: functions.collect(), results }
    }
}

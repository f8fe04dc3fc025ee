//! Items of `compute`, and conditions on groups: one call of an aggregate function, or an expression over several.
//!
//! In an expression (`sum(a) / count(*)`, `round(avg(x), 2)`) each call is taken out of the syntax tree and a column put in its
//! place, named like the call itself, as no other column can be. What is left is a scalar expression over keys and these
//! columns, of which there is one row for each group; it keeps its places in the text, so mistakes are shown where they are.

use std::ops::ControlFlow;

use arrow::datatypes::Schema;
use datafusion_sql::sqlparser::ast::{Expr, Ident, Spanned, Visit, VisitMut, Visitor, VisitorMut};

use super::Aggregate;
use super::parse::{Parser, one_call};
use crate::error::ExprError;
use crate::names::{self, Purpose};
use crate::planner::{self, Scope};
use crate::scalar::Scalar;
use crate::sql::{self, Places, Sql};
use crate::stack::with_room;

/// An item of `compute`.
#[derive(Clone, Debug)]
pub enum ComputeItem {
    /// One call with a name.
    Function(Aggregate),
    /// Anything else.
    Expression(Box<GroupExpression>),
}

impl ComputeItem {
    /// Parses `sum(x) as total`, `sum(a) / count(*) as mean` … against a stream's logical schema.
    ///
    /// # Errors
    /// Every mistake in the calls, with its place in the text; what is around them is looked at by
    /// [`GroupExpression::column`].
    pub fn parse(text: &str, schema: &Schema) -> Result<ComputeItem, ExprError> {
        let sql = sql::parse(text)?;
        match one_call(&sql.tree) {
            Some(_) => Aggregate::parse(text, schema).map(ComputeItem::Function),
            None => GroupExpression::taken_apart(sql, text, schema).map(|item| ComputeItem::Expression(Box::new(item))),
        }
    }
}

/// An expression over the keys of groups and calls of aggregate functions.
#[derive(Clone, Debug)]
pub struct GroupExpression {
    /// With columns in the place of calls.
    sql: Sql,
    /// What was written, to which all places refer.
    text: String,
    calls: Vec<Aggregate>,
    /// The names of the columns of the rows that are grouped.
    row_columns: Vec<String>,
}

impl GroupExpression {
    /// Parses a condition on groups, which may have calls in it.
    ///
    /// # Errors
    /// Every mistake in the calls; what is around them is looked at by [`condition`](GroupExpression::condition).
    pub fn parse(text: &str, schema: &Schema) -> Result<GroupExpression, ExprError> {
        GroupExpression::taken_apart(sql::parse(text)?, text, schema)
    }

    fn taken_apart(sql: Sql, text: &str, schema: &Schema) -> Result<GroupExpression, ExprError> {
        let (sql, calls) = with_room(sql.depth, || {
            let mut sql = sql.clone();
            let mut taker = Taker { text, schema, depth: sql.depth, calls: Vec::new() };
            match VisitMut::visit(&mut sql.tree, &mut taker) {
                ControlFlow::Break(error) => Err(error),
                ControlFlow::Continue(()) => Ok((sql, taker.calls)),
            }
        })?;
        let row_columns = schema.fields().iter().map(|field| field.name().clone()).collect();
        Ok(GroupExpression { sql, text: text.to_owned(), calls, row_columns })
    }

    /// The calls, each once. Each one's field has the name of the column that stands for it.
    pub fn calls(&self) -> &[Aggregate] {
        &self.calls
    }

    /// The expression as a column of groups: `groups` has keys and a column for each call.
    ///
    /// # Errors
    /// Every mistake around the calls, with its place in the text, and `missing-name`.
    pub fn column(&self, groups: &Schema) -> Result<Scalar, ExprError> {
        self.scalar(groups)?.named()
    }

    /// The expression as a condition on groups.
    ///
    /// # Errors
    /// As [`column`](GroupExpression::column), and `not-boolean`.
    pub fn condition(&self, groups: &Schema) -> Result<Scalar, ExprError> {
        self.scalar(groups)?.boolean()
    }

    fn scalar(&self, groups: &Schema) -> Result<Scalar, ExprError> {
        let scope = Scope::new(groups).map_err(|e| ExprError::new("type-mismatch", e.message(), None))?;
        let planned = planner::typed(self.sql.clone(), &self.text, &scope, Purpose::Aggregate).map_err(|error| match error.code {
            "unknown-column" => with_room(self.sql.depth, || self.column_of_rows(&error)).unwrap_or(error),
            _ => error,
        })?;
        with_room(planned.depth, || Scalar::planned(planned.clone(), &scope))
    }

    /// The same mistake, better said: a column of the rows can stand beside calls only if it is a key.
    fn column_of_rows(&self, unknown: &ExprError) -> Option<ExprError> {
        match self.sql.tree.visit(&mut ColumnAt { expression: self, unknown }) {
            ControlFlow::Break(error) => Some(error),
            ControlFlow::Continue(()) => None,
        }
    }
}

/// Takes calls out of a tree.
struct Taker<'a> {
    text: &'a str,
    schema: &'a Schema,
    depth: usize,
    calls: Vec<Aggregate>,
}

impl Taker<'_> {
    /// The name of the column that stands for a call.
    fn take(&mut self, node: &Expr) -> Result<Option<String>, ExprError> {
        let Some(call) = one_call(node).filter(|call| call.over.is_none()) else { return Ok(None) };
        let written = Sql { tree: node.clone(), text: String::new(), alias: None, depth: self.depth };
        names::check(&written, self.text, self.schema, Purpose::Aggregate)?;
        let name = call.to_string();
        if !self.calls.iter().any(|known| known.field().name() == &name) {
            let spec = Parser::new(self.text, self.schema).spec(call, name.clone(), name.clone())?;
            self.calls.push(Aggregate::of(spec));
        }
        Ok(Some(name))
    }
}

impl VisitorMut for Taker<'_> {
    type Break = ExprError;

    fn pre_visit_expr(&mut self, node: &mut Expr) -> ControlFlow<ExprError> {
        if !matches!(node, Expr::Function(_)) {
            return ControlFlow::Continue(());
        }
        match self.take(node) {
            Err(error) => ControlFlow::Break(error),
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(value)) => {
                *node = Expr::Identifier(Ident { value, quote_style: Some('"'), span: node.span() });
                ControlFlow::Continue(())
            }
        }
    }
}

/// Looks for the column that is unknown among those of the rows.
struct ColumnAt<'a> {
    expression: &'a GroupExpression,
    unknown: &'a ExprError,
}

impl Visitor for ColumnAt<'_> {
    type Break = ExprError;

    fn pre_visit_expr(&mut self, node: &Expr) -> ControlFlow<ExprError> {
        let name = match node {
            Expr::Identifier(name) => Some(name),
            Expr::CompoundIdentifier(names) => names.first(),
            _ => None,
        };
        let of_rows = |name: &&Ident| {
            let place = Places(&self.expression.text).range(name.span);
            place == self.unknown.span && self.expression.row_columns.contains(&name.value)
        };
        let Some(name) = name.filter(of_rows) else { return ControlFlow::Continue(()) };
        let message = format!("`{}` need not be the same in all rows of a group", name.value);
        let error = ExprError::new("not-an-aggregate", message, self.unknown.span.clone());
        ControlFlow::Break(error.help(format!("put it into an aggregate function, as in `max({name})`, or add it to `by`")))
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};
    use millstream_api::types::SqlName;

    use super::*;

    fn schema(columns: &[(&str, DataType)]) -> Schema {
        Schema::new(columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect::<Vec<_>>())
    }

    fn rows() -> Schema {
        schema(&[("k", DataType::Utf8View), ("n", DataType::Int64), ("t", DataType::Utf8View)])
    }

    fn planned(text: &str) -> Result<(Vec<String>, Scalar), ExprError> {
        let ComputeItem::Expression(item) = ComputeItem::parse(text, &rows())? else { panic!("`{text}` is one call") };
        let calls = item.calls().iter().map(|call| call.field().clone());
        let fields: Vec<Field> = std::iter::once(Field::new("k", DataType::Utf8View, true)).chain(calls).collect();
        let names = fields.iter().skip(1).map(|field| field.name().clone()).collect();
        Ok((names, item.column(&Schema::new(fields))?))
    }

    #[test]
    fn calls_are_taken_out_each_once() {
        for (text, calls, found) in [
            ("sum(n) / count(*) as mean", vec!["sum(n)", "count(*)"], "mean bigint"),
            ("round(avg(n), 2) as r", vec!["avg(n)"], "r double"),
            (
                "count(*) - count(*) filter (where n > 0 and t <> ')') as x",
                vec!["count(*)", "count(*) FILTER (WHERE n > 0 AND t <> ')')"],
                "x bigint",
            ),
            ("(max(n) - min(n)) * 2 + max(n) as x", vec!["max(n)", "min(n)"], "x bigint"),
            (
                "case when count(distinct t) > 1 then k else string_agg(t, '-') end as x",
                vec!["count(DISTINCT t)", "string_agg(t, '-')"],
                "x string",
            ),
            ("k || '!' as x", vec![], "x string"),
            ("cast(avg(n) as int) as x", vec!["avg(n)"], "x int"),
            ("array_agg(n)[1] as x", vec!["array_agg(n)"], "x bigint"),
        ] {
            let (names, scalar) = planned(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
            assert_eq!(names, calls, "{text}");
            assert_eq!(format!("{} {}", scalar.field().name(), SqlName(scalar.field().data_type())), found, "{text}");
        }
        assert!(matches!(ComputeItem::parse("(sum(n)) as s", &rows()), Ok(ComputeItem::Function(_))));
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        for (text, wanted) in [
            ("sum(n) + n as x", "not-an-aggregate at `n`(9): `n` need not be the same in all rows of a group"),
            ("sum(n) + t as x", "not-an-aggregate at `t`(9): `t` need not be the same in all rows of a group"),
            ("sum(n) + nn as x", "unknown-column at `nn`(9): there is no column `nn`"),
            ("1 + sum(m) as x", "unknown-column at `m`(8): there is no column `m`"),
            ("1 + summ(n) as x", "unknown-function at `summ`(4): there is no function `summ`"),
            ("1 + sum(max(n)) as x", "aggregate-not-allowed at `max`(8): `max` cannot stand inside `sum`"),
            ("k + sum(n) as x", "type-mismatch at `k + sum(n)`(0): `+` cannot be applied to string and bigint"),
            ("1 + sum(t) as x", "type-mismatch at `t`(8): `sum` does not take a value of type string"),
            ("sum(n) + 1", "missing-name: `sum(n) + 1` has no name"),
        ] {
            let error = planned(text).unwrap_err();
            let place = error.span.map_or(String::new(), |at| format!(" at `{}`({})", &text[at.clone()], at.start));
            assert_eq!(format!("{}{place}: {}", error.code, error.message), wanted, "{text}");
        }
    }
}

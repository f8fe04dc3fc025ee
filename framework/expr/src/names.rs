//! Names in an expression, and what may stand in one at all, checked on the syntax tree, where places are known.
//!
//! After this, planning an expression can fail for its types only.

use std::ops::ControlFlow;

use arrow::array::timezone::Tz;
use arrow::datatypes::{DataType, Schema};
use datafusion_sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, DataType as SqlType, Expr, Function, FunctionArguments, Ident, ObjectName, Query, Spanned, TypedString,
    Value, ValueWithSpan, Visit, Visitor,
};
use datafusion_sql::sqlparser::tokenizer::Span;
use millstream_api::diagnostic::nearest;
use millstream_api::types::SqlName;

use crate::absent::why_not;
use crate::error::ExprError;
use crate::functions;
use crate::shorthands::SHORTHANDS;
use crate::sql::{Places, Sql};
use crate::stack::with_room;
use crate::types::{TYPE_NAMES, named_type};

/// What an expression is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// One value for each row: no aggregate function.
    Scalar,
    /// One value for a group of rows: aggregate functions, but none within another.
    Aggregate,
}

/// Checks every name in `sql`, which was parsed from `text`; the first mistake in reading order is reported.
pub(crate) fn check(sql: &Sql, text: &str, schema: &Schema, purpose: Purpose) -> Result<(), ExprError> {
    with_room(sql.depth, || check_tree(sql, text, schema, purpose))
}

fn check_tree(sql: &Sql, text: &str, schema: &Schema, purpose: Purpose) -> Result<(), ExprError> {
    let mut checker = Checker { places: Places(text), schema, purpose, within: Vec::new(), fields: Vec::new() };
    match sql.tree.visit(&mut checker) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Checker<'a> {
    places: Places<'a>,
    schema: &'a Schema,
    purpose: Purpose,
    /// The aggregate functions around the node at hand.
    within: Vec<String>,
    /// Names after a dot, which are fields and not columns.
    fields: Vec<Span>,
}

impl Visitor for Checker<'_> {
    type Break = ExprError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<ExprError> {
        ControlFlow::Break(self.unsupported("a subquery", query, "join the two streams with an operator of type `join`"))
    }

    fn pre_visit_expr(&mut self, node: &Expr) -> ControlFlow<ExprError> {
        match self.node(node) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn post_visit_expr(&mut self, node: &Expr) -> ControlFlow<ExprError> {
        if let Expr::Function(function) = node
            && functions::is_aggregate(&function_name(&function.name))
        {
            self.within.pop();
        }
        ControlFlow::Continue(())
    }
}

/// What to write instead of a dot or an index after a column with JSON in it.
pub(crate) const OF_JSON: &str =
    "of a `json` column `->> 'key'` is the text and `-> 'key'` the JSON at a key; `-> 0` is that of a list's first item";

/// Whether it is a number, of which a double would make infinity.
fn is_beyond_double(value: &Value) -> bool {
    matches!(value, Value::Number(text, _) if text.parse().is_ok_and(f64::is_infinite))
}

impl Checker<'_> {
    fn node(&mut self, node: &Expr) -> Result<(), ExprError> {
        match node {
            Expr::Identifier(name) if self.fields.contains(&name.span) => Ok(()),
            Expr::Identifier(name) => self.column(name).map(|_| ()),
            Expr::CompoundIdentifier(names) => self.field(names),
            Expr::CompoundFieldAccess { root, access_chain } => self.accesses(root, access_chain),
            Expr::Function(function) => self.function(function),
            Expr::Cast { data_type, format: None, .. } | Expr::TypedString(TypedString { data_type, .. }) => {
                self.data_type(node, data_type)
            }
            Expr::Cast { format: Some(_), .. } => Err(self.unsupported("a cast with a format", node, "use to_char(…) or to_timestamp(…)")),
            Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => {
                Err(self.unsupported(&format!("`{}`", value.value), node, "write the value itself, or ${NAME} from the environment"))
            }
            Expr::Value(value) if is_beyond_double(&value.value) => {
                let message = format!("`{}` is greater than any double", value.value);
                Err(ExprError::new("type-mismatch", message, self.places.of(node)))
            }
            Expr::Exists { .. } | Expr::InSubquery { .. } | Expr::Subquery(_) => {
                Err(self.unsupported("a subquery", node, "join the two streams with an operator of type `join`"))
            }
            Expr::SimilarTo { .. } => Err(self.unsupported("`similar to`", node, "use `like`, or `~` with a regular expression")),
            Expr::AtTimeZone { time_zone, .. } => self.time_zone(time_zone),
            Expr::Like { escape_char: Some(escape), any: false, .. } | Expr::ILike { escape_char: Some(escape), any: false, .. } => {
                self.escape(node, escape)
            }
            Expr::AnyOp { left, right, compare_op: BinaryOperator::Eq, .. } => {
                Err(self.unsupported("`= any (…)`", node, &format!("write `array_has({right}, {left})` of a list")))
            }
            Expr::AllOp { left, right, compare_op: BinaryOperator::NotEq } => {
                Err(self.unsupported("`<> all (…)`", node, &format!("write `not array_has({right}, {left})` of a list")))
            }
            Expr::AnyOp { .. } | Expr::AllOp { .. } => {
                Err(self.unsupported("`any (…)` and `all (…)`", node, "compare with `array_max(l)` or `array_min(l)` of a list"))
            }
            Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => {
                Err(self.unsupported("`*`", node, "name a column; all columns are meant by `*` in `columns` of a select only"))
            }
            node if supported(node) => Ok(()),
            node => Err(self.unsupported(
                &format!("`{node}`"),
                node,
                "expressions are those of SQL's select list without subqueries and windows",
            )),
        }
    }

    fn column(&self, name: &Ident) -> Result<&DataType, ExprError> {
        if let Ok(field) = self.schema.field_with_name(&name.value) {
            return Ok(field.data_type());
        }
        let found = ExprError::new("unknown-column", format!("there is no column `{}`", name.value), self.places.range(name.span));
        let names = || self.schema.fields().iter().map(|f| f.name().as_str());
        let all = if self.schema.fields().is_empty() { "none".to_owned() } else { names().collect::<Vec<_>>().join(", ") };
        let quoted = if name.quote_style == Some('"') { "double quotes are for columns, single quotes for text; " } else { "" };
        Err(found.help(match nearest(&name.value, names()) {
            Some(near) => format!("{quoted}did you mean `{near}`? there are {all}"),
            None => format!("{quoted}there are {all}"),
        }))
    }

    /// `a.b.c`: fields of a column that is a struct.
    fn field(&self, names: &[Ident]) -> Result<(), ExprError> {
        let Some((first, rest)) = names.split_first() else { return Ok(()) };
        let mut found = self.column(first)?;
        for name in rest {
            let DataType::Struct(fields) = found else {
                let message = format!("`{name}` is asked of a {}, which has no fields", SqlName(found));
                let error = ExprError::new("unknown-column", message, self.places.range(name.span));
                return Err(if matches!(found, DataType::Utf8View) { error.help(OF_JSON) } else { error });
            };
            let Some((_, field)) = fields.find(&name.value) else {
                let known = fields.iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", ");
                let message = format!("there is no field `{}`", name.value);
                return Err(ExprError::new("unknown-column", message, self.places.range(name.span)).help(format!("there are {known}")));
            };
            found = field.data_type();
        }
        Ok(())
    }

    /// `a[1]`, `s['x']`, `f(a).x`: what is accessed decides when types are known; names are checked where it is a column.
    fn accesses(&mut self, root: &Expr, chain: &[AccessExpr]) -> Result<(), ExprError> {
        let field = |access: &AccessExpr| match access {
            AccessExpr::Dot(Expr::Identifier(name)) => Some(name.clone()),
            _ => None,
        };
        let leading = chain.iter().take_while(|access| field(access).is_some()).count();
        let leading = if matches!(root, Expr::Identifier(_)) { leading } else { 0 };
        if let Some(name) = chain.iter().skip(leading).find_map(field) {
            let message = format!("`.{name}` can follow a column only");
            return Err(ExprError::new("syntax", message, self.places.range(name.span)).help(format!("write `['{name}']`")));
        }
        self.fields.extend(chain.iter().filter_map(field).map(|name| name.span));
        let Expr::Identifier(root) = root else { return Ok(()) };
        let dots = chain.iter().map_while(field);
        self.field(&std::iter::once(root.clone()).chain(dots).collect::<Vec<_>>())
    }

    fn data_type(&self, node: &Expr, name: &SqlType) -> Result<(), ExprError> {
        let Err(help) = named_type(name) else { return Ok(()) };
        let place = match name {
            SqlType::Custom(name, _) => self.places.of(name),
            _ => self.places.of(node),
        };
        let text = name.to_string().to_lowercase();
        let error = ExprError::new("unknown-type", format!("`{text}` is not a type"), place);
        Err(match nearest(&text, TYPE_NAMES) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error.help(help),
        })
    }

    fn time_zone(&self, node: &Expr) -> Result<(), ExprError> {
        let name = match node {
            Expr::Value(value) => value.value.clone().into_string(),
            _ => None,
        };
        match name.map(|name| name.parse::<Tz>()) {
            Some(Ok(_)) => Ok(()),
            _ => Err(ExprError::new("syntax", format!("{node} is not a time zone"), self.places.of(node))
                .help("write its name, such as 'Europe/Berlin', or an offset, such as '+01:00'")),
        }
    }

    fn escape(&self, node: &Expr, escape: &ValueWithSpan) -> Result<(), ExprError> {
        match &escape.value {
            Value::SingleQuotedString(text) if text == "\\" => Ok(()),
            _ => Err(self.unsupported("`escape`", node, "`%` and `_` are escaped with a backslash: `like '100\\%'`")),
        }
    }

    fn function(&mut self, function: &Function) -> Result<(), ExprError> {
        let name = function_name(&function.name);
        if matches!(function.args, FunctionArguments::None) && self.schema.field_with_name(&function.name.to_string()).is_ok() {
            return Ok(());
        }
        if function.over.is_some() {
            let help = why_not(&name).unwrap_or("windows are made by an operator of type `window`");
            return Err(self.unsupported("`over (…)`", &function.name, help));
        }
        if functions::is_aggregate(&name) {
            return self.aggregate(function, name);
        }
        if functions::scalar(&name).is_none() {
            return Err(self.unknown_function(function, &name));
        }
        let plain = match &function.args {
            FunctionArguments::List(list) => list.duplicate_treatment.is_none() && list.clauses.is_empty(),
            _ => true,
        };
        if !plain || function.null_treatment.is_some() || !function.within_group.is_empty() {
            let help = format!("only aggregate functions have that, not `{name}`");
            return Err(self.unsupported("`distinct`, `order by` or a clause on nulls", &function.name, &help));
        }
        match &function.filter {
            Some(filter) => {
                Err(self.unsupported("`filter (…)`", filter.as_ref(), &format!("only aggregate functions have a filter, not `{name}`")))
            }
            None => Ok(()),
        }
    }

    fn aggregate(&mut self, function: &Function, name: String) -> Result<(), ExprError> {
        let place = self.places.of(&function.name);
        if self.purpose == Purpose::Scalar {
            let message = format!("`{name}` is an aggregate function and cannot stand here");
            return Err(ExprError::new("aggregate-not-allowed", message, place)
                .help("compute it in an operator of type `aggregate`, under `compute`, and use the column that it gives"));
        }
        if let Some(outer) = self.within.last() {
            let message = format!("`{name}` cannot stand inside `{outer}`");
            return Err(ExprError::new("aggregate-not-allowed", message, place).help("aggregate in two operators, one after the other"));
        }
        self.within.push(name);
        Ok(())
    }

    fn unknown_function(&self, function: &Function, name: &str) -> ExprError {
        let found = ExprError::new("unknown-function", format!("there is no function `{name}`"), self.places.of(&function.name));
        let known = functions::scalar_names()
            .chain(SHORTHANDS.map(|(name, ..)| name))
            .chain(functions::aggregate_names().filter(|_| self.purpose == Purpose::Aggregate));
        match (why_not(name), nearest(name, known)) {
            (Some(reason), _) => found.help(reason),
            (None, Some(near)) => found.help(format!("did you mean `{near}`?")),
            (None, None) => found.help("docs/expressions.md lists the functions"),
        }
    }

    fn unsupported(&self, what: &str, node: &impl Spanned, help: &str) -> ExprError {
        ExprError::new("syntax", format!("{what} cannot stand in an expression"), self.places.of(node)).help(help)
    }
}

/// The name of a function as it is looked up: without regard to case, unless it is quoted.
pub(crate) fn function_name(name: &ObjectName) -> String {
    match name.0.as_slice() {
        [part] => match part.as_ident() {
            Some(ident) if ident.quote_style.is_some() => ident.value.clone(),
            Some(ident) => ident.value.to_lowercase(),
            None => part.to_string(),
        },
        _ => name.to_string(),
    }
}

fn supported(node: &Expr) -> bool {
    matches!(
        node,
        Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotUnknown(_)
            | Expr::IsDistinctFrom(..)
            | Expr::IsNotDistinctFrom(..)
            | Expr::InList { .. }
            | Expr::Between { .. }
            | Expr::BinaryOp { .. }
            | Expr::Like { any: false, .. }
            | Expr::ILike { any: false, .. }
            | Expr::UnaryOp { .. }
            | Expr::AtTimeZone { .. }
            | Expr::Extract { .. }
            | Expr::Ceil { .. }
            | Expr::Floor { .. }
            | Expr::Position { .. }
            | Expr::Substring { .. }
            | Expr::Trim { .. }
            | Expr::Overlay { .. }
            | Expr::Nested(_)
            | Expr::Value(_)
            | Expr::Case { .. }
            | Expr::Array(_)
            | Expr::Interval(_)
    )
}

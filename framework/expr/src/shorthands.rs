//! Functions that are short for an expression: what users of Flink SQL and MySQL write for what has another name here.
//!
//! They are written out in the syntax tree, before anything looks at names and types, from templates in SQL. What is written
//! out has no place of its own in the text; the arguments keep theirs.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value, VisitMut, VisitorMut};
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::parser::Parser;
use datafusion_sql::sqlparser::tokenizer::Tokenizer;

use crate::error::ExprError;
use crate::names::function_name;
use crate::sql::Places;

/// Name, what it stands for with `$1`, `$2` … for the arguments, and how it is called. Each argument stands there once: nested
/// calls must not grow without bounds.
pub(crate) const SHORTHANDS: [(&str, &str, &str); 29] = [
    ("array_remove", "array_remove_all($1, $2)", "array_remove(list, element)"),
    ("ceiling", "ceil($1)", "ceiling(number)"),
    ("datediff", "cast($1 as date) - cast($2 as date)", "datediff(later, earlier), in days"),
    ("dayofmonth", "extract(day from $1)", "dayofmonth(time)"),
    ("dayofweek", "extract(dow from $1) + 1", "dayofweek(time), 1 is Sunday"),
    ("dayofyear", "extract(doy from $1)", "dayofyear(time)"),
    ("endswith", "ends_with($1, $2)", "endswith(text, end)"),
    ("hour", "extract(hour from $1)", "hour(time)"),
    ("if", "case when $1 then $2 else $3 end", "if(condition, value, otherwise)"),
    ("last_day", "cast(date_trunc('month', $1) + interval '1 month' - interval '1 day' as date)", "last_day(time)"),
    ("locate", "strpos($2, $1)", "locate(part, text)"),
    ("minute", "extract(minute from $1)", "minute(time)"),
    ("mod", "($1) % ($2)", "mod(number, divisor)"),
    ("month", "extract(month from $1)", "month(time)"),
    ("quarter", "extract(quarter from $1)", "quarter(time)"),
    ("regexp", "regexp_like($1, $2)", "regexp(text, pattern)"),
    ("regexp_extract", "regexp_match($1, '(' || $2 || ')')[1]", "regexp_extract(text, pattern)"),
    ("regexp_extract", "regexp_match($1, '(' || $2 || ')')[nullif(greatest($3, -1), -1) + 1]", "regexp_extract(text, pattern, group)"),
    ("second", "extract(second from $1)", "second(time)"),
    ("sign", "signum($1)", "sign(number)"),
    ("split_index", "string_to_array($1, $2)[nullif(greatest($3, -1), -1) + 1]", "split_index(text, delimiter, index from 0)"),
    ("startswith", "starts_with($1, $2)", "startswith(text, beginning)"),
    ("timestampadd", "to_timestamp_micros(cast(cast($3 as timestamp) as bigint) + $2 * $1)", ADD),
    ("timestampdiff", "(cast(cast($3 as timestamp) as bigint) - cast(cast($2 as timestamp) as bigint)) / $1", DIFFERENCE),
    ("truncate", "trunc($1)", "truncate(number)"),
    ("truncate", "trunc($1, $2)", "truncate(number, digits)"),
    ("unix_timestamp", "cast(date_trunc('second', cast($1 as timestamp)) as bigint) / 1000000", "unix_timestamp(time)"),
    ("week", "extract(week from $1)", "week(time)"),
    ("year", "extract(year from $1)", "year(time)"),
];

const ADD: &str = "timestampadd(second, number, time), with microsecond, millisecond, second, minute, hour, day or week";
const DIFFERENCE: &str = "timestampdiff(second, from, to), with microsecond, millisecond, second, minute, hour, day or week";

/// The microseconds of a unit that stands as a word in the place of an argument.
fn microseconds(unit: &Expr) -> Option<i64> {
    let Expr::Identifier(name) = unit else { return None };
    Some(match name.value.to_lowercase().as_str() {
        "microsecond" => 1,
        "millisecond" => 1_000,
        "second" => 1_000_000,
        "minute" => 60_000_000,
        "hour" => 3_600_000_000,
        "day" => 86_400_000_000,
        "week" => 604_800_000_000,
        _ => return None,
    })
}

/// How many shorthands may stand within one another: each adds some levels to the tree that the text does not show.
const NESTING_LIMIT: usize = 10;

/// How many levels a shorthand may add.
const LEVELS: usize = 6;

/// Writes out every shorthand in `tree`, which was parsed from `text`, and says how many levels deeper it may be now.
pub(crate) fn write_out(tree: &mut Expr, text: &str) -> Result<usize, ExprError> {
    let mut writer = Writer { places: Places(text), open: 0, most: 0 };
    match VisitMut::visit(tree, &mut writer) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(writer.most * LEVELS),
    }
}

struct Writer<'a> {
    places: Places<'a>,
    /// How many shorthands there are around the node at hand.
    open: usize,
    /// The most there were.
    most: usize,
}

impl VisitorMut for Writer<'_> {
    type Break = ExprError;

    fn pre_visit_expr(&mut self, node: &mut Expr) -> ControlFlow<ExprError> {
        if shorthand(node).is_some() {
            self.open += 1;
            self.most = self.most.max(self.open);
        }
        if self.open > NESTING_LIMIT {
            let error = ExprError::new("syntax", "the expression is nested too deeply", self.places.of(node));
            return ControlFlow::Break(error.help("split it over several columns"));
        }
        ControlFlow::Continue(())
    }

    /// After the arguments, so that these are written out already.
    fn post_visit_expr(&mut self, node: &mut Expr) -> ControlFlow<ExprError> {
        let Some((call, name)) = shorthand(node) else { return ControlFlow::Continue(()) };
        self.open -= 1;
        let mut forms = SHORTHANDS.iter().filter(|(known, ..)| *known == name);
        let arguments = plain_arguments(call).and_then(|arguments| with_unit(&name, arguments));
        let calls = forms.clone().map(|(_, _, call)| format!("`{call}`")).collect::<Vec<_>>().join(" or ");
        let written = forms.find_map(|(_, template, _)| filled(template, arguments.as_ref()?));
        match written {
            Some(written) => {
                *node = Expr::Nested(Box::new(written));
                ControlFlow::Continue(())
            }
            None => {
                let error = ExprError::new("type-mismatch", format!("`{name}` has other arguments"), self.places.of(node));
                ControlFlow::Break(error.help(format!("it is called as {calls}")))
            }
        }
    }
}

/// The call and its name, if the node is a shorthand.
fn shorthand(node: &Expr) -> Option<(&Function, String)> {
    let Expr::Function(call) = node else { return None };
    let name = function_name(&call.name);
    let known = SHORTHANDS.iter().any(|(known, ..)| *known == name) && !matches!(call.args, FunctionArguments::None);
    known.then_some((call, name))
}

/// The arguments, if the call has nothing but these.
fn plain_arguments(call: &Function) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = &call.args else { return None };
    let plain = list.duplicate_treatment.is_none() && list.clauses.is_empty() && call.filter.is_none() && call.over.is_none();
    let argument = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) => Some(argument.clone()),
        _ => None,
    };
    plain.then(|| list.args.iter().map(argument).collect()).flatten()
}

/// The arguments with a number of microseconds where the function takes a unit.
fn with_unit(name: &str, mut arguments: Vec<Expr>) -> Option<Vec<Expr>> {
    if matches!(name, "timestampadd" | "timestampdiff") {
        let first = arguments.first_mut()?;
        *first = Expr::Value(Value::Number(microseconds(first)?.to_string(), false).into());
    }
    Some(arguments)
}

/// The template with these arguments, if it has as many.
fn filled(template: &str, arguments: &[Expr]) -> Option<Expr> {
    let wanted = (1..).take_while(|number| template.contains(&format!("${number}"))).count();
    if wanted != arguments.len() {
        return None;
    }
    let dialect = GenericDialect {};
    // Tokens without places, so that only the arguments have one.
    let tokens = Tokenizer::new(&dialect, template).tokenize().ok()?;
    let mut written = Parser::new(&dialect).with_tokens(tokens).parse_expr().ok()?;
    let _ = VisitMut::visit(&mut written, &mut Filler { arguments });
    Some(written)
}

struct Filler<'a> {
    arguments: &'a [Expr],
}

impl VisitorMut for Filler<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, node: &mut Expr) -> ControlFlow<()> {
        if let Expr::Value(value) = node
            && let Value::Placeholder(name) = &value.value
            && let Some(argument) = name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok()).and_then(|n| self.arguments.get(n - 1))
        {
            *node = argument.clone();
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_sql_with_all_its_arguments() {
        for (name, template, _) in SHORTHANDS {
            let wanted = (1..=3).filter(|number| template.contains(&format!("${number}"))).count();
            let arguments = vec![Expr::Identifier("x".into()); wanted];
            let written = filled(template, &arguments).map(|tree| tree.to_string());
            assert!(written.is_some_and(|text| text.contains('x') && !text.contains('$')), "{name}");
            assert!(filled(template, &arguments[1..]).is_none(), "{name}");
            assert_eq!(template.matches('$').count(), wanted, "{name}: each argument once");
        }
    }
}

//! What may be compared, mixed and computed with what: our rules, where DataFusion's are laxer.
//!
//! It would compare text with numbers, mix them in a `case`, read any text as a time. In a pipeline each of these is a mistake
//! that shows late, so [`violation`] refuses them at `check`. It looks at one node of a resolved, not yet coerced expression.

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::{BinaryExpr, Case, Expr, ExprSchemable, Operator};
use millstream_api::types::SqlName;

use crate::formats::Template;
use crate::json::Path;
use crate::planner::Scope;
use crate::rewrite::compares;
use crate::time_reading::wrong_format;

/// Why something is refused, and what would be right.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl From<String> for Refused {
    fn from(message: String) -> Self {
        Refused { message, help: None }
    }
}

fn with_help(message: String, help: impl Into<String>) -> Refused {
    Refused { message, help: Some(help.into()) }
}

const CAST_ONE: &str = "make them one type with a cast, as in `cast(… as bigint)`";

/// What our rules have against the operator or function at the root of `expr`.
pub(crate) fn violation(expr: &Expr, scope: &Scope) -> Option<Refused> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => refused_operands(left, *op, right, scope),
        Expr::InList(list) => list.list.iter().find_map(|item| refused_comparison(&list.expr, item, scope)),
        Expr::Between(b) => refused_comparison(&b.expr, &b.low, scope).or_else(|| refused_comparison(&b.expr, &b.high, scope)),
        Expr::Case(case) => refused_case(case, scope),
        Expr::Not(operand) => refused_condition("not", operand, scope),
        Expr::IsTrue(operand) | Expr::IsNotTrue(operand) | Expr::IsFalse(operand) | Expr::IsNotFalse(operand) => {
            refused_condition("is", operand, scope)
        }
        Expr::IsUnknown(operand) | Expr::IsNotUnknown(operand) => refused_condition("is", operand, scope),
        Expr::Negative(operand) => {
            let found = type_of(operand, scope)?;
            (!matches!(Kind::of(&found), Kind::Number | Kind::Interval | Kind::Null)).then(|| refused_sign("-", &found).into())
        }
        Expr::Like(like) => {
            let (text, pattern) = (type_of(&like.expr, scope)?, type_of(&like.pattern, scope)?);
            let strings = [&text, &pattern].iter().all(|t| matches!(Kind::of(t), Kind::Text | Kind::Null));
            (!strings).then(|| refused_operator("like", &text, &pattern).into())
        }
        Expr::Cast(cast) => {
            let found = type_of(&cast.expr, scope)?;
            let (from, to) = (Kind::of(&found), Kind::of(cast.field.data_type()));
            let senseless = matches!((from, to), (Kind::Boolean, Kind::Time) | (Kind::Time, Kind::Boolean))
                || matches!((from, to), (Kind::Number, Kind::Time) if !found.is_integer());
            senseless.then(|| format!("{} cannot be cast to {}", SqlName(&found), SqlName(cast.field.data_type())).into())
        }
        Expr::ScalarFunction(call) => refused_arguments(call, scope),
        _ => None,
    }
}

/// How an operator with these operands is refused.
pub(crate) fn refused_operator(operator: &str, left: &DataType, right: &DataType) -> String {
    format!("`{}` cannot be applied to {} and {}", operator.to_lowercase(), SqlName(left), SqlName(right))
}

/// What to do instead of multiplying an interval by a number; nothing for other operands.
pub(crate) fn scaled_interval(left: &DataType, right: &DataType) -> Option<&'static str> {
    let kinds = (Kind::of(left), Kind::of(right));
    matches!(kinds, (Kind::Number, Kind::Interval) | (Kind::Interval, Kind::Number))
        .then_some("compute with microseconds instead, as in `to_timestamp_micros(cast(ts as bigint) + n * 1000000)` for n seconds later")
}

/// How a sign before this is refused.
pub(crate) fn refused_sign(sign: &str, found: &DataType) -> String {
    format!("`{sign}` cannot be applied to {}", SqlName(found))
}

/// How something else than a condition is refused where one must be.
pub(crate) fn not_a_condition(place: &str, found: &DataType) -> String {
    format!("`{place}` needs a condition, found {}", SqlName(found))
}

/// Types as far as it matters what can be compared and mixed with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Null,
    Boolean,
    Number,
    Text,
    Time,
    Interval,
    Other,
}

impl Kind {
    fn of(found: &DataType) -> Kind {
        match found {
            DataType::Null => Kind::Null,
            DataType::Boolean => Kind::Boolean,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Kind::Text,
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => Kind::Time,
            DataType::Interval(_) | DataType::Duration(_) => Kind::Interval,
            number if number.is_numeric() => Kind::Number,
            _ => Kind::Other,
        }
    }
}

fn type_of(expr: &Expr, scope: &Scope) -> Option<DataType> {
    expr.get_type(scope.columns()).ok()
}

fn refused_operands(left: &Expr, operator: Operator, right: &Expr, scope: &Scope) -> Option<Refused> {
    match operator {
        Operator::And | Operator::Or => {
            let name = operator.to_string().to_lowercase();
            refused_condition(&name, left, scope).or_else(|| refused_condition(&name, right, scope))
        }
        Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo => {
            let (l, r) = (type_of(left, scope)?, type_of(right, scope)?);
            let countable = |t: &DataType| matches!(Kind::of(t), Kind::Number | Kind::Time | Kind::Interval | Kind::Null);
            (!countable(&l) || !countable(&r)).then(|| refused_operator(&operator.to_string(), &l, &r).into())
        }
        // Of lists it was made a function of already.
        Operator::AtArrow | Operator::ArrowAt => {
            let (l, r) = (type_of(left, scope)?, type_of(right, scope)?);
            Some(with_help(refused_operator(&operator.to_string(), &l, &r), "both sides must be lists: `l @> make_array(1)`"))
        }
        Operator::RegexMatch | Operator::RegexIMatch | Operator::RegexNotMatch | Operator::RegexNotIMatch => refused_pattern(right),
        _ if compares(operator) => refused_comparison(left, right, scope),
        _ => None,
    }
}

fn refused_condition(place: &str, operand: &Expr, scope: &Scope) -> Option<Refused> {
    let found = type_of(operand, scope)?;
    (!matches!(Kind::of(&found), Kind::Boolean | Kind::Null)).then(|| not_a_condition(place, &found).into())
}

/// Text is not compared with numbers or conditions; a text literal is read as a time or interval where it is compared with one.
fn refused_comparison(left: &Expr, right: &Expr, scope: &Scope) -> Option<Refused> {
    let (l, r) = (type_of(left, scope)?, type_of(right, scope)?);
    let (kl, kr) = (Kind::of(&l), Kind::of(&r));
    let read_as = |literal: &Expr, other: Kind| text_literal(literal).is_some() && matches!(other, Kind::Time | Kind::Interval);
    let fine = kl == kr || kl == Kind::Null || kr == Kind::Null || read_as(left, kr) || read_as(right, kl);
    (!fine).then(|| with_help(format!("{} cannot be compared with {}", SqlName(&l), SqlName(&r)), CAST_ONE))
}

fn refused_case(case: &Case, scope: &Scope) -> Option<Refused> {
    let refused_when = case.when_then_expr.iter().find_map(|(when, _)| match &case.expr {
        Some(operand) => refused_comparison(operand, when, scope),
        None => refused_condition("when", when, scope),
    });
    let results = case.when_then_expr.iter().map(|(_, then)| then.as_ref()).chain(case.else_expr.as_deref());
    refused_when.or_else(|| {
        let (first, other) = mixed(results, scope)?;
        Some(with_help(format!("the results of `case` are {} and {}", SqlName(&first), SqlName(&other)), CAST_ONE))
    })
}

/// Two types among these that have no type in common.
fn mixed<'a>(values: impl Iterator<Item = &'a Expr>, scope: &Scope) -> Option<(DataType, DataType)> {
    unlike(values.filter_map(|value| type_of(value, scope)).collect())
}

/// Two types of items among these lists and items that have no type in common.
fn mixed_items(values: &[Expr], scope: &Scope) -> Option<(DataType, DataType)> {
    let item = |found: DataType| match found {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => item.data_type().clone(),
        other => other,
    };
    unlike(values.iter().filter_map(|value| type_of(value, scope)).map(item).collect())
}

fn unlike(mut types: Vec<DataType>) -> Option<(DataType, DataType)> {
    types.retain(|found| !found.is_null());
    let (first, rest) = types.split_first()?;
    let other = rest.iter().find(|t| Kind::of(t) != Kind::of(first))?;
    Some((first.clone(), other.clone()))
}

fn refused_arguments(call: &ScalarFunction, scope: &Scope) -> Option<Refused> {
    let name = call.func.name();
    match name {
        "coalesce" | "greatest" | "least" | "nullif" | "nvl" => {
            let (first, other) = mixed(call.args.iter(), scope)?;
            Some(with_help(format!("the arguments of `{name}` are {} and {}", SqlName(&first), SqlName(&other)), CAST_ONE))
        }
        "array_append" | "array_prepend" | "array_concat" | "array_has" | "array_position" | "array_remove_all" | "array_union"
        | "array_intersect" | "array_except" | "make_array" => {
            let (first, other) = mixed_items(&call.args, scope)?;
            Some(with_help(format!("{} and {} cannot be in one list", SqlName(&first), SqlName(&other)), CAST_ONE))
        }
        "to_char" | "date_format" => refused_time(name, call.args.first()?, scope).or_else(|| refused_format(name, call.args.get(1)?)),
        "to_timestamp" | "to_date" => call.args.iter().skip(1).find_map(refused_reading),
        "date_part" => refused_time(name, call.args.get(1)?, scope).or_else(|| refused_unit(call.args.first()?, &PARTS)),
        "date_trunc" => refused_time(name, call.args.get(1)?, scope).or_else(|| refused_unit(call.args.first()?, &UNITS)),
        "character_length" => refused_text(name, call.args.first()?, scope),
        "encode" | "decode" => refused_word("an encoding", call.args.get(1)?, &ENCODINGS),
        "digest" => refused_word("a digest", call.args.get(1)?, &DIGESTS),
        "date_bin" => refused_time(name, call.args.get(1)?, scope),
        "json_value" | "json_query" | "json_exists" => refused_path(call.args.get(1)?),
        "regexp_like" | "regexp_match" | "regexp_replace" | "regexp_count" | "regexp_instr" => refused_pattern(call.args.get(1)?),
        _ => None,
    }
}

/// Text is not read as a time by the way, except a literal.
fn refused_time(name: &str, argument: &Expr, scope: &Scope) -> Option<Refused> {
    let found = type_of(argument, scope)?;
    let refused = match Kind::of(&found) {
        Kind::Time | Kind::Interval | Kind::Null => false,
        Kind::Text => text_literal(argument).is_none(),
        _ => true,
    };
    let found = SqlName(&found);
    refused.then(|| with_help(format!("`{name}` needs a timestamp or a date, found {found}"), "cast it, as in `cast(… as timestamp)`"))
}

/// The length of a number would be that of how it is written.
fn refused_text(name: &str, argument: &Expr, scope: &Scope) -> Option<Refused> {
    let found = type_of(argument, scope)?;
    let help = match found {
        DataType::List(_) => "`cardinality(l)` is the number of items of a list",
        _ => "cast it, as in `cast(… as string)`",
    };
    (!matches!(Kind::of(&found), Kind::Text | Kind::Null))
        .then(|| with_help(format!("`{name}` needs a text, found {}", SqlName(&found)), help))
}

/// How bytes are written as text; `base64` without the `=` that fill it up.
const ENCODINGS: [&str; 3] = ["hex", "base64", "base64pad"];

const DIGESTS: [&str; 8] = ["md5", "sha224", "sha256", "sha384", "sha512", "blake2s", "blake2b", "blake3"];

/// A word that must stand there as a literal, in lower case.
fn refused_word(what: &str, word: &Expr, known: &[&str]) -> Option<Refused> {
    let there_are = format!("there are {}", known.join(", "));
    match text_literal(word) {
        Some(word) if known.contains(&word) => None,
        Some(word) => Some(with_help(format!("`{word}` is not the name of {what}"), there_are)),
        None => Some(with_help(format!("the name of {what} must be a literal"), there_are)),
    }
}

/// What `date_trunc` cuts to.
const UNITS: [&str; 10] = ["microsecond", "millisecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year"];

/// What `extract` and `date_part` take out.
const PARTS: [&str; 15] = [
    "year",
    "isoyear",
    "quarter",
    "month",
    "week",
    "day",
    "hour",
    "minute",
    "second",
    "millisecond",
    "microsecond",
    "dow",
    "isodow",
    "doy",
    "epoch",
];

fn refused_unit(unit: &Expr, known: &[&str]) -> Option<Refused> {
    let unit = text_literal(unit)?.to_lowercase();
    (!known.contains(&unit.as_str()))
        .then(|| with_help(format!("`{unit}` is not a part of a time"), format!("there are {}", known.join(", "))))
}

const FORMATS: &str = "write '%Y-%m-%d %H:%M:%S', or to_char(…, 'YYYY-MM-DD HH24:MI:SS'), or date_format(…, 'yyyy-MM-dd HH:mm:ss')";

fn refused_format(name: &str, format: &Expr) -> Option<Refused> {
    match text_literal(format) {
        Some(format) => Template::of(name)?.strftime(format).err().map(|wrong| with_help(wrong, FORMATS)),
        None => Some(with_help(format!("the format of `{name}` must be a literal"), FORMATS)),
    }
}

fn refused_reading(format: &Expr) -> Option<Refused> {
    wrong_format(text_literal(format)?).map(|wrong| with_help(wrong, "write '%Y-%m-%d %H:%M:%S' or 'yyyy-MM-dd HH:mm:ss'"))
}

fn refused_path(path: &Expr) -> Option<Refused> {
    Path::parse(text_literal(path)?).err().map(Refused::from)
}

fn refused_pattern(pattern: &Expr) -> Option<Refused> {
    let pattern = text_literal(pattern)?;
    match regex::Regex::new(pattern).err()? {
        regex::Error::CompiledTooBig(limit_bytes) => {
            let message = format!("the regular expression `{pattern}` would take more than {} MiB", limit_bytes >> 20);
            Some(with_help(message, "repeat less: `(a{1000}){1000}` is a million times `a`"))
        }
        // What is wrong stands in the last line, below the place.
        wrong => {
            let reason = wrong.to_string().lines().last().map(|line| line.trim_start_matches("error: ").to_owned()).unwrap_or_default();
            Some(with_help(format!("`{pattern}` is not a regular expression"), reason))
        }
    }
}

fn text_literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text), _) => text.as_deref(),
        _ => None,
    }
}

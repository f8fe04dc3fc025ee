//! Rewrites of logical expressions that give them our semantics, and constants computed once.
//!
//! Nothing here may change which rows fail: operands are neither dropped nor reordered, and what fails when it is folded stays,
//! to fail on the rows that need it.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, IntervalUnit, Schema, TimeUnit};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DataFusionError, Result as DfResult, ScalarValue, internal_err};
use datafusion_expr::expr::{Alias, ScalarFunction};
use datafusion_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion_expr::{BinaryExpr, Cast, Expr, ExprSchemable, Operator, Volatility, lit};
use datafusion_functions::core::coalesce;

use millstream_api::types::{SqlName, timestamp_type};

use crate::canonical::{canonical_float, interval_length, nullif_by_value};
use crate::physical::failure::RowFailure;
use crate::planner::{Scope, compile_in};
use crate::time_reading::reading_by_format;

/// Applied to a resolved expression before it is coerced: aliases are dropped, and what would go through nanoseconds does not.
pub(crate) fn unified(expr: Expr, scope: &Scope) -> DfResult<Expr> {
    let rewritten = expr.transform_up(|node| {
        Ok(match node {
            Expr::Alias(Alias { expr, .. }) => Transformed::yes(*expr),
            Expr::Cast(cast) => zoned(cast),
            Expr::ScalarFunction(call) if call.args.len() > 1 => read_by_format(call),
            Expr::ScalarFunction(call) if reads_date(&call) => Transformed::yes(date_of(call)?),
            Expr::ScalarFunction(call) if reads_epoch(&call) => Transformed::yes(timestamp_of(call, scope)?),
            other => Transformed::no(other),
        })
    });
    rewritten.map(|t| t.data)
}

/// Applied to a coerced expression: conditional functions evaluate what is needed, floats and intervals compare by value, constants are
/// computed.
pub(crate) fn to_our_semantics(expr: Expr, scope: &Scope) -> DfResult<Expr> {
    let expanded = expr.transform_up(|node| {
        Ok(match node {
            Expr::ScalarFunction(call) => conditional(call)?,
            other => Transformed::no(other),
        })
    })?;
    let comparable = scope.coerced(expanded.data)?.transform_up(|node| by_value(node, scope))?;
    let folded = scope.coerced(comparable.data)?.transform_up(folded)?;
    Ok(folded.data)
}

/// An expression as another type; the error is of a constant that has no value of that type.
pub(crate) fn cast(expr: Expr, target: &DataType) -> Result<Expr, String> {
    let cast = folded(Expr::Cast(Cast::new(Box::new(expr), target.clone())));
    cast.map(|t| t.data).map_err(|e| our_message(&e).unwrap_or_else(|| e.to_string()))
}

/// The message of an error that was made here, in our words.
pub(crate) fn our_message(error: &DataFusionError) -> Option<String> {
    match error {
        DataFusionError::External(cause) => cause.downcast_ref::<RowFailure>().map(|RowFailure(message)| message.clone()),
        DataFusionError::Context(_, cause) | DataFusionError::Diagnostic(_, cause) => our_message(cause),
        _ => None,
    }
}

/// `at time zone` is planned in nanoseconds, which do not reach far enough.
fn zoned(cast: Cast) -> Transformed<Expr> {
    match cast.field.data_type() {
        DataType::Timestamp(TimeUnit::Nanosecond, Some(zone)) => {
            let micros = DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::clone(zone)));
            Transformed::yes(Expr::Cast(Cast::new(cast.expr, micros)))
        }
        _ => Transformed::no(Expr::Cast(cast)),
    }
}

/// `to_timestamp(text, format)` and `to_date(text, format)` are functions of their own.
fn read_by_format(call: ScalarFunction) -> Transformed<Expr> {
    match reading_by_format(call.func.name()) {
        Some(ours) => Transformed::yes(ours.call(call.args)),
        None => Transformed::no(Expr::ScalarFunction(call)),
    }
}

/// `to_date(x)` with one argument.
fn reads_date(call: &ScalarFunction) -> bool {
    call.args.len() == 1 && call.func.name() == "to_date"
}

fn date_of(mut call: ScalarFunction) -> DfResult<Expr> {
    match call.args.pop() {
        Some(argument) => Ok(Expr::Cast(Cast::new(Box::new(argument), DataType::Date32))),
        None => internal_err!("{} reads no date", call.func.name()),
    }
}

/// `to_timestamp(x)` and its siblings with one argument. DataFusion's go through nanoseconds and saturate.
fn reads_epoch(call: &ScalarFunction) -> bool {
    call.args.len() == 1 && microseconds_of(call.func.name()).is_some()
}

/// How long one unit of an epoch is that this function reads.
fn microseconds_of(function: &str) -> Option<i64> {
    match function {
        "to_timestamp" | "to_timestamp_seconds" => Some(1_000_000),
        "to_timestamp_millis" => Some(1_000),
        "to_timestamp_micros" => Some(1),
        _ => None,
    }
}

fn timestamp_of(mut call: ScalarFunction, scope: &Scope) -> DfResult<Expr> {
    let (Some(argument), Some(micros)) = (call.args.pop(), microseconds_of(call.func.name())) else {
        return internal_err!("{} reads no epoch", call.func.name());
    };
    let found = argument.get_type(scope.columns())?;
    let count = if found.is_integer() {
        let wide = Expr::Cast(Cast::new(Box::new(argument), DataType::Int64));
        Expr::BinaryExpr(BinaryExpr::new(Box::new(wide), Operator::Multiply, Box::new(lit(micros))))
    } else if found.is_numeric() {
        // Floats of seconds would be rounded.
        return Err(RowFailure(format!("`{}` cannot be applied to {}", call.func.name(), SqlName(&found))).into());
    } else {
        argument
    };
    Ok(Expr::Cast(Cast::new(Box::new(count), timestamp_type())))
}

/// `nvl` and `nvl2` in other words, in which only what is needed is evaluated.
fn conditional(call: ScalarFunction) -> DfResult<Transformed<Expr>> {
    let ScalarFunction { func, args } = call;
    match func.name() {
        "nvl" => Ok(Transformed::yes(coalesce().call(args))),
        "nvl2" => match func.simplify(args, &SimplifyContext::default())? {
            ExprSimplifyResult::Simplified(expr) => Ok(Transformed::yes(expr)),
            ExprSimplifyResult::Original(args) => Ok(Transformed::no(func.call(args))),
        },
        _ => Ok(Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args }))),
    }
}

/// Arrow compares floats by their bits (−0.0 below 0.0) and intervals by their months first: operands of comparisons are
/// brought to a form in which that is right.
fn by_value(node: Expr, scope: &Scope) -> DfResult<Transformed<Expr>> {
    let Some(form) = compared(&node).and_then(|operand| comparable_form(operand, scope)) else {
        return Ok(Transformed::no(node));
    };
    let boxed = |operand: Box<Expr>| Box::new(form(*operand));
    Ok(Transformed::yes(match node {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => Expr::BinaryExpr(BinaryExpr::new(boxed(left), op, boxed(right))),
        Expr::Between(mut between) => {
            between.expr = boxed(between.expr);
            between.low = boxed(between.low);
            between.high = boxed(between.high);
            Expr::Between(between)
        }
        Expr::InList(mut list) => {
            list.expr = boxed(list.expr);
            list.list = list.list.into_iter().map(form).collect();
            Expr::InList(list)
        }
        Expr::ScalarFunction(call) => nullif_by_value(call.args),
        Expr::Case(mut case) => {
            case.expr = case.expr.map(boxed);
            case.when_then_expr = case.when_then_expr.into_iter().map(|(when, then)| (boxed(when), then)).collect();
            Expr::Case(case)
        }
        other => other,
    }))
}

/// An operand of a comparison, if the node is one.
fn compared(node: &Expr) -> Option<&Expr> {
    match node {
        Expr::BinaryExpr(BinaryExpr { left, op, .. }) if compares(*op) => Some(left),
        Expr::Between(between) => Some(&between.expr),
        Expr::InList(list) => Some(&list.expr),
        Expr::Case(case) => case.expr.as_deref(),
        Expr::ScalarFunction(call) if call.func.name() == "nullif" => call.args.first(),
        _ => None,
    }
}

/// Whether an operator compares its operands by order or equality.
pub(crate) fn compares(operator: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn comparable_form(operand: &Expr, scope: &Scope) -> Option<fn(Expr) -> Expr> {
    match operand.get_type(scope.columns()).ok()? {
        DataType::Float32 | DataType::Float64 => Some(canonical_float),
        DataType::Interval(IntervalUnit::MonthDayNano) => Some(interval_length),
        _ => None,
    }
}

/// A node whose operands are all constants, computed; as it was when that fails.
fn folded(node: Expr) -> DfResult<Transformed<Expr>> {
    if !is_foldable(&node)? {
        return Ok(Transformed::no(node));
    }
    match constant(&node) {
        Ok(value) => Ok(Transformed::yes(Expr::Literal(value, None))),
        // A literal that is not of its type is a slip of the pen wherever it stands; other failures wait for a row.
        Err(error) if matches!(&node, Expr::Cast(cast) if matches!(cast.expr.as_ref(), Expr::Literal(..))) => Err(error),
        Err(_) => Ok(Transformed::no(node)),
    }
}

fn is_foldable(node: &Expr) -> DfResult<bool> {
    let computes = match node {
        Expr::ScalarFunction(call) => call.func.signature().volatility == Volatility::Immutable,
        Expr::Literal(..) | Expr::Column(_) | Expr::Alias(_) | Expr::AggregateFunction(_) => false,
        _ => true,
    };
    if !computes {
        return Ok(false);
    }
    let mut constant = true;
    node.apply_children(|child| {
        constant &= matches!(child, Expr::Literal(..));
        Ok(datafusion_common::tree_node::TreeNodeRecursion::Continue)
    })?;
    Ok(constant)
}

fn constant(node: &Expr) -> DfResult<ScalarValue> {
    let nothing = Scope::new(&Schema::empty()).map_err(|e| DataFusionError::Internal(e.to_string()))?;
    let physical = compile_in(node, &nothing)?;
    let one_row =
        RecordBatch::try_new_with_options(Arc::clone(nothing.arrow()), Vec::new(), &RecordBatchOptions::new().with_row_count(Some(1)))?;
    let value = physical.evaluate(&one_row)?.into_array(1)?;
    ScalarValue::try_from_array(&value, 0)
}

//! Rewrites of logical expressions that give them our semantics, and constants computed once.
//!
//! Nothing here may change which rows fail: operands are neither dropped nor reordered, and what fails when it is folded stays,
//! to fail on the rows that need it.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, IntervalUnit, Schema};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DataFusionError, Result as DfResult, ScalarValue};
use datafusion_expr::expr::{Alias, ScalarFunction};
use datafusion_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion_expr::{BinaryExpr, Cast, Expr, ExprSchemable, Operator, Volatility};
use millstream_api::types::SqlName;

use crate::canonical::{canonical_float, interval_length};
use crate::planner::{Scope, compile_in};
use crate::types::stream_type;

/// Applied to a resolved expression before it is coerced: aliases are dropped, and times and intervals that functions give in
/// other units become ours, so that they compare without loss.
pub(crate) fn unified(expr: Expr, scope: &Scope) -> DfResult<Expr> {
    let rewritten = expr.transform_up(|node| {
        Ok(match node {
            Expr::Alias(Alias { expr, .. }) => Transformed::yes(*expr),
            Expr::BinaryExpr(_) | Expr::ScalarFunction(_) => match foreign_time(&node, scope) {
                Some(ours) => Transformed::yes(Expr::Cast(Cast::new(Box::new(node), ours))),
                None => Transformed::no(node),
            },
            other => Transformed::no(other),
        })
    });
    rewritten.map(|t| t.data)
}

/// Applied to a coerced expression: conditional functions become `case`, floats and intervals compare by value, constants are
/// computed.
pub(crate) fn to_our_semantics(expr: Expr, scope: &Scope) -> DfResult<Expr> {
    let expanded = expr.transform_up(|node| {
        Ok(match node {
            Expr::ScalarFunction(call) if is_conditional(&call) => expanded(call)?,
            other => Transformed::no(other),
        })
    })?;
    let comparable = scope.coerced(expanded.data)?.transform_up(|node| by_value(node, scope))?;
    let folded = comparable.data.transform_up(folded)?;
    Ok(folded.data)
}

/// The type that a time or interval of another unit has in a stream.
fn foreign_time(node: &Expr, scope: &Scope) -> Option<DataType> {
    let found = node.get_type(scope.columns()).ok()?;
    let temporal = matches!(found, DataType::Timestamp(_, _) | DataType::Duration(_) | DataType::Interval(_) | DataType::Date64);
    stream_type(&found).filter(|ours| temporal && ours != &found)
}

/// Functions that evaluate an argument only where the ones before it are null.
fn is_conditional(call: &ScalarFunction) -> bool {
    matches!(call.func.name(), "coalesce" | "nvl" | "nvl2")
}

fn expanded(call: ScalarFunction) -> DfResult<Transformed<Expr>> {
    let ScalarFunction { func, args } = call;
    Ok(match func.simplify(args, &SimplifyContext::default())? {
        ExprSimplifyResult::Simplified(expr) => Transformed::yes(expr),
        ExprSimplifyResult::Original(args) => Transformed::no(Expr::ScalarFunction(ScalarFunction::new_udf(func, args))),
    })
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
        Err(_) => match &node {
            Expr::Cast(Cast { expr, field }) if matches!(expr.as_ref(), Expr::Literal(..)) => {
                Err(DataFusionError::Plan(format!("{expr} cannot be cast to {}", SqlName(field.data_type()))))
            }
            _ => Ok(Transformed::no(node)),
        },
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

//! `json -> 'a' = 'x'` is `(json -> 'a') = 'x'`, as in PostgreSQL.
//!
//! The parser lets arrows bind looser than comparisons. Parentheses stay in its tree, so an arrow with an operand that is a
//! comparison without them was meant the other way round, and the tree is turned.

use std::convert::Infallible;
use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{BinaryOperator, Expr, Value, VisitMut, VisitorMut};

/// Makes arrows bind tighter than comparisons, `||`, `~`, `is`, `in`, `like` and `between`.
pub(crate) fn bind_tighter(tree: &mut Expr) {
    let _ = VisitMut::visit(tree, &mut Turner);
}

struct Turner;

impl VisitorMut for Turner {
    type Break = Infallible;

    /// After the operands, so that chains of arrows are turned from the left.
    fn post_visit_expr(&mut self, node: &mut Expr) -> ControlFlow<Infallible> {
        let Expr::BinaryOp { left, op: BinaryOperator::Arrow | BinaryOperator::LongArrow, right } = node else {
            return ControlFlow::Continue(());
        };
        if leftmost(right).is_some() || rightmost(left).is_some() {
            turn(node);
        }
        ControlFlow::Continue(())
    }
}

/// `a -> (b = c)` becomes `(a -> b) = c`, and `(a = b) -> c` becomes `a = (b -> c)`.
fn turn(node: &mut Expr) {
    let nothing = || Expr::Value(Value::Null.into());
    let Expr::BinaryOp { mut left, op, mut right } = std::mem::replace(node, nothing()) else { return };
    let json = rightmost(&mut left).map(|operand| std::mem::replace(operand, nothing()));
    let key = leftmost(&mut right).map(|operand| std::mem::replace(operand, nothing()));
    let (before, json) = match json {
        Some(json) => (Some(left), Box::new(json)),
        None => (None, left),
    };
    let (after, key) = match key {
        Some(key) => (Some(right), Box::new(key)),
        None => (None, right),
    };
    let mut turned = Expr::BinaryOp { left: json, op, right: key };
    if let Some(mut before) = before {
        if let Some(operand) = rightmost(&mut before) {
            *operand = turned;
        }
        turned = *before;
    }
    if let Some(mut after) = after {
        if let Some(operand) = leftmost(&mut after) {
            *operand = turned;
        }
        turned = *after;
    }
    *node = turned;
}

/// The leftmost operand of what binds looser than an arrow; nothing of anything else.
fn leftmost(node: &mut Expr) -> Option<&mut Expr> {
    let mut operand = left_operand(node)?;
    while binds_looser(operand) {
        operand = left_operand(operand)?;
    }
    Some(operand)
}

/// The rightmost operand of what binds looser than an arrow and has one on its right; nothing of anything else.
fn rightmost(node: &mut Expr) -> Option<&mut Expr> {
    let mut operand = right_operand(node)?;
    while has_right_operand(operand) {
        operand = right_operand(operand)?;
    }
    Some(operand)
}

fn has_right_operand(node: &Expr) -> bool {
    let ends_with_operand = matches!(
        node,
        Expr::BinaryOp { .. }
            | Expr::IsDistinctFrom(..)
            | Expr::IsNotDistinctFrom(..)
            | Expr::Like { .. }
            | Expr::ILike { .. }
            | Expr::Between { .. }
    );
    ends_with_operand && binds_looser(node)
}

/// The right operand of what binds looser than an arrow.
fn right_operand(node: &mut Expr) -> Option<&mut Expr> {
    if !has_right_operand(node) {
        return None;
    }
    match node {
        Expr::BinaryOp { right, .. } | Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right) => Some(right),
        Expr::Like { pattern, .. } | Expr::ILike { pattern, .. } => Some(pattern),
        Expr::Between { high, .. } => Some(high),
        _ => None,
    }
}

fn binds_looser(node: &Expr) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq, PGRegexIMatch, PGRegexMatch, PGRegexNotIMatch, PGRegexNotMatch, StringConcat};
    match node {
        Expr::BinaryOp { op, .. } => matches!(
            op,
            Eq | NotEq | Lt | LtEq | Gt | GtEq | StringConcat | PGRegexMatch | PGRegexIMatch | PGRegexNotMatch | PGRegexNotIMatch
        ),
        Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::IsTrue(_) | Expr::IsNotTrue(_) | Expr::IsFalse(_) | Expr::IsNotFalse(_) => true,
        Expr::IsUnknown(_) | Expr::IsNotUnknown(_) | Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..) => true,
        Expr::InList { .. } | Expr::Between { .. } | Expr::Like { .. } | Expr::ILike { .. } => true,
        _ => false,
    }
}

/// The left operand of what binds looser than an arrow.
fn left_operand(node: &mut Expr) -> Option<&mut Expr> {
    if !binds_looser(node) {
        return None;
    }
    match node {
        Expr::BinaryOp { left, .. } | Expr::IsDistinctFrom(left, _) | Expr::IsNotDistinctFrom(left, _) => Some(left),
        Expr::IsNull(operand) | Expr::IsNotNull(operand) | Expr::IsTrue(operand) | Expr::IsNotTrue(operand) => Some(operand),
        Expr::IsFalse(operand) | Expr::IsNotFalse(operand) | Expr::IsUnknown(operand) | Expr::IsNotUnknown(operand) => Some(operand),
        Expr::InList { expr, .. } | Expr::Between { expr, .. } | Expr::Like { expr, .. } | Expr::ILike { expr, .. } => Some(expr),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::{parenthesized, parse};

    #[test]
    fn arrows_bind_tighter_than_comparisons() {
        for (text, wanted) in [
            ("j -> 'a' ->> 'b' = 'x'", "(j -> 'a' ->> 'b') = 'x'"),
            ("j ->> 'a' is null and b", "(j ->> 'a') is null and b"),
            ("not j ->> 'a' in ('x', 'y')", "not (j ->> 'a') in ('x', 'y')"),
            ("j ->> 'a' || 'b' like 'c'", "((j ->> 'a') || 'b') like 'c'"),
            ("x = j ->> 'a'", "x = (j ->> 'a')"),
            ("x || j -> 'a' ->> 'b' = y || j ->> 'c'", "(x || ((j -> 'a') ->> 'b')) = (y || (j ->> 'c'))"),
            ("x like j ->> 'a' and y", "(x like (j ->> 'a')) and y"),
            ("j -> ('a' || 'b') -> 1 + 1", "j -> ('a' || 'b') -> (1 + 1)"),
            ("j ->> 'a' ~ '^b' and j ->> 'c' !~* 'd'", "((j ->> 'a') ~ '^b') and ((j ->> 'c') !~* 'd')"),
            ("j ->> 'a' between 'b' and 'c'", "(j ->> 'a') between 'b' and 'c'"),
        ] {
            let written = |text: &str| parenthesized(parse(text).unwrap().tree);
            assert_eq!(written(text), written(wanted), "{text}");
        }
    }
}

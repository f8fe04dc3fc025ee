//! `a is distinct from b and c` is `(a is distinct from b) and c`, as in PostgreSQL.
//!
//! The parser takes all that follows `from` for what is compared with. Parentheses stay in its tree, so an `and` or `or` there without
//! them was meant to stand around the comparison, and the tree is turned, node by node from the inside ([`crate::chains`]).

use datafusion_sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};

/// Ends what `is distinct from` at the end of this node compares with before an `and` or `or`; its operands must be done. What was turned
/// there is the last operand of what stands around it, and goes on outwards: `a is distinct from (b and c)` becomes
/// `(a is distinct from b) and c`, and `x and (y or z)` becomes `(x and y) or z`.
pub(crate) fn end_before_conditions(node: &mut Expr) {
    let own = strength(node);
    let Some(last) = last_operand(node).filter(|last| strength(last) <= own.min(AND)) else { return };
    let Expr::BinaryOp { left, op, right } = std::mem::replace(last, Expr::Value(Value::Null.into())) else { return };
    *last = *left;
    end_before_conditions(node);
    let left = Box::new(std::mem::replace(node, Expr::Value(Value::Null.into())));
    *node = Expr::BinaryOp { left, op, right };
}

const OR: u8 = 1;
const AND: u8 = 2;
const OTHER: u8 = 3;

fn strength(node: &Expr) -> u8 {
    match node {
        Expr::BinaryOp { op: BinaryOperator::Or, .. } => OR,
        Expr::BinaryOp { op: BinaryOperator::And, .. } => AND,
        _ => OTHER,
    }
}

/// The operand at the end of what can have `is distinct from` there.
fn last_operand(node: &mut Expr) -> Option<&mut Expr> {
    match node {
        Expr::BinaryOp { right, .. } | Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right) => Some(right),
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => Some(expr),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::{parenthesized, parse};

    #[test]
    fn conditions_stand_around_it() {
        for (text, wanted) in [
            ("a is distinct from b and c", "(a is distinct from b) and c"),
            ("a is not distinct from b or c", "(a is not distinct from b) or c"),
            ("x and a is distinct from b and c", "(x and (a is distinct from b)) and c"),
            ("x and a is distinct from b or c", "(x and (a is distinct from b)) or c"),
            ("x or a is distinct from b and c", "x or ((a is distinct from b) and c)"),
            ("x or a is distinct from b and c or d", "(x or ((a is distinct from b) and c)) or d"),
            ("not a is distinct from b and c", "(not (a is distinct from b)) and c"),
            ("a is distinct from b and c is distinct from d or e", "((a is distinct from b) and (c is distinct from d)) or e"),
            ("x and not a is distinct from b and c is distinct from d", "(x and (not (a is distinct from b))) and (c is distinct from d)"),
            ("a is distinct from b = c + 1 and d", "(a is distinct from (b = (c + 1))) and d"),
            ("a is distinct from b between c and d and e", "(a is distinct from (b between c and d)) and e"),
            ("j -> 'k' is distinct from b and c", "((j -> 'k') is distinct from b) and c"),
            ("case when a is distinct from b and c then d or e end", "case when ((a is distinct from b) and c) then (d or e) end"),
            ("a is distinct from (b and c)", "a is distinct from (b and c)"),
            ("x and (a is distinct from (b or c) or d)", "x and ((a is distinct from (b or c)) or d)"),
        ] {
            let written = |text: &str| parenthesized(parse(text).unwrap().tree);
            assert_eq!(written(text), written(wanted), "{text}");
        }
    }
}

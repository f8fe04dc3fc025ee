//! `a is distinct from b and c`: the parser takes all that follows as the second operand, where SQL ends it before `and` and `or`.
//!
//! Parentheses stay in its tree, so an `and` or `or` without them can be told. To turn the tree would need all that stands around it;
//! it is refused, so that nobody gets another answer than the one that was asked for.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{BinaryOperator, Expr, Visit, Visitor};

/// The first `and` or `or` without parentheses that was taken for the second operand of `is distinct from`.
pub(crate) fn swallowed(tree: &Expr) -> Option<Expr> {
    tree.visit(&mut Finder).break_value()
}

struct Finder;

impl Visitor for Finder {
    type Break = Expr;

    fn pre_visit_expr(&mut self, node: &Expr) -> ControlFlow<Expr> {
        let (Expr::IsDistinctFrom(_, operand) | Expr::IsNotDistinctFrom(_, operand)) = node else { return ControlFlow::Continue(()) };
        match operand.as_ref() {
            Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or | BinaryOperator::Xor, .. } => {
                ControlFlow::Break((**operand).clone())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::parse;

    #[test]
    fn conditions_behind_it_need_parentheses() {
        for text in ["a is distinct from b and c", "x and a is not distinct from b or c", "case when a is distinct from b and c then 1 end"]
        {
            let error = parse(text).map(|sql| sql.text).unwrap_err();
            assert!(error.message.contains("is distinct from"), "{text}: {error:?}");
        }
        for text in
            ["(a is distinct from b) and c", "c and a is not distinct from b", "a is distinct from (b and c)", "a is distinct from b + 1"]
        {
            assert!(parse(text).is_ok(), "{text}");
        }
    }
}

//! Chains of `and` and of `or`: ended where they should be, and no deeper than they must be.
//!
//! The parser makes of a chain a tree as deep as it is long, and everything after it walks trees recursively. Here a chain is taken apart
//! and put together in a loop, as a tree as deep as the logarithm of its length. Both operators are associative, also with nulls, and the operands
//! keep their order, so the same operands count for the same rows. What `is distinct from` has wrongly taken for its own is given back
//! on the way: see [`crate::distinct`].

use std::convert::Infallible;
use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{BinaryOperator, Expr, Value, VisitMut, VisitorMut};

use crate::distinct;

/// A chain with so many operands at most stays as the parser has it.
const SHORT: usize = 8;

/// Makes all chains in a tree shallow.
pub(crate) fn make_shallow(tree: &mut Expr) {
    let _ = VisitMut::visit(tree, &mut Chains { made: Vec::new() });
}

struct Chains {
    /// For each node around the one at hand: what was made of it, if it is a chain. It takes its place when the node is left.
    made: Vec<Option<Expr>>,
}

impl VisitorMut for Chains {
    type Break = Infallible;

    /// A chain is taken out, so that nobody goes down along it.
    fn pre_visit_expr(&mut self, node: &mut Expr) -> ControlFlow<Infallible> {
        let made = operator(node).is_some().then(|| self.made_of(std::mem::replace(node, Expr::Value(Value::Null.into()))));
        self.made.push(made);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, node: &mut Expr) -> ControlFlow<Infallible> {
        match self.made.pop().flatten() {
            Some(made) => *node = made,
            None => distinct::end_before_conditions(node),
        }
        ControlFlow::Continue(())
    }
}

impl Chains {
    /// The chain with operands that are done, and itself shallow.
    fn made_of(&mut self, chain: Expr) -> Expr {
        let (mut first, mut rest) = (chain, Vec::new());
        while operator(&first).is_some()
            && let Expr::BinaryOp { left, op, right } = first
        {
            rest.push((op, *right));
            first = *left;
        }
        let mut whole = self.done(first);
        for (op, right) in rest.into_iter().rev() {
            whole = Expr::BinaryOp { left: Box::new(whole), op, right: Box::new(self.done(right)) };
            distinct::end_before_conditions(&mut whole);
        }
        shallow(whole)
    }

    fn done(&mut self, mut operand: Expr) -> Expr {
        let _ = VisitMut::visit(&mut operand, self);
        operand
    }
}

/// `and` or `or`, if the node is one of them.
fn operator(node: &Expr) -> Option<BinaryOperator> {
    match node {
        Expr::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), .. } => Some(op.clone()),
        _ => None,
    }
}

/// The same chain, halved and halved again. One of the other operator in it is a chain of its own.
fn shallow(chain: Expr) -> Expr {
    let Some(operator) = operator(&chain) else { return chain };
    let (mut operands, mut open) = (Vec::new(), vec![chain]);
    while let Some(next) = open.pop() {
        match next {
            Expr::BinaryOp { left, op, right } if op == operator => open.extend([*right, *left]),
            other => operands.push(shallow(other)),
        }
    }
    let node = |left: Expr, right: Expr| Expr::BinaryOp { left: Box::new(left), op: operator.clone(), right: Box::new(right) };
    match operands.len() {
        0..=SHORT => operands.into_iter().reduce(node).unwrap_or(Expr::Value(Value::Null.into())),
        _ => halved(operands, &node),
    }
}

fn halved(mut operands: Vec<Expr>, node: &impl Fn(Expr, Expr) -> Expr) -> Expr {
    if operands.len() < 2 {
        return operands.pop().unwrap_or(Expr::Value(Value::Null.into()));
    }
    let right = operands.split_off(operands.len() / 2);
    node(halved(operands, node), halved(right, node))
}

#[cfg(test)]
mod tests {
    use crate::sql::{parenthesized, parse};

    fn tree(text: &str) -> String {
        parenthesized(parse(text).unwrap().tree)
    }

    #[test]
    fn short_chains_stay_as_they_are() {
        assert_eq!(tree("a or b and c or d or e"), tree("((a or (b and c)) or d) or e"));
    }

    #[test]
    fn long_chains_are_halved() {
        let halved = "(((a or b) or (c or d)) or ((e or f) or (a or b))) or (((c or d) or (e or f)) or ((a or b) or (c or d)))";
        assert_eq!(tree("a or b or c or d or e or f or a or b or c or d or e or f or a or b or c or d"), tree(halved));
    }

    #[test]
    fn a_chain_in_another_one_is_one_operand() {
        let inner = ["a"; 9].join(" and ");
        let halved = "((a and a) and (a and a)) and ((a and a) and (a and (a and a)))";
        assert_eq!(tree(&format!("b or {inner} or not ({inner})")), tree(&format!("(b or ({halved})) or not ({halved})")));
    }

    #[test]
    fn depth_grows_with_the_logarithm_of_the_length() {
        for (text, most) in [
            (vec!["n = 1"; 4_000].join(" or "), 14),
            (vec!["n = 1 and b"; 3_000].join(" or "), 15),
            (vec!["n = 1 or b"; 3_000].join(" and "), 15),
            (format!("a is distinct from 1 or {}", vec!["b"; 4_000].join(" or ")), 16),
            (format!("{} or a is distinct from 1 and c", vec!["b"; 4_000].join(" or ")), 16),
        ] {
            let depth = parse(&text).unwrap().depth;
            assert!(depth <= most, "{depth} {}", &text[..40]);
        }
    }
}

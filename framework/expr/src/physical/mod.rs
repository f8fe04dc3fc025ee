//! Evaluation with our row semantics: what DataFusion would compute wrongly or not at all fails on the rows concerned.
//!
//! [`with_row_semantics`] goes over a physical expression and puts these in place of DataFusion's own nodes:
//!
//! - [`arithmetic`]: overflow and division by zero are errors, for floats too
//! - [`shift`]: so is a shift by bits that a number does not have
//! - [`scaled`]: an integer times a decimal constant, which needs no check
//! - [`cast`]: a cast that fails says of which value
//! - [`finite`]: a mathematical function that has no result fails
//! - [`needed`]: evaluation on the rows that need it
//! - [`coalesce`] and [`guard`]: an argument, or the right side of `and` and `or`, counts only where it is needed
//! - [`failure`]: why a row failed, in SQL's words

pub(crate) mod arithmetic;
pub(crate) mod cast;
pub(crate) mod coalesce;
pub(crate) mod failure;
pub(crate) mod finite;
pub(crate) mod guard;
pub(crate) mod needed;
pub(crate) mod scaled;
pub(crate) mod shift;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion_common::Result;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_expr::Operator;
use datafusion_physical_expr::expressions::{
    BinaryExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NegativeExpr, NotExpr,
};
use datafusion_physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use crate::canonical;
use crate::rewrite::compares;

/// The same expression with nodes that fail where ours must.
pub(crate) fn with_row_semantics(expr: Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let replaced = expr.transform_up(|node| {
        Ok(match replacement(&node, schema)? {
            Some(other) => Transformed::yes(other),
            None => Transformed::no(node),
        })
    })?;
    Ok(replaced.data)
}

fn replacement(node: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    if let Some(binary) = node.downcast_ref::<BinaryExpr>() {
        return match binary.op() {
            Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo => {
                arithmetic::checked(binary, schema).map(Some)
            }
            Operator::BitwiseShiftLeft | Operator::BitwiseShiftRight => shift::checked(binary, schema).map(Some),
            Operator::And | Operator::Or if can_fail(binary.right()) => Ok(Some(guard::guarded(binary))),
            _ => Ok(None),
        };
    }
    if let Some(negative) = node.downcast_ref::<NegativeExpr>() {
        return Ok(Some(arithmetic::checked_negative(negative.arg())));
    }
    if let Some(call) = node.downcast_ref::<ScalarFunctionExpr>()
        && call.name() == "coalesce"
    {
        return coalesce::coalesce(call, schema).map(Some);
    }
    match node.downcast_ref::<CastExpr>() {
        Some(cast) => cast::explained(cast, schema).map(Some),
        None => finite::finite(node, schema),
    }
}

/// Whether evaluating it on some row could be an error.
fn can_fail(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let fine = expr.is::<Column>()
        || expr.is::<Literal>()
        || expr.is::<NotExpr>()
        || expr.is::<IsNullExpr>()
        || expr.is::<IsNotNullExpr>()
        || expr.is::<InListExpr>()
        || expr.is::<LikeExpr>()
        || expr.downcast_ref::<BinaryExpr>().is_some_and(|binary| is_safe(*binary.op()))
        || expr.downcast_ref::<ScalarFunctionExpr>().is_some_and(|call| canonical::NAMES.contains(&call.name()));
    !fine || expr.children().into_iter().any(can_fail)
}

fn is_safe(operator: Operator) -> bool {
    compares(operator) || matches!(operator, Operator::And | Operator::Or)
}

/// An operand of a node of ours: a pointer that is compared by what it points to, which the derives cannot do by themselves.
#[derive(Clone, Debug, Eq)]
pub(crate) struct Operand(pub(crate) Arc<dyn PhysicalExpr>);

impl PartialEq for Operand {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq(&other.0)
    }
}

impl Hash for Operand {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};

    use super::*;
    use crate::planner::{self, Scope};

    /// Whether the right side of the condition is evaluated on single rows when it fails.
    fn is_guarded(text: &str) -> bool {
        let column = |name: &str, data_type| Field::new(name, data_type, true);
        let schema = Schema::new(vec![column("n", DataType::Int64), column("d", DataType::Float64), column("s", DataType::Utf8View)]);
        let planned = planner::plan(text, &Scope::new(&schema).unwrap()).unwrap();
        let compiled = planner::compile(&planned.expr, planned.depth, &schema).unwrap();
        compiled.is::<guard::Guarded>()
    }

    #[test]
    fn what_can_fail_is_guarded() {
        for text in ["n <> 0 and 10 / n > 1", "n = 0 or n + 1 > 2", "n > 0 and s::bigint = 1", "d > 0 and d / d > 1", "n > 0 or abs(n) > 2"]
        {
            assert!(is_guarded(text), "{text}");
        }
        for text in ["n <> 0 and n > 1", "d > 1.5 or s like 'x%'", "n > 0 and (s is null or not (n in (1, 2)))"] {
            assert!(!is_guarded(text), "{text}");
        }
    }
}

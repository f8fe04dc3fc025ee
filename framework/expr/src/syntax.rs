//! Operators and syntax of SQL that mean a call or a cast, while an expression is resolved.
//!
//! Here, because the types of what stands around them are looked at while the rest is resolved: what is made right only later
//! is refused before.

use arrow::datatypes::DataType;
use datafusion_common::{DFSchema, Result};
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion_expr::{BinaryExpr, Cast, Expr, ExprSchemable, Operator};
use datafusion_sql::sqlparser::ast::BinaryOperator;
use millstream_api::types::timestamp_type;

use crate::types::ours;
use crate::{functions, json};

/// `extract`, `position`, `substring` as calls of our functions; sums and differences of times in our types.
#[derive(Debug)]
pub(crate) struct Syntax;

impl ExprPlanner for Syntax {
    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(called("date_part", args))
    }

    fn plan_position(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(called("strpos", args))
    }

    fn plan_substring(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(called("substr", args))
    }

    fn plan_binary_op(&self, raw: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let operator = match raw.op {
            BinaryOperator::Plus => Operator::Plus,
            BinaryOperator::Minus => Operator::Minus,
            BinaryOperator::Arrow => return Ok(json_part(json::PART, raw)),
            BinaryOperator::LongArrow => return Ok(json_part(json::PART_AS_TEXT, raw)),
            _ => return Ok(PlannerResult::Original(raw)),
        };
        let (left, right) = as_timestamps(raw.left, raw.right, schema);
        let sum = Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right)));
        let foreign = sum.get_type(schema).ok().and_then(|found| ours(&found));
        Ok(PlannerResult::Planned(match foreign {
            Some(ours) => Expr::Cast(Cast::new(Box::new(sum), ours)),
            None => sum,
        }))
    }
}

fn called(name: &str, args: Vec<Expr>) -> PlannerResult<Vec<Expr>> {
    match functions::scalar(name) {
        Some(function) => PlannerResult::Planned(function.call(args)),
        None => PlannerResult::Original(args),
    }
}

/// `json -> 'key'` and `json ->> 'key'`.
fn json_part(name: &str, raw: RawBinaryExpr) -> PlannerResult<RawBinaryExpr> {
    match functions::scalar(name) {
        Some(function) => PlannerResult::Planned(function.call(vec![raw.left, raw.right])),
        None => PlannerResult::Original(raw),
    }
}

/// A date and an interval: Arrow would drop the hours of the interval, so the date becomes a timestamp.
fn as_timestamps(left: Expr, right: Expr, schema: &DFSchema) -> (Expr, Expr) {
    let is_date = |operand: &Expr| matches!(operand.get_type(schema), Ok(DataType::Date32));
    let is_interval = |operand: &Expr| matches!(operand.get_type(schema), Ok(DataType::Interval(_)));
    let timed = |date: Expr| Expr::Cast(Cast::new(Box::new(date), timestamp_type()));
    if is_date(&left) && is_interval(&right) {
        (timed(left), right)
    } else if is_interval(&left) && is_date(&right) {
        (left, timed(right))
    } else {
        (left, right)
    }
}

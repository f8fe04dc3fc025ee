//! Types that do not fit together: found, placed in the text, and said in SQL's words.
//!
//! DataFusion coerces more than is good for a pipeline (it compares text with numbers, mixes them in a `case`) and says what it
//! refuses in its own words and without a place. So our rules are checked first; and when anything is refused, the smallest
//! part of the syntax tree that is refused by itself is looked for, and described from its operands. That costs only whom it
//! concerns: an expression that is right is planned once.

use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::{BinaryExpr, Case, Expr, ExprSchemable, Operator};
use datafusion_sql::sqlparser::ast::{
    Expr as Tree, Function, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator, Visit, Visitor,
};
use millstream_api::types::SqlName;

use crate::error::ExprError;
use crate::functions;
use crate::names::function_name;
use crate::planner::Scope;
use crate::rewrite::compares;
use crate::sql::{Places, Sql};

const CODE: &str = "type-mismatch";

/// Checks that all operators and functions in `sql`, which was parsed from `text`, can take their operands.
pub(crate) fn check_types(sql: &Sql, text: &str, scope: &Scope) -> Result<(), ExprError> {
    if fits(&sql.tree, scope) {
        return Ok(());
    }
    let mut locator = Locator { places: Places(text), scope };
    match sql.tree.visit(&mut locator) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Err(general(&sql.tree, &locator.places)),
    }
}

/// For what is refused although it passed [`check_types`]: a literal that cannot be cast, mostly.
pub(crate) fn unexplained(error: &DataFusionError) -> ExprError {
    match error {
        DataFusionError::Plan(message) => ExprError::new(CODE, message.clone(), None),
        _ => ExprError::new(CODE, "the types in this expression do not fit together", None),
    }
}

/// Whether a tree can be planned as a whole.
fn fits(tree: &Tree, scope: &Scope) -> bool {
    let Ok(expr) = scope.resolved(tree.clone()) else { return false };
    let mut good = true;
    let walked = expr.apply(|node| {
        good &= violation(node, scope).is_none();
        Ok(if good { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    good && walked.is_ok() && scope.coerced(expr).is_ok()
}

/// Looks for the smallest part that is refused by itself: operands are visited before what they are operands of.
struct Locator<'a> {
    places: Places<'a>,
    scope: &'a Scope,
}

impl Visitor for Locator<'_> {
    type Break = ExprError;

    fn post_visit_expr(&mut self, node: &Tree) -> ControlFlow<ExprError> {
        let resolved = self.scope.resolved(node.clone()).ok();
        let refused = match resolved {
            Some(expr) => match violation(&expr, self.scope) {
                Some(message) => Some(ExprError::new(CODE, message, self.places.of(node))),
                None => self.scope.coerced(expr).is_err().then(|| self.described(node)),
            },
            None => Some(self.described(node)),
        };
        refused.map_or(ControlFlow::Continue(()), ControlFlow::Break)
    }
}

impl Locator<'_> {
    /// What is refused, from its operands: these are all right by themselves.
    fn described(&self, node: &Tree) -> ExprError {
        let one = |operand: &Tree| self.type_of(operand);
        let message = match node {
            Tree::BinaryOp { left, op, right } => refused_operator(&op.to_string(), &one(left), &one(right)),
            Tree::UnaryOp { op, expr } => format!("`{}` cannot be applied to {}", unary(op), one(expr)),
            Tree::Cast { expr, data_type, .. } => {
                format!("{} cannot be cast to {}", one(expr), data_type.to_string().to_lowercase())
            }
            Tree::Like { expr, pattern, .. } | Tree::ILike { expr, pattern, .. } | Tree::SimilarTo { expr, pattern, .. } => {
                format!("`like` cannot be applied to {} and {}", one(expr), one(pattern))
            }
            Tree::Extract { field, expr, .. } => format!("`{}` cannot be extracted from {}", field.to_string().to_lowercase(), one(expr)),
            Tree::Function(function) => return self.refused_call(node, function),
            _ => return general(node, &self.places),
        };
        ExprError::new(CODE, message, self.places.of(node))
    }

    fn refused_call(&self, node: &Tree, function: &Function) -> ExprError {
        let name = function_name(&function.name);
        let FunctionArguments::List(list) = &function.args else { return general(node, &self.places) };
        let types: Vec<String> = list.args.iter().map(|arg| self.type_of_argument(arg)).collect();
        let message = format!("`{name}` cannot be applied to ({})", types.join(", "));
        let error = ExprError::new(CODE, message, self.places.of(node));
        let documented = functions::scalar(&name).and_then(|f| f.documentation().cloned());
        let documented = documented.or_else(|| functions::aggregate(&name).and_then(|f| f.documentation().cloned()));
        match documented {
            Some(text) => error.help(format!("it is called as `{}`", text.syntax_example)),
            None => error,
        }
    }

    fn type_of_argument(&self, argument: &FunctionArg) -> String {
        let (FunctionArg::Unnamed(arg) | FunctionArg::Named { arg, .. } | FunctionArg::ExprNamed { arg, .. }) = argument;
        match arg {
            FunctionArgExpr::Expr(tree) => self.type_of(tree),
            _ => "*".to_owned(),
        }
    }

    fn type_of(&self, operand: &Tree) -> String {
        let found = self.scope.logical(operand.clone()).and_then(|e| e.get_type(self.scope.columns()));
        found.map_or_else(|_| "that".to_owned(), |t| SqlName(&t).to_string())
    }
}

fn general(node: &Tree, places: &Places) -> ExprError {
    ExprError::new(CODE, format!("`{node}` is not possible: the types of its parts do not fit together"), places.of(node))
}

fn refused_operator(operator: &str, left: &str, right: &str) -> String {
    format!("`{}` cannot be applied to {left} and {right}", operator.to_lowercase())
}

fn unary(operator: &UnaryOperator) -> String {
    operator.to_string().to_lowercase()
}

/// What our rules have against the operator or function at the root of `expr`.
fn violation(expr: &Expr, scope: &Scope) -> Option<String> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => refused_operands(left, *op, right, scope),
        Expr::InList(list) => list.list.iter().find_map(|item| refused_comparison(&list.expr, item, scope)),
        Expr::Between(b) => refused_comparison(&b.expr, &b.low, scope).or_else(|| refused_comparison(&b.expr, &b.high, scope)),
        Expr::Case(case) => refused_case(case, scope),
        Expr::Not(operand) => {
            let found = type_of(operand, scope)?;
            (!matches!(Kind::of(&found), Kind::Boolean | Kind::Null)).then(|| format!("`not` needs a condition, found {}", SqlName(&found)))
        }
        Expr::Negative(operand) => {
            let found = type_of(operand, scope)?;
            (!matches!(Kind::of(&found), Kind::Number | Kind::Interval | Kind::Null))
                .then(|| format!("`-` cannot be applied to {}", SqlName(&found)))
        }
        Expr::Like(like) | Expr::SimilarTo(like) => {
            let (text, pattern) = (type_of(&like.expr, scope)?, type_of(&like.pattern, scope)?);
            let strings = [&text, &pattern].iter().all(|t| matches!(Kind::of(t), Kind::Text | Kind::Null));
            (!strings).then(|| format!("`like` cannot be applied to {} and {}", SqlName(&text), SqlName(&pattern)))
        }
        Expr::Cast(cast) => {
            let found = type_of(&cast.expr, scope)?;
            let (from, to) = (Kind::of(&found), Kind::of(cast.field.data_type()));
            let senseless = matches!((from, to), (Kind::Boolean, Kind::Time) | (Kind::Time, Kind::Boolean));
            senseless.then(|| format!("{} cannot be cast to {}", SqlName(&found), SqlName(cast.field.data_type())))
        }
        _ => None,
    }
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

fn refused_operands(left: &Expr, operator: Operator, right: &Expr, scope: &Scope) -> Option<String> {
    match operator {
        Operator::And | Operator::Or => [left, right].into_iter().find_map(|operand| {
            let found = type_of(operand, scope)?;
            let condition = matches!(Kind::of(&found), Kind::Boolean | Kind::Null);
            (!condition).then(|| format!("`{}` needs conditions, found {}", operator.to_string().to_lowercase(), SqlName(&found)))
        }),
        Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo => {
            let (l, r) = (type_of(left, scope)?, type_of(right, scope)?);
            let countable = |t: &DataType| matches!(Kind::of(t), Kind::Number | Kind::Time | Kind::Interval | Kind::Null);
            let refused = !countable(&l) || !countable(&r);
            refused.then(|| refused_operator(&operator.to_string(), &SqlName(&l).to_string(), &SqlName(&r).to_string()))
        }
        _ if compares(operator) => refused_comparison(left, right, scope),
        _ => None,
    }
}

/// Text is not compared with numbers or conditions; a text literal is read as a time or interval where it is compared with one.
fn refused_comparison(left: &Expr, right: &Expr, scope: &Scope) -> Option<String> {
    let (l, r) = (type_of(left, scope)?, type_of(right, scope)?);
    let (kl, kr) = (Kind::of(&l), Kind::of(&r));
    let read_as = |literal: &Expr, other: Kind| is_text_literal(literal) && matches!(other, Kind::Time | Kind::Interval);
    let fine = kl == kr || kl == Kind::Null || kr == Kind::Null || read_as(left, kr) || read_as(right, kl);
    (!fine).then(|| format!("{} cannot be compared with {}", SqlName(&l), SqlName(&r)))
}

fn refused_case(case: &Case, scope: &Scope) -> Option<String> {
    for (when, _) in &case.when_then_expr {
        let refused = match &case.expr {
            Some(operand) => refused_comparison(operand, when, scope),
            None => {
                let found = type_of(when, scope)?;
                let condition = matches!(Kind::of(&found), Kind::Boolean | Kind::Null);
                (!condition).then(|| format!("`when` needs a condition, found {}", SqlName(&found)))
            }
        };
        if refused.is_some() {
            return refused;
        }
    }
    let results = case.when_then_expr.iter().map(|(_, then)| then.as_ref()).chain(case.else_expr.as_deref());
    let types: Vec<DataType> = results.filter_map(|result| type_of(result, scope)).filter(|t| !t.is_null()).collect();
    let (first, rest) = types.split_first()?;
    let other = rest.iter().find(|t| Kind::of(t) != Kind::of(first))?;
    Some(format!("the results of `case` are {} and {}", SqlName(first), SqlName(other)))
}

fn is_text_literal(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Utf8(_) | ScalarValue::LargeUtf8(_) | ScalarValue::Utf8View(_), _))
}

//! Types that do not fit together: placed in the text, and said in SQL's words.
//!
//! DataFusion refuses in its own words and without a place. So when anything is refused, the smallest part of the syntax tree
//! that is refused by itself is looked for, and described from its operands. That costs only whom it concerns: an expression
//! that is right is planned once.

use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use datafusion_common::DataFusionError;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::{Expr, ExprSchemable};
use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Expr as Tree, Function, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator, Visit, Visitor,
};
use millstream_api::types::SqlName;

use crate::error::ExprError;
use crate::names::{OF_JSON, function_name};
use crate::planner::{Scope, compile_in};
use crate::rules::{Refused, not_a_condition, refused_operator, refused_sign, scaled_interval, violation};
use crate::sql::{Places, Sql};
use crate::{functions, rewrite};

const CODE: &str = "type-mismatch";

/// The logical expression of `sql`, which was parsed from `text`, with our semantics: coerced, rewritten, ready to be compiled.
pub(crate) fn typed(sql: &Sql, text: &str, scope: &Scope) -> Result<Expr, ExprError> {
    let refusal = match attempt(&sql.tree, scope) {
        Ok(expr) => return Ok(expr),
        Err(refusal) => refusal,
    };
    let mut locator = Locator { places: Places(text), scope };
    match sql.tree.visit(&mut locator) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Err(refusal.unplaced()),
    }
}

/// Why a tree was refused.
enum Refusal {
    /// In our words.
    Said(Refused),
    /// In DataFusion's, which nobody should see.
    Unsaid,
}

impl Refusal {
    fn unplaced(self) -> ExprError {
        match self {
            Refusal::Said(Refused { message, help }) => ExprError { help, ..ExprError::new(CODE, message, None) },
            Refusal::Unsaid => ExprError::new(CODE, "the types in this expression do not fit together", None),
        }
    }
}

impl From<DataFusionError> for Refusal {
    fn from(error: DataFusionError) -> Self {
        match rewrite::our_message(&error) {
            Some(message) => Refusal::Said(message.into()),
            None => Refusal::Unsaid,
        }
    }
}

/// Plans a tree all the way, to see whether that is possible.
fn attempt(tree: &Tree, scope: &Scope) -> Result<Expr, Refusal> {
    let resolved = scope.resolved(tree.clone())?;
    let mut refused = None;
    resolved.apply(|node| {
        refused = violation(node, scope);
        Ok(if refused.is_none() { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    if let Some(refused) = refused {
        return Err(Refusal::Said(refused));
    }
    let expr = rewrite::to_our_semantics(scope.coerced(resolved)?, scope)?;
    compile_in(&expr, scope)?;
    Ok(expr)
}

/// Looks for the smallest part that is refused by itself: operands are visited before what they are operands of.
struct Locator<'a> {
    places: Places<'a>,
    scope: &'a Scope,
}

impl Visitor for Locator<'_> {
    type Break = ExprError;

    fn post_visit_expr(&mut self, node: &Tree) -> ControlFlow<ExprError> {
        if matches!(node, Tree::Identifier(_)) {
            // A column, which is right by itself, or a field, which is nothing by itself.
            return ControlFlow::Continue(());
        }
        match attempt(node, self.scope) {
            Ok(_) => ControlFlow::Continue(()),
            Err(said @ Refusal::Said(_)) => ControlFlow::Break(ExprError { span: self.places.of(node), ..said.unplaced() }),
            Err(Refusal::Unsaid) => ControlFlow::Break(self.described(node)),
        }
    }
}

impl Locator<'_> {
    /// What is refused, from its operands: these are all right by themselves.
    fn described(&self, node: &Tree) -> ExprError {
        let name = |operand: &Tree| SqlName(&self.type_of(operand)).to_string();
        let message = match node {
            Tree::BinaryOp { left, op, right } if let Some(help) = scaled_interval(&self.type_of(left), &self.type_of(right)) => {
                let message = refused_operator(&op.to_string(), &self.type_of(left), &self.type_of(right));
                return ExprError::new(CODE, message, self.places.of(node)).help(help);
            }
            Tree::BinaryOp { op: BinaryOperator::PGOverlap, .. } => {
                return ExprError::new(CODE, "there is no operator `&&`", self.places.of(node)).help("write `and`");
            }
            Tree::BinaryOp { left, op, right } => refused_operator(&op.to_string(), &self.type_of(left), &self.type_of(right)),
            Tree::UnaryOp { op: UnaryOperator::Not, expr } => not_a_condition("not", &self.type_of(expr)),
            Tree::UnaryOp { op, expr } => refused_sign(&op.to_string(), &self.type_of(expr)),
            Tree::Cast { expr, data_type, .. } => format!("{} cannot be cast to {}", name(expr), data_type.to_string().to_lowercase()),
            Tree::Extract { field, expr, .. } => {
                format!("`{}` cannot be extracted from {}", field.to_string().to_lowercase(), name(expr))
            }
            Tree::Interval(interval) => {
                let error = ExprError::new(CODE, format!("{} is not an interval", interval.value), self.places.of(node));
                return error.help("write `interval '1 hour 30 minutes'`");
            }
            Tree::Function(function) => return self.refused_call(node, function),
            Tree::Substring { expr, .. } => return self.refused_named(node, "substr", &[name(expr)]),
            Tree::Trim { expr, .. } => return self.refused_named(node, "btrim", &[name(expr)]),
            Tree::Ceil { expr, .. } => return self.refused_named(node, "ceil", &[name(expr)]),
            Tree::Floor { expr, .. } => return self.refused_named(node, "floor", &[name(expr)]),
            Tree::Position { expr, r#in } => return self.refused_named(node, "strpos", &[name(r#in), name(expr)]),
            Tree::CompoundFieldAccess { root, .. } => return self.refused_access(node, root),
            _ => format!("the types of the parts of `{node}` do not fit together"),
        };
        ExprError::new(CODE, message, self.places.of(node))
    }

    /// `a[…]` where `a` has no such parts.
    fn refused_access(&self, node: &Tree, root: &Tree) -> ExprError {
        let found = self.type_of(root);
        let (message, help) = match &found {
            DataType::List(_) => {
                (format!("`{node}`: the items of a list have numbers"), "write `l[1]` for the first one, `l[2:3]` for some")
            }
            DataType::Struct(_) => (format!("`{node}`: a struct has no such field"), "write `s.name`, or `s['name']`"),
            found => (format!("`{node}`: a {} has no parts", SqlName(found)), OF_JSON),
        };
        ExprError::new(CODE, message, self.places.of(node)).help(help)
    }

    fn refused_call(&self, node: &Tree, function: &Function) -> ExprError {
        let types: Vec<String> = match &function.args {
            FunctionArguments::List(list) => list.args.iter().map(|arg| self.argument(arg)).collect(),
            _ => Vec::new(),
        };
        self.refused_named(node, &function_name(&function.name), &types)
    }

    fn refused_named(&self, node: &Tree, name: &str, arguments: &[String]) -> ExprError {
        let message = format!("`{name}` cannot be applied to ({})", arguments.join(", "));
        let error = ExprError::new(CODE, message, self.places.of(node));
        match functions::scalar(name).and_then(|f| f.documentation()) {
            Some(text) => error.help(format!("it is called as `{}`", text.syntax_example)),
            None => error,
        }
    }

    fn argument(&self, argument: &FunctionArg) -> String {
        let (FunctionArg::Unnamed(arg) | FunctionArg::Named { arg, .. } | FunctionArg::ExprNamed { arg, .. }) = argument;
        match arg {
            FunctionArgExpr::Expr(tree) => SqlName(&self.type_of(tree)).to_string(),
            _ => "*".to_owned(),
        }
    }

    fn type_of(&self, operand: &Tree) -> DataType {
        let found = self.scope.logical(operand.clone()).and_then(|e| e.get_type(self.scope.columns()));
        found.unwrap_or(DataType::Null)
    }
}

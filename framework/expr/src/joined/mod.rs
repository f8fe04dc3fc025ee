//! Expressions over the two sides of a join, and conditions taken apart into equality keys and the rest.
//!
//! Both sides are one scope in which a column has a name that no user writes: `left.price`. The names that users do write
//! (`left.price`, `bids.price`, `price`) are replaced by it on the syntax tree, where places are known, so that everything
//! behind it works as it does for one stream.

mod resolver;

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, Result as DfResult};
use datafusion_expr::{BinaryExpr, Expr, Operator};
use datafusion_sql::sqlparser::ast::VisitMut;
use millstream_api::types::SqlName;

use crate::error::ExprError;
use crate::mismatch;
use crate::names::{self, Purpose};
use crate::planner::{Planned, Scope};
use crate::scalar::Scalar;
use crate::sql;
use crate::stack::with_room;

use self::resolver::Resolver;

/// One side of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The stream that `left` names.
    Left,
    /// The stream that `right` names.
    Right,
}

impl Side {
    /// `left` or `right`.
    pub fn word(self) -> &'static str {
        match self {
            Side::Left => "left",
            Side::Right => "right",
        }
    }

    /// The name of a column of this side in the scope of both.
    pub fn column(self, name: &str) -> String {
        format!("{}.{name}", self.word())
    }

    /// The side's own name of a column of the scope of both; `None`: it is not of this side.
    pub fn own_name(self, joined: &str) -> Option<&str> {
        joined.strip_prefix(self.word())?.strip_prefix('.')
    }
}

/// A condition of a join, taken apart.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The conjuncts that are equalities between something of the left and something of the right side.
    pub equalities: Vec<Equality>,
    /// What else must hold, over the scope of both sides.
    pub rest: Option<Scalar>,
}

/// Two expressions of one type, each over the columns of one side under their own names.
#[derive(Clone, Debug)]
pub struct Equality {
    /// Of the left side.
    pub left: Scalar,
    /// Of the right side.
    pub right: Scalar,
    /// Whether null equals null: `is not distinct from`.
    pub nulls_match: bool,
}

/// What expressions of a join may name.
#[derive(Debug)]
pub struct JoinScope {
    names: [String; 2],
    schemas: [SchemaRef; 2],
    /// Columns that both sides have in common and that stand for themselves.
    shared: Vec<String>,
    /// Whether a row of the result may be without a row of this side.
    optional: [bool; 2],
    scope: Scope,
}

impl JoinScope {
    /// The columns of two streams, each with its name, and columns that both share: they have a name without a side. A side that is
    /// `optional` in the result has them also as its own, which are null where it has no row.
    ///
    /// # Errors
    /// When a column is of a type that no expression can have.
    pub fn new(left: (&str, &SchemaRef), right: (&str, &SchemaRef), shared: &[Field], optional: [bool; 2]) -> Result<JoinScope, ExprError> {
        let of = |side: Side, schema: &Schema| -> Vec<Field> {
            let renamed = |field: &Arc<Field>| field.as_ref().clone().with_name(side.column(field.name()));
            schema.fields().iter().map(renamed).collect()
        };
        let mut fields: Vec<Field> = [of(Side::Left, left.1), of(Side::Right, right.1), shared.to_vec()].concat();
        for (side, _) in [Side::Left, Side::Right].into_iter().zip(optional).filter(|(_, optional)| *optional) {
            let own = |field: &Field| field.clone().with_name(side.column(field.name())).with_nullable(true);
            fields.extend(shared.iter().map(own));
        }
        let scope = Scope::new(&Schema::new(fields)).map_err(|e| ExprError::new("type-mismatch", e.message(), None))?;
        Ok(JoinScope {
            names: [left.0.to_owned(), right.0.to_owned()],
            schemas: [left.1.clone(), right.1.clone()],
            shared: shared.iter().map(|field| field.name().clone()).collect(),
            optional,
            scope,
        })
    }

    /// All columns, under their names in this scope.
    pub fn schema(&self) -> &SchemaRef {
        self.scope.arrow()
    }

    /// `expr as name`, or a column, which keeps its own name.
    ///
    /// # Errors
    /// As [`Scalar::item`], and `ambiguous-column`.
    pub fn item(&self, text: &str) -> Result<Scalar, ExprError> {
        self.planned_item(self.plan(text, None, self.optional)?)
    }

    /// The same of a join whose rows have the columns of one side only: a name that both sides have is of this one.
    ///
    /// # Errors
    /// As [`Scalar::item`].
    pub fn item_of(&self, side: Side, text: &str) -> Result<Scalar, ExprError> {
        self.planned_item(self.plan(text, Some(side), self.optional)?)
    }

    fn planned_item(&self, (planned, aliased): (Planned, bool)) -> Result<Scalar, ExprError> {
        let scalar = with_room(planned.depth, || Scalar::planned(planned.clone(), &self.scope))?;
        let Some(joined) = scalar.as_column().filter(|_| !aliased) else { return scalar.named() };
        let own = [Side::Left, Side::Right].iter().find_map(|side| side.own_name(joined)).unwrap_or(joined).to_owned();
        Ok(scalar.renamed(own))
    }

    /// A column of the scope as an item.
    ///
    /// # Errors
    /// When there is no such column.
    pub fn column(&self, joined: &str) -> Result<Scalar, ExprError> {
        let expr = Expr::Column(Column::new_unqualified(joined));
        let planned = Planned { expr, text: joined.to_owned(), alias: None, depth: 1 };
        let own = [Side::Left, Side::Right].iter().find_map(|side| side.own_name(joined)).unwrap_or(joined).to_owned();
        Ok(Scalar::planned(planned, &self.scope)?.renamed(own))
    }

    /// A condition, taken apart.
    ///
    /// # Errors
    /// As [`Scalar::predicate`], and `ambiguous-column`.
    pub fn condition(&self, text: &str) -> Result<Condition, ExprError> {
        // It is asked of pairs, in which both sides have a row.
        let (planned, _) = self.plan(text, None, [false; 2])?;
        let whole = with_room(planned.depth, || Scalar::planned(planned.clone(), &self.scope))?;
        if whole.field().data_type() != &DataType::Boolean {
            let message = format!("`{}` is {}, and a condition must be boolean", whole.text(), SqlName(whole.field().data_type()));
            return Err(ExprError::new("not-boolean", message, None).help("compare the sides, such as `left.id = right.id`"));
        }
        let mut found = Condition { equalities: Vec::new(), rest: None };
        let mut rest = Vec::new();
        for conjunct in conjuncts(&planned.expr) {
            match with_room(planned.depth, || self.equality(conjunct, planned.depth)) {
                Some(equality) => found.equalities.push(equality),
                None => rest.push(conjunct.clone()),
            }
        }
        let rest = all_of(rest).map(|expr| Planned { expr, ..planned.clone() });
        found.rest = rest.map(|rest| with_room(rest.depth, || Scalar::planned(rest.clone(), &self.scope))).transpose()?;
        Ok(found)
    }

    /// The expression with the names of this scope, and whether it was given a name. A name that both sides have is of the `preferred`
    /// one, if there is one.
    fn plan(&self, text: &str, preferred: Option<Side>, optional: [bool; 2]) -> Result<(Planned, bool), ExprError> {
        let mut sql = sql::parse(text)?;
        let depth = sql.depth;
        let tree = with_room(depth, || {
            let mut tree = sql.tree.clone();
            let mut resolver = Resolver::new(self, text, preferred, optional);
            match tree.visit(&mut resolver) {
                ControlFlow::Break(error) => Err(*error),
                ControlFlow::Continue(()) => Ok(tree),
            }
        })?;
        sql.tree = tree;
        names::check(&sql, text, self.scope.arrow(), Purpose::Scalar)?;
        let expr = with_room(depth, || mismatch::typed(&sql, text, &self.scope))?;
        let aliased = sql.alias.is_some();
        Ok((Planned { expr, text: sql.text, alias: sql.alias, depth }, aliased))
    }

    fn equality(&self, conjunct: &Expr, depth: usize) -> Option<Equality> {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = conjunct else { return None };
        let nulls_match = match op {
            Operator::Eq => false,
            Operator::IsNotDistinctFrom => true,
            _ => return None,
        };
        let (left, right) = match (self.side_of(left)?, self.side_of(right)?) {
            (Side::Left, Side::Right) => (left, right),
            (Side::Right, Side::Left) => (right, left),
            _ => return None,
        };
        let left = self.own(left, Side::Left, depth)?;
        let right = self.own(right, Side::Right, depth)?;
        let (data_type, other) = (left.field().data_type(), right.field().data_type());
        let fits = data_type == other && RowConverter::supports_fields(&[SortField::new(data_type.clone())]);
        fits.then_some(Equality { left, right, nulls_match })
    }

    /// The side that all columns of an expression are of; none of a constant.
    fn side_of(&self, expr: &Expr) -> Option<Side> {
        let columns = crate::scalar::columns_of(expr);
        let all = |side: Side| !columns.is_empty() && columns.iter().all(|column| side.own_name(column).is_some());
        [Side::Left, Side::Right].into_iter().find(|side| all(*side))
    }

    /// The expression over the side's stream alone.
    fn own(&self, expr: &Expr, side: Side, depth: usize) -> Option<Scalar> {
        let stripped = own_columns(expr.clone(), side).ok()?;
        let schema = &self.schemas[usize::from(side == Side::Right)];
        let scope = Scope::new(schema).ok()?;
        let text = match single_column(&stripped) {
            Some(name) => name,
            None => stripped.human_display().to_string(),
        };
        Scalar::planned(Planned { expr: stripped, text, alias: None, depth }, &scope).ok()
    }
}

/// The operands of a chain of `and`, from left to right.
fn conjuncts(expr: &Expr) -> Vec<&Expr> {
    let mut found = Vec::new();
    let mut open = vec![expr];
    while let Some(next) = open.pop() {
        match next {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => open.extend([right.as_ref(), left.as_ref()]),
            other => found.push(other),
        }
    }
    found
}

/// The conjuncts as one condition, no deeper than it must be.
fn all_of(mut conjuncts: Vec<Expr>) -> Option<Expr> {
    if conjuncts.len() < 2 {
        return conjuncts.pop();
    }
    let right = conjuncts.split_off(conjuncts.len() / 2);
    Some(all_of(conjuncts)?.and(all_of(right)?))
}

fn own_columns(expr: Expr, side: Side) -> DfResult<Expr> {
    let renamed = expr.transform_up(|node| {
        Ok(match node {
            Expr::Column(column) => match side.own_name(&column.name) {
                Some(own) => Transformed::yes(Expr::Column(Column::new_unqualified(own))),
                None => Transformed::no(Expr::Column(column)),
            },
            other => Transformed::no(other),
        })
    });
    Ok(renamed?.data)
}

/// The column that an expression is, also through a cast to the other side's type.
fn single_column(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Column(column) => Some(column.name.clone()),
        Expr::Cast(cast) => single_column(&cast.expr),
        _ => None,
    }
}

//! Expressions that give one value for each row.
//!
//! Planned once against all columns of a stream, at `check`; bound once in each subtask to the columns that flow there. Rows on
//! which an expression fails are reported, never fatal: what becomes of them is the node's `on_bad_row`.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::{Expr, ExprSchemable};
use datafusion_physical_expr::PhysicalExpr;
use millstream_api::plan::{Columns, KeyExpressions, KeyValues};
use millstream_api::types::{SqlName, UTC, is_json, json_field};
use millstream_api::{Error, Result};

use crate::error::ExprError;
use crate::evaluate;
use crate::json;
use crate::planner::{self, Planned, Scope};
use crate::rewrite;
use crate::stack::{with_room, with_room_to_evaluate};
use crate::types::stream_type;

/// A typed expression over the columns of a stream. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Scalar {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    text: String,
    field: Field,
    columns: Columns,
    /// Gives exactly the field's type.
    expr: Expr,
    aliased: bool,
    depth: usize,
}

impl Scalar {
    /// Parses and types `text` against a stream's logical schema.
    ///
    /// # Errors
    /// Every mistake a user can make, with its place in the text.
    pub fn parse(text: &str, schema: &Schema) -> Result<Scalar, ExprError> {
        let scope = Scope::new(schema).map_err(|e| ExprError::new("type-mismatch", e.message(), None))?;
        let planned = planner::plan(text, &scope)?;
        with_room(planned.depth, || Scalar::planned(planned.clone(), &scope))
    }

    /// Like [`parse`](Scalar::parse), for a condition: the type must be boolean.
    ///
    /// # Errors
    /// As [`parse`](Scalar::parse), and `not-boolean`.
    pub fn predicate(text: &str, schema: &Schema) -> Result<Scalar, ExprError> {
        Scalar::parse(text, schema)?.boolean()
    }

    /// Itself, if it is boolean.
    pub(crate) fn boolean(self) -> Result<Scalar, ExprError> {
        if self.field().data_type() == &DataType::Boolean {
            return Ok(self);
        }
        let message = format!("`{}` is {}, and a condition must be boolean", self.text(), SqlName(self.field().data_type()));
        Err(ExprError::new("not-boolean", message, None).help("compare it with something, such as `… > 0`"))
    }

    /// Like [`parse`](Scalar::parse), for an item of a list: `expr as name`. A plain column keeps its name; anything else
    /// must be given one (code `missing-name`).
    ///
    /// # Errors
    /// As [`parse`](Scalar::parse), and `missing-name`.
    pub fn item(text: &str, schema: &Schema) -> Result<Scalar, ExprError> {
        Scalar::parse(text, schema)?.named()
    }

    /// Itself, if it is a column or was given a name.
    pub(crate) fn named(self) -> Result<Scalar, ExprError> {
        if self.inner.aliased || self.as_column().is_some() {
            return Ok(self);
        }
        let message = format!("`{}` has no name", self.text());
        Err(ExprError::new("missing-name", message, None).help(format!("write `{} as name`", self.text())))
    }

    /// The same expression, whose result has this name.
    pub(crate) fn renamed(&self, name: String) -> Scalar {
        let Inner { text, field, columns, expr, aliased, depth } = self.inner.as_ref();
        let field = field.clone().with_name(name);
        let (text, columns, expr) = (text.clone(), columns.clone(), expr.clone());
        Scalar { inner: Arc::new(Inner { text, field, columns, expr, aliased: *aliased, depth: *depth }) }
    }

    pub(crate) fn planned(planned: Planned, scope: &Scope) -> Result<Scalar, ExprError> {
        let Planned { expr, text, alias, depth } = planned;
        let untyped = |message: String| ExprError::new("type-mismatch", message, None);
        let found = expr.get_type(scope.columns()).map_err(|_| untyped(format!("the type of `{text}` is not known")))?;
        let wanted = stream_type(&found).ok_or_else(|| {
            let help = "cast it, as in `cast(… as bigint)`";
            match found {
                DataType::Null => untyped(format!("the type of `{text}` is not known")).help(help),
                _ => untyped(format!("`{text}` is {}, which cannot be a column", SqlName(&found))).help(help),
            }
        })?;
        if let DataType::Timestamp(_, Some(zone)) = &found
            && zone.as_ref() != UTC
        {
            let message = format!("`{text}` is a time of the zone {zone}, and a column holds instants");
            return Err(untyped(message).help("use it inside to_char(…), extract(…) or date_trunc(…)"));
        }
        let nullable = expr.nullable(scope.columns()).unwrap_or(true);
        let is_json = gives_json(&expr, scope);
        let columns = columns_of(&expr);
        let own_name = if let Expr::Column(column) = &expr { column.name.clone() } else { text.clone() };
        let expr = match found == wanted {
            true => expr,
            false => rewrite::cast(expr, &wanted).map_err(untyped)?,
        };
        let aliased = alias.is_some();
        let field = Field::new(alias.unwrap_or(own_name), wanted, nullable);
        let field = if is_json { json_field(field) } else { field };
        Ok(Scalar { inner: Arc::new(Inner { text, field, columns, expr, aliased, depth }) })
    }

    /// The expression's text without `as name`.
    pub fn text(&self) -> &str {
        &self.inner.text
    }

    /// Name, type and nullability of the result. The name is the alias, the column's, or the text.
    pub fn field(&self) -> &Field {
        &self.inner.field
    }

    /// The columns that it reads.
    pub fn columns(&self) -> &Columns {
        &self.inner.columns
    }

    /// The column's name, when the expression is just a column.
    pub fn as_column(&self) -> Option<&str> {
        match &self.inner.expr {
            Expr::Column(column) => Some(&column.name),
            _ => None,
        }
    }

    /// Makes it ready to be evaluated on batches of this physical schema: a subset of the logical one that has all of
    /// [`columns`](Scalar::columns), possibly at other places.
    ///
    /// # Errors
    /// When a column is missing or has another type: a mistake of the plan.
    pub fn bind(&self, schema: &Schema) -> Result<BoundScalar> {
        let data_type = self.inner.field.data_type().clone();
        if let Some(name) = self.as_column() {
            let index = schema.index_of(name).map_err(Error::internal)?;
            return Ok(BoundScalar { how: How::Column(index), data_type });
        }
        Ok(BoundScalar { how: How::Computed(planner::compile(&self.inner.expr, self.inner.depth, schema)?, self.inner.depth), data_type })
    }
}

/// The names of the columns in an expression.
pub(crate) fn columns_of(expr: &Expr) -> Columns {
    let mut columns = BTreeSet::new();
    // The closure never fails, so neither does the walk.
    let _ = expr.apply(|node| {
        if let Expr::Column(column) = node {
            columns.insert(column.name.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    columns
}

/// Whether the texts that it gives are JSON: a column of JSON or an element of one as it is, or a part of JSON.
fn gives_json(expr: &Expr, scope: &Scope) -> bool {
    match expr {
        Expr::ScalarFunction(call) if json::gives_json(call.func.name()) => true,
        _ => element(expr, scope).is_some_and(|field| is_json(&field)),
    }
}

/// The field of a column, or of what `a.b` and `a[1]` take out of one.
fn element(expr: &Expr, scope: &Scope) -> Option<FieldRef> {
    let call = match expr {
        Expr::Column(column) => return scope.arrow().fields().find(&column.name).map(|(_, field)| field.clone()),
        Expr::ScalarFunction(call) => call,
        _ => return None,
    };
    let (whole, path) = call.args.split_first()?;
    path.iter().try_fold(element(whole, scope)?, |field, step| match (call.func.name(), field.data_type(), step) {
        ("array_element", DataType::List(item), _) => Some(item.clone()),
        ("get_field", DataType::Struct(fields), Expr::Literal(name, _)) => {
            fields.find(name.try_as_str().flatten()?).map(|(_, field)| field.clone())
        }
        _ => None,
    })
}

/// An expression ready to be evaluated.
pub struct BoundScalar {
    how: How,
    data_type: DataType,
}

enum How {
    /// The column at this place, as it is.
    Column(usize),
    /// Anything else, and how deep it is nested.
    Computed(Arc<dyn PhysicalExpr>, usize),
}

impl BoundScalar {
    /// Evaluates it on all rows. Overflow, division by zero, a bad cast are reported row by row in [`Evaluated::bad`]; the
    /// value there is null.
    ///
    /// # Errors
    /// Only what is not the row's fault.
    pub fn evaluate(&self, records: &RecordBatch) -> Result<Evaluated> {
        match &self.how {
            How::Column(index) => match records.columns().get(*index) {
                Some(column) => Ok(Evaluated { values: Arc::clone(column), bad: Vec::new() }),
                None => Err(Error::internal(format!("a batch has no column {index}"))),
            },
            How::Computed(expr, depth) => with_room_to_evaluate(*depth, || evaluate::rows(expr, records, &self.data_type)),
        }
    }
}

/// The values of an expression for the rows of a batch.
#[derive(Debug)]
pub struct Evaluated {
    /// One for each row, of the type that was planned.
    pub values: ArrayRef,
    /// The rows on which it failed, in rising order. Empty nearly always.
    pub bad: Vec<BadValue>,
}

/// A row on which an expression failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue {
    /// The row's index in the batch (for an aggregate: the group).
    pub row: usize,
    /// Why: `division by zero`, `overflow`, `cannot cast "x" to bigint`.
    pub reason: String,
}

/// A list of expressions as the key of a route.
pub struct ScalarKey(pub Vec<Scalar>);

impl KeyExpressions for ScalarKey {
    fn text(&self) -> String {
        self.0.iter().map(Scalar::text).collect::<Vec<_>>().join(", ")
    }

    fn columns(&self) -> Columns {
        self.0.iter().flat_map(|scalar| scalar.columns().iter().cloned()).collect()
    }

    fn bind(&self, schema: &Schema) -> Result<KeyValues> {
        let bound: Vec<BoundScalar> = self.0.iter().map(|scalar| scalar.bind(schema)).collect::<Result<_>>()?;
        Ok(Box::new(move |records| bound.iter().map(|scalar| Ok(scalar.evaluate(records)?.values)).collect()))
    }
}

//! Expressions that give one value for each row.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use millstream_api::plan::{Columns, KeyExpressions, KeyValues};
use millstream_api::Result;

use crate::error::ExprError;

/// A typed expression over the columns of a stream. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Scalar {}

impl Scalar {
    /// Parses and types `text` against a stream's logical schema.
    ///
    /// # Errors
    /// Every mistake a user can make, with its place in the text.
    pub fn parse(text: &str, schema: &Schema) -> Result<Scalar, ExprError> {
        todo!()
    }

    /// Like [`parse`](Scalar::parse), for a condition: the type must be boolean.
    pub fn predicate(text: &str, schema: &Schema) -> Result<Scalar, ExprError> {
        todo!()
    }

    /// Like [`parse`](Scalar::parse), for an item of a list: `expr as name`. A plain column keeps its name; anything else
    /// must be given one (code `missing-name`).
    pub fn item(text: &str, schema: &Schema) -> Result<Scalar, ExprError> {
        todo!()
    }

    /// The expression's text without `as name`.
    pub fn text(&self) -> &str {
        todo!()
    }

    /// Name, type and nullability of the result. The name is the alias, the column's, or the text.
    pub fn field(&self) -> &Field {
        todo!()
    }

    /// The columns that it reads.
    pub fn columns(&self) -> &Columns {
        todo!()
    }

    /// The column's name, when the expression is just a column.
    pub fn as_column(&self) -> Option<&str> {
        todo!()
    }

    /// Makes it ready to be evaluated on batches of this physical schema: a subset of the logical one that has all of
    /// [`columns`](Scalar::columns), possibly at other places.
    pub fn bind(&self, schema: &Schema) -> Result<BoundScalar> {
        todo!()
    }
}

/// An expression ready to be evaluated.
pub struct BoundScalar {}

impl BoundScalar {
    /// Evaluates it on all rows. Overflow, division by zero, a bad cast are reported row by row in [`Evaluated::bad`]; the
    /// value there is null.
    ///
    /// # Errors
    /// Only what is not the row's fault.
    pub fn evaluate(&self, records: &RecordBatch) -> Result<Evaluated> {
        todo!()
    }
}

/// The values of an expression for the rows of a batch.
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
        todo!()
    }
    fn columns(&self) -> Columns {
        todo!()
    }
    fn bind(&self, schema: &Schema) -> Result<KeyValues> {
        todo!()
    }
}

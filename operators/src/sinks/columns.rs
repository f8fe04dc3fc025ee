//! Which columns a sink writes.
//!
//! A sink that only appends cannot take a row back. Where it is fed an updating stream, the user must ask for the changes
//! themselves: each row then has its weight in a last column, [`WEIGHT`].

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int8Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millstream_api::plan::{Columns, Inputs};
use millstream_api::{Batch, Diagnostic, Diagnostics, Result, Stream};

use crate::columns::{place, records, unknown_column};

/// The column with the weight of a change: 1 a row comes, −1 an equal row is withdrawn.
pub const WEIGHT: &str = "_weight";

/// The columns of a stream that a sink writes, in their order.
#[derive(Clone, Debug)]
pub struct Picked {
    names: Vec<String>,
    changes: bool,
}

impl Picked {
    /// The columns in the key `columns`, all without it.
    ///
    /// # Errors
    /// A column that is not there or is named twice.
    pub fn new(columns: Option<Vec<String>>, inputs: &Inputs<'_>) -> Result<Self, Diagnostics> {
        let schema = inputs.schema(0);
        let Some(names) = columns else {
            let names = schema.fields().iter().map(|field| field.name().clone()).collect();
            return Ok(Picked { names, changes: false });
        };
        let mut found = known_columns("columns", &names, &inputs.streams[0]);
        if names.is_empty() {
            found.push(Diagnostic::error("empty-list", "`columns` names no column").key("columns").help("without the key all are written"));
        }
        found.into_result(Picked { names, changes: false })
    }

    /// The same columns of a sink that only appends, with the weight if `changes` asks for it.
    ///
    /// # Errors
    /// An updating stream without `changes`, or a column that is called like the weight.
    pub fn appended(self, changes: bool, inputs: &Inputs<'_>) -> Result<Self, Diagnostics> {
        let (name, stream) = &inputs.streams[0];
        if stream.updating && !changes {
            let message = format!("`{name}` is updating: its rows can be withdrawn, which this sink cannot do with rows it has written");
            return Err(Diagnostic::error("updating-input", message)
                .key("input")
                .help(format!(
                    "changes = true writes every change with its weight in the column `{WEIGHT}`; a `view` keeps only what is current"
                ))
                .into());
        }
        if changes && self.names.iter().any(|name| name == WEIGHT) {
            let message = format!("`{name}` has a column `{WEIGHT}`, which `changes` would add");
            return Err(Diagnostic::error("duplicate-column", message)
                .key("changes")
                .help("rename the column with a `select` before")
                .into());
        }
        Ok(Picked { changes, ..self })
    }

    /// Their names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What the sink needs of its input.
    pub fn required(&self) -> Columns {
        self.names.iter().cloned().collect()
    }

    /// Makes them ready for batches of this physical schema.
    ///
    /// # Errors
    /// When one does not flow.
    pub fn bind(&self, input: &Schema) -> Result<Projection> {
        let places: Vec<usize> = self.names.iter().map(|name| place(input, name)).collect::<Result<_>>()?;
        let mut fields: Vec<Arc<Field>> = places.iter().map(|&place| input.fields()[place].clone()).collect();
        if self.changes {
            fields.push(Arc::new(Field::new(WEIGHT, DataType::Int8, false)));
        }
        Ok(Projection { places, changes: self.changes, schema: Arc::new(Schema::new(fields)) })
    }
}

/// What is wrong with a list of column names: names that are not columns of the stream, or come twice.
pub(super) fn known_columns(key: &str, names: &[String], (stream_name, stream): &(String, Stream)) -> Diagnostics {
    let mut found = Diagnostics::default();
    let mut seen = BTreeSet::new();
    for (i, name) in names.iter().enumerate() {
        if stream.schema.column_with_name(name).is_none() {
            found.push(unknown_column(name, &stream.schema, stream_name).key(key).index(i));
        } else if !seen.insert(name) {
            found.push(Diagnostic::error("duplicate-column", format!("`{name}` is named twice")).key(key).index(i).help("name it once"));
        }
    }
    found
}

/// Picks columns out of batches.
#[derive(Clone, Debug)]
pub struct Projection {
    places: Vec<usize>,
    changes: bool,
    schema: SchemaRef,
}

impl Projection {
    /// The columns that come out.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The columns of a batch, with the weights where they were asked for.
    ///
    /// # Errors
    /// When the batch is not of the schema that this was bound to.
    pub fn records(&self, batch: &Batch) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = self.places.iter().map(|&place| batch.records().column(place).clone()).collect();
        if self.changes {
            let weights = batch.hidden().weights.clone();
            columns.push(Arc::new(weights.unwrap_or_else(|| Int8Array::from_value(1, batch.rows()))));
        }
        records(&self.schema, columns, batch.rows())
    }
}

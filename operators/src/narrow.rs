//! The columns of an input that a node keeps of its rows, in the order of their names.
//!
//! What flows is decided by all readers of a stream. State that had these columns would be of another form with every reader that comes or
//! goes, so a node that keeps rows first cuts them down to what it needs itself.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use millstream_api::meaning::COLUMN_OF_ROW;
use millstream_api::plan::{Columns, OperatorContext, Shape};
use millstream_api::{Batch, Result};

use crate::columns::place;

/// Some columns of an input.
#[derive(Clone, Debug)]
pub(crate) struct Narrow {
    schema: SchemaRef,
    places: Vec<usize>,
}

impl Narrow {
    /// These columns of rows of this schema.
    ///
    /// # Errors
    /// When one does not flow.
    pub(crate) fn new(input: &Schema, columns: &Columns) -> Result<Narrow> {
        let places: Vec<usize> = columns.iter().map(|name| place(input, name)).collect::<Result<_>>()?;
        let fields: Vec<_> = places.iter().map(|&place| input.fields()[place].clone()).collect();
        Ok(Narrow { schema: Arc::new(Schema::new(fields)), places })
    }

    /// The columns that are left.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The place of each of them in the rows that come.
    pub(crate) fn places(&self) -> &[usize] {
        &self.places
    }

    /// A batch of these columns.
    ///
    /// # Errors
    /// When it is not of the schema that was given.
    pub(crate) fn of(&self, batch: &Batch) -> Result<Batch> {
        batch.project(&self.places)
    }
}

/// What a factory is told, with inputs that have been cut down.
pub(crate) fn narrowed(context: &OperatorContext, inputs: &[&Narrow]) -> OperatorContext {
    let cut = context.inputs.iter().zip(inputs).map(|(shape, narrow)| Shape { schema: narrow.schema().clone(), ..shape.clone() });
    OperatorContext { node: context.node.clone(), inputs: cut.collect(), outputs: context.outputs.clone(), ..*context }
}

/// The name in state of a column of a row; what nodes add to rows is in brackets.
pub(crate) fn in_state(field: &Field) -> String {
    match field.name() {
        own if own.starts_with('(') => own.clone(),
        column => format!("{COLUMN_OF_ROW}{column}"),
    }
}

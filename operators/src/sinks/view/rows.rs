//! Rows as bytes and back: Arrow's row format, in which the order of bytes is the order of rows, nulls last.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryViewArray, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};
use millstream_api::error::ErrorKind;
use millstream_api::types::SqlName;
use millstream_api::{Error, Result};
use millstream_expr::order::{NULLS_LAST, normalised};

use super::contents::Bytes;
use crate::columns::{place, records};

/// How the rows and keys of one view are written as bytes.
pub(super) struct RowFormat {
    rows: RowConverter,
    keys: RowConverter,
    key_fields: Vec<Field>,
    key_places: Vec<usize>,
    /// The columns that readers see, among those that are kept.
    shown_places: Vec<usize>,
    shown: SchemaRef,
}

impl RowFormat {
    /// The format for batches of the schema `input`, of which readers see `shown`.
    pub(super) fn new(input: &Schema, shown: &[String], key: &[String]) -> Result<Self> {
        let places = |names: &[String]| names.iter().map(|name| place(input, name)).collect::<Result<Vec<usize>>>();
        let (shown_places, key_places) = (places(shown)?, places(key)?);
        let key_fields: Vec<Field> = key_places.iter().map(|&place| input.field(place).clone()).collect();
        Ok(RowFormat {
            rows: converter(input.fields().iter().map(AsRef::as_ref))?,
            keys: converter(&key_fields)?,
            key_fields,
            key_places,
            shown: Arc::new(input.project(&shown_places)?),
            shown_places,
        })
    }

    /// The columns that readers see.
    pub(super) fn shown(&self) -> &SchemaRef {
        &self.shown
    }

    /// Whether rows are told apart by a key.
    pub(super) fn has_key(&self) -> bool {
        !self.key_places.is_empty()
    }

    /// The names of the key columns.
    pub(super) fn key_names(&self) -> Vec<String> {
        self.key_fields.iter().map(|field| field.name().clone()).collect()
    }

    /// The rows of a batch.
    pub(super) fn rows(&self, records: &RecordBatch) -> Result<Rows> {
        Ok(self.rows.convert_columns(records.columns())?)
    }

    /// The keys of a batch; `None` when the view has none.
    pub(super) fn keys(&self, records: &RecordBatch) -> Result<Option<Rows>> {
        if !self.has_key() {
            return Ok(None);
        }
        let columns: Vec<ArrayRef> = self.key_places.iter().map(|&place| normalised(records.column(place))).collect();
        Ok(Some(self.keys.convert_columns(&columns)?))
    }

    /// The key that these texts mean, one for each key column.
    ///
    /// # Errors
    /// Texts that are too many, too few or not of their column's type.
    pub(super) fn key_of(&self, texts: &[&str]) -> Result<Bytes> {
        let refused = |message: String| Error::new(ErrorKind::BadRow, message);
        if self.key_fields.is_empty() {
            return Err(refused("this view has no key: it can only be read as a whole".into()));
        }
        if texts.len() != self.key_fields.len() {
            let names = self.key_names().join(", ");
            return Err(refused(format!("the key is ({names}), of which each needs one value: {} given", texts.len())));
        }
        let mut columns = Vec::with_capacity(texts.len());
        for (field, text) in self.key_fields.iter().zip(texts) {
            let value = parsed(text, field.data_type())
                .ok_or_else(|| refused(format!("`{text}` is not a {} (key column `{}`)", SqlName(field.data_type()), field.name())))?;
            columns.push(normalised(&value));
        }
        Ok(self.keys.convert_columns(&columns)?.row(0).as_ref().into())
    }

    /// Rows back as columns, those that readers see.
    pub(super) fn records<'a>(&self, rows: impl ExactSizeIterator<Item = &'a Bytes>) -> Result<RecordBatch> {
        let parser = self.rows.parser();
        let count = rows.len();
        let columns = self.rows.convert_rows(rows.map(|row| parser.parse(row)))?;
        let shown = self.shown_places.iter().map(|&place| columns[place].clone()).collect();
        records(&self.shown, shown, count)
    }
}

fn converter<'a>(fields: impl IntoIterator<Item = &'a Field>) -> Result<RowConverter> {
    let fields = fields.into_iter().map(|field| SortField::new_with_options(field.data_type().clone(), NULLS_LAST));
    Ok(RowConverter::new(fields.collect())?)
}

/// A text as a value of a type, as readers are shown values of it; `None` when it is not one.
fn parsed(text: &str, data_type: &DataType) -> Option<ArrayRef> {
    if *data_type == DataType::BinaryView {
        return Some(Arc::new(BinaryViewArray::from_iter_values([bytes(text)?])));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let value = cast_with_options(&StringArray::from(vec![text]), data_type, &options).ok()?;
    value.is_valid(0).then_some(value)
}

/// Bytes in hexadecimal.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    digits.chunks(2).map(|pair| Some((pair.first()? * 16 + pair.get(1)?) as u8)).collect()
}

//! Rows that lie among others, to be written: which they are is noted at a barrier, and they are copied out by whoever writes them.
//!
//! In Arrow's terms such a column is a dictionary, places into values that are shared. No column of a stream or of state is one otherwise, so
//! the type tells them apart. An operator that takes its state back never sees one.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, UInt32Type};

use super::{StateEntries, StateRows};
use crate::error::Result;

/// The values of a column at these places, which are copied out later. The whole column stays in memory until then.
///
/// # Errors
/// When there is no such place.
pub fn picked(column: &ArrayRef, places: &UInt32Array) -> Result<ArrayRef> {
    Ok(Arc::new(DictionaryArray::<UInt32Type>::try_new(places.clone(), column.clone())?))
}

/// Rows of these columns, of which some may be [`picked`].
///
/// # Errors
/// When the columns are not those of the schema.
pub fn records_of(schema: &Schema, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    let field = |(field, column): (&Arc<Field>, &ArrayRef)| match is_picked(column) {
        true => Arc::new(field.as_ref().clone().with_data_type(column.data_type().clone())),
        false => field.clone(),
    };
    let fields: Vec<Arc<Field>> = schema.fields().iter().zip(&columns).map(field).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())), columns)?)
}

/// The places and the column of one that is [`picked`].
pub fn places_in(column: &ArrayRef) -> Option<(&UInt32Array, &ArrayRef)> {
    let column = column.as_dictionary_opt::<UInt32Type>()?;
    Some((column.keys(), column.values()))
}

fn is_picked(column: &ArrayRef) -> bool {
    places_in(column).is_some()
}

impl StateRows {
    /// The same rows, all copied out.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn gathered(&self) -> Result<StateRows> {
        if !self.records.columns().iter().any(is_picked) {
            return Ok(self.clone());
        }
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        for (field, column) in self.records.schema_ref().fields().iter().zip(self.records.columns()) {
            let (field, column) = match places_in(column) {
                None => (field.clone(), column.clone()),
                Some((places, column)) => (with_type(field, column.data_type()), take(column, places, None)?),
            };
            fields.push(field);
            columns.push(column);
        }
        let schema = Arc::new(Schema::new_with_metadata(fields, self.records.schema_ref().metadata().clone()));
        let options = RecordBatchOptions::new().with_row_count(Some(self.records.num_rows()));
        Ok(StateRows { groups: self.groups.clone(), records: RecordBatch::try_new_with_options(schema, columns, &options)? })
    }
}

fn with_type(field: &Arc<Field>, data_type: &DataType) -> Arc<Field> {
    Arc::new(field.as_ref().clone().with_data_type(data_type.clone()))
}

/// The same entries, all rows copied out.
///
/// # Errors
/// Only internal ones.
pub fn gathered(entries: &StateEntries) -> Result<StateEntries> {
    let gathered = |rows: &Vec<StateRows>| rows.iter().map(StateRows::gathered).collect::<Result<_>>();
    entries.iter().map(|(name, rows)| Ok((name.clone(), gathered(rows)?))).collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringViewArray};

    use super::*;
    use crate::state::{StateReader, StateWriter};

    #[test]
    fn rows_among_others_are_given_back_as_if_they_had_been_copied() {
        let schema = Schema::new(vec![Field::new("k", DataType::Int64, false), Field::new("v", DataType::Utf8View, true)]);
        let among: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), None, Some("c"), Some("d")]));
        let keys = |values: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
        let places = UInt32Array::from(vec![3, 0, 1]);
        let records = records_of(&schema, vec![keys(vec![1, 2, 3]), picked(&among, &places).unwrap()]).unwrap();
        assert!(picked(&among, &UInt32Array::from(vec![4])).is_err(), "there is no such place");

        let mut writer = StateWriter::new();
        writer.put_keyed("rows", &[5, 90, 6], &records).unwrap();
        let reader = StateReader::new(writer.into_entries(), &(0..64)).unwrap();
        let copied: ArrayRef = Arc::new(StringViewArray::from(vec![Some("d"), None]));
        let expected = RecordBatch::try_new(Arc::new(schema), vec![keys(vec![1, 3]), copied]).unwrap();
        assert_eq!(reader.get("rows").collect::<Vec<_>>(), [&expected]);
    }
}

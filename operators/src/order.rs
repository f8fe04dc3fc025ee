//! Which row comes first: by the items of `order`, and by what decides where they leave rows equal.
//!
//! The order of a row is one byte string (Arrow's row encoding of all that matters), so that rows of different batches, and of
//! a snapshot, are compared without their columns.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray};
use arrow::datatypes::{DataType, Schema};
use arrow::row::{RowConverter, SortField};
use millstream_api::meaning::Matters;
use millstream_api::{Batch, Error, Result, Stream};
use millstream_expr::order::{NULLS_LAST, OrderItem, normalised};
use millstream_expr::{BadValue, BoundScalar};

use crate::columns::place;

/// What decides between rows that are equal by `order`: event time, then the place in the source, else all columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ties {
    /// Event time.
    pub(crate) times: bool,
    /// Split and position.
    pub(crate) origin: bool,
    /// Columns, from left to right.
    pub(crate) columns: Vec<String>,
}

impl Ties {
    /// Those of the rows of a stream, by these columns where they have no place in a source.
    ///
    /// A withdrawal stands at another place than its row, so rows that can be withdrawn are told apart by their columns.
    pub(crate) fn of(stream: &Stream, columns: &Schema) -> Ties {
        let origin = stream.from_source && !stream.updating;
        let columns = columns.fields().iter().map(|field| field.name().clone()).filter(|_| !origin);
        Ties { times: stream.event_time, origin, columns: columns.collect() }
    }
}

impl Ties {
    /// As something that matters to state: which row is first is in it.
    pub(crate) fn matter(&self, matters: Matters) -> Matters {
        let origin = if self.origin { "place in the source" } else { "" };
        let time = if self.times { "event time" } else { "" };
        let parts = [time, origin].into_iter().filter(|part| !part.is_empty()).map(str::to_owned);
        matters.option("(order of rows that are equal)", listed(parts.chain(self.columns.iter().cloned())))
    }
}

/// Texts one after the other, so that each list has a text of its own.
pub(crate) fn listed(texts: impl IntoIterator<Item = String>) -> String {
    texts.into_iter().map(|text| format!("[{text}]")).collect::<Vec<_>>().join(", ")
}

/// The order of rows of one physical schema.
pub(crate) struct RowSorter {
    terms: Vec<BoundScalar>,
    ties: Ties,
    tie_places: Vec<usize>,
    converter: RowConverter,
}

impl RowSorter {
    /// Binds the order to the columns that flow.
    pub(crate) fn new(terms: &[OrderItem], ties: &Ties, schema: &Schema) -> Result<Self> {
        let field = |data_type: &DataType| SortField::new_with_options(data_type.clone(), NULLS_LAST);
        let mut fields: Vec<SortField> = terms.iter().map(OrderItem::sort_field).collect();
        fields.extend(ties.times.then(|| field(&DataType::Int64)));
        if ties.origin {
            fields.extend([field(&DataType::UInt32), field(&DataType::Int64)]);
        }
        let tie_places: Vec<usize> = ties.columns.iter().map(|name| place(schema, name)).collect::<Result<_>>()?;
        fields.extend(tie_places.iter().map(|&place| field(schema.field(place).data_type())));
        Ok(RowSorter {
            terms: terms.iter().map(|term| term.value().bind(schema)).collect::<Result<_>>()?,
            ties: ties.clone(),
            tie_places,
            converter: RowConverter::new(fields)?,
        })
    }

    /// Byte strings in the order of the rows. Rows on which an expression fails are added to `bad`.
    pub(crate) fn sortable(&self, batch: &Batch, bad: &mut Vec<BadValue>) -> Result<BinaryArray> {
        let mut columns: Vec<ArrayRef> = Vec::new();
        for term in &self.terms {
            let evaluated = term.evaluate(batch.records())?;
            bad.extend(evaluated.bad);
            columns.push(normalised(&evaluated.values));
        }
        let missing = |what: &str| Error::internal(format!("rows that are to be ranked do not carry their {what}"));
        let hidden = batch.hidden();
        if self.ties.times {
            columns.push(Arc::new(hidden.times.clone().ok_or_else(|| missing("event time"))?));
        }
        if self.ties.origin {
            let origin = hidden.origin.clone().ok_or_else(|| missing("origin"))?;
            columns.extend([Arc::new(origin.split) as ArrayRef, Arc::new(origin.position)]);
        }
        columns.extend(self.tie_places.iter().map(|&place| normalised(batch.records().column(place))));
        if columns.is_empty() {
            return Ok(BinaryArray::from_iter_values((0..batch.rows()).map(|_| [])));
        }
        Ok(self.converter.convert_columns(&columns)?.try_into_binary()?)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Float64Array;

    use super::*;
    use crate::testing::{batch, ints};

    fn sorted(order: &str, column: ArrayRef) -> Vec<usize> {
        let batch = batch(&[("price", column)]);
        let term = OrderItem::parse(order, &batch.schema()).unwrap();
        let keys = RowSorter::new(&[term], &Ties::default(), &batch.schema()).unwrap().sortable(&batch, &mut Vec::new()).unwrap();
        let mut rows: Vec<usize> = (0..batch.rows()).collect();
        rows.sort_by(|&a, &b| keys.value(a).cmp(keys.value(b)));
        rows
    }

    #[test]
    fn bytes_sort_as_the_rows_do() {
        let values = || ints([Some(5), None, Some(-7), Some(300)]);
        assert_eq!(sorted("price", values()), [2, 0, 3, 1]);
        assert_eq!(sorted("price desc", values()), [3, 0, 2, 1]);
        assert_eq!(sorted("price desc nulls first", values()), [1, 3, 0, 2]);
        assert_eq!(sorted("price", Arc::new(Float64Array::from(vec![0.0, -0.0, -1.0]))), [2, 0, 1], "zeros are equal");
    }
}

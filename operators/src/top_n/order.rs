//! Which row comes first: the items of `order`, and what decides where they leave rows equal.
//!
//! The order of a row is one byte string (Arrow's row encoding of all that matters), so that rows of different batches, and of
//! a snapshot, are compared without their columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, PrimitiveArray};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Schema};
use arrow::row::{RowConverter, SortField};
use millstream_api::types::SqlName;
use millstream_api::{Batch, Diagnostic, Error, Result};
use millstream_expr::{BadValue, BoundScalar, Scalar};

use crate::columns::place;

/// An item of `order`.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    pub(crate) value: Scalar,
    options: SortOptions,
}

impl Term {
    /// Parses `expr [asc|desc] [nulls first|last]`.
    pub(super) fn parse(text: &str, schema: &Schema) -> Result<Term, Diagnostic> {
        let (rest, nulls_first) = match without_last(text, "first").and_then(|rest| without_last(rest, "nulls")) {
            Some(rest) => (rest, true),
            None => (without_last(text, "last").and_then(|rest| without_last(rest, "nulls")).unwrap_or(text), false),
        };
        let (rest, descending) = match without_last(rest, "desc") {
            Some(rest) => (rest, true),
            None => (without_last(rest, "asc").unwrap_or(rest), false),
        };
        let value = Scalar::parse(rest, schema).map_err(|error| error.at("order"))?;
        let data_type = value.field().data_type();
        if !comparable(data_type) {
            let message = format!("`{}` is {}, which has no order", value.text(), SqlName(data_type));
            return Err(Diagnostic::error("type-mismatch", message).key("order").help("order by something that can be compared"));
        }
        Ok(Term { value, options: SortOptions { descending, nulls_first } })
    }
}

/// Whether values of this type can be compared.
pub(crate) fn comparable(data_type: &DataType) -> bool {
    RowConverter::supports_fields(&[SortField::new(data_type.clone())])
}

/// The text before its last word, if that is `word` and something stands before it.
fn without_last<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let text = text.trim_end();
    let start = text.len().checked_sub(word.len())?;
    let rest = text.get(..start).filter(|_| text.get(start..).is_some_and(|last| last.eq_ignore_ascii_case(word)))?;
    (rest.ends_with(char::is_whitespace) && !rest.trim().is_empty()).then(|| rest.trim_end())
}

/// What decides between rows that are equal by `order`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ties {
    /// Event time.
    pub(crate) times: bool,
    /// Split and position.
    pub(crate) origin: bool,
    /// Columns, from left to right.
    pub(crate) columns: Vec<String>,
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
    pub(crate) fn new(terms: &[Term], ties: &Ties, schema: &Schema) -> Result<Self> {
        let last = SortOptions { descending: false, nulls_first: false };
        let field = |data_type: &DataType, options| SortField::new_with_options(data_type.clone(), options);
        let mut fields: Vec<SortField> = terms.iter().map(|term| field(term.value.field().data_type(), term.options)).collect();
        fields.extend(ties.times.then(|| field(&DataType::Int64, last)));
        if ties.origin {
            fields.extend([field(&DataType::UInt32, last), field(&DataType::Int64, last)]);
        }
        let tie_places: Vec<usize> = ties.columns.iter().map(|name| place(schema, name)).collect::<Result<_>>()?;
        fields.extend(tie_places.iter().map(|&place| field(schema.field(place).data_type(), last)));
        Ok(RowSorter {
            terms: terms.iter().map(|term| term.value.bind(schema)).collect::<Result<_>>()?,
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

/// The column with `0.0` for `-0.0` and one NaN for all, which are equal in SQL and not in their bytes.
fn normalised(column: &ArrayRef) -> ArrayRef {
    fn floats<T: ArrowPrimitiveType>(column: &ArrayRef, one: impl Fn(T::Native) -> T::Native) -> ArrayRef {
        let values: &PrimitiveArray<T> = column.as_primitive();
        Arc::new(values.unary::<_, T>(one))
    }
    match column.data_type() {
        DataType::Float64 => floats::<Float64Type>(column, |v| if v.is_nan() { f64::NAN } else { v + 0.0 }),
        DataType::Float32 => floats::<Float32Type>(column, |v| if v.is_nan() { f32::NAN } else { v + 0.0 }),
        _ => column.clone(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Float64Array;

    use super::*;
    use crate::testing::{batch, ints, schema};

    fn parsed(text: &str) -> Result<(String, bool, bool), &'static str> {
        let term = Term::parse(text, &schema("price bigint, desc bigint")).map_err(|diagnostic| diagnostic.code)?;
        Ok((term.value.text().to_owned(), term.options.descending, term.options.nulls_first))
    }

    #[test]
    fn an_item_is_an_expression_a_direction_and_the_place_of_nulls() {
        assert_eq!(parsed("price"), Ok(("price".into(), false, false)));
        assert_eq!(parsed("price * 2 DESC"), Ok(("price * 2".into(), true, false)));
        assert_eq!(parsed("price asc nulls first"), Ok(("price".into(), false, true)));
        assert_eq!(parsed("(price) desc  nulls  last "), Ok(("(price)".into(), true, false)));
        assert_eq!(parsed("desc"), Ok(("desc".into(), false, false)), "a column of that name");
        assert_eq!(parsed("price up"), Err("syntax"));
        assert_eq!(parsed("prise desc"), Err("unknown-column"));
        assert_eq!(parsed("é desc"), Err("unknown-column"), "a letter of two bytes");
    }

    fn sorted(order: &str, column: ArrayRef) -> Vec<usize> {
        let batch = batch(&[("price", column)]);
        let term = Term::parse(order, &batch.schema()).unwrap();
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

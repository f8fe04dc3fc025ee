//! Which row comes first: the items of an `order` list, `expr [asc|desc] [nulls first|last]`.

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Schema};
use arrow::row::{RowConverter, SortField};
use millstream_api::types::SqlName;

use crate::error::ExprError;
use crate::scalar::Scalar;

pub use crate::aggregate::normalised;

/// How columns are ordered that nobody has said a direction for.
pub const NULLS_LAST: SortOptions = SortOptions { descending: false, nulls_first: false };

/// An item of `order`: an expression and its direction. Nulls come last unless it says `nulls first`.
#[derive(Clone, Debug)]
pub struct OrderItem {
    value: Scalar,
    options: SortOptions,
}

impl OrderItem {
    /// Parses `expr [asc|desc] [nulls first|last]` and types it against a stream's logical schema.
    ///
    /// # Errors
    /// As [`Scalar::parse`], and `type-mismatch` for what has no order.
    pub fn parse(text: &str, schema: &Schema) -> Result<OrderItem, ExprError> {
        let (rest, nulls_first) = match without_last(text, "first").and_then(|rest| without_last(rest, "nulls")) {
            Some(rest) => (rest, true),
            None => (without_last(text, "last").and_then(|rest| without_last(rest, "nulls")).unwrap_or(text), false),
        };
        let (rest, descending) = match without_last(rest, "desc") {
            Some(rest) => (rest, true),
            None => (without_last(rest, "asc").unwrap_or(rest), false),
        };
        OrderItem::of(Scalar::parse(rest, schema)?, descending, nulls_first)
    }

    /// Orders by a value.
    ///
    /// # Errors
    /// `type-mismatch` for what has no order.
    pub(crate) fn of(value: Scalar, descending: bool, nulls_first: bool) -> Result<OrderItem, ExprError> {
        let data_type = value.field().data_type();
        if !comparable(data_type) {
            let message = format!("`{}` is {}, which has no order", value.text(), SqlName(data_type));
            return Err(ExprError::new("type-mismatch", message, None).help("order by something that can be compared"));
        }
        Ok(OrderItem { value, options: SortOptions { descending, nulls_first } })
    }

    /// What rows are ordered by.
    pub fn value(&self) -> &Scalar {
        &self.value
    }

    /// The item written out: [`normal_text`](crate::normal_text) of the expression, its direction and where nulls stand.
    pub fn written_out(&self) -> String {
        let SortOptions { descending, nulls_first } = self.options;
        let (direction, nulls) = (if descending { "desc" } else { "asc" }, if nulls_first { "first" } else { "last" });
        format!("{} {direction} nulls {nulls}", crate::normal_text(self.value.text()))
    }

    /// Its type and direction, for a converter of rows. Values go through [`normalised`] before.
    pub fn sort_field(&self) -> SortField {
        SortField::new_with_options(self.value.field().data_type().clone(), self.options)
    }
}

/// Whether values of this type can be compared.
pub fn comparable(data_type: &DataType) -> bool {
    RowConverter::supports_fields(&[SortField::new(data_type.clone())])
}

/// The text before its last word, if that is `word` and something stands before it.
fn without_last<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let text = text.trim_end();
    let start = text.len().checked_sub(word.len())?;
    let rest = text.get(..start).filter(|_| text.get(start..).is_some_and(|last| last.eq_ignore_ascii_case(word)))?;
    (rest.ends_with(char::is_whitespace) && !rest.trim().is_empty()).then(|| rest.trim_end())
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;

    use super::*;

    fn parsed(text: &str) -> Result<(String, bool, bool), &'static str> {
        let schema = Schema::new(vec![Field::new("price", DataType::Int64, true), Field::new("desc", DataType::Int64, true)]);
        let item = OrderItem::parse(text, &schema).map_err(|error| error.code)?;
        Ok((item.value.text().to_owned(), item.options.descending, item.options.nulls_first))
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
}

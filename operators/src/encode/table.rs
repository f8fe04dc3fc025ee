//! Aligned columns for people: a header, a line, and rows in pages.
//!
//! The width of a column is known only when its values are, and a stream has no last value. So a page decides: the header is
//! printed with the first page, and a later page only ever widens columns. A null is shown as `-`. Control characters are
//! shown escaped: a value must not be able to move the cursor of a terminal.

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use millstream_api::Result;

use super::csv::plain_values;
use super::text::canonical;

/// No column is wider: a longer text is shown in full, but the columns after it move.
const MAX_WIDTH: usize = 60;

/// Prints the rows of one stream, page after page.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    has_header: bool,
}

#[derive(Debug)]
struct Column {
    name: String,
    right: bool,
    width: usize,
}

impl Table {
    /// A table with these columns and nothing printed yet.
    pub fn new(schema: &Schema) -> Self {
        let columns = schema.fields().iter().map(|field| Column {
            name: field.name().clone(),
            right: field.data_type().is_numeric(),
            width: field.name().chars().count().max(usual_width(field.data_type())),
        });
        Table { columns: columns.collect(), has_header: false }
    }

    /// Appends the rows of `pages`, all with the same widths.
    ///
    /// # Errors
    /// Only when a column has a type that no stream has.
    pub fn write_page(&mut self, pages: &[RecordBatch], out: &mut Vec<u8>) -> Result<()> {
        let mut rows: Vec<Vec<String>> = Vec::new();
        for records in pages {
            rows.extend(cells(records)?);
        }
        for row in &rows {
            for (column, cell) in self.columns.iter_mut().zip(row) {
                column.width = column.width.max(cell.chars().count().min(MAX_WIDTH));
            }
        }
        if !self.has_header {
            self.has_header = true;
            self.write_line(self.columns.iter().map(|column| column.name.as_str()), out);
            let rules: Vec<String> = self.columns.iter().map(|column| "-".repeat(column.width)).collect();
            self.write_line(rules.iter().map(String::as_str), out);
        }
        for row in &rows {
            self.write_line(row.iter().map(String::as_str), out);
        }
        Ok(())
    }

    fn write_line<'a>(&self, cells: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
        let mut line = String::new();
        for (column, cell) in self.columns.iter().zip(cells) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            let padding = " ".repeat(column.width.saturating_sub(cell.chars().count()));
            let (before, after) = if column.right { (padding.as_str(), "") } else { ("", padding.as_str()) };
            line.push_str(before);
            line.push_str(cell);
            line.push_str(after);
        }
        out.extend_from_slice(line.trim_end().as_bytes());
        out.push(b'\n');
    }
}

/// A width at which most values of a type fit, so that the first page does not make its columns too narrow for the next.
fn usual_width(data_type: &DataType) -> usize {
    match data_type {
        DataType::Timestamp(_, _) => "2013-01-01T10:17:00Z".len(),
        DataType::Date32 => "2013-01-01".len(),
        DataType::Boolean => "false".len(),
        _ => 1,
    }
}

fn cells(records: &RecordBatch) -> Result<Vec<Vec<String>>> {
    let columns: Vec<ArrayRef> = records.columns().iter().map(canonical).collect::<Result<_>>()?;
    let mut rows = vec![Vec::with_capacity(columns.len()); records.num_rows()];
    for column in &columns {
        let write = plain_values(column.as_ref())?;
        let nulls = column.logical_nulls();
        for (row, cells) in rows.iter_mut().enumerate() {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                cells.push("-".to_owned());
                continue;
            }
            let mut bytes = Vec::new();
            write(row, &mut bytes);
            cells.push(visible(&String::from_utf8_lossy(&bytes)));
        }
    }
    Ok(rows)
}

fn visible(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringViewArray};
    use arrow::datatypes::Field;

    use super::*;

    fn page(names: Vec<Option<&str>>, counts: Vec<i64>) -> RecordBatch {
        let schema = Schema::new(vec![Field::new("name", DataType::Utf8View, true), Field::new("n", DataType::Int64, false)]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(StringViewArray::from(names)), Arc::new(Int64Array::from(counts))]).unwrap()
    }

    #[test]
    fn pages_share_one_header_and_only_widen() {
        let first = page(vec![Some("UA"), None], vec![5, 1234]);
        let mut table = Table::new(&first.schema());
        let mut out = Vec::new();
        table.write_page(&[first], &mut out).unwrap();
        table.write_page(&[page(vec![Some("longer"), Some("\u{1b}[2J")], vec![1, 2])], &mut out).unwrap();
        let expected = "\
name     n
----  ----
UA       5
-     1234
longer        1
\\u{1b}[2J     2
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

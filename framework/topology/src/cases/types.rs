//! The rows of a step against the columns of the stream that it names.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field as Column, SchemaRef};
use millstream_api::Diagnostic;
use millstream_api::diagnostic::{Key, nearest};
use millstream_api::types::TimestampForm;
use serde_json::Value as Json;

use super::WEIGHT;
use super::cell::Cell;
use super::rows::{WrittenRow, WrittenValue};

/// The types of a stream's columns.
pub(crate) struct Types<'a> {
    pub subject: &'a str,
    pub schema: &'a SchemaRef,
    /// Columns whose timestamps may be written as numbers.
    pub forms: BTreeMap<String, TimestampForm>,
}

impl Types<'_> {
    /// A value for each column, and of an updating stream whether the row comes (1) or goes (-1): the first unless it says so.
    pub fn whole_row(&self, row: &WrittenRow, updating: bool) -> Result<(Vec<Cell>, i8), Vec<Diagnostic>> {
        let prefix = [Key::Name("rows".to_owned())];
        if let Some(broken) = &row.broken {
            return Err(vec![row.at.place(broken.clone(), &prefix)]);
        }
        let mut cells = vec![Cell::Null; self.schema.fields().len()];
        let (mut mistakes, mut weight) = (Vec::new(), 1);
        let has_column = self.schema.column_with_name(WEIGHT).is_some();
        for value in &row.values {
            if value.column == WEIGHT && !has_column {
                match self.weight(value, updating) {
                    Ok(cell) => weight = if cell == Cell::Integer(-1) { -1 } else { 1 },
                    Err(mistake) => mistakes.push(mistake),
                }
                continue;
            }
            match self.column(value).and_then(|index| Ok((index, self.cell(value, self.schema.field(index))?))) {
                Ok((index, cell)) => cells[index] = cell,
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if mistakes.iter().any(|mistake| mistake.code == "unknown-column") {
            // The name that is missing may be the one that was misspelt.
            return Err(mistakes);
        }
        let is_wrong = |field: &Column| row.values.iter().any(|value| value.column == *field.name() && !value.json.is_null());
        for (field, _) in self.schema.fields().iter().zip(&cells).filter(|(field, cell)| !field.is_nullable() && **cell == Cell::Null) {
            if !is_wrong(field) {
                let message = format!("`{}` of `{}` must not be null, and the row has no value for it", field.name(), self.subject);
                mistakes
                    .push(row.at.place(Diagnostic::error("missing-column", message).help(format!("add {} = …", field.name())), &prefix));
            }
        }
        if mistakes.is_empty() { Ok((cells, weight)) } else { Err(mistakes) }
    }

    /// The values that the row names, by the index of their columns in `columns`; the weight comes after them.
    pub fn named(&self, row: &WrittenRow, columns: &[String], weights: bool) -> Result<Vec<(usize, Cell)>, Vec<Diagnostic>> {
        if let Some(broken) = &row.broken {
            return Err(vec![row.at.place(broken.clone(), &[Key::Name("rows".to_owned())])]);
        }
        let (mut cells, mut mistakes) = (Vec::new(), Vec::new());
        for value in &row.values {
            let read = if value.column == WEIGHT {
                self.weight(value, weights).map(|cell| (columns.len(), cell))
            } else {
                self.expected(value, columns)
            };
            match read {
                Ok(read) => cells.push(read),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if mistakes.is_empty() { Ok(cells) } else { Err(mistakes) }
    }

    fn expected(&self, value: &WrittenValue, columns: &[String]) -> Result<(usize, Cell), Diagnostic> {
        let index = columns.iter().position(|column| *column == value.column);
        let field = self.schema.field_with_name(&value.column).ok();
        match (index, field) {
            (Some(index), Some(field)) => Ok((index, self.cell(value, field)?)),
            _ => Err(self.unknown_column(value, &columns.iter().map(String::as_str).collect::<Vec<_>>())),
        }
    }

    fn weight(&self, value: &WrittenValue, weights: bool) -> Result<Cell, Diagnostic> {
        let (message, help) = match value.json.as_i64() {
            _ if !weights => (
                format!("the rows of `{}` have no `{WEIGHT}`: none of them is withdrawn", self.subject),
                "leave it out; of an updating stream it says whether a row comes (1) or goes (-1)",
            ),
            Some(weight @ (1 | -1)) => return Ok(Cell::Integer(weight)),
            _ => (format!("`{WEIGHT}` must be 1 or -1, not {}", value.json), "1: the row comes; -1: it is withdrawn"),
        };
        let code = if weights { "bad-value" } else { "unknown-column" };
        let at = if weights { &value.at } else { &value.name_at };
        Err(at.place(Diagnostic::error(code, message).help(help), &[Key::Name("rows".to_owned())]))
    }

    fn column(&self, value: &WrittenValue) -> Result<usize, Diagnostic> {
        let names = || self.schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>();
        self.schema.index_of(&value.column).map_err(|_| self.unknown_column(value, &names()))
    }

    fn unknown_column(&self, value: &WrittenValue, known: &[&str]) -> Diagnostic {
        let help = match nearest(&value.column, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it has {}", known.join(", ")),
        };
        let message = format!("`{}` has no column `{}`", self.subject, value.column);
        value.name_at.place(Diagnostic::error("unknown-column", message).help(help), &[Key::Name("rows".to_owned())])
    }

    fn cell(&self, value: &WrittenValue, field: &Column) -> Result<Cell, Diagnostic> {
        let form = self.forms.get(field.name()).copied().unwrap_or(TimestampForm::Rfc3339);
        let typed = match (&value.json, field.data_type()) {
            (Json::String(text), data_type) if value.untyped && *data_type != DataType::Utf8View => serde_json::from_str(text).ok(),
            _ => None,
        };
        Cell::read(typed.as_ref().unwrap_or(&value.json), field, form).map_err(|wanted| {
            let message = format!("`{}` of `{}` must be {wanted}", field.name(), self.subject);
            value.at.place(Diagnostic::error("wrong-type", message), &[Key::Name("rows".to_owned())])
        })
    }
}

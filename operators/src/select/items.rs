//! The list of columns of a `select`: `*`, `* except (a, b)`, names and expressions.

use std::ops::Range;

use arrow::datatypes::{Field, Schema};
use millstream_api::plan::Columns;
use millstream_api::{Diagnostic, Diagnostics};
use millstream_expr::Scalar;

use crate::columns::unknown_column;

/// One column of the result.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// Its name, type and nullability.
    pub(super) field: Field,
    /// Where its values come from.
    pub(super) from: From,
}

/// Where a column's values come from.
#[derive(Clone, Debug)]
pub(super) enum From {
    /// A column of the input, as it is.
    Input(String),
    /// An expression.
    Expression(Scalar),
}

impl Column {
    /// The input's columns that it needs.
    pub(super) fn reads(&self) -> Columns {
        match &self.from {
            From::Input(name) => [name.clone()].into(),
            From::Expression(scalar) => scalar.columns().clone(),
        }
    }

    fn passed(field: &Field) -> Column {
        Column { field: field.clone(), from: From::Input(field.name().clone()) }
    }
}

/// All columns of a list, in its order.
pub(super) fn parse(items: &[String], schema: &Schema, stream: &str) -> Result<Vec<Column>, Diagnostics> {
    let mut found = Diagnostics::default();
    let mut columns: Vec<(usize, Column)> = Vec::new();
    if items.is_empty() {
        found.push(Diagnostic::error("empty-list", "`columns` names no column").key("columns").help("\"*\" stands for all columns"));
    }
    for (i, item) in items.iter().enumerate() {
        let parsed = match item.trim_start().strip_prefix('*') {
            Some(rest) => star(item, rest, schema, stream, i),
            None => expression(item, schema).map_err(|mistake| mistake.index(i).into()),
        };
        columns.extend(found.ok(parsed).into_iter().flatten().map(|column| (i, column)));
    }
    found.0.extend(duplicates(columns.iter().map(|(i, column)| (*i, column.field.name().as_str()))));
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    found.into_result(columns)
}

/// The columns of a list that has expressions only: what a source computes.
pub(crate) fn expressions(items: &[String], schema: &Schema) -> Result<Vec<Scalar>, Diagnostics> {
    let mut found = Diagnostics::default();
    let mut scalars: Vec<(usize, Scalar)> = Vec::new();
    if items.is_empty() {
        found.push(Diagnostic::error("empty-list", "`columns` names no column").key("columns").help("write at least one expression"));
    }
    for (i, item) in items.iter().enumerate() {
        let scalar = found.ok(Scalar::item(item, schema).map_err(|error| error.at("columns").index(i)));
        scalars.extend(scalar.map(|scalar| (i, scalar)));
    }
    found.0.extend(duplicates(scalars.iter().map(|(i, scalar)| (*i, scalar.field().name().as_str()))));
    let scalars = scalars.into_iter().map(|(_, scalar)| scalar).collect();
    found.into_result(scalars)
}

fn expression(item: &str, schema: &Schema) -> Result<Vec<Column>, Diagnostic> {
    let scalar = Scalar::item(item, schema).map_err(|error| error.at("columns"))?;
    let field = scalar.field().clone();
    let from = match scalar.as_column() {
        Some(name) => From::Input(name.to_owned()),
        None => From::Expression(scalar),
    };
    Ok(vec![Column { field, from }])
}

/// `*` with what follows it: nothing or `except (…)`.
fn star(item: &str, rest: &str, schema: &Schema, stream: &str, index: usize) -> Result<Vec<Column>, Diagnostics> {
    let at = |diagnostic: Diagnostic| diagnostic.key("columns").index(index);
    let mut found = Diagnostics::default();
    let excepted = match rest.trim() {
        "" => Vec::new(),
        tail => {
            let names = excepted_names(item, tail).ok_or_else(|| {
                at(Diagnostic::error("syntax", format!("`{tail}` cannot stand after `*`"))
                    .text(range_of(item, tail))
                    .help("write \"* except (a, b)\"; other columns are items of their own: [\"*\", \"a + b as c\"]"))
            })?;
            for (name, range) in &names {
                if schema.column_with_name(name).is_none() {
                    found.push(at(unknown_column(name, schema, stream)).text(range.clone()));
                }
            }
            names
        }
    };
    let stays = |field: &&std::sync::Arc<Field>| excepted.iter().all(|(name, _)| name != field.name());
    let columns = schema.fields().iter().filter(stays).map(|field| Column::passed(field)).collect();
    found.into_result(columns)
}

/// The names in `except (a, "b-c")`, each with its place in the item; `None` when it is not of this form.
fn excepted_names(item: &str, tail: &str) -> Option<Vec<(String, Range<usize>)>> {
    let list = ["except", "exclude"].iter().find_map(|word| {
        let (head, list) = (tail.get(..word.len())?, tail.get(word.len()..)?);
        head.eq_ignore_ascii_case(word).then_some(list)
    })?;
    let inside = list.trim().strip_prefix('(')?.strip_suffix(')')?;
    inside
        .split(',')
        .map(|part| {
            let written = part.trim();
            let name = written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(written);
            let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
            is_name.then(|| (name.to_owned(), range_of(item, written)))
        })
        .collect()
}

/// Where `part`, which is a piece of `text`, stands in it.
fn range_of(text: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    start..start + part.len()
}

fn duplicates<'a>(names: impl Iterator<Item = (usize, &'a str)>) -> Vec<Diagnostic> {
    let mut seen = std::collections::HashMap::new();
    let mut found = Vec::new();
    for (i, name) in names {
        if let Some(first) = seen.insert(name, i) {
            let message = format!("two columns are called `{name}` (items {} and {} of the list)", first + 1, i + 1);
            found.push(
                Diagnostic::error("duplicate-column", message)
                    .key("columns")
                    .index(i)
                    .help(format!("rename one with `as`, or leave the old one out: \"* except ({name})\"")),
            );
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use millstream_api::diagnostic::Part;

    use super::*;
    use crate::testing::schema;

    fn names(items: &[&str]) -> Result<Vec<String>, Diagnostics> {
        let items: Vec<String> = items.iter().map(|item| (*item).to_owned()).collect();
        let columns = parse(&items, &schema("a bigint, b bigint, c-d bigint"), "input")?;
        Ok(columns.iter().map(|column| column.field.name().clone()).collect())
    }

    #[test]
    fn stars_leave_out_what_they_say() {
        assert_eq!(names(&["*"]).unwrap(), ["a", "b", "c-d"]);
        assert_eq!(names(&[" * EXCEPT ( a , \"c-d\" ) "]).unwrap(), ["b"]);
        assert_eq!(names(&["* except(c-d)"]).unwrap(), ["a", "b"]);
    }

    #[test]
    fn mistakes_are_found_in_one_go_with_their_places() {
        let found = names(&["* except (b, x)", "* minus (a)", "* except ()"]).unwrap_err().0;
        let shown: Vec<(&str, Part)> = found.iter().map(|d| (d.code, d.part.clone())).collect();
        assert_eq!(shown, [("unknown-column", Part::Text(13..14)), ("syntax", Part::Text(2..11)), ("syntax", Part::Text(2..11))]);
        assert_eq!(names(&[]).unwrap_err().0[0].code, "empty-list");
        let twice = names(&["*", "* except (a, b)"]).unwrap_err().0;
        assert_eq!(twice[0].message, "two columns are called `c-d` (items 1 and 2 of the list)");
    }
}

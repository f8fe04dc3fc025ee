//! The columns of a join's result, from the list in the options or by default.

use arrow::datatypes::{Schema, SchemaRef};
use millstream_api::{Diagnostic, Diagnostics};
use millstream_expr::{Condition, ExprError, JoinScope, Scalar, Side};

use super::{Kind, WINDOW_END, WINDOW_START};

/// What the list of columns is read against.
pub(super) struct Items<'a> {
    pub(super) scope: &'a JoinScope,
    pub(super) names: [&'a str; 2],
    pub(super) schemas: [&'a SchemaRef; 2],
    pub(super) kind: Kind,
    pub(super) windowed: bool,
    pub(super) condition: &'a Condition,
}

impl Items<'_> {
    /// The columns of `list`, each under its name in the result.
    pub(super) fn read(&self, list: Option<&[String]>) -> Result<Vec<Scalar>, Diagnostics> {
        let Some(list) = list else {
            let columns = self.all().map_err(|error| Diagnostics::from(error.at("columns")))?;
            return distinct(columns.into_iter().map(|column| (None, column)).collect());
        };
        if list.is_empty() {
            let empty = Diagnostic::error("empty-list", "`columns` names no column").key("columns");
            return Err(empty.help("\"*\" stands for the columns that there are without it; or leave `columns` out").into());
        }
        let mut found = Diagnostics::default();
        let mut columns = Vec::new();
        for (index, item) in list.iter().enumerate() {
            let parsed = self.item(item).map_err(|error| error.at("columns").index(index));
            let parsed = found.ok(parsed).unwrap_or_default();
            for column in parsed {
                if let Some(mistake) = self.not_of_the_left(&column) {
                    found.push(mistake.index(index));
                }
                columns.push((Some(index), column));
            }
        }
        if found.has_errors() { Err(found) } else { distinct(columns) }
    }

    fn item(&self, item: &str) -> Result<Vec<Scalar>, ExprError> {
        let Some(qualifier) = item.trim().strip_suffix('*') else { return Ok(vec![self.expression(item)?]) };
        match qualifier.trim().strip_suffix('.') {
            None if qualifier.trim().is_empty() => self.all(),
            Some(word) => match self.side(word.trim()) {
                Some(side) => self.of_side(side, &[]),
                None => Ok(vec![self.expression(item)?]),
            },
            None => Ok(vec![self.expression(item)?]),
        }
    }

    /// Of a semi or anti join only the left side has columns, so that a name without a side means it.
    fn expression(&self, item: &str) -> Result<Scalar, ExprError> {
        if self.kind.pairs() { self.scope.item(item) } else { self.scope.item_of(Side::Left, item) }
    }

    fn side(&self, word: &str) -> Option<Side> {
        let is = |side: Side, name: &str| word.eq_ignore_ascii_case(side.word()) || (word == name && self.names[0] != self.names[1]);
        if is(Side::Left, self.names[0]) {
            return Some(Side::Left);
        }
        is(Side::Right, self.names[1]).then_some(Side::Right)
    }

    /// What there is without a list.
    fn all(&self) -> Result<Vec<Scalar>, ExprError> {
        let mut columns = self.of_side(Side::Left, &[])?;
        if self.kind.pairs() {
            let equated: Vec<&str> = self.condition.equalities.iter().filter_map(|equality| equality.right.as_column()).collect();
            columns.extend(self.of_side(Side::Right, &equated)?);
        }
        if self.windowed {
            columns.push(self.scope.column(WINDOW_START)?);
            columns.push(self.scope.column(WINDOW_END)?);
        }
        Ok(columns)
    }

    fn of_side(&self, side: Side, without: &[&str]) -> Result<Vec<Scalar>, ExprError> {
        let schema: &Schema = self.schemas[usize::from(side == Side::Right)];
        let names = schema.fields().iter().map(|field| field.name().as_str()).filter(|name| !without.contains(name));
        names.map(|name| self.scope.column(&side.column(name))).collect()
    }

    fn not_of_the_left(&self, column: &Scalar) -> Option<Diagnostic> {
        if self.kind.pairs() {
            return None;
        }
        let foreign = column.columns().iter().find_map(|name| Side::Right.own_name(name))?;
        let kind = if self.kind == Kind::Semi { "a semi join" } else { "an anti join" };
        let message = format!("{kind} has rows of the left side only, and `{foreign}` is of `{}`, the right side", self.names[1]);
        let help = if self.kind == Kind::Semi { "use kind = \"inner\" for pairs" } else { "leave it out" };
        Some(Diagnostic::error("unknown-column", message).key("columns").help(help))
    }
}

/// The columns, if no two have the same name.
fn distinct(columns: Vec<(Option<usize>, Scalar)>) -> Result<Vec<Scalar>, Diagnostics> {
    let mut found = Diagnostics::default();
    for (place, (index, column)) in columns.iter().enumerate() {
        let name = column.field().name();
        if columns[..place].iter().any(|(_, other)| other.field().name() == name) {
            let message = format!("the result would have two columns `{name}`");
            let mistake = Diagnostic::error("duplicate-column", message).key("columns");
            let help = format!("list the columns under `columns` and give one another name: \"right.{name} as right_{name}\"");
            found.push(match index {
                Some(index) => mistake.index(*index).help(help),
                None => mistake.help(help),
            });
        }
    }
    found.into_result(columns.into_iter().map(|(_, column)| column).collect())
}

//! Other expected rows for the file, written where the old ones are.
//!
//! Only the bytes of rows that change are touched: comments, layout and everything else stay as the user wrote them. Rows that
//! are tables stay tables unless null has to be said, which TOML cannot. In YAML new rows are written as JSON has them.

use std::ops::Range;

use serde_json::{Map, Value as Json};

use super::cell::{Cell, key_text};
use super::{Expect, WEIGHT};
use crate::tree::Syntax;

/// What becomes of the expected rows of one step.
#[derive(Clone, Debug, Default)]
pub struct NewRows {
    /// For each row that is there, what stands in its place; `None`: nothing.
    pub places: Vec<Option<NewRow>>,
    /// Rows behind them.
    pub more: Vec<NewRow>,
}

/// A row to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum NewRow {
    /// The expected row of this index, as it is written.
    Kept(usize),
    /// These values, by column.
    Written(Vec<(String, Cell)>),
}

/// The text of the file with other expected rows. Steps whose rows are not in the file as they are stay as they are.
pub fn rewrite(text: &str, syntax: Syntax, edits: &[(&Expect, NewRows)]) -> String {
    let mut pieces: Vec<(Range<usize>, String)> = edits
        .iter()
        .filter_map(|(expect, rows)| {
            let written = expect.written.as_ref()?;
            let literal = text.get(written.span.clone())?;
            let at = Around { text, syntax, expect, literal, indent: indent(text, written.span.start) };
            Some((written.span.clone(), at.rows(written.tables.as_deref(), rows)))
        })
        .collect();
    pieces.sort_by_key(|(span, _)| span.start);
    let mut rewritten = text.to_owned();
    for (span, new) in pieces.into_iter().rev() {
        rewritten.replace_range(span, &new);
    }
    rewritten
}

/// What the line that a byte is on begins with.
fn indent(text: &str, at: usize) -> &str {
    let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[line..].find(|c: char| c != ' ' && c != '\t').map_or(text.len(), |offset| line + offset);
    &text[line..end]
}

/// The rows of a step and what they stand in.
struct Around<'a> {
    text: &'a str,
    syntax: Syntax,
    expect: &'a Expect,
    /// The value of `rows`.
    literal: &'a str,
    /// What its line begins with.
    indent: &'a str,
}

impl Around<'_> {
    fn rows(&self, tables: Option<&[Range<usize>]>, rows: &NewRows) -> String {
        match tables {
            Some(tables) if self.syntax != Syntax::Toml || !has_null(rows) => self.tables(tables, rows),
            _ => self.lines(rows),
        }
    }

    /// As tables: each in the place of an old one, what is between them stays.
    fn tables(&self, old: &[Range<usize>], rows: &NewRows) -> String {
        let (Some(first), Some(last)) = (old.first(), old.last()) else {
            return self.fresh(&rows.more);
        };
        let list = self.expect.written.as_ref().map_or(0..0, |written| written.span.clone());
        let (opening, closing) = (&self.text[list.start..first.start], &self.text[last.end..list.end]);
        let mut new = String::new();
        let mut between = None;
        for (index, place) in rows.places.iter().enumerate() {
            let Some(row) = place else { continue };
            new.push_str(between.unwrap_or_default());
            new.push_str(&self.table(row, old));
            between = old.get(index + 1).map(|next| &self.text[old[index].end..next.start]);
        }
        if new.is_empty() {
            return self.fresh(&rows.more);
        }
        let separator = if self.has_dashes() { self.next_dash(old) } else { separator(opening, self.between(old)) };
        for row in &rows.more {
            new.push_str(&separator);
            new.push_str(&self.table(row, old));
        }
        format!("{opening}{new}{closing}")
    }

    /// What is between the last two rows.
    fn between(&self, old: &[Range<usize>]) -> Option<&str> {
        let [.., one, other] = old else { return None };
        self.text.get(one.end..other.start)
    }

    /// Whether the rows are a list of YAML without brackets.
    fn has_dashes(&self) -> bool {
        self.literal.starts_with('-')
    }

    /// What comes before another row of such a list.
    fn next_dash(&self, old: &[Range<usize>]) -> String {
        let first_row = old.first().map_or(0, |row| row.start);
        let line = self.text[..first_row].rfind('\n').map_or(0, |newline| newline + 1);
        let before: String = self.text[line..first_row].chars().map(|c| if c.is_whitespace() { c } else { ' ' }).collect();
        format!("\n{}- ", before.strip_suffix("  ").unwrap_or_default())
    }

    /// A list that has no row to go by.
    fn fresh(&self, rows: &[NewRow]) -> String {
        const SHORT: usize = 80;
        let tables: Vec<String> = rows.iter().map(|row| self.table(row, &[])).collect();
        match &tables[..] {
            [] => "[]".to_owned(),
            [one] if one.len() <= SHORT => format!("[{one}]"),
            // Where a line of YAML may begin depends on what it stands in.
            many if self.syntax == Syntax::Yaml => format!("[{}]", many.join(", ")),
            _ => {
                let lines: String = tables.iter().map(|table| format!("{}    {table},\n", self.indent)).collect();
                format!("[\n{lines}{}]", self.indent)
            }
        }
    }

    fn table(&self, row: &NewRow, old: &[Range<usize>]) -> String {
        match row {
            NewRow::Kept(index) if old.len() > *index => self.text[old[*index].clone()].to_owned(),
            row => {
                let value = |(column, cell): (String, Cell)| match self.syntax {
                    Syntax::Toml => format!("{} = {cell}", key_text(&column)),
                    Syntax::Yaml | Syntax::Json => format!("{}: {}", Json::from(column), cell.to_json()),
                };
                let values: Vec<String> = self.values(row).into_iter().map(value).collect();
                if values.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", values.join(", ")) }
            }
        }
    }

    /// As text, one JSON object a line.
    fn lines(&self, rows: &NewRows) -> String {
        let old: Vec<&str> = match self.literal.strip_prefix("'''").and_then(|rest| rest.strip_suffix("'''")) {
            Some(inside) => inside.lines().map(str::trim).filter(|line| !line.is_empty()).collect(),
            None => Vec::new(),
        };
        let is_as_written = old.len() == self.expect.rows.len();
        let all = rows.places.iter().flatten().chain(&rows.more);
        let lines = all.map(|row| match row {
            NewRow::Kept(index) if is_as_written => old[*index].to_owned(),
            row => self.json(row),
        });
        let indented = |line: String| format!("{}    {line}\n", self.indent);
        match self.syntax {
            Syntax::Toml => format!("'''\n{}{}'''", lines.map(indented).collect::<String>(), self.indent),
            Syntax::Yaml => format!("|\n{}", lines.map(indented).collect::<String>().trim_end_matches('\n')),
            Syntax::Json => Json::from(lines.collect::<Vec<String>>().join("\n")).to_string(),
        }
    }

    fn json(&self, row: &NewRow) -> String {
        let values: Map<String, Json> = self.values(row).into_iter().map(|(column, cell)| (column, cell.to_json())).collect();
        // Three quotes would end the text, and inside of JSON they can be said in another way.
        Json::Object(values).to_string().replace('\'', "\\u0027")
    }

    fn values(&self, row: &NewRow) -> Vec<(String, Cell)> {
        let name = |column: usize| self.expect.columns.get(column).map_or(WEIGHT, String::as_str).to_owned();
        match row {
            NewRow::Written(values) => values.clone(),
            NewRow::Kept(index) => {
                self.expect.rows.get(*index).into_iter().flatten().map(|(column, cell)| (name(*column), cell.clone())).collect()
            }
        }
    }
}

/// What comes between the rows that are there and one behind them: what is between two, without a comment that is there.
fn separator(opening: &str, between: Option<&str>) -> String {
    let like = between.unwrap_or(opening);
    match like.rfind('\n') {
        Some(newline) => format!(",\n{}", like[newline + 1..].trim_start_matches(|c: char| !c.is_whitespace())),
        None => ", ".to_owned(),
    }
}

fn has_null(rows: &NewRows) -> bool {
    rows.places.iter().flatten().chain(&rows.more).any(|row| match row {
        NewRow::Written(values) => values.iter().any(|(_, cell)| is_null(cell)),
        NewRow::Kept(_) => false,
    })
}

fn is_null(cell: &Cell) -> bool {
    match cell {
        Cell::Null => true,
        Cell::List(items) => items.iter().any(is_null),
        Cell::Struct(fields) => fields.iter().any(|(_, cell)| is_null(cell)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::{Match, rows};
    use crate::tree::{self, Value};

    /// The file with other rows in its only list `rows`, whose rows have a number `a` each.
    fn rewritten(file: &str, places: &[Option<&str>], more: &[&str]) -> String {
        rewritten_as(Syntax::Toml, file, places, more)
    }

    fn rewritten_as(syntax: Syntax, file: &str, places: &[Option<&str>], more: &[&str]) -> String {
        let tree = tree::parse(file, syntax).unwrap();
        let Value::Table(step) = &tree.field("step").unwrap().item.value else { panic!("no table") };
        let written = rows::read(&step.field("rows").unwrap().item, file).unwrap();
        let old = written.rows.iter().map(|row| row.values.iter().map(|value| (0, Cell::Integer(value.json.as_i64().unwrap()))).collect());
        let expect = Expect {
            text: String::new(),
            node: String::new(),
            is_view: false,
            as_changes: false,
            updating: false,
            columns: vec!["a".to_owned()],
            rows: old.collect(),
            matching: Match::Unordered,
            written: written.written,
        };
        let row = |text: &str| match text.strip_prefix("keep ") {
            Some(index) => NewRow::Kept(index.parse().unwrap()),
            None => NewRow::Written(vec![("a".to_owned(), text.parse().map_or(Cell::Null, Cell::Integer))]),
        };
        let rows =
            NewRows { places: places.iter().map(|place| place.map(row)).collect(), more: more.iter().map(|text| row(text)).collect() };
        rewrite(file, syntax, &[(&expect, rows)])
    }

    #[test]
    fn rows_change_in_their_places_and_comments_stay() {
        let file = "# before\n[step]\nrows = [  # head\n    {a=1}, # one\n    { a = 2 },\n    { a = 3 }, # three\n]\nother = 1\n";
        assert_eq!(
            rewritten(file, &[Some("keep 0"), Some("7"), Some("keep 2")], &["8", "9"]),
            "# before\n[step]\nrows = [  # head\n    {a=1}, # one\n    { a = 7 },\n    { a = 3 },\n    { a = 8 },\n    { a = 9 }, # three\n]\nother = 1\n"
        );
        assert_eq!(
            rewritten(file, &[None, Some("keep 1"), None], &[]),
            "# before\n[step]\nrows = [  # head\n    { a = 2 }, # three\n]\nother = 1\n"
        );
    }

    #[test]
    fn rows_on_one_line_stay_there() {
        let file = "step = { rows = [{ a = 1 }, { a = 2 }], x = 1 }\n";
        assert_eq!(rewritten(file, &[Some("keep 0"), None], &[]), "step = { rows = [{ a = 1 }], x = 1 }\n");
        assert_eq!(rewritten(file, &[Some("keep 1"), Some("5")], &["6"]), "step = { rows = [{ a = 2 }, { a = 5 }, { a = 6 }], x = 1 }\n");
        assert_eq!(rewritten(file, &[None, None], &[]), "step = { rows = [], x = 1 }\n");
        assert_eq!(rewritten("step.rows = []\n", &[], &["1"]), "step.rows = [{ a = 1 }]\n");
        assert_eq!(rewritten("  step.rows = [ ]\n", &[], &["1", "2"]), "  step.rows = [\n      { a = 1 },\n      { a = 2 },\n  ]\n");
    }

    #[test]
    fn null_makes_rows_text() {
        let file = "step.rows = [{ a = 1 }, { a = 2 }]\n";
        assert_eq!(rewritten(file, &[Some("keep 0"), Some("null")], &[]), "step.rows = '''\n    {\"a\":1}\n    {\"a\":null}\n'''\n");
    }

    #[test]
    fn lines_of_text_that_stay_are_not_touched() {
        let file = "step.rows = '''\n  {\"a\":  1}\n  {\"a\":2}\n'''\n";
        assert_eq!(
            rewritten(file, &[Some("keep 0"), Some("3")], &["4"]),
            "step.rows = '''\n    {\"a\":  1}\n    {\"a\":3}\n    {\"a\":4}\n'''\n"
        );
        assert_eq!(
            rewritten("step.rows = '{\"a\":1}'\n", &[Some("keep 0")], &["2"]),
            "step.rows = '''\n    {\"a\":1}\n    {\"a\":2}\n'''\n"
        );
    }

    #[test]
    fn yaml_and_json_are_written_in_their_own_ways() {
        let (yaml, json) = (Syntax::Yaml, Syntax::Json);
        let dashes = "step:\n  rows:\n  - a: 1 # one\n  - { a: 2 }\n";
        assert_eq!(
            rewritten_as(yaml, dashes, &[Some("keep 0"), Some("null")], &["3"]),
            "step:\n  rows:\n  - a: 1 # one\n  - { \"a\": null }\n  - { \"a\": 3 }\n"
        );
        assert_eq!(
            rewritten_as(yaml, "step:\n  rows:\n    - a: 1\n", &[Some("keep 0")], &["3"]),
            "step:\n  rows:\n    - a: 1\n    - { \"a\": 3 }\n"
        );
        assert_eq!(rewritten_as(yaml, "step:\n  rows:\n    - a: 1\n", &[None], &[]), "step:\n  rows:\n    []\n");
        assert_eq!(rewritten_as(yaml, "step: {rows: [{a: 1}]}\n", &[Some("5")], &["6"]), "step: {rows: [{ \"a\": 5 }, { \"a\": 6 }]}\n");
        assert_eq!(
            rewritten_as(yaml, "step:\n  rows: |\n    {\"a\":1}\n  x: 1\n", &[Some("keep 0")], &["2"]),
            "step:\n  rows: |\n      {\"a\":1}\n      {\"a\":2}\n  x: 1\n"
        );
        let file = "{\"step\": {\"rows\": [{\"a\": 1}]}}";
        assert_eq!(rewritten_as(json, file, &[Some("null")], &["2"]), "{\"step\": {\"rows\": [{ \"a\": null }, { \"a\": 2 }]}}");
        let text = "{\"step\": {\"rows\": \"{\\\"a\\\":1}\"}}";
        assert_eq!(rewritten_as(json, text, &[Some("2")], &[]), "{\"step\": {\"rows\": \"{\\\"a\\\":2}\"}}");
    }
}

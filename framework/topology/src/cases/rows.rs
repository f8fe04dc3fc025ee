//! The rows of a step, from the file: as tables, or as text with one JSON object a line.
//!
//! Every value keeps the place that a message about it points to, and every row the bytes that hold it, so that expected rows
//! can be rewritten without touching what stands around them.

use std::ops::Range;

use millstream_api::Diagnostic;
use millstream_api::diagnostic::{Key, Part};
use serde_json::Value as Json;

use crate::place::map_range;
use crate::tree::{Item, Place, Table, Value};

/// A row as it is written.
pub(crate) struct WrittenRow {
    pub values: Vec<WrittenValue>,
    /// Where the row is.
    pub at: At,
    /// The row's own text, when rows are text.
    pub line: Option<String>,
    /// Why that text is no row at all.
    pub broken: Option<Diagnostic>,
}

/// A value of a row, under the name of its column.
pub(crate) struct WrittenValue {
    pub column: String,
    pub json: Json,
    /// A text from outside the file, which takes the column's type.
    pub untyped: bool,
    /// Where the value is, and where its name.
    pub at: At,
    pub name_at: At,
}

/// A place below `rows`.
#[derive(Clone, Default)]
pub(crate) struct At {
    pub path: Vec<Key>,
    pub part: Part,
}

impl At {
    /// Puts a diagnostic there; `prefix` leads to `rows`.
    pub fn place(&self, mut diagnostic: Diagnostic, prefix: &[Key]) -> Diagnostic {
        diagnostic.path = prefix.iter().chain(&self.path).cloned().collect();
        diagnostic.part = self.part.clone();
        diagnostic
    }
}

/// Where rows are in the file, for writing others in their place. `None` where they are not in the file as they are: after a
/// `${NAME}`, or given by a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The value of `rows`, with its brackets or quotes.
    pub(crate) span: Range<usize>,
    /// The rows in it, when they are tables.
    pub(crate) tables: Option<Vec<Range<usize>>>,
}

/// All rows and where they are.
pub(crate) struct WrittenRows {
    pub rows: Vec<WrittenRow>,
    pub written: Option<Written>,
}

/// Reads `rows`.
///
/// # Errors
/// Everything that makes them no rows; paths start at `rows`.
pub(crate) fn read(item: &Item, source: &str) -> Result<WrittenRows, Vec<Diagnostic>> {
    match &item.value {
        Value::Text(text) => Ok(from_text(text, item, source)),
        Value::List(items) => from_tables(items, item, source),
        other => {
            let message = format!("`rows` must be a list of tables, or text with one JSON object a line, not {}", other.shown());
            Err(vec![Diagnostic::error("wrong-type", message)])
        }
    }
}

fn from_tables(items: &[Item], whole: &Item, source: &str) -> Result<WrittenRows, Vec<Diagnostic>> {
    let (mut rows, mut mistakes) = (Vec::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        match &item.value {
            Value::Table(table) => rows.push(from_table(table, index)),
            other => {
                let message = format!("a row must be a table of columns and values, not {}", other.shown());
                mistakes.push(Diagnostic::error("wrong-type", message).index(index));
            }
        }
    }
    let written = written_tables(items, whole, source);
    if mistakes.is_empty() { Ok(WrittenRows { rows, written }) } else { Err(mistakes) }
}

/// Tables under headers of their own have no place where another row could be written, a list without brackets (YAML) has.
fn written_tables(items: &[Item], whole: &Item, source: &str) -> Option<Written> {
    let stands_as = |item: &Item, opening: char, closing: Option<char>| {
        let literal = |text: &str| text.starts_with(opening) && closing.is_none_or(|closing| text.ends_with(closing));
        span(item).filter(|span| source.get(span.clone()).is_some_and(literal))
    };
    let (span, tables): (_, Option<Vec<Range<usize>>>) = match stands_as(whole, '-', None) {
        Some(dashes) => (dashes, items.iter().map(span).collect()),
        None => (stands_as(whole, '[', Some(']'))?, items.iter().map(|item| stands_as(item, '{', Some('}'))).collect()),
    };
    Some(Written { span, tables: Some(tables?) })
}

fn from_table(table: &Table, index: usize) -> WrittenRow {
    let at = |path: &[Key], part: Part| At { path: [Key::Index(index)].iter().chain(path).cloned().collect(), part };
    let values = table.fields.iter().map(|field| {
        let path = [Key::Name(field.key.clone())];
        WrittenValue {
            column: field.key.clone(),
            json: json_of(&field.item),
            untyped: field.item.untyped,
            at: at(&path, Part::Value),
            name_at: at(&path, Part::Key),
        }
    });
    WrittenRow { values: values.collect(), at: at(&[], Part::Value), line: None, broken: None }
}

fn from_text(text: &str, item: &Item, source: &str) -> WrittenRows {
    let mut rows = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        let from = start + line.len() - line.trim_start().len();
        start += line.len();
        if !trimmed.is_empty() {
            rows.push(from_line(trimmed, &(from..from + trimmed.len())));
        }
    }
    // Only a text that stands in the file as it is can be written anew.
    let literal = span(item).filter(|span| source.get(span.clone()).is_some_and(|literal| map_range(literal, text, &(0..0)).is_some()));
    WrittenRows { rows, written: literal.map(|span| Written { span, tables: None }) }
}

fn from_line(line: &str, range: &Range<usize>) -> WrittenRow {
    let whole = At { path: Vec::new(), part: Part::Text(range.clone()) };
    let (values, broken) = match serde_json::from_str(line) {
        Ok(Json::Object(map)) => (of_object(map, line, range), None),
        Ok(_) => (Vec::new(), Some(not_an_object("it is something else"))),
        // serde_json counts the lines of what it was given, which is one.
        Err(error) => (Vec::new(), Some(not_an_object(&error.to_string().replace("line 1 column", "column")))),
    };
    WrittenRow { values, at: whole, line: Some(line.to_owned()), broken }
}

fn of_object(map: serde_json::Map<String, Json>, line: &str, range: &Range<usize>) -> Vec<WrittenValue> {
    let place = |column: &str| {
        let quoted = Json::from(column).to_string();
        let part = match line.find(&quoted) {
            Some(at) => range.start + at + 1..range.start + at + quoted.len() - 1,
            None => range.clone(),
        };
        At { path: Vec::new(), part: Part::Text(part) }
    };
    let values = map.into_iter().map(|(column, json)| {
        let at = place(&column);
        WrittenValue { column, json, untyped: false, name_at: at.clone(), at }
    });
    values.collect()
}

fn not_an_object(why: &str) -> Diagnostic {
    Diagnostic::error("syntax", format!("this line is not a JSON object: {why}"))
        .help("as text, rows are one JSON object a line: {\"column\": value}")
}

fn span(item: &Item) -> Option<Range<usize>> {
    match &item.place {
        Place::File(span) if !item.untyped => Some(span.clone()),
        _ => None,
    }
}

/// A value of the file as JSON; the numbers that JSON lacks as the texts by which cells know them.
fn json_of(item: &Item) -> Json {
    match &item.value {
        Value::Null => Json::Null,
        Value::Boolean(flag) => Json::Bool(*flag),
        Value::Integer(number) => Json::from(*number),
        Value::Float(number) if number.is_finite() => Json::from(*number),
        Value::Float(number) if number.is_nan() => Json::from("nan"),
        Value::Float(number) => Json::from(if *number > 0.0 { "inf" } else { "-inf" }),
        Value::Datetime(text) | Value::Text(text) => Json::from(text.as_str()),
        Value::List(items) => Json::Array(items.iter().map(json_of).collect()),
        Value::Table(table) => Json::Object(table.fields.iter().map(|field| (field.key.clone(), json_of(&field.item))).collect()),
    }
}

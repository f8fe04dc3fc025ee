//! The topology file as a tree of typed values, each with its place, tables in the order of the file.
//!
//! This is where types and places come from. It must not know what any key means, and nothing in it depends on the
//! environment: variables and the command line come in [`crate::layers`]. A file is written in TOML, YAML or JSON (`toml`, `yaml`,
//! `json`); behind this module nobody knows in which, except who writes into the file.

mod json;
mod toml;
mod yaml;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// TOML 1.0; every file whose name does not say otherwise.
    Toml,
    /// YAML 1.2 with the core schema: `on` and `no` are text. `.yaml`, `.yml`.
    Yaml,
    /// JSON. `.json`.
    Json,
}

impl Syntax {
    /// What the ending of a file's name says.
    pub fn of(file: &Path) -> Syntax {
        match file.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("yaml" | "yml") => Syntax::Yaml,
            Some("json") => Syntax::Json,
            _ => Syntax::Toml,
        }
    }
}

/// Where a key or value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the file, at these bytes.
    File(Range<usize>),
    /// In a variable or on the command line: how the user knows it, `MILLSTREAM__NAME` or `--set name`.
    Layer(Arc<str>),
}

/// A value, where it stands, and how far its type can be trusted.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub value: Value,
    pub place: Place,
    /// A text that came from outside the file and takes the type of its key: a variable, `--set`, a `${NAME}`.
    pub untyped: bool,
    /// Its text names a variable that is not there: that was said, and nothing more can be said of it.
    pub broken: bool,
}

/// A typed value.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Of YAML and JSON only. A key has no use for it, the rows of a test have.
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    /// Date and time of TOML, as they were written.
    Datetime(String),
    Text(String),
    List(Vec<Item>),
    Table(Table),
}

impl Value {
    /// How messages show this value: a short text as it is, else its kind.
    pub fn shown(&self) -> String {
        const SHORT: usize = 40;
        let kind = match self {
            Value::Text(text) if text.len() <= SHORT => return format!("{text:?}"),
            Value::Null => "null",
            Value::Boolean(_) => "true or false",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Datetime(_) => "a date or time",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        };
        kind.to_owned()
    }
}

/// Keys and values in the order of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub fields: Vec<Field>,
}

/// One key of a table.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub key: String,
    pub key_place: Place,
    pub item: Item,
}

impl Table {
    /// The field of this name, as it is written.
    pub fn field(&self, key: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.key == key)
    }
}

/// A file that is not what its name says it is.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub message: String,
    pub help: Option<String>,
    pub span: Range<usize>,
}

/// Parses the text of a file.
pub(crate) fn parse(text: &str, syntax: Syntax) -> Result<Table, SyntaxError> {
    let parsed = match syntax {
        Syntax::Toml => toml::parse(text),
        Syntax::Yaml => yaml::parse(text),
        Syntax::Json => json::parse(text),
    };
    parsed.map_err(|error| {
        let start = error.span.start;
        let same_line = |unseen: &SyntaxError| !text.get(start..unseen.span.start).unwrap_or_default().contains('\n');
        // What is wrong on a line before comes first.
        unseen(text).filter(same_line).unwrap_or(error)
    })
}

/// The first character that none of the formats allows and that nobody sees, as the mistake that it is: parsers stumble over it in
/// words that do not help to find it.
fn unseen(text: &str) -> Option<SyntaxError> {
    let is_unseen = |character: char| character.is_control() && !matches!(character, '\t' | '\n' | '\r');
    let at = text.find(is_unseen)?;
    let character = text[at..].chars().next()?;
    let message = format!("here stands a character that cannot be seen, U+{:04X}", u32::from(character));
    let help = Some("delete it; was the file written by a program, or is it no text at all?".to_owned());
    Some(SyntaxError { message, help, span: at..at + character.len_utf8() })
}

/// Their parsers leave it to us to find that in YAML and JSON.
fn defined_twice(key: &str, span: Range<usize>) -> SyntaxError {
    SyntaxError {
        message: format!("`{key}` is defined twice"),
        help: Some("a key can stand in a table once only; put all of it in one place".to_owned()),
        span,
    }
}

fn placed(value: Value, span: Range<usize>) -> Item {
    Item { value, place: Place::File(span), untyped: false, broken: false }
}

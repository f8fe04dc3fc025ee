//! Checks values against the JSON Schema of the option structs and gives them the types that serde expects.
//!
//! serde stops at the first mistake, knows no places and suggests nothing; so everything that a schema can say is checked
//! here first: unknown and missing keys, types, lists of allowed words, bounds, durations and sizes, all in one go. What
//! only a struct's own `Deserialize` knows is left to it. A text that came from outside the file takes the key's type here.
//! `schema` reads a schema, `fields` checks the keys of a table, `choice` a value that may have one of several shapes.

mod choice;
mod fields;
mod schema;

use std::borrow::Cow;

use millstream_api::Diagnostic;
use millstream_api::diagnostic::Key;
use millstream_api::error::shortened;
use millstream_api::time::{DurationText, SizeText};
use serde_json::Value as Json;

use fields::unknown_key;
pub(crate) use fields::{Fields, missing_key};
pub(crate) use schema::Schema;
use schema::{Kind, Text};

use crate::report::Problems;
use crate::tree::{Item, Table, Value};

/// Reads values on the way down a tree.
pub(crate) struct Reader<'p> {
    /// The keys that lead to the value at hand, from the root of the file.
    pub path: Vec<Key>,
    pub problems: &'p mut Problems,
}

impl<'p> Reader<'p> {
    pub fn new(path: Vec<Key>, problems: &'p mut Problems) -> Self {
        Reader { path, problems }
    }

    /// The value as JSON of the schema's type; none when it is wrong, with the reasons noted.
    pub fn read(&mut self, schema: Schema<'_>, item: &Item) -> Option<Json> {
        if item.broken {
            return None;
        }
        if let Value::Null = &item.value {
            let diagnostic = Diagnostic::error("wrong-type", format!("{} has no value", self.subject()));
            self.note(diagnostic.help("give it a value, or leave the key out"));
            return None;
        }
        match schema.kind() {
            Kind::Any => self.read_any(item),
            Kind::Boolean => match &typed(item, &Kind::Boolean).value {
                Value::Boolean(flag) => Some(Json::Bool(*flag)),
                other => self.wrong_type("true or false", other),
            },
            Kind::Integer => self.read_integer(schema, item),
            Kind::Number => match &typed(item, &Kind::Number).value {
                Value::Integer(number) => self.bounded(schema, Json::from(*number), *number as f64),
                Value::Float(number) => self.bounded(schema, Json::from(*number), *number),
                other => self.wrong_type("a number", other),
            },
            Kind::Text(text) => self.read_text(&text, item),
            Kind::List => self.read_list(schema, item),
            Kind::Table => match &typed(item, &Kind::Table).value {
                Value::Table(table) => self.read_table(schema, table),
                other => self.wrong_type("a table", other),
            },
            Kind::Choice(alternatives) => self.read_choice(&alternatives, item),
        }
    }

    /// The table's values; none when any is wrong.
    pub fn read_table(&mut self, schema: Schema<'_>, table: &Table) -> Option<Json> {
        let before = self.problems.len();
        let fields = Fields::of(schema, table, self);
        let (mut read, mut broken) = (serde_json::Map::new(), false);
        for field in &table.fields {
            self.path.push(Key::Name(field.key.clone()));
            match fields.schema_of(&field.key) {
                Some(schema) => match self.read(schema, &field.item) {
                    Some(value) => drop(read.insert(field.key.clone(), value)),
                    None => broken = true,
                },
                None => self.unknown(&field.key, fields.names()),
            }
            self.path.pop();
        }
        let subject = self.subject();
        for (name, about) in fields.missing_in(table) {
            self.note(missing_key(&subject, name, about.as_deref()));
        }
        (!broken && self.problems.len() == before).then_some(Json::Object(read))
    }

    /// Notes that the key at hand means nothing here.
    pub fn unknown<'n>(&mut self, key: &str, known: impl Iterator<Item = &'n str>) {
        self.note(unknown_key(key, known).on_key());
    }

    fn read_any(&mut self, item: &Item) -> Option<Json> {
        match &item.value {
            Value::Null => Some(Json::Null),
            Value::Boolean(flag) => Some(Json::Bool(*flag)),
            Value::Integer(number) => Some(Json::from(*number)),
            Value::Float(number) => Some(Json::from(*number)),
            Value::Datetime(text) | Value::Text(text) => Some(Json::String(text.clone())),
            Value::List(items) => self.each(items, |reader, item| reader.read_any(item)),
            Value::Table(table) => {
                Some(Json::Object(table.fields.iter().filter_map(|f| Some((f.key.clone(), self.read_any(&f.item)?))).collect()))
            }
        }
    }

    fn read_integer(&mut self, schema: Schema<'_>, item: &Item) -> Option<Json> {
        match &typed(item, &Kind::Integer).value {
            Value::Integer(number) => self.bounded(schema, Json::from(*number), *number as f64),
            Value::Float(number) => {
                let message = format!("{} must be a whole number, not {number:?}", self.subject());
                self.note(Diagnostic::error("wrong-type", message));
                None
            }
            other => self.wrong_type("a whole number", other),
        }
    }

    fn bounded(&mut self, schema: Schema<'_>, read: Json, number: f64) -> Option<Json> {
        let (least, most) = schema.bounds();
        let wanted = match (least, most) {
            _ if !number.is_finite() => "finite".to_owned(),
            (Some(least), _) if number < least => format!("at least {least}"),
            (_, Some(most)) if number > most => format!("at most {most}"),
            _ => return Some(read),
        };
        // JSON has every whole number, and no infinite one.
        let shown = if read.is_i64() { read.to_string() } else { number.to_string() };
        let message = format!("{} must be {wanted}, not {shown}", self.subject());
        self.note(Diagnostic::error("bad-value", message));
        None
    }

    fn read_text(&mut self, text: &Text<'_>, item: &Item) -> Option<Json> {
        let found = match (&item.value, text) {
            (Value::Text(found), _) => found,
            // TOML has times of its own; without quotes they mean the same.
            (Value::Datetime(found), Text::Free) => found,
            (Value::Integer(number), Text::Duration) => {
                self.wrong_type("a duration like \"10s\"", &item.value);
                return self.suggest(&format!("\"{number}s\""));
            }
            (other, Text::Duration) => return self.wrong_type("a duration like \"10s\"", other),
            (other, Text::Size) => return self.wrong_type("a size like \"64MiB\"", other),
            (Value::List(items), Text::Free) if let [Item { value: Value::Text(one), .. }] = &items[..] => {
                self.wrong_type("text", &item.value);
                return self.suggest(&format!("{:?}", shortened(one)));
            }
            (other, _) => return self.wrong_type("text", other),
        };
        let mistake = match text {
            Text::Free => None,
            Text::Duration => found.parse::<DurationText>().err().map(|message| self.bad_duration(found, message)),
            Text::Size => found.parse::<SizeText>().err().map(|message| Diagnostic::error("bad-size", message)),
            Text::Words(words) => (!words.contains(&found.as_str())).then(|| choice::unknown_word(&self.subject(), found, words)),
        };
        match mistake {
            None => Some(Json::String(found.clone())),
            Some(diagnostic) => {
                self.note(diagnostic.text(0..found.len()));
                None
            }
        }
    }

    /// Says of the last mistake what to write at the key at hand.
    fn suggest(&mut self, value: &str) -> Option<Json> {
        if let Some(Key::Name(key)) = self.path.last() {
            let help = format!("write {key} = {value}");
            self.problems.help_last(help);
        }
        None
    }

    fn bad_duration(&self, text: &str, message: String) -> Diagnostic {
        let mistake = Diagnostic::error("bad-duration", message);
        if !text.starts_with('-') {
            return mistake.help(duration_help(text));
        }
        let length = text.strip_prefix('-').filter(|length| length.parse::<DurationText>().is_ok());
        let (Some(Key::Name(key)), Some(length)) = (self.path.last(), length) else { return mistake };
        match key.as_str() {
            "offset" => mistake.help(format!("write the `size` of the windows less {length}")),
            "before" | "after" => mistake.help("times that are to lie on one side only are a further condition in `on`"),
            _ => mistake.help(format!("write \"{length}\"")),
        }
    }

    fn read_list(&mut self, schema: Schema<'_>, item: &Item) -> Option<Json> {
        let item = typed(item, &Kind::List);
        let Value::List(items) = &item.value else {
            self.wrong_type("a list", &item.value);
            let Value::Text(text) = &item.value else { return None };
            return self.suggest(&format!("[{:?}]", shortened(text)));
        };
        if let Some(least) = schema.least_items().filter(|least| (items.len() as u64) < *least) {
            let message = format!("{} must have at least {least} item{}", self.subject(), if least == 1 { "" } else { "s" });
            self.note(Diagnostic::error("bad-value", message));
            return None;
        }
        match schema.items() {
            Some(of_item) => self.each(items, |reader, item| reader.read(of_item, item)),
            None => self.each(items, |reader, item| reader.read_any(item)),
        }
    }

    /// All items of a list, also after one is wrong.
    fn each(&mut self, items: &[Item], mut read: impl FnMut(&mut Self, &Item) -> Option<Json>) -> Option<Json> {
        let mut all = Some(Vec::with_capacity(items.len()));
        for (index, item) in items.iter().enumerate() {
            self.path.push(Key::Index(index));
            match (read(self, item), &mut all) {
                (Some(value), Some(values)) => values.push(value),
                _ => all = None,
            }
            self.path.pop();
        }
        all.map(Json::Array)
    }

    pub fn wrong_type(&mut self, wanted: &str, found: &Value) -> Option<Json> {
        let message = format!("{} must be {wanted}, not {}", self.subject(), found.shown());
        self.note(Diagnostic::error("wrong-type", message));
        None
    }

    /// How a message calls the value at hand.
    pub fn subject(&self) -> String {
        match &self.path[..] {
            [.., Key::Name(key), Key::Index(index)] => format!("item {} of `{key}`", index + 1),
            [.., Key::Name(key)] => format!("`{key}`"),
            _ => "the topology".to_owned(),
        }
    }

    /// Notes a mistake at the value at hand, or further down where the diagnostic says so.
    pub fn note(&mut self, mut diagnostic: Diagnostic) {
        diagnostic.path = self.path.iter().cloned().chain(diagnostic.path).collect();
        self.problems.push(diagnostic);
    }
}

/// How a text that is no duration would be one: with the units by their short names, where it has long ones.
fn duration_help(text: &str) -> String {
    const LONG: [(&str, &str); 17] = [
        ("milliseconds", "ms"),
        ("millisecond", "ms"),
        ("microseconds", "us"),
        ("microsecond", "us"),
        ("seconds", "s"),
        ("second", "s"),
        ("secs", "s"),
        ("sec", "s"),
        ("minutes", "m"),
        ("minute", "m"),
        ("mins", "m"),
        ("min", "m"),
        ("hours", "h"),
        ("hour", "h"),
        ("days", "d"),
        ("day", "d"),
        ("weeks", "w"),
    ];
    let plain: String = text.to_lowercase().chars().filter(|letter| !letter.is_whitespace()).collect();
    let short = LONG.iter().fold(plain, |text, (long, short)| text.replace(long, short));
    match short.parse::<DurationText>() {
        Ok(_) => format!("write \"{short}\""),
        Err(_) => "whole numbers, each with one of the units us, ms, s, m, h, d and w behind it, up to about 290,000 years".to_owned(),
    }
}

/// The item with the type that its key wants, if it is a text from outside the file that reads as such.
fn typed<'i>(item: &'i Item, wanted: &Kind<'_>) -> Cow<'i, Item> {
    let Value::Text(text) = &item.value else { return Cow::Borrowed(item) };
    if !item.untyped {
        return Cow::Borrowed(item);
    }
    let text = text.trim();
    let value = match wanted {
        Kind::Boolean => text.parse().ok().map(Value::Boolean),
        Kind::Integer => text.parse().ok().map(Value::Integer),
        Kind::Number => text.parse().ok().map(Value::Integer).or_else(|| text.parse().ok().map(Value::Float)),
        Kind::List | Kind::Table => serde_json::from_str(text).ok().and_then(|json| from_json(&json, item)).map(|read| read.value),
        _ => None,
    };
    match value {
        Some(value) => Cow::Owned(Item { value, place: item.place.clone(), untyped: false, broken: false }),
        None => Cow::Borrowed(item),
    }
}

/// JSON from outside the file as a tree; all of it stands where `item` does.
fn from_json(json: &Json, item: &Item) -> Option<Item> {
    let value = match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Boolean(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Integer(number),
            None => Value::Float(number.as_f64()?),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(|json| from_json(json, item)).collect::<Option<_>>()?),
        Json::Object(map) => Value::Table(Table {
            fields: map
                .iter()
                .map(|(key, json)| {
                    let (key, key_place) = (key.clone(), item.place.clone());
                    Some(crate::tree::Field { key, key_place, item: from_json(json, item)? })
                })
                .collect::<Option<_>>()?,
        }),
    };
    Some(Item { value, place: item.place.clone(), untyped: false, broken: false })
}

#[cfg(test)]
mod tests;

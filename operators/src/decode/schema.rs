//! The `schema` of a source: names and types in the file's order.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use millstream_api::diagnostic::{Diagnostic, Diagnostics, Key};
use millstream_api::error::{Error, Result};
use millstream_api::types::{ColumnType, json_field};
use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// The table `schema` as it is written: column names and type texts, in the file's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaText(pub Vec<(String, String)>);

impl<'de> Deserialize<'de> for SchemaText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;
        impl<'de> Visitor<'de> for Table {
            type Value = SchemaText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of column names and types")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SchemaText, A::Error> {
                let mut columns = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    columns.push(entry);
                }
                Ok(SchemaText(columns))
            }
        }
        deserializer.deserialize_map(Table)
    }
}

impl JsonSchema for SchemaText {
    fn schema_name() -> Cow<'static, str> {
        "SchemaText".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "description": "Column names and their SQL types, in order: `{ carrier = \"string not null\", departed = \"timestamp from '@timestamp'\" }`; behind `from` is what the input calls a column.",
            "additionalProperties": { "type": "string" }
        })
    }
}

/// One column of a source.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnSpec {
    /// Its name.
    pub name: String,
    /// What the input calls it, where that is another name.
    pub from: Option<String>,
    /// Its type.
    pub column_type: ColumnType,
    /// Whether it was declared `json`: any JSON value, kept as text.
    pub json: bool,
}

impl ColumnSpec {
    /// The column `name` as `text` says: its type, and behind `from` what the input calls it (`timestamp from '@timestamp'`, after the metadata
    /// columns of Flink SQL).
    ///
    /// # Errors
    /// What is wrong with the type.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let (text, from) = without_from(text);
        let column_type = ColumnType::parse(text)?;
        let first = text.trim_start().split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        Ok(ColumnSpec { name: name.to_owned(), from, column_type, json: first.eq_ignore_ascii_case("json") })
    }

    /// What the input calls it.
    pub fn input_name(&self) -> &str {
        self.from.as_deref().unwrap_or(&self.name)
    }

    /// How messages call it where it matters what the input has: `at`, or `@timestamp` (at).
    pub fn both_names(&self) -> String {
        match &self.from {
            None => format!("`{}`", self.name),
            Some(from) => format!("`{from}` (`{}`)", self.name),
        }
    }

    /// As Arrow has it.
    pub fn field(&self) -> Field {
        let field = Field::new(&self.name, self.column_type.data_type.clone(), self.column_type.nullable);
        if self.json { json_field(field) } else { field }
    }
}

/// A type without what is behind it: `from 'name'`, and that name. A quote within it is doubled. No type has a quote in it.
fn without_from(text: &str) -> (&str, Option<String>) {
    let found = text.find('\'').and_then(|quote| {
        let name = text[quote + 1..].trim_end().strip_suffix('\'')?.replace("''", "'");
        let before = text[..quote].trim_end();
        let start = before.len().checked_sub(4).filter(|start| before.is_char_boundary(*start))?;
        let (text, from) = before.split_at(start);
        (from.eq_ignore_ascii_case("from") && text.ends_with(char::is_whitespace)).then_some((text, name))
    });
    found.map_or((text, None), |(text, name)| (text.trim_end(), Some(name)))
}

/// A type with `from 'name'` behind it.
pub(crate) fn with_from(text: &str, from: &str) -> String {
    format!("{text} from '{}'", from.replace('\'', "''"))
}

/// A name that a column can have and that none of those `taken` has, as near as can be to what the input calls it: `user_id` for `user.id`.
pub(crate) fn name_for(from: &str, taken: impl Fn(&str) -> bool) -> String {
    let words: Vec<&str> = from.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let name = match words.join("_") {
        name if name.is_empty() => "column".to_owned(),
        name if name.starts_with(|c: char| c.is_ascii_digit()) => format!("_{name}"),
        name => name,
    };
    let numbered = (2_u64..).map(|number| format!("{name}_{number}"));
    std::iter::once(name.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(name)
}

impl SchemaText {
    /// The columns, or everything that is wrong with them. Key paths start with the column's name.
    ///
    /// # Errors
    /// `bad-type`, `bad-name`, `empty-schema`.
    pub fn columns(&self) -> Result<Vec<ColumnSpec>, Diagnostics> {
        let mut found = Diagnostics::default();
        let mut columns = Vec::with_capacity(self.0.len());
        if self.0.is_empty() {
            found.push(Diagnostic::error("empty-schema", "the schema has no columns").help(SCHEMA_HELP));
        }
        for (name, text) in &self.0 {
            if !is_name(name) {
                found.push(
                    Diagnostic::error("bad-name", format!("`{name}` cannot be a column name"))
                        .key(name)
                        .on_key()
                        .help(format!(
                            "names are letters, digits, `_` and `-`, start with a letter or `_` and have no `__`; a column of the input with another \
                             name is read as in {} = {:?}",
                            name_for(name, |_| false),
                            with_from(text, name)
                        )),
                );
            }
            match ColumnSpec::parse(name, text) {
                Ok(column) => columns.push(column),
                Err(message) => found.push(Diagnostic::error("bad-type", message).key(name).text(0..text.len())),
            }
        }
        found.into_result(columns)
    }

    /// The same with `key` before the paths of what is wrong.
    ///
    /// # Errors
    /// As [`columns`](SchemaText::columns).
    pub fn columns_at(&self, key: &str) -> Result<Vec<ColumnSpec>, Diagnostics> {
        self.columns().map_err(|mut found| {
            found.0.iter_mut().for_each(|diagnostic| diagnostic.path.insert(0, Key::Name(key.to_owned())));
            found
        })
    }
}

/// What to do about a schema without columns.
pub const SCHEMA_HELP: &str = "name at least one column: schema = { carrier = \"string\" }";

/// Whether a text may name a column: `[A-Za-z_][A-Za-z0-9_-]*` without a double underscore.
pub fn is_name(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') && !name.contains("__")
}

/// Those of `columns` that flow, in the order of the physical schema.
///
/// # Errors
/// When one flows that is not there: a mistake of the plan.
pub fn flowing(columns: &[ColumnSpec], physical: &Schema) -> Result<Vec<ColumnSpec>> {
    let find = |name: &String| columns.iter().find(|column| column.name == *name).cloned();
    let missing = |name: &String| Error::internal(format!("the source has no column `{name}`"));
    physical.fields().iter().map(|field| find(field.name()).ok_or_else(|| missing(field.name()))).collect()
}

/// The columns as an Arrow schema.
pub fn arrow_schema(columns: &[ColumnSpec]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(ColumnSpec::field).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> SchemaText {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn columns_keep_the_order_of_the_file() {
        let columns = read(r#"{"z": "bigint not null", "a": "JSON", "m": "jsonish"}"#);
        assert_eq!(columns.columns().unwrap_err().0.len(), 1);
        let columns = read(r#"{"z": "bigint not null", "a": " json not null"}"#).columns().unwrap();
        let shown: Vec<_> = columns.iter().map(|c| (c.name.as_str(), c.column_type.nullable, c.json)).collect();
        assert_eq!(shown, [("z", false, false), ("a", false, true)]);
    }

    #[test]
    fn the_input_may_call_a_column_otherwise() {
        let read =
            |text: &str| ColumnSpec::parse("c", text).map(|spec| (spec.input_name().to_owned(), spec.column_type.nullable, spec.json));
        assert_eq!(read("timestamp(ms) not null from '@timestamp'").unwrap(), ("@timestamp".to_owned(), false, false));
        assert_eq!(read("json FROM  'it''s, \"here\"' ").unwrap(), ("it's, \"here\"".to_owned(), true, true));
        assert_eq!(read("struct<from: string>").unwrap().0, "c");
        for wrong in
            ["bigint from", "bigint from 'a", "bigint from a", "bigintfrom 'a'", "from 'a'", "bigint 'a'", "bigint from 'a' not null"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        for name in ["@timestamp", "it's", "", "''"] {
            assert_eq!(without_from(&with_from("date", name)), ("date", Some(name.to_owned())));
        }
    }

    #[test]
    fn names_are_as_near_as_can_be() {
        let taken = ["user_id", "user_id_2"];
        let named = |from: &str| name_for(from, |name| taken.contains(&name));
        let names = ["@timestamp", "user.id", "Order ID", "__v", "2xx", "größe", "--", "$set"].map(named);
        assert_eq!(names, ["timestamp", "user_id_3", "Order_ID", "v", "_2xx", "gr_e", "column", "set"]);
        assert!(names.iter().all(|name| is_name(name)));
    }

    #[test]
    fn all_mistakes_are_found_in_one_go() {
        let found = read(r#"{"a": "bigimt", "b c": "int", "d": "decimal(99)"}"#).columns().unwrap_err();
        let codes: Vec<_> = found.0.iter().map(|d| d.code).collect();
        assert_eq!(codes, ["bad-type", "bad-name", "bad-type"]);
        assert!(found.0[0].message.contains("did you mean `bigint`"));
        assert_eq!(SchemaText::default().columns().unwrap_err().0[0].code, "empty-schema");
    }
}

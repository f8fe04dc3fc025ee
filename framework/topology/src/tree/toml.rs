//! TOML as a tree.

use std::ops::Range;

use toml_edit::{Document, Item as TomlItem, Key as TomlKey, TableLike, Value as TomlValue};

use super::{Field, Item, Place, SyntaxError, Table, Value, placed};

/// Parses TOML.
pub(super) fn parse(text: &str) -> Result<Table, SyntaxError> {
    let document = Document::parse(text).map_err(|error| {
        let span = error.span().unwrap_or(text.len()..text.len());
        let message = error.message().trim_end().replace('\n', "; ");
        let (message, help) = explain(message, text.get(span.clone()).unwrap_or_default());
        SyntaxError { message, help, span }
    })?;
    Ok(table(document.as_table()))
}

/// The parser speaks of its grammar; for the mistakes that are made most this says what to do.
fn explain(message: String, found: &str) -> (String, Option<String>) {
    let help = if message.starts_with("duplicate key") {
        return (
            format!("`{found}` is defined twice"),
            Some("a table or key can stand in a file once only; put all of it in one place".to_owned()),
        );
    } else if message.starts_with("invalid boolean") || message.contains("must be quoted") {
        return (format!("`{found}` is not a value of TOML"), Some(format!("text stands in quotes: \"{found}\"")));
    } else if message.starts_with("missing escaped value") {
        "write a backslash as \\\\, or the text in single quotes: '…'"
    } else if message.starts_with("key with no value") {
        "write key = value"
    } else if message.starts_with("unexpected key or value") {
        "each key starts a line of its own"
    } else if message.starts_with("missing comma") {
        "lists look like [\"a\", \"b\"]"
    } else if message.starts_with("unclosed") || message.starts_with("invalid basic string") {
        "something that was opened here is not closed"
    } else {
        return (format!("this is not TOML: {message}"), None);
    };
    (format!("this is not TOML: {message}"), Some(help.to_owned()))
}

fn table(toml: &dyn TableLike) -> Table {
    let fields = toml.iter().filter_map(|(key, item)| field(key, toml.key(key), item));
    Table { fields: fields.collect() }
}

fn field(key: &str, toml_key: Option<&TomlKey>, item: &TomlItem) -> Option<Field> {
    let key_span = toml_key.and_then(TomlKey::span).or_else(|| item.span()).unwrap_or(0..0);
    let item = match item {
        TomlItem::None => return None,
        TomlItem::Value(value) => typed(value, &key_span),
        TomlItem::Table(inner) => placed(Value::Table(table(inner)), key_span.clone()),
        TomlItem::ArrayOfTables(tables) => {
            let items = tables.iter().map(|inner| placed(Value::Table(table(inner)), inner.span().unwrap_or(key_span.clone())));
            placed(Value::List(items.collect()), key_span.clone())
        }
    };
    Some(Field { key: key.to_owned(), key_place: Place::File(key_span), item })
}

fn typed(toml: &TomlValue, key_span: &Range<usize>) -> Item {
    let value = match toml {
        TomlValue::String(text) => Value::Text(text.value().clone()),
        TomlValue::Integer(number) => Value::Integer(*number.value()),
        TomlValue::Float(number) => Value::Float(*number.value()),
        TomlValue::Boolean(flag) => Value::Boolean(*flag.value()),
        TomlValue::Datetime(time) => Value::Datetime(time.value().to_string()),
        TomlValue::Array(list) => Value::List(list.iter().map(|item| typed(item, key_span)).collect()),
        TomlValue::InlineTable(inner) => Value::Table(table(inner)),
    };
    // Only tables that dotted keys imply have no span of their own.
    placed(value, toml.span().unwrap_or_else(|| key_span.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "b = 1\n[sources.Zeta]\nschema = { b = \"int\", a = [1.5, true] }\n[sources.alpha]\ntime.by = 'x'\n";

    fn inner<'a>(table: &'a Table, path: &[&str]) -> &'a Field {
        let field = table.field(path[0]).unwrap();
        match (&path[1..], &field.item.value) {
            ([], _) => field,
            (rest, Value::Table(table)) => inner(table, rest),
            (_, other) => panic!("{other:?} is no table"),
        }
    }

    #[test]
    fn tables_keep_order_case_and_places() {
        let tree = parse(FILE).unwrap();
        let keys = |field: &Field| match &field.item.value {
            Value::Table(table) => table.fields.iter().map(|f| f.key.clone()).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(keys(inner(&tree, &["sources"])), ["Zeta", "alpha"]);
        assert_eq!(keys(inner(&tree, &["sources", "Zeta", "schema"])), ["b", "a"]);
        let zeta = inner(&tree, &["sources", "Zeta"]);
        assert_eq!(zeta.key_place, Place::File(15..19));
        let by = inner(&tree, &["sources", "alpha", "time", "by"]);
        let Place::File(span) = by.item.place.clone() else { panic!() };
        assert_eq!(&FILE[span], "'x'");
    }

    #[test]
    fn usual_slips_are_told_what_to_do() {
        for (text, message, help) in [
            ("a = file", "`file` is not a value of TOML", "text stands in quotes: \"file\""),
            ("a = \"x \\d\"", "this is not TOML: missing escaped value, ", "write a backslash as \\\\, or the text in single quotes: '…'"),
            ("a: 1", "this is not TOML: key with no value, expected `=`", "write key = value"),
            ("a = 1 b = 2", "this is not TOML: unexpected key or value, ", "each key starts a line of its own"),
            ("a = [1, 2\nb = 3", "this is not TOML: missing comma ", "lists look like [\"a\", \"b\"]"),
            ("[a", "this is not TOML: unclosed table, expected `]`", "something that was opened here is not closed"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.message.starts_with(message), "{error:?}");
            assert_eq!(error.help.as_deref(), Some(help), "{text}");
        }
    }

    #[test]
    fn a_syntax_error_has_a_place() {
        let error = parse("a = 1\nb = = 2\n").unwrap_err();
        assert_eq!(error.span.start, 10, "{error:?}");
        let error = parse("[a]\nx = 1\nx = 2\n").unwrap_err();
        assert_eq!(error.message, "`x` is defined twice");
    }
}

//! JSON as a tree: strict, without comments and trailing commas.

use std::ops::Range;

use jsonc_parser::ast::{Object, ObjectPropName, Value as JsonValue};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::{Field, Item, Place, SyntaxError, Table, Value, defined_twice, placed};

const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// Parses JSON. The parser bounds how deep it nests.
pub(super) fn parse(text: &str) -> Result<Table, SyntaxError> {
    let parsed = parse_to_ast(text, &CollectOptions::default(), &STRICT).map_err(|error| {
        let range = error.range();
        let said = error.kind().to_string();
        let said = said.replacen(|first: char| first.is_uppercase(), &said[..1].to_lowercase(), 1);
        SyntaxError { message: format!("this is not JSON: {said}"), help: help(&said), span: range.start..range.end }
    })?;
    match &parsed.value {
        Some(JsonValue::Object(object)) => table(object),
        Some(other) => Err(not_an_object(span(other))),
        None => Ok(Table::default()),
    }
}

/// For the mistakes that are made most.
fn help(said: &str) -> Option<String> {
    let help = if said.starts_with("comments") {
        "JSON has no comments; a node may have a `description`, and YAML and TOML have comments"
    } else if said.starts_with("trailing commas") {
        "leave the comma behind the last item out"
    } else if said.starts_with("single-quoted") || said.starts_with("expected string for object") || said.starts_with("unexpected word") {
        "keys and texts stand in double quotes: {\"key\": \"text\"}"
    } else if said.starts_with("unterminated") {
        "something that was opened here is not closed"
    } else {
        return None;
    };
    Some(help.to_owned())
}

fn not_an_object(span: Range<usize>) -> SyntaxError {
    SyntaxError { message: "a topology in JSON is an object".to_owned(), help: Some("write { \"name\": … }".to_owned()), span }
}

fn table(object: &Object<'_>) -> Result<Table, SyntaxError> {
    let mut table = Table::default();
    for property in &object.properties {
        let range = property.name.range();
        let quote = usize::from(matches!(property.name, ObjectPropName::String(_)));
        let key_span = range.start + quote..range.end - quote;
        let key = property.name.as_str().to_owned();
        if table.field(&key).is_some() {
            return Err(defined_twice(&key, key_span));
        }
        let item = typed(&property.value)?;
        table.fields.push(Field { key, key_place: Place::File(key_span), item });
    }
    Ok(table)
}

fn typed(json: &JsonValue<'_>) -> Result<Item, SyntaxError> {
    let value = match json {
        JsonValue::NullKeyword(_) => Value::Null,
        JsonValue::BooleanLit(flag) => Value::Boolean(flag.value),
        JsonValue::StringLit(text) => Value::Text(text.value.clone().into_owned()),
        JsonValue::NumberLit(number) => {
            let integer = number.value.parse().map(Value::Integer).ok();
            let Some(value) = integer.or_else(|| number.value.parse().ok().map(Value::Float)) else {
                return Err(SyntaxError { message: format!("`{}` is not a number", number.value), help: None, span: span(json) });
            };
            value
        }
        JsonValue::Array(list) => Value::List(list.elements.iter().map(typed).collect::<Result<_, _>>()?),
        JsonValue::Object(object) => Value::Table(table(object)?),
    };
    Ok(placed(value, span(json)))
}

fn span(json: &JsonValue<'_>) -> Range<usize> {
    let range = json.range();
    range.start..range.end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_types_and_places() {
        let text = r#"{"b": {"x": [1, 2.5, null, true, "ü\n"]}, "a": 99999999999999999999}"#;
        let tree = parse(text).unwrap();
        assert_eq!(tree.fields.iter().map(|field| field.key.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        let Value::Table(b) = &tree.fields[0].item.value else { panic!("{tree:?}") };
        let Value::List(items) = &b.fields[0].item.value else { panic!("{b:?}") };
        let shown: Vec<String> = items.iter().map(|item| format!("{:?}", item.value)).collect();
        assert_eq!(shown, ["Integer(1)", "Float(2.5)", "Null", "Boolean(true)", "Text(\"ü\\n\")"]);
        assert!(matches!(tree.fields[1].item.value, Value::Float(number) if number == 1e20));
        let at = |place: &Place| match place {
            Place::File(span) => text[span.clone()].to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(at(&b.fields[0].key_place), "x");
        assert_eq!(at(&items[4].place), r#""ü\n""#);
    }

    #[test]
    fn what_is_not_json_is_told_where_and_what_to_do() {
        for (text, message, at, helps) in [
            ("{\"a\": 1,}", "this is not JSON: trailing commas are not allowed", 7, true),
            ("{\"a\": 1 // x\n}", "this is not JSON: comments are not allowed", 8, true),
            ("{a: 1}", "this is not JSON: expected string for object property", 1, true),
            ("{\"a\": 'x'}", "this is not JSON: single-quoted strings are not allowed", 6, true),
            ("{\"a\": [1", "this is not JSON: unterminated array", 6, true),
            ("{\"a\": 1, \"a\": 2}", "`a` is defined twice", 10, true),
            ("[1]", "a topology in JSON is an object", 0, true),
            ("{} {}", "this is not JSON: text cannot contain more than one JSON value", 3, false),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!((error.message.as_str(), error.span.start, error.help.is_some()), (message, at, helps), "{text}");
        }
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse("").unwrap().fields.is_empty());
    }
}

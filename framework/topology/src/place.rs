//! From a key path to the bytes of the file that it means.
//!
//! A path may lead to a key that is not there (a missing key): then the innermost table that exists is meant. A byte range
//! inside an expression is mapped through the quotes and escapes of the string, and so is a text as a whole; where it is not
//! the string's own (after `${NAME}`), the value with its quotes is meant.

use std::ops::Range;

use millstream_api::diagnostic::{Key, Part};

use crate::literal;
use crate::tree::{Field, Item, Place, Table, Value};

/// Where `path` and `part` point to; `None` for the file as a whole.
pub(crate) fn locate(root: &Table, source: &str, path: &[Key], part: &Part) -> Option<Place> {
    let mut table = Some(root);
    let mut list: &[Item] = &[];
    let mut found: Option<(Option<&Field>, &Item)> = None;
    for key in path {
        let next = match key {
            Key::Name(name) => table.and_then(|table| table.field(name)).map(|field| (Some(field), &field.item)),
            Key::Index(index) => list.get(*index).map(|item| (None, item)),
        };
        let Some((field, item)) = next else {
            return found.map(|(field, item)| match &item.place {
                // A list that was given as text has no items of its own in the tree.
                Place::Layer(_) => item.place.clone(),
                Place::File(_) => key_place(field, item),
            });
        };
        table = None;
        list = &[];
        match &item.value {
            Value::Table(inner) => table = Some(inner),
            Value::List(items) => list = items,
            _ => {}
        }
        found = Some((field, item));
    }
    let (field, item) = found?;
    Some(match part {
        Part::Key => key_place(field, item),
        Part::Value => match &item.value {
            Value::Text(text) if !text.is_empty() => text_place(source, item, &(0..text.len())),
            _ => item.place.clone(),
        },
        Part::Text(range) => text_place(source, item, range),
    })
}

fn key_place(field: Option<&Field>, item: &Item) -> Place {
    field.map_or_else(|| item.place.clone(), |field| field.key_place.clone())
}

fn text_place(source: &str, item: &Item, range: &Range<usize>) -> Place {
    let (Value::Text(text), Place::File(span)) = (&item.value, &item.place) else {
        return item.place.clone();
    };
    let mapped = source.get(span.clone()).and_then(|literal| map_range(literal, text, range));
    Place::File(mapped.map_or_else(|| span.clone(), |inner| span.start + inner.start..span.start + inner.end))
}

/// The bytes of a string literal that stand for `range` of its value; `None` when the value is not the literal's.
pub(crate) fn map_range(literal: &str, value: &str, range: &Range<usize>) -> Option<Range<usize>> {
    if range.start > range.end || range.end > value.len() {
        return None;
    }
    // The syntaxes differ in a few escapes only, so whichever reading gives the value is the right one.
    let readings = [literal::toml_pieces, literal::json_pieces, literal::yaml_pieces];
    let pieces = readings.iter().filter_map(|read| read(literal)).find(|pieces| literal::text(pieces) == value)?;
    let end_of_text = pieces.last().map_or_else(|| literal.len() / 2, |piece| piece.bytes.end);
    let (mut offset, mut start, mut end) = (0, None, None);
    for piece in pieces.iter().filter(|piece| piece.character.is_some()) {
        let next = offset + piece.character.map_or(0, char::len_utf8);
        if start.is_none() && range.start < next {
            start = Some(piece.bytes.start);
        }
        if offset < range.end {
            end = Some(piece.bytes.end);
        }
        offset = next;
    }
    let start = start.unwrap_or(end_of_text);
    Some(start..end.unwrap_or(start).max(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    /// What `range` of the value of `literal` covers in the literal.
    fn mapped(literal: &str, value: &str, part: &str) -> String {
        let start = value.find(part).unwrap();
        let range = map_range(literal, value, &(start..start + part.len())).unwrap();
        literal[range].to_owned()
    }

    #[test]
    fn ranges_map_through_quotes_and_escapes() {
        assert_eq!(mapped("\"a + b\"", "a + b", "b"), "b");
        assert_eq!(mapped("'a + b'", "a + b", "a"), "a");
        assert_eq!(mapped(r#""a = \"x\" and b""#, "a = \"x\" and b", "\"x\""), r#"\"x\""#);
        assert_eq!(mapped(r#""\u00e9 + ü + b""#, "é + ü + b", "é"), r"\u00e9");
        assert_eq!(mapped(r#""\u00e9 + ü + b""#, "é + ü + b", "b"), "b");
        assert_eq!(mapped("\"\"\"\na +\\\n   b\"\"\"", "a +b", "b"), "b");
        assert_eq!(mapped("'''\r\na\n b'''", "a\n b", "b"), "b");
        assert_eq!(mapped(r#""\ud83d\ude00\/ + b""#, "😀/ + b", "😀"), r"\ud83d\ude00");
        assert_eq!(mapped("'it''s + b'", "it's + b", "b"), "b");
        assert_eq!(mapped("a + b", "a + b", "b"), "b");
        assert_eq!(mapped("a +\n    b", "a + b", "b"), "b");
        assert_eq!(mapped("|\n  a\n   b\n", "a\n b\n", "b"), "b");
        assert_eq!(mapped(">-\n  a +\n  b\n", "a + b", "b"), "b");
    }

    #[test]
    fn a_text_that_is_not_the_literals_own_is_not_mapped() {
        assert_eq!(map_range("\"${X}\"", "abc", &(0..1)), None);
        assert_eq!(map_range("\"abc\"", "abc", &(2..9)), None);
        assert_eq!(map_range("\"abc\"", "abc", &(3..3)), Some(4..4));
        assert_eq!(map_range("\"\"", "", &(0..0)), Some(1..1));
    }

    #[test]
    fn a_missing_key_is_reported_at_its_table() {
        let source = "[a.b]\nx = [\"one\", \"two\"]\n";
        let tree = tree::parse(source, tree::Syntax::Toml).unwrap();
        let at = |path: &[Key], part: Part| match locate(&tree, source, path, &part) {
            Some(Place::File(span)) => source[span].to_owned(),
            other => panic!("{other:?}"),
        };
        let name = |text: &str| Key::Name(text.to_owned());
        assert_eq!(at(&[name("a"), name("b"), name("missing"), name("deeper")], Part::Value), "b");
        assert_eq!(at(&[name("a"), name("b"), name("x")], Part::Key), "x");
        assert_eq!(at(&[name("a"), name("b"), name("x"), Key::Index(1)], Part::Text(1..3)), "wo");
        assert_eq!(at(&[name("a"), name("b"), name("x"), Key::Index(7)], Part::Value), "x");
        assert_eq!(locate(&tree, source, &[name("name")], &Part::Value), None);
    }
}

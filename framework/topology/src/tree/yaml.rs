//! YAML 1.2 with its core schema as a tree.
//!
//! `on`, `no` and dates are text, as the core schema has it. Anchors and aliases are followed, within a bound; a value that
//! comes through an alias has the place where it is written. Merge keys (`<<`) are of YAML 1.1 and mean nothing.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::{Field, Item, Place, SyntaxError, Table, Value, defined_twice, placed};

/// Tables and lists within each other, at most.
const MOST_DEPTH: usize = 100;

/// Values that come through aliases, at most: an alias in an alias in an alias soon is more than memory holds.
const MOST_ALIASED_VALUES: usize = 100_000;

/// Parses YAML.
pub(super) fn parse(text: &str) -> Result<Table, SyntaxError> {
    let mut reader = Reader::new(text);
    let mut root = None;
    loop {
        let (event, at) = reader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::DocumentStart(_) if root.is_some() => {
                return Err(wrong(at, "a file holds one topology, and this is a second document", "leave `---` and what follows out"));
            }
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
            event => root = Some(reader.item(event, at, 0)?),
        }
    }
    match root {
        None => Ok(Table::default()),
        Some(Item { value: Value::Table(table), .. }) => Ok(table),
        Some(Item { value: Value::Null, .. }) => Ok(Table::default()),
        Some(Item { place: Place::File(span), .. }) => Err(wrong(span, "a topology in YAML is a mapping", "write name: …")),
        Some(Item { place: Place::Layer(_), .. }) => Err(wrong(0..0, "a topology in YAML is a mapping", "write name: …")),
    }
}

fn wrong(span: Range<usize>, message: impl Into<String>, help: &str) -> SyntaxError {
    SyntaxError { message: message.into(), help: Some(help.to_owned()), span }
}

struct Reader<'t> {
    events: Parser<'t, StrInput<'t>>,
    places: Places<'t>,
    anchors: HashMap<usize, Item>,
    aliased_values: usize,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Self {
        Reader { events: Parser::new_from_str(text), places: Places::new(text), anchors: HashMap::new(), aliased_values: 0 }
    }

    fn next(&mut self) -> Result<(Event<'t>, Range<usize>), SyntaxError> {
        match self.events.next_event() {
            Some(Ok((event, span))) => Ok((event, self.places.bytes(&span))),
            Some(Err(error)) => Err(self.not_yaml(&error)),
            None => Ok((Event::StreamEnd, self.places.text.len()..self.places.text.len())),
        }
    }

    fn not_yaml(&self, error: &ScanError) -> SyntaxError {
        let at = self.places.byte(error.marker().index());
        let said = error.info();
        let help = if self.places.text[..at].ends_with('\t') || said.contains("tab") {
            Some("YAML is indented by spaces, not by tabs")
        } else if said.contains("mapping values are not allowed") {
            Some("a text that holds `: ` stands in quotes, and a key has the indentation of its neighbours")
        } else if said.contains("quoted scalar") {
            Some("a quote that was opened here is not closed")
        } else {
            None
        };
        SyntaxError { message: format!("this is not YAML: {said}"), help: help.map(str::to_owned), span: at..at }
    }

    /// The value that begins with `event`.
    fn item(&mut self, event: Event<'t>, at: Range<usize>, depth: usize) -> Result<Item, SyntaxError> {
        if depth > MOST_DEPTH {
            return Err(wrong(at, format!("this is nested more than {MOST_DEPTH} deep"), "a topology needs a few levels only"));
        }
        let (item, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(text, style, tag.as_deref(), &at)?;
                let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                (placed(value, if is_block { self.places.with_header(at) } else { at }), anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                no_tag(tag.as_deref(), "seq", &at)?;
                (self.list(at, depth)?, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                no_tag(tag.as_deref(), "map", &at)?;
                (self.table(at, depth)?, anchor)
            }
            Event::Alias(anchor) => return self.alias(anchor, at),
            _ => return Err(wrong(at, "this is not YAML: a value is missing", "give the key a value")),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, item.clone());
        }
        Ok(item)
    }

    fn list(&mut self, at: Range<usize>, depth: usize) -> Result<Item, SyntaxError> {
        let (start, mut end, mut items) = (self.places.start_of_list(&at), at.end, Vec::new());
        loop {
            let (event, at) = self.next()?;
            if event == Event::SequenceEnd {
                // The end of a list without brackets is where the next thing begins.
                end = if self.places.text[start..].starts_with('[') { at.end } else { end };
                return Ok(placed(Value::List(items), start..end.max(start)));
            }
            let item = self.item(event, at.clone(), depth + 1)?;
            end = end.max(end_of(&item, at));
            items.push(item);
        }
    }

    fn table(&mut self, at: Range<usize>, depth: usize) -> Result<Item, SyntaxError> {
        let (start, mut end, mut table) = (at.start, at.end, Table::default());
        loop {
            let (event, key_at) = self.next()?;
            let key = match event {
                Event::MappingEnd => {
                    end = if self.places.text[start..].starts_with('{') { key_at.end } else { end };
                    return Ok(placed(Value::Table(table), start..end.max(start)));
                }
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(wrong(key_at, "a key must be a text", "write key: value")),
            };
            let key_span = self.places.unquoted(key_at.clone());
            if key == "<<" {
                return Err(wrong(
                    key_span,
                    "merge keys (`<<`) are of YAML 1.1 and not supported",
                    "write the keys out; an alias can stand for a whole value",
                ));
            }
            if table.field(&key).is_some() {
                return Err(defined_twice(&key, key_span));
            }
            let (event, at) = self.next()?;
            let mut item = self.item(event, at.clone(), depth + 1)?;
            if let (Value::Null, Place::File(span)) = (&item.value, &item.place)
                && span.is_empty()
            {
                // Nothing stands there: the key is what can be shown.
                item.place = Place::File(key_span.clone());
            }
            end = end.max(end_of(&item, at)).max(key_at.end);
            table.fields.push(Field { key, key_place: Place::File(key_span), item });
        }
    }

    fn alias(&mut self, anchor: usize, at: Range<usize>) -> Result<Item, SyntaxError> {
        let Some(item) = self.anchors.get(&anchor) else {
            return Err(wrong(at, "this alias is part of what it stands for", "an anchor can be used only behind its own value"));
        };
        self.aliased_values += values(item);
        if self.aliased_values > MOST_ALIASED_VALUES {
            return Err(wrong(at, format!("the aliases stand for more than {MOST_ALIASED_VALUES} values"), "use fewer aliases"));
        }
        Ok(item.clone())
    }
}

/// Where an item that was read from `at` ends; one that came through an alias is written elsewhere.
fn end_of(item: &Item, at: Range<usize>) -> usize {
    match &item.place {
        Place::File(span) if span.start <= at.start && span.end >= at.end => span.end,
        _ => at.end,
    }
}

fn values(item: &Item) -> usize {
    1 + match &item.value {
        Value::List(items) => items.iter().map(values).sum(),
        Value::Table(table) => table.fields.iter().map(|field| values(&field.item)).sum(),
        _ => 0,
    }
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>, at: &Range<usize>) -> Result<Value, SyntaxError> {
    let is_plain = style == ScalarStyle::Plain;
    let Some(tag) = tag else {
        return Ok(if is_plain { core(&text) } else { Value::Text(text.into_owned()) });
    };
    let value = match (tag.is_yaml_core_schema(), tag.suffix.as_str()) {
        (true, "str") => Some(Value::Text(text.into_owned())),
        (true, "null") => Some(core(&text)).filter(|value| matches!(value, Value::Null)),
        (true, "bool") => Some(core(&text)).filter(|value| matches!(value, Value::Boolean(_))),
        (true, "int") => Some(core(&text)).filter(|value| matches!(value, Value::Integer(_))),
        (true, "float") => match core(&text) {
            Value::Integer(number) => Some(Value::Float(number as f64)),
            value => Some(value).filter(|value| matches!(value, Value::Float(_))),
        },
        _ => None,
    };
    value.ok_or_else(|| wrong(at.clone(), format!("the tag `{tag}` does not fit here"), "leave the tag out"))
}

fn no_tag(tag: Option<&Tag>, own: &str, at: &Range<usize>) -> Result<(), SyntaxError> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == own) => {
            Err(wrong(at.clone(), format!("the tag `{tag}` does not fit here"), "leave the tag out"))
        }
        _ => Ok(()),
    }
}

/// A plain scalar by the core schema of [YAML 1.2.2, 10.3.2](https://yaml.org/spec/1.2.2/#1032-tag-resolution).
fn core(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Boolean(true),
        "false" | "False" | "FALSE" => return Value::Boolean(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    let of_base = |prefix: &str, base| text.strip_prefix(prefix).filter(|digits| digits.chars().all(|c| c.is_digit(base)));
    let number = if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        Some(Value::Float(sign * f64::INFINITY))
    } else if let Some(digits) = of_base("0o", 8) {
        i64::from_str_radix(digits, 8).ok().map(Value::Integer)
    } else if let Some(digits) = of_base("0x", 16) {
        i64::from_str_radix(digits, 16).ok().map(Value::Integer)
    } else if unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') && unsigned.contains(|c: char| c.is_ascii_digit()) {
        // Rust reads what the schema's patterns allow here, and nothing else that begins with a digit or a point.
        text.parse().map(Value::Integer).ok().or_else(|| text.parse().ok().map(Value::Float))
    } else {
        None
    };
    number.unwrap_or_else(|| Value::Text(text.to_owned()))
}

/// From the characters that the parser counts to bytes.
struct Places<'t> {
    text: &'t str,
    /// The byte of each character; `None` where they are the same.
    bytes: Option<Vec<usize>>,
}

impl<'t> Places<'t> {
    fn new(text: &'t str) -> Self {
        let bytes = (!text.is_ascii()).then(|| text.char_indices().map(|(byte, _)| byte).collect());
        Places { text, bytes }
    }

    fn byte(&self, character: usize) -> usize {
        match &self.bytes {
            Some(bytes) => bytes.get(character).copied().unwrap_or(self.text.len()),
            None => character.min(self.text.len()),
        }
    }

    fn bytes(&self, span: &Span) -> Range<usize> {
        let start = self.byte(span.start.index());
        start..self.byte(span.end.index()).max(start)
    }

    /// A block scalar from its `|` or `>`, behind which it begins to the parser, to the end of its last line.
    fn with_header(&self, span: Range<usize>) -> Range<usize> {
        let start = self.text[..span.start].rfind(['|', '>']).unwrap_or(span.start);
        start..start + self.text[start..span.end].trim_end().len()
    }

    /// Where a list begins: to the parser one that is not indented begins behind its first dash.
    fn start_of_list(&self, span: &Range<usize>) -> usize {
        let rest = &self.text[span.start..];
        let is_dash = rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_whitespace()));
        if span.is_empty() && !is_dash { self.text[..span.start].rfind('-').unwrap_or(span.start) } else { span.start }
    }

    /// The place of a key without its quotes.
    fn unquoted(&self, span: Range<usize>) -> Range<usize> {
        match self.text[span.clone()].starts_with(['"', '\'']) && span.len() >= 2 {
            true => span.start + 1..span.end - 1,
            false => span,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# ü
name: on
sources:
  zeta: { type: file, 'max': 1.5e3 }
  alpha:
    schema:
    - a
    - b: [~, no, 0x1F, -.inf, 012, \"t\\u00e9\", 2013-01-01]
x: |
  where ü
  is
";

    fn inner<'a>(item: &'a Item, path: &[&str]) -> &'a Item {
        match (path, &item.value) {
            ([], _) => item,
            ([name, rest @ ..], Value::Table(table)) => inner(&table.field(name).unwrap().item, rest),
            ([index, rest @ ..], Value::List(items)) => inner(&items[index.parse::<usize>().unwrap()], rest),
            (_, other) => panic!("{other:?} has nothing inside"),
        }
    }

    fn root(text: &str) -> Item {
        placed(Value::Table(parse(text).unwrap()), 0..0)
    }

    fn written(item: &Item) -> &'static str {
        match &item.place {
            Place::File(span) => &FILE[span.clone()],
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn values_are_of_the_core_schema_and_have_places() {
        let root = root(FILE);
        let list = inner(&root, &["sources", "alpha", "schema", "1", "b"]);
        let Value::List(items) = &list.value else { panic!("{list:?}") };
        let shown: Vec<String> = items.iter().map(|item| format!("{:?}", item.value)).collect();
        let expected = ["Null", "Text(\"no\")", "Integer(31)", "Float(-inf)", "Integer(12)", "Text(\"té\")", "Text(\"2013-01-01\")"];
        assert_eq!(shown, expected);
        assert!(matches!(&inner(&root, &["name"]).value, Value::Text(text) if text == "on"));
        assert!(matches!(&inner(&root, &["x"]).value, Value::Text(text) if text == "where ü\nis\n"));
        assert_eq!(written(&items[5]), "\"t\\u00e9\"");
        assert_eq!(written(list), "[~, no, 0x1F, -.inf, 012, \"t\\u00e9\", 2013-01-01]");
        assert_eq!(written(inner(&root, &["sources", "zeta"])), "{ type: file, 'max': 1.5e3 }");
        assert_eq!(written(inner(&root, &["sources", "zeta", "max"])), "1.5e3");
        assert!(written(inner(&root, &["sources", "alpha", "schema"])).starts_with("- a\n    - b"));
        assert!(written(inner(&root, &["sources", "alpha", "schema", "1"])).ends_with("2013-01-01]"));
        let Value::Table(table) = &root.value else { panic!() };
        let Value::Table(zeta) = &inner(&root, &["sources", "zeta"]).value else { panic!() };
        assert_eq!(table.fields[2].key, "x");
        assert_eq!(zeta.fields[1].key_place, Place::File(FILE.find("max").unwrap()..FILE.find("max").unwrap() + 3));
    }

    #[test]
    fn aliases_stand_for_their_anchors_within_a_bound() {
        let aliased = root("a: &x { k: [1, 2] }\nb: *x\n");
        assert!(matches!(&inner(&aliased, &["b", "k", "1"]).value, Value::Integer(2)));
        let mut laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (from, to) in ["ab", "bc", "cd", "de", "ef", "fg"].map(|pair| pair.split_at(1)) {
            laughs.push_str(&format!("{to}: &{to} [*{from}, *{from}, *{from}, *{from}, *{from}, *{from}, *{from}, *{from}, *{from}]\n"));
        }
        assert!(parse(&laughs).unwrap_err().message.contains("more than 100000 values"));
    }

    #[test]
    fn what_is_not_a_topology_in_yaml_is_told_where() {
        for (text, message, line) in [
            ("a: 1\na: 2\n", "`a` is defined twice", 2),
            ("a: [1, 2\nb: 3", "this is not YAML: ", 2),
            ("a: &x [*x]\n", "this alias is part of what it stands for", 1),
            ("- a\n", "a topology in YAML is a mapping", 1),
            ("a: 1\n---\nb: 1\n", "a file holds one topology, and this is a second document", 2),
            ("a: !secret x\n", "the tag `!secret` does not fit here", 1),
            ("a: !!int x\n", "the tag `", 1),
            ("? [a]\n: b\n", "a key must be a text", 1),
            ("a: &x {b: 1}\nc:\n  <<: *x\n", "merge keys (`<<`) are of YAML 1.1", 3),
            ("a:\n\tb: 1\n", "this is not YAML: ", 2),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.message.starts_with(message), "{text}: {error:?}");
            assert_eq!(text[..error.span.start].matches('\n').count() + 1, line, "{text}: {error:?}");
        }
        assert!(parse(&"[".repeat(200)).unwrap_err().message.contains("nested more than"));
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse("# nothing\n").unwrap().fields.is_empty());
        assert!(parse("").unwrap().fields.is_empty());
    }
}

//! Values that may have one of several shapes: enums.

use millstream_api::Diagnostic;
use millstream_api::diagnostic::nearest;
use serde_json::Value as Json;

use super::schema::{Kind, Text};
use super::{Reader, Schema, typed};
use crate::report::Problems;
use crate::tree::{Item, Table, Value};

impl Reader<'_> {
    /// Reads a value that may be any one of these.
    pub(super) fn read_choice(&mut self, alternatives: &[Schema<'_>], item: &Item) -> Option<Json> {
        let fitting: Vec<Schema<'_>> = alternatives.iter().copied().filter(|schema| fits(*schema, item)).collect();
        if let Some(read) = fitting.iter().find_map(|schema| self.read_quietly(*schema, item)) {
            return Some(read);
        }
        let tables = fitting.iter().all(|schema| matches!(schema.kind(), Kind::Table));
        match (&fitting[..], &item.value) {
            ([], _) => self.no_alternative(alternatives, item),
            (several, Value::Text(found)) => match (words(several), several) {
                (Some(words), _) => {
                    let others = alternatives.iter().filter(|schema| !fits(**schema, item)).map(|schema| describe(*schema));
                    let mistake = unknown_word(&self.subject(), found, &words).text(0..found.len());
                    self.note(or_else(mistake, &others.collect::<Vec<_>>()));
                    None
                }
                (None, [one]) => self.read(*one, item),
                (None, _) => self.no_alternative(alternatives, item),
            },
            ([one], _) => self.read(*one, item),
            (several, Value::Table(table)) if tables => match self.choose(several, table) {
                Some(chosen) => self.read(chosen, item),
                None => None,
            },
            _ => self.no_alternative(alternatives, item),
        }
    }

    /// The alternative that a table means: by its tag (a key that each alternative fixes to another word), else the one
    /// that knows most of its keys. None, with a mistake noted, when the tag is wrong or missing.
    pub(super) fn choose<'a>(&mut self, alternatives: &[Schema<'a>], table: &Table) -> Option<Schema<'a>> {
        let (first, rest) = alternatives.split_first()?;
        if rest.is_empty() {
            return Some(*first);
        }
        let tag =
            first.properties().map(|(name, _)| name).find(|name| alternatives.iter().all(|schema| tag_words(*schema, name).is_some()));
        let Some(tag) = tag else {
            let known = |schema: &Schema<'_>| schema.properties().filter(|(name, _)| table.field(name).is_some()).count();
            let missing = |schema: &Schema<'_>| schema.required().filter(|name| table.field(name).is_none()).count();
            return alternatives.iter().min_by_key(|schema| (std::cmp::Reverse(known(schema)), missing(schema))).copied();
        };
        let words: Vec<&str> = alternatives.iter().filter_map(|schema| tag_words(*schema, tag)).flatten().collect();
        match table.field(tag).map(|field| &field.item.value) {
            Some(Value::Text(found)) => {
                let chosen = alternatives.iter().find(|schema| tag_words(**schema, tag).is_some_and(|w| w.contains(&found.as_str())));
                if chosen.is_none() {
                    self.note(unknown_word(&format!("`{tag}`"), found, &words).key(tag).text(0..found.len()));
                }
                chosen.copied()
            }
            Some(other) => {
                let message = format!("`{tag}` must be one of {}, not {}", words.join(", "), other.shown());
                self.note(Diagnostic::error("wrong-type", message).key(tag));
                None
            }
            None => {
                let message = format!("{} lacks the key `{tag}`", self.subject());
                self.note(Diagnostic::error("missing-key", message).on_key().help(format!("it is one of {}", words.join(", "))));
                None
            }
        }
    }

    fn read_quietly(&mut self, schema: Schema<'_>, item: &Item) -> Option<Json> {
        let mut unheard = Problems::default();
        Reader::new(self.path.clone(), &mut unheard).read(schema, item)
    }

    fn no_alternative(&mut self, alternatives: &[Schema<'_>], item: &Item) -> Option<Json> {
        let mut wanted: Vec<String> = Vec::new();
        for schema in alternatives {
            let one = describe(*schema);
            if !wanted.contains(&one) {
                wanted.push(one);
            }
        }
        self.wrong_type(&wanted.join(" or "), &item.value)
    }
}

/// Whether a value is of the kind that a schema wants, whatever is inside it.
fn fits(schema: Schema<'_>, item: &Item) -> bool {
    let kind = schema.kind();
    match (&kind, &typed(item, &kind).value) {
        (Kind::Any, _)
        | (Kind::Boolean, Value::Boolean(_))
        | (Kind::Integer | Kind::Number, Value::Integer(_))
        | (Kind::Number, Value::Float(_))
        | (Kind::Text(_), Value::Text(_))
        | (Kind::List, Value::List(_))
        | (Kind::Table, Value::Table(_)) => true,
        (Kind::Choice(alternatives), _) => alternatives.iter().any(|schema| fits(*schema, item)),
        _ => false,
    }
}

fn describe(schema: Schema<'_>) -> String {
    match schema.kind() {
        Kind::Any => "anything".to_owned(),
        Kind::Boolean => "true or false".to_owned(),
        Kind::Integer => "a whole number".to_owned(),
        Kind::Number => "a number".to_owned(),
        Kind::Text(Text::Free) => "text".to_owned(),
        Kind::Text(Text::Duration) => "a duration like \"10s\"".to_owned(),
        Kind::Text(Text::Size) => "a size like \"64MiB\"".to_owned(),
        Kind::Text(Text::Words(words)) => words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or "),
        Kind::List => "a list".to_owned(),
        Kind::Table => match schema.required().collect::<Vec<_>>()[..] {
            [] => "a table".to_owned(),
            ref keys => format!("a table {{ {} = … }}", keys.join(" = …, ")),
        },
        Kind::Choice(alternatives) => alternatives.iter().map(|schema| describe(*schema)).collect::<Vec<_>>().join(" or "),
    }
}

/// The words of alternatives that all are lists of words.
fn words<'a>(alternatives: &[Schema<'a>]) -> Option<Vec<&'a str>> {
    let words: Option<Vec<Vec<&str>>> = alternatives
        .iter()
        .map(|schema| match schema.kind() {
            Kind::Text(Text::Words(words)) => Some(words),
            _ => None,
        })
        .collect();
    words.map(|words| words.concat())
}

/// The words that an alternative allows for a key.
fn tag_words<'a>(schema: Schema<'a>, tag: &str) -> Option<Vec<&'a str>> {
    let (_, of_tag) = schema.properties().find(|(name, _)| *name == tag)?;
    words(&[of_tag])
}

/// The same where something else than a word may stand in its place.
fn or_else(diagnostic: Diagnostic, others: &[String]) -> Diagnostic {
    match &diagnostic.help {
        Some(help) if !others.is_empty() => {
            let help = format!("{help}, or {}", others.join(" or "));
            diagnostic.help(help)
        }
        _ => diagnostic,
    }
}

/// A word that is not in a list of words.
pub(super) fn unknown_word(subject: &str, found: &str, words: &[&str]) -> Diagnostic {
    let diagnostic = Diagnostic::error("bad-value", format!("{subject} cannot be `{found}`"));
    let all = words.join(", ");
    match nearest(found, words.iter().copied()) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`? there are {all}")),
        None if words.len() == 1 => diagnostic.help(format!("it must be {all}")),
        None => diagnostic.help(format!("it is one of {all}")),
    }
}

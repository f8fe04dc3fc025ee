//! The keys of a table: which there may be, which must.

use millstream_api::Diagnostic;
use millstream_api::diagnostic::nearest;

use super::{Reader, Schema};
use crate::tree::Table;

/// What a schema says of the keys of one table. An enum's variants are resolved: the table's tag has chosen one.
#[derive(Default)]
pub(crate) struct Fields<'a> {
    known: Vec<(&'a str, Schema<'a>)>,
    required: Vec<&'a str>,
    others: Option<Schema<'a>>,
}

impl<'a> Fields<'a> {
    /// The keys for `table`, which may itself say which variant is meant.
    pub fn of(schema: Schema<'a>, table: &Table, reader: &mut Reader<'_>) -> Self {
        let mut fields = Fields { others: schema.others(), ..Fields::default() };
        fields.add(schema, table, reader);
        fields
    }

    fn add(&mut self, schema: Schema<'a>, table: &Table, reader: &mut Reader<'_>) {
        self.known.extend(schema.properties());
        self.required.extend(schema.required());
        let alternatives = schema.alternatives();
        match reader.choose(&alternatives, table) {
            Some(chosen) => {
                self.others = self.others.or(chosen.others());
                self.add(chosen, table, reader);
            }
            // Which keys there may be depends on the mistake that was just noted.
            None if !alternatives.is_empty() => self.others = Some(Schema::any()),
            None => {}
        }
    }

    /// The schema of a key; none when there must be no such key.
    pub fn schema_of(&self, key: &str) -> Option<Schema<'a>> {
        self.named(key).or(self.others)
    }

    /// The schema of a key that it names.
    pub fn named(&self, key: &str) -> Option<Schema<'a>> {
        self.known.iter().find(|(name, _)| *name == key).map(|(_, schema)| *schema)
    }

    /// The keys that it names.
    pub fn names(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.known.iter().map(|(name, _)| *name)
    }

    /// The keys that must be there.
    pub fn required(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.required.iter().copied()
    }

    /// The keys that `table` lacks, with the first line of their documentation and the words that they may be.
    pub fn missing_in(&self, table: &Table) -> Vec<(&'a str, Option<String>)> {
        let missing = self.required.iter().filter(|name| table.field(name).is_none());
        let about = |schema: Schema<'a>| {
            let words = schema.one_of().map(|words| format!("It is one of {}.", words.join(", ")));
            let lines: Vec<String> = schema.about().into_iter().chain(words).collect();
            (!lines.is_empty()).then(|| lines.join(" "))
        };
        missing.map(|name| (*name, self.schema_of(name).and_then(about))).collect()
    }
}

/// What files of Vector and Redpanda Connect call the parts of a topology, and SQL those of a node.
const ELSEWHERE: [(&str, &str); 14] = [
    ("input", "sources"),
    ("inputs", "sources"),
    ("output", "sinks"),
    ("outputs", "sinks"),
    ("pipeline", "operators"),
    ("processors", "operators"),
    ("transforms", "operators"),
    ("group_by", "by"),
    ("group by", "by"),
    ("groupby", "by"),
    ("group-by", "by"),
    ("partition_by", "by"),
    ("keys", "by"),
    ("aggregates", "compute"),
];

/// A key that means nothing. The message names the nearest one that would.
pub(super) fn unknown_key<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> Diagnostic {
    let known: Vec<&str> = known.collect();
    let diagnostic = Diagnostic::error("unknown-key", format!("`{key}` is not a key here"));
    let same = ELSEWHERE.iter().find(|(name, ours)| key.eq_ignore_ascii_case(name) && known.contains(ours)).map(|(_, ours)| *ours);
    match same.or_else(|| nearest(key, known.iter().copied())) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None if known.is_empty() => diagnostic.help("there are no keys here"),
        None => diagnostic.help(format!("the keys here are {}", known.join(", "))),
    }
}

/// A key that is not there and must be.
pub(crate) fn missing_key(subject: &str, key: &str, about: Option<&str>) -> Diagnostic {
    let diagnostic = Diagnostic::error("missing-key", format!("{subject} lacks the key `{key}`")).on_key();
    match about {
        Some(about) => diagnostic.help(format!("{key}: {about}")),
        None => diagnostic.help(format!("add {key} = …")),
    }
}

//! The nodes of a topology as they are declared: type, options, shared keys and the names of what they read.
//!
//! Each key of a node's table belongs to one of four: `type`, the type's input keys, its own options, the keys that all
//! nodes of its role share. A node with a mistake in it stays, so that others may name it.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use millstream_api::Diagnostic;
use millstream_api::diagnostic::{Key, nearest};
use millstream_api::options::{OnBadRow, OperatorCommon, SinkCommon, SourceCommon, TimeOptions};
use millstream_api::registry::{self, InputKeys, NodeType, Registry, Role};
use schemars::schema_for;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use crate::report::Problems;
use crate::resolve::is_name;
use crate::settings::bad_name;
use crate::shape::{Fields, Reader, Schema, missing_key};
use crate::tree::{Field, Place, Table, Value};

/// The tables of nodes.
pub(crate) const ROLES: [(Role, &str, &str); 3] =
    [(Role::Source, "sources", "source"), (Role::Operator, "operators", "operator"), (Role::Sink, "sinks", "sink")];

/// The keys at the root of the file.
const ROOT_KEYS: [&str; 6] = ["name", "runtime", "server", "sources", "operators", "sinks"];

/// A node of the file.
pub(crate) struct Declaration<'r> {
    pub name: String,
    pub role: Role,
    /// The key paths in the file begin with this.
    pub path: Vec<Key>,
    /// Where its name stands.
    pub place: Place,
    /// Its `type`, as written.
    pub kind: String,
    /// What to plan it with: the type and its options. None when it has a mistake.
    pub options: Option<(&'r NodeType, Json)>,
    pub common: Common,
    /// What it reads, in the order of its input keys.
    pub inputs: Vec<InputDeclaration>,
}

/// A stream that a node reads, by name.
pub(crate) struct InputDeclaration {
    /// The key path from the root of the file.
    pub path: Vec<Key>,
    pub stream: String,
}

/// The keys that nodes share, those of all roles in one.
#[derive(Default)]
pub(crate) struct Common {
    pub on_bad_row: OnBadRow,
    pub parallelism: Option<NonZeroUsize>,
    pub description: Option<String>,
    pub time: Option<TimeOptions>,
    /// There is a `time` but it is wrong: the streams have event time, nobody knows which.
    pub time_is_wrong: bool,
    pub rate: Option<NonZeroUsize>,
}

/// How messages call a role.
pub(crate) fn role_name(role: Role) -> &'static str {
    ROLES.iter().find(|(known, _, _)| *known == role).map_or("node", |(_, _, name)| name)
}

/// All nodes: sources, operators, sinks, each in the order of the file.
pub(crate) fn declare<'r>(root: &Table, registry: &'r Registry, problems: &mut Problems) -> Vec<Declaration<'r>> {
    for field in root.fields.iter().filter(|field| !ROOT_KEYS.contains(&field.key.as_str())) {
        Reader::new(vec![Key::Name(field.key.clone())], problems).unknown(&field.key, ROOT_KEYS.into_iter());
    }
    let common = CommonSchemas::new();
    let mut nodes: Vec<Declaration<'r>> = Vec::new();
    for (role, key, _) in ROLES {
        let Some(section) = root.field(key) else { continue };
        let path = vec![Key::Name(key.to_owned())];
        match &section.item.value {
            Value::Table(table) => {
                for field in &table.fields {
                    let path = vec![Key::Name(key.to_owned()), Key::Name(field.key.clone())];
                    let scope = Scope { role, registry, common: common.of(role) };
                    nodes.extend(scope.declare(field, Reader::new(path, problems)));
                }
            }
            other => drop(Reader::new(path, problems).wrong_type("a table of nodes", other)),
        }
    }
    check_names(&nodes, problems);
    nodes
}

fn check_names(nodes: &[Declaration<'_>], problems: &mut Problems) {
    let mut first: BTreeMap<&str, Role> = BTreeMap::new();
    for node in nodes {
        let mut reader = Reader::new(node.path.clone(), problems);
        if !is_name(&node.name) {
            reader.note(bad_name(&node.name).on_key());
        }
        match first.get(node.name.as_str()) {
            None => drop(first.insert(&node.name, node.role)),
            Some(role) => reader.note(
                Diagnostic::error("duplicate-name", format!("`{}` is the name of {} as well", node.name, with_article(*role)))
                    .on_key()
                    .help("sources, operators and sinks share their names; rename one of the two"),
            ),
        }
    }
}

fn with_article(role: Role) -> &'static str {
    match role {
        Role::Source => "a source",
        Role::Operator => "an operator",
        Role::Sink => "a sink",
    }
}

/// The JSON Schemas of the shared keys.
struct CommonSchemas([schemars::Schema; 3]);

impl CommonSchemas {
    fn new() -> Self {
        CommonSchemas([schema_for!(SourceCommon), schema_for!(OperatorCommon), schema_for!(SinkCommon)])
    }

    fn of(&self, role: Role) -> Schema<'_> {
        let [source, operator, sink] = &self.0;
        Schema::root(match role {
            Role::Source => source,
            Role::Operator => operator,
            Role::Sink => sink,
        })
    }
}

/// What is the same for all nodes of a role.
struct Scope<'r, 's> {
    role: Role,
    registry: &'r Registry,
    common: Schema<'s>,
}

impl<'r> Scope<'r, '_> {
    fn declare(&self, field: &Field, mut reader: Reader<'_>) -> Option<Declaration<'r>> {
        let Value::Table(table) = &field.item.value else {
            reader.wrong_type("a table", &field.item.value);
            return None;
        };
        let (kind, node_type) = self.node_type(table, &mut reader);
        let input_keys = node_type.map(|node_type| node_type.inputs);
        let inputs = self.inputs(input_keys, table, &mut reader);
        let read = match node_type {
            Some(node_type) => self.read_keys(node_type, table, &mut reader),
            None => None,
        };
        let (options, common) = read.unwrap_or_default();
        let common = self.common(common, table, &mut reader);
        let options = node_type.zip(options).filter(|_| inputs.is_some());
        let path = reader.path;
        Some(Declaration {
            name: field.key.clone(),
            role: self.role,
            place: field.key_place.clone(),
            kind,
            options,
            common,
            inputs: inputs.unwrap_or_else(|| names_anywhere(table, &path)),
            path,
        })
    }

    fn node_type(&self, table: &Table, reader: &mut Reader<'_>) -> (String, Option<&'r NodeType>) {
        let kinds = || self.registry.types().filter(|node_type| node_type.role == self.role).map(|node_type| node_type.kind);
        let all = || kinds().collect::<Vec<_>>().join(", ");
        let field = table.field("type");
        match field.map(|field| &field.item.value) {
            _ if field.is_some_and(|field| field.item.broken) => (String::new(), None),
            None => {
                let about = format!("what kind of {} it is; there are {}", role_name(self.role), all());
                reader.note(missing_key(&reader.subject(), "type", Some(&about)));
                (String::new(), None)
            }
            Some(Value::Text(kind)) => {
                let node_type = self.registry.get(self.role, kind);
                if node_type.is_none() {
                    let mistake = crate::later::node_type(self.role, kind).unwrap_or_else(|| self.unknown_type(kind, kinds(), &all()));
                    reader.note(mistake.key("type").text(0..kind.len()));
                }
                (kind.clone(), node_type)
            }
            Some(other) => {
                reader.path.push(Key::Name("type".to_owned()));
                reader.wrong_type("text", other);
                reader.path.pop();
                (String::new(), None)
            }
        }
    }

    fn unknown_type<'k>(&self, kind: &str, kinds: impl Iterator<Item = &'k str>, all: &str) -> Diagnostic {
        let role = role_name(self.role);
        let diagnostic = Diagnostic::error("unknown-type", format!("there is no {role} type `{kind}`"));
        let elsewhere = ROLES.iter().find(|(role, _, _)| self.registry.get(*role, kind).is_some());
        match (nearest(kind, kinds), elsewhere) {
            (Some(near), _) => diagnostic.help(format!("did you mean `{near}`? there are {all}")),
            (None, Some((other, section, _))) => {
                diagnostic.help(format!("`{kind}` is {}: it belongs into [{section}.…]", with_article(*other)))
            }
            (None, None) => diagnostic.help(format!("there are {all}")),
        }
    }

    /// The streams it reads, in order; none when there is a mistake.
    fn inputs(&self, keys: Option<InputKeys>, table: &Table, reader: &mut Reader<'_>) -> Option<Vec<InputDeclaration>> {
        let (one, many) = (schema_for!(String), schema_for!(Vec<String>));
        let subject = reader.subject();
        let mut read = |key: &str, schema: &schemars::Schema, about: &str| -> Option<Vec<InputDeclaration>> {
            let Some(field) = table.field(key) else {
                if misplaced_input(keys, table).is_none() {
                    reader.note(missing_key(&subject, key, Some(about)));
                }
                return None;
            };
            reader.path.push(Key::Name(key.to_owned()));
            let json = reader.read(Schema::root(schema), &field.item);
            let inputs = json.map(|json| named_streams(json, &reader.path));
            if inputs.as_ref().is_some_and(Vec::is_empty) {
                reader.note(Diagnostic::error("wrong-inputs", format!("{subject} reads no stream")).help("name one at least"));
            }
            reader.path.pop();
            inputs.filter(|inputs| !inputs.is_empty())
        };
        match keys? {
            InputKeys::None => Some(Vec::new()),
            InputKeys::One => read("input", &one, "the name of the stream that it reads"),
            InputKeys::Many => read("inputs", &many, "the names of the streams that it reads, as a list"),
            InputKeys::Named(names) => {
                let all: Vec<_> = names.iter().map(|name| read(name, &one, "the name of the stream that it reads")).collect();
                all.into_iter().collect::<Option<Vec<_>>>().map(|inputs| inputs.into_iter().flatten().collect())
            }
        }
    }

    /// The node's own keys (none when any is wrong) and the shared ones.
    fn read_keys(&self, node_type: &NodeType, table: &Table, reader: &mut Reader<'_>) -> Option<(Option<Json>, Map<String, Json>)> {
        let before = reader.problems.len();
        let own = Fields::of(Schema::root(&node_type.schema), table, reader);
        let shared = Fields::of(self.common, table, reader);
        let inputs = input_keys(node_type.inputs);
        let (mut options, mut common) = (Map::new(), Map::new());
        let mut wrong = reader.problems.len() > before;
        for field in table.fields.iter().filter(|field| field.key != "type" && !inputs.contains(&field.key.as_str())) {
            let key = field.key.as_str();
            reader.path.push(Key::Name(key.to_owned()));
            match (own.named(key), shared.named(key), own.schema_of(key)) {
                (Some(schema), _, _) | (None, None, Some(schema)) => match reader.read(schema, &field.item) {
                    Some(value) => drop(options.insert(key.to_owned(), value)),
                    None => wrong = true,
                },
                (None, Some(schema), _) => drop(reader.read(schema, &field.item).and_then(|value| common.insert(key.to_owned(), value))),
                (None, None, None) => match misplaced_input(Some(node_type.inputs), table).filter(|(misplaced, _)| *misplaced == key) {
                    Some((_, help)) => {
                        let message = format!("`{}` does not read its streams by `{key}`", node_type.kind);
                        reader.note(Diagnostic::error("wrong-inputs", message).on_key().help(help));
                    }
                    None => reader.unknown(key, own.names().chain(shared.names()).chain(inputs.iter().copied()).chain(["type"])),
                },
            }
            reader.path.pop();
        }
        let subject = reader.subject();
        for (name, about) in own.missing_in(table) {
            reader.note(missing_key(&subject, name, about));
            wrong = true;
        }
        Some(((!wrong).then_some(Json::Object(options)), common))
    }

    fn common(&self, read: Map<String, Json>, table: &Table, reader: &mut Reader<'_>) -> Common {
        let time_is_wrong = table.field("time").is_some() && !read.contains_key("time");
        let read = Json::Object(read);
        let common = match self.role {
            Role::Source => shared(read, reader).map(|c: SourceCommon| Common {
                on_bad_row: c.on_bad_row,
                description: c.description,
                time: c.time,
                rate: c.rate,
                ..Common::default()
            }),
            Role::Operator => shared(read, reader).map(|c: OperatorCommon| Common {
                on_bad_row: c.on_bad_row,
                parallelism: c.parallelism,
                description: c.description,
                ..Common::default()
            }),
            Role::Sink => shared(read, reader).map(|c: SinkCommon| Common {
                on_bad_row: c.on_bad_row,
                parallelism: c.parallelism,
                description: c.description,
                ..Common::default()
            }),
        };
        Common { time_is_wrong: time_is_wrong && self.role == Role::Source, ..common.unwrap_or_default() }
    }
}

fn shared<T: DeserializeOwned>(read: Json, reader: &mut Reader<'_>) -> Option<T> {
    match registry::read(read) {
        Ok(common) => Some(common),
        Err(mistakes) => {
            mistakes.0.into_iter().for_each(|diagnostic| reader.note(diagnostic));
            None
        }
    }
}

/// The stream or streams named at `path`.
fn named_streams(json: Json, path: &[Key]) -> Vec<InputDeclaration> {
    let at = |index: usize| path.iter().cloned().chain([Key::Index(index)]).collect();
    match json {
        Json::String(stream) => vec![InputDeclaration { path: path.to_vec(), stream }],
        Json::Array(items) => items
            .into_iter()
            .enumerate()
            .filter_map(|(index, item)| Some(InputDeclaration { path: at(index), stream: item.as_str()?.to_owned() }))
            .collect(),
        _ => Vec::new(),
    }
}

fn input_keys(keys: InputKeys) -> &'static [&'static str] {
    match keys {
        InputKeys::None => &[],
        InputKeys::One => &["input"],
        InputKeys::Many => &["inputs"],
        InputKeys::Named(names) => names,
    }
}

/// An input key that other types have, in place of those of this one, and what to write.
fn misplaced_input(keys: Option<InputKeys>, table: &Table) -> Option<(&'static str, String)> {
    let keys = keys?;
    let own = input_keys(keys);
    let misplaced = ["input", "inputs"].into_iter().find(|key| !own.contains(key) && table.field(key).is_some())?;
    let help = match keys {
        InputKeys::None => "a source reads no stream; leave it out".to_owned(),
        InputKeys::One => "it reads one stream: input = \"a\"".to_owned(),
        InputKeys::Many => "it reads a list of streams: inputs = [\"a\", \"b\"]".to_owned(),
        InputKeys::Named(names) => format!("it reads its streams by the keys {}", names.join(", ")),
    };
    Some((misplaced, help))
}

/// What a node with a mistake seems to read: so that nobody is told that nobody reads it.
fn names_anywhere(table: &Table, node: &[Key]) -> Vec<InputDeclaration> {
    let mut found = Vec::new();
    for key in ["input", "inputs", "left", "right"] {
        let Some(field) = table.field(key) else { continue };
        let path: Vec<Key> = node.iter().cloned().chain([Key::Name(key.to_owned())]).collect();
        match &field.item.value {
            _ if field.item.broken => {}
            Value::Text(stream) => found.push(InputDeclaration { path, stream: stream.clone() }),
            Value::List(items) => {
                let names = items.iter().filter_map(|item| match &item.value {
                    Value::Text(stream) => Some(Json::String(stream.clone())),
                    _ => None,
                });
                found.extend(named_streams(Json::Array(names.collect()), &path));
            }
            _ => {}
        }
    }
    found
}

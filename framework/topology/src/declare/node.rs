//! One node's table.

use millstream_api::Diagnostic;
use millstream_api::diagnostic::{Key, nearest};
use millstream_api::registry::{NodeType, Registry, Role};
use serde_json::{Map, Value as Json};

use super::{Common, Declaration, inputs, with_article};
use crate::mend::can_miss;
use crate::shape::{Fields, Reader, Schema, missing_key};
use crate::tree::{Field, Table, Value};

/// What is the same for all nodes of a role.
pub(super) struct Scope<'r, 's> {
    pub role: Role,
    pub registry: &'r Registry,
    pub common: Schema<'s>,
}

/// The values of a node's keys, by whose they are.
#[derive(Default)]
struct Keys {
    /// The type's own options; none when any is wrong.
    own: Option<Json>,
    /// These in which other values stand for those that are wrong, where that does not matter to readers.
    mended: Option<Json>,
    /// Those of the shared keys that could be read.
    shared: Map<String, Json>,
}

/// What others call the types of nodes: Vector, Redpanda Connect, Flink and SQL.
const ELSEWHERE: [(&str, &str); 29] = [
    ("blackhole", "discard"),
    ("bloblang", "select"),
    ("console", "stdout"),
    ("cumulate", "window"),
    ("dedupe", "deduplicate"),
    ("demo_logs", "generate"),
    ("distinct", "deduplicate"),
    ("drop", "discard"),
    ("explode", "unnest"),
    ("flatten", "unnest"),
    ("group_by", "aggregate"),
    ("hop", "window"),
    ("http_client", "http"),
    ("http_server", "http"),
    ("limit", "top_n"),
    ("map", "select"),
    ("mapping", "select"),
    ("merge", "union"),
    ("mutation", "select"),
    ("print", "stdout"),
    ("project", "select"),
    ("reduce", "aggregate"),
    ("remap", "select"),
    ("route", "filter"),
    ("session", "window"),
    ("sliding", "window"),
    ("sort", "top_n"),
    ("table", "view"),
    ("tumble", "window"),
];

impl<'r> Scope<'r, '_> {
    /// Reads a node; none when it is no table.
    pub fn declare(&self, field: &Field, mut reader: Reader<'_>) -> Option<Declaration<'r>> {
        let Value::Table(table) = &field.item.value else {
            reader.wrong_type("a table", &field.item.value);
            return None;
        };
        let (kind, node_type) = self.node_type(table, &mut reader);
        let inputs = node_type.and_then(|node_type| inputs::read(node_type.inputs, table, &mut reader));
        let keys = node_type.map(|node_type| self.keys(node_type, table, &mut reader)).unwrap_or_default();
        let common = Common::of(self.role, keys.shared, table, &mut reader);
        let path = reader.path;
        Some(Declaration {
            name: field.key.clone(),
            role: self.role,
            place: field.key_place.clone(),
            kind,
            options: node_type.zip(keys.own).filter(|_| inputs.is_some()),
            mended: node_type.zip(keys.mended).filter(|_| inputs.is_some()),
            common,
            inputs: inputs.unwrap_or_else(|| inputs::names_anywhere(table, &path)),
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
                let about = format!("what kind of {} it is; there are {}", self.role.name(), all());
                reader.note(missing_key(&reader.subject(), "type", Some(&about)));
                (String::new(), None)
            }
            Some(Value::Text(kind)) => {
                let node_type = self.registry.get(self.role, kind);
                if node_type.is_none() {
                    let mistake = self.unknown_type(kind, kinds(), &all());
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
        let role = self.role.name();
        let diagnostic = Diagnostic::error("unknown-type", format!("there is no {role} type `{kind}`"));
        let elsewhere = Role::ALL.into_iter().find(|role| self.registry.get(*role, kind).is_some());
        let kinds: Vec<&str> = kinds.collect();
        let same = ELSEWHERE.iter().find(|(name, ours)| *name == kind && kinds.contains(ours)).map(|(_, ours)| *ours);
        match (same.or_else(|| nearest(kind, kinds)), elsewhere) {
            (Some(near), _) => diagnostic.help(format!("did you mean `{near}`? there are {all}")),
            (None, Some(other)) => diagnostic.help(format!("`{kind}` is {}: it belongs into [{}.…]", with_article(other), other.section())),
            (None, None) => diagnostic.help(format!("there are {all}")),
        }
    }

    fn keys(&self, node_type: &NodeType, table: &Table, reader: &mut Reader<'_>) -> Keys {
        let before = reader.problems.len();
        let own = Fields::of(Schema::root(&node_type.schema), table, reader);
        let shared = Fields::of(self.common, table, reader);
        let input_keys = inputs::names(node_type.inputs);
        let mut wrong = reader.problems.len() > before;
        let mut can_mend = !wrong;
        let required: Vec<&str> = own.required().collect();
        // A value for a key that has none, or a wrong one.
        let mut stand_in = |options: &mut Map<String, Json>, key: &str, schema: Option<Schema<'_>>| {
            let value = schema.filter(|_| self.role == Role::Operator || required.contains(&key)).and_then(Schema::example);
            can_mend &= can_miss(self.role, key) && (value.is_some() || !required.contains(&key));
            options.extend(value.map(|value| (key.to_owned(), value)));
        };
        let (mut keys, mut unknown) = (Keys::default(), Vec::new());
        let mut options = Map::new();
        for field in table.fields.iter().filter(|field| field.key != "type" && !input_keys.contains(&field.key.as_str())) {
            let key = field.key.as_str();
            reader.path.push(Key::Name(key.to_owned()));
            // A type's own key goes before a shared one of the same name, and that before keys a type takes unseen.
            if let Some(schema) = shared.named(key).filter(|_| own.named(key).is_none()) {
                keys.shared.extend(reader.read(schema, &field.item).map(|value| (key.to_owned(), value)));
            } else if let Some(schema) = own.schema_of(key) {
                match reader.read(schema, &field.item) {
                    Some(value) => drop(options.insert(key.to_owned(), value)),
                    None => {
                        wrong = true;
                        stand_in(&mut options, key, Some(schema));
                    }
                }
            } else if let Some((_, help)) = inputs::misplaced(node_type.inputs, table).filter(|(misplaced, _)| *misplaced == key) {
                let message = format!("`{}` does not read its streams by `{key}`", node_type.kind);
                reader.note(Diagnostic::error("wrong-inputs", message).on_key().help(help));
            } else {
                unknown.push(key);
                reader.unknown(key, own.names().chain(shared.names()).chain(input_keys.iter().copied()).chain(["type"]));
            }
            reader.path.pop();
        }
        let subject = reader.subject();
        for (name, about) in own.missing_in(table) {
            // It is there under a name that is wrong, and that was told.
            let misspelt = unknown.iter().any(|key| nearest(key, own.names().chain(shared.names())) == Some(name));
            if !misspelt {
                reader.note(missing_key(&subject, name, about.as_deref()));
            }
            wrong = true;
            stand_in(&mut options, name, own.named(name));
        }
        let options = Json::Object(options);
        keys.mended = (wrong && can_mend).then(|| options.clone());
        keys.own = (!wrong).then_some(options);
        keys
    }
}

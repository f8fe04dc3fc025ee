//! The keys by which a node names the streams that it reads.

use millstream_api::Diagnostic;
use millstream_api::diagnostic::Key;
use millstream_api::registry::InputKeys;
use schemars::schema_for;
use serde_json::Value as Json;

use super::InputDeclaration;
use crate::shape::{Reader, Schema, missing_key};
use crate::tree::{Table, Value};

const ONE: &str = "the name of the stream that it reads";
const MANY: &str = "the names of the streams that it reads, as a list";

/// The input keys of a node type.
pub(super) fn names(keys: InputKeys) -> &'static [&'static str] {
    match keys {
        InputKeys::None => &[],
        InputKeys::One => &["input"],
        InputKeys::Many => &["inputs"],
        InputKeys::Named(names) => names,
    }
}

/// The streams that a node reads, in order; none when there is a mistake.
pub(super) fn read(keys: InputKeys, table: &Table, reader: &mut Reader<'_>) -> Option<Vec<InputDeclaration>> {
    let about = if keys == InputKeys::Many { MANY } else { ONE };
    // Each key is read, also after one is wrong.
    let all: Vec<_> = names(keys).iter().map(|key| read_key(key, keys, about, table, reader)).collect();
    Some(all.into_iter().collect::<Option<Vec<_>>>()?.into_iter().flatten().collect())
}

fn read_key(key: &str, keys: InputKeys, about: &str, table: &Table, reader: &mut Reader<'_>) -> Option<Vec<InputDeclaration>> {
    let subject = reader.subject();
    let Some(field) = table.field(key) else {
        // The other key is there and gets a message of its own.
        if misplaced(keys, table).is_none() {
            reader.note(missing_key(&subject, key, Some(about)));
        }
        return None;
    };
    let schema = if keys == InputKeys::Many { schema_for!(Vec<String>) } else { schema_for!(String) };
    reader.path.push(Key::Name(key.to_owned()));
    let inputs = reader.read(Schema::root(&schema), &field.item).map(|json| named_streams(json, &reader.path));
    if inputs.as_ref().is_some_and(Vec::is_empty) {
        reader.note(Diagnostic::error("wrong-inputs", format!("{subject} reads no stream")).help("name one at least"));
    }
    reader.path.pop();
    inputs.filter(|inputs| !inputs.is_empty())
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

/// An input key that other types have, in place of those of this one, and what to write.
pub(super) fn misplaced(keys: InputKeys, table: &Table) -> Option<(&'static str, String)> {
    let own = names(keys);
    let misplaced = ["input", "inputs"].into_iter().find(|key| !own.contains(key) && table.field(key).is_some())?;
    let help = match keys {
        InputKeys::None => "a source reads no stream; leave it out".to_owned(),
        InputKeys::One => "it reads one stream: input = \"a\"".to_owned(),
        InputKeys::Many => "it reads a list of streams: inputs = [\"a\", \"b\"]".to_owned(),
        InputKeys::Named(own) => format!("it reads its streams by the keys {}", own.join(", ")),
    };
    Some((misplaced, help))
}

/// What a node with a mistake seems to read: so that nobody is told that nobody reads it.
pub(super) fn names_anywhere(table: &Table, node: &[Key]) -> Vec<InputDeclaration> {
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

//! The definitions of many schemas under one roof.
//!
//! Each option struct comes with its own `$defs`. Most are the same everywhere (`DurationText`) and are kept once; two types
//! may as well have a `Format` each, and then the later ones get the node's name before theirs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::document::closed;

/// All definitions so far.
#[derive(Default)]
pub struct Definitions {
    /// By their new names.
    finished: Map<String, Value>,
    /// What each was made of: the definition and all that it refers to. Equal ones are one.
    sources: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Definitions {
    /// Takes the definitions out of a root schema; what is left refers to them by their names here.
    pub fn take(&mut self, prefix: &str, mut root: Value) -> Value {
        let own = root.as_object_mut().and_then(|root| {
            // The names of structs mean nothing to users.
            root.remove("title");
            root.remove("$schema");
            root.remove("$defs")
        });
        let own = own.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
        let mut renamed = BTreeMap::new();
        let mut added = Vec::new();
        for name in own.keys() {
            let source = closure(name, &own);
            let free = [name.clone(), format!("{prefix}.{name}")]
                .into_iter()
                .find(|candidate| self.sources.get(candidate).is_none_or(|known| *known == source));
            let target = free.unwrap_or_else(|| format!("{prefix}.{name}.{}", self.sources.len()));
            if self.sources.insert(target.clone(), source).is_none() {
                added.push((target.clone(), name.clone()));
            }
            renamed.insert(name.clone(), target);
        }
        for (target, name) in added {
            let mut definition = own[&name].clone();
            // Structs of the options need not say that they take no other keys: `check` reads their schemas so.
            if definition.get("properties").is_some() && definition.get("additionalProperties").is_none() {
                definition = closed(definition);
            }
            rename(&mut definition, &renamed);
            self.finished.insert(target, definition);
        }
        rename(&mut root, &renamed);
        root
    }

    /// All of them, by name.
    pub fn finish(mut self) -> Value {
        self.finished.sort_keys();
        Value::Object(self.finished)
    }
}

/// A definition and all that it refers to, directly or not.
fn closure(name: &str, all: &Map<String, Value>) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let mut open = BTreeSet::from([name.to_owned()]);
    while let Some(name) = open.pop_first() {
        if let Some(definition) = all.get(&name).filter(|_| !found.contains_key(&name)) {
            references(definition, &mut |target| open.extend([target.to_owned()]));
            found.insert(name, definition.clone());
        }
    }
    found
}

const PREFIX: &str = "#/$defs/";

fn references(schema: &Value, found: &mut impl FnMut(&str)) {
    match schema {
        Value::Object(map) => {
            map.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix(PREFIX)).into_iter().for_each(&mut *found);
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

fn rename(schema: &mut Value, renamed: &BTreeMap<String, String>) {
    match schema {
        Value::Object(map) => {
            let target = map.get("$ref").and_then(Value::as_str).and_then(|path| renamed.get(path.strip_prefix(PREFIX)?));
            if let Some(target) = target {
                map.insert("$ref".to_owned(), Value::from(format!("{PREFIX}{target}")));
            }
            map.values_mut().for_each(|value| rename(value, renamed));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, renamed)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn root(format: &str) -> Value {
        json!({
            "properties": { "f": { "$ref": "#/$defs/Format" }, "d": { "$ref": "#/$defs/Duration" } },
            "$defs": { "Duration": { "type": "string" }, "Format": { "$ref": "#/$defs/Kind" }, "Kind": { "const": format } },
        })
    }

    #[test]
    fn equal_definitions_are_one_and_others_get_a_name_of_their_own() {
        let mut all = Definitions::default();
        assert_eq!(all.take("source.a", root("json"))["properties"]["f"]["$ref"], "#/$defs/Format");
        assert_eq!(all.take("source.b", root("json"))["properties"]["f"]["$ref"], "#/$defs/Format");
        // `Format` itself reads the same, but not what it refers to.
        let other = all.take("sink.c", root("table"));
        assert_eq!(other["properties"]["f"]["$ref"], "#/$defs/sink.c.Format");
        assert_eq!(other["properties"]["d"]["$ref"], "#/$defs/Duration");
        let finished = all.finish();
        assert_eq!(finished["sink.c.Format"]["$ref"], "#/$defs/sink.c.Kind");
        assert_eq!(
            finished.as_object().unwrap().keys().collect::<Vec<_>>(),
            ["Duration", "Format", "Kind", "sink.c.Format", "sink.c.Kind"]
        );
    }

    #[test]
    fn a_definition_may_refer_to_itself() {
        let mut all = Definitions::default();
        let tree = json!({ "$ref": "#/$defs/Tree", "$defs": { "Tree": { "items": { "$ref": "#/$defs/Tree" } } } });
        assert_eq!(all.take("a", tree.clone()), all.take("b", tree));
    }
}

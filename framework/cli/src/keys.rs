//! A JSON Schema as a list of keys: what `millstream operators TYPE` shows.
//!
//! The schema comes from the option structs, so what is shown here is what `check` accepts.

use serde_json::{Map, Value};

/// One key of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDoc {
    /// Its name; inside another table with the keys that lead there: `time.by`.
    pub name: String,
    /// What may stand there: `text`, `list of text`, `tumble | hop`.
    pub kind: String,
    /// Whether it must be there, or what holds without it.
    pub need: Need,
    /// Its doc comment.
    pub doc: String,
}

/// Whether a key must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// It must.
    Required,
    /// It need not.
    Optional,
    /// Without it this holds, as TOML.
    Default(String),
}

/// The keys of the table that a root schema describes, in the order of the struct. `hidden` are left out: keys that the
/// caller documents itself.
pub fn keys(root: &Value, hidden: &[&str]) -> Vec<KeyDoc> {
    let reader = Reader { root };
    let mut found = Vec::new();
    reader.table(root, "", &mut found);
    found.retain(|key| !hidden.contains(&key.name.as_str()));
    found
}

/// The doc comment of the struct behind a schema.
pub fn doc(schema: &Value) -> &str {
    schema.get("description").and_then(Value::as_str).unwrap_or_default()
}

/// How deep references and tables are followed: a schema that contains itself comes to an end.
const DEPTH: usize = 8;

struct Reader<'a> {
    root: &'a Value,
}

impl<'a> Reader<'a> {
    /// Adds the keys of one table, and after each key the keys of the table that may stand there.
    fn table(&self, schema: &'a Value, prefix: &str, found: &mut Vec<KeyDoc>) {
        if prefix.matches('.').count() >= DEPTH {
            return;
        }
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let path = format!("{prefix}{name}");
            found.push(KeyDoc {
                name: path.clone(),
                kind: self.kind(property, 0),
                need: self.need(property, required.contains(&name.as_str())),
                doc: self.key_doc(property),
            });
            for alternative in self.alternatives(property) {
                self.table(alternative, &format!("{path}."), found);
            }
        }
    }

    fn need(&self, property: &Value, required: bool) -> Need {
        match property.get("default") {
            None if required => Need::Required,
            None | Some(Value::Null) => Need::Optional,
            Some(value) => Need::Default(toml(value)),
        }
    }

    /// The key's own doc comment, else that of its type; and what the variants of an enum mean.
    fn key_doc(&self, property: &'a Value) -> String {
        let resolved = self.resolve(property);
        let own = if doc(property).is_empty() { doc(resolved) } else { doc(property) };
        let mut text = own.to_owned();
        for alternative in self.alternatives(property) {
            for variant in variants(alternative) {
                if let (Some(name), false) = (constant(variant), doc(variant).is_empty()) {
                    text.push_str(&format!("\n- {name}: {}", doc(variant)));
                }
            }
        }
        text
    }

    /// The schemas that a value may follow: one, or those of an `anyOf` without null.
    fn alternatives(&self, schema: &'a Value) -> Vec<&'a Value> {
        let resolved = self.resolve(schema);
        match resolved.get("anyOf").and_then(Value::as_array) {
            Some(any) => any.iter().map(|one| self.resolve(one)).filter(|one| one.get("type") != Some(&Value::from("null"))).collect(),
            None => vec![resolved],
        }
    }

    /// Follows `$ref`.
    fn resolve(&self, mut schema: &'a Value) -> &'a Value {
        for _ in 0..DEPTH {
            let target = schema.get("$ref").and_then(Value::as_str).and_then(|path| self.root.pointer(path.strip_prefix('#')?));
            match target {
                Some(target) => schema = target,
                None => break,
            }
        }
        schema
    }

    fn kind(&self, schema: &'a Value, depth: usize) -> String {
        if depth >= DEPTH {
            return "value".to_owned();
        }
        if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(named_text) {
            return name.to_owned();
        }
        if let Some(any) = schema.get("anyOf").and_then(Value::as_array) {
            let kinds: Vec<String> = any.iter().map(|one| self.kind(one, depth + 1)).filter(|kind| kind != "null").collect();
            return kinds.join(" or ");
        }
        let schema = self.resolve(schema);
        if let Some(names) = constants(schema) {
            return names;
        }
        match schema.get("type") {
            Some(Value::String(name)) => self.typed(name, schema, depth),
            Some(Value::Array(names)) => {
                let kinds: Vec<String> = names
                    .iter()
                    .filter_map(Value::as_str)
                    .filter(|name| *name != "null")
                    .map(|name| self.typed(name, schema, depth))
                    .collect();
                kinds.join(" or ")
            }
            _ if schema.get("anyOf").is_some() => self.kind(schema, depth + 1),
            _ if schema.get("oneOf").is_some() => {
                variants(schema).iter().map(|one| self.kind(one, depth + 1)).collect::<Vec<_>>().join(" or ")
            }
            _ => "value".to_owned(),
        }
    }

    /// A JSON type by the name that users of TOML know.
    fn typed(&self, name: &str, schema: &'a Value, depth: usize) -> String {
        match (name, schema.get("items"), schema.get("additionalProperties")) {
            ("array", Some(items), _) => format!("list of {}", self.kind(items, depth + 1)),
            ("array", None, _) => "list".to_owned(),
            ("object", _, Some(values @ Value::Object(_))) => format!("table of {}", self.kind(values, depth + 1)),
            ("object", ..) => "table".to_owned(),
            ("string", ..) => "text".to_owned(),
            ("boolean", ..) => "true | false".to_owned(),
            _ => name.to_owned(),
        }
    }
}

/// Texts with a form of their own, by the name of their type.
fn named_text(reference: &str) -> Option<&'static str> {
    match reference.rsplit('/').next() {
        Some("DurationText") => Some("duration"),
        Some("SizeText") => Some("size"),
        _ => None,
    }
}

fn variants(schema: &Value) -> &[Value] {
    schema.get("oneOf").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The one text that a variant stands for.
fn constant(variant: &Value) -> Option<&str> {
    let single = || match variant.get("enum").and_then(Value::as_array).map(Vec::as_slice) {
        Some([one]) => one.as_str(),
        _ => None,
    };
    variant.get("const").and_then(Value::as_str).or_else(single)
}

/// `a | b | c`, when the schema allows some texts only.
fn constants(schema: &Value) -> Option<String> {
    if let Some(names) = schema.get("enum").and_then(Value::as_array) {
        return Some(names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" | "));
    }
    if let Some(one) = constant(schema) {
        return Some(one.to_owned());
    }
    let mut names = Vec::new();
    for variant in variants(schema) {
        names.push(constants(variant)?);
    }
    (!names.is_empty()).then(|| names.join(" | "))
}

/// A value as it would be written in a topology file.
fn toml(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => table(fields),
        // JSON text is TOML text, but for some control characters that no default has.
        other => other.to_string(),
    }
}

fn table(fields: &Map<String, Value>) -> String {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name} = {}", toml(value))).collect();
    if fields.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", fields.join(", ")) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroUsize;

    use millstream_api::options::{OnBadRow, SourceCommon};
    use millstream_api::time::DurationText;
    use schemars::{JsonSchema, schema_for};
    use serde_json::Value;

    use super::*;

    /// A node for this test.
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Options {
        /// What to compute.
        compute: Vec<String>,
        /// How long it is.
        size: DurationText,
        /// When it may end.
        gap: Option<DurationText>,
        /// How many.
        #[schemars(default)]
        n: Option<NonZeroUsize>,
        /// What to do.
        #[schemars(default)]
        on_bad_row: OnBadRow,
        /// Types by column.
        schema: BTreeMap<String, String>,
        /// Where it goes.
        to: To,
    }

    /// The target.
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct To {
        /// The one key inside.
        path: Option<bool>,
    }

    fn shown(root: &Value) -> Vec<String> {
        keys(root, &[]).into_iter().map(|key| format!("{}: {}, {:?}", key.name, key.kind, key.need)).collect()
    }

    #[test]
    fn keys_are_listed_as_they_are_written() {
        let root = Value::from(schema_for!(Options));
        assert_eq!(doc(&root), "A node for this test.");
        assert_eq!(
            shown(&root),
            [
                "compute: list of text, Required",
                "size: duration, Required",
                "gap: duration, Optional",
                "n: integer, Optional",
                "on_bad_row: fail | skip | reject, Default(\"\\\"fail\\\"\")",
                "schema: table of text, Required",
                "to: table, Required",
                "to.path: true | false, Optional",
            ]
        );
    }

    #[test]
    fn variants_are_explained_and_keys_can_be_left_out() {
        let root = Value::from(schema_for!(Options));
        let keys = keys(&root, &["size"]);
        assert!(keys.iter().all(|key| key.name != "size"));
        let on_bad_row = keys.iter().find(|key| key.name == "on_bad_row").unwrap();
        assert!(on_bad_row.doc.starts_with("What to do.\n- fail: The run fails"), "{}", on_bad_row.doc);
    }

    #[test]
    fn the_keys_of_every_source_can_be_shown() {
        let shown = shown(&Value::from(schema_for!(SourceCommon)));
        assert!(shown.contains(&"time: table, Optional".to_owned()), "{shown:?}");
        assert!(shown.contains(&"time.by: text, Required".to_owned()), "{shown:?}");
        assert!(shown.contains(&"time.max_delay: duration, Default(\"\\\"0s\\\"\")".to_owned()), "{shown:?}");
    }

    #[test]
    fn a_schema_that_contains_itself_comes_to_an_end() {
        let root = serde_json::json!({
            "$ref": "#",
            "properties": { "a": { "$ref": "#/$defs/Loop" } },
            "$defs": { "Loop": { "$ref": "#/$defs/Loop" }, "Tree": { "properties": { "t": { "$ref": "#/$defs/Tree" } } } },
        });
        assert_eq!(shown(&root), ["a: value, Optional"]);
        let tree = serde_json::json!({ "properties": { "t": { "$ref": "#" } } });
        assert!(keys(&tree, &[]).len() <= DEPTH + 1);
    }
}

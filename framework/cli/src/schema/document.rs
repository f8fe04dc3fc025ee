//! The JSON Schema of a topology file.

use millstream_api::Registry;
use millstream_api::options::{OperatorCommon, SinkCommon, SourceCommon};
use millstream_api::registry::{InputKeys, NodeType, Role};
use millstream_topology::cases::TestKeys;
use millstream_topology::{CheckpointSettings, RuntimeSettings, ServerSettings};
use schemars::schema_for;
use serde_json::{Map, Value, json};

use super::definitions::Definitions;
use super::tidy::tidy;

/// How names of topologies and nodes look: no digit first, no two `_` in a row.
const NAME: &str = "^([A-Za-z]|_([A-Za-z0-9-]|$))(_?[A-Za-z0-9-])*_?$";

/// The schema of the whole file.
pub fn document(registry: &Registry) -> Value {
    let mut definitions = Definitions::default();
    let runtime = definitions.take("runtime", schema_for!(RuntimeSettings).to_value());
    let checkpoint = definitions.take("checkpoint", schema_for!(CheckpointSettings).to_value());
    let server = definitions.take("server", schema_for!(ServerSettings).to_value());
    let mut properties = Map::new();
    properties
        .insert("name".to_owned(), json!({ "type": "string", "pattern": NAME, "description": "Identifies state, views and metrics." }));
    properties.insert("runtime".to_owned(), closed(runtime));
    properties.insert("checkpoint".to_owned(), closed(checkpoint));
    properties.insert("server".to_owned(), closed(server));
    for role in &ROLES {
        let variants: Vec<Value> =
            registry.types().filter(|known| known.role == role.role).map(|known| node(known, role, &mut definitions)).collect();
        properties.insert(
            role.role.section().to_owned(),
            json!({
                "type": "object",
                "description": format!("The {}, by name.", role.role.section()),
                "propertyNames": { "pattern": NAME },
                "additionalProperties": { "oneOf": variants },
            }),
        );
    }
    let test = closed(definitions.take("test", schema_for!(TestKeys).to_value()));
    properties.insert("tests".to_owned(), json!({ "type": "array", "items": test, "description": "Tests, run by `millstream test`." }));
    let mut document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Millstream topology",
        "description": "A pipeline: sources, operators and sinks.",
        "type": "object",
        "properties": properties,
        "required": ["name"],
        "additionalProperties": false,
        "$defs": definitions.finish(),
    });
    tidy(&mut document);
    document
}

/// The three tables of nodes.
pub static ROLES: [RoleTable; 3] = [
    RoleTable { role: Role::Source, common: || schema_for!(SourceCommon).to_value() },
    RoleTable { role: Role::Operator, common: || schema_for!(OperatorCommon).to_value() },
    RoleTable { role: Role::Sink, common: || schema_for!(SinkCommon).to_value() },
];

/// A table of nodes.
pub struct RoleTable {
    /// What its nodes are.
    pub role: Role,
    /// The schema of the keys that all of them have.
    pub common: fn() -> Value,
}

/// One type of node: `type`, the keys of its inputs, its own keys, those of its role.
fn node(node_type: &NodeType, role: &RoleTable, definitions: &mut Definitions) -> Value {
    let prefix = format!("{}.{}", role.role.name(), node_type.kind);
    let own = definitions.take(&prefix, node_type.schema.as_value().clone());
    let common = definitions.take(role.role.name(), (role.common)());
    let mut properties = Map::new();
    properties.insert("type".to_owned(), json!({ "const": node_type.kind }));
    let mut required = vec![Value::from("type")];
    for (name, schema) in input_keys(node_type.inputs) {
        required.push(Value::from(name));
        properties.insert(name.to_owned(), schema);
    }
    required.extend(own.get("required").and_then(Value::as_array).into_iter().flatten().cloned());
    for part in [&own, &common] {
        for (name, schema) in part.get("properties").and_then(Value::as_object).into_iter().flatten() {
            // A type may have a word of its own to say on a key of its role.
            properties.entry(name.as_str()).or_insert_with(|| schema.clone());
        }
    }
    let mut variant = json!({ "title": node_type.kind, "type": "object", "properties": properties, "required": required });
    for key in ["description", "oneOf", "anyOf", "allOf"] {
        if let Some(value) = own.get(key) {
            variant[key] = value.clone();
        }
    }
    closed(variant)
}

fn input_keys(inputs: InputKeys) -> Vec<(&'static str, Value)> {
    let one = || json!({ "type": "string", "description": "The stream that it reads." });
    match inputs {
        InputKeys::None => Vec::new(),
        InputKeys::One => vec![("input", one())],
        InputKeys::Many => {
            let many =
                json!({ "type": "array", "items": { "type": "string" }, "minItems": 1, "description": "The streams that it reads." });
            vec![("inputs", many)]
        }
        InputKeys::Named(names) => names.iter().map(|name| (*name, one())).collect(),
    }
}

/// A table with these keys and no others, also where alternatives add some.
pub fn closed(mut table: Value) -> Value {
    let has_alternatives = ["oneOf", "anyOf", "allOf"].iter().any(|key| table.get(key).is_some());
    let key = if has_alternatives { "unevaluatedProperties" } else { "additionalProperties" };
    table[key] = Value::Bool(false);
    table
}

//! What checkpoints of version 0.1.0 and before have in the place of a [meaning](crate::meaning): one hash of the type, the options, the
//! physical columns and the properties of the inputs and the physical columns of the main output.
//!
//! It is stricter than need be, but for the form of rows, which such checkpoints have in the order in which columns flow: where that is not the
//! order of their names, state is not taken over.

use arrow::datatypes::Schema;
use millstream_api::registry::Role;
use millstream_api::types::SqlName;
use serde_json::Value as Json;
use xxhash_rust::xxh3::xxh3_64;

use crate::graph::{Input, Node, NodeOutput};

/// Options of any type that no state depends on.
pub(crate) const NEUTRAL: [&str; 8] = ["acknowledge", "allowed_lateness", "listen", "max_rows", "read", "retain", "state_ttl", "token"];

/// Gives every node its signature; `options` are those of each node, in the same order. Nodes without any are left alone.
pub(crate) fn sign(nodes: &mut [Node], options: &[Option<&Json>]) {
    let of_node = |(node, options): (&Node, &Option<&Json>)| {
        options.filter(|_| is_in_order(node, nodes)).map(|options| signature(node, nodes, options))
    };
    let signatures: Vec<Option<u64>> = nodes.iter().zip(options).map(of_node).collect();
    for (node, signature) in nodes.iter_mut().zip(signatures) {
        node.signature = signature;
    }
}

/// Whether the rows that a node keeps are all that flows in, in the order of their names.
fn is_in_order(node: &Node, nodes: &[Node]) -> bool {
    let Some(rows) = node.meaning.rows.as_ref().filter(|rows| !rows.is_empty()) else {
        return true;
    };
    let flows = |input: &Input| nodes[input.node].outputs[input.port].shape.schema.clone();
    let schemas: Vec<_> = node.inputs.iter().map(flows).collect();
    let columns: usize = schemas.iter().map(|schema| schema.fields().len()).sum();
    columns == rows.len() && schemas.iter().all(|schema| schema.fields().is_sorted_by_key(|field| field.name()))
}

fn signature(node: &Node, nodes: &[Node], options: &Json) -> u64 {
    let mut text = node.kind.clone();
    for (key, value) in sorted(options).filter(|(key, _)| !NEUTRAL.contains(key)) {
        text.push_str(&format!("\n{key}="));
        canonical(value, &mut text);
    }
    for input in &node.inputs {
        stream(&nodes[input.node].outputs[input.port], &mut text);
    }
    if let (Role::Operator, Some(main)) = (node.role, node.outputs.first()) {
        columns(&main.shape.schema, &mut text);
    }
    xxh3_64(text.as_bytes())
}

pub(crate) fn sorted(object: &Json) -> impl Iterator<Item = (&str, &Json)> {
    let mut keys: Vec<(&str, &Json)> = object.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value)).collect();
    keys.sort_by_key(|(key, _)| *key);
    keys.into_iter()
}

/// JSON with the keys of objects in order, so that moving a line of the file changes nothing.
pub(crate) fn canonical(value: &Json, text: &mut String) {
    match value {
        Json::Object(_) => {
            text.push('{');
            for (key, value) in sorted(value) {
                text.push_str(&format!("{key:?}:"));
                canonical(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Json::Array(items) => {
            text.push('[');
            for item in items {
                canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}

/// What flows into a node, and how the node has to take it.
fn stream(output: &NodeOutput, text: &mut String) {
    let (stream, shape) = (&output.stream, &output.shape);
    columns(&shape.schema, text);
    let windows = stream.windowed.as_ref().map_or_else(String::new, |windowed| windowed.windows.to_string());
    let flags = [stream.event_time, stream.updating, shape.origin, shape.explicit_windows];
    text.push_str(&format!("\n{flags:?} {windows}"));
}

fn columns(schema: &Schema, text: &mut String) {
    text.push('\n');
    for field in schema.fields() {
        let null = if field.is_nullable() { "" } else { " not null" };
        text.push_str(&format!("{:?} {}{null},", field.name(), SqlName(field.data_type())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_keys_does_not_matter_and_their_values_do() {
        let text = |json: &str| {
            let mut text = String::new();
            canonical(&serde_json::from_str(json).unwrap(), &mut text);
            text
        };
        assert_eq!(text(r#"{"a":[1,{"c":null,"b":"x"}],"d":true}"#), text(r#"{"d":true,"a":[1,{"b":"x","c":null}]}"#));
        assert_ne!(text(r#"{"a":[1,2]}"#), text(r#"{"a":[2,1]}"#));
        assert_ne!(text(r#"{"a":"1"}"#), text(r#"{"a":1}"#));
    }
}

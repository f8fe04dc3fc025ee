//! Whether state that a node has written means the same to the node of that name in another topology, or in this one changed.
//!
//! State is columns without a meaning of their own: which sums they are, the options say, and the columns that somebody needs of
//! the node, since others are not computed; which values they are of, the columns that the node reads; which windows, the stream that
//! it reads. So the signature is a hash of the type, the options, the physical columns and the properties of the inputs and the
//! physical columns of the main output, except for options that change what is done with state and not what it is. It is
//! stricter than need be, and never too loose.

use arrow::datatypes::Schema;
use millstream_api::registry::Role;
use millstream_api::types::SqlName;
use serde_json::Value as Json;
use xxhash_rust::xxh3::xxh3_64;

use crate::graph::{Node, NodeOutput};

/// Options of any type that no state depends on.
const NEUTRAL: [&str; 8] = ["acknowledge", "allowed_lateness", "listen", "max_rows", "read", "retain", "state_ttl", "token"];

/// Gives every node its signature; `options` are those of each node, in the same order. Nodes without any are left alone.
pub(crate) fn sign(nodes: &mut [Node], options: &[Option<&Json>]) {
    let signatures: Vec<Option<u64>> =
        nodes.iter().zip(options).map(|(node, options)| options.map(|options| signature(node, nodes, options))).collect();
    for (node, signature) in nodes.iter_mut().zip(signatures) {
        node.signature = signature.unwrap_or_default();
    }
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

fn sorted(object: &Json) -> impl Iterator<Item = (&str, &Json)> {
    let mut keys: Vec<(&str, &Json)> = object.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value)).collect();
    keys.sort_by_key(|(key, _)| *key);
    keys.into_iter()
}

/// JSON with the keys of objects in order, so that moving a line of the file changes nothing.
fn canonical(value: &Json, text: &mut String) {
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

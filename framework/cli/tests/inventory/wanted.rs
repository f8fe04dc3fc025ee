//! What there must be cases of, as the node types tell it of themselves: each type, each of its options, each value of an option that has a
//! fixed set of them, and forms of two nodes together. And what the cases have of that.

use std::collections::BTreeSet;

use millstream_api::registry::{NodeType, Role};
use serde_json::{Map, Value};

use crate::cases::Case;
use crate::in_place::shipped;
use crate::schema::json;

/// What is wanted of this role, each thing as `TYPE`, `TYPE.OPTION`, `TYPE.OPTION = VALUE`.
pub fn of_types(role: Role) -> BTreeSet<String> {
    shipped().types().filter(|node| node.role == role).flat_map(of_type).collect()
}

fn of_type(node: &NodeType) -> Vec<String> {
    let schema = node.schema.as_value();
    let mut wanted = vec![node.kind.to_owned()];
    for (option, about) in schema["properties"].as_object().into_iter().flatten() {
        wanted.push(format!("{}.{option}", node.kind));
        let mut values = BTreeSet::new();
        collect_values(schema, about, &mut values);
        wanted.extend(values.into_iter().map(|value| format!("{}.{option} = {value}", node.kind)));
    }
    wanted
}

/// The values of an option where they can be counted: words and truth values; a table as one of several forms is `{}`.
fn collect_values(root: &Value, about: &Value, values: &mut BTreeSet<String>) {
    if let Some(place) = about["$ref"].as_str() {
        collect_values(root, root.pointer(&place[1..]).unwrap(), values);
    }
    for several in ["oneOf", "anyOf"] {
        for form in about[several].as_array().into_iter().flatten() {
            collect_values(root, form, values);
            if form["type"] == "object" {
                values.insert("{}".to_owned());
            }
        }
    }
    values.extend(about["const"].as_str().map(str::to_owned));
    values.extend(about["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
    if types(about).any(|name| name == "boolean") {
        values.extend(["true", "false"].map(str::to_owned));
    }
}

fn types(about: &Value) -> impl Iterator<Item = &str> {
    let several = about["type"].as_array().into_iter().flatten().filter_map(Value::as_str);
    about["type"].as_str().into_iter().chain(several)
}

/// What a case has, under the same names.
pub fn had_by(text: &str, role: Role) -> BTreeSet<String> {
    let document = json(text);
    let table = match role {
        Role::Source => "sources",
        Role::Operator => "operators",
        Role::Sink => "sinks",
    };
    document[table].as_object().into_iter().flatten().flat_map(|(_, node)| had_by_node(node)).collect()
}

fn had_by_node(node: &Value) -> Vec<String> {
    let (Some(options), Some(kind)) = (node.as_object(), node["type"].as_str()) else { return Vec::new() };
    let mut had = vec![kind.to_owned()];
    for (option, value) in options {
        had.push(format!("{kind}.{option}"));
        had.extend(shown(value).map(|value| format!("{kind}.{option} = {value}")));
    }
    had
}

/// A value as it is named in what is wanted.
fn shown(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(is) => Some(is.to_string()),
        Value::Object(_) => Some("{}".to_owned()),
        _ => None,
    }
}

/// Joins by mode and kind, and readers of windows by the kind of these and by when they send.
pub fn forms(cases: &[Case]) -> BTreeSet<String> {
    let mut had = BTreeSet::new();
    for case in cases {
        let document = json(&case.text);
        let operators = document["operators"].as_object().unwrap();
        for node in operators.values() {
            match node["type"].as_str() {
                Some("join") => drop(had.insert(form_of_join(word(node, "mode"), word(node, "kind")))),
                Some(reader @ ("aggregate" | "top_n")) => {
                    had.extend(window_of(operators, node).map(|kind| form_of_reader(reader, kind, &emit(node))));
                }
                _ => {}
            }
        }
    }
    had
}

pub fn form_of_join(mode: &str, kind: &str) -> String {
    format!("join, mode {mode}, kind {kind}")
}

pub fn form_of_reader(reader: &str, kind: &str, emit: &str) -> String {
    format!("{reader} over window {kind}, emit {emit}")
}

/// When an aggregate sends; over windows, when they close, if it does not say.
fn emit(node: &Value) -> String {
    shown(&node["emit"]).unwrap_or_else(|| "close".to_owned())
}

/// The kind of the windows that a node reads, directly.
fn window_of<'a>(operators: &'a Map<String, Value>, node: &Value) -> Option<&'a str> {
    let input = operators.get(node["input"].as_str()?)?;
    (input["type"] == "window" && node["windowed"] != false).then(|| word(input, "kind"))
}

fn word<'a>(node: &'a Value, key: &str) -> &'a str {
    node[key].as_str().unwrap_or_default()
}

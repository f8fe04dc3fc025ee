//! From what schemars says of a struct to what a topology file may say.
//!
//! There is no null in a file: a key that may be absent is simply not required. And wherever a file may have a number, a
//! list or a word of a list, it may have `"${NAME}"` as well, which takes the key's type when it is replaced.

use serde_json::{Map, Value, json};

/// What a text with a variable in it looks like.
const VARIABLE: &str = r"\$\{";

/// Tidies a whole document.
pub fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            drop_null(map);
            map.values_mut().for_each(tidy);
            // Formats such as `uint` are no formats of JSON Schema; some editors warn of each.
            if map.get("format").is_some_and(Value::is_string) {
                map.remove("format");
            }
            allow_variable(map);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

fn drop_null(map: &mut Map<String, Value>) {
    if map.get("default").is_some_and(Value::is_null) {
        map.remove("default");
    }
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|name| name != "null");
        if let [one] = &types[..] {
            let one = one.clone();
            map.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(words)) = map.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    let Some(Value::Array(members)) = map.get_mut("anyOf") else { return };
    members.retain(|member| member.get("type") != Some(&Value::from("null")));
    if let [Value::Object(one)] = &members[..] {
        let one = one.clone();
        map.remove("anyOf");
        map.extend(one);
    }
}

/// Whatever is not a free text may be a text with a variable in it. Nodes and tables of nodes may not, and neither may what
/// tells types of nodes apart.
fn allow_variable(map: &mut Map<String, Value>) {
    let scalar = |name: &Value| ["integer", "number", "boolean", "array"].iter().any(|scalar| name == scalar);
    match map.get("type") {
        Some(name) if scalar(name) => {
            let name = name.clone();
            map.insert("type".to_owned(), json!([name, "string"]));
            map.insert("pattern".to_owned(), Value::from(VARIABLE));
        }
        // Durations, sizes and names have a form of their own.
        Some(name) if name == "string" => {
            if let Some(Value::String(pattern)) = map.get_mut("pattern").filter(|pattern| *pattern != VARIABLE) {
                *pattern = format!("{pattern}|{VARIABLE}");
            } else if let Some(words) = map.get("enum").cloned() {
                map.remove("type");
                map.remove("enum");
                map.insert("anyOf".to_owned(), json!([{ "type": "string", "enum": words }, { "type": "string", "pattern": VARIABLE }]));
            }
        }
        _ => {}
    }
    let is_word = |member: &Value| member.get("const").is_some_and(Value::is_string) && member.get("properties").is_none();
    if let Some(Value::Array(members)) = map.get_mut("oneOf").filter(|of| of.as_array().is_some_and(|all| all.iter().all(is_word))) {
        members.push(json!({ "type": "string", "pattern": VARIABLE }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_absent_is_not_null_and_what_is_typed_may_be_a_variable() {
        let mut schema = json!({
            "n": { "type": ["integer", "null"], "format": "uint", "minimum": 1, "default": null },
            "d": { "anyOf": [{ "$ref": "#/$defs/Duration" }, { "type": "null" }], "description": "How long." },
            "w": { "oneOf": [{ "type": "string", "const": "a" }, { "type": "string", "const": "b" }] },
            "t": { "type": "string" },
            "properties": { "format": { "type": "string" } },
        });
        tidy(&mut schema);
        assert_eq!(
            schema,
            json!({
                "n": { "type": ["integer", "string"], "minimum": 1, "pattern": VARIABLE },
                "d": { "$ref": "#/$defs/Duration", "description": "How long." },
                "w": { "oneOf": [
                    { "type": "string", "const": "a" }, { "type": "string", "const": "b" },
                    { "type": "string", "pattern": VARIABLE },
                ] },
                "t": { "type": "string" },
                "properties": { "format": { "type": "string" } },
            })
        );
    }
}

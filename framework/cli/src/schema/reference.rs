//! `config/reference.toml`: every key of every type as a line of TOML, with its meaning and its default.
//!
//! Keys are commented out as `#key = value`, what is said of them as `# words`: taking the first `#` away from a line gives
//! a setting. Values of required keys are only there to show their form.

use millstream_api::Registry;
use millstream_api::registry::NodeType;
use millstream_topology::{CheckpointSettings, RuntimeSettings, ServerSettings};
use schemars::schema_for;
use serde_json::Value;

use super::document::{ROLES, RoleTable};
use crate::keys::{KeyDoc, Need, doc, keys};
use crate::operators::input_keys;
use crate::prose::{headline, wrapped};

const HEAD: &str = "\
# Every key of a topology file, with its default.
#
# Generated from the options of each node type (`millstream schema --format toml`). A line that begins with `#` and a letter or a
# bracket is a setting; where a key is required its value only shows the form. `millstream operators TYPE` says more of a type.

# Identifies state, views and metrics.
name = \"reference\"
";

/// The whole file.
pub fn reference(registry: &Registry) -> String {
    let mut text = HEAD.to_owned();
    table(&mut text, "runtime", &keys(&schema_for!(RuntimeSettings).to_value(), &[]), &schema_for!(RuntimeSettings).to_value());
    table(&mut text, "checkpoint", &keys(&schema_for!(CheckpointSettings).to_value(), &[]), &schema_for!(CheckpointSettings).to_value());
    table(&mut text, "server", &keys(&schema_for!(ServerSettings).to_value(), &[]), &schema_for!(ServerSettings).to_value());
    for role in &ROLES {
        title(&mut text, role.role.section());
        let common = keys(&(role.common)(), &[]);
        text.push_str(&format!("# Keys of every {}.\n#[{}.NAME]\n", role.role.name(), role.role.section()));
        for key in &common {
            line(&mut text, key);
        }
        for node_type in registry.types().filter(|node_type| node_type.role == role.role) {
            node(&mut text, role, node_type);
        }
    }
    text
}

fn title(text: &mut String, title: &str) {
    text.push_str(&format!("\n# ---- {title} {}\n\n", "-".repeat(90_usize.saturating_sub(title.len()))));
}

fn table(text: &mut String, name: &str, keys: &[KeyDoc], schema: &Value) {
    text.push('\n');
    comment(text, doc(schema));
    text.push_str(&format!("#[{name}]\n"));
    for key in keys {
        line(text, key);
    }
}

fn node(text: &mut String, role: &RoleTable, node_type: &NodeType) {
    text.push('\n');
    let schema = node_type.schema.as_value();
    comment(text, &headline(doc(schema)));
    text.push_str(&format!("#[{}.NAME]\n#type = \"{}\"\n", role.role.section(), node_type.kind));
    for key in input_keys(node_type.inputs).iter().chain(&keys(schema, &[])) {
        line(text, key);
    }
}

/// A key with its meaning above it.
fn line(text: &mut String, key: &KeyDoc) {
    comment(text, &key.doc);
    let (value, remark) = match &key.need {
        Need::Default(value) => (value.clone(), String::new()),
        Need::Required => (form(&key.kind), format!("  # {}, required", key.kind)),
        Need::Optional => (form(&key.kind), format!("  # {}, optional", key.kind)),
    };
    // The keys of a table stand for themselves below it.
    if key.kind != "table" {
        text.push_str(&format!("#{} = {value}{remark}\n", key.name));
    }
}

/// A value that shows the form of a kind.
fn form(kind: &str) -> String {
    let first = kind.split(" or ").next().unwrap_or_default();
    match first {
        "true | false" => "false".to_owned(),
        "integer" | "number" => "1".to_owned(),
        "duration" => "\"10s\"".to_owned(),
        "size" => "\"64MiB\"".to_owned(),
        "text" | "stream" | "streams" | "value" => "\"…\"".to_owned(),
        _ if first.starts_with("list of ") => format!("[{}]", form(first.strip_prefix("list of ").unwrap_or_default())),
        "list" => "[\"…\"]".to_owned(),
        _ if first.starts_with("table") => "{}".to_owned(),
        words => format!("\"{}\"", words.split(" | ").next().unwrap_or_default()),
    }
}

fn comment(text: &mut String, words: &str) {
    for line in wrapped(words, 0).lines() {
        text.push_str(format!("# {line}").trim_end());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_show_their_form() {
        for (kind, value) in [
            ("text", "\"…\""),
            ("list of text", "[\"…\"]"),
            ("tumble | hop", "\"tumble\""),
            ("close | change or table", "\"close\""),
            ("table of text", "{}"),
            ("duration", "\"10s\""),
            ("list of streams", "[\"…\"]"),
        ] {
            assert_eq!(form(kind), value, "{kind}");
        }
    }
}

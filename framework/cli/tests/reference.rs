//! What is generated from the option structs is what the command prints: `docs/operators.md` and the files of `config`.
//! `UPDATE_EXPECT=1` writes them anew.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod schema;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn millstream(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_millstream")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn generated_files_are_up_to_date() {
    let flights = repository().join("examples/flights/topology.toml").display().to_string();
    let files: [(&str, &[&str]); 4] = [
        ("docs/graph.svg", &["graph", &flights, "--set", "runtime.workers=2", "--format", "svg"]),
        ("docs/operators.md", &["operators", "--format", "markdown"]),
        ("config/topology.schema.json", &["schema"]),
        ("config/reference.toml", &["schema", "--format", "toml"]),
    ];
    let mut stale = Vec::new();
    for (file, arguments) in files {
        let (path, text) = (repository().join(file), millstream(arguments));
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        if std::fs::read_to_string(&path).unwrap_or_default() != text {
            stale.push(file);
        }
    }
    assert!(stale.is_empty(), "out of date: {}; run this test with UPDATE_EXPECT=1", stale.join(", "));
}

/// All `$ref`s of a schema.
fn references<'a>(schema: &'a Value, found: &mut BTreeSet<&'a str>) {
    match schema {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str));
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn the_schema_knows_every_type_and_key_and_refers_to_nothing_that_is_not_there() {
    let schema: Value = serde_json::from_str(&millstream(&["schema"])).unwrap();
    let mut found = BTreeSet::new();
    references(&schema, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        assert!(schema.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference} leads nowhere");
    }
    let operators = schema["properties"]["operators"]["additionalProperties"]["oneOf"].as_array().unwrap();
    let window = operators.iter().find(|variant| variant["properties"]["type"]["const"] == "window").unwrap();
    for key in ["input", "kind", "size", "slide", "offset", "on_bad_row", "parallelism"] {
        assert!(window["properties"].get(key).is_some(), "window lacks {key}");
    }
    let required: Vec<&str> = window["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(required, ["type", "input", "kind"]);
    assert_eq!(schema["properties"]["runtime"]["properties"]["workers"].get("default"), None, "the cores of one machine are no default");
}

/// Settings that are there to be uncommented must be TOML then.
#[test]
fn the_reference_is_toml_when_its_comments_are_taken_away() {
    let reference = millstream(&["schema", "--format", "toml"]);
    let mut number = 0;
    let setting = |line: &str| {
        let rest = line.strip_prefix('#').filter(|rest| rest.starts_with(|first: char| first == '[' || first.is_ascii_lowercase()));
        // Each table of a node has a name of its own.
        rest.map(|rest| {
            number += 1;
            rest.replace("NAME]", &format!("n{number}]"))
        })
    };
    let settings: Vec<String> = reference.lines().filter_map(setting).collect();
    assert!(settings.len() > 50, "too few settings:\n{}", settings.join("\n"));
    settings.join("\n").parse::<toml_edit::DocumentMut>().unwrap_or_else(|error| panic!("{error}"));
    reference.parse::<toml_edit::DocumentMut>().unwrap();
}

/// The topologies of the repository that `check` takes.
fn topologies() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["examples", "framework/cli/tests/conformance/cases"] {
        for entry in std::fs::read_dir(repository().join(folder)).unwrap() {
            found.extend(Some(entry.unwrap().path().join("topology.toml")).filter(|path| path.exists()));
        }
    }
    // An example with operators of its own is described by its own binary.
    found.retain(|path| !path.parent().unwrap().join("Cargo.toml").exists());
    found
}

#[test]
fn the_schema_takes_every_topology_that_runs() {
    let schema: Value = serde_json::from_str(&millstream(&["schema"])).unwrap();
    let topologies = topologies();
    assert!(topologies.len() > 15, "{topologies:?}");
    for path in topologies {
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(schema::complaint(&schema, &schema, &schema::json(&text), ""), None, "{}", path.display());
    }
}

#[test]
fn the_schema_refuses_what_check_refuses_of_shape() {
    let schema: Value = serde_json::from_str(&millstream(&["schema"])).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    for name in ["unknown-key", "missing-key", "wrong-type", "unknown-type", "wrong-inputs"] {
        let text = std::fs::read_to_string(folder.join(name).with_extension("toml")).unwrap();
        assert!(schema::complaint(&schema, &schema, &schema::json(&text), "").is_some(), "{name}.toml");
    }
}

#[test]
fn a_variable_may_stand_for_any_value() {
    let schema: Value = serde_json::from_str(&millstream(&["schema"])).unwrap();
    let topology = |workers: &str| {
        format!(
            "name = \"n\"\n[runtime]\nworkers = {workers}\n[sources.s]\ntype = \"file\"\npath = \"${{IN}}\"\nformat = \"${{FORMAT:-json}}\"\n"
        )
    };
    let complaint = |text: &str| schema::complaint(&schema, &schema, &schema::json(text), "");
    assert_eq!(complaint(&topology("\"${WORKERS:-4}\"")), None);
    assert!(complaint(&topology("\"four\"")).unwrap().starts_with(".runtime.workers: "));
}

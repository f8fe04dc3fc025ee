//! What `check` found, as one JSON document for editors and other programs.

use millstream_api::diagnostic::{Key, Severity};
use millstream_topology::{Entry, Position, Report};
use serde_json::{Value, json};

/// ```json
/// {
///   "errors": 1,
///   "warnings": 0,
///   "found": [
///     {
///       "severity": "error", "code": "unknown-stream",
///       "file": "hourly.toml", "line": 31, "column": 10, "end": 16, "given_by": null, "key": "operators.delays.input",
///       "message": "`delays` reads `hourli`, which is not defined", "help": "did you mean `hourly`? …"
///     }
///   ]
/// }
/// ```
///
/// Lines and columns count from 1, columns in characters; `end` is the column behind the last character that is meant. They
/// are null for a mistake of the file as a whole, and for one in a variable or argument, which `given_by` then names.
pub fn json(report: &Report) -> String {
    let found: Vec<Value> = report.entries().iter().map(entry).collect();
    let document = json!({ "errors": report.errors(), "warnings": report.warnings(), "found": found });
    format!("{document:#}\n")
}

fn entry(entry: &Entry) -> Value {
    let severity = match entry.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let (file, place, given_by) = match &entry.position {
        Position::File { file, line, column, width, .. } => (Some(file), Some((line, *column, column + width)), None),
        Position::Layer(name) => (None, None, Some(name)),
        Position::Whole(file) => (Some(file), None, None),
    };
    json!({
        "severity": severity,
        "code": entry.code,
        "file": file,
        "line": place.map(|(line, ..)| line),
        "column": place.map(|(_, column, _)| column),
        "end": place.map(|(.., end)| end),
        "given_by": given_by,
        "key": key_path(&entry.path),
        "message": entry.message,
        "help": entry.help,
    })
}

/// `operators.delays.compute[1]`; null for the root of the file.
fn key_path(path: &[Key]) -> Option<String> {
    let mut text = String::new();
    for key in path {
        match key {
            Key::Name(name) if text.is_empty() => text.push_str(name),
            Key::Name(name) => text.extend([".", name]),
            Key::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    (!text.is_empty()).then_some(text)
}

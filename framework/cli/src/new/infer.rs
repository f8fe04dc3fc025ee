//! `millstream new --from FILE`: a topology that reads a file, with the schema that its rows seem to have written out.
//!
//! The source `file` infers the schema itself; here it is only asked for it, and what it says becomes text.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use millstream_api::Registry;
use millstream_api::diagnostic::Severity;
use millstream_api::registry::Role;
use millstream_api::types::{sql_type, timestamp_type};
use millstream_operators::file_source::IN_SCHEMA;
use millstream_topology::{Outcome, is_name, load_text};

use super::Stop;

/// What to do about a file without rows.
const ONE_ROW: &str = "name a file with at least one row";

/// What was made of a file.
pub(super) struct Written {
    pub topology: String,
    /// What the user should know of it.
    pub notes: Vec<String>,
}

/// A topology that reads `file`, to be written into `folder`.
pub(super) fn topology(file: &Path, folder: &Path, name: &str, registry: &Registry) -> Result<Written, Stop> {
    let options = format_of(file)?;
    let source = source_name(file);
    let absolute = std::path::absolute(file).map_err(|cause| Stop::failed("find", file, &cause))?;
    let asked = format!("name = \"asked\"\n\n{}", source_table(&source, &absolute, options));
    let outcome = load_text("topology.toml", &asked, Path::new("."), &BTreeMap::new(), &[], registry);
    let notes = notes(&outcome, &source, file)?;
    let columns = columns(&outcome, &source);
    let renamed = renamed(&outcome);
    if columns.is_empty() {
        return Err(Stop::wrong(format!("{} has no rows from which columns could be told", file.display()), ONE_ROW));
    }
    // Quoted, since a file's name may have a line end in it.
    let whose = if options.contains("parquet") { "its own" } else { "those of its first 1,000 rows" };
    let head = format!("# Reads {}. Its columns and types are {whose}.\n", quoted(&file.to_string_lossy()));
    let table = source_table(&source, &path_from(folder, file)?, options);
    let topology =
        format!("{head}name = {}\n\n{table}{}{}{}", quoted(name), time(&columns), schema(&source, &columns, &renamed), sink(&source));
    Ok(Written { topology, notes })
}

/// A folder for a file: `departures` for `data/departures.ndjson`.
pub(super) fn name_for(file: &Path) -> String {
    source_name(file)
}

/// A column: its name, its type as text, whether it is a timestamp.
struct Column {
    name: String,
    sql_type: String,
    is_timestamp: bool,
}

/// The keys that say how the file is written: by its ending, else by its first character.
fn format_of(file: &Path) -> Result<&'static str, Stop> {
    let mut start = Vec::new();
    let read = std::fs::File::open(file).and_then(|file| file.take(4096).read_to_end(&mut start));
    read.map_err(|cause| Stop::wrong(format!("{} cannot be read: {cause}", file.display()), "name a file of JSON lines, CSV or Parquet"))?;
    let (unpacked, is_packed) = unpacked(file);
    let extension = unpacked.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_ascii_lowercase();
    let first = start.iter().find(|byte| !byte.is_ascii_whitespace());
    // The last character may be cut in two.
    let is_text =
        !is_packed && !start.contains(&0) && std::str::from_utf8(&start).map_or_else(|error| error.error_len().is_none(), |_| true);
    match (extension.as_str(), first) {
        ("json" | "ndjson" | "jsonl", _) => Ok("format = \"json\"\n"),
        ("csv", _) => Ok("format = \"csv\"\n"),
        ("parquet", _) => Ok("format = \"parquet\"\n"),
        ("tsv", _) => Ok("format = \"csv\"\ndelimiter = \"\\t\"\n"),
        (_, Some(b'{')) if is_text => Ok("format = \"json\"\n"),
        (_, Some(_)) if is_text => Ok("format = \"csv\"\n"),
        _ => {
            let message = format!("{} is neither JSON lines nor CSV nor Parquet", file.display());
            Err(Stop::wrong(message, "name a file whose name ends in .ndjson, .csv or .parquet, or one of these packed: .csv.gz, .csv.zst"))
        }
    }
}

/// The name of a file without the ending that says how it is packed, and whether it has one.
fn unpacked(file: &Path) -> (PathBuf, bool) {
    let extension = file.extension().map(|extension| extension.to_ascii_lowercase());
    match extension.as_ref().and_then(|extension| extension.to_str()) {
        Some("gz" | "zst" | "zstd") => (file.with_extension(""), true),
        _ => (file.to_owned(), false),
    }
}

/// A name of a stream that is as near to the file's as names allow.
fn source_name(file: &Path) -> String {
    let file = unpacked(file).0;
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let mut name = String::new();
    for letter in stem.chars() {
        let kept = if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
        if !(kept == '_' && name.ends_with('_')) {
            name.push(kept);
        }
    }
    if is_name(&name) { name } else { format!("rows_{}", name.trim_start_matches('_')).trim_end_matches('_').to_owned() }
}

fn source_table(name: &str, path: &Path, options: &str) -> String {
    // A `${` in a name is no variable.
    let path = quoted(&path.to_string_lossy().replace("${", "$${"));
    format!("[sources.{name}]\ntype = \"file\"\npath = {path}\n{options}")
}

/// What was found beside the schema. Of the topology that was only asked with, mistakes are the file's.
fn notes(outcome: &Outcome, source: &str, file: &Path) -> Result<Vec<String>, Stop> {
    let mut notes = Vec::new();
    for entry in outcome.report.entries() {
        match entry.severity {
            Severity::Error => {
                let message = format!("{}: {}", file.display(), entry.message);
                // The source's own help is to declare columns, but there is no topology yet to do that in.
                let has_no_rows = entry.code == "empty-schema" && entry.message.contains("no rows");
                let help = entry.help.as_deref().filter(|_| !has_no_rows);
                let otherwise = if has_no_rows { ONE_ROW } else { "name a file of JSON lines, CSV or Parquet" };
                return Err(Stop::wrong(message, help.unwrap_or(otherwise)));
            }
            // Nothing reads it yet.
            Severity::Warning if entry.code == "unread-stream" => {}
            Severity::Warning => notes.push(format!("{source}: {}", entry.message)),
        }
    }
    Ok(notes)
}

fn columns(outcome: &Outcome, source: &str) -> Vec<Column> {
    let nodes = outcome.topology.iter().flat_map(|topology| &topology.nodes);
    let mut outputs = nodes.filter(|node| node.role == Role::Source).flat_map(|node| &node.outputs);
    let Some(output) = outputs.find(|output| output.name == source) else { return Vec::new() };
    let fields = output.stream.schema.fields().iter();
    fields
        .map(|field| Column {
            name: field.name().clone(),
            sql_type: format!("{}{}", sql_type(field), if field.is_nullable() { "" } else { " not null" }),
            is_timestamp: *field.data_type() == timestamp_type(),
        })
        .collect()
}

/// Where the file is, seen from the folder.
fn path_from(folder: &Path, file: &Path) -> Result<PathBuf, Stop> {
    let plain = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if file.is_relative() && plain(folder) {
        let up = folder.components().filter(|part| matches!(part, Component::Normal(_))).map(|_| Component::ParentDir);
        return Ok(up.chain(file.components().filter(|part| *part != Component::CurDir)).collect());
    }
    std::path::absolute(file).map_err(|cause| Stop::failed("find", file, &cause))
}

/// Event time is a matter of choice; the first timestamp is a good guess.
fn time(columns: &[Column]) -> String {
    match columns.iter().find(|column| column.is_timestamp) {
        Some(column) => {
            let by = if is_name(&column.name) && !column.name.contains('-') { column.name.clone() } else { format!("\"{}\"", column.name) };
            format!(
                "# Event time: when a row happened. `max_delay` is how far behind the latest row one may be without being late.\n\
                 time = {{ by = {}, max_delay = \"0s\" }}\n",
                quoted(&by)
            )
        }
        None => "# No column is a timestamp; windows need one: time = { by = \"…\" }\n".to_owned(),
    }
}

/// The columns that the file calls otherwise, with what a schema says of them.
fn renamed(outcome: &Outcome) -> BTreeMap<&str, &str> {
    let entries = outcome.report.entries().iter().filter(|entry| entry.code == "renamed-column");
    entries.filter_map(|entry| entry.help.as_deref()?.strip_prefix(IN_SCHEMA)?.split_once(" = ")).collect()
}

fn schema(source: &str, columns: &[Column], renamed: &BTreeMap<&str, &str>) -> String {
    let width = columns.iter().map(|column| column.name.chars().count()).max().unwrap_or_default();
    let line = |Column { name, sql_type, .. }: &Column| match renamed.get(name.as_str()) {
        Some(text) => format!("{name:width$} = {text}\n"),
        None => format!("{name:width$} = {}\n", quoted(sql_type)),
    };
    format!("\n[sources.{source}.schema]\n{}", columns.iter().map(line).collect::<String>())
}

fn sink(source: &str) -> String {
    let name = if source == "screen" { "table" } else { "screen" };
    format!("\n[sinks.{name}]\ntype = \"stdout\"\ninput = {}\nformat = \"table\"\n", quoted(source))
}

/// A text as TOML has it. JSON escapes are TOML escapes, and DEL is the one character that only TOML escapes.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_a_name_that_a_node_can_have() {
        for (file, name) in [
            ("data/departures.ndjson", "departures"),
            ("my file (2).csv", "my_file_2_"),
            ("in/bids.json.gz", "bids"),
            ("2013.csv", "rows_2013"),
            ("äöü.csv", "_"),
            ("__x__y.csv", "_x_y"),
            ("-.csv", "rows_-"),
            ("late-rows.json", "late-rows"),
        ] {
            assert_eq!(source_name(Path::new(file)), name);
            assert!(is_name(name), "{name}");
        }
    }

    #[test]
    fn the_file_is_found_from_the_folder() {
        let found = |folder: &str, file: &str| path_from(Path::new(folder), Path::new(file)).map_err(|stop| stop.0.message).unwrap();
        assert_eq!(found("x", "data/a.csv"), Path::new("../data/a.csv"));
        assert_eq!(found("./x/y", "./a.csv"), Path::new("../../a.csv"));
        assert_eq!(found("x", "/data/a.csv"), Path::new("/data/a.csv"));
        assert!(found("../x", "a.csv").is_absolute());
    }
}

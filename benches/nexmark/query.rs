//! The queries, and the topology of one with other sources and another sink.
//!
//! They are those of `config/nexmark`, which are checked against another engine, and two parts of q5.

use std::fmt::Write;
use std::path::Path;

use millstream_api::types::SqlName;
use millstream_operators::nexmark::generate::Kind;

use crate::arguments::Mode;
use crate::input;

macro_rules! shipped {
    ($($name:literal),*) => { &[$(($name, include_str!(concat!("../../config/nexmark/", $name, ".toml")))),*] };
}

/// What ships: each query and its topology.
const SHIPPED: &[(&str, &str)] = shipped!(
    "q0", "q1", "q2", "q3", "q4", "q5", "q7", "q8", "q9", "q10", "q11", "q13", "q14", "q15", "q16", "q17", "q18", "q19", "q20", "q21",
    "q22"
);

/// Parts of queries.
const PARTS: &[(&str, &str)] = &[("q5_counts", include_str!("queries/q5_counts.toml")), ("counts", include_str!("queries/counts.toml"))];

/// A query.
#[derive(Clone, Copy)]
pub struct Query {
    /// `q5`.
    pub name: &'static str,
    text: &'static str,
}

impl Query {
    /// All of them, in the order of the benchmark.
    pub fn all() -> impl Iterator<Item = Query> {
        SHIPPED.iter().chain(PARTS).map(|(name, text)| Query { name, text })
    }

    /// The query of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<Query, String> {
        let names = || Query::all().map(|query| query.name).collect::<Vec<_>>().join(", ");
        Query::all().find(|query| query.name == name).ok_or_else(|| format!("there is no query `{name}`; there are {}", names()))
    }

    /// The types of events that it reads.
    pub fn kinds(self) -> Vec<Kind> {
        Kind::ALL.into_iter().filter(|kind| self.text.contains(&stream(*kind))).collect()
    }

    /// The topology, with events from memory or from files in `data`, and everything into `discard`, or as JSON lines into a file.
    ///
    /// # Errors
    /// When the path of the files cannot be told.
    pub fn topology(self, mode: Mode, events: u64, data: &Path, result: Option<&Path>) -> Result<String, String> {
        let mut text = String::new();
        match mode {
            Mode::Memory | Mode::Live => text.push_str("[sources.nexmark]\ntype = \"memory\"\ntime = { by = \"date_time\" }\n\n"),
            Mode::Made => {
                let _ = writeln!(text, "[sources.nexmark]\ntype = \"nexmark\"\nevents = {events}\ntime = {{ by = \"date_time\" }}\n");
            }
            Mode::Ndjson => self.kinds().into_iter().try_for_each(|kind| {
                let columns = columns(kind).map(|(name, type_name)| format!("{name} = \"{type_name} not null\""));
                file_source(&mut text, kind.name(), &input::path(data, kind, events), &columns.collect::<Vec<_>>())
            })?,
            Mode::Merged => {
                file_source(&mut text, "events", &input::merged_path(data, events), &merged_columns())?;
                self.kinds().into_iter().for_each(|kind| part_of_merged(&mut text, kind));
            }
        }
        // Tables other than that of the events are the query's own.
        let is_table = |part: &&str| part.lines().any(|line| line.starts_with('['));
        let rest = self.text.split("\n\n").filter(is_table).filter(|part| !part.contains("[sources.nexmark]"));
        let sink = rest.clone().find(|part| part.starts_with("[sinks."));
        for part in rest.filter(|part| !part.starts_with("[sinks.")) {
            let part = match mode {
                Mode::Memory | Mode::Live | Mode::Made => part.to_owned(),
                // From files a type is one stream, under the name that the query knows it by.
                Mode::Ndjson | Mode::Merged => {
                    Kind::ALL.iter().fold(part.to_owned(), |part, kind| part.replace(&stream(*kind), &format!("\"{}\"", kind.name())))
                }
            };
            let _ = writeln!(text, "{part}\n");
        }
        let input = sink.and_then(|sink| sink.lines().find(|line| line.starts_with("input"))).unwrap_or_default();
        let _ = match result {
            None => writeln!(text, "[sinks.out]\ntype = \"discard\"\n{input}"),
            Some(path) => writeln!(text, "[sinks.out]\ntype = \"file\"\nformat = \"json\"\npath = \"{}\"\n{input}", absolute(path)?),
        };
        Ok(text)
    }
}

/// How queries name the stream of a type.
fn stream(kind: Kind) -> String {
    format!("\"nexmark.{}\"", kind.name())
}

fn absolute(path: &Path) -> Result<String, String> {
    std::path::absolute(path).map(|path| path.display().to_string()).map_err(|e| e.to_string())
}

/// The columns of a type and their SQL types, as they lie in the files.
fn columns(kind: Kind) -> impl Iterator<Item = (String, String)> {
    let schema = kind.schema();
    (0..schema.fields().len()).map(move |index| {
        let field = schema.field(index);
        let name = SqlName(field.data_type()).to_string();
        (field.name().clone(), if name == "timestamp" { "timestamp(ms)".to_owned() } else { name })
    })
}

/// The columns of the file of all types: any but the type and the time may be absent.
fn merged_columns() -> Vec<String> {
    let mut found = vec!["type = \"string not null\"".to_owned()];
    for (name, type_name) in Kind::ALL.into_iter().flat_map(columns) {
        let column = format!("{name} = \"{type_name}{}\"", if name == "date_time" { " not null" } else { "" });
        if !found.contains(&column) {
            found.push(column);
        }
    }
    found
}

/// The stream of a type, with its columns, out of the file of all types.
fn part_of_merged(text: &mut String, kind: Kind) {
    let name = kind.name();
    let columns: Vec<String> = columns(kind).map(|(name, _)| format!("\"{name}\"")).collect();
    let _ = writeln!(text, "[operators.{name}_events]\ntype = \"filter\"\ninput = \"events\"\nwhere = \"type = '{name}'\"\n");
    let _ = writeln!(text, "[operators.{name}]\ntype = \"select\"\ninput = \"{name}_events\"\ncolumns = [{}]\n", columns.join(", "));
}

fn file_source(text: &mut String, name: &str, path: &Path, columns: &[String]) -> Result<(), String> {
    let (path, columns) = (absolute(path)?, columns.join(", "));
    let _ = writeln!(
        text,
        "[sources.{name}]\ntype = \"file\"\nformat = \"json\"\npath = \"{path}\"\ntime = {{ by = \"date_time\" }}\nschema = {{ {columns} }}\n"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use millstream_api::Registry;

    use super::*;
    use crate::{discard, memory};

    #[test]
    fn every_query_is_a_topology_in_every_mode() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/nexmark");
        let data = tempfile::tempdir().unwrap();
        input::write_by_type(data.path(), 100).unwrap();
        input::write_merged(data.path(), 100).unwrap();
        let mut registry = Registry::new();
        millstream_operators::register(&mut registry);
        registry.add::<memory::MemoryOptions>();
        registry.add::<discard::DiscardOptions>();
        for query in Query::all() {
            for mode in [Mode::Memory, Mode::Ndjson, Mode::Merged, Mode::Made] {
                let text = format!("name = \"n\"\n{}", query.topology(mode, 100, data.path(), None).unwrap());
                let outcome = millstream_topology::load_text("bench.toml", &text, &folder, &BTreeMap::new(), &[], &registry);
                assert!(outcome.topology.is_some(), "{} {}:\n{}\n{text}", query.name, mode.name(), outcome.report.render());
            }
        }
    }
}

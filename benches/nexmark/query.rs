//! The queries, and the topology of one with other sources and another sink.
//!
//! They are those of `config/nexmark`, which are checked against another engine, and two parts of q5.

use std::fmt::Write;
use std::path::Path;

use millstream_api::types::SqlName;
use millstream_operators::nexmark::generate::Kind;

use crate::{Mode, input};

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

    /// The topology, with events from memory or from files in `data`, and everything into `discard`.
    ///
    /// # Errors
    /// When the path of the files cannot be told.
    pub fn topology(self, mode: Mode, workers: usize, events: u64, data: &Path) -> Result<String, String> {
        let mut text = format!("name = \"{}\"\nruntime = {{ workers = {workers} }}\n\n", self.name);
        match mode {
            Mode::Memory => text.push_str("[sources.nexmark]\ntype = \"memory\"\ntime = { by = \"date_time\" }\n\n"),
            Mode::Ndjson => self.kinds().into_iter().try_for_each(|kind| file_source(&mut text, kind, events, data))?,
        }
        // Tables other than that of the events are the query's own.
        let is_table = |part: &&str| part.lines().any(|line| line.starts_with('['));
        let rest = self.text.split("\n\n").filter(is_table).filter(|part| !part.contains("[sources.nexmark]"));
        let result = rest.clone().find(|part| part.starts_with("[sinks."));
        for part in rest.filter(|part| !part.starts_with("[sinks.")) {
            let part = match mode {
                Mode::Memory => part.to_owned(),
                // A file is one stream, under the name that the query knows it by.
                Mode::Ndjson => {
                    Kind::ALL.iter().fold(part.to_owned(), |part, kind| part.replace(&stream(*kind), &format!("\"{}\"", kind.name())))
                }
            };
            let _ = writeln!(text, "{part}\n");
        }
        let input = result.and_then(|sink| sink.lines().find(|line| line.starts_with("input")));
        let _ = writeln!(text, "[sinks.out]\ntype = \"discard\"\n{}", input.unwrap_or_default());
        Ok(text)
    }
}

/// How queries name the stream of a type.
fn stream(kind: Kind) -> String {
    format!("\"nexmark.{}\"", kind.name())
}

fn file_source(text: &mut String, kind: Kind, events: u64, data: &Path) -> Result<(), String> {
    let path = std::path::absolute(input::path(data, kind, events)).map_err(|e| e.to_string())?;
    let column = |field: &std::sync::Arc<arrow::datatypes::Field>| {
        let name = SqlName(field.data_type()).to_string();
        format!("{} = \"{} not null\"", field.name(), if name == "timestamp" { "timestamp(ms)" } else { &name })
    };
    let columns: Vec<String> = kind.schema().fields().iter().map(column).collect();
    let _ = writeln!(
        text,
        "[sources.{}]\ntype = \"file\"\nformat = \"json\"\npath = \"{}\"\ntime = {{ by = \"date_time\" }}\nschema = {{ {} }}\n",
        kind.name(),
        path.display(),
        columns.join(", ")
    );
    Ok(())
}

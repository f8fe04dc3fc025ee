//! The arguments of what looks at a topology without running it: `check`, `graph`, `new`, `operators`, `functions`, `schema`, `test`.

use std::path::PathBuf;

use clap::{Args as Group, ValueEnum};

use super::File;

/// `millstream check`.
#[derive(Debug, Group)]
pub struct Check {
    #[command(flatten)]
    pub file: File,

    /// Also print the columns and properties of every stream, and how rows are routed.
    #[arg(long)]
    pub schemas: bool,

    /// Also say what bounds each node's state, which rows can be late or rejected and where they go, and what holds of a
    /// row from source to sink.
    #[arg(long)]
    pub explain: bool,

    /// How what was found is printed: as text on standard error, or as one JSON document on standard output, for editors.
    #[arg(long, value_enum, default_value_t = CheckFormat::Text, value_name = "FORMAT")]
    pub format: CheckFormat,
}

/// How `check` prints what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// For people.
    Text,
    /// For editors: file, line, column, end, code, severity, message and help of everything that was found.
    Json,
}

/// `millstream graph`.
#[derive(Debug, Group)]
#[command(after_help = GRAPH_EXAMPLES)]
pub struct Graph {
    #[command(flatten)]
    pub file: File,

    /// The format of the drawing.
    #[arg(long, value_enum, default_value_t = GraphFormat::Mermaid, value_name = "FORMAT")]
    pub format: GraphFormat,
}

const GRAPH_EXAMPLES: &str = "Examples:
  millstream graph topology.toml --format svg > topology.svg
  millstream graph topology.toml --format dot | dot -Tpng > topology.png";

/// The formats of a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// For Markdown pages.
    Mermaid,
    /// For Graphviz.
    Dot,
    /// For programs: nodes, streams with their columns, edges.
    Json,
    /// A finished drawing, light or dark as its viewer likes.
    Svg,
}

/// `millstream new`.
#[derive(Debug, Group)]
#[command(after_help = NEW_EXAMPLES)]
pub struct New {
    /// The folder to make; its name is the topology's. Nothing that exists is touched. With --from it may be left out.
    #[arg(value_name = "NAME", required_unless_present = "from")]
    pub folder: Option<PathBuf>,

    /// Read this file of JSON lines, CSV or Parquet: its columns and their types are found and written out.
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
}

const NEW_EXAMPLES: &str = "Examples:
  millstream new cafe                                    sample data and a topology that explains itself
  millstream new --from data/departures.ndjson flights   a topology that reads the file, its schema written out";

/// `millstream operators`.
#[derive(Debug, Group)]
pub struct Operators {
    /// A node type, for example `window`.
    #[arg(value_name = "TYPE")]
    pub kind: Option<String>,

    /// How the list of all types is printed.
    #[arg(long, value_enum, default_value_t = CatalogueFormat::Text, value_name = "FORMAT", conflicts_with = "kind")]
    pub format: CatalogueFormat,
}

/// How the list of node types is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CatalogueFormat {
    /// Names and one line on each.
    Text,
    /// A page with all types and all their keys.
    Markdown,
}

/// `millstream functions`.
#[derive(Debug, Group)]
pub struct Functions {
    /// A function, for example `date_trunc`.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// `millstream schema`.
#[derive(Debug, Group)]
#[command(after_help = SCHEMA_EXAMPLES)]
pub struct Schema {
    /// The form of the schema.
    #[arg(long, value_enum, default_value_t = SchemaFormat::Json, value_name = "FORMAT")]
    pub format: SchemaFormat,
}

const SCHEMA_EXAMPLES: &str = "Editors that understand TOML schemas take it from the first line of a topology:
  millstream schema > topology.schema.json
  #:schema ./topology.schema.json";

/// The forms of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaFormat {
    /// JSON Schema (2020-12), for editors.
    Json,
    /// A topology file with every key commented out, for people.
    Toml,
}

/// `millstream test`.
#[derive(Debug, Group)]
pub struct Test {
    #[command(flatten)]
    pub file: File,

    /// Run only the tests that have this in their name.
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,

    /// How the results are printed.
    #[arg(long, value_enum, default_value_t = TestFormat::Text)]
    pub format: TestFormat,

    /// Write the rows that are there into the file, as the expected ones. Comments and layout stay.
    #[arg(long, conflicts_with = "format")]
    pub update: bool,
}

/// How the results of tests are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TestFormat {
    /// For people.
    Text,
    /// JUnit's XML, for build servers.
    Junit,
}

//! What can be said on the command line. The doc comments are the text of `--help`.

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand, ValueEnum};

/// Stateful stream processing from a topology file.
#[derive(Debug, Parser)]
#[command(name = "millstream", version, propagate_version = true, after_help = STATUSES)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// How messages are written to standard error.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub log_format: LogFormat,

    /// Say more about what happens inside; -vv and -vvv say still more. RUST_LOG takes precedence.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

const STATUSES: &str = "Exit status: 0 done, 1 the pipeline failed, 2 the topology or the command line is wrong, 130 stopped by a signal.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a topology until its inputs end, or until Ctrl-C.
    Run(Run),
    /// Find every mistake in a topology without running it.
    Check(Check),
    /// Draw a topology: nodes, routes, parallelism, side streams.
    Graph(Graph),
    /// Make a folder with a topology to start from.
    New(New),
    /// Show which node types there are; with a name, its keys.
    Operators(Operators),
    /// Print the JSON Schema of topology files, for editors.
    Schema(Schema),
    /// Run the tests in a file, in virtual time.
    Test(Test),
    /// Say why a node gives no rows.
    Why(Why),
    /// Show how a running topology goes, on the whole terminal.
    Top(Top),
    /// Print rows of a running topology as they pass.
    Tap(Tap),
    /// Say what becomes of state when one version of a topology follows another.
    Plan(Plan),
    /// Take a checkpoint of a running topology now.
    Checkpoint(Checkpoint),
    /// Look into checkpoints.
    #[command(subcommand)]
    State(State),
}

/// `millstream run`.
#[derive(Debug, Group)]
pub struct Run {
    #[command(flatten)]
    pub file: File,

    /// Make a stop an end: windows that are open when Ctrl-C comes close and send their rows.
    #[arg(long)]
    pub drain: bool,

    /// Begin anew: remove the checkpoints of runs before, instead of going on from the newest.
    #[arg(long, conflicts_with = "from")]
    pub fresh: bool,

    /// Go on from this checkpoint instead of the newest.
    #[arg(long, value_name = "CHECKPOINT")]
    pub from: Option<u64>,

    /// Go back although later checkpoints are given up, and what sinks have given out since is cut back or sent again.
    #[arg(long, requires = "from")]
    pub yes: bool,

    /// Go on although the topology has changed so that state of the checkpoint is lost.
    #[arg(long)]
    pub allow_dropped_state: bool,

    /// Go on serving views after all inputs have ended, until Ctrl-C. Needs the table `[server]` in the topology.
    #[arg(long)]
    pub keep_serving: bool,
}

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

/// `millstream plan`.
#[derive(Debug, Group)]
pub struct Plan {
    /// The topology that has run.
    #[arg(value_name = "OLD")]
    pub old: PathBuf,

    /// The one that is to go on from its checkpoints.
    #[arg(value_name = "NEW")]
    pub new: PathBuf,

    /// Set a key in both, stronger than the files. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
}

/// `millstream checkpoint`.
#[derive(Debug, Group)]
pub struct Checkpoint {
    /// The address of a running topology: http://127.0.0.1:8080.
    #[arg(value_name = "URL")]
    pub url: String,

    #[command(flatten)]
    pub remote: Remote,
}

/// `millstream state`.
#[derive(Debug, Subcommand)]
pub enum State {
    /// List the checkpoints of a store, and what one of them holds.
    Ls(StateList),
    /// Print the state of a node as JSON lines.
    Get(StateGet),
    /// Write the state of all nodes into a folder, a file of JSON lines for each.
    Export(StateExport),
}

/// Which checkpoint is looked into.
#[derive(Debug, Group)]
pub struct StateTarget {
    /// The store (`file:PATH`, `s3://BUCKET/PATH` or a folder), or the topology file that names it.
    #[arg(value_name = "STORE|FILE")]
    pub target: PathBuf,

    /// The number of the checkpoint. Default: the newest.
    #[arg(long, value_name = "NUMBER")]
    pub checkpoint: Option<u64>,
}

/// `millstream state ls`.
#[derive(Debug, Group)]
pub struct StateList {
    #[command(flatten)]
    pub target: StateTarget,
}

/// `millstream state get`.
#[derive(Debug, Group)]
pub struct StateGet {
    #[command(flatten)]
    pub target: StateTarget,

    /// The node.
    #[arg(value_name = "NODE")]
    pub node: String,

    /// Only the state of this name; `state ls` shows which there are.
    #[arg(long, value_name = "NAME")]
    pub state: Option<String>,

    /// Only rows that have this value in one of their columns: a key, say.
    #[arg(long, value_name = "TEXT")]
    pub value: Option<String>,

    /// At most so many rows.
    #[arg(long, value_name = "ROWS", default_value_t = 1000)]
    pub limit: usize,
}

/// `millstream state export`.
#[derive(Debug, Group)]
pub struct StateExport {
    #[command(flatten)]
    pub target: StateTarget,

    /// The folder to write to; made if it is not there. Files of the same names are replaced.
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
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

/// `millstream why`.
#[derive(Debug, Group)]
#[command(after_help = WHY_EXAMPLES)]
pub struct Why {
    /// A topology file: what the node needs before it gives a row. Or the address of a running one: what it waits for now.
    #[arg(value_name = "FILE|URL")]
    pub target: String,

    /// The node, or one of its streams.
    #[arg(value_name = "NODE")]
    pub node: String,

    /// Set a key of the file, as for `run`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,

    #[command(flatten)]
    pub remote: Remote,

    /// How the answer is printed.
    #[arg(long, value_enum, default_value_t = WhyFormat::Text, value_name = "FORMAT")]
    pub format: WhyFormat,
}

const WHY_EXAMPLES: &str = "Examples:
  millstream why topology.toml delays
  millstream why http://127.0.0.1:8080 delays";

/// How `why` prints its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WhyFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// `millstream top`.
#[derive(Debug, Group)]
#[command(after_help = "Keys: s sorts in another way, arrows or j and k pick a node, Enter says why it gives no rows, q quits.")]
pub struct Top {
    /// The address of the running topology: that of [server] in its file.
    #[arg(value_name = "URL")]
    pub url: String,

    /// Print it once and end, as is done where there is no terminal.
    #[arg(long)]
    pub once: bool,

    #[command(flatten)]
    pub remote: Remote,
}

/// `millstream tap`.
#[derive(Debug, Group)]
#[command(after_help = TAP_EXAMPLES)]
pub struct Tap {
    /// The address of the running topology: that of [server] in its file.
    #[arg(value_name = "URL")]
    pub url: String,

    /// The stream whose rows are shown, or a sink: the rows that come to it.
    #[arg(value_name = "NODE")]
    pub node: String,

    /// Show only rows for which this expression over their columns is true.
    #[arg(long = "where", value_name = "EXPRESSION")]
    pub condition: Option<String>,

    /// Show one of so many rows.
    #[arg(long, value_name = "N")]
    pub sample: Option<std::num::NonZeroU64>,

    /// End after so many rows.
    #[arg(long, value_name = "N")]
    pub limit: Option<std::num::NonZeroU64>,

    #[command(flatten)]
    pub remote: Remote,
}

const TAP_EXAMPLES: &str = "Examples:
  millstream tap http://127.0.0.1:8080 delays --limit 10
  millstream tap http://127.0.0.1:8080 delays.late --where \"carrier = 'UA'\"
  millstream tap http://127.0.0.1:8080 departures --sample 1000";

/// What a running topology asks of its visitors.
#[derive(Debug, Group)]
pub struct Remote {
    /// The token of [server], where it has one.
    #[arg(long, env = "MILLSTREAM_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,
}

/// A topology file and what changes it.
#[derive(Debug, Group)]
pub struct File {
    /// The topology file.
    #[arg(value_name = "FILE")]
    pub path: PathBuf,

    /// Set a key, stronger than the file and MILLSTREAM__… variables; for example --set runtime.workers=4. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
}

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn global_options_stand_anywhere() {
        let args =
            Args::try_parse_from(["millstream", "run", "a.toml", "--set", "a=1", "--log-format", "json", "-vv", "--set", "b=2"]).unwrap();
        assert_eq!((args.log_format, args.verbose), (LogFormat::Json, 2));
        let Command::Run(run) = args.command else { panic!("not run: {:?}", args.command) };
        assert_eq!(run.file.sets, ["a=1", "b=2"]);
    }
}

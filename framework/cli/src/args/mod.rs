//! What can be said on the command line. The doc comments are the text of `--help`.
//!
//! Here what all subcommands share, and `run`; [`describing`], [`watching`] and [`state`] have the arguments of the others.

mod describing;
mod state;
mod watching;

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand, ValueEnum};

pub use describing::{
    CatalogueFormat, Check, CheckFormat, Functions, Graph, GraphFormat, New, Operators, Schema, SchemaFormat, Test, TestFormat,
};
pub use state::{Checkpoint, Plan, State, StateExport, StateGet, StateList, StateTarget};
pub use watching::{Tap, Top, Why, WhyFormat};

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
    /// List the functions that expressions may call; with a name, how it is called.
    Functions(Functions),
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

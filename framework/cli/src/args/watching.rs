//! The arguments of what looks at a run: `why`, `top`, `tap`.

use clap::{Args as Group, ValueEnum};

use super::Remote;

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

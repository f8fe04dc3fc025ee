//! The arguments of what is about checkpoints: `plan`, `checkpoint`, `state`.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand};

use super::Remote;

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

//! What the command line asks for.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Where the events come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// All made before the clock starts, and handed over in memory as fast as they are taken.
    Memory,
    /// Read from a file for each type of event that the query reads.
    Ndjson,
    /// Read from one file that holds all types, whichever the query reads.
    Merged,
    /// Made before the clock starts, and handed over when they are due: for latency.
    Live,
    /// Made by the source `nexmark` as they are taken, so that a run can last: for checkpoints.
    Made,
}

impl Mode {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Memory => "memory",
            Mode::Ndjson => "ndjson",
            Mode::Merged => "merged",
            Mode::Live => "live",
            Mode::Made => "made",
        }
    }
}

/// Runs Nexmark queries and prints what they cost.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// Number of events, persons, auctions and bids together.
    #[arg(long, default_value_t = 2_000_000)]
    pub events: u64,
    /// Queries, by name; all when none is named.
    #[arg(long, value_delimiter = ',')]
    pub queries: Vec<String>,
    /// Where events come from; from files of one type each and from memory when not said.
    #[arg(long, value_delimiter = ',')]
    pub modes: Vec<Mode>,
    /// Numbers of workers.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    pub workers: Vec<usize>,
    /// Between checkpoints: a duration such as `1s`, or `off`.
    #[arg(long, value_delimiter = ',', default_value = "off")]
    pub checkpoints: Vec<String>,
    /// How often each is run.
    #[arg(long, default_value_t = 3)]
    pub runs: usize,
    /// Lets the system place the threads, instead of keeping each measurement on as many cores as it has workers.
    #[arg(long)]
    pub unpinned: bool,
    /// In mode `live`: for how many seconds events come, 10,000 in each.
    #[arg(long, default_value_t = 11)]
    pub seconds: u64,
    /// Prints one JSON object for each measurement instead of the table.
    #[arg(long, conflicts_with = "report")]
    pub json: bool,
    /// Measures what docs/performance.md shows, whatever else is said of queries, modes, workers and checkpoints, and writes it into this
    /// folder: the tables into `performance.md`, the figures as `performance.json`, a bar chart as `performance.svg`. For a while there is a file of
    /// ten times the events beside the others, 2.3 kB for each of `--events`.
    #[arg(long)]
    pub report: Option<PathBuf>,
    /// Measures what checkpoints cost and writes it into `performance.md` in this folder: each query that is asked for with and without a
    /// checkpoint every ten seconds, in turn, `--runs` times, with the first number of `--workers`. A run lasts `--lasting` seconds, which
    /// `--events` events show beforehand how many it takes: so a query takes a minute for each of the runs.
    #[arg(long, conflicts_with_all = ["report", "json"])]
    pub overhead: Option<PathBuf>,
    /// With `--overhead`: about how many seconds a run lasts.
    #[arg(long, default_value_t = 30)]
    pub lasting: u64,
    /// With `--overhead`: a run is shorter where it would take more memory than so many MiB, because state grows with the input.
    #[arg(long, default_value_t = 6144)]
    pub most_mib: u64,
    /// Writes the result of a query that is read from files to this file as JSON lines instead of measuring.
    #[arg(long, conflicts_with = "report")]
    pub write: Option<PathBuf>,
    /// Folder for the input files; made once and kept.
    #[arg(long, default_value = "target/nexmark")]
    pub data: PathBuf,
    /// Measures once in this process, and prints the figures as JSON: what the measurements above are.
    #[arg(long, hide = true)]
    pub here: bool,
}

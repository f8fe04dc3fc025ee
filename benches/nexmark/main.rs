//! `nexmark`: runs the Nexmark queries of `config/nexmark` and prints what they cost.
//!
//! ```text
//! cargo run --release -p millstream-benches --bin nexmark -- --events 2000000 --runs 3
//! ```
//!
//! *In process*: all batches are made before the clock starts and handed over in memory, 8192 rows each, with all columns.
//! *NDJSON*: events are read from a file for each type, one JSON object a line; the whole process is measured, from start to end.
//! Every measurement is a process of its own; of several runs the medians are shown. Events are rows that the query reads.
//! Every run prints the checksum of its output, which must not depend on anything but the query and the number of events.

mod discard;
mod input;
mod measure;
mod memory;
mod query;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::measure::{Figures, measure_here};
use crate::query::Query;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Where the events come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Made before the clock starts.
    Memory,
    /// Read from a file.
    Ndjson,
}

/// Runs Nexmark queries and prints what they cost.
#[derive(Debug, Parser)]
struct Arguments {
    /// Number of events, persons, auctions and bids together.
    #[arg(long, default_value_t = 2_000_000)]
    events: u64,
    /// Queries, by name; all when none is named.
    #[arg(long, value_delimiter = ',')]
    queries: Vec<String>,
    /// Where events come from; both when not said.
    #[arg(long, value_delimiter = ',')]
    modes: Vec<Mode>,
    /// Numbers of workers.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    workers: Vec<usize>,
    /// How often each is run.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Prints one JSON object for each measurement instead of the table.
    #[arg(long)]
    json: bool,
    /// Folder for the input files; made once and kept.
    #[arg(long, default_value = "target/nexmark")]
    data: PathBuf,
    /// Measures once in this process, and prints the figures as JSON: what the measurements above are.
    #[arg(long, hide = true)]
    here: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(text) => {
            use std::io::Write;
            // A closed pipe is the reader's wish.
            let _ = writeln!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "nexmark: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<String, String> {
    let queries: Vec<Query> = match arguments.queries.is_empty() {
        true => Query::all().collect(),
        false => arguments.queries.iter().map(|name| Query::named(name)).collect::<Result<_, _>>()?,
    };
    let modes = if arguments.modes.is_empty() { vec![Mode::Ndjson, Mode::Memory] } else { arguments.modes.clone() };
    if arguments.here {
        let figures = measure_here(queries[0], modes[0], arguments.workers[0], arguments.events, &arguments.data)?;
        return serde_json::to_string(&figures).map_err(|e| e.to_string());
    }
    if modes.contains(&Mode::Ndjson) {
        input::write(&arguments.data, arguments.events)?;
    }
    let mut medians = Vec::new();
    for mode in modes {
        for &query in &queries {
            for &workers in &arguments.workers {
                let runs = (0..arguments.runs.max(1)).map(|_| measure_there(query, mode, workers, arguments)).collect::<Result<_, _>>()?;
                medians.push(Figures::median(runs)?);
            }
        }
    }
    match arguments.json {
        true => {
            medians.iter().map(|f| serde_json::to_string(f).map_err(|e| e.to_string())).collect::<Result<Vec<_>, _>>().map(|l| l.join("\n"))
        }
        false => Ok(table::render(&medians)),
    }
}

/// One measurement in a process of its own.
fn measure_there(query: Query, mode: Mode, workers: usize, arguments: &Arguments) -> Result<Figures, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let mode = if mode == Mode::Memory { "memory" } else { "ndjson" };
    let output = std::process::Command::new(program)
        .args(["--here", "--queries", query.name, "--modes", mode, "--workers", &workers.to_string()])
        .args(["--events", &arguments.events.to_string(), "--data"])
        .arg(&arguments.data)
        .output()
        .map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(format!("{} {mode}: {}", query.name, String::from_utf8_lossy(&output.stderr)));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| format!("{} {mode}: {e}", query.name))
}

//! `nexmark`: runs the Nexmark queries of `config/nexmark` and prints what they cost.
//!
//! ```text
//! cargo run --release -p millstream-benches --bin nexmark -- --events 2000000 --runs 3
//! cargo run --release -p millstream-benches --bin nexmark -- --modes live --queries q1,q5
//! cargo run --release -p millstream-benches --bin nexmark -- --report docs
//! cargo run --release -p millstream-benches --bin nexmark -- --overhead docs
//! ```
//!
//! - *In process* (`memory`): all events are made before the clock starts and handed over in memory, in the order of their numbers, in
//!   batches of about 8192 bids with all columns, each type as a stream of its own.
//! - *NDJSON*: events are read from a file for each type that the query reads (`ndjson`), or from one file of all types (`merged`), one
//!   JSON object a line; the whole process is measured, from start to end.
//! - *Made*: events are made as they are taken, so that a run can last and nothing of it lies in memory or in a file beforehand.
//! - *Live*: events come against the clock, 10,000 in a second, and what is measured is how long results take.
//!
//! Every measurement is a process of its own, kept on as many cores as it has workers where events do not come against the clock; the cases are
//! run in turn, and of several runs the medians are shown. Events are those of the input. Every run prints the checksum of its output, which must
//! not depend on anything but the query and the number of events.
//!
//! In reading order: [`arguments`], [`case`], [`query`], [`input`] (files), [`memory`] and [`live`] (events in memory), [`discard`] (the
//! sink), [`measure`], [`cores`], [`figures`]; [`table`], [`goals`], [`chart`], [`sections`] and [`report`] show them;
//! [`overhead`] is what checkpoints cost.

mod arguments;
mod case;
mod chart;
mod cores;
mod discard;
mod figures;
mod goals;
mod input;
mod live;
mod measure;
mod memory;
mod overhead;
mod query;
mod report;
mod sections;
mod table;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;
use crate::case::{asked_for, measure_all, write_inputs};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(text) => {
            // A closed pipe is the reader's wish.
            let _ = writeln!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "nexmark: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is to be printed.
fn run(arguments: &Arguments) -> Result<String, String> {
    if let Some(folder) = &arguments.report {
        return report::write(folder, arguments);
    }
    if let Some(folder) = &arguments.overhead {
        return overhead::write(folder, arguments);
    }
    let cases = asked_for(arguments)?;
    let Some(first) = cases.first() else { return Err("there is nothing to measure".to_owned()) };
    if let Some(path) = &arguments.write {
        write_inputs(&cases[..1], arguments)?;
        let (written, _) = measure::run(first, arguments, Some(path))?;
        return Ok(written.ledger.node("out").map(|row| format!("{} rows", row.rows_in)).unwrap_or_default());
    }
    if arguments.here {
        return json(&measure::measure_here(first, arguments)?);
    }
    let figures = measure_all(&cases, arguments, arguments.runs)?;
    match arguments.json {
        true => figures.iter().map(json).collect::<Result<Vec<_>, _>>().map(|lines| lines.join("\n")),
        false => Ok(table::render(&figures)),
    }
}

fn json(figures: &figures::Figures) -> Result<String, String> {
    serde_json::to_string(figures).map_err(|e| e.to_string())
}

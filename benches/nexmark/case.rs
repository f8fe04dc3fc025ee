//! What is measured: a query, where its events come from, how many workers, with or without checkpoints.

use std::path::Path;
use std::process::Command;

use crate::arguments::{Arguments, Mode};
use crate::figures::Figures;
use crate::input;
use crate::query::Query;

/// One line of the table.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    /// The query.
    pub query: Query,
    /// Where its events come from.
    pub mode: Mode,
    /// `runtime.workers`.
    pub workers: usize,
    /// The time between checkpoints; `None`: there are none.
    pub interval: Option<&'a str>,
}

/// The cases that the command line asks for, in the order in which they are shown.
///
/// # Errors
/// When there is no such query.
pub fn asked_for(arguments: &Arguments) -> Result<Vec<Case<'_>>, String> {
    let queries: Vec<Query> = match arguments.queries.is_empty() {
        true => Query::all().collect(),
        false => arguments.queries.iter().map(|name| Query::named(name)).collect::<Result<_, _>>()?,
    };
    let modes: &[Mode] = if arguments.modes.is_empty() { &[Mode::Ndjson, Mode::Memory] } else { &arguments.modes };
    let mut cases = Vec::new();
    for &mode in modes {
        for &query in &queries {
            for &workers in &arguments.workers {
                let intervals = arguments.checkpoints.iter().map(|text| Some(text.as_str()).filter(|text| *text != "off"));
                cases.extend(intervals.map(|interval| Case { query, mode, workers, interval }));
            }
        }
    }
    Ok(cases)
}

/// Runs the cases in turn, so that what the machine does beside shows in all of them alike, and gives the median of each.
///
/// # Errors
/// When one fails, or a query does not give the same result in all its cases.
pub fn measure_all(cases: &[Case<'_>], arguments: &Arguments) -> Result<Vec<Figures>, String> {
    write_inputs(cases, arguments)?;
    let mut runs = vec![Vec::new(); cases.len()];
    for _ in 0..arguments.runs.max(1) {
        for (case, runs) in cases.iter().zip(&mut runs) {
            // Against a clock there is nothing to gain from several runs: there are thousands of results in one.
            if case.mode != Mode::Live || runs.is_empty() {
                runs.push(case.measure_apart(arguments)?);
            }
        }
    }
    let figures = runs.into_iter().map(Figures::median).collect::<Result<Vec<_>, _>>()?;
    same_results(&figures).map(|()| figures)
}

/// What a query gives depends on the events alone: not on where they come from, on workers or on checkpoints.
fn same_results(figures: &[Figures]) -> Result<(), String> {
    for (index, one) in figures.iter().enumerate().filter(|(_, one)| one.mode != Mode::Live.name()) {
        let is_other = |other: &&Figures| other.query == one.query && other.mode != Mode::Live.name() && !other.has_result_of(one);
        if let Some(other) = figures[..index].iter().find(is_other) {
            return Err(format!("the results of {} differ: {} and {}", one.query, other.result(), one.result()));
        }
    }
    Ok(())
}

/// Writes the input files that are not there.
///
/// # Errors
/// When one can't be written.
pub fn write_inputs(cases: &[Case<'_>], arguments: &Arguments) -> Result<(), String> {
    let reads = |mode: Mode| cases.iter().any(|case| case.mode == mode);
    if reads(Mode::Ndjson) {
        input::write_by_type(&arguments.data, arguments.events)?;
    }
    if reads(Mode::Merged) {
        input::write_merged(&arguments.data, arguments.events)?;
    }
    Ok(())
}

impl Case<'_> {
    /// One measurement in a process of its own.
    fn measure_apart(&self, arguments: &Arguments) -> Result<Figures, String> {
        let program = std::env::current_exe().map_err(|e| e.to_string())?;
        let output = self.command(&program, arguments).output().map_err(|e| e.to_string())?;
        let name = format!("{} {}", self.query.name, self.mode.name());
        if !output.status.success() {
            return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        serde_json::from_slice(&output.stdout).map_err(|e| format!("{name}: {e}"))
    }

    fn command(&self, program: &Path, arguments: &Arguments) -> Command {
        let mut command = Command::new(program);
        command.args(["--here", "--queries", self.query.name, "--modes", self.mode.name(), "--workers", &self.workers.to_string()]);
        command.args(["--checkpoints", self.interval.unwrap_or("off"), "--events", &arguments.events.to_string()]);
        command.args(["--seconds", &arguments.seconds.to_string(), "--data"]).arg(&arguments.data);
        command
    }
}

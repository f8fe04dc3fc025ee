//! What is measured: a query, where its events come from, how many workers, with or without checkpoints.

use std::ffi::OsString;
use std::process::Command;

use crate::arguments::{Arguments, Mode};
use crate::cores::Cores;
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
    /// Of the whole input, whichever the query reads.
    pub events: u64,
}

/// The cases that the command line asks for, in the order in which they are shown.
///
/// # Errors
/// When there is no such query.
pub fn asked_for(arguments: &Arguments) -> Result<Vec<Case<'_>>, String> {
    let queries = queries(arguments)?;
    let modes: &[Mode] = if arguments.modes.is_empty() { &[Mode::Ndjson, Mode::Memory] } else { &arguments.modes };
    let mut cases = Vec::new();
    for &mode in modes {
        for &query in &queries {
            for &workers in &arguments.workers {
                let intervals = arguments.checkpoints.iter().map(|text| Some(text.as_str()).filter(|text| *text != "off"));
                cases.extend(intervals.map(|interval| Case { query, mode, workers, interval, events: arguments.events }));
            }
        }
    }
    Ok(cases)
}

/// The queries that the command line asks for.
///
/// # Errors
/// When there is no such query.
pub fn queries(arguments: &Arguments) -> Result<Vec<Query>, String> {
    match arguments.queries.is_empty() {
        true => Ok(Query::all().collect()),
        false => arguments.queries.iter().map(|name| Query::named(name)).collect(),
    }
}

/// Runs the cases in turn, so that what the machine does beside shows in all of them alike, and gives the median of each over so many runs.
///
/// # Errors
/// When one fails, or a query does not give the same result in all its cases.
pub fn measure_all(cases: &[Case<'_>], arguments: &Arguments, runs: usize) -> Result<Vec<Figures>, String> {
    write_inputs(cases, arguments)?;
    let cores = if arguments.unpinned { None } else { Cores::find() };
    let mut measured = vec![Vec::new(); cases.len()];
    for _ in 0..runs.max(1) {
        for (case, measured) in cases.iter().zip(&mut measured) {
            // Against a clock there is nothing to gain from several runs: there are thousands of results in one.
            if case.mode != Mode::Live || measured.is_empty() {
                measured.push(case.measure_apart(arguments, cores.as_ref())?);
            }
        }
    }
    let figures = measured.into_iter().map(Figures::median).collect::<Result<Vec<_>, _>>()?;
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
    cases.iter().try_for_each(|case| match case.mode {
        Mode::Ndjson => input::write_by_type(&arguments.data, case.events),
        Mode::Merged => input::write_merged(&arguments.data, case.events),
        Mode::Memory | Mode::Live | Mode::Made => Ok(()),
    })
}

impl Case<'_> {
    /// One measurement in a process of its own, kept on some of the cores if there is a way.
    ///
    /// # Errors
    /// When it fails.
    pub fn measure_apart(&self, arguments: &Arguments, cores: Option<&Cores>) -> Result<Figures, String> {
        let program = std::env::current_exe().map_err(|e| e.to_string())?;
        // How long results take is measured as a user would run it.
        let pinned = cores.filter(|_| self.mode != Mode::Live).and_then(|cores| cores.command(&program, self.workers));
        let kept_on = pinned.is_some().then_some(self.workers);
        let mut command = pinned.unwrap_or_else(|| Command::new(&program));
        let output = command.args(self.arguments(arguments)).output().map_err(|e| e.to_string())?;
        let name = format!("{} {}", self.query.name, self.mode.name());
        if !output.status.success() {
            return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let figures: Figures = serde_json::from_slice(&output.stdout).map_err(|e| format!("{name}: {e}"))?;
        Ok(Figures { cores: kept_on, ..figures })
    }

    /// With which another process measures this case.
    fn arguments(&self, arguments: &Arguments) -> Vec<OsString> {
        let (workers, events, seconds) = (self.workers.to_string(), self.events.to_string(), arguments.seconds.to_string());
        let interval = self.interval.unwrap_or("off");
        let mut told: Vec<OsString> = [
            ("--queries", self.query.name),
            ("--modes", self.mode.name()),
            ("--workers", &workers),
            ("--checkpoints", interval),
            ("--events", &events),
            ("--seconds", &seconds),
        ]
        .iter()
        .flat_map(|(name, value)| [OsString::from(name), OsString::from(value)])
        .collect();
        told.extend(["--here".into(), "--data".into(), arguments.data.clone().into()]);
        told
    }
}

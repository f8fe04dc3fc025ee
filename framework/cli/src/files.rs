//! A topology file, read and checked, with everything that was found in it shown.

use std::collections::BTreeMap;

use millstream_api::Registry;
use millstream_topology::cases::Tests;
use millstream_topology::{Outcome, Report, Topology, load, load_tests};

use crate::args::{File, LogFormat};
use crate::console::{Console, hide, to_stderr};

/// The topology, if it may run, and how many warnings there were. What was found is said already.
pub fn checked(file: &File, registry: &Registry, console: &Console) -> Option<(Topology, usize)> {
    let outcome = loaded(file, registry);
    show(&outcome.report, console);
    let warnings = outcome.report.warnings();
    match outcome.topology {
        Some(topology) => Some((topology, warnings)),
        None => {
            note_mistakes(file, outcome.report.errors(), console);
            None
        }
    }
}

/// The tests of a file, if they may run. What was found is said already.
pub fn checked_tests(file: &File, registry: &Registry, console: &Console) -> Option<Tests> {
    let outcome = load_tests(&file.path, &environment(), &file.sets, registry);
    outcome.reports.iter().for_each(|report| show(report, console));
    if outcome.tests.is_none() {
        note_mistakes(file, outcome.reports.iter().map(Report::errors).sum(), console);
    }
    outcome.tests
}

fn note_mistakes(file: &File, errors: usize, console: &Console) {
    let count = if errors == 1 { "1 mistake".to_owned() } else { format!("{errors} mistakes") };
    console.note(&format!("{}: {count}", file.path.display()));
}

/// What came of reading the topology; nothing is shown.
pub fn loaded(file: &File, registry: &Registry) -> Outcome {
    let outcome = load(&file.path, &environment(), &file.sets, registry);
    if let Some(topology) = &outcome.topology {
        hide(topology.secrets.clone());
    }
    outcome
}

/// Variables that are not Unicode cannot be named in a topology, so they are left out.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

fn show(report: &Report, console: &Console) {
    match console.format() {
        LogFormat::Text => to_stderr(&report.render()),
        LogFormat::Json => {
            for entry in report.entries() {
                console.found(entry);
            }
        }
    }
}

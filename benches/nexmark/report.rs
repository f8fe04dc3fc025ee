//! What docs/performance.md shows, measured in one sitting and written there: tables, figures, a chart.

use std::fs;
use std::path::Path;

use crate::arguments::{Arguments, Mode};
use crate::case::{Case, measure_all};
use crate::figures::Figures;
use crate::goals::QUERIES;
use crate::query::Query;
use crate::{chart, input, sections};

/// What is written into the document, and around it.
const PART: &str = "nexmark";

/// Between checkpoints, where they are on: so short that there are some in a run of a second.
pub const INTERVAL: &str = "250ms";

/// How many times as long the input is over which it is shown what a second worker brings where the start of the process no longer
/// counts, and that memory does not grow.
const LONG: u64 = 10;

/// Measures and writes.
///
/// # Errors
/// When a measurement fails, or a file can't be read or written.
pub fn write(folder: &Path, arguments: &Arguments) -> Result<String, String> {
    // Whether there is a place for it is asked before all the work.
    replaced(&read(folder)?, PART, "")?;
    let figures = measure_all(&cases(arguments.events)?, arguments, arguments.runs)?;
    let long = measure_long(arguments)?;
    let all = figures.iter().chain(&long);
    let json = all.map(|f| serde_json::to_string(f).map_err(|e| e.to_string())).collect::<Result<Vec<_>, _>>()?;
    let text = sections::render(&figures, &long);
    let write = |name: &str, text: String| fs::write(folder.join(name), text).map_err(|e| format!("{}: {e}", folder.join(name).display()));
    write_part(folder, PART, &text)?;
    write("performance.json", format!("[\n{}\n]\n", json.join(",\n")))?;
    write("performance.svg", chart::draw(&figures))?;
    Ok(text)
}

/// Queries with a goal from all inputs, with and without checkpoints, and against the clock; the others in memory and from the file of all types.
fn cases<'a>(events: u64) -> Result<Vec<Case<'a>>, String> {
    let plain = |query, mode, workers| Case { query, mode, workers, interval: None, events };
    let mut cases = Vec::new();
    let with_goal = with_goal()?;
    for mode in [Mode::Ndjson, Mode::Merged, Mode::Memory] {
        for &query in &with_goal {
            cases.extend([1, 2].map(|workers| plain(query, mode, workers)));
            if mode == Mode::Memory {
                cases.push(Case { interval: Some(INTERVAL), ..plain(query, mode, 1) });
            }
        }
    }
    let others = Query::all().filter(|query| with_goal.iter().all(|other| other.name != query.name));
    cases.extend(others.flat_map(|query| [Mode::Merged, Mode::Memory].map(|mode| plain(query, mode, 1))));
    cases.extend(with_goal.iter().map(|&query| plain(query, Mode::Live, 1)));
    Ok(cases)
}

fn with_goal() -> Result<Vec<Query>, String> {
    QUERIES.iter().map(|(name, _)| Query::named(name)).collect()
}

/// Measures queries with a goal from a file that is many times as long, and removes the file.
fn measure_long(arguments: &Arguments) -> Result<Vec<Figures>, String> {
    let events = arguments.events.saturating_mul(LONG);
    let case = |query, workers| Case { query, mode: Mode::Merged, workers, interval: None, events };
    let cases: Vec<Case<'_>> = with_goal()?.into_iter().flat_map(|query| [1, 2].map(|workers| case(query, workers))).collect();
    let figures = measure_all(&cases, arguments, arguments.runs);
    input::remove_merged(&arguments.data, events)?;
    figures
}

/// The document.
///
/// # Errors
/// When it can't be read.
pub fn read(folder: &Path) -> Result<String, String> {
    let document = folder.join("performance.md");
    fs::read_to_string(&document).map_err(|e| format!("{}: {e}", document.display()))
}

/// Writes a part of the document, which lies as it is now.
///
/// # Errors
/// When it can't be read or written, or has no place for it.
pub fn write_part(folder: &Path, part: &str, text: &str) -> Result<(), String> {
    let document = folder.join("performance.md");
    fs::write(&document, replaced(&read(folder)?, part, text)?).map_err(|e| format!("{}: {e}", document.display()))
}

/// The document with this text as a part of it.
///
/// # Errors
/// When it has no place for it.
pub fn replaced(document: &str, part: &str, text: &str) -> Result<String, String> {
    let (begin, end) = (format!("<!-- {part}: written by the command above -->"), format!("<!-- end of {part} -->"));
    let missing = || format!("performance.md has no line `{begin}` and a line `{end}` after it, between which to write");
    let (before, rest) = document.split_once(&begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(&end).ok_or_else(missing)?;
    Ok(format!("{before}{begin}\n\n{text}\n\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let document = |text: &str| format!("above\n<!-- p: written by the command above -->\n{text}\n<!-- end of p -->\nbelow\n");
        assert_eq!(replaced(&document("old"), "p", "new").unwrap(), document("\nnew\n"));
        assert!(replaced(&document("old"), "q", "new").is_err());
    }

    #[test]
    fn every_case_of_the_report_has_a_query() {
        let cases = cases(1000).unwrap();
        assert!(cases.len() > 50);
        assert!(with_goal().unwrap().iter().all(|of| cases.iter().any(|case| case.query.name == of.name && case.mode == Mode::Merged)));
        assert!(cases.iter().any(|case| case.mode == Mode::Live));
    }
}

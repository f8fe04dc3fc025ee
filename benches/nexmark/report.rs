//! What docs/performance.md shows, measured in one sitting and written there: tables, figures, a chart.

use std::fs;
use std::path::Path;

use crate::arguments::{Arguments, Mode};
use crate::case::{Case, measure_all};
use crate::figures::Figures;
use crate::goals::{LATENCY_MS, QUERIES, goal};
use crate::query::Query;
use crate::{chart, table};

/// Around what is written into the document.
const BEGIN: &str = "<!-- nexmark: written by the command above -->";
const END: &str = "<!-- end of nexmark -->";

/// Between checkpoints, where they are on: so short that there are some in a run of a second.
const INTERVAL: &str = "250ms";

/// Measures and writes.
///
/// # Errors
/// When a measurement fails, or a file can't be read or written.
pub fn write(folder: &Path, arguments: &Arguments) -> Result<String, String> {
    let document = folder.join("performance.md");
    let old = fs::read_to_string(&document).map_err(|e| format!("{}: {e}", document.display()))?;
    // Whether there is a place for it is asked before all the work.
    replaced(&old, "")?;
    let figures = measure_all(&cases()?, arguments)?;
    let json = figures.iter().map(|f| serde_json::to_string(f).map_err(|e| e.to_string())).collect::<Result<Vec<_>, _>>()?;
    let text = tables(&figures);
    let write = |name: &str, text: String| fs::write(folder.join(name), text).map_err(|e| format!("{}: {e}", folder.join(name).display()));
    write("performance.md", replaced(&old, &text)?)?;
    write("performance.json", format!("[\n{}\n]\n", json.join(",\n")))?;
    write("performance.svg", chart::draw(&figures))?;
    Ok(text)
}

/// Queries with a goal from all inputs, with and without checkpoints, and against the clock; the others in memory.
fn cases<'a>() -> Result<Vec<Case<'a>>, String> {
    let mut cases = Vec::new();
    let with_goal = QUERIES.iter().map(|(name, _)| Query::named(name)).collect::<Result<Vec<_>, _>>()?;
    for mode in [Mode::Ndjson, Mode::Merged, Mode::Memory] {
        for &query in &with_goal {
            cases.extend([1, 2].map(|workers| Case { query, mode, workers, interval: None }));
            if mode == Mode::Memory {
                cases.push(Case { query, mode, workers: 1, interval: Some(INTERVAL) });
            }
        }
    }
    let others = Query::all().filter(|query| with_goal.iter().all(|other| other.name != query.name));
    cases.extend(others.map(|query| Case { query, mode: Mode::Memory, workers: 1, interval: None }));
    cases.extend(with_goal.iter().map(|&query| Case { query, mode: Mode::Live, workers: 1, interval: None }));
    Ok(cases)
}

fn replaced(document: &str, text: &str) -> Result<String, String> {
    let missing = || format!("performance.md has no line `{BEGIN}` and a line `{END}` after it, between which to write");
    let (before, rest) = document.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(format!("{before}{BEGIN}\n\n{text}\n\n{END}{after}"))
}

fn tables(figures: &[Figures]) -> String {
    let others: Vec<&Figures> = figures.iter().filter(|f| goal(&f.query, Mode::Memory).is_none()).collect();
    let live: Vec<&Figures> = figures.iter().filter(|f| f.mode == "live").collect();
    [
        "![Million events for each second of CPU time, and the goals](performance.svg)".to_owned(),
        "Million events for each second of CPU time, with one worker; in brackets the goal.".to_owned(),
        reached(figures),
        "From one worker to two: million events for each second of wall-clock time, and how many times as many that is.".to_owned(),
        scaling(figures),
        format!(
            "With a checkpoint every {INTERVAL}, in process, one worker: million events for each second of CPU time. Peak memory in MiB."
        ),
        checkpoints(figures),
        format!("How long results take at 10,000 events a second (goal: 99 % within {LATENCY_MS} ms)."),
        table::latencies(&live),
        "The other queries, in process, one worker.".to_owned(),
        table::costs(&others),
    ]
    .join("\n\n")
}

/// Finds the figures of a case without checkpoints.
fn find<'a>(figures: &'a [Figures], query: &str, mode: Mode, workers: usize) -> Option<&'a Figures> {
    figures.iter().find(|f| f.query == query && f.mode == mode.name() && f.workers == workers && f.checkpoints.is_none())
}

fn reached(figures: &[Figures]) -> String {
    let cell = |query: &str, mode: Mode| {
        let per_cpu_second = find(figures, query, mode, 1).map_or(0.0, Figures::per_cpu_second);
        format!("{per_cpu_second:.1} ({})", goal(query, mode).unwrap_or_default())
    };
    let rows = QUERIES.iter().map(|(query, name)| {
        let cells = [Mode::Ndjson, Mode::Merged, Mode::Memory].map(|mode| cell(query, mode));
        [(*name).to_owned()].into_iter().chain(cells).collect()
    });
    table::markdown(&["query", "NDJSON, a file for each type", "NDJSON, one file", "in process"], rows, &[1, 2, 3])
}

fn scaling(figures: &[Figures]) -> String {
    let cell = |query: &str, mode: Mode| match (find(figures, query, mode, 1), find(figures, query, mode, 2)) {
        (Some(one), Some(two)) => {
            let [one, two] = [one, two].map(Figures::per_second);
            format!("{one:.1} → {two:.1} (× {:.2})", two / one)
        }
        _ => String::new(),
    };
    let rows = QUERIES.iter().map(|(query, name)| {
        let cells = [Mode::Ndjson, Mode::Merged, Mode::Memory].map(|mode| cell(query, mode));
        [(*name).to_owned()].into_iter().chain(cells).collect()
    });
    table::markdown(&["query", "NDJSON, a file for each type", "NDJSON, one file", "in process"], rows, &[1, 2, 3])
}

fn checkpoints(figures: &[Figures]) -> String {
    let rows = QUERIES.iter().map(|(query, name)| {
        let without = find(figures, query, Mode::Memory, 1).map_or(0.0, Figures::per_cpu_second);
        let with = figures.iter().find(|f| f.query == *query && f.checkpoints.is_some()).map_or(0.0, Figures::per_cpu_second);
        let peak = |mode: Mode, workers: usize| find(figures, query, mode, workers).map_or(0.0, |f| f.peak_mib);
        let mut row = vec![(*name).to_owned(), format!("{without:.1}"), format!("{with:.1}")];
        row.extend([(Mode::Ndjson, 1), (Mode::Ndjson, 2), (Mode::Merged, 2)].map(|(mode, workers)| format!("{:.0}", peak(mode, workers))));
        row
    });
    let headers = ["query", "without", "with", "MiB: NDJSON, 1 worker", "2 workers", "one file, 2 workers"];
    table::markdown(&headers, rows, &[1, 2, 3, 4, 5])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let document = format!("above\n{BEGIN}\nold\n{END}\nbelow\n");
        assert_eq!(replaced(&document, "new").unwrap(), format!("above\n{BEGIN}\n\nnew\n\n{END}\nbelow\n"));
        assert!(replaced("nothing", "new").is_err());
    }

    #[test]
    fn every_case_of_the_report_has_a_query() {
        let cases = cases().unwrap();
        assert!(cases.len() > 50);
        assert!(cases.iter().any(|case| case.mode == Mode::Live));
    }
}

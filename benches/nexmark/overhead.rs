//! What checkpoints cost: each query with and without them, in turn, in runs that last long enough to have some.

use std::io::Write;
use std::path::Path;

use crate::arguments::{Arguments, Mode};
use crate::case::{Case, queries};
use crate::cores::Cores;
use crate::figures::Figures;
use crate::query::Query;
use crate::report::{replaced, write_part};
use crate::{report, table};

/// The part of the document.
const PART: &str = "checkpoints";

/// Between checkpoints.
const INTERVAL: &str = "10s";

/// What a process takes in memory before any state, in MiB, roughly.
const EMPTY_MIB: f64 = 30.0;

/// All runs of one query, in the order in which they were.
struct Pairs {
    without: Vec<Figures>,
    with: Vec<Figures>,
}

/// The medians of a query's runs.
struct Compared {
    without: Figures,
    with: Figures,
    /// The CPU seconds of all runs without and with checkpoints, where there are several.
    spans: [String; 2],
}

/// Measures and writes.
///
/// # Errors
/// When a measurement fails, or the document can't be read or written.
pub fn write(folder: &Path, arguments: &Arguments) -> Result<String, String> {
    // Whether there is a place for it is asked before all the work.
    replaced(&report::read(folder)?, PART, "")?;
    let cores = if arguments.unpinned { None } else { Cores::find() };
    let mut all = Vec::new();
    for query in queries(arguments)? {
        let compared = pairs(query, arguments, cores.as_ref())?.compared()?;
        // An hour without a word is long.
        let _ = writeln!(std::io::stderr(), "{}", compared.row().join("  "));
        all.push(compared);
    }
    let text = render(&all, arguments);
    write_part(folder, PART, &text)?;
    Ok(text)
}

fn pairs(query: Query, arguments: &Arguments, cores: Option<&Cores>) -> Result<Pairs, String> {
    let workers = arguments.workers.first().copied().unwrap_or(1);
    let case = Case { query, mode: Mode::Made, workers, interval: None, events: arguments.events };
    let short = case.measure_apart(arguments, cores)?;
    let events = events(&short, arguments.events, arguments.lasting, arguments.most_mib);
    let mut pairs = Pairs { without: Vec::new(), with: Vec::new() };
    for _ in 0..arguments.runs.max(1) {
        pairs.without.push(Case { events, ..case }.measure_apart(arguments, cores)?);
        pairs.with.push(Case { events, interval: Some(INTERVAL), ..case }.measure_apart(arguments, cores)?);
    }
    Ok(pairs)
}

/// How many events make a run that lasts so long and needs no more memory than this, to judge by a short one over `short_events`.
fn events(short: &Figures, short_events: u64, seconds: u64, most_mib: u64) -> u64 {
    let for_time = short_events as f64 * seconds as f64 / short.seconds.max(0.01);
    let grown_mib = (short.peak_mib - EMPTY_MIB).max(1.0);
    let for_memory = short_events as f64 * most_mib as f64 / grown_mib;
    for_time.min(for_memory).max(short_events as f64) as u64
}

impl Pairs {
    /// The medians, if all have the same result.
    fn compared(self) -> Result<Compared, String> {
        let spans = [&self.without, &self.with].map(|figures| span(figures));
        let [without, with] = [Figures::median(self.without)?, Figures::median(self.with)?];
        if !with.has_result_of(&without) {
            return Err(format!("the results of {} differ: {} and {}", with.query, without.result(), with.result()));
        }
        Ok(Compared { without, with, spans })
    }
}

/// The least and the most CPU seconds, where there are several runs.
fn span(figures: &[Figures]) -> String {
    let all = figures.iter().map(|f| f.cpu_seconds);
    let (least, most) = (all.clone().fold(f64::INFINITY, f64::min), all.fold(0.0, f64::max));
    if figures.len() > 1 { format!(" ({least:.1} to {most:.1})") } else { String::new() }
}

impl Compared {
    /// A line of the table.
    fn row(&self) -> Vec<String> {
        let Compared { without, with, spans } = self;
        let time = |f: &Figures, span: &str| format!("{:.1} + {:.1}{span}", f.cpu_seconds - f.system_seconds, f.system_seconds);
        vec![
            with.query.clone(),
            format!("{:.1}", with.events as f64 / 1e6),
            format!("{:.0}", without.seconds),
            time(without, &spans[0]),
            time(with, &spans[1]),
            ratio(without.cpu_seconds, with.cpu_seconds),
            with.checkpoints_written.to_string(),
            megabytes(with.checkpoint_bytes),
            format!("{:.0}", without.peak_mib),
            format!("{:.0}", with.peak_mib),
        ]
    }
}

fn ratio(without: f64, with: f64) -> String {
    format!("{:.3}", with / without.max(0.01))
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

/// The line of all queries together.
fn total(all: &[Compared]) -> Vec<String> {
    let sum = |of: fn(&Compared) -> f64| all.iter().map(of).sum::<f64>();
    let (without, with) = (sum(|c| c.without.cpu_seconds), sum(|c| c.with.cpu_seconds));
    vec![
        "all".to_owned(),
        String::new(),
        format!("{:.0}", sum(|c| c.without.seconds)),
        format!("{without:.1}"),
        format!("{with:.1}"),
        ratio(without, with),
        all.iter().map(|c| c.with.checkpoints_written).sum::<u64>().to_string(),
        megabytes(all.iter().map(|c| c.with.checkpoint_bytes).sum()),
        String::new(),
        String::new(),
    ]
}

fn render(all: &[Compared], arguments: &Arguments) -> String {
    let headers =
        ["query", "M events", "s", "CPU s without", "CPU s with", "ratio", "checkpoints", "MB written", "peak MiB without", "with"];
    let runs = match arguments.runs.max(1) {
        1 => "one run of each".to_owned(),
        runs => format!("medians of {runs} runs of each"),
    };
    let workers = arguments.workers.first().copied().unwrap_or(1);
    let about = format!(
        "Without checkpoints and with one every {INTERVAL}, in turn, {runs}, workers: {workers}. User and system time of the whole process, with the making of the events; the last checkpoint is that at the end."
    );
    let right: Vec<usize> = (1..headers.len()).collect();
    let rows = all.iter().map(Compared::row).chain([total(all)]);
    format!("{about}\n\n{}", table::markdown(&headers, rows, &right))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(seconds: f64, cpu_seconds: f64, peak_mib: f64) -> Figures {
        Figures {
            query: "q1".to_owned(),
            mode: Mode::Made.name().to_owned(),
            workers: 1,
            cores: None,
            checkpoints: None,
            events: 30_000_000,
            events_read: 30_000_000,
            rows_out: 7,
            checksum: "c".to_owned(),
            seconds,
            cpu_seconds,
            system_seconds: 1.0,
            checkpoints_written: 3,
            checkpoint_bytes: 4_500_000,
            peak_mib,
            latency: None,
        }
    }

    #[test]
    fn a_run_lasts_as_long_as_memory_allows() {
        assert_eq!(events(&figures(0.5, 0.5, 40.0), 1_000_000, 30, 6_000), 60_000_000);
        assert_eq!(events(&figures(0.5, 0.5, 330.0), 1_000_000, 30, 6_000), 20_000_000);
        assert_eq!(events(&figures(60.0, 0.5, 9_000.0), 1_000_000, 30, 6_000), 1_000_000, "never less than was measured");
    }

    #[test]
    fn a_query_is_one_line_with_its_ratio() {
        let pairs = Pairs {
            without: [10.0, 12.0, 11.0].map(|cpu| figures(30.0, cpu, 50.0)).into(),
            with: [12.0, 13.0, 11.55].map(|cpu| figures(31.0, cpu, 60.0)).into(),
        };
        let compared = pairs.compared().unwrap();
        let expected = ["q1", "30.0", "30", "10.0 + 1.0 (10.0 to 12.0)", "11.0 + 1.0 (11.6 to 13.0)", "1.091", "3", "4.5", "50", "60"];
        assert_eq!(compared.row(), expected);
        assert_eq!(total(&[compared])[3..8], ["11.0", "12.0", "1.091", "3", "4.5"]);
        let other = Figures { checksum: "d".to_owned(), ..figures(30.0, 10.0, 50.0) };
        assert!(Pairs { without: vec![figures(30.0, 10.0, 50.0)], with: vec![other] }.compared().is_err());
    }
}

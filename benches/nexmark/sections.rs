//! The tables of docs/performance.md, with what stands between them.

use crate::arguments::Mode;
use crate::figures::Figures;
use crate::goals::{LATENCY_MS, QUERIES, goal};
use crate::report::INTERVAL;
use crate::table;

/// The inputs of which there are figures for every query with a goal.
const INPUTS: [Mode; 3] = [Mode::Ndjson, Mode::Merged, Mode::Memory];
const HEADERS: [&str; 4] = ["query", "NDJSON, a file for each type", "NDJSON, one file", "in process"];

/// All of them: of the input as long as it is asked for, and of queries with a goal over one that is many times as long.
pub fn render(figures: &[Figures], long: &[Figures]) -> String {
    let live: Vec<&Figures> = figures.iter().filter(|f| f.mode == Mode::Live.name()).collect();
    [
        "![Million events for each second of CPU time, and the goals](performance.svg)".to_owned(),
        format!("{} Million events for each second of CPU time, with one worker; in brackets the goal.", placed(figures)),
        reached(figures),
        "From one worker to two: million events for each second of wall-clock time, and how many times as many that is.".to_owned(),
        scaling(figures, long),
        format!(
            "With a checkpoint every {INTERVAL}, in process, one worker: million events for each second of CPU time. Peak memory in MiB."
        ),
        checkpoints(figures),
        "Peak memory in MiB, one file, one worker, as the input gets longer.".to_owned(),
        lengths(figures, long),
        format!(
            "How long results take at 10,000 events a second (goal: 99 % within {LATENCY_MS} ms), threads where the system places them."
        ),
        table::latencies(&live),
        "The other queries, one worker: million events for each second of CPU time.".to_owned(),
        others(figures),
    ]
    .join("\n\n")
}

/// Where the threads ran: each measurement is kept on as many cores as it has workers, if there is a way.
fn placed(figures: &[Figures]) -> &'static str {
    let pinned = |f: &Figures| f.cores == Some(f.workers);
    match figures.iter().filter(|f| f.mode != Mode::Live.name()).all(pinned) {
        true => "One worker runs on one core, two run on two.",
        false => {
            "Threads ran where the system placed them, one worker too, for want of a way to keep them on a core: that hides what a second one brings."
        }
    }
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
        let cells = INPUTS.map(|mode| cell(query, mode));
        [(*name).to_owned()].into_iter().chain(cells).collect()
    });
    table::markdown(&HEADERS, rows, &[1, 2, 3])
}

fn scaling(figures: &[Figures], long: &[Figures]) -> String {
    let cell = |figures: &[Figures], query: &str, mode: Mode| match (find(figures, query, mode, 1), find(figures, query, mode, 2)) {
        (Some(one), Some(two)) => {
            let [one, two] = [one, two].map(Figures::per_second);
            format!("{one:.1} → {two:.1} (× {:.2})", two / one)
        }
        _ => String::new(),
    };
    let rows = QUERIES.iter().map(|(query, name)| {
        let [by_type, merged, memory] = INPUTS.map(|mode| cell(figures, query, mode));
        vec![(*name).to_owned(), by_type, merged, cell(long, query, Mode::Merged), memory]
    });
    let [query, by_type, merged, memory] = HEADERS;
    let of_long = format!("one file, {} events", table::thousands(long.first().map_or(0, |f| f.events)));
    table::markdown(&[query, by_type, merged, &of_long, memory], rows, &[1, 2, 3, 4])
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

/// The peak of each query from the file of all types, and from one that is longer.
fn lengths(figures: &[Figures], long: &[Figures]) -> String {
    let rows =
        long.iter().filter(|long| long.workers == 1).filter_map(|long| Some((find(figures, &long.query, Mode::Merged, 1)?, long))).map(
            |(short, long)| {
                let cell = |f: &Figures| format!("{:.0}", f.peak_mib);
                vec![long.query.clone(), cell(short), cell(long)]
            },
        );
    let events = [figures.iter().find(|f| f.mode == Mode::Merged.name()), long.first()];
    let [short, long] = events.map(|f| format!("{} events", table::thousands(f.map_or(0, |f| f.events))));
    table::markdown(&["query", &short, &long], rows, &[1, 2])
}

/// The queries without a goal.
fn others(figures: &[Figures]) -> String {
    let in_memory = figures.iter().filter(|f| f.mode == Mode::Memory.name() && goal(&f.query, Mode::Memory).is_none());
    let rows = in_memory.map(|memory| {
        let file = find(figures, &memory.query, Mode::Merged, 1);
        let of_file = |shown: fn(&Figures) -> String| file.map_or_else(String::new, shown);
        vec![
            memory.query.clone(),
            of_file(|f| format!("{:.1}", f.per_cpu_second())),
            format!("{:.1}", memory.per_cpu_second()),
            of_file(|f| format!("{:.0}", f.peak_mib)),
            memory.rows_out.to_string(),
            memory.checksum.clone(),
        ]
    });
    let headers = ["query", "NDJSON, one file", "in process", "peak MiB from the file", "rows out", "checksum"];
    table::markdown(&headers, rows, &[1, 2, 3, 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(query: &str, mode: Mode, workers: usize, cores: Option<usize>, peak_mib: f64) -> Figures {
        Figures {
            query: query.to_owned(),
            mode: mode.name().to_owned(),
            workers,
            cores,
            checkpoints: None,
            events: 2_000_000,
            events_read: 2_000_000,
            rows_out: 7,
            checksum: "c".to_owned(),
            seconds: 1.0,
            cpu_seconds: 0.5,
            system_seconds: 0.1,
            checkpoints_written: 0,
            checkpoint_bytes: 0,
            peak_mib,
            latency: None,
        }
    }

    #[test]
    fn memory_stands_beside_that_of_the_longer_input() {
        let short = [figures("q1", Mode::Merged, 2, None, 50.0), figures("q1", Mode::Merged, 1, None, 30.4)];
        let long = [Figures { events: 20_000_000, ..figures("q1", Mode::Merged, 1, None, 30.6) }];
        let table = lengths(&short, &long);
        assert!(table.contains("| query | 2,000,000 events | 20,000,000 events |"), "{table}");
        assert!(table.contains("| q1    |               30 |                31 |"), "{table}");
    }

    #[test]
    fn what_a_second_worker_brings_stands_beside_that_over_the_longer_input() {
        let figures = |workers, seconds| Figures { seconds, ..figures("q1", Mode::Merged, workers, Some(workers), 0.0) };
        let long = |workers, seconds| Figures { events: 20_000_000, events_read: 20_000_000, ..figures(workers, seconds) };
        let table = scaling(&[figures(1, 1.0), figures(2, 0.8)], &[long(1, 10.0), long(2, 5.0)]);
        assert!(table.contains("one file, 20,000,000 events"), "{table}");
        assert!(table.contains("2.0 → 2.5 (× 1.25) | ") && table.contains("2.0 → 4.0 (× 2.00) | "), "{table}");
    }

    #[test]
    fn a_query_without_a_goal_has_both_inputs_in_one_row() {
        let all = [
            figures("q9", Mode::Merged, 1, None, 30.0),
            figures("q9", Mode::Memory, 1, None, 99.0),
            figures("q1", Mode::Memory, 1, None, 1.0),
        ];
        let table = others(&all);
        assert_eq!(table.lines().count(), 3, "{table}");
        assert!(table.lines().last().unwrap().split_whitespace().eq("| q9 | 4.0 | 4.0 | 30 | 7 | c |".split(' ')), "{table}");
    }

    #[test]
    fn it_is_said_when_threads_were_not_kept_on_cores() {
        let pinned = figures("q1", Mode::Memory, 1, Some(1), 0.0);
        assert!(placed(&[pinned.clone(), figures("q1", Mode::Live, 1, None, 0.0)]).starts_with("One worker runs on one core"));
        assert!(placed(&[pinned, figures("q2", Mode::Memory, 1, None, 0.0)]).starts_with("Threads ran where the system placed them"));
    }
}

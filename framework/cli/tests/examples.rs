//! Every example gives the output that is committed beside it, and gives it however the engine is cut.
//!
//! The expected rows are computed by `oracle.py` of each example, which knows the semantics and nothing of Millstream.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

mod support;

use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{Run, applied, assert_same_rows, columns, read_rows, repository, sorted_lines};
use tempfile::TempDir;

/// An example, and the sinks whose output is compared.
struct Example {
    name: &'static str,
    sinks: &'static [Sink],
}

/// A file sink of an example.
struct Sink {
    name: &'static str,
    /// Its file in `expected/`; the format goes by the ending.
    expected: &'static str,
    /// The columns to compare; empty: all.
    columns: &'static [&'static str],
}

const fn sink(name: &'static str, expected: &'static str) -> Sink {
    Sink { name, expected, columns: &[] }
}

const EXAMPLES: &[Example] = &[
    Example { name: "flights", sinks: &[sink("archive", "delays.csv"), sink("too_late", "late.ndjson")] },
    Example {
        name: "fleet",
        sinks: &[
            sink("changes", "changes.ndjson"),
            // The reason and the place are for people; that the right lines are there is what counts.
            Sink { name: "unusable", expected: "rejected.ndjson", columns: &["raw"] },
        ],
    },
    Example { name: "airports", sinks: &[sink("load_file", "load.csv"), sink("peaks_file", "peaks.ndjson")] },
    Example { name: "incidents", sinks: &[sink("book", "day_book.ndjson")] },
    Example { name: "conditions", sinks: &[sink("delays_file", "delays.csv"), sink("turnarounds_file", "turnarounds.ndjson")] },
];

impl Example {
    fn folder(&self) -> PathBuf {
        repository().join("examples").join(self.name)
    }

    /// Runs it with these settings; the folder where its output is.
    fn run(&self, settings: &[(&str, String)]) -> TempDir {
        let out = tempfile::tempdir().unwrap();
        let mut run = Run::new(self.folder().join("topology.toml"));
        for sink in self.sinks {
            run = run.set(&format!("sinks.{}.path", sink.name), out.path().join(sink.expected).display());
        }
        run = settings.iter().fold(run, |run, (key, value)| run.set(key, value));
        run.finish().unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), self.sinks.len(), "{}: a file was left behind", self.name);
        out
    }

    /// The rows of each sink, changes applied.
    fn rows(&self, settings: &[(&str, String)]) -> Vec<Vec<Value>> {
        let out = self.run(settings);
        self.sinks.iter().map(|sink| rows_of(sink, out.path())).collect()
    }

    /// The lines of each sink's file to the byte, sorted; of a file of changes those of the rows that are left.
    fn lines(&self, settings: &[(&str, String)]) -> Vec<Vec<String>> {
        let out = self.run(settings);
        self.sinks.iter().map(|sink| sorted_lines(&out.path().join(sink.expected))).collect()
    }

    /// Fails when the output is not the same to the byte with every one of these settings of the engine.
    fn assert_same_whatever(&self, inputs: &[(&str, String)], workers: &[usize], batch_rows: &[usize]) {
        let mut first: Option<Vec<Vec<String>>> = None;
        for workers in workers {
            for batch_rows in batch_rows {
                for mailbox in [1, 8] {
                    let engine = [("runtime.workers", *workers), ("runtime.batch_rows", *batch_rows), ("runtime.mailbox", mailbox)];
                    let mut settings = inputs.to_vec();
                    settings.extend(engine.map(|(key, number)| (key, number.to_string())));
                    let lines = self.lines(&settings);
                    let first = first.get_or_insert_with(|| lines.clone());
                    assert!(first.iter().all(|lines| !lines.is_empty()), "{}: nothing was compared", self.name);
                    for ((one, other), sink) in first.iter().zip(&lines).zip(self.sinks) {
                        assert!(one == other, "{}/{}: {engine:?} shows in the output", self.name, sink.expected);
                    }
                }
            }
        }
    }
}

/// The rows of a sink's file in `folder`, as they are compared.
fn rows_of(sink: &Sink, folder: &Path) -> Vec<Value> {
    let rows = applied(read_rows(&folder.join(sink.expected)));
    if sink.columns.is_empty() { rows } else { columns(rows, sink.columns) }
}

#[test]
fn every_example_gives_its_expected_output() {
    for example in EXAMPLES {
        for (sink, rows) in example.sinks.iter().zip(example.rows(&[])) {
            let expected = rows_of(sink, &example.folder().join("expected"));
            assert_same_rows(&format!("{}/{}", example.name, sink.expected), &rows, &expected);
        }
    }
}

/// The tests in the examples' own files, where there are any.
#[test]
fn every_example_passes_the_tests_in_its_file() {
    let mut passed = 0;
    for example in EXAMPLES {
        let output = support::test(&example.folder().join("topology.toml")).unwrap_or_else(|failure| panic!("{failure}"));
        passed += output.lines().filter(|line| line.starts_with("ok ")).count();
    }
    assert!(passed >= 8, "only {passed} tests have passed");
}

/// The recipes have no input of their own: their tests are what shows that they do what they say.
#[test]
fn every_recipe_passes_its_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/recipes");
    let listed = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let recipes: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension() == Some("toml".as_ref()))
        .collect();
    assert!(recipes.len() >= 6, "{recipes:?}");
    for recipe in recipes {
        let name = recipe.file_name().unwrap().to_string_lossy().into_owned();
        assert!(listed.contains(&format!("]({name})")), "{name} is not in README.md");
        let output = support::test(&recipe).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(output.lines().any(|line| line.starts_with("ok ")), "{name} has no test");
    }
}

/// The table of the README's first command, asked for as JSON so that it can be read.
#[test]
fn the_flights_summary_is_right() {
    let example = &EXAMPLES[0];
    let out = tempfile::tempdir().unwrap();
    let run = Run::new(example.folder().join("topology.toml")).set("sinks.summary.format", "json");
    let run =
        example.sinks.iter().fold(run, |run, sink| run.set(&format!("sinks.{}.path", sink.name), out.path().join(sink.expected).display()));
    let output = run.finish().unwrap_or_else(|failure| panic!("{failure}"));
    let rows: Vec<Value> = String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_same_rows("flights/summary", &rows, &read_rows(&example.folder().join("expected/summary.ndjson")));
}

/// The first lines of every input, so that batches of one row stay affordable in a debug build.
fn shortened_inputs(example: &Example, lines: usize) -> (TempDir, Vec<(&'static str, String)>) {
    let folder = tempfile::tempdir().unwrap();
    let sources: &[(&str, &str)] = match example.name {
        "flights" => &[("sources.departures.path", "departures.ndjson")],
        "fleet" => &[("sources.planes.path", "planes.csv")],
        "airports" => &[("sources.schedule.path", "departures.ndjson")],
        "incidents" => &[("sources.weather.path", "weather.ndjson"), ("sources.departures.path", "departures.ndjson")],
        "conditions" => &[("sources.weather.path", "weather.ndjson"), ("sources.departures.path", "departures.ndjson")],
        other => panic!("no inputs known for {other}"),
    };
    let settings = sources.iter().map(|(key, file)| {
        let text = std::fs::read_to_string(repository().join("examples/data").join(file)).unwrap();
        let head: String = text.split_inclusive('\n').take(lines).collect();
        let path = folder.path().join(file);
        std::fs::write(&path, head).unwrap();
        (*key, path.display().to_string())
    });
    let settings = settings.collect();
    (folder, settings)
}

/// Workers 1, 2, 4 × batches of 1, 7, 1000, 8192 rows × mailboxes of 1 and 8, over the first 1,500 rows of each input.
#[test]
fn no_setting_of_the_engine_shows_in_any_output() {
    for example in EXAMPLES {
        let (_folder, mut settings) = shortened_inputs(example, 1_500);
        if example.name == "flights" {
            // So that some of these few rows are late.
            settings.push(("sources.departures.time.max_delay", "1h".to_owned()));
        }
        example.assert_same_whatever(&settings, &[1, 2, 4], &[1, 7, 1000, 8192]);
    }
}

/// The same over all rows, with the two sizes of batches for which that takes seconds.
#[test]
fn no_setting_of_the_engine_shows_in_the_output_of_all_rows() {
    for example in EXAMPLES {
        example.assert_same_whatever(&[], &[1, 2, 4], &[1000, 8192]);
    }
}

/// All rows of the flights at one hour of patience, where two of three come too late: 17,042 by the oracle.
#[test]
fn lateness_is_exact_to_the_row_whatever_the_batches() {
    let example = &EXAMPLES[0];
    for (workers, batch_rows) in [(1, 8192), (2, 1000), (4, 100)] {
        let settings = [
            ("sources.departures.time.max_delay", "1h".to_owned()),
            ("runtime.workers", workers.to_string()),
            ("runtime.batch_rows", batch_rows.to_string()),
        ];
        let rows = example.rows(&settings);
        let flights: i64 = rows[0].iter().map(|row| row["flights"].as_i64().unwrap()).sum();
        assert_eq!((rows[0].len(), flights, rows[1].len()), (2_885, 9_441, 17_042), "workers {workers}, batch_rows {batch_rows}");
    }
}

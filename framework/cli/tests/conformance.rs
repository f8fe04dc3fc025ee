//! Every folder of `conformance/cases`: the rows that another stream processor publishes for the same query.
//!
//! Each case runs as it is and with the engine cut in many ways, since neither the number of workers nor the size of batches
//! may show in a result.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use support::{Run, applied, difference, read_rows};

/// The folders, sorted.
fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/cases");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 106, "some cases are gone: {} are left", cases.len());
    cases
}

/// Numbers of workers and of rows in a batch.
type Cut = (usize, usize);

/// All there are, for inputs of some rows.
const ALL: [Cut; 9] = [(1, 1), (1, 3), (1, 8192), (2, 1), (2, 3), (2, 8192), (4, 1), (4, 3), (4, 8192)];

/// Each number once, for inputs of thousands of rows: the smallest batches where most workers can overtake one another.
const FEW: [Cut; 3] = [(1, 3), (2, 8192), (4, 1)];

/// Inputs with more bytes have thousands of rows.
const LONG_BYTES: u64 = 100_000;

/// What `case.json` says.
fn about(case: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(case.join("case.json")).unwrap()).unwrap()
}

/// How the engine is cut for a case.
fn cuts(case: &Path) -> &'static [Cut] {
    let bytes = |input: &Value| {
        let file = input["file"].as_str().unwrap();
        let shared = file.strip_prefix("inputs/").map(|file| case.join("../../inputs").join(file));
        std::fs::metadata(shared.unwrap_or_else(|| case.join(file))).unwrap().len()
    };
    let about = about(case);
    if about["inputs"].as_array().unwrap().iter().map(bytes).sum::<u64>() > LONG_BYTES { &FEW } else { &ALL }
}

/// What is wrong with the rows of a case under these settings; `None` when they are right.
fn failure(case: &Path, cut: Option<Cut>) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let result = folder.path().join("result.ndjson");
    let mut run = Run::new(case.join("topology.toml"));
    if let Some((workers, batch_rows)) = cut {
        run = run.set("runtime.workers", workers).set("runtime.batch_rows", batch_rows);
    }
    if let Err(failure) = run.set("sinks.result.path", result.display()).finish() {
        return Some(failure);
    }
    let rows = read_rows(&result);
    let rows = match about(case)["expect"]["compare"].as_str() {
        Some("append") => rows,
        Some("final_state") => applied(rows),
        other => panic!("{}: compare is {other:?}", case.display()),
    };
    let found = difference(&rows, &read_rows(&case.join("expected.ndjson")))?;
    Some(format!("{} {cut:?}: {found}", case.display()))
}

/// What is wrong with any of these, as many at a time as the machine has processors.
fn failures(runs: &[(PathBuf, Option<Cut>)]) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let taken = std::iter::from_fn(|| runs.get(next.fetch_add(1, Ordering::Relaxed)));
        taken.filter_map(|(case, cut)| failure(case, *cut)).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..processors).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

fn assert_no_failures(failures: &[String]) {
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n\n"));
}

#[test]
fn every_case_gives_the_published_rows() {
    let runs: Vec<_> = cases().into_iter().map(|case| (case, None)).collect();
    assert_no_failures(&failures(&runs));
}

#[test]
fn neither_workers_nor_batches_show_in_the_rows() {
    let of_case = |case: PathBuf| cuts(&case).iter().map(|cut| (case.clone(), Some(*cut))).collect::<Vec<_>>();
    let runs: Vec<_> = cases().into_iter().flat_map(of_case).collect();
    let cases = cases().len();
    assert!((8 * cases..9 * cases).contains(&runs.len()), "{} runs: long inputs are not told from short ones", runs.len());
    assert_no_failures(&failures(&runs));
}

//! Every folder of `conformance/cases`: the rows that another stream processor publishes for the same query.
//!
//! Each case runs as it is and with the engine cut in many ways, since neither the number of workers nor the size of batches
//! may show in a result.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

mod support;

use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{Run, applied, difference, read_rows};

/// The folders, sorted.
fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/cases");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 95, "some cases are gone: {} are left", cases.len());
    cases
}

/// What is wrong with the rows of a case under these settings; `None` when they are right.
fn failure(case: &Path, settings: &[(&str, usize)]) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let result = folder.path().join("result.ndjson");
    let run = settings.iter().fold(Run::new(case.join("topology.toml")), |run, (key, value)| run.set(key, value));
    if let Err(failure) = run.set("sinks.result.path", result.display()).finish() {
        return Some(failure);
    }
    let about: Value = serde_json::from_str(&std::fs::read_to_string(case.join("case.json")).unwrap()).unwrap();
    let rows = read_rows(&result);
    let rows = match about["expect"]["compare"].as_str() {
        Some("append") => rows,
        Some("final_state") => applied(rows),
        other => panic!("{}: compare is {other:?}", case.display()),
    };
    let found = difference(&rows, &read_rows(&case.join("expected.ndjson")))?;
    Some(format!("{} {settings:?}: {found}", case.display()))
}

fn assert_no_failures(failures: &[String]) {
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n\n"));
}

#[test]
fn every_case_gives_the_published_rows() {
    let failures: Vec<String> = cases().iter().filter_map(|case| failure(case, &[])).collect();
    assert_no_failures(&failures);
}

#[test]
fn neither_workers_nor_batches_show_in_the_rows() {
    let mut failures = Vec::new();
    for case in cases() {
        for workers in [1, 2, 4] {
            for batch_rows in [1, 3, 8192] {
                failures.extend(failure(&case, &[("runtime.workers", workers), ("runtime.batch_rows", batch_rows)]));
            }
        }
    }
    assert_no_failures(&failures);
}

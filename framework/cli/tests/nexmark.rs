//! The topologies of `config/nexmark` against DuckDB on the same events.
//!
//! Needs Python 3 with the package `duckdb`; without it the test says that it was skipped, unless `NEXMARK_REQUIRED` is set, as
//! it is in CI. `NEXMARK_EVENTS` says how many events there are, `NEXMARK_BINARY` which binary runs them.

use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/nexmark")
}

/// Whether Python has what the comparison needs.
fn has_duckdb() -> bool {
    Command::new("python3").args(["-c", "import duckdb"]).output().is_ok_and(|output| output.status.success())
}

#[test]
fn every_query_gives_the_rows_of_duckdb() {
    if !has_duckdb() {
        assert!(std::env::var_os("NEXMARK_REQUIRED").is_none(), "Python 3 with the package `duckdb` is not there");
        eprintln!("skipped: Python 3 with the package `duckdb` is not there (pip install duckdb)");
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let binary = std::env::var("NEXMARK_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_millstream").to_owned());
    let events = std::env::var("NEXMARK_EVENTS").unwrap_or_else(|_| "20000".to_owned());
    let output = Command::new("python3").arg(folder().join("check.py")).arg(binary).arg(out.path()).env("EVENTS", events).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("\n");
    assert!(output.status.success(), "{said}");
    eprintln!("{said}");
}

#[test]
fn every_query_stands_beside_its_question_in_sql() {
    let names = |ending: &str| {
        let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
        let of_ending = entries.filter(|path| path.extension().is_some_and(|found| found == ending));
        let mut names: Vec<String> = of_ending.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
        names.retain(|name| name != "events");
        names.sort();
        names
    };
    assert_eq!(names("toml"), names("sql"));
    assert!(names("toml").len() >= 19);
}

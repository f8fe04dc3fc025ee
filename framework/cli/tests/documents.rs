//! What the papers at the root and in `docs` show is what the command really prints, and their links lead somewhere.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Run, repository};

fn read(path: impl AsRef<Path>) -> String {
    let path = repository().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Fails unless `text` stands in the document, as one block.
fn assert_shows(document: &str, text: &str) {
    let block = format!("```\n{}\n```", text.trim_end());
    assert!(read(document).contains(&block), "{document} does not show this:\n{block}");
}

#[test]
fn the_readme_shows_the_tables_of_its_first_command() {
    let out = tempfile::tempdir().unwrap();
    let run = Run::new(repository().join("examples/flights/topology.toml"))
        .set("sinks.archive.path", out.path().join("delays.csv").display())
        .set("sinks.too_late.path", out.path().join("late.ndjson").display());
    // Rows of different carriers come in any order, so each line is looked for by itself.
    let output = run.finish().unwrap_or_else(|failure| panic!("{failure}"));
    let readme = read("README.md");
    let mut table = String::from_utf8(output.stdout).unwrap();
    assert!(table.lines().count() > 11, "no table was printed:\n{table}");
    let said = String::from_utf8(output.stderr).unwrap();
    table.extend(said.lines().skip_while(|line| !line.contains("rows in ")).take(11).map(|line| format!("{line}\n")));
    for line in table.lines() {
        assert!(readme.contains(line.trim_end()), "README.md does not show this line:\n{line}");
    }
}

#[test]
fn the_readme_shows_what_a_mistake_looks_like() {
    let folder = tempfile::tempdir().unwrap();
    let topology = folder.path().join("examples/flights/topology.toml");
    std::fs::create_dir_all(topology.parent().unwrap()).unwrap();
    std::fs::create_dir_all(folder.path().join("examples/data")).unwrap();
    std::fs::write(folder.path().join("examples/data/departures.ndjson"), "").unwrap();
    let wrong = read("examples/flights/topology.toml").replacen("input   = \"hourly\"", "input   = \"hourli\"", 1).replacen(
        "max(dep_delay) as worst",
        "max(dep_dealy) as worst",
        2,
    );
    std::fs::write(&topology, wrong).unwrap();

    let output = Command::new(env!("CARGO_BIN_EXE_millstream"))
        .args(["check", "examples/flights/topology.toml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_shows("README.md", &String::from_utf8(output.stderr).unwrap());
}

/// The first block of `docs/topology.md` is a whole topology.
#[test]
fn the_reference_begins_with_a_topology_that_runs() {
    let reference = read("docs/topology.md");
    let (_, rest) = reference.split_once("```toml\n").unwrap();
    let (topology, _) = rest.split_once("```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("topology.toml"), topology).unwrap();
    std::fs::copy(repository().join("examples/data/departures.ndjson"), folder.path().join("departures.ndjson")).unwrap();
    Run::new(folder.path().join("topology.toml")).finish().unwrap_or_else(|failure| panic!("{failure}"));
    let written = std::fs::read_to_string(folder.path().join("out/delays.ndjson")).unwrap();
    assert_eq!(written.lines().count(), 5_152);
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for document in documents(&repository()) {
        let text = std::fs::read_to_string(&document).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            if !target.starts_with("http") && !path.is_empty() && !document.parent().unwrap().join(path).exists() {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links to nothing:\n{}", broken.join("\n"));
}

/// All Markdown files of the repository.
fn documents(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(documents(&path));
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
    found
}

//! Runs that are stopped in the middle and go on as a topology that has changed.

use std::fmt::Write;

use super::command::left::applied;
use super::command::{Folder, Running, sorted};
use super::{topology, with, with_other_neighbours};

const ROWS: usize = 3_000;

/// Files whose rows do not depend on the neighbours of the nodes that give them.
const FILES: [&str; 8] =
    ["d.ndjson", "sums.ndjson", "best.ndjson", "near.ndjson", "valid.ndjson", "pairs.ndjson", "table_out.ndjson", "both.ndjson"];

/// Those with changes, of which the rows that are left count.
const CHANGES: [&str; 3] = ["n.ndjson", "l.ndjson", "t.ndjson"];

/// Without the sink that wants a service.
fn local(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with("s_post")).map(|line| format!("{line}\n")).collect()
}

fn folder(topology: &str) -> Folder {
    let (mut left, mut right, mut table) = (String::new(), String::new(), String::new());
    for row in 0..ROWS {
        let (hour, minute, second) = (row * 7 / 3600, row * 7 / 60 % 60, row * 7 % 60);
        let time = format!("2024-01-01T{hour:02}:{minute:02}:{second:02}Z");
        let c = ["UA", "AA", "DL"][row * 5 % 3];
        writeln!(left, r#"{{"id":{row},"c":"{c}","cents":{},"note":"note {row}","new":"x","at":"{time}"}}"#, row * 31 % 977).unwrap();
        writeln!(right, r#"{{"id":{},"word":"word {row}","more":"more","at":"{time}"}}"#, row.wrapping_sub(row % 3)).unwrap();
    }
    for id in 0..100 {
        writeln!(table, r#"{{"id":{id},"word":"entry {id}","more":"more"}}"#).unwrap();
    }
    Folder::with(&[("m.toml", topology), ("in.ndjson", &left), ("right.ndjson", &right), ("table.ndjson", &table)])
}

/// What all sinks have written.
fn written(folder: &Folder) -> Vec<(&'static str, Vec<String>)> {
    let lines = FILES.iter().map(|&name| (name, sorted(&folder.read(name)).into_iter().map(str::to_owned).collect()));
    lines.chain(CHANGES.iter().map(|&name| (name, applied(&folder.read(name))))).collect()
}

fn undisturbed() -> Vec<(&'static str, Vec<String>)> {
    let folder = folder(&local(&topology("")));
    let ended = folder.run(&["run", "m.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    written(&folder)
}

fn stopped(before: &str, arguments: &[&str]) -> Folder {
    let folder = folder(before);
    let mut running = Running::start(folder.telling(&[&["run", "m.toml"], arguments].concat()));
    running.until_checkpoints(2);
    running.signal("INT");
    assert_eq!(running.wait().code, Some(130));
    folder
}

/// Runs the one until it has some checkpoints, and goes on as the other.
fn goes_on(before: &str, after: &str, arguments: &[&str]) {
    let folder = stopped(before, arguments);
    std::fs::write(folder.path("m.toml"), after).unwrap();
    let ended = folder.run(&[&["run", "m.toml"], arguments].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("goes on from checkpoint"), "{}", ended.err);
    for ((name, rows), (_, expected)) in written(&folder).into_iter().zip(undisturbed()) {
        assert!(!expected.is_empty(), "{name}");
        assert_eq!(rows, expected, "{name}");
    }
}

const SLOW: &str = "rate   = 300";

#[test]
fn rows_go_on_rightly_among_other_neighbours() {
    goes_on(&local(&topology(SLOW)), &local(&with_other_neighbours(&topology(""))), &[]);
}

#[test]
fn so_they_do_on_disk() {
    let on_disk = ["--set", "runtime.state=disk", "--set", "runtime.memory=1MiB"];
    goes_on(&local(&topology(SLOW)), &local(&with_other_neighbours(&topology(""))), &on_disk);
}

#[test]
fn columns_that_a_reader_no_longer_needs_are_left_out() {
    let others = ["d", "best", "t"].map(|input| format!("z_{input} = {{ type = \"discard\", input = \"{input}\" }}\n")).concat();
    let before = local(&(topology(SLOW) + &others));
    goes_on(&before, &local(&topology("")), &[]);
    goes_on(&before, &local(&topology("")), &["--set", "runtime.state=disk", "--set", "runtime.memory=1MiB"]);
}

#[test]
fn rows_go_on_when_no_column_of_them_is_needed_any_more() {
    let counted = "[operators.cheap]\ntype = \"top_n\"\ninput = \"o\"\norder = [\"cents\"]\nn = 7\n
[operators.many]\ntype = \"aggregate\"\ninput = \"cheap\"\ncompute = [\"count(*) as many\"]\n
[sinks]\ns_many = { type = \"file\", input = \"many\", path = \"many.ndjson\", changes = true }\n";
    let with_count = |rate: &str| with(&local(&topology(rate)), "[sinks]\n", counted);
    let folder = stopped(&(with_count(SLOW) + "z_cheap = { type = \"discard\", input = \"cheap\" }\n"), &[]);
    std::fs::write(folder.path("m.toml"), with_count("")).unwrap();
    let ended = folder.run(&["run", "m.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("goes on from checkpoint"), "{}", ended.err);
    assert_eq!(applied(&folder.read("many.ndjson")), [r#"{"many":7}"#]);
}

#[test]
fn a_file_behind_a_node_that_starts_empty_keeps_its_rows() {
    let folder = stopped(&local(&topology(SLOW)), &[]);
    let before = folder.read("d.ndjson");
    assert!(!before.is_empty());
    let other = with(&local(&topology("")), "by     = [\"id / 2 % 900 as k\"]", "by     = [\"id / 2 % 901 as k\"]");
    std::fs::write(folder.path("m.toml"), other).unwrap();
    let refused = folder.run(&["run", "m.toml"]);
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("`d` has another `by`"), "{}", refused.err);
    let ended = folder.run(&["run", "m.toml", "--allow-dropped-state"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("`s_d` goes on behind the rows that it has written: what `d`, which starts empty,"), "{}", ended.err);
    assert!(folder.read("d.ndjson").starts_with(&before), "what was committed stays");
}

//! Nothing of how a topology is run shows in what it computes, for every type of node: the inventory.
//!
//! Each type that is registered must be in a case here, with each of its options and of their values, so that none can be added without.
//! Each case is run cut in many ways (workers, sizes of batches and mailboxes, whose turn it is), and with checkpoints in mid-stream, a crash,
//! and back at another parallelism, its keys in memory or on disk. What the rows must be, other tests say; here they must be the same.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

mod cases;
#[path = "../in_place/mod.rs"]
mod in_place;
mod play;
#[path = "../schema/mod.rs"]
#[allow(dead_code, reason = "each test binary uses its own part of this module")]
mod schema;
mod sources;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cases::cases;
use in_place::{Cut, Rows};
use millstream_api::registry::Role;
use play::{restored, straight};

/// The cut to which all others are compared.
const PLAIN: Cut = Cut { workers: 1, batch_rows: 8192, mailbox: 8, state: "memory" };

/// Fails when the rows of a sink are others, with the first that differs.
fn same(name: &str, expected: &Rows, found: &Rows, how: &str) {
    if let Some((sink, rows)) = expected.iter().find(|(sink, rows)| found[*sink] != **rows) {
        let (rows, found): (BTreeSet<&str>, BTreeSet<&str>) = (rows.lines().collect(), found[sink].lines().collect());
        let first = |one: &BTreeSet<&str>, other| one.difference(other).next().map_or("none".to_owned(), |row| (*row).to_owned());
        panic!("{name}: {how} shows in {sink}: missing {}\nunexpected {}", first(&rows, &found), first(&found, &rows));
    }
}

/// Fails when there is nothing to compare.
fn none_is_empty(name: &str, expected: &Rows) {
    let empty: Vec<&String> = expected.iter().filter(|(_, rows)| rows.is_empty()).map(|(sink, _)| sink).collect();
    assert!(empty.is_empty(), "{name}: {empty:?} have no rows");
}

/// Ways to cut a run, each with a seed that says whose turn it is.
fn cuts() -> Vec<(Cut, u64)> {
    let mut cuts = Vec::new();
    for workers in [1, 2, 4] {
        for batch_rows in [1, 3, 8192] {
            let seed = cuts.len() + 1;
            let (mailbox, state) = ([1, 8][seed % 2], ["memory", "disk"][seed / 2 % 2]);
            cuts.push((Cut { workers, batch_rows, mailbox, state }, seed as u64));
        }
    }
    cuts
}

/// Before and after a crash: other workers, from and to memory and disk, batches of every size.
fn changes_of_cut() -> Vec<([Cut; 2], u64)> {
    let workers = [[1, 3], [2, 1], [2, 3], [3, 2], [4, 1], [1, 4], [2, 4]];
    let change = |(seed, [before, after]): (u64, [usize; 2])| {
        let state = |bit: u64| ["memory", "disk"][(seed >> bit & 1) as usize];
        let batch_rows = |shift: u64| [1, 3, 8192][((seed + shift) % 3) as usize];
        let before = Cut { workers: before, batch_rows: batch_rows(0), mailbox: 1, state: state(0) };
        let after = Cut { workers: after, batch_rows: batch_rows(1), mailbox: 8, state: state(1) };
        ([before, after], seed)
    };
    (1..).zip(workers).map(change).collect()
}

#[test]
fn nothing_of_how_it_is_cut_shows() {
    for case in cases() {
        let expected = straight(&case, PLAIN, 0);
        none_is_empty(case.name, &expected);
        for (cut, seed) in cuts() {
            same(case.name, &expected, &straight(&case, cut, seed), &format!("{cut:?}, seed {seed}"));
        }
    }
}

#[test]
fn a_restore_at_another_parallelism_does_not_show() {
    for case in cases() {
        let expected = straight(&case, PLAIN, 0);
        for (cuts, seed) in changes_of_cut() {
            same(case.name, &expected, &restored(&case, cuts, seed), &format!("{cuts:?}, seed {seed}"));
        }
    }
}

#[test]
fn nothing_of_how_sources_are_read_shows() {
    let folder = tempfile::tempdir().unwrap();
    sources::write_files(folder.path());
    let expected = in_place::straight(&sources::all(folder.path(), PLAIN), 0);
    none_is_empty("sources", &expected);
    for (cut, seed) in cuts() {
        let found = in_place::straight(&sources::all(folder.path(), cut), seed);
        same("sources", &expected, &found, &format!("{cut:?}, seed {seed}"));
    }
    for (cuts, seed) in changes_of_cut() {
        let [before, after] = cuts.map(|cut| sources::all(folder.path(), cut));
        let found = in_place::restored([&before, &after], seed, seed as usize * 40);
        same("sources", &expected, &found, &format!("{cuts:?}, seed {seed}"));
    }
}

#[test]
fn a_file_that_grows_is_read_on_by_another_run() {
    let folder = tempfile::tempdir().unwrap();
    for (cuts, seed) in changes_of_cut() {
        assert_eq!(sources::followed(folder.path(), cuts, seed), sources::followed_lines(), "{cuts:?}, seed {seed}");
    }
}

#[test]
fn every_operator_has_a_case_with_every_option_and_value() {
    let had: BTreeSet<String> = cases().iter().flat_map(|case| wanted::had_by(&case.text, Role::Operator)).collect();
    let wanted = wanted::of_types(Role::Operator);
    assert!(wanted.len() > 60, "{wanted:?}");
    let missing: Vec<&String> = wanted.difference(&had).collect();
    assert!(missing.is_empty(), "no case in inventory/cases.rs has {missing:?}");
}

/// What needs a partner outside, or the two phases of a real run, and which test has it: with kills and crashes, and other workers
/// behind them where the type has any state.
const ELSEWHERE: [(Role, &str, &str); 7] = [
    (Role::Source, "http", "acknowledged.rs"),
    // Cannot be read again, so there is nothing to go back to.
    (Role::Source, "stdin", "nodes.rs"),
    (Role::Sink, "file", "failpoints.rs"),
    (Role::Sink, "http", "failpoints.rs"),
    (Role::Sink, "view.read = committed", "failpoints.rs"),
    // Have no state.
    (Role::Sink, "discard", "kill/windows.toml"),
    (Role::Sink, "stdout", "cli.rs"),
];

#[test]
fn every_source_and_sink_has_a_case_or_stands_elsewhere() {
    let of_sources = [sources::SOURCES, sources::FOLLOWED].map(str::to_owned);
    let texts: Vec<String> = of_sources.into_iter().chain(cases().into_iter().map(|case| case.text)).collect();
    for role in [Role::Source, Role::Sink] {
        let had: BTreeSet<String> = texts.iter().flat_map(|text| wanted::had_by(text, role)).collect();
        let mut wanted = wanted::of_types(role);
        for (_, of_type, file) in ELSEWHERE.iter().filter(|(of, ..)| *of == role) {
            let (kind, option) = of_type.split_once('.').unwrap_or((of_type, ""));
            let (name, value) = option.split_once(" = ").unwrap_or_default();
            let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(file)).unwrap();
            let has_option = option.is_empty() || says(&text, &format!("{name} = \"{value}\""));
            assert!(says(&text, &format!("type = \"{kind}\"")) && has_option, "{file} has no {of_type}");
            wanted.retain(|wanted| if option.is_empty() { wanted.split('.').next() != Some(kind) } else { wanted != of_type });
        }
        let missing: Vec<&String> = wanted.difference(&had).collect();
        assert!(missing.is_empty(), "{role:?}: neither the inventory nor another test has {missing:?}");
    }
}

/// Whether a text says this, with whatever blanks, and in a literal with escapes or without.
fn says(text: &str, this: &str) -> bool {
    let close = |text: &str| text.replace([' ', '\\'], "");
    close(text).contains(&close(this))
}

/// The words of an option.
fn words(of: &str) -> Vec<String> {
    let start = format!("{of} = ");
    wanted::of_types(Role::Operator).iter().filter_map(|wanted| wanted.strip_prefix(&start).map(str::to_owned)).collect()
}

#[test]
fn every_mode_of_join_has_a_case_with_every_kind_that_it_has() {
    let had = wanted::forms(&cases());
    for mode in words("join.mode") {
        for kind in words("join.kind") {
            let form = wanted::form_of_join(&mode, &kind);
            let refused = refusal(&mode, &kind);
            assert!(had.contains(&form) != refused.is_some(), "{form}: it is refused, or there is a case: {refused:?}");
        }
    }
}

/// What `check` says against a mode with a kind, if it does.
fn refusal(mode: &str, kind: &str) -> Option<String> {
    let text = cases::join(mode, kind).text;
    let outcome = millstream_topology::load_text("case.toml", &text, Path::new("."), &BTreeMap::new(), &[], &in_place::registry());
    outcome.topology.is_none().then(|| outcome.report.render())
}

#[test]
fn every_kind_of_window_is_read_in_every_way() {
    let had = wanted::forms(&cases());
    for kind in words("window.kind") {
        let emits = ["close", "{}"].map(|emit| wanted::form_of_reader("aggregate", &kind, emit));
        // Sessions have no bounds before there are groups, so nothing else can read them.
        let ranks = (kind != "session").then(|| wanted::form_of_reader("top_n", &kind, "close"));
        for form in emits.into_iter().chain(ranks) {
            assert!(had.contains(&form), "there is no case of an {form}");
        }
    }
}

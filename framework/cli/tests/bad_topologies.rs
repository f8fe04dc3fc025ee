//! Wrong topologies, and the exact text that says what is wrong with each: `bad/CODE.toml` (or `.yaml`, `.json`), `bad/CODE.txt`.
//!
//! A file may say with which variables and arguments it is checked, in lines that begin with `#: env NAME=value` and
//! `#: set key=value`. `UPDATE_EXPECT=1` writes the texts anew.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use millstream_api::Registry;
use millstream_api::diagnostic::Severity;
use millstream_topology::{Report, load_text};

/// Codes that no file can bring about: mistakes in the code of an operator, and files that are not there.
const WITHOUT_A_FILE: [&str; 2] = ["internal", "cannot-read"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad")
}

/// The files of a folder with this ending, sorted.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    files.sort();
    files
}

/// All topologies, in whichever syntax.
fn topologies() -> Vec<PathBuf> {
    ["toml", "yaml", "json"].iter().flat_map(|syntax| files(&folder(), syntax)).collect()
}

fn check(path: &Path) -> Report {
    let text = std::fs::read_to_string(path).unwrap();
    let given = |what: &str| text.lines().filter_map(|line| line.strip_prefix(what)).map(str::to_owned).collect::<Vec<_>>();
    let env: BTreeMap<String, String> = given("#: env ")
        .iter()
        .map(|variable| variable.split_once('=').unwrap_or_else(|| panic!("{variable}: no `=`")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut registry = Registry::new();
    millstream_operators::register(&mut registry);
    let name = path.file_name().unwrap().to_string_lossy();
    let outcome = load_text(&name, &text, &folder(), &env, &given("#: set "), &registry);
    assert_eq!(outcome.topology.is_none(), outcome.report.errors() > 0, "{name}: errors and a topology, or neither");
    outcome.report
}

/// The code that a file is there for: `unknown-stream` of `unknown-stream~named.toml`.
fn code_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap().to_string_lossy();
    stem.split('~').next().unwrap_or_default().to_owned()
}

#[test]
fn each_bad_topology_is_told_what_is_wrong() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    for path in topologies() {
        let report = check(&path);
        let code = code_of(&path);
        assert!(report.entries().iter().any(|entry| entry.code == code), "{}:\n{}", path.display(), report.render());
        let expected = path.with_extension("txt");
        if update {
            std::fs::write(&expected, report.render()).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != report.render() {
            wrong.push(format!("{}:\n{}", path.display(), report.render()));
        }
    }
    assert!(wrong.is_empty(), "not as in the .txt files (UPDATE_EXPECT=1 writes them anew):\n{}", wrong.join("\n"));
}

#[test]
fn every_error_says_what_to_do() {
    for path in topologies() {
        for entry in check(&path).entries() {
            if entry.severity == Severity::Warning {
                continue;
            }
            // Some messages say what would be right themselves.
            let says = entry.help.is_some() || ["write it like", "must be", "did you mean"].iter().any(|said| entry.message.contains(said));
            assert!(says || entry.code == "syntax", "{}: {}", path.display(), entry);
        }
    }
}

/// The codes of docs/errors.md: its lines are of the form "| `code` | …".
fn documented() -> BTreeSet<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors.md");
    let text = std::fs::read_to_string(page).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).map(str::to_owned).collect()
}

#[test]
fn every_code_is_documented_and_has_a_bad_topology() {
    let mut seen: BTreeSet<String> =
        topologies().iter().flat_map(|path| check(path).entries().to_vec()).map(|e| e.code.to_owned()).collect();
    seen.extend(WITHOUT_A_FILE.map(str::to_owned));
    let documented = documented();
    assert_eq!(seen.difference(&documented).collect::<Vec<_>>(), Vec::<&String>::new(), "not in docs/errors.md");
    assert_eq!(documented.difference(&seen).collect::<Vec<_>>(), Vec::<&String>::new(), "without a topology in tests/bad");
}

/// The codes in a source file: what follows `Diagnostic::error(`, `Diagnostic::warning(` and `ExprError::new(`.
fn codes_in(text: &str) -> impl Iterator<Item = &str> {
    // Unit tests stand at the end of a file and make up codes of their own.
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    ["Diagnostic::error(", "Diagnostic::warning(", "ExprError::new("]
        .into_iter()
        .flat_map(move |call| code.split(call).skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next()))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    found.extend(files(folder, "rs").into_iter().filter(|path| !path.ends_with("tests.rs")));
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir()).for_each(|folder| sources(&folder, found));
}

#[test]
fn no_code_is_left_out_of_the_documentation() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let documented = documented();
    for folder in ["framework/expr/src", "framework/topology/src", "operators/src"] {
        let mut paths = Vec::new();
        sources(&root.join(folder), &mut paths);
        assert!(!paths.is_empty(), "{folder}");
        for path in paths {
            let text = std::fs::read_to_string(&path).unwrap();
            for code in codes_in(&text) {
                assert!(documented.contains(code), "`{code}` of {} is not in docs/errors.md", path.display());
            }
        }
    }
}

/// Numbers that look random and are the same in every run (a linear congruential generator, Knuth's MMIX).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

/// The text with a few of its pieces cut out, doubled, swapped or replaced.
fn disturbed(text: &str, numbers: &mut Numbers) -> String {
    const PIECES: [&str; 16] =
        ["\"", "'", "(", ")", "[", "]", "{", "}", "=", ",", "0", "-9223372036854775808", "ü", "null", " as x", "input = \"out\"\n"];
    let mut characters: Vec<char> = text.chars().collect();
    for _ in 0..=numbers.below(3) {
        let start = numbers.below(characters.len());
        let end = (start + numbers.below(12)).min(characters.len());
        let cut: Vec<char> = characters.splice(start..end, PIECES[numbers.below(PIECES.len())].chars()).collect();
        if numbers.below(3) == 0 {
            let other = numbers.below(characters.len());
            characters.splice(other..other, cut);
        }
    }
    characters.into_iter().collect()
}

#[test]
fn no_disturbed_topology_makes_it_panic() {
    let mut numbers = Numbers(1);
    let mut registry = Registry::new();
    millstream_operators::register(&mut registry);
    for path in topologies() {
        let text = std::fs::read_to_string(&path).unwrap();
        for _ in 0..40 {
            let text = disturbed(&text, &mut numbers);
            let checked = || load_text("disturbed.toml", &text, &folder(), &BTreeMap::new(), &[], &registry).report.render();
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(checked));
            assert!(result.is_ok(), "this makes it panic:\n{text}");
        }
    }
}

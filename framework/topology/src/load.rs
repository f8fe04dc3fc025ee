//! The way from a file to a topology that may run, or to tests that may.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use millstream_api::Diagnostic;
use millstream_api::registry::Registry;

use crate::cases::{self, Case, Draft, Tests};
use crate::checked::{Checked, Source};
use crate::graph::Topology;
use crate::report::{Problems, Report};
use crate::substitute::{Outside, substitute};
use crate::tests_file;
use crate::tree::{Place, Syntax, Table};
use crate::{layers, tree};

/// What came of reading a topology.
pub struct Outcome {
    /// The topology, if it may run.
    pub topology: Option<Topology>,
    /// All that was found, mistakes and warnings.
    pub report: Report,
}

/// What came of reading tests.
pub struct TestsOutcome {
    /// The tests, if they and their topology may run.
    pub tests: Option<Tests>,
    /// All that was found: in the topology, and in the file that holds the tests where that is another one.
    pub reports: Vec<Report>,
}

/// Reads and checks a topology file. `env` are the environment's variables, `sets` the `key=value` of the command line.
pub fn load(path: &Path, env: &BTreeMap<String, String>, sets: &[String], registry: &Registry) -> Outcome {
    match open(path) {
        Ok(file) => load_text(&file.name, &file.text, &file.folder, env, sets, registry),
        Err(report) => Outcome { topology: None, report },
    }
}

/// Checks the text of a topology file. `name` is how messages call it, and its ending says how it is written; relative paths in
/// it start in `folder`.
pub fn load_text(name: &str, text: &str, folder: &Path, env: &BTreeMap<String, String>, sets: &[String], registry: &Registry) -> Outcome {
    let text = without_mark(text);
    let mut problems = Problems::default();
    let source = Source { name, text, folder, replaced: false };
    let root = match read(source, env, sets, &mut problems) {
        Ok(root) => root,
        Err(report) => return Outcome { topology: None, report },
    };
    if let Some(diagnostic) = tests_file::is_no_topology(&root) {
        problems.push(diagnostic);
        return Outcome { topology: None, report: problems.into_report(name, text, &root) };
    }
    let checked = check(&root, source, registry, &mut problems);
    let topology = checked.filter(|_| !problems.has_errors()).map(|(checked, _)| checked.topology(&[]));
    Outcome { topology, report: problems.into_report(name, text, &root) }
}

/// Reads and checks the tests of a file: a topology with `[[tests]]`, or a file that says `topology = "…"` beside them.
/// Layers and settings are those of the topology. No path in it is looked at.
pub fn load_tests(path: &Path, env: &BTreeMap<String, String>, sets: &[String], registry: &Registry) -> TestsOutcome {
    let file = match open(path) {
        Ok(file) => file,
        Err(report) => return TestsOutcome { tests: None, reports: vec![report] },
    };
    match tests_file::names_topology(&file) {
        true => tests_file::load(&file, env, sets, registry),
        false => load_own_tests(&file, env, sets, registry),
    }
}

/// The tests of a topology file.
fn load_own_tests(file: &OpenFile, env: &BTreeMap<String, String>, sets: &[String], registry: &Registry) -> TestsOutcome {
    let mut problems = Problems::default();
    let root = match read(file.source(), env, sets, &mut problems) {
        Ok(root) => root,
        Err(report) => return TestsOutcome { tests: None, reports: vec![report] },
    };
    let checked = check(&root, file.source(), registry, &mut problems);
    let tests = checked.filter(|_| !problems.has_errors()).map(|(checked, drafts)| planned(file, &checked, drafts));
    TestsOutcome { tests, reports: vec![problems.into_report(&file.name, &file.text, &root)] }
}

/// Each test with the topology that it needs.
pub(crate) fn planned(file: &OpenFile, checked: &Checked<'_>, drafts: Vec<Draft>) -> Tests {
    let case = |Draft { name, line, steps, taps }: Draft| Case { name, line, steps, topology: checked.topology(&taps) };
    Tests {
        topology: checked.name().to_owned(),
        file: PathBuf::from(&file.name),
        text: file.text.clone(),
        cases: drafts.into_iter().map(case).collect(),
    }
}

/// The topology, and the tests beside it.
pub(crate) fn check<'r>(
    root: &Table,
    source: Source<'_>,
    registry: &'r Registry,
    problems: &mut Problems,
) -> Option<(Checked<'r>, Vec<Draft>)> {
    let checked = Checked::check(root, source, registry, problems)?;
    let drafts = cases_of(root, source.text, &checked, problems);
    Some((checked, drafts))
}

/// The tests in a file, typed against a topology.
pub(crate) fn cases_of(root: &Table, text: &str, checked: &Checked<'_>, problems: &mut Problems) -> Vec<Draft> {
    let Some(field) = root.field("tests") else { return Vec::new() };
    let drafts = cases::read(field, text, &checked.streams(), problems);
    cases::check_taps(&drafts, &checked.nodes, &checked.planned, &checked.decisions, problems);
    drafts
}

/// A file that was read.
pub(crate) struct OpenFile {
    /// As the user named it.
    pub name: String,
    pub text: String,
    pub folder: PathBuf,
}

impl OpenFile {
    pub fn source(&self) -> Source<'_> {
        Source { name: &self.name, text: &self.text, folder: &self.folder, replaced: true }
    }
}

/// Reads a file.
pub(crate) fn open(path: &Path) -> Result<OpenFile, Report> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Ok(OpenFile { name, text: without_mark(&text).to_owned(), folder: folder.to_owned() })
        }
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            let at = not_utf8(path).map_or(String::new(), |at| format!(": {at}"));
            let diagnostic = Diagnostic::error("cannot-read", format!("the topology is not text in UTF-8{at}"));
            Err(failed(&name, "", diagnostic.help("save it as UTF-8"), None))
        }
        Err(error) => {
            let diagnostic = Diagnostic::error("cannot-read", format!("the topology cannot be read: {error}"));
            Err(failed(&name, "", diagnostic.help("name a file that holds a topology"), None))
        }
    }
}

/// Where the first byte of a file is that is no UTF-8, and which.
fn not_utf8(path: &Path) -> Option<String> {
    let bytes = std::fs::read(path).ok()?;
    let end = std::str::from_utf8(&bytes).err()?.valid_up_to();
    let before = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let line = 1 + before.matches('\n').count();
    let column = 1 + before.rsplit('\n').next().unwrap_or_default().chars().count();
    Some(format!("line {line}, column {column} has the byte 0x{:02x}", bytes.get(end)?))
}

/// Some editors begin a file with a byte order mark; it is no part of the first line.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// The file and the layers over it as one tree.
pub(crate) fn read(source: Source<'_>, env: &BTreeMap<String, String>, sets: &[String], problems: &mut Problems) -> Result<Table, Report> {
    let mut file = parse(source.name, source.text)?;
    substitute(&mut file, Outside { env, folder: source.folder, replaced: source.replaced }, problems);
    Ok(layers::merge(&file, env, sets, problems))
}

/// The file as a tree.
pub(crate) fn parse(name: &str, text: &str) -> Result<Table, Report> {
    tree::parse(text, Syntax::of(Path::new(name))).map_err(|error| {
        let diagnostic = Diagnostic { help: error.help, ..Diagnostic::error("syntax", error.message) };
        failed(name, text, diagnostic, Some(Place::File(error.span)))
    })
}

fn failed(name: &str, text: &str, diagnostic: Diagnostic, place: Option<Place>) -> Report {
    let mut problems = Problems::default();
    match place {
        Some(place) => problems.push_at(diagnostic, place),
        None => problems.push(diagnostic),
    }
    problems.into_report(name, text, &Table::default())
}

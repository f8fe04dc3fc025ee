//! A file of tests that stands beside its topology: `topology = "hot-items.toml"` and `[[tests]]`.

use std::collections::BTreeMap;

use millstream_api::Diagnostic;
use millstream_api::diagnostic::Key;
use millstream_api::registry::Registry;

use crate::load::{OpenFile, TestsOutcome, cases_of, check, open, parse, planned, read};
use crate::report::Problems;
use crate::shape::Reader;
use crate::substitute::{Outside, substitute};
use crate::tree::{Table, Value};

/// The key that names the topology.
pub(crate) const KEY: &str = "topology";

const ROOT_KEYS: [&str; 2] = [KEY, "tests"];

/// Whether a file says that it holds the tests of another one.
pub(crate) fn names_topology(file: &OpenFile) -> bool {
    parse(&file.name, &file.text).is_ok_and(|root| root.field(KEY).is_some())
}

/// Says of such a file that it is no topology, if it is one.
pub(crate) fn is_no_topology(root: &Table) -> Option<Diagnostic> {
    let field = root.field(KEY)?;
    let Value::Text(topology) = &field.item.value else { return None };
    let message = format!("this file holds tests of `{topology}` and no topology");
    let help = "`millstream test` runs them; run and check the topology itself";
    Some(Diagnostic::error("tests-file", message).key(KEY).help(help))
}

/// The tests of such a file. Paths in it are relative to its folder.
pub(crate) fn load(file: &OpenFile, env: &BTreeMap<String, String>, sets: &[String], registry: &Registry) -> TestsOutcome {
    let mut own = Problems::default();
    let mut root = match parse(&file.name, &file.text) {
        Ok(root) => root,
        Err(report) => return TestsOutcome { tests: None, reports: vec![report] },
    };
    substitute(&mut root, Outside { env, folder: &file.folder, replaced: true }, &mut own);
    for field in root.fields.iter().filter(|field| !ROOT_KEYS.contains(&field.key.as_str())) {
        Reader::new(vec![Key::Name(field.key.clone())], &mut own).unknown(&field.key, ROOT_KEYS.into_iter());
    }
    let Some(other) = topology_file(&root, file, &mut own) else {
        return TestsOutcome { tests: None, reports: vec![own.into_report(&file.name, &file.text, &root)] };
    };
    let mut problems = Problems::default();
    let other_root = match read(other.source(), env, sets, &mut problems) {
        Ok(root) => root,
        Err(report) => return TestsOutcome { tests: None, reports: vec![report, own.into_report(&file.name, &file.text, &root)] },
    };
    let checked = check(&other_root, other.source(), registry, &mut problems).map(|(checked, _)| checked);
    let drafts = checked.as_ref().map(|checked| cases_of(&root, &file.text, checked, &mut own)).unwrap_or_default();
    let wrong = problems.has_errors() || own.has_errors();
    let tests = checked.filter(|_| !wrong).map(|checked| planned(file, &checked, drafts));
    let reports = [problems.into_report(&other.name, &other.text, &other_root), own.into_report(&file.name, &file.text, &root)];
    TestsOutcome { tests, reports: reports.into() }
}

fn topology_file(root: &Table, file: &OpenFile, problems: &mut Problems) -> Option<OpenFile> {
    let field = root.field(KEY)?;
    let mut reader = Reader::new(vec![Key::Name(KEY.to_owned())], problems);
    let Value::Text(path) = &field.item.value else {
        reader.wrong_type("the path of a topology", &field.item.value);
        return None;
    };
    if field.item.broken {
        return None;
    }
    match open(&file.folder.join(path)) {
        Ok(other) => Some(other),
        Err(report) => {
            for entry in report.entries() {
                let diagnostic = Diagnostic { help: entry.help.clone(), ..Diagnostic::error(entry.code, entry.message.clone()) };
                reader.note(diagnostic.text(0..path.len()));
            }
            None
        }
    }
}

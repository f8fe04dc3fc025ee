//! `docs/nodes.md` is what `millstream operators` says of each type. `UPDATE_EXPECT=1` writes it anew.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

const HEAD: &str = "# Node types

Generated from the options of each type; `millstream operators TYPE` says the same. Do not edit: `UPDATE_EXPECT=1 cargo test -p millstream-cli
--test reference` writes it anew.
";

fn operators(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_millstream")).arg("operators").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The names of all types in the order of the list, each once: they stand indented under a title for each role.
fn names(list: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for name in list.lines().filter(|line| line.starts_with("  ")).filter_map(|line| line.split_whitespace().next()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[test]
fn the_page_of_node_types_is_up_to_date() {
    let list = operators(&[]);
    let names = names(&list);
    assert!(names.contains(&"aggregate"), "cannot read the list:\n{list}");
    let mut page = HEAD.to_owned();
    for name in names {
        write!(page, "\n## `{name}`\n\n```text\n{}\n```\n", operators(&[name]).trim_end()).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/nodes.md");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == page, "docs/nodes.md is out of date; run this test with UPDATE_EXPECT=1");
}

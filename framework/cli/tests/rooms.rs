//! Imports run one way: which room may name which, and who may name the libraries that stay behind one wall.
//!
//! The lists below are the whole truth: a dependency that is not in them fails here, so that a new one is a decision.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Every room and the rooms that its code may import. A room may stand only below what it imports.
const ROOMS: &[(&str, &[&str])] = &[
    ("millstream-api", &[]),
    ("millstream-expr", &["millstream-api"]),
    ("millstream-topology", &["millstream-api", "millstream-expr"]),
    ("millstream-state", &["millstream-api"]),
    ("millstream-runtime", &["millstream-api", "millstream-expr", "millstream-state", "millstream-topology"]),
    ("millstream-server", &["millstream-api", "millstream-expr", "millstream-state", "millstream-topology", "millstream-runtime"]),
    ("millstream-operators", &["millstream-api", "millstream-expr"]),
    ("millstream-testkit", &["millstream-api", "millstream-expr", "millstream-state", "millstream-topology", "millstream-runtime"]),
    (
        "millstream-cli",
        &[
            "millstream-api",
            "millstream-expr",
            "millstream-topology",
            "millstream-state",
            "millstream-runtime",
            "millstream-testkit",
            "millstream-server",
            "millstream-operators",
        ],
    ),
];

/// What tests of any room may import beside that.
const IN_TESTS: &[&str] = &["millstream-testkit"];

/// Libraries that only some rooms name, by the beginning of their names.
const WALLS: &[(&str, &[&str])] = &[
    ("datafusion", &["millstream-expr"]),
    ("sqlparser", &["millstream-expr"]),
    ("actix", &["millstream-runtime", "millstream-server"]),
    ("tokio", &["millstream-state", "millstream-runtime", "millstream-cli", "millstream-operators"]),
    ("object_store", &["millstream-state"]),
    ("hyper", &["millstream-operators"]),
    ("ureq", &["millstream-operators", "millstream-cli"]),
    ("config", &["millstream-topology"]),
    ("toml_edit", &["millstream-topology"]),
    ("saphyr", &["millstream-topology"]),
    ("jsonc", &["millstream-topology"]),
    ("clap", &["millstream-cli", "millstream-benches"]),
];

/// Families of which the binary must hold one version, or values of one would not fit the other.
const ONE_VERSION: &[&str] = &["arrow", "datafusion", "parquet", "actix", "actix-web"];

fn metadata() -> Metadata {
    // Without dependencies nothing is resolved, so the network is not asked.
    MetadataCommand::new().manifest_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).no_deps().exec().unwrap()
}

fn lock_file(metadata: &Metadata) -> String {
    std::fs::read_to_string(metadata.workspace_root.join("Cargo.lock")).unwrap()
}

/// What a package imports, and whether only in its tests.
fn imports(package: &Package) -> impl Iterator<Item = (&str, bool)> {
    package.dependencies.iter().map(|dependency| (dependency.name.as_str(), dependency.kind == DependencyKind::Development))
}

/// Nothing may import it, and it may import everything.
fn is_outside(package: &Package, metadata: &Metadata) -> bool {
    let folder = package.manifest_path.strip_prefix(&metadata.workspace_root).unwrap();
    folder.starts_with("benches") || folder.starts_with("examples")
}

#[test]
fn rooms_import_only_what_stands_below_them() {
    let metadata = metadata();
    let allowed: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in metadata.packages.iter().filter(|package| !is_outside(package, &metadata)) {
        let Some(below) = allowed.get(package.name.as_str()) else {
            wrong.push(format!("{} is in no list", package.name));
            continue;
        };
        for (import, in_tests) in imports(package).filter(|(import, _)| import.starts_with("millstream")) {
            // The command's tests look at everything: they drive the whole.
            let tests_may = IN_TESTS.contains(&import) || package.name == "millstream-cli" && allowed.contains_key(import);
            let may = below.contains(&import) || (in_tests && tests_may);
            if !may {
                wrong.push(format!("{} imports {import}", package.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_list_of_rooms_has_no_cycle() {
    let mut below: BTreeSet<&str> = BTreeSet::new();
    let mut left: Vec<_> = ROOMS.to_vec();
    while !left.is_empty() {
        let before = left.len();
        left.retain(|(room, imports)| {
            let stands = imports.iter().all(|import| below.contains(import));
            if stands {
                below.insert(room);
            }
            !stands
        });
        assert!(left.len() < before, "these import each other: {left:?}");
    }
}

#[test]
fn walls_hold() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        // The command's tests look at everything, also at what it writes.
        let imports = imports(package).filter(|(_, in_tests)| !(*in_tests && package.name == "millstream-cli"));
        for (import, _) in imports {
            let wall =
                WALLS.iter().find(|(family, _)| import == *family || import.strip_prefix(family).is_some_and(|rest| rest.starts_with('-')));
            if let Some((_, rooms)) = wall
                && !rooms.contains(&package.name.as_str())
            {
                wrong.push(format!("{} names {import}", package.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_room_takes_the_lints_of_the_workspace() {
    let metadata = metadata();
    for package in &metadata.packages {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{} does not", package.name);
    }
}

/// Name, version and source of every entry of the lock file.
fn locked(text: &str) -> Vec<(&str, &str, Option<&str>)> {
    let value = |entry: &'_ str, key: &str| -> Option<std::ops::Range<usize>> {
        let start = entry.find(&format!("\n{key} = \""))? + key.len() + 5;
        Some(start..start + entry[start..].find('"')?)
    };
    text.split("[[package]]")
        .skip(1)
        .map(|entry| {
            let get = |key| value(entry, key).map(|range| &entry[range]);
            (get("name").unwrap(), get("version").unwrap(), get("source"))
        })
        .collect()
}

#[test]
fn the_binary_holds_one_version_of_what_values_are_made_of() {
    let text = lock_file(&metadata());
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, version, _) in locked(&text) {
        let family =
            ONE_VERSION.iter().find(|family| name == **family || name.strip_prefix(**family).is_some_and(|rest| rest.starts_with('-')));
        match family {
            // Each actix crate counts for itself: the family's members have versions of their own.
            Some(family) if !family.starts_with("actix") => versions.entry(family).or_default().insert(version),
            Some(_) => versions.entry(name).or_default().insert(version),
            None => continue,
        };
    }
    assert!(versions.contains_key("arrow") && versions.contains_key("datafusion") && versions.contains_key("actix"));
    let many: Vec<_> = versions.iter().filter(|(_, versions)| versions.len() > 1).collect();
    assert!(many.is_empty(), "{many:#?}");
}

#[test]
fn everything_comes_from_crates_io() {
    let text = lock_file(&metadata());
    let locked = locked(&text);
    assert!(locked.len() > 100, "only {} entries were found", locked.len());
    let foreign: Vec<_> = locked
        .iter()
        .filter(|(_, _, source)| source.is_some_and(|source| source != "registry+https://github.com/rust-lang/crates.io-index"))
        .collect();
    assert!(foreign.is_empty(), "{foreign:#?}");
}

//! No text makes `check` panic or hang: the way of `millstream check`, `--schemas`, `--explain` and `millstream graph`.
//!
//! The first byte says how the file is written. Paths are looked for in a folder with two small files; a text that could lead out of
//! it is not tried.
#![no_main]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::{Corpus, fuzz_target};
use millstream_api::Registry;
use millstream_topology::{Drawing, describe, draw, explain, load_text};

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let mut registry = Registry::new();
    millstream_operators::register(&mut registry);
    registry
});

/// A folder with something to read. It stays after the process, which is ended from outside.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder").keep();
    let data = folder.join("data");
    std::fs::create_dir(&data).expect("a folder in it");
    let json = "{\"a\":1,\"b\":\"x\",\"t\":\"2013-01-01T10:00:00Z\"}\n{\"a\":2,\"b\":null,\"t\":\"2013-01-01T11:00:00Z\"}\n";
    std::fs::write(data.join("rows.ndjson"), json).expect("a file in it");
    std::fs::write(data.join("rows.csv"), "a,b,t\n1,x,2013-01-01T10:00:00Z\n2,,2013-01-01T11:00:00Z\n").expect("another one");
    folder
});

/// Whether a path in the text may lead out of the folder. Escapes could hide one.
fn leads_out(text: &str) -> bool {
    let relative = |before: char| before.is_ascii_alphanumeric() || matches!(before, '.' | '_' | '-' | '*');
    let slashes = text.match_indices('/').any(|(at, _)| !text[..at].chars().next_back().is_some_and(relative));
    slashes || text.contains("..") || text.contains("\\u") || text.contains("\\U") || text.contains("\\x") || text.contains("\\\n")
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((syntax, text)) = data.split_first() else { return Corpus::Reject };
    let Ok(text) = std::str::from_utf8(text) else { return Corpus::Reject };
    if leads_out(text) {
        return Corpus::Reject;
    }
    let name = ["t.toml", "t.yaml", "t.json"][usize::from(*syntax) % 3];
    let sets = ["runtime.workers=2".to_owned()];
    let outcome = load_text(name, text, Path::new(&*FOLDER), &BTreeMap::new(), &sets, &REGISTRY);
    assert_eq!(outcome.topology.is_some(), outcome.report.errors() == 0, "{}", outcome.report.render());
    outcome.report.render();
    if let Some(topology) = &outcome.topology {
        let drawings = [Drawing::Mermaid, Drawing::Dot, Drawing::Svg, Drawing::Json];
        drawings.into_iter().for_each(|drawing| drop(draw(topology, drawing)));
        drop((describe(topology), explain(topology)));
    }
    Corpus::Keep
});

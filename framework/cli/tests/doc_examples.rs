//! Each TOML example in the doc comment of an options struct is a topology that `check` takes, once the streams that it
//! reads are there: those below, which any example may read by name.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

use std::collections::{BTreeMap, BTreeSet};

use millstream_api::Registry;
use millstream_api::registry::{InputKeys, NodeType, Role};
use millstream_topology::load_text;
use toml_edit::{DocumentMut, Item, Table};

/// A stream of Nexmark events under a name of its own.
macro_rules! nexmark {
    ($kind:literal) => {
        concat!(
            "[sources.events_for_NAME]\ntype = \"nexmark\"\ntime = { by = \"date_time\" }\n",
            "[operators.NAME]\ntype = \"filter\"\ninput = \"events_for_NAME.",
            $kind,
            "\"\nwhere = \"true\"\n"
        )
    };
}

/// Streams that examples read, by name. One may read another.
const STREAMS: [(&str, &str); 12] = [
    ("departures", FLIGHTS),
    ("arrivals", FLIGHTS),
    (
        "articles",
        "[sources.articles]\ntype = \"file\"\npath = \"articles.ndjson\"\nformat = \"json\"\nschema = { title = \"string\", tags = \"list<string>\" }\n",
    ),
    ("persons", nexmark!("person")),
    ("auctions", nexmark!("auction")),
    ("bids", nexmark!("bid")),
    ("clicks", nexmark!("bid")),
    ("sales", nexmark!("bid")),
    ("big_bids", "[operators.big_bids]\ntype = \"filter\"\ninput = \"bids\"\nwhere = \"price > 1000\"\n"),
    ("hourly", "[operators.hourly]\ntype = \"window\"\ninput = \"departures\"\nkind = \"tumble\"\nsize = \"1h\"\n"),
    (
        "delays",
        "[operators.delays]\ntype = \"aggregate\"\ninput = \"hourly\"\nby = [\"carrier\"]\n\
         compute = [\"count(*) as flights\", \"avg(dep_delay) as mean_delay\", \"max(dep_delay) as worst\"]\n",
    ),
    (
        "totals",
        "[operators.totals]\ntype = \"aggregate\"\ninput = \"departures\"\nby = [\"carrier\"]\ncompute = [\"count(*) as flights\"]\n",
    ),
];

/// A source of flights; `NAME` is its stream.
const FLIGHTS: &str = "[sources.NAME]\ntype = \"file\"\npath = \"NAME.ndjson\"\nformat = \"json\"\ntime = { by = \"departed\", max_delay = \"1h\" }\n\
    schema = { flight = \"string\", carrier = \"string not null\", origin = \"string\", departed = \"timestamp\", dep_delay = \"bigint\" }\n";

fn registry() -> Registry {
    let mut registry = Registry::new();
    millstream_operators::register(&mut registry);
    registry
}

/// The examples of a type: what stands between fences that say `toml`.
fn examples(node_type: &NodeType) -> Vec<String> {
    let doc = node_type.schema.as_value()["description"].as_str().unwrap_or_default();
    doc.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// The nodes of a topology with their tables.
fn nodes(text: &str) -> Vec<(Role, String, Table)> {
    let document: DocumentMut = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut found = Vec::new();
    for (role, key) in [(Role::Source, "sources"), (Role::Operator, "operators"), (Role::Sink, "sinks")] {
        for (name, item) in document.get(key).and_then(Item::as_table).into_iter().flatten() {
            found.push((role, name.to_owned(), item.as_table().unwrap().clone()));
        }
    }
    found
}

/// The names of the nodes that a topology reads and does not have.
fn missing(text: &str, registry: &Registry) -> BTreeSet<String> {
    let nodes = nodes(text);
    let defined: BTreeSet<&str> = nodes.iter().map(|(_, name, _)| name.as_str()).collect();
    let mut read = BTreeSet::new();
    for (role, _, table) in &nodes {
        let kind = table["type"].as_str().unwrap();
        let inputs = registry.get(*role, kind).unwrap_or_else(|| panic!("no type {kind}")).inputs;
        let one = |key: &str| table.get(key).and_then(Item::as_str).map(str::to_owned);
        match inputs {
            InputKeys::None => {}
            InputKeys::One => read.extend(one("input")),
            InputKeys::Many => read.extend(table["inputs"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned())),
            InputKeys::Named(keys) => read.extend(keys.iter().filter_map(|key| one(key))),
        }
    }
    let node = |stream: String| stream.split('.').next().unwrap_or_default().to_owned();
    read.into_iter().map(node).filter(|name| !defined.contains(name.as_str())).collect()
}

/// The example with all that it lacks.
fn completed(example: &str, registry: &Registry) -> String {
    let streams: BTreeMap<&str, &str> = STREAMS.into_iter().collect();
    let mut text = format!("name = \"example\"\n\n{example}\n");
    loop {
        let missing = missing(&text, registry);
        if missing.is_empty() {
            return text;
        }
        for name in missing {
            let snippet =
                streams.get(name.as_str()).unwrap_or_else(|| panic!("no stream `{name}` for examples; add it to STREAMS\n{text}"));
            text.push_str(&snippet.replace("NAME", &name));
        }
    }
}

#[test]
fn every_example_is_a_topology() {
    let registry = registry();
    let folder = tempfile::tempdir().unwrap();
    let mut checked = 0;
    for node_type in registry.types() {
        for example in examples(node_type) {
            let text = completed(&example, &registry);
            for (role, _, table) in nodes(&text) {
                if let (Role::Source, Some(path)) = (role, table.get("path").and_then(Item::as_str)) {
                    let path = folder.path().join(path);
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    std::fs::write(path, "").unwrap();
                }
            }
            let outcome = load_text("example.toml", &text, folder.path(), &BTreeMap::new(), &[], &registry);
            assert_eq!(outcome.report.errors(), 0, "an example of `{}`:\n{}", node_type.kind, outcome.report.render());
            let usual = ["unread-stream", "unbounded-view", "unbounded-state", "no-max-ahead"];
            let others = outcome.report.entries().iter().any(|entry| !usual.contains(&entry.code));
            assert!(!others, "{}", outcome.report.render());
            checked += 1;
        }
    }
    assert!(checked >= 10, "only {checked} examples were found");
}

#[test]
fn every_type_has_an_example() {
    for node_type in registry().types() {
        let doc = node_type.schema.as_value()["description"].as_str().unwrap_or_default();
        assert!(doc.len() > 20, "`{}` has no documentation", node_type.kind);
        assert!(!examples(node_type).is_empty(), "the doc comment of `{}` has no example in TOML", node_type.kind);
    }
}

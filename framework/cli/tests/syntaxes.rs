//! One topology in TOML, YAML and JSON: the same plan, the same tests, the same rows; and secrets, which are never shown.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod command;

use command::{Ended, FLIGHTS, Folder, HOURLY, sorted};

const TESTS_TOML: &str = r#"
[[tests]]
name = "a null is no delay"
steps = [
  { send = "departures", rows = '{"carrier":"UA","departed":"2013-01-01T10:17:00Z","delay":null}' },
  { end = "departures" },
  { expect = "flights", rows = [{ carrier = "UA", n = 1 }] },
]
"#;

const YAML: &str = r#"
name: hourly
sources:
  departures: &departures
    type: file
    path: in.ndjson
    format: json
    schema: { carrier: string not null, departed: timestamp, delay: bigint }
    time: { by: departed }
operators:
  hourly: { type: window, input: departures, kind: tumble, size: 1h }
  flights:
    type: aggregate
    input: hourly
    by: [carrier]
    compute:
      - count(*) as n
sinks:
  archive: { type: file, input: flights, path: out.ndjson, format: json }
tests:
  - name: a null is no delay
    steps:
      - send: departures
        rows:
          - { carrier: UA, departed: 2013-01-01T10:17:00Z, delay: null }
      - end: departures
      - expect: flights
        rows:
          - carrier: UA
            n: 1
"#;

const JSON: &str = r#"{
  "name": "hourly",
  "sources": {
    "departures": {
      "type": "file", "path": "in.ndjson", "format": "json",
      "schema": { "carrier": "string not null", "departed": "timestamp", "delay": "bigint" },
      "time": { "by": "departed" }
    }
  },
  "operators": {
    "hourly": { "type": "window", "input": "departures", "kind": "tumble", "size": "1h" },
    "flights": { "type": "aggregate", "input": "hourly", "by": ["carrier"], "compute": ["count(*) as n"] }
  },
  "sinks": { "archive": { "type": "file", "input": "flights", "path": "out.ndjson", "format": "json" } },
  "tests": [
    {
      "name": "a null is no delay",
      "steps": [
        { "send": "departures", "rows": [{ "carrier": "UA", "departed": "2013-01-01T10:17:00Z", "delay": null }] },
        { "end": "departures" },
        { "expect": "flights", "rows": [{ "carrier": "UA", "n": 1 }] }
      ]
    }
  ]
}"#;

fn folder(name: &str, topology: &str) -> Folder {
    Folder::with(&[(name, topology), ("in.ndjson", FLIGHTS)])
}

fn ended_well(ended: Ended) -> String {
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
    ended.out
}

/// What `check` prints, without the numbers of lines.
fn without_lines(text: &str) -> String {
    let parts = text.split(", line ").enumerate();
    parts.map(|(index, part)| if index == 0 { part } else { part.trim_start_matches(|c: char| c.is_ascii_digit()) }).collect()
}

#[test]
fn the_same_topology_in_each_syntax_does_the_same() {
    let toml = format!("{HOURLY}{TESTS_TOML}");
    let answers = [("t.toml", toml.as_str()), ("t.yaml", YAML), ("t.json", JSON)].map(|(name, topology)| {
        let folder = folder(name, topology);
        let schemas = without_lines(&ended_well(folder.run(&["check", name, "--schemas", "--explain"])));
        assert!(ended_well(folder.run(&["test", name])).contains("1 passed"), "{name}");
        ended_well(folder.run(&["run", name, "--set", "runtime.workers=1"]));
        (schemas, sorted(&folder.read("out.ndjson")).join("\n"))
    });
    assert!(answers[0].1.contains("\"carrier\":\"UA\""), "{}", answers[0].1);
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
}

#[test]
fn expected_rows_of_yaml_are_updated_in_place() {
    let folder = folder("t.yml", &YAML.replace("n: 1\n", "n: 7\n"));
    assert_eq!(folder.run(&["test", "t.yml"]).code, Some(1));
    ended_well(folder.run(&["test", "t.yml", "--update"]));
    assert!(ended_well(folder.run(&["test", "t.yml"])).contains("1 passed"));
    assert!(folder.read("t.yml").contains("      - expect: flights\n        rows:\n          - {"), "{}", folder.read("t.yml"));
}

#[test]
fn a_secret_is_used_and_never_shown() {
    let secret = "tr0ub4dor";
    let topology = HOURLY.replace("\"count(*) as n\"", "\"count(*) as ${file:secret}\"");
    let folder = folder("t.toml", &topology);
    std::fs::write(folder.path("secret"), format!("{secret}\n")).unwrap();
    let schemas = ended_well(folder.run(&["check", "t.toml", "--schemas"]));
    assert!(!schemas.contains(secret) && schemas.contains("***"), "{schemas}");
    ended_well(folder.run(&["run", "t.toml"]));
    assert!(folder.read("out.ndjson").contains(secret));
    // An error of the run quotes what it was given.
    std::fs::create_dir(folder.path(secret)).unwrap();
    let failing = topology.replace("path   = \"out.ndjson\"", "path   = \"${file:secret}/x/out.ndjson\"");
    std::fs::write(folder.path("t.toml"), failing).unwrap();
    std::fs::write(folder.path(secret).join("x"), "a file where a folder should be").unwrap();
    let ended = folder.run(&["run", "t.toml"]);
    assert_ne!(ended.code, Some(0));
    assert!(!ended.err.contains(secret) && ended.err.contains("***"), "{}", ended.err);
}

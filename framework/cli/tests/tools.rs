//! `graph`, `new`, `schema`, `functions`, `check --format json` and `check --explain` as a user sees them.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod command;

use command::{ENDLESS, FLIGHTS, Folder, HOURLY};
use serde_json::{Value, json};

fn hourly() -> Folder {
    Folder::with(&[("topology.toml", HOURLY), ("in.ndjson", FLIGHTS)])
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn editors_get_every_mistake_with_its_place() {
    let wrong = HOURLY.replace("input   = \"hourly\"", "input   = \"hourli\"");
    let folder = Folder::with(&[("topology.toml", &wrong), ("in.ndjson", FLIGHTS)]);
    let ended = folder.run(&["check", "topology.toml", "--format", "json", "--set", "runtime.workers=none"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(2), ""));
    let document = parsed(&ended.out);
    assert_eq!((&document["errors"], &document["warnings"]), (&json!(2), &json!(0)));
    let found = document["found"].as_array().unwrap();
    assert_eq!(
        found[0],
        json!({
            "severity": "error", "code": "unknown-stream", "file": "topology.toml", "line": 19, "column": 12, "end": 18,
            "given_by": null, "key": "operators.flights.input",
            "message": "`flights` reads `hourli`, which is not defined",
            "help": "did you mean `hourly`? defined here: departures, hourly, flights",
        })
    );
    assert_eq!((&found[1]["file"], &found[1]["given_by"]), (&Value::Null, &json!("--set runtime.workers")));
}

#[test]
fn a_right_topology_is_a_document_too_and_nothing_else_is_printed() {
    let ended = hourly().run(&["check", "topology.toml", "--format", "json"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert_eq!(parsed(&ended.out), json!({ "errors": 0, "warnings": 0, "found": [] }));
    let both = hourly().run(&["check", "topology.toml", "--format", "json", "--explain"]);
    assert_eq!((both.code, both.out.as_str()), (Some(2), ""));
    assert!(both.err.contains("help: "), "{}", both.err);
}

#[test]
fn a_file_that_is_not_there_has_no_line() {
    let ended = Folder::with(&[]).run(&["check", "nothing.toml", "--format", "json"]);
    assert_eq!(ended.code, Some(2));
    let found = &parsed(&ended.out)["found"][0];
    assert_eq!((&found["code"], &found["file"], &found["line"]), (&json!("cannot-read"), &json!("nothing.toml"), &Value::Null));
}

#[test]
fn explain_answers_its_three_questions() {
    let ended = hourly().run(&["check", "topology.toml", "--explain"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    for part in [
        "What bounds state\n  flights\n    one group for each key in each window that is open\n    windows of 1h, open until",
        "  departures\n    the watermark stays max_delay = \"0s\" behind",
        "    late rows are counted; nobody reads flights.late\n",
        "  departures → archive\n    appears whole at the end of the input or at a stop",
        "    exactly once in the end: ",
    ] {
        assert!(ended.out.contains(part), "{part:?} is not in:\n{}", ended.out);
    }
    assert!(!ended.out.contains("has no end"), "the input ends:\n{}", ended.out);
}

#[test]
fn explain_says_what_an_endless_input_means() {
    let endless = ENDLESS.replace("time = { by = \"date_time\" }", "time = { by = \"date_time\", idle_after = \"30s\" }");
    let folder = Folder::with(&[("topology.toml", &endless)]);
    let out = folder.run(&["check", "topology.toml", "--explain"]).out;
    for part in [
        "a split that is silent for 30s no longer holds the watermark back",
        "the input has no end: a stop (Ctrl-C) makes it appear",
        "  board\n    one row for each channel\n",
        "  auctions → board\n    held in memory as it comes; gone with the process\n",
    ] {
        assert!(out.contains(part), "{part:?} is not in:\n{out}");
    }
}

#[test]
fn explain_names_state_that_nothing_bounds_and_where_rejected_rows_go() {
    let running = ENDLESS
        .replace("type = \"nexmark\"", "type = \"nexmark\"\non_bad_row = \"reject\"")
        .replace("input   = \"seconds\"", "input   = \"seconds\"\nwindowed = false")
        .replace("input = \"bids\"\npath", "input = \"auctions.rejected\"\npath");
    let running = running.replace(
        "[sinks.archive]\ntype   = \"file\"\ninput  = \"bids\"",
        "[sinks.archive]\ntype   = \"file\"\ninput  = \"auctions.rejected\"",
    );
    let folder = Folder::with(&[("topology.toml", &running)]);
    let ended = folder.run(&["check", "topology.toml", "--explain"]);
    assert!(ended.err.contains("warning[unbounded-state]"), "{}", ended.err);
    for part in [
        "  bids\n    nothing: it grows with the rows that come\n",
        "    a row that cannot be read: it is counted and sent to auctions.rejected, which archive reads\n",
    ] {
        assert!(ended.out.contains(part), "{part:?} is not in:\n{}", ended.out);
    }
}

#[test]
fn a_graph_has_four_forms() {
    let folder = hourly();
    let graph = |format: &str| {
        let ended = folder.run(&["graph", "topology.toml", "--set", "runtime.workers=2", "--format", format]);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{format}");
        ended.out
    };
    let mermaid = graph("mermaid");
    assert!(mermaid.starts_with("flowchart LR\n    n0([\"<b>departures</b><br>file\"]):::source\n"), "{mermaid}");
    assert!(mermaid.contains("    n1 -->|\"by key carrier\"| n2\n"), "{mermaid}");
    let dot = graph("dot");
    assert!(
        dot.starts_with("digraph \"hourly\" {\n") && dot.contains("    \"hourly\" -> \"flights\" [label = \"by key carrier\"]\n"),
        "{dot}"
    );
    let json = parsed(&graph("json"));
    assert_eq!(
        json["edges"][1],
        json!({ "from": "hourly", "stream": "hourly", "to": "flights", "route": "by key carrier", "key": "carrier" })
    );
    assert_eq!((&json["nodes"][2]["parallelism"], &json["nodes"][2]["type"]), (&json!(2), &json!("aggregate")));
    assert_eq!(json["nodes"][2]["streams"][0]["columns"][1], json!({ "name": "n", "type": "bigint", "not_null": true, "read": true }));
    let svg = graph("svg");
    for part in ["<svg xmlns=", "prefers-color-scheme: dark", ">departures</text>", ">aggregate × 2</text>", ">by key carrier</text>"] {
        assert!(svg.contains(part), "{part:?} is not in:\n{svg}");
    }
    assert_eq!(graph("svg"), svg, "a drawing is the same every time");
    assert_eq!(folder.run(&["graph", "topology.toml"]).out.lines().next(), Some("flowchart LR"), "Mermaid is the default");
    assert_eq!(folder.run(&["graph", "nothing.toml"]).code, Some(2));
}

#[test]
fn a_new_topology_runs_at_once_and_nothing_is_ever_overwritten() {
    let folder = Folder::with(&[]);
    let made = folder.run(&["new", "cafe"]);
    assert_eq!((made.code, made.err.as_str()), (Some(0), ""));
    assert!(made.out.contains("    millstream run cafe/topology.toml\n"), "{}", made.out);
    let checked = folder.run(&["check", "cafe/topology.toml"]);
    assert_eq!((checked.out.as_str(), checked.err.as_str()), ("cafe: 1 source, 2 operators, 3 sinks; no mistakes\n", ""));
    assert!(folder.run(&["test", "cafe/topology.toml"]).out.contains("1 passed"));
    let run = folder.run(&["run", "cafe/topology.toml"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert_eq!(run.out.lines().count(), 2 + 15, "{}", run.out);
    assert_eq!(folder.read("cafe/out/late.ndjson").lines().count(), 1, "the comments promise an order that is too late");

    let before = folder.read("cafe/topology.toml");
    for arguments in [&["new", "cafe"][..], &["new", "cafe", "--from", "cafe/data/orders.ndjson"]] {
        let again = folder.run(arguments);
        assert_eq!((again.code, again.err.as_str()), (Some(2), "error: cafe exists already\nhelp: name a folder that does not exist\n"));
    }
    assert_eq!(folder.read("cafe/topology.toml"), before);
}

#[test]
fn a_name_that_check_would_refuse_makes_no_folder() {
    let folder = Folder::with(&[]);
    for name in ["1st", "two words", "a__b", ".."] {
        let ended = folder.run(&["new", name]);
        assert_eq!(ended.code, Some(2), "{name}");
        assert!(ended.err.contains("cannot be the name of a topology"), "{}", ended.err);
    }
    assert_eq!(folder.run(&["new"]).code, Some(2));
    assert!(folder.names().is_empty());
}

#[test]
fn a_file_becomes_a_topology_that_reads_it() {
    let table = "id\tat\tprice\n1\t2025-03-01T08:00:00Z\t2.5\n2\t2025-03-01T08:00:01Z\t3\n";
    let folder = Folder::with(&[("flights.ndjson", FLIGHTS), ("my ${table}.tsv", table), ("plain", "{\"a\": true}\n")]);
    let made = folder.run(&["new", "--from", "flights.ndjson"]);
    assert_eq!((made.code, made.err.as_str()), (Some(0), ""));
    let topology = folder.read("flights/topology.toml");
    for part in [
        "path = \"../flights.ndjson\"\nformat = \"json\"\n",
        "time = { by = \"departed\", max_delay = \"0s\" }\n",
        "carrier  = \"string\"\ndeparted = \"timestamp\"\ndelay    = \"bigint\"\n",
    ] {
        assert!(topology.contains(part), "{part:?} is not in:\n{topology}");
    }
    let run = folder.run(&["run", "flights/topology.toml"]);
    assert_eq!((run.code, run.out.lines().count()), (Some(0), 2 + 3), "{}", run.err);

    assert_eq!(folder.run(&["new", "prices", "--from", "my ${table}.tsv"]).code, Some(0));
    let run = folder.run(&["run", "prices/topology.toml"]);
    assert_eq!((run.code, run.out.lines().count()), (Some(0), 2 + 2), "{}", run.err);

    std::fs::write(folder.path("fares.csv.zst"), zstd::encode_all(&b"fare\n1.5\n2.5\n"[..], 1).unwrap()).unwrap();
    let parquet = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad/data/flights.parquet");
    std::fs::copy(parquet, folder.path("departures.parquet")).unwrap();
    for (file, name, rows) in [("fares.csv.zst", "fares", 2), ("departures.parquet", "departures", 1)] {
        assert_eq!(folder.run(&["new", name, "--from", file]).code, Some(0));
        let run = folder.run(&["run", &format!("{name}/topology.toml")]);
        assert_eq!((run.code, run.out.lines().count()), (Some(0), 2 + rows), "{}", run.err);
    }

    assert_eq!(folder.run(&["new", "sniffed", "--from", "plain"]).code, Some(0), "a file without an ending is looked into");
    assert!(folder.read("sniffed/topology.toml").contains("a = \"boolean\"\n"));
}

#[test]
fn what_cannot_be_a_column_name_gets_one() {
    let row = "{\"@timestamp\": \"2025-03-01T08:00:00Z\", \"user's \\\"id\\\"\": 7, \"n\": 1}\n";
    let folder = Folder::with(&[("logs.ndjson", row)]);
    let made = folder.run(&["new", "--from", "logs.ndjson"]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    let topology = folder.read("logs/topology.toml");
    for part in [
        "time = { by = \"timestamp\", max_delay = \"0s\" }\n",
        "timestamp = \"timestamp from '@timestamp'\"\n",
        "user_s_id = \"bigint from 'user''s \\\"id\\\"'\"\n",
        "n         = \"bigint\"\n",
    ] {
        assert!(topology.contains(part), "{part:?} is not in:\n{topology}");
    }
    let run = folder.run(&["run", "logs/topology.toml"]);
    assert_eq!((run.code, run.out.lines().last().map(|line| line.contains('7'))), (Some(0), Some(true)), "{}{}", run.out, run.err);
}

/// A column of numbers and texts is `json`, and a topology that says `string` of it could not read the file.
#[test]
fn what_was_inferred_is_said_as_a_schema_says_it() {
    let rows = "{\"a\": 1.5, \"raw\": {\"x\": 1}}\n{\"a\": \"b\", \"raw\": [2]}\n";
    let asks = "name = \"asks\"\n[sources.s]\ntype = \"file\"\npath = \"mixed.ndjson\"\nformat = \"json\"\n\
                [sinks.o]\ntype = \"stdout\"\ninput = \"s\"\n[sinks.r]\ntype = \"discard\"\ninput = \"s.rejected\"\n";
    let folder = Folder::with(&[("mixed.ndjson", rows), ("asks.toml", asks)]);
    let shown = folder.run(&["check", "asks.toml", "--schemas"]).out;
    assert!(shown.contains("  defines s\n    a    json\n    raw  json\n"), "{shown}");
    assert!(shown.contains("    raw     string not null\n"), "the side stream has a column of that name as well:\n{shown}");
    let graph = folder.run(&["graph", "asks.toml", "--format", "json"]).out;
    assert_eq!(graph.matches("\"type\": \"json\"").count(), 2, "{graph}");

    assert_eq!(folder.run(&["new", "--from", "mixed.ndjson"]).code, Some(0));
    assert!(folder.read("mixed/topology.toml").contains("a   = \"json\"\nraw = \"json\"\n"));
    let (written, inferred) = (folder.run(&["run", "mixed/topology.toml"]), folder.run(&["run", "asks.toml"]));
    assert_eq!((written.code, written.out.lines().count()), (Some(0), 2 + 2), "{}", written.err);
    assert_eq!((inferred.code, inferred.out.lines().count()), (Some(0), 2), "{}", inferred.err);
}

#[test]
fn a_file_that_makes_no_topology_says_why_and_leaves_nothing() {
    let folder = Folder::with(&[("empty.csv", ""), ("broken.ndjson", "no json\n"), ("bytes", "\u{0}\u{1}\u{2}")]);
    for file in ["nothing.csv", "empty.csv", "broken.ndjson", "bytes"] {
        let ended = folder.run(&["new", "made", "--from", file]);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{file}: {}", ended.err);
        assert!(ended.err.starts_with("error: ") && ended.err.contains(file) && ended.err.contains("\nhelp: "), "{}", ended.err);
    }
    assert_eq!(folder.names(), ["broken.ndjson", "bytes", "empty.csv"]);
}

#[test]
fn help_names_every_subcommand_and_the_version_is_said() {
    let folder = Folder::with(&[]);
    let help = folder.run(&["--help"]).out;
    for name in ["run", "check", "graph", "new", "operators", "schema"] {
        let line = help.lines().find(|line| line.trim_start().starts_with(&format!("{name} ")));
        assert!(line.is_some_and(|line| line.trim().len() > name.len() + 10), "{name} is not explained in:\n{help}");
        let own = folder.run(&[name, "--help"]);
        assert!(own.code == Some(0) && own.out.contains(&format!("Usage: millstream {name}")), "{}", own.out);
    }
    assert_eq!(folder.run(&["--version"]).out, format!("millstream {}\n", env!("CARGO_PKG_VERSION")));
}

/// What `--help` shows is on the page of the command.
#[test]
fn the_page_of_the_command_has_every_subcommand_and_option() {
    let folder = Folder::with(&[]);
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/command.md")).unwrap();
    let help = folder.run(&["--help"]).out;
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let names = list.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    let mut options = 0;
    for name in names.filter(|name| *name != "help") {
        assert!(page.contains(&format!("millstream {name}")), "docs/command.md lacks {name}");
        let own = folder.run(&[name, "--help"]).out;
        for option in own.split_whitespace().filter(|word| word.starts_with("--")).map(|word| word.trim_end_matches(['.', ',', ':'])) {
            assert!(option == "--help" || page.contains(option), "docs/command.md lacks {option} of {name}");
            options += 1;
        }
    }
    assert!(options > 20, "options were not found in:\n{help}");
}

#[test]
fn functions_are_listed_and_shown() {
    let folder = Folder::with(&[]);
    let list = folder.run(&["functions"]);
    assert_eq!((list.code, list.err.as_str()), (Some(0), ""));
    for line in ["aggregate functions\n", "\n  sha256 ", "\n  lower                   Converts a string to lower-case.\n"] {
        assert!(list.out.contains(line), "{line} is not in:\n{}", list.out);
    }
    let substr = folder.run(&["functions", "SUBSTRING"]);
    assert!(substr.out.starts_with("substr(str, start_pos[, length])\n\n  Extracts a substring"), "{}", substr.out);
    assert!(substr.out.ends_with("\n  also called substring\n"), "{}", substr.out);
    let several = folder.run(&["functions", "regexp_extract"]);
    assert!(several.out.starts_with("regexp_extract(text, pattern)\nregexp_extract(text, pattern, group)\n"), "{}", several.out);
    let absent = folder.run(&["functions", "uuid"]);
    assert_eq!((absent.code, absent.out.as_str()), (Some(2), ""));
    assert!(
        absent.err.contains("there is no function `uuid`") && absent.err.contains("the same input must give the same output"),
        "{}",
        absent.err
    );
}

//! `check`, `run` and `operators` as a user sees them: text, files and exit statuses.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod command;

use std::process::Stdio;

use command::{FLIGHTS, Folder, HOURLY, end, sorted};
use serde_json::Value;

fn hourly() -> Folder {
    Folder::with(&[("topology.toml", HOURLY), ("in.ndjson", FLIGHTS)])
}

#[test]
fn check_says_what_the_topology_is_made_of() {
    let ended = hourly().run(&["check", "topology.toml"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert_eq!(ended.out, "hourly: 1 source, 2 operators, 1 sink; no mistakes\n");
}

#[test]
fn check_shows_schemas_when_asked() {
    let ended = hourly().run(&["check", "topology.toml", "--schemas"]);
    assert_eq!(ended.code, Some(0));
    for part in ["departures", "carrier", "string", "window_start", "bigint"] {
        assert!(ended.out.contains(part), "{part} is not in:\n{}", ended.out);
    }
}

#[test]
fn check_names_file_line_and_column_of_every_mistake() {
    let wrong = HOURLY.replace("input   = \"hourly\"", "input   = \"hourli\"").replace("kind  = \"tumble\"", "kind  = \"tumbel\"");
    let folder = Folder::with(&[("topology.toml", &wrong), ("in.ndjson", FLIGHTS)]);
    let ended = folder.run(&["check", "topology.toml"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""));
    assert!(ended.err.contains("topology.toml:19:12: error[unknown-stream]: "), "{}", ended.err);
    assert!(ended.err.contains("did you mean `hourly`?"), "{}", ended.err);
    assert!(ended.err.contains("topology.toml:14:"), "{}", ended.err);
    assert!(ended.err.ends_with("topology.toml: 2 mistakes\n"), "{}", ended.err);
    assert_eq!(folder.run(&["run", "topology.toml"]).code, Some(2));
    assert_eq!(folder.names(), ["in.ndjson", "topology.toml"], "a wrong topology was run");
}

#[test]
fn a_file_that_is_not_there_or_is_no_toml_is_a_wrong_topology() {
    let folder = Folder::with(&[("broken.toml", "name = \n")]);
    for name in ["nothing.toml", "broken.toml"] {
        for subcommand in ["check", "run"] {
            let ended = folder.run(&[subcommand, name]);
            assert_eq!(ended.code, Some(2), "{}", ended.err);
            assert!(ended.err.contains(name) && ended.err.contains("error"), "{}", ended.err);
        }
    }
}

#[test]
fn usage_errors_are_2_and_help_is_0() {
    let folder = Folder::with(&[]);
    for arguments in [&["fly"][..], &[], &["run"], &["check", "a", "b"], &["run", "a", "--log-format", "xml"]] {
        let ended = folder.run(arguments);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(ended.err.contains("Usage: millstream") || ended.err.contains("--help"), "{}", ended.err);
    }
    for arguments in [&["--help"][..], &["--version"], &["run", "--help"]] {
        let ended = folder.run(arguments);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
        assert!(ended.out.contains("millstream"), "{}", ended.out);
    }
}

#[test]
fn operators_lists_types_and_their_keys() {
    let folder = Folder::with(&[]);
    let list = folder.run(&["operators"]);
    assert_eq!(list.code, Some(0));
    for name in ["file", "nexmark", "filter", "select", "union", "window", "aggregate", "stdout", "view", "discard"] {
        let line = list.out.lines().find(|line| line.trim_start().starts_with(&format!("{name} ")));
        assert!(line.is_some_and(|line| line.trim().len() > name.len() + 10), "{name} has no headline in:\n{}", list.out);
    }
    let window = folder.run(&["operators", "window"]);
    assert_eq!(window.code, Some(0));
    for part in ["operator `window`", "\n  input  (stream, required)", "\n  size  (duration", "\n  on_bad_row  (fail | skip | reject"] {
        assert!(window.out.contains(part), "{part:?} is not in:\n{}", window.out);
    }
    let file = folder.run(&["operators", "file"]);
    assert!(file.out.contains("source `file`") && file.out.contains("sink `file`"), "{}", file.out);
    let begun = folder.run(&["operators", "agg"]);
    assert!(begun.err.contains("did you mean `aggregate`?"), "{}", begun.err);
    let unknown = folder.run(&["operators", "windo"]);
    assert_eq!((unknown.code, unknown.err.as_str()), (Some(2), "error: there is no node type `windo`\nhelp: did you mean `window`?\n"));
}

#[test]
fn run_writes_the_result_and_accounts_for_every_row() {
    let folder = hourly();
    let ended = folder.run(&["run", "topology.toml"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""), "{}", ended.err);
    let out = folder.read("out.ndjson");
    assert_eq!(out.lines().count(), 3, "{out}");
    assert!(out.contains("\"window_start\":\"2013-01-01T11:00:00Z\""), "{out}");
    assert!(ended.err.contains("hourly is running"), "{}", ended.err);
    assert!(ended.err.contains("every row has one fate: the sums balance\n3 rows read in "), "{}", ended.err);
    assert_eq!(folder.names(), ["in.ndjson", "out.ndjson", "topology.toml"]);
}

#[test]
fn an_empty_input_gives_an_empty_output() {
    let folder = Folder::with(&[("topology.toml", HOURLY), ("in.ndjson", "")]);
    let ended = folder.run(&["run", "topology.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(folder.read("out.ndjson"), "");
    assert!(ended.err.contains("0 rows read"), "{}", ended.err);
}

#[test]
fn an_input_that_is_not_there_is_said_with_its_path() {
    let folder = Folder::with(&[("topology.toml", HOURLY)]);
    let ended = folder.run(&["run", "topology.toml"]);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.starts_with("topology.toml:6:11: error[path-not-found]: `in.ndjson` is not there\n"), "{}", ended.err);
    assert_eq!(folder.names(), ["topology.toml"]);
}

/// A topology that divides by `delay`, which is 0 in the second row.
fn dividing(on_bad_row: &str) -> Folder {
    let topology = HOURLY
        .replace("[operators.hourly]", "[operators.share]\ntype = \"select\"\ninput = \"departures\"\ncolumns = [\"carrier\", \"departed\", \"10 / delay as share\"]\nON_BAD_ROW\n\n[operators.hourly]")
        .replace("ON_BAD_ROW", on_bad_row)
        .replace("input = \"departures\"\nkind", "input = \"share\"\nkind")
        .replace("count(*) as n", "count(share) as n");
    Folder::with(&[("topology.toml", &topology), ("in.ndjson", &FLIGHTS.replace("\"delay\":4", "\"delay\":0"))])
}

#[test]
fn a_failing_row_ends_the_run_with_node_line_and_row() {
    let folder = dividing("");
    let ended = folder.run(&["run", "topology.toml", "--set", "runtime.workers=2"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    let message = ended.err.lines().find(|line| line.starts_with("topology.toml:11: error: `share` (subtask ")).unwrap();
    assert!(message.contains(" of 2): bad row: "), "{message}");
    assert!(ended.err.contains("division by zero"), "{}", ended.err);
    assert!(ended.err.contains("help: on_bad_row"), "{}", ended.err);
    assert_eq!(folder.names(), ["in.ndjson", "topology.toml"], "a failed run left something behind");
}

#[test]
fn a_row_that_is_skipped_is_counted_and_told_of() {
    let folder = dividing("on_bad_row = \"skip\"");
    let ended = folder.run(&["run", "topology.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(folder.read("out.ndjson").lines().count(), 2);
    let share = ended.err.lines().find(|line| line.trim_start().starts_with("share ")).unwrap();
    let cells: Vec<&str> = share.split_whitespace().collect();
    assert_eq!(cells, ["share", "3", "2", "0", "0", "0", "0", "1", "0", "0", "2", "ok"], "{}", ended.err);
    let said = "`share`: a bad row was left out: row of share with event time 2013-01-01T";
    assert!(ended.err.lines().any(|line| line.contains(said) && line.contains(": division by zero: {")), "{}", ended.err);
}

#[test]
fn a_rejected_row_is_whole_so_that_it_can_be_sent_again() {
    let folder = dividing("on_bad_row = \"reject\"\n\n[sinks.bad]\ntype = \"stdout\"\ninput = \"share.rejected\"");
    // Nobody else reads the gate.
    let topology = folder.read("topology.toml").replace("delay = \"bigint\"", "delay = \"bigint\", gate = \"string\"");
    let flights = folder.read("in.ndjson").replace("\"delay\":0", "\"delay\":0,\"gate\":\"B7\"");
    let folder = Folder::with(&[("topology.toml", &topology), ("in.ndjson", &flights)]);
    let ended = folder.run(&["run", "topology.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let row: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(row["reason"], "division by zero");
    assert_eq!(row["place"], "row of share with event time 2013-01-01T10:33:00Z");
    let raw: Value = serde_json::from_str(row["raw"].as_str().unwrap()).unwrap();
    let sent: Value = serde_json::from_str(flights.lines().nth(1).unwrap()).unwrap();
    assert_eq!((&raw, &raw["gate"]), (&sent, &"B7".into()));
}

#[test]
fn who_reads_rejected_rows_does_not_change_which_rows_are_late() {
    let topology = HOURLY
        .replace("kind  = \"tumble\"\nsize  = \"1h\"", "kind = \"hop\"\nsize = \"2h\"\nslide = \"1h\"")
        .replace("count(*) as n\"]", "count(*) as n\"]\non_bad_row = \"reject\"");
    let reader = |side: &str| format!("\n[sinks.{side}]\ntype = \"file\"\ninput = \"flights.{side}\"\npath = \"{side}.ndjson\"\n");
    let row = |hour: &str| format!("{{\"carrier\":\"UA\",\"departed\":\"2013-01-01T{hour}:00:00Z\",\"delay\":1}}\n");
    let rows = ["10", "20", "10"].map(row).concat();
    for readers in [reader("late"), reader("late") + &reader("rejected")] {
        let folder = Folder::with(&[("topology.toml", &(topology.clone() + &readers)), ("in.ndjson", &rows)]);
        let ended = folder.run(&["run", "topology.toml"]);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        assert_eq!(folder.read("late.ndjson"), row("10"), "late once, for two windows that are closed");
    }
}

#[test]
fn keys_are_set_by_the_command_line_and_by_variables() {
    let folder = hourly();
    let mut command = folder.command(&["run", "topology.toml", "--set", "sinks.archive.path=by-set.ndjson"]);
    command.env("MILLSTREAM__SINKS__ARCHIVE__PATH", "by-variable.ndjson").env("MILLSTREAM__SOURCES__DEPARTURES__TIME__MAX_DELAY", "1h");
    let ended = end(command);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(folder.names(), ["by-set.ndjson", "in.ndjson", "topology.toml"]);
    let wrong = folder.run(&["check", "topology.toml", "--set", "runtime.workers=none"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.err.contains("--set runtime.workers"), "{}", wrong.err);
}

#[test]
fn rows_on_standard_output_are_not_mixed_with_messages() {
    let topology =
        HOURLY.replace("type   = \"file\"\ninput  = \"flights\"\npath   = \"out.ndjson\"\n", "type   = \"stdout\"\ninput  = \"flights\"\n");
    let folder = Folder::with(&[("topology.toml", &topology), ("in.ndjson", FLIGHTS)]);
    let ended = folder.run(&["run", "topology.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let rows: Vec<Value> = sorted(&ended.out).into_iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row["n"] == 1));
}

#[test]
fn log_lines_are_json_when_asked_for() {
    let folder = hourly();
    let ended = folder.run(&["--log-format", "json", "run", "topology.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let lines: Vec<Value> = ended.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let flights = lines.iter().find(|line| line["node"] == "flights").unwrap();
    assert_eq!((&flights["rows_in"], &flights["taken"], &flights["balances"]), (&3.into(), &3.into(), &true.into()));

    let wrong = Folder::with(&[("topology.toml", "name = 3")]).run(&["check", "topology.toml", "--log-format", "json"]);
    assert_eq!(wrong.code, Some(2));
    let first: Value = serde_json::from_str(wrong.err.lines().next().unwrap()).unwrap();
    assert_eq!(first["level"], "ERROR");
    assert!(first["place"].as_str().unwrap().starts_with("topology.toml:1:"), "{first}");
    assert!(first["code"].is_string(), "{first}");
}

#[test]
fn a_filter_that_cannot_be_read_is_a_usage_error() {
    let folder = hourly();
    let mut command = folder.command(&["check", "topology.toml"]);
    command.env("RUST_LOG", "millstream=loud");
    let ended = end(command);
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.starts_with("error: RUST_LOG: "), "{}", ended.err);
}

#[test]
fn closed_pipes_are_no_panic() {
    let folder = hourly();
    for (arguments, code) in
        [(&["operators"][..], 0), (&["check", "topology.toml", "--schemas"], 0), (&["run", "topology.toml"], 0), (&["fly"], 2)]
    {
        let mut child = folder.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        drop(child.stderr.take());
        assert_eq!(child.wait().unwrap().code(), Some(code), "{arguments:?}");
    }
}

/// JSON in a column goes through a select, a deduplicate that keeps rows, a join with itself and an aggregate.
const JSON_COLUMN: &str = r#"
name = "payloads"

[sources.in]
type   = "file"
path   = "in.ndjson"
format = "json"
schema = { id = "bigint not null", payload = "json" }

[operators.renamed]
type    = "select"
input   = "in"
columns = ["id", "payload as body", "payload -> 'a' as part", "payload ->> 'a' as text"]

[operators.first]
type  = "deduplicate"
input = "renamed"
by    = ["id"]
keep  = "first"

[operators.paired]
type    = "join"
left    = "first"
right   = "in"
mode    = "changes"
on      = "left.id = right.id"
columns = ["left.id as id", "body", "part", "text", "payload"]

[sinks.out]
type  = "file"
input = "paired"
path  = "out.ndjson"

[operators.newest]
type    = "aggregate"
input   = "in"
compute = ["last_value(payload) as payload", "count(*) as n"]

[sinks.newest_out]
type    = "stdout"
input   = "newest"
changes = true

[[tests]]
name = "json is sent and expected as values or as text"
steps = [
  { send = "in", rows = [{ id = 1, payload = { a = [1, "x"] } }, { id = 2, payload = '{"a": {"b": true}}' }, { id = 3, payload = 7 }] },
  { expect = "renamed", rows = [
    { id = 1, body = '{"a":[1,"x"]}', part = [1, "x"], text = '[1,"x"]' },
    { id = 2, body = { a = { b = true } }, part = { b = true } },
    { id = 3, body = 7 },
  ] },
]
"#;

#[test]
fn a_column_of_json_goes_out_as_it_came_in() {
    let payloads = [r#"{"a":1.50,"b":["x, \"y\"",null]}"#, r#"[1e400, {"a" : {}}]"#, r#""text""#, "null", "12345678901234567890123"];
    let lines: Vec<String> = payloads.iter().enumerate().map(|(id, payload)| format!("{{\"id\":{id},\"payload\":{payload}}}\n")).collect();
    let folder = Folder::with(&[("topology.toml", JSON_COLUMN), ("in.ndjson", &lines.concat())]);
    let ended = folder.run(&["run", "topology.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let parts = [(r#""part":1.50,"text":"1.50""#)].into_iter().chain([r#""part":null,"text":null"#; 4]);
    let wanted: Vec<String> = payloads
        .iter()
        .zip(parts)
        .enumerate()
        .map(|(id, (payload, parts))| format!("{{\"id\":{id},\"body\":{payload},{parts},\"payload\":{payload}}}"))
        .collect();
    assert_eq!(sorted(&folder.read("out.ndjson")), wanted);
    assert!(ended.out.ends_with("{\"payload\":12345678901234567890123,\"n\":5,\"_weight\":1}\n"), "{}", ended.out);
    let tested = folder.run(&["test", "topology.toml"]);
    assert_eq!(tested.code, Some(0), "{}{}", tested.out, tested.err);
    let checked = folder.run(&["check", "topology.toml", "--schemas"]);
    assert_eq!(checked.out.matches(" json").count(), 9, "{}", checked.out);
}

#[test]
fn json_within_lists_and_structs_goes_out_as_it_came_in() {
    let topology = r#"
name = "nested"

[checkpoint]
store = "file:./state"

[sources.in]
type   = "file"
path   = "in.ndjson"
format = "json"
schema = { id = "bigint not null", items = "list<json>", it = "struct<a: json, b: list<struct<c: json not null>>>" }

[operators.parts]
type    = "select"
input   = "in"
columns = ["*", "items[1] as first", "it.a as a", "it.b[1]['c'] as c", "cast(it.a as string) as text"]

[operators.newest]
type    = "aggregate"
input   = "parts"
by      = ["id"]
compute = ["last_value(items) as items", "last_value(it) as it", "max(first) as first", "max(a) as a", "max(c) as c", "max(text) as text"]

[operators.each]
type   = "unnest"
input  = "in"
column = "items"

[sinks.out]
type    = "file"
input   = "newest"
path    = "out.ndjson"
changes = true

[sinks.each_out]
type    = "file"
input   = "each"
path    = "each.ndjson"
columns = ["items"]
"#;
    let rows =
        [r#""id":1,"items":[{"a":1.50},null,"x",[1, 2]],"it":{"a":{"x":7},"b":[{"c":[1]}]}"#, r#""id":2,"items":[],"it":{"a":"t","b":[]}"#];
    let folder = Folder::with(&[("topology.toml", topology), ("in.ndjson", &rows.map(|row| format!("{{{row}}}\n")).concat())]);
    let ended = folder.run(&["run", "topology.toml", "--set", "runtime.batch_rows=1"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let parts = [r#""first":{"a":1.50},"a":{"x":7},"c":[1],"text":"{\"x\":7}""#, r#""first":null,"a":"t","c":null,"text":"\"t\"""#];
    let wanted: Vec<String> = rows.iter().zip(parts).map(|(row, parts)| format!("{{{row},{parts},\"_weight\":1}}")).collect();
    assert_eq!(sorted(&folder.read("out.ndjson")), wanted);
    assert_eq!(
        sorted(&folder.read("each.ndjson")),
        [r#"{"items":"x"}"#, r#"{"items":[1, 2]}"#, r#"{"items":null}"#, r#"{"items":{"a":1.50}}"#]
    );
}

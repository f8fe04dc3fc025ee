//! Signals and the server, while a topology runs.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]
#![cfg(unix)]

mod command;

use std::net::TcpListener;
use std::process::Stdio;

use command::{ENDLESS, FLIGHTS, Folder, HOURLY, Running, get};
use serde_json::json;

/// A run of [`ENDLESS`] whose view has rows, and where it serves.
fn endless(folder: &Folder, options: &[&str]) -> (Running, String) {
    let arguments: Vec<&str> = ["run", "topology.toml"].into_iter().chain(options.iter().copied()).collect();
    let mut running = Running::start(folder.command(&arguments));
    let address = running.address();
    running.until("is running");
    // Each answer takes a round trip, so this waits; it ends, if slowly, when no row ever comes.
    let filled = (0..100_000).any(|_| match get(&address, "/views/board") {
        (200, body) => !body["rows"].as_array().unwrap().is_empty(),
        _ => false,
    });
    assert!(filled, "no row came");
    (running, address)
}

#[test]
fn a_signal_stops_an_endless_run_and_publishes_its_file() {
    for signal in ["INT", "TERM", "HUP"] {
        let folder = Folder::with(&[("topology.toml", ENDLESS)]);
        let (running, address) = endless(&folder, &[]);
        assert_eq!(get(&address, "/health"), (200, json!({ "topology": "endless", "status": "running" })));
        running.signal(signal);
        let ended = running.wait();
        assert_eq!(ended.code, Some(130), "{}", ended.err);
        assert!(ended.err.contains("stopping; Ctrl-C again to end at once"), "{}", ended.err);
        assert!(ended.err.contains("the sums balance"), "{}", ended.err);
        assert!(ended.err.contains("had not been sent at the stop"), "{}", ended.err);
        assert_eq!(folder.names(), ["out.ndjson", "topology.toml"]);
        assert!(folder.read("out.ndjson").lines().count() > 0);
    }
}

#[test]
fn drain_makes_a_stop_an_end() {
    let folder = Folder::with(&[("topology.toml", ENDLESS)]);
    let (running, _) = endless(&folder, &["--drain"]);
    running.signal("INT");
    let ended = running.wait();
    assert_eq!(ended.code, Some(130), "{}", ended.err);
    assert!(ended.err.contains("the sums balance"), "{}", ended.err);
    assert!(!ended.err.contains("had not been sent"), "{}", ended.err);
    let bids = ended.err.lines().find(|line| line.trim_start().starts_with("bids ")).unwrap();
    let cells: Vec<u64> = bids.split_whitespace().filter_map(|cell| cell.replace(',', "").parse().ok()).collect();
    let (rows_in, in_state) = (cells[0], cells[8]);
    let counted: u64 =
        folder.read("out.ndjson").lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["n"].as_u64().unwrap()).sum();
    assert_eq!((counted, in_state), (rows_in, 0), "a row that came in is in no window that came out");
}

#[test]
fn a_second_signal_ends_a_run_that_cannot_stop() {
    let topology =
        ENDLESS.replace("type   = \"file\"\ninput  = \"bids\"\npath   = \"out.ndjson\"\n", "type   = \"stdout\"\ninput  = \"bids\"\n");
    let folder = Folder::with(&[("topology.toml", &topology)]);
    let mut command = folder.command(&["run", "topology.toml"]);
    // Nobody reads it: the sink blocks in a write for ever.
    command.stdout(Stdio::piped());
    let mut running = Running::start(command);
    running.until("is running");
    running.signal("INT");
    running.until("stopping");
    running.signal("INT");
    let ended = running.wait();
    assert_eq!(ended.code, Some(130), "{}", ended.err);
}

/// Each row is in 864,000 windows, and all of a batch must be out before a stop is done.
const BUSY: &str = r#"
name = "busy"
[sources.n]
type = "nexmark"
time = { by = "date_time" }
[operators.windows]
type  = "window"
input = "n.bid"
kind  = "hop"
size  = "1d"
slide = "100ms"
[sinks.out]
type   = "file"
input  = "windows"
path   = "out.ndjson"
format = "json"
"#;

#[test]
fn a_second_signal_leaves_no_temporary_file() {
    let folder = Folder::with(&[("topology.toml", BUSY)]);
    let mut running = Running::start(folder.command(&["run", "topology.toml"]));
    running.until("is running");
    running.signal("INT");
    running.until("stopping");
    running.signal("INT");
    let ended = running.wait();
    assert_eq!(ended.code, Some(130), "{}", ended.err);
    // The stop may have been quicker than the second signal; then the file is there, and whole.
    let names = folder.names();
    assert!(names == ["topology.toml"] || names == ["out.ndjson", "topology.toml"], "{names:?}: {}", ended.err);
}

fn served(listen: &str) -> String {
    format!(
        "{HOURLY}\n[server]\nlisten = \"{listen}\"\n\n[sinks.board]\ntype = \"view\"\ninput = \"flights\"\nkey = [\"carrier\", \"window_start\"]\n"
    )
}

#[test]
fn a_view_is_served_and_goes_on_being_served_when_asked() {
    let folder = Folder::with(&[("topology.toml", &served("127.0.0.1:0")), ("in.ndjson", FLIGHTS)]);
    let mut running = Running::start(folder.command(&["run", "topology.toml", "--keep-serving"]));
    let address = running.address();
    running.until("inputs have ended");
    assert_eq!(get(&address, "/health"), (200, json!({ "topology": "hourly", "status": "done" })));
    let (status, body) = get(&address, "/views/board?key=UA&key=2013-01-01T11:00:00Z");
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["rows"].as_array().unwrap().len(), 1);
    assert_eq!((&body["rows"][0]["carrier"], &body["rows"][0]["n"]), (&json!("UA"), &json!(1)));
    assert_eq!(get(&address, "/views").1["views"][0]["rows"], 3);
    assert_eq!(get(&address, "/views/bord").0, 404);
    assert_eq!(get(&address, "/views/board?key=UA").0, 400);
    running.signal("INT");
    let ended = running.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("view `board` is served no longer: 3 rows"), "{}", ended.err);
}

#[test]
fn a_bounded_run_ends_with_its_inputs() {
    let folder = Folder::with(&[("topology.toml", &served("127.0.0.1:0")), ("in.ndjson", FLIGHTS)]);
    let ended = folder.run(&["run", "topology.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("view `board` is served no longer: 3 rows"), "{}", ended.err);
}

#[test]
fn an_address_in_use_ends_the_command_before_anything_runs() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let folder = Folder::with(&[("topology.toml", &served(&listen)), ("in.ndjson", FLIGHTS)]);
    let ended = folder.run(&["run", "topology.toml"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains(&format!("error: cannot listen on {listen}: ")) && ended.err.contains("help: "), "{}", ended.err);
    assert_eq!(folder.names(), ["in.ndjson", "topology.toml"]);
}

#[test]
fn keep_serving_needs_a_server() {
    let folder = Folder::with(&[("topology.toml", HOURLY), ("in.ndjson", FLIGHTS)]);
    let ended = folder.run(&["run", "topology.toml", "--keep-serving"]);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("the topology has no [server]"), "{}", ended.err);
}

/// The command line is wrong, not the pipeline: nothing was tried.
#[test]
fn without_checkpoints_there_are_none_to_go_on_from_or_leave() {
    let folder = Folder::with(&[("topology.toml", HOURLY), ("in.ndjson", FLIGHTS)]);
    for arguments in [&["run", "topology.toml", "--fresh"][..], &["run", "topology.toml", "--from", "1"]] {
        let refused = folder.run(arguments);
        let said = format!("error: {}: the topology has no [checkpoint]\nhelp: ", arguments[2]);
        assert_eq!((refused.code, refused.err.starts_with(&said)), (Some(2), true), "{}", refused.err);
    }
}

const COMMITTED: &str = r#"
name       = "committed"
server     = { listen = "127.0.0.1:0" }
checkpoint = { interval = "1h", store = "file:./state" }
[sources.numbers]
type    = "generate"
columns = ["counter as n"]
rows    = 3000
[sinks.seen]
type  = "view"
input = "numbers"
key   = ["n"]
read  = "committed"
"#;

#[test]
fn a_committed_view_shows_rows_once_a_checkpoint_covers_them() {
    let folder = Folder::with(&[("topology.toml", COMMITTED)]);
    let mut command = folder.command(&["run", "topology.toml", "--keep-serving"]);
    command.args(["--set", "sources.numbers.rate=1000"]);
    let mut running = Running::start(command);
    let address = running.address();
    running.until("is running");
    // Each answer takes a round trip, so this waits; it ends, if slowly, when no row ever comes.
    let came = (0..100_000).any(|_| {
        let (_, status) = get(&address, "/status");
        status["nodes"]
            .as_array()
            .is_some_and(|nodes| nodes.iter().any(|node| node["node"] == "seen" && node["rows_in"].as_u64() > Some(0)))
    });
    let rows = |address: &str| get(address, "/views/seen").1["rows"].as_array().map(Vec::len);
    assert_eq!((came, rows(&address)), (true, Some(0)));
    running.until("still serving");
    assert_eq!(rows(&address), Some(3000), "the last checkpoint covers everything");
    running.signal("INT");
    assert_eq!(running.wait().code, Some(0));
}

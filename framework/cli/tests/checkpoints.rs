//! Runs that are stopped, changed and sent back, as whole processes: what the user sees of checkpoints.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]
#![cfg(unix)]

mod command;
mod input;

use std::process::Command;

use command::departures::{self, ROWS, folder, lines};
use command::{Ended, Folder, Running, get};

fn hourly(rate: &str) -> String {
    departures::hourly("store    = \"file:./state\"\ninterval = \"50ms\"\nrestart_delay = \"10ms\"", rate)
}

/// What an undisturbed run writes.
fn expected() -> Vec<String> {
    let folder = folder(&hourly(""));
    let ended = folder.run(&["run", "topology.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    lines(&folder, "out.ndjson")
}

const SLOW: &str = "rate = 2000";

/// Runs it until it has written some checkpoints, so that windows have closed and their rows are in its file, then sends a signal.
fn interrupt(folder: &Folder, arguments: &[&str], signal: &str) -> Ended {
    let mut running = Running::start(folder.telling(arguments));
    running.until_checkpoints(2);
    running.signal(signal);
    running.wait()
}

fn run_to_the_end(folder: &Folder, arguments: &[&str]) -> Ended {
    let ended = folder.run(arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("the sums balance"), "{}", ended.err);
    assert!(ended.err.contains(&format!("departures    {},{:03}", ROWS / 1_000, ROWS % 1_000)), "the ledger goes on: {}", ended.err);
    ended
}

#[test]
fn a_stop_and_a_crash_go_on_where_they_were() {
    let expected = expected();
    let folder = folder(&hourly(SLOW));
    let stopped = interrupt(&folder, &["run", "topology.toml"], "INT");
    assert_eq!(stopped.code, Some(130), "{}", stopped.err);
    assert!(stopped.err.contains("they are in the last checkpoint"), "{}", stopped.err);
    let before = lines(&folder, "out.ndjson").len();
    assert!(before < expected.len());
    let killed = interrupt(&folder, &["run", "topology.toml", "--set", "runtime.workers=3"], "KILL");
    assert!(killed.err.contains("hourly goes on from checkpoint "), "{}", killed.err);
    run_to_the_end(&folder, &["run", "topology.toml", "--set", "runtime.workers=1"]);
    assert_eq!(lines(&folder, "out.ndjson"), expected);
    let again = folder.run(&["run", "topology.toml"]);
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert!(again.err.contains("hourly has finished: all its inputs were read to their ends"), "{}", again.err);
    let fresh = run_to_the_end(&folder, &["run", "topology.toml", "--fresh", "--set", "sources.departures.rate=1000000"]);
    assert!(fresh.err.contains("hourly begins anew; 2 checkpoints of runs before removed"), "{}", fresh.err);
    assert_eq!(lines(&folder, "out.ndjson"), expected);
    assert_eq!(folder.names(), ["in.ndjson", "out.ndjson", "state", "topology.toml"]);
}

#[test]
fn drained_is_finished() {
    let folder = folder(&hourly(SLOW));
    let drained = interrupt(&folder, &["run", "topology.toml", "--drain"], "TERM");
    assert_eq!(drained.code, Some(130), "{}", drained.err);
    let again = folder.run(&["run", "topology.toml"]);
    assert!(again.err.contains("hourly has finished: it was drained"), "{}", again.err);
}

#[test]
fn two_runs_on_one_store_are_refused() {
    let folder = folder(&hourly("rate = 200"));
    let mut running = Running::start(folder.command(&["run", "topology.toml"]));
    running.until("is running");
    let other = folder.run(&["run", "topology.toml"]);
    assert_eq!(other.code, Some(1), "{}", other.err);
    assert!(other.err.contains("topology.toml:8: error: the store ") && other.err.contains("is in use by process "), "{}", other.err);
    running.signal("INT");
    assert_eq!(running.wait().code, Some(130));
}

#[test]
fn what_a_change_of_the_topology_loses_is_listed_first() {
    let folder = folder(&hourly(SLOW));
    interrupt(&folder, &["run", "topology.toml"], "INT");
    let changed = hourly("").replace("\"sum(delay) as delay\"", "\"max(delay) as delay\"");
    std::fs::write(folder.path("topology.toml"), changed).unwrap();
    let refused = folder.run(&["run", "topology.toml"]);
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("`flights` has another `compute`"), "{}", refused.err);
    assert!(refused.err.contains("--allow-dropped-state"), "{}", refused.err);
    let ended = folder.run(&["run", "topology.toml", "--allow-dropped-state"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}

#[test]
fn going_back_wants_a_yes_and_cuts_the_file_back() {
    let expected = expected();
    let folder = folder(&hourly(SLOW));
    interrupt(&folder, &["run", "topology.toml", "--set", "checkpoint.retain=1000"], "INT");
    let numbers: Vec<String> =
        std::fs::read_dir(folder.path("state")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    let mut numbers: Vec<u64> = numbers.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    let older = numbers[numbers.len() - 2].to_string();
    let refused = folder.run(&["run", "topology.toml", "--from", &older]);
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("what `archive` (file) has given out is cut back"), "{}", refused.err);
    run_to_the_end(&folder, &["run", "topology.toml", "--from", &older, "--yes"]);
    assert_eq!(lines(&folder, "out.ndjson"), expected);
    let missing = folder.run(&["run", "topology.toml", "--from", "77777"]);
    assert!(missing.err.contains("there is no checkpoint 77777 in file:./state"), "{}", missing.err);
}

#[test]
fn a_damaged_checkpoint_names_the_one_before() {
    let folder = folder(&hourly(SLOW));
    interrupt(&folder, &["run", "topology.toml"], "INT");
    let folders = std::fs::read_dir(folder.path("state")).unwrap().map(|e| e.unwrap().path());
    let newest = folders.filter(|folder| folder.join("manifest").exists()).max().unwrap();
    let manifest = std::fs::read_to_string(newest.join("manifest")).unwrap();
    std::fs::write(newest.join("manifest"), manifest.replace("departures", "departuers")).unwrap();
    let refused = folder.run(&["run", "topology.toml"]);
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("its manifest is damaged") && refused.err.contains("the next older checkpoint is "), "{}", refused.err);
}

#[test]
fn a_store_that_cannot_be_written_fails_the_run_with_its_line() {
    let topology = hourly("").replace("file:./state", "file:./in.ndjson/state");
    let ended = folder(&topology).run(&["run", "topology.toml"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("topology.toml:8: error: cannot open the store "), "{}", ended.err);
}

#[test]
fn a_run_that_fails_goes_on_by_itself() {
    // The folder of the output goes while it runs, and comes back.
    let expected = expected();
    let topology = hourly(SLOW).replace("\"out.ndjson\"", "\"out/rows.ndjson\"");
    let folder = folder(&topology);
    let mut running = Running::start(folder.command(&["run", "topology.toml"]));
    running.until("is running");
    assert!(
        Command::new("sh")
            .arg("-c")
            .arg("while ! [ -s out/rows.ndjson ]; do sleep 0.01; done; mv out away")
            .current_dir(folder.path("."))
            .status()
            .unwrap()
            .success()
    );
    running.until("goes on from checkpoint ");
    std::fs::rename(folder.path("away"), folder.path("out")).unwrap();
    let ended = running.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(lines(&folder, "out/rows.ndjson"), expected);
}

#[test]
fn checkpoints_can_be_looked_into() {
    let folder = folder(&hourly(SLOW));
    interrupt(&folder, &["run", "topology.toml"], "INT");
    let listed = folder.run(&["state", "ls", "topology.toml"]);
    assert_eq!(listed.code, Some(0), "{}", listed.err);
    assert!(listed.out.contains("operator flights (aggregate): ") && listed.out.contains("\"offset\":"), "{}", listed.out);
    let shown = folder.run(&["state", "get", "file:./state", "flights"]);
    assert!(shown.out.lines().count() > 0 && shown.out.lines().all(|line| line.starts_with("{\"state\":")), "{}{}", shown.out, shown.err);
    let one = folder.run(&["state", "get", "state", "flights", "--value", "UA"]);
    assert!(one.out.lines().count() > 0 && one.out.lines().all(|line| line.contains("\"UA\"")), "{}{}", one.out, one.err);
    let exported = folder.run(&["state", "export", "topology.toml", "there"]);
    assert_eq!(exported.code, Some(0), "{}", exported.err);
    assert_eq!(folder.read("there/flights.ndjson").lines().count(), shown.out.lines().count());
    let unknown = folder.run(&["state", "get", "state", "flihgts"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("did you mean `flights`?"), "{}", unknown.err);
    let unknown = folder.run(&["state", "get", "state", "flights", "--state", "groups"]);
    assert_eq!((unknown.code, unknown.out.as_str()), (Some(1), ""));
    assert!(unknown.err.contains("`flights` has no state `groups`") && unknown.err.contains("panes"), "{}", unknown.err);
    for nowhere in ["nowhere", "file:./nowhere"] {
        assert_eq!(folder.run(&["state", "ls", nowhere]).code, Some(1));
    }
    assert!(!folder.path("nowhere").exists());
}

#[test]
fn a_plan_says_what_becomes_of_state() {
    let folder = folder(&hourly(""));
    let change = |from: &str, to: &str| {
        assert!(hourly("").contains(from), "{from}");
        std::fs::write(folder.path("changed.toml"), hourly("").replace(from, to)).unwrap();
    };
    change("\"sum(delay) as delay\"", "\"max(delay) as delay\"");
    let same = folder.run(&["plan", "topology.toml", "topology.toml"]);
    assert_eq!((same.code, same.out.lines().last()), (Some(0), Some("no state is lost")), "{}", same.err);
    let lost = folder.run(&["plan", "topology.toml", "changed.toml"]);
    assert_eq!(lost.code, Some(1), "{}", lost.err);
    assert_eq!(lost.out.lines().last(), Some("the state of 1 node is lost: run wants --allow-dropped-state"));
    assert!(lost.out.contains("`departures` keeps its state\n`flights` has another `compute`"), "{}", lost.out);
    change("size  = \"1h\"", "size  = \"2h\"");
    let lost = folder.run(&["plan", "topology.toml", "changed.toml"]);
    assert!(lost.out.contains("`flights` reads windows of "), "panes are of windows: {}", lost.out);
}

#[test]
fn a_checkpoint_can_be_taken_at_any_moment() {
    let served = format!("{}\n[server]\nlisten = \"127.0.0.1:0\"\n", hourly(SLOW).replace("\"50ms\"", "\"1h\""));
    let folder = folder(&served);
    let mut running = Running::start(folder.command(&["run", "topology.toml"]));
    let address = running.address();
    running.until("is running");
    let (status, before) = get(&address, "/checkpoint");
    assert_eq!((status, &before["completed"]), (200, &serde_json::json!(0)), "{before}");
    let taken = folder.run(&["checkpoint", &format!("http://{address}")]);
    assert_eq!((taken.code, taken.out.as_str()), (Some(0), "checkpoint 1\n"), "{}", taken.err);
    let (_, after) = get(&address, "/checkpoint");
    assert_eq!((&after["newest"], &after["completed"]), (&serde_json::json!(1), &serde_json::json!(1)), "{after}");
    assert!(after["bytes"].as_u64().unwrap() > 0 && after["duration_micros"].as_i64().unwrap() > 0, "{after}");
    running.signal("INT");
    assert_eq!(running.wait().code, Some(130));
    let without = Folder::with(&[("topology.toml", command::ENDLESS)]);
    let mut running = Running::start(without.command(&["run", "topology.toml"]));
    let address = running.address();
    running.until("is running");
    let refused = without.run(&["checkpoint", &format!("http://{address}")]);
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("the topology has no checkpoints"), "{}", refused.err);
}

//! Checkpoints in a bucket of S3: whole processes against a server that speaks its protocol.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "helpers of tests fail the test and say why it was skipped"
)]
#![cfg(unix)]

#[path = "../command/mod.rs"]
mod command;
mod server;

use std::net::SocketAddr;
use std::process::Command;

use command::departures::{self, folder, lines};
use command::{Ended, Folder, Running, end};
use server::{BUCKET, Relay, Server};

/// Sums for each hour, and every flight, over a file that is read as `rate` says.
fn hourly(store: &str, rate: &str) -> String {
    let checkpoint = format!("store         = \"{store}\"\ninterval      = \"100ms\"\nrestart_delay = \"50ms\"");
    format!("{}\n[sinks.copy]\ntype  = \"file\"\ninput = \"departures\"\npath  = \"copy.csv\"\n", departures::hourly(&checkpoint, rate))
}

const SLOW: &str = "rate = 700";

/// The command with credentials for a server.
fn at(server: SocketAddr, folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = folder.command(arguments);
    command
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ENDPOINT_URL", format!("http://{server}"))
        .env("AWS_ALLOW_HTTP", "true");
    command
}

/// What a run has written, sorted.
fn written(folder: &Folder) -> [Vec<String>; 2] {
    ["out.ndjson", "copy.csv"].map(|name| lines(folder, name))
}

/// What an undisturbed run writes.
fn expected() -> [Vec<String>; 2] {
    let folder = folder(&hourly("file:./state", ""));
    let ended = folder.run(&["run", "topology.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    written(&folder)
}

fn ends_well(ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("the sums balance"), "{}", ended.err);
}

/// The greatest number under which there is a checkpoint or a mark.
fn newest(server: &Server, store: &str) -> u64 {
    let listed = server.request("GET", &format!("/{BUCKET}?list-type=2&prefix={store}/"));
    let numbers = listed.split("/manifest<").filter_map(|before| before.rsplit('/').next()?.parse().ok());
    numbers.max().unwrap_or(0)
}

/// Waits until a store holds a checkpoint beside the mark of its first run.
fn until_a_checkpoint(server: &Server, store: &str) {
    while newest(server, store) < 2 {}
}

#[test]
fn a_run_that_is_killed_goes_on_and_ends_as_if_nothing_had_been() {
    let Some(server) = Server::start() else { return };
    let folder = folder(&hourly(&format!("s3://{BUCKET}/killed"), SLOW));
    for _ in 0..3 {
        let before = newest(&server, "killed");
        let mut child = at(server.address, &folder, &["run", "topology.toml"]).stderr(std::process::Stdio::null()).spawn().unwrap();
        // Its mark, and then a checkpoint.
        while newest(&server, "killed") < before + 2 {}
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was killed");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let ended = end(at(server.address, &folder, &["run", "topology.toml"]));
    ends_well(&ended);
    assert!(ended.err.contains("goes on from checkpoint "), "{}", ended.err);
    assert_eq!(written(&folder), expected());
    let again = end(at(server.address, &folder, &["run", "topology.toml"]));
    assert!(again.err.contains("hourly has finished"), "{}", again.err);
    let listed = end(at(server.address, &folder, &["state", "ls", &format!("s3://{BUCKET}/killed")]));
    assert!(listed.out.contains("finished: all inputs have ended"), "{}{}", listed.out, listed.err);
    let anew = end(at(server.address, &folder, &["run", "topology.toml", "--fresh", "--set", "sources.departures.rate=100000"]));
    ends_well(&anew);
    assert_eq!(written(&folder), expected());
}

#[test]
fn a_second_run_takes_over_and_the_first_one_ends() {
    let Some(server) = Server::start() else { return };
    let folder = folder(&hourly(&format!("s3://{BUCKET}/two"), "rate = 600"));
    let mut first = Running::start(at(server.address, &folder, &["run", "topology.toml"]));
    first.until("is running");
    until_a_checkpoint(&server, "two");
    let mut second = Running::start(at(server.address, &folder, &["run", "topology.toml"]));
    second.until("is running");
    let ended = first.wait();
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("was taken by process ") && ended.err.contains("topology.toml:8: "), "{}", ended.err);
    let ended = second.wait();
    ends_well(&ended);
    assert_eq!(written(&folder), expected());
}

#[test]
fn a_server_that_goes_away_and_comes_back_costs_time_and_no_row() {
    let Some(server) = Server::start() else { return };
    for (how, said) in [("100", "hourly goes on from checkpoint "), ("0", "cannot ")] {
        let relay = Relay::to(server.address);
        let store = format!("s3://{BUCKET}/away-{how}");
        let folder = folder(&hourly(&store, "rate = 400"));
        let set = format!("checkpoint.tolerable_failures={how}");
        let arguments = ["run", "topology.toml", "--set", &set, "--set", "checkpoint.same_failures=1000"];
        let mut running = Running::start(at(relay.address, &folder, &arguments));
        running.until("is running");
        until_a_checkpoint(&server, &format!("away-{how}"));
        relay.close();
        match how {
            // It does not come back before this run notices it.
            "0" => drop(running.until("goes on from checkpoint ")),
            _ => relay.until_refused(4),
        }
        relay.open();
        let ended = running.wait();
        ends_well(&ended);
        assert_eq!(ended.err.contains(said), how == "0", "{}", ended.err);
        assert_eq!(written(&folder), expected());
    }
}

#[test]
fn what_is_wrong_with_a_bucket_is_said_at_the_start() {
    let Some(server) = Server::start() else { return };
    let folder = folder(&hourly("s3://elsewhere/x", ""));
    let ended = end(at(server.address, &folder, &["run", "topology.toml"]));
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("topology.toml:8: error: cannot list s3://elsewhere/x: NoSuchBucket: "), "{}", ended.err);
    assert!(ended.err.contains("help: make the bucket first"), "{}", ended.err);
    let mut plain = at(server.address, &folder, &["run", "topology.toml"]);
    plain.env_remove("AWS_ALLOW_HTTP");
    let ended = end(plain);
    assert!(ended.err.contains("which is not encrypted") && ended.err.contains("AWS_ALLOW_HTTP=true"), "{}", ended.err);
}

#[test]
fn parts_of_any_size_come_back() {
    let Some(server) = Server::start() else { return };
    let topology = format!(
        r#"
name = "large"

[checkpoint]
store    = "s3://{BUCKET}/large"
interval = "1h"

[sources.numbers]
type    = "generate"
columns = ["counter as n", "cast(counter as string) || repeat('x', 200) as text"]
rows    = 120000

[sinks.board]
type     = "view"
input    = "numbers"
key      = ["n"]
max_rows = 1000000
"#
    );
    let folder = folder(&topology);
    ends_well(&end(at(server.address, &folder, &["run", "topology.toml", "--set", "runtime.workers=1"])));
    let listed = end(at(server.address, &folder, &["state", "ls", "topology.toml"]));
    let large = listed.out.lines().find(|line| line.contains("sink board")).unwrap().to_owned();
    let bytes: u64 = large.split_once(" bytes").unwrap().0.rsplit(' ').next().unwrap().replace(',', "").parse().unwrap();
    assert!(bytes > 20_000_000, "it goes in one piece: {large}");
    let exported = end(at(server.address, &folder, &["state", "export", "topology.toml", "there"]));
    assert_eq!(exported.code, Some(0), "{}", exported.err);
    let rows = folder.read("there/board.ndjson").lines().filter(|line| line.starts_with("{\"state\":\"rows\"")).count();
    assert_eq!(rows, 120_000);
}

/// Needs no server: nobody answers at these addresses.
#[test]
fn a_server_that_is_not_there_is_said_to_be_so_soon() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = folder(&hourly("s3://states/x", ""));
    let checked = folder.run(&["check", "topology.toml"]);
    assert_eq!(checked.code, Some(0), "{}", checked.err);
    let ended = end(at(nobody, &folder, &["run", "topology.toml"]));
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("topology.toml:8: error: cannot list s3://states/x: "), "{}", ended.err);
    let mut without = folder.command(&["run", "topology.toml"]);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"] {
        without.env_remove(name);
    }
    let ended = end({
        without.env("AWS_ENDPOINT_URL", "https://127.0.0.1:1");
        without
    });
    assert!(ended.err.contains("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set"), "{}", ended.err);
}

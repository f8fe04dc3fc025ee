//! Sources and sinks that meet the world outside the file system, as a user runs them: standard input, rows made up, HTTP.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]
#![cfg(unix)]

mod command;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use command::{FLIGHTS, Folder, HOURLY, Running, get, sorted};

/// [`HOURLY`] over standard input.
fn piped() -> String {
    HOURLY.replace("type   = \"file\"\npath   = \"in.ndjson\"", "type   = \"stdin\"")
}

#[test]
fn standard_input_is_read_to_its_end() {
    let folder = Folder::with(&[("topology.toml", &piped()), ("in.ndjson", FLIGHTS)]);
    let mut command = folder.command(&["run", "topology.toml"]);
    command.stdin(std::fs::File::open(folder.path("in.ndjson")).unwrap());
    let ended = command::end(command);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let rows = folder.read("out.ndjson");
    let shown: Vec<&str> = sorted(&rows).into_iter().filter(|row| row.contains(r#""carrier":"UA""#)).collect();
    assert_eq!(shown.len(), 2, "{rows}");
    assert_eq!(rows.lines().count(), 3, "{rows}");
}

#[test]
fn a_stop_does_not_wait_for_a_silent_writer() {
    let folder = Folder::with(&[("topology.toml", &piped())]);
    let mut command = folder.command(&["run", "topology.toml"]);
    let (reader, mut writer) = std::io::pipe().unwrap();
    command.stdin(Stdio::from(reader));
    let mut running = Running::start(command);
    running.until("is running");
    writer.write_all(FLIGHTS.as_bytes()).unwrap();
    running.signal("INT");
    let ended = running.wait();
    assert_eq!(ended.code, Some(130), "{}", ended.err);
    assert!(ended.err.contains("the sums balance"), "{}", ended.err);
    drop(writer);
}

#[test]
fn two_sources_cannot_share_standard_input() {
    let second = "\n[sources.again]\ntype = \"stdin\"\nschema = { a = \"bigint\" }\n[sinks.none]\ntype = \"discard\"\ninput = \"again\"\n";
    let folder = Folder::with(&[("topology.toml", &(piped() + second))]);
    let ended = folder.run(&["run", "topology.toml"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("another source reads standard input already"), "{}", ended.err);
    assert_eq!(folder.names(), ["topology.toml"]);
}

/// `POST body` to a URL; the status.
fn post(url: &str, body: &str) -> u16 {
    let (address, path) = url.split_once('/').unwrap();
    let mut connection = TcpStream::connect(address).unwrap();
    write!(connection, "POST /{path} HTTP/1.0\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Posted flights, shown in a view.
const POSTED: &str = r#"
name = "posted"

[server]
listen = "127.0.0.1:0"

[sources.departures]
type   = "http"
listen = "127.0.0.1:0"
path   = "/flights"
schema = { carrier = "string not null", departed = "timestamp not null" }

[sinks.board]
type     = "view"
input    = "departures"
max_rows = 10
"#;

#[test]
fn posted_rows_come_through() {
    let folder = Folder::with(&[("topology.toml", POSTED)]);
    let mut running = Running::start(folder.command(&["run", "topology.toml"]));
    let mut url = None;
    // Both listeners say where they are, in whatever order they start.
    let server = loop {
        let line = running.until("http://");
        let (said, place) = line.trim_end().split_once("http://").map(|(said, place)| (said.to_owned(), place.to_owned())).unwrap();
        match said.contains("takes rows at") {
            true => url = Some(place),
            false => break place,
        }
    };
    let url = url.unwrap_or_else(|| running.until("takes rows at http://").trim_end().split_once("http://").unwrap().1.to_owned());
    running.until("is running");
    assert_eq!(post(&url, "{\"carrier\": 1}\n"), 400);
    assert_eq!(post(&url, FLIGHTS), 200);
    let all = (0..100_000).any(|_| matches!(get(&server, "/views/board"), (200, body) if body["rows"].as_array().unwrap().len() == 3));
    assert!(all, "not all rows came");
    running.signal("INT");
    let ended = running.wait();
    assert_eq!(ended.code, Some(130), "{}", ended.err);
    assert!(ended.err.contains("the sums balance"), "{}", ended.err);
}

#[test]
fn rows_are_made_up() {
    let topology = r#"
name = "made-up"

[sources.readings]
type       = "generate"
rows       = 100
columns    = ["counter as id", "100 / (counter - 50) as share", "to_timestamp(1704067200 + counter * 60) as at"]
time       = { by = "at" }
on_bad_row = "skip"

[operators.hours]
type  = "window"
input = "readings"
kind  = "tumble"
size  = "1h"

[operators.counts]
type    = "aggregate"
input   = "hours"
compute = ["count(*) as n", "sum(share) as shares"]

[sinks.out]
type    = "file"
input   = "counts"
path    = "out.ndjson"
columns = ["n", "shares"]
"#;
    let folder = Folder::with(&[("topology.toml", topology)]);
    let ended = folder.run(&["run", "topology.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    // 100 / (counter - 50), truncated, over 0..60 without 50, and over 60..100.
    let sum = |counters: std::ops::Range<i64>| counters.filter(|c| *c != 50).map(|c| 100 / (c - 50)).sum::<i64>();
    let expected = format!("{{\"n\":59,\"shares\":{}}}\n{{\"n\":40,\"shares\":{}}}\n", sum(0..60), sum(60..100));
    assert_eq!(folder.read("out.ndjson"), expected);
}

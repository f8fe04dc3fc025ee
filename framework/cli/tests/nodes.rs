//! Sources and sinks that meet the world outside the file system, as a user runs them: standard input, rows made up, HTTP,
//! change events of databases.
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

/// Posted flights, counted per carrier in a view.
const POSTED: &str = r#"
name = "posted"

[server]
listen = "127.0.0.1:0"

[sources.departures]
type   = "http"
listen = "127.0.0.1:0"
path   = "/flights"
buffer = "64kB"
max_body = "32kB"
schema = { carrier = "string not null", departed = "timestamp not null" }

[operators.flights]
type    = "aggregate"
input   = "departures"
by      = ["carrier"]
compute = ["count(*) as n"]

[sinks.board]
type  = "view"
input = "flights"
key   = ["carrier"]
"#;

/// A run of [`POSTED`], where rows are posted to and where the view is.
fn posted(folder: &Folder) -> (Running, String, String) {
    let mut running = Running::start(folder.command(&["run", "topology.toml"]));
    let (mut rows, mut views) = (None, None);
    // Both listeners say where they are, in whatever order they start.
    while rows.is_none() || views.is_none() {
        let line = running.until("http://");
        let (said, place) = line.trim_end().split_once("http://").unwrap();
        let to = if said.contains("takes rows at") { &mut rows } else { &mut views };
        *to = Some(place.to_owned());
    }
    (running, rows.unwrap(), views.unwrap())
}

/// Waits until so many flights are counted: each look takes a round trip, and a row that is lost makes it fail, if slowly.
fn until_counted(views: &str, flights: u64) {
    let count = |body: &serde_json::Value| body["rows"].as_array().unwrap().iter().map(|row| row["n"].as_u64().unwrap()).sum::<u64>();
    let all = (0..100_000).any(|_| matches!(get(views, "/views/board"), (200, ref body) if count(body) == flights));
    assert!(all, "not all rows came");
}

#[test]
fn posted_rows_come_through() {
    let folder = Folder::with(&[("topology.toml", POSTED)]);
    let (running, rows, views) = posted(&folder);
    assert_eq!(post(&rows, "{\"carrier\": 1}\n"), 400);
    assert_eq!(post(&rows, FLIGHTS), 200);
    until_counted(&views, 3);
    running.signal("INT");
    let ended = running.wait();
    assert_eq!(ended.code, Some(130), "{}", ended.err);
    assert!(ended.err.contains("the sums balance"), "{}", ended.err);
}

#[test]
fn one_topology_posts_to_another() {
    let folder = Folder::with(&[("topology.toml", POSTED)]);
    let (running, rows, views) = posted(&folder);
    let sender = format!(
        r#"
name = "sender"

[sources.made]
type    = "generate"
rows    = 20000
columns = ["'c' || cast(counter % 3 as string) as carrier", "to_timestamp(counter) as departed"]

[sinks.out]
type      = "http"
input     = "made"
url       = "http://{rows}"
max_rows  = 400
pause     = "1ms"
max_pause = "20ms"
attempts  = 1000
"#
    );
    std::fs::write(folder.path("sender.toml"), sender).unwrap();
    let sent = folder.run(&["run", "sender.toml"]);
    assert_eq!(sent.code, Some(0), "{}", sent.err);
    until_counted(&views, 20_000);
    running.signal("INT");
    assert_eq!(running.wait().code, Some(130));
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

/// Orders of customers, kept up to date from a table's change events.
const CHANGES: &str = r#"
name = "changes"

[sources.orders]
type   = "file"
path   = "orders.ndjson"
format = "debezium"
key    = ["id"]
schema = { id = "bigint not null", customer = "string", cents = "bigint" }

[operators.totals]
type    = "aggregate"
input   = "orders"
by      = ["customer"]
compute = ["count(*) as orders", "sum(cents) as cents"]

[sinks.board]
type  = "view"
input = "totals"
key   = ["customer"]

[sinks.copy]
type   = "file"
input  = "orders"
path   = "copy.ndjson"
format = "debezium"

[sinks.events]
type   = "file"
input  = "totals"
path   = "totals.ndjson"
format = "debezium"

[[tests]]
name  = "an order that is changed counts once"
steps = [
    { send = "orders", rows = [
        { id = 1, customer = "ann", cents = 100 },
        { id = 2, customer = "bob", cents = 50 },
        { id = 1, customer = "ann", cents = 100, _weight = -1 },
        { id = 1, customer = "ann", cents = 70, _weight = 1 },
    ] },
    { expect = "board", rows = [{ customer = "ann", orders = 1, cents = 70 }, { customer = "bob", orders = 1, cents = 50 }] },
    { checkpoint = true },
    { send = "orders", rows = [{ id = 2, customer = "bob", cents = 50, _weight = -1 }] },
    { crash = true },
    { restore = true },
    { expect = "board", rows = [{ customer = "ann", orders = 1, cents = 70 }] },
    { end = "orders" },
    { expect = "orders", rows = [{ id = 1, cents = 70 }] },
    { checkpoint = true },
    { crash = true },
    { restore = true },
    { expect = "board", rows = [{ customer = "ann", orders = 1, cents = 70 }] },
]
"#;

const ORDERS: &str = r#"{"before":null,"after":{"id":1,"customer":"ann","cents":100},"op":"r"}
{"before":null,"after":{"id":2,"customer":"bob","cents":50},"op":"c"}
{"payload":{"before":{"id":1,"customer":"ann","cents":100},"after":{"id":1,"customer":"ann","cents":70},"op":"u"}}
null
{"before":{"id":2,"customer":"bob","cents":50},"after":null,"op":"d"}
{"before":null,"after":{"id":3,"customer":"ann","cents":1},"op":"c"}
"#;

/// The table that change events lead to, as JSON by the text of its rows; an event that does not fit fails.
fn table(events: &str) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for line in events.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        if !event["before"].is_null() {
            let before = event["before"].to_string();
            let place = rows.iter().position(|row| *row == before).unwrap();
            rows.remove(place);
        }
        rows.extend((!event["after"].is_null()).then(|| event["after"].to_string()));
    }
    rows.sort();
    rows
}

#[test]
fn change_events_come_in_and_go_out() {
    let folder = Folder::with(&[("topology.toml", CHANGES), ("orders.ndjson", ORDERS)]);
    for batch_rows in ["1", "2", "8192"] {
        let ended = folder.run(&["run", "topology.toml", "--set", &format!("runtime.batch_rows={batch_rows}")]);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let expected = [r#"{"id":1,"customer":"ann","cents":70}"#, r#"{"id":3,"customer":"ann","cents":1}"#];
        assert_eq!(table(&folder.read("copy.ndjson")), expected, "{batch_rows}");
        assert_eq!(table(&folder.read("totals.ndjson")), [r#"{"customer":"ann","orders":2,"cents":71}"#], "{batch_rows}");
    }
    let tested = folder.run(&["test", "topology.toml"]);
    assert_eq!(tested.code, Some(0), "{}{}", tested.out, tested.err);
}

#[test]
fn an_update_without_its_old_row_is_a_bad_row() {
    let folder = Folder::with(&[("topology.toml", CHANGES), ("orders.ndjson", "{\"op\":\"u\",\"before\":null,\"after\":{\"id\":1}}\n")]);
    let ended = folder.run(&["run", "topology.toml"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("REPLICA IDENTITY FULL") && ended.err.contains("orders.ndjson:1"), "{}", ended.err);
}

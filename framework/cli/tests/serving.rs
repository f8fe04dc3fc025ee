//! Views as they are served while a sink changes them: every answer is a state that existed, whole.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use millstream_api::Registry;
use millstream_runtime::Lookout;
use millstream_runtime::schedule::SystemClock;
use millstream_server::{Health, Info, Phase, Server};
use millstream_testkit::VirtualRun;
use millstream_testkit::nodes::{ScriptFeed, Sent};
use millstream_topology::load_text;
use serde_json::Value;

const TOPOLOGY: &str = r#"
name = "rounds"

[sources.rounds]
type   = "script"
schema = { k = "bigint not null", round = "bigint not null" }

[sinks.board]
type  = "view"
input = "rounds"
key   = ["k"]

# What changes in it: the rows of a round that is over are withdrawn.
[operators.newest]
type    = "aggregate"
input   = "rounds"
by      = ["k"]
compute = ["max(round) as round"]
parallelism = 1

[sinks.running]
type  = "view"
input = "newest"
key   = ["k"]
"#;

/// Keys of a round; more than a page, than a piece of a snapshot, and than a chunk of the view.
const KEYS: i64 = 700;
const ROUNDS: i64 = 60;

/// All keys with the number of a round, as one batch.
fn round(number: i64) -> RecordBatch {
    let field = |name: &str| Field::new(name, DataType::Int64, false);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from_iter_values(0..KEYS)), Arc::new(Int64Array::from_value(number, KEYS as usize))];
    RecordBatch::try_new(Arc::new(Schema::new(vec![field("k"), field("round")])), columns).unwrap()
}

/// The topology, in this thread and virtual time, and what feeds its source.
fn started() -> (VirtualRun, Sent) {
    let mut registry = Registry::default();
    millstream_operators::register(&mut registry);
    millstream_testkit::nodes::register(&mut registry);
    let sets = ["runtime.linger=0s".to_owned()];
    let outcome = load_text("rounds.toml", TOPOLOGY, Path::new("."), &BTreeMap::new(), &sets, &registry);
    let topology = outcome.topology.unwrap_or_else(|| panic!("{}", outcome.report.render()));
    let sent = Sent::default();
    let mut feed =
        |node: &str, _, _| Ok(Box::new(ScriptFeed::new(&topology, node, sent.clone(), None)?) as Box<dyn millstream_runtime::feed::Feed>);
    let run = VirtualRun::new(&topology, 1, Arc::default(), None, &mut feed).unwrap();
    (run, sent)
}

fn get(address: SocketAddr, path: &str) -> Value {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
    let mut text = String::new();
    connection.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{head}\n{body}");
    serde_json::from_str(body).unwrap()
}

/// The one round that all rows are of; fails when they are of several, or some are missing.
fn round_of(rows: &[Value]) -> i64 {
    let rounds: Vec<i64> = rows.iter().map(|row| row["round"].as_i64().unwrap()).collect();
    assert_eq!(rounds.len(), KEYS as usize);
    assert!(rounds.iter().all(|round| *round == rounds[0]), "rows of several rounds: {rounds:?}");
    rounds[0]
}

/// All pages of an answer.
fn paged(address: SocketAddr, path: &str) -> Vec<Value> {
    let mut page = get(address, path);
    let mut rows = Vec::new();
    loop {
        rows.append(page["rows"].as_array_mut().unwrap());
        match page["next"].as_str() {
            Some(next) => page = get(address, &format!("/views/board?cursor={next}")),
            None => return rows,
        }
    }
}

/// Follows a view to its end. After every event the rows are those of one round, and rounds rise; gives the last one.
fn followed(address: SocketAddr, view: &str) -> i64 {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    connection.write_all(format!("GET /views/{view}/follow HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
    let (mut rows, mut name, mut last) = (BTreeMap::new(), String::new(), 0);
    for line in BufReader::new(connection).lines() {
        let line = line.unwrap();
        if let Some(event) = line.strip_prefix("event: ") {
            event.clone_into(&mut name);
        }
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let data: Value = serde_json::from_str(data).unwrap();
        match name.as_str() {
            "reset" => rows.clear(),
            "rows" => add(&mut rows, &data),
            "change" => {
                for row in data["removed"].as_array().unwrap() {
                    assert_eq!(rows.remove(&row["k"].as_i64().unwrap()).as_ref(), Some(row), "what was not there is withdrawn");
                }
                add(&mut rows, &data["added"]);
            }
            "snapshot" if rows.is_empty() => continue,
            "snapshot" => {}
            "end" => return last,
            other => panic!("{other}: {data}"),
        }
        if matches!(name.as_str(), "snapshot" | "change") {
            let now = round_of(&rows.values().cloned().collect::<Vec<_>>());
            assert!(now >= last, "round {now} after {last}");
            last = now;
        }
    }
    panic!("cut off after round {last}")
}

fn add(rows: &mut BTreeMap<i64, Value>, added: &Value) {
    for row in added.as_array().unwrap() {
        rows.insert(row["k"].as_i64().unwrap(), row.clone());
    }
}

/// Reads in all ways until told to stop; rounds rise from answer to answer.
fn read_all_ways(address: SocketAddr, ended: &AtomicBool) {
    let mut last = 0;
    while !ended.load(Ordering::Relaxed) {
        let whole = get(address, "/views/board")["rows"].as_array().unwrap().clone();
        let chosen = paged(address, "/views/board?where=round+%3E%3D+0&order=k+desc&limit=300");
        let found = get(address, "/views/board?key=7")["rows"][0]["round"].as_i64().unwrap();
        let rounds = [round_of(&whole), round_of(&chosen), found];
        assert!(last <= rounds[0] && rounds.is_sorted(), "{last}, then {rounds:?}");
        last = rounds[2];
    }
}

#[test]
fn every_answer_is_a_state_that_existed() {
    let (mut run, sent) = started();
    let send = |number: i64, run: &mut VirtualRun| {
        sent.push(round(number));
        run.wake_sources();
        run.run().unwrap();
    };
    send(0, &mut run);
    let health = Health::default();
    health.set(Phase::Running);
    let clock = Arc::new(SystemClock::default());
    let info = Info { topology: "rounds".to_owned(), health: health.clone(), token: None, runs: Lookout::default(), clock };
    let server = Server::start("127.0.0.1:0".parse().unwrap(), run.views().clone(), info).unwrap();
    let address = server.address();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3).map(|_| scope.spawn(|| read_all_ways(address, &ended))).collect();
        let followers: Vec<_> = ["board", "running"].map(|view| scope.spawn(move || followed(address, view))).into();
        for number in 1..ROUNDS {
            send(number, &mut run);
        }
        ended.store(true, Ordering::Relaxed);
        health.set(Phase::Done);
        assert!(followers.into_iter().all(|follower| follower.join().unwrap() == ROUNDS - 1));
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

//! The server over a real loopback socket: health, views as a whole and by key, refusals, access.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_api::error::{Error, ErrorKind, Result};
use millstream_api::view::{Snapshot, View, Views};
use millstream_server::{Health, Phase, Server, ServerError};
use serde_json::json;

use crate::common::{Board, board_server, get, info, request, send, server};

/// A view whose rows cannot be had.
struct Broken;

impl View for Broken {
    fn schema(&self) -> SchemaRef {
        Board::new(&[]).schema()
    }

    fn key(&self) -> Vec<String> {
        Vec::new()
    }

    fn version(&self) -> u64 {
        0
    }

    fn snapshot(&self) -> Result<Snapshot> {
        Err(Error::internal("a column is missing"))
    }

    fn lookup(&self, _: &[&str]) -> Result<(u64, RecordBatch)> {
        Err(Error::new(ErrorKind::BadRow, "the view has no key"))
    }
}

#[test]
fn before_there_is_a_run_it_cannot_be_looked_at() {
    let (server, _) = server(&Views::default());
    for path in ["/status", "/why/delays", "/tap/delays", "/views/delays", "/views/delays/follow"] {
        let answer = get(&server, path);
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (503, &json!("starting")), "{path}");
    }
    assert_eq!(get(&server, "/tap/delays?sample=0").json()["error"]["message"], "`sample` is `0`");
}

#[test]
fn health_follows_the_run() {
    let (server, health) = server(&Views::default());
    let phases = [
        (Phase::Starting, 200, 503),
        (Phase::Running, 200, 200),
        (Phase::Done, 200, 200),
        (Phase::Stopping, 200, 503),
        (Phase::Failed, 503, 503),
    ];
    for (phase, alive, ready) in phases {
        health.set(phase);
        for (path, status) in [("/health", alive), ("/ready", ready)] {
            let answer = get(&server, path);
            assert_eq!(answer.status, status, "{path} {phase:?}");
            assert_eq!(answer.json(), json!({ "topology": "late-departures", "status": phase.name() }));
        }
    }
}

#[test]
fn views_are_listed_with_columns_and_key() {
    let answer = get(&board_server(), "/views");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({ "topology": "late-departures", "views": [{
            "name": "board",
            "columns": [
                { "name": "carrier", "type": "string", "nullable": false },
                { "name": "flights", "type": "bigint", "nullable": false },
            ],
            "key": ["carrier"],
            "version": 5,
            "rows": 3,
        }] })
    );
}

#[test]
fn a_view_is_served_whole_or_by_key() {
    let server = board_server();
    let rows = |path: &str| {
        let answer = get(&server, path);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let mut body = answer.json();
        assert_eq!((&body["view"], &body["version"]), (&json!("board"), &json!(5)));
        body["rows"].take()
    };
    assert_eq!(
        rows("/views/board"),
        json!([{ "carrier": "AA", "flights": 1 }, { "carrier": "B6", "flights": 2 }, { "carrier": "UA", "flights": 3 }])
    );
    assert_eq!(rows("/views/board?key=UA"), json!([{ "carrier": "UA", "flights": 3 }]));
    assert_eq!(rows("/views/board?key=%55A"), json!([{ "carrier": "UA", "flights": 3 }]));
    assert_eq!(rows("/views/board?key=XX"), json!([]));
}

#[test]
fn a_view_that_appears_later_is_served_too() {
    let views = Views::default();
    let (server, _) = server(&views);
    assert_eq!(get(&server, "/views/board").status, 503);
    views.publish("board", Arc::new(Board::new(&["AA"])));
    assert_eq!(get(&server, "/views/board").status, 200);
}

#[test]
fn a_large_view_comes_in_one_piece() {
    let names: Vec<String> = (0..50_000).map(|i| format!("carrier {i}")).collect();
    let views = Views::default();
    views.publish("board", Arc::new(Board::new(&names.iter().map(String::as_str).collect::<Vec<_>>())));
    let (server, _) = server(&views);
    let body = get(&server, "/views/board").json();
    let rows = body["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 50_000);
    assert_eq!(rows[49_999], json!({ "carrier": "carrier 49999", "flights": 50_000 }));

    let old = send(server.address(), b"GET /views/board HTTP/1.0\r\n\r\n");
    assert!(!old.head.contains("chunked"), "{}", old.head);
    assert_eq!(old.json(), body, "HTTP/1.0 knows no chunks");
}

#[test]
fn refusals_say_what_would_be_right() {
    let server = board_server();
    let refused = |path: &str, status: u16| {
        let answer = get(&server, path);
        assert_eq!(answer.status, status, "{path}");
        answer.json()["error"].take()
    };
    assert_eq!(
        refused("/views/bord", 404),
        json!({ "code": "unknown-view", "message": "there is no view `bord`", "help": "did you mean `board`? views: board" })
    );
    assert_eq!(
        refused("/views/board?key=a&key=b", 400),
        json!({
            "code": "bad-key",
            "message": "the key has 1 column, but 2 values were given",
            "help": "columns: carrier, flights; GET /views says which are the key",
        })
    );
    assert_eq!(refused("/views/board?kye=a", 400)["message"], "unknown parameter `kye`");
    assert_eq!(refused("/views/board/x", 404)["code"], "unknown-path");
    assert_eq!(
        refused("/x", 404)["help"],
        "there are /, /health, /ready, /metrics, /status, /checkpoint, /views, /views/NAME, /views/NAME/follow, /why/NODE and /tap/NAME"
    );
    let (none, health) = self::server(&Views::default());
    health.set(Phase::Running);
    assert_eq!(get(&none, "/views/x").json()["error"]["help"], "the topology has no sink of type `view`");
}

#[test]
fn other_methods_are_refused_and_head_has_no_body() {
    let server = board_server();
    let answer = request(server.address(), "DELETE", "/views/board");
    assert_eq!((answer.status, answer.json()["error"]["code"].take()), (405, json!("wrong-method")));
    assert!(answer.head.contains("allow: get, head"), "{}", answer.head);
    let checkpoint = request(server.address(), "DELETE", "/checkpoint");
    assert!(checkpoint.status == 405 && checkpoint.head.contains("allow: get, head, post"), "{}", checkpoint.head);
    let endless = request(server.address(), "HEAD", "/views/board/follow");
    assert!(endless.status == 405 && endless.head.contains("allow: get\r\n"), "{}", endless.head);
    let head = request(server.address(), "HEAD", "/views/board");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn a_broken_view_is_our_fault_and_the_server_stays() {
    let views = Views::default();
    views.publish("broken", Arc::new(Broken));
    let (server, _) = server(&views);
    assert_eq!(get(&server, "/views/broken").status, 500);
    assert_eq!(get(&server, "/views").status, 500);
    assert_eq!(get(&server, "/views/broken?key=a").status, 400);
    assert_eq!(get(&server, "/ready").status, 503);
}

#[test]
fn rubbish_from_the_network_does_no_harm() {
    let server = board_server();
    let long_key = format!("GET /views/board?key={} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(200_000));
    let bad: [&[u8]; 6] = [
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /views/%ff%fe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /views/board?key=%zz&&&=%ff HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        long_key.as_bytes(),
    ];
    for request in bad {
        let mut connection = TcpStream::connect(server.address()).unwrap();
        // The server may close before it has read all of it.
        let _ = connection.write_all(request);
        let _ = connection.shutdown(std::net::Shutdown::Write);
        let _ = connection.read_to_end(&mut Vec::new());
    }
    assert_eq!(get(&server, "/views/board").status, 200);
}

#[test]
fn a_token_opens_everything_but_what_shows_nothing() {
    let views = Views::default();
    views.publish("board", Arc::new(Board::new(&["AA"])));
    let info = info(&Health::default(), Some("open sesame"));
    let server = Server::start("127.0.0.1:0".parse().unwrap(), views, info).unwrap();
    let with = |header: &str, path: &str| {
        send(server.address(), format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{header}\r\n").as_bytes())
    };
    for path in ["/views", "/views/board", "/views/board/follow", "/nothing", "/health/", "//health", "/metrics", "//"] {
        for header in ["", "Authorization: Bearer open\r\n", "Authorization: Bearer\r\n", "Authorization: Basic open sesame\r\n"] {
            let answer = with(header, path);
            assert_eq!((answer.status, answer.json()["error"]["code"].take()), (401, json!("unauthorized")), "{path} {header}");
            assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
        }
    }
    assert_eq!(with("Authorization: Bearer open sesame\r\n", "/views/board").status, 200);
    assert_eq!(with("authorization: bearer open sesame\r\n", "/nothing").status, 404);
    assert_eq!((with("", "/health").status, with("", "/ready").status), (200, 503));
}

#[test]
fn an_address_in_use_is_said_at_once() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = Server::start(address, Views::default(), info(&Health::default(), None)).err().unwrap();
    assert!(matches!(error, ServerError::Bind { .. }));
    assert!(error.to_string().starts_with(&format!("cannot listen on {address}: ")), "{error}");
    assert!(error.help().unwrap().contains("another process"));
}

#[test]
fn after_a_stop_nobody_answers() {
    let server = board_server();
    let address = server.address();
    assert_eq!(get(&server, "/views").status, 200);
    server.stop();
    assert!(TcpStream::connect(address).is_err());
}

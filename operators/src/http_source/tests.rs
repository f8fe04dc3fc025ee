//! Requests over loopback: what is taken, what is refused, and that nothing grows.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use millstream_api::Source;
use millstream_api::options::OnBadRow;
use millstream_api::plan::{Shape, SourceContext};
use millstream_api::secret::Secret;
use millstream_api::source::{Next, Position};
use serde_json::{Value, json};

use super::reader::{HttpFactory, HttpSource};
use super::server::Limits;
use super::{Acknowledge, HttpSourceOptions};
use crate::decode::schema::{ColumnSpec, arrow_schema};
use crate::testing::{Node, record_rows};

const LIMITS: Limits = Limits { body_bytes: 1000, buffer_bytes: 4000, connections: 4, timeout: Duration::from_secs(60) };

fn factory(on_bad_row: OnBadRow, limits: Limits) -> HttpFactory {
    let columns = [("n", "bigint not null"), ("t", "string")].map(|(name, text)| ColumnSpec::parse(name, text).unwrap()).to_vec();
    let (listen, acknowledge) = ("127.0.0.1:0".parse().unwrap(), Acknowledge::Taken);
    HttpFactory { listen, path: "/in".into(), token: None, acknowledge, limits, columns, on_bad_row }
}

fn listen(factory: &HttpFactory, queue_requests: usize, positions: Vec<(u32, Position)>) -> HttpSource {
    let shape = Shape { schema: arrow_schema(&factory.columns), explicit_windows: false, judge: false, origin: false, read: true };
    let context = SourceContext { node: "in".into(), batch_rows: 2, workers: 1, outputs: vec![shape], positions };
    factory.listen(&context, queue_requests).unwrap()
}

/// A request as bytes; the whole answer: status, head, body.
fn send(address: SocketAddr, request: &[u8]) -> (u16, String, Value) {
    let mut connection = TcpStream::connect(address).unwrap();
    // A request that is refused before all of it is read may break the connection for what is left.
    let _ = connection.write_all(request);
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_lowercase(), serde_json::from_str(body).unwrap_or(Value::Null))
}

fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn post(address: SocketAddr, body: &str) -> (u16, String, Value) {
    send(address, &request("POST", "/in", "", body.as_bytes()))
}

fn rows(source: &mut HttpSource) -> (Vec<String>, Vec<String>, i64) {
    match source.next(Duration::from_secs(60)).unwrap() {
        Next::Rows(rows) => {
            let bad = rows.bad.iter().map(|bad| format!("{}: {}", bad.place, bad.raw)).collect();
            (record_rows(&rows.parts[0].records), bad, rows.parts[0].first_row)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn rows_are_taken_and_numbered_over_requests_and_restarts() {
    let mut source = listen(&factory(OnBadRow::Fail, LIMITS), 8, vec![(0, Position("10".into()))]);
    assert!(matches!(source.next(Duration::ZERO).unwrap(), Next::Nothing));
    let address = source.address();
    assert_eq!(post(address, "{\"n\":1}\n{\"n\":2,\"t\":\"x\"}\n\n{\"n\":3}").2, json!({ "rows": 3 }));
    assert_eq!(post(address, "").2, json!({ "rows": 0 }));
    assert_eq!(post(address, "{\"n\":4}\n").2, json!({ "rows": 1 }));
    assert_eq!(rows(&mut source), (vec![r#"{"n":1,"t":null}"#.into(), r#"{"n":2,"t":"x"}"#.into()], vec![], 10));
    assert_eq!(rows(&mut source), (vec![r#"{"n":3,"t":null}"#.into()], vec![], 12));
    assert_eq!(rows(&mut source), (vec![r#"{"n":4,"t":null}"#.into()], vec![], 13));
}

#[test]
fn a_bad_row_fails_its_request_and_nothing_else() {
    let mut source = listen(&factory(OnBadRow::Fail, LIMITS), 8, Vec::new());
    let (status, _, answer) = post(source.address(), "{\"n\":1}\n{\"n\":\"x\"}\n{\"t\":\"no n\"}\nxx\n");
    assert_eq!(status, 400);
    assert_eq!(answer["error"], "3 rows are bad; nothing of this request was taken");
    let lines: Vec<u64> = answer["bad_rows"].as_array().unwrap().iter().map(|row| row["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [2, 3, 4]);
    assert!(answer["bad_rows"][0]["reason"].as_str().unwrap().contains("bigint"), "{answer}");
    assert_eq!(post(source.address(), "{\"n\":5}").0, 200);
    let noted = source.requests().unwrap().get();
    assert_eq!((noted.answers.into_iter().collect::<Vec<_>>(), noted.refused_rows), (vec![(200, 1), (400, 1)], 3));
    assert_eq!(rows(&mut source).0, [r#"{"n":5,"t":null}"#]);
}

#[test]
fn with_another_policy_the_good_rows_are_taken_and_the_others_told() {
    let mut source = listen(&factory(OnBadRow::Reject, LIMITS), 8, Vec::new());
    let (status, _, answer) = post(source.address(), "{\"n\":1}\nxx\n");
    assert_eq!((status, answer), (200, json!({ "rows": 1, "bad_rows": 1 })));
    assert_eq!(rows(&mut source), (vec![r#"{"n":1,"t":null}"#.into()], vec!["in request 1:2: xx".into()], 0));
}

#[test]
fn exactly_so_many_requests_wait_and_the_rest_are_put_off() {
    let mut source = listen(&factory(OnBadRow::Fail, LIMITS), 3, Vec::new());
    let address = source.address();
    let statuses: Vec<u16> = (0..5).map(|n| post(address, &format!("{{\"n\":{n}}}")).0).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    assert!(post(address, "{\"n\":5}").1.contains("retry-after: 1"));
    assert_eq!(rows(&mut source).0, [r#"{"n":0,"t":null}"#]);
    assert_eq!(post(address, "{\"n\":6}").0, 200);
    for n in [1, 2, 6] {
        assert_eq!(rows(&mut source).0, [format!("{{\"n\":{n},\"t\":null}}")]);
    }
}

#[test]
fn bytes_that_wait_are_bounded_too() {
    let limits = Limits { buffer_bytes: 1000, ..LIMITS };
    let mut source = listen(&factory(OnBadRow::Fail, limits), 100, Vec::new());
    let address = source.address();
    let body = format!("{{\"n\":1,\"t\":\"{}\"}}", "x".repeat(380));
    assert_eq!([post(address, &body).0, post(address, &body).0, post(address, &body).0], [200, 200, 429]);
    rows(&mut source);
    assert!(matches!(source.next(Duration::from_secs(60)).unwrap(), Next::Rows(_)));
    // The bytes of a request are given back once the source is asked for what comes after it.
    assert!(matches!(source.next(Duration::ZERO).unwrap(), Next::Nothing));
    assert_eq!(post(address, &body).0, 200);
}

#[test]
fn packed_bodies_are_unpacked_and_stay_bounded() {
    let mut source = listen(&factory(OnBadRow::Fail, LIMITS), 8, Vec::new());
    let address = source.address();
    let packed = |name: &str, body: &[u8]| {
        let packed = match name {
            "gzip" => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(body).unwrap();
                encoder.finish().unwrap()
            }
            "zstd" => zstd::encode_all(body, 1).unwrap(),
            _ => body.to_vec(),
        };
        send(address, &request("POST", "/in", &format!("content-encoding: {name}\r\n"), &packed))
    };
    for name in ["gzip", "zstd", "identity"] {
        assert_eq!(packed(name, b"{\"n\":7}\n").0, 200, "{name}");
        assert_eq!(rows(&mut source).0, [r#"{"n":7,"t":null}"#]);
    }
    for name in ["gzip", "zstd"] {
        assert_eq!(packed(name, &b"\n".repeat(100_000)).0, 413, "{name}: a bomb");
    }
    assert_eq!(packed("br", b"{}").0, 415);
    let (status, _, answer) = send(address, &request("POST", "/in", "content-encoding: gzip\r\n", b"not gzip"));
    assert_eq!(status, 400);
    assert!(answer["error"].as_str().unwrap().starts_with("the body cannot be unpacked"), "{answer}");
}

#[test]
fn only_the_token_opens() {
    let source = listen(&HttpFactory { token: Some(Secret::new("sesame")), ..factory(OnBadRow::Fail, LIMITS) }, 8, Vec::new());
    let status = |header: &str| send(source.address(), &request("POST", "/in", header, b"{\"n\":1}"));
    assert_eq!(status("authorization: Bearer sesame\r\n").0, 200);
    assert_eq!(status("authorization: bearer sesame\r\n").0, 200);
    for header in ["", "authorization: Bearer sesam\r\n", "authorization: Basic sesame\r\n", "authorization: sesame\r\n"] {
        let (status, head, answer) = status(header);
        assert_eq!(status, 401, "{header}");
        assert!(head.contains("www-authenticate: bearer") && !answer.to_string().contains("sesame"));
    }
}

#[test]
fn what_is_no_post_of_rows_is_told_what_would_be() {
    let source = listen(&factory(OnBadRow::Fail, LIMITS), 8, Vec::new());
    let answer = |method: &str, path: &str, body: &[u8]| send(source.address(), &request(method, path, "", body));
    assert_eq!(answer("POST", "/", b"").2, json!({ "error": "rows are posted to /in" }));
    let (status, head, _) = answer("GET", "/in", b"");
    assert!(status == 405 && head.contains("allow: post"), "{head}");
    assert_eq!(answer("POST", "/in?a=b", b"{\"n\":1}").0, 200);
    assert_eq!(answer("POST", "/in", &[b' '; 1001]).0, 413);
    let chunked = [
        b"POST /in HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n",
        &b"5dc\r\n"[..],
        &[b' '; 1500],
        b"\r\n0\r\n\r\n",
    ];
    assert_eq!(send(source.address(), &chunked.concat()).0, 413);
    assert_eq!(send(source.address(), b"nonsense\r\n\r\n").0, 400);
}

#[test]
fn a_slow_sender_is_cut_off() {
    let source = listen(&factory(OnBadRow::Fail, Limits { timeout: Duration::from_millis(50), ..LIMITS }), 8, Vec::new());
    let (status, _, _) = send(source.address(), b"POST /in HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{\"n\"");
    assert_eq!(status, 408);
}

#[test]
fn a_stop_ends_the_listener_and_its_connections() {
    let source = listen(&factory(OnBadRow::Fail, LIMITS), 8, Vec::new());
    let address = source.address();
    let mut idle = TcpStream::connect(address).unwrap();
    assert_eq!(post(address, "{\"n\":1}").0, 200);
    drop(source);
    assert_eq!(idle.read(&mut [0; 1]).unwrap_or(0), 0, "an idle connection is closed");
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn a_closed_door_lets_nothing_in_and_out_what_was_taken() {
    let mut source = listen(&factory(OnBadRow::Fail, LIMITS), 8, Vec::new());
    let address = source.address();
    assert_eq!(post(address, "{\"n\":1}\n{\"n\":2}\n{\"n\":3}").0, 200);
    source.door().unwrap().close();
    let (status, head, answer) = post(address, "{\"n\":4}");
    assert!(status == 503 && head.contains("retry-after"), "{head}");
    assert_eq!(answer["error"], "the run is stopping; nothing of this request was taken, send it again later");
    assert_eq!([rows(&mut source).2, rows(&mut source).2], [0, 2]);
    assert!(matches!(source.next(Duration::from_secs(60)).unwrap(), Next::Closed));
    assert!(matches!(source.next(Duration::ZERO).unwrap(), Next::Nothing));
}

#[test]
fn an_answer_waits_for_the_checkpoint_that_covers_its_rows() {
    let factory = HttpFactory { acknowledge: Acknowledge::Checkpoint, ..factory(OnBadRow::Reject, LIMITS) };
    let mut source = listen(&factory, 8, vec![(0, Position("10 4".into()))]);
    let (address, door) = (source.address(), source.door().unwrap());
    assert_eq!(post(address, "").2, json!({ "rows": 0 }), "there is nothing to wait for");
    let first = std::thread::spawn(move || post(address, "{\"n\":1}\n{\"n\":2}\n{\"n\":3}"));
    let mut positions = Vec::new();
    for _ in 0..2 {
        let Next::Rows(rows) = source.next(Duration::from_secs(60)).unwrap() else { panic!("rows were posted") };
        positions.push(rows.position);
    }
    assert_eq!(positions, [Position("12 4".into()), Position("13 5".into())]);
    door.covered(0, &positions[0]);
    let second = std::thread::spawn(move || post(address, "xx\n"));
    assert_eq!(rows(&mut source).1.len(), 1);
    assert!(!first.is_finished(), "half of its rows could be lost");
    door.covered(0, &positions[1]);
    assert_eq!(first.join().unwrap().2, json!({ "rows": 3 }));
    drop(source);
    let (status, _, answer) = second.join().unwrap();
    assert_eq!((status, answer), (503, json!({ "error": "the run has ended before a checkpoint covered these rows; send them again" })));
}

#[test]
fn an_address_that_is_taken_is_said_before_a_row_flows() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen_on = taken.local_addr().unwrap();
    let factory = HttpFactory { listen: listen_on, ..factory(OnBadRow::Fail, LIMITS) };
    let shape = Shape { schema: arrow_schema(&factory.columns), explicit_windows: false, judge: false, origin: false, read: true };
    let context = SourceContext { node: "in".into(), batch_rows: 2, workers: 1, outputs: vec![shape], positions: Vec::new() };
    let error = factory.listen(&context, 1).map(|_| ()).unwrap_err();
    assert!(error.message().starts_with(&format!("cannot listen on {listen_on}: ")), "{error}");
    assert!(error.help_text().unwrap().contains("another process listens there"));
}

#[test]
fn mistakes_are_found_in_one_go() {
    let options =
        json!({ "listen": "0.0.0.0:80", "path": "in", "max_body": "2MiB", "buffer": "1MiB", "timeout": "0s", "schema": { "a": "bigimt" } });
    let found = Node::mistakes::<HttpSourceOptions>(options, Vec::new());
    let codes: Vec<&str> = found.iter().map(|(code, _, _)| *code).collect();
    assert_eq!(codes, ["bad-type", "bad-path", "out-of-range", "out-of-range"]);
    let open = Node::mistakes::<HttpSourceOptions>(json!({ "listen": "[::]:80", "schema": { "a": "bigint" } }), Vec::new());
    assert_eq!(open[0].2, "everybody who reaches [::]:80 can send rows to `node`");
    let closed = json!({ "listen": "[::]:80", "token": "x", "schema": { "a": "bigint" } });
    assert!(Node::mistakes::<HttpSourceOptions>(closed, Vec::new()).is_empty());
}

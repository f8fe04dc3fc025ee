//! Rows that are chosen, ordered, paged and sent in other formats.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod common;

use std::sync::Arc;

use millstream_api::view::Views;
use millstream_server::Server;
use serde_json::{Value, json};

use crate::common::{Board, Live, board_server, get, send, server};

/// The numbers in the rows of an answer.
fn numbers_of(body: &Value) -> Vec<i64> {
    body["rows"].as_array().unwrap().iter().map(|row| row["n"].as_i64().unwrap()).collect()
}

fn live_server(rows: &[i64]) -> (Server, Arc<Live>) {
    let (views, live) = (Views::default(), Live::new(1, 1, rows));
    views.publish("live", live.clone());
    (server(&views).0, live)
}

fn chosen(server: &Server, query: &str) -> Vec<i64> {
    let answer = get(server, &format!("/views/live?{query}"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    numbers_of(&answer.json())
}

fn refused(server: &Server, path: &str) -> (u16, Value) {
    let answer = get(server, path);
    let error = answer.json()["error"].take();
    (answer.status, error)
}

#[test]
fn a_condition_and_an_order_choose_rows() {
    let (server, _) = live_server(&[3, 1, 2, 5, 4]);
    assert_eq!(chosen(&server, "where=n+%3E+2"), [3, 5, 4], "in the view's order");
    assert_eq!(chosen(&server, "order=n"), [1, 2, 3, 4, 5]);
    assert_eq!(chosen(&server, "order=n+%25+2+desc&order=n"), [1, 3, 5, 2, 4]);
    assert_eq!(chosen(&server, "where=n+%3C%3E+3&order=n+desc&limit=2"), [5, 4]);
    assert_eq!(chosen(&server, "where=n+%3E+9"), Vec::<i64>::new());
    assert_eq!(chosen(&server, "where=null%3A%3Aboolean"), Vec::<i64>::new(), "null is no");
}

#[test]
fn many_rows_are_chosen_across_pieces() {
    let rows: Vec<i64> = (0..10_000).rev().collect();
    let (server, _) = live_server(&rows);
    let expected: Vec<i64> = (0..10_000).filter(|n| n % 3 == 0).collect();
    assert_eq!(chosen(&server, "where=n+%25+3+%3D+0&order=n"), expected);
}

#[test]
fn mistakes_in_expressions_have_a_place() {
    let server = board_server();
    let (status, error) = refused(&server, "/views/board?where=flihgts+%3E+1");
    assert_eq!((status, &error["code"]), (400, &json!("unknown-column")));
    assert_eq!(error["at"], json!({ "parameter": "where", "text": "flihgts > 1", "start": 0, "end": 7 }));
    assert!(error["help"].as_str().unwrap().contains("did you mean `flights`?"), "{error}");

    let (_, error) = refused(&server, "/views/board?order=carrier&order=carrier+%3D+%27%C3%A9%27+or+x+desc");
    assert_eq!(error["at"], json!({ "parameter": "order", "text": "carrier = 'é' or x desc", "start": 17, "end": 18 }));
    assert_eq!(refused(&server, "/views/board?where=flights").1["code"], "not-boolean");
    assert_eq!(refused(&server, "/views/board?where=count(*)+%3E+1").1["code"], "aggregate-not-allowed");
    assert_eq!(refused(&server, "/views/board?where=1+%2B").1["code"], "syntax");

    let (status, error) = refused(&server, "/views/board?where=10+%2F+(flights+-+2)+%3E+1");
    assert_eq!((status, &error["code"]), (400, &json!("bad-row")));
    let message = error["message"].as_str().unwrap();
    assert_eq!(message, "`where` fails on a row: division by zero: {\"carrier\":\"B6\",\"flights\":2}");
    assert_eq!(refused(&server, "/views/board?order=1+%2F+(flights+-+2)").1["code"], "bad-row");
}

#[test]
fn pages_are_of_one_version() {
    let (server, live) = live_server(&[3, 1, 2, 5, 4]);
    let first = get(&server, "/views/live?order=n&limit=2").json();
    assert_eq!((numbers_of(&first), &first["version"]), (vec![1, 2], &json!(1)));
    live.change(&[3, 4], &[0]);
    let path = format!("/views/live?cursor={}", first["next"].as_str().unwrap());
    let second = get(&server, &path);
    assert!(second.head.contains("millstream-version: 1\r\n"), "{}", second.head);
    let link = second.head.lines().find_map(|line| line.strip_prefix("link: <")).unwrap().split_once('>').unwrap();
    assert_eq!(link.1, "; rel=\"next\"");
    assert_eq!(numbers_of(&second.json()), [3, 4]);
    let third = get(&server, link.0).json();
    assert_eq!((numbers_of(&third), third.get("next")), (vec![5], None));
    assert_eq!(numbers_of(&get(&server, &format!("{path}&limit=9")).json()), [3, 4, 5]);
    let now = get(&server, "/views/live?limit=2").json();
    assert_eq!((numbers_of(&now), &now["version"]), (vec![1, 2], &json!(2)));
}

#[test]
fn a_cursor_that_is_gone_says_start_again() {
    let (server, _) = live_server(&[1, 2, 3]);
    let cursor = get(&server, "/views/live?limit=1").json()["next"].as_str().unwrap().to_owned();
    for _ in 0..32 {
        get(&server, "/views/live?limit=1");
    }
    let (status, error) = refused(&server, &format!("/views/live?cursor={cursor}"));
    assert_eq!((status, &error["code"]), (410, &json!("cursor-gone")));
    assert!(error["help"].as_str().unwrap().starts_with("start again without `cursor`"));
    assert_eq!(refused(&server, "/views/live?cursor=x").0, 400);
    assert_eq!(refused(&server, &format!("/views/live?cursor={cursor}&where=true")).0, 400);
}

#[test]
fn rows_come_in_the_format_that_is_asked_for() {
    let server = board_server();
    let accepting = |accept: &str, query: &str| {
        let request = format!("GET /views/board?key=UA{query} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept: {accept}\r\n\r\n");
        let answer = send(server.address(), request.as_bytes());
        assert_eq!(answer.status, 200);
        assert!(answer.head.contains("millstream-version: 5\r\n"), "{}", answer.head);
        let content_type = answer.head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap().to_owned();
        (content_type, answer.body)
    };
    let csv = ("text/csv; charset=utf-8; header=present".to_owned(), "carrier,flights\nUA,3\n".to_owned());
    let ndjson = ("application/x-ndjson".to_owned(), "{\"carrier\":\"UA\",\"flights\":3}\n".to_owned());
    let json =
        ("application/json".to_owned(), "{\"view\":\"board\",\"version\":5,\"rows\":[{\"carrier\":\"UA\",\"flights\":3}]}\n".to_owned());
    assert_eq!(accepting("text/csv", ""), csv);
    assert_eq!(accepting("application/json;q=0.5, application/x-ndjson", ""), ndjson);
    assert_eq!(accepting("text/html,application/xhtml+xml,*/*;q=0.8", ""), json);
    assert_eq!(accepting("image/png", ""), json);
    assert_eq!(accepting("text/csv", "&format=ndjson"), ndjson, "the parameter is stronger");
    assert_eq!(accepting("*/*", "&format=csv"), csv);
    assert_eq!(refused(&server, "/views/board?format=xml").1["help"], "there are: json, ndjson, csv");
}

#[test]
fn an_empty_view_is_ordered_and_paged_too() {
    let views = Views::default();
    views.publish("board", Arc::new(Board::new(&[])));
    let (server, _) = server(&views);
    assert_eq!(get(&server, "/views/board?where=flights+%3E+1&order=carrier&limit=2").json()["rows"], json!([]));
}

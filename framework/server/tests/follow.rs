//! Views that are followed: a snapshot, then every change, over cuts, restarts and ends.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod common;

use std::sync::Arc;

use millstream_api::view::Views;
use millstream_server::{Health, Phase, Server};
use serde_json::{Value, json};

use crate::common::{Board, Event, Events, Live, get, server};

struct Followed {
    server: Server,
    health: Health,
    views: Views,
    live: Arc<Live>,
}

fn followed(rows: &[i64]) -> Followed {
    let (views, live) = (Views::default(), Live::new(7, 1, rows));
    views.publish("live", live.clone());
    let (server, health) = server(&views);
    health.set(Phase::Running);
    Followed { server, health, views, live }
}

fn rows(numbers: &[i64]) -> Value {
    numbers.iter().map(|n| json!({ "n": n })).collect()
}

fn reset(version: u64, reason: &str) -> (String, Value) {
    ("reset".to_owned(), json!({ "view": "live", "version": version, "reason": reason }))
}

fn change(version: u64, removed: &[i64], added: &[i64]) -> (String, Value) {
    ("change".to_owned(), json!({ "version": version, "removed": rows(removed), "added": rows(added) }))
}

fn at_snapshot(events: &mut Events) -> Event {
    loop {
        let event = events.next().unwrap();
        if event.name == "snapshot" {
            return event;
        }
    }
}

#[test]
fn a_snapshot_comes_first_and_then_each_change() {
    let all = followed(&[1, 2]);
    let mut events = Events::follow(&all.server, "/views/live/follow", "");
    assert_eq!(events.expect(), reset(1, "first"));
    assert_eq!(events.expect(), ("rows".to_owned(), rows(&[1, 2])));
    assert_eq!(events.next().unwrap(), Event { name: "snapshot".to_owned(), id: Some("7-1".to_owned()), data: json!({ "version": 1 }) });
    all.live.change(&[1], &[3]);
    all.live.change(&[], &[4, 5]);
    let first = events.next().unwrap();
    assert_eq!(first.id.as_deref(), Some("7-2"));
    assert_eq!((first.name, first.data), change(2, &[1], &[3]));
    assert_eq!(events.expect(), change(3, &[], &[4, 5]));
}

#[test]
fn a_client_that_was_cut_off_goes_on_where_it_was() {
    let all = followed(&[1]);
    let id = at_snapshot(&mut Events::follow(&all.server, "/views/live/follow", "")).id.unwrap();
    all.live.change(&[], &[2]);
    let mut events = Events::follow(&all.server, "/views/live/follow", &format!("Last-Event-ID: {id}\r\n"));
    assert_eq!(events.expect(), change(2, &[], &[2]));
    all.live.change(&[2], &[]);
    assert_eq!(events.expect(), change(3, &[2], &[]));
}

#[test]
fn who_was_away_too_long_is_told_to_forget_what_it_has() {
    let all = followed(&[1]);
    all.live.change(&[], &[2]);
    all.live.forget();
    for (id, reason) in [("7-1", "too-old"), ("7-9", "too-old"), ("8-2", "restarted"), ("rubbish", "unknown-id"), ("7-", "unknown-id")] {
        let mut events = Events::follow(&all.server, "/views/live/follow", &format!("Last-Event-ID: {id}\r\n"));
        assert_eq!(events.expect(), reset(2, reason), "{id}");
        assert_eq!(events.expect().1, rows(&[1, 2]));
    }
}

#[test]
fn a_view_that_takes_its_place_is_followed_from_its_snapshot() {
    let all = followed(&[1]);
    let mut events = Events::follow(&all.server, "/views/live/follow", "");
    at_snapshot(&mut events);
    let fresh = Live::new(8, 1, &[5]);
    all.views.publish("live", fresh.clone());
    assert_eq!(events.expect(), reset(1, "restarted"));
    assert_eq!(at_snapshot(&mut events).id.as_deref(), Some("8-1"));
    fresh.change(&[], &[6]);
    assert_eq!(events.expect(), change(2, &[], &[6]));
}

#[test]
fn a_condition_holds_for_the_snapshot_and_for_changes() {
    let all = followed(&[1, 20]);
    let mut events = Events::follow(&all.server, "/views/live/follow?where=n+%3E+9", "");
    assert_eq!(events.expect(), reset(1, "first"));
    assert_eq!(events.expect().1, rows(&[20]));
    assert_eq!(events.expect().0, "snapshot");
    all.live.change(&[1], &[2]);
    all.live.change(&[2, 20], &[3, 30]);
    assert_eq!(events.expect(), change(3, &[20], &[30]));
    assert_eq!(get(&all.server, "/views/live/follow?where=m").json()["error"]["at"]["end"], 1);
    assert_eq!(get(&all.server, "/views/live/follow?order=n").status, 400);
}

#[test]
fn a_row_on_which_the_condition_fails_ends_it_with_an_error() {
    let all = followed(&[1]);
    let mut events = Events::follow(&all.server, "/views/live/follow?where=1+%2F+n+%3E+0", "");
    at_snapshot(&mut events);
    all.live.change(&[], &[0]);
    let (name, data) = events.expect();
    assert_eq!((name.as_str(), &data["error"]["code"]), ("error", &json!("bad-row")));
    assert_eq!(events.next(), None);
}

#[test]
fn a_large_snapshot_comes_in_pieces() {
    let numbers: Vec<i64> = (0..3000).collect();
    let all = followed(&numbers);
    let mut events = Events::follow(&all.server, "/views/live/follow", "");
    assert_eq!(events.expect().0, "reset");
    let mut got = Vec::new();
    loop {
        let (name, data) = events.expect();
        match name.as_str() {
            "rows" => got.extend(data.as_array().unwrap().iter().map(|row| row["n"].as_i64().unwrap())),
            _ => break,
        }
    }
    assert_eq!(got, numbers);
}

#[test]
fn the_end_of_the_run_is_an_event_behind_all_changes() {
    let all = followed(&[1]);
    let mut events = Events::follow(&all.server, "/views/live/follow", "");
    at_snapshot(&mut events);
    all.live.change(&[], &[2]);
    all.health.set(Phase::Done);
    assert_eq!(events.expect(), change(2, &[], &[2]));
    let end = events.next().unwrap();
    assert_eq!((end.name.as_str(), end.id.as_deref(), end.data), ("end", Some("7-2"), json!({ "version": 2, "reason": "done" })));
    assert_eq!(events.next(), None);
    let mut late = Events::follow(&all.server, "/views/live/follow", "");
    at_snapshot(&mut late);
    assert_eq!(late.expect().0, "end", "who comes later sees the final rows");
}

#[test]
fn a_server_that_stops_says_so() {
    for (phase, reason) in [(Phase::Stopping, "stopped"), (Phase::Failed, "failed")] {
        let all = followed(&[1]);
        let mut events = Events::follow(&all.server, "/views/live/follow", "");
        at_snapshot(&mut events);
        all.health.set(phase);
        all.live.change(&[], &[2]);
        assert_eq!(events.expect().0, "change", "what is under way still comes");
        all.server.stop();
        assert_eq!(events.expect(), ("end".to_owned(), json!({ "version": 2, "reason": reason })));
    }
}

#[test]
fn clients_that_follow_are_bounded_and_hold_up_nobody() {
    let all = followed(&[1]);
    let held: Vec<Events> = (0..128).map(|_| Events::follow(&all.server, "/views/live/follow", "")).collect();
    let refused = get(&all.server, "/views/live/follow");
    assert_eq!((refused.status, refused.json()["error"]["code"].take()), (503, json!("too-many-followers")));
    assert_eq!(get(&all.server, "/views/live").status, 200, "others are answered");
    all.live.change(&[], &[2]);
    for mut events in held {
        at_snapshot(&mut events);
        assert_eq!(events.expect(), change(2, &[], &[2]));
    }
}

#[test]
fn a_view_that_never_changes_can_be_followed() {
    let views = Views::default();
    views.publish("board", Arc::new(Board::new(&["AA"])));
    let (server, health) = server(&views);
    let mut events = Events::follow(&server, "/views/board/follow", "");
    assert_eq!(at_snapshot(&mut events).data, json!({ "version": 5 }));
    health.set(Phase::Done);
    assert_eq!(events.expect().0, "end");
}

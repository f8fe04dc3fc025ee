//! What checkpoints write of joins that note what changes: little, where little has changed. That it is enough, the models say.

use std::ops::Range;

use millstream_api::stream::{Judge, WindowKind, Windowed};
use millstream_api::{EventTime, Stream};

use super::harness::{Harness, Row};
use super::properties::{CONDITIONS, KINDS, options, streams};
use crate::join::MAIN;

/// A row of each of these keys.
fn rows(side: usize, keys: Range<i64>, time: i64) -> Vec<Row> {
    keys.map(|key| Row { side, key: Some(key), value: key, time, mark: i64::MIN, weight: 1 }).collect()
}

fn sent(harness: &Harness) -> i64 {
    harness.applied(MAIN).values().sum()
}

#[test]
fn a_table_is_written_once() {
    let mut harness = Harness::new(options("lookup", KINDS[0], CONDITIONS[0].0, false), streams(|stream| stream), 2);
    harness.rows(&rows(1, 0..999, 0));
    assert_eq!(harness.checkpoint(), (0, 999));
    harness.rows(&rows(1, 999..1_001, 0));
    assert_eq!(harness.checkpoint(), (0, 2));
    harness.end(1);
    assert_eq!(harness.checkpoint(), (0, 0), "it lies there in another way, and is the same");
    harness.rows(&rows(0, 0..9, 0));
    assert_eq!(harness.checkpoint(), (0, 0));
    harness.restart(3);
    harness.end(1);
    harness.rows(&rows(0, 995..1_005, 0));
    assert_eq!(sent(&harness), 9 + 6);
}

#[test]
fn versions_and_rows_that_wait_are_written_once() {
    let timed = || streams(|stream| Stream { event_time: true, ..stream });
    let mut harness = Harness::new(options("as_of", KINDS[1], CONDITIONS[0].0, false), timed(), 2);
    harness.rows(&rows(1, 0..999, 0));
    harness.rows(&rows(0, 0..9, 50));
    harness.watermark(EventTime(10));
    assert_eq!(harness.checkpoint(), (0, 1_008));
    harness.rows(&rows(1, 0..2, 20));
    harness.rows(&rows(0, 0..2, 60));
    assert_eq!(harness.checkpoint(), (0, 4));
    harness.watermark(EventTime(55));
    assert_eq!(harness.checkpoint(), (0, 0), "what is past is known by its time");
    assert_eq!((sent(&harness), harness.rows_in_state()), (9, 999 + 2));
    harness.restart(3);
    harness.watermark(EventTime::MAX);
    assert_eq!((sent(&harness), harness.rows_in_state()), (11, 0));
    assert!(harness.applied(MAIN).keys().all(|row| row.contains("\"w\":")), "each has found a version");
}

#[test]
fn rows_of_open_windows_are_written_once() {
    let windowed = Windowed { windows: WindowKind::hop(100, 100, 0), judge: Judge::Reader, explicit: false };
    let streams = streams(|stream| Stream { event_time: true, windowed: Some(windowed.clone()), ..stream });
    let mut harness = Harness::new(options("window", KINDS[0], CONDITIONS[0].0, true), streams, 1);
    harness.rows(&rows(0, 0..99, 10));
    harness.rows(&rows(1, 0..99, 110));
    assert_eq!(harness.checkpoint(), (0, 198));
    harness.rows(&rows(1, 7..9, 10));
    assert_eq!(harness.checkpoint(), (0, 2));
    harness.watermark(EventTime(100));
    assert_eq!(harness.checkpoint(), (1, 0), "a window has gone");
    assert_eq!(sent(&harness), 2);
    harness.rows(&rows(0, 90..110, 120));
    harness.restart(3);
    harness.watermark(EventTime::MAX);
    assert_eq!((sent(&harness), harness.rows_in_state()), (2 + 9, 0));
}

/// An interval join of this kind, by key, over a hundred microseconds to both sides.
fn near(kind: usize) -> Harness {
    near_on(kind, CONDITIONS[0].0)
}

fn near_on(kind: usize, on: &str) -> Harness {
    let mut options = options("interval", KINDS[kind], on, false);
    (options["before"], options["after"]) = ("100us".into(), "100us".into());
    Harness::new(options, streams(|stream| Stream { event_time: true, ..stream }), 2)
}

#[test]
fn keys_are_written_once_more_when_a_row_that_waits_finds_a_partner() {
    let mut harness = near(1);
    harness.rows(&rows(0, 0..999, 50));
    assert_eq!(harness.checkpoint(), (0, 999));
    assert_eq!(harness.checkpoint(), (0, 0));
    harness.rows(&rows(1, 0..5, 60));
    assert_eq!(harness.checkpoint(), (5, 10));
    harness.rows(&rows(1, 0..6, 61));
    assert_eq!(harness.checkpoint(), (1, 1 + 6), "five of them had one");
    harness.rows(&rows(0, 999..1_001, 62));
    assert_eq!(harness.checkpoint(), (0, 2));
    harness.watermark(EventTime(151));
    assert_eq!(harness.checkpoint(), (0, 0), "what is past is known by its time");
    assert_eq!((sent(&harness), harness.rows_in_state()), (11 + 999 - 6, 11 + 2));
    harness.restart(3);
    harness.watermark(EventTime::MAX);
    assert_eq!((sent(&harness), harness.rows_in_state()), (11 + 999 - 6 + 2, 0));
}

#[test]
fn of_keys_that_leave_after_a_row_has_found_a_partner_nothing_is_written() {
    // Numbers, texts of which one is empty, and two columns are kept in different ways.
    let texts = "substr(cast(left.k as string), 2) = substr(cast(right.k as string), 2)";
    for on in [CONDITIONS[0].0, texts, "left.k = right.k and left.k % 2 = 1 is not distinct from (right.k % 2 = 1)"] {
        let mut harness = near_on(1, on);
        harness.rows(&rows(0, 1..2, 140));
        harness.rows(&rows(0, 10..20, 50));
        assert_eq!(harness.checkpoint(), (0, 11));
        harness.rows(&rows(1, 10..15, 60));
        harness.watermark(EventTime(165));
        assert_eq!(harness.rows_in_state(), 1, "{on}");
        assert_eq!(harness.checkpoint(), (0, 0), "{on}");
        harness.restart(3);
        harness.watermark(EventTime::MAX);
        assert_eq!((sent(&harness), harness.rows_in_state()), (5 + 5 + 1, 0), "{on}");
    }
}

#[test]
fn rows_that_leave_with_their_first_partner_are_gone() {
    for (kind, first, last) in [(4, 5, 0), (5, 0, 994)] {
        let mut harness = near(kind);
        harness.rows(&rows(0, 0..999, 50));
        assert_eq!(harness.checkpoint(), (0, 999));
        harness.rows(&rows(1, 0..5, 60));
        assert_eq!(harness.checkpoint(), (5, 5), "only the partners wait");
        assert_eq!(sent(&harness), first);
        harness.restart(3);
        harness.watermark(EventTime::MAX);
        assert_eq!(sent(&harness), first + last);
    }
}

#[test]
fn without_keys_rows_that_want_a_partner_are_written_as_a_whole() {
    let noted = |kind: usize| {
        let mut options = options("interval", KINDS[kind], CONDITIONS[4].0, false);
        (options["before"], options["after"]) = ("100us".into(), "100us".into());
        Harness::new(options, streams(|stream| Stream { event_time: true, ..stream }), 1).notes()
    };
    assert!(noted(0) && !noted(1) && !noted(5));
}

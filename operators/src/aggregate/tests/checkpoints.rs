//! What checkpoints write of windows: the groups that have changed, and which panes have gone; and of sessions: the keys that have changed.
//! That it is enough, the models say.

use std::ops::Range;

use millstream_api::options::OnBadRow;
use millstream_api::stream::WindowKind;
use millstream_api::window::Aligned;
use serde_json::{Value, json};

use super::harness::{Harness, Row, input};
use crate::aggregate::MAIN;

/// A row of each of these keys. An odd number of them: the harness takes a checkpoint of its own after others.
fn rows(keys: Range<i64>, time: i64) -> Vec<Row> {
    keys.map(|key| Row { time, key: Some(key), value: Some(1), mark: i64::MIN, weight: 1, position: key, window: None }).collect()
}

fn windows(kind: WindowKind) -> Harness {
    let options = json!({ "by": ["k"], "compute": ["count(*) as n"] });
    Harness::new(options, input(Some((kind, false))), OnBadRow::Fail, 2)
}

fn counted(harness: &Harness) -> i64 {
    harness.rows(MAIN).iter().filter_map(|row| row["n"].as_i64()).sum()
}

#[test]
fn groups_that_have_changed_are_written() {
    let mut harness = windows(WindowKind::hop(1_000, 1_000, 0));
    harness.batch(&rows(0..999, 5));
    assert_eq!(harness.checkpoint(), (0, 999));
    assert_eq!(harness.checkpoint(), (0, 0));
    harness.batch(&rows(995..1_004, 6));
    let (gone, written) = harness.checkpoint();
    // Four groups and the first one of each subtask, with which the number of rows is put down; and five new ones.
    assert!((4..=6).contains(&gone) && written == gone + 5, "{gone} {written}");
    harness.batch(&rows(0..1_001, 7));
    assert_eq!(harness.checkpoint(), (2, 1_004), "of a pane of which most has changed all is written");
    assert_eq!(harness.rows_in_state(), 999 + 9 + 1_001);
    harness.crash_and_restore(3);
    assert_eq!(harness.rows_in_state(), 999 + 9 + 1_001);
    harness.watermark(1_000);
    assert_eq!(counted(&harness), 999 + 9 + 1_001);
    assert_eq!(harness.checkpoint(), (3, 0), "a pane of each subtask has gone");
}

#[test]
fn slices_that_nothing_comes_to_any_more_are_not_written_again() {
    let mut harness = windows(WindowKind::hop(100, 10, 0));
    for time in 0..9 {
        harness.batch(&rows(0..101, time * 10));
        let (gone, written) = harness.checkpoint();
        assert_eq!((gone, written), (0, 101), "{time}");
    }
    harness.watermark(20);
    assert_eq!(harness.checkpoint(), (0, 0), "windows have closed, and all slices are in others");
    harness.crash_and_restore(1);
    harness.watermark(200);
    assert_eq!(counted(&harness), 9 * 101 * 10, "each row in its ten windows");
}

#[test]
fn windows_that_grow_are_one_pane() {
    let mut harness = windows(WindowKind::Aligned(Aligned::cumulate(100, 10, 0)));
    harness.batch(&rows(0..101, 5));
    harness.batch(&rows(0..101, 15));
    assert_eq!(harness.checkpoint(), (0, 202));
    harness.watermark(20);
    assert_eq!(harness.checkpoint(), (4, 101), "two panes of each subtask are one now");
    harness.crash_and_restore(3);
    harness.watermark(i64::MAX);
    let counts: Vec<Value> = harness.rows(MAIN).iter().map(|row| row["n"].clone()).collect();
    assert_eq!((counts.len(), counted(&harness)), (101 * 10, 101 * (1 + 2 * 9)));
}

#[test]
fn keys_with_other_sessions_are_written() {
    let mut harness = windows(WindowKind::Session { gap: 10 });
    harness.batch(&rows(0..999, 5));
    assert_eq!(harness.checkpoint(), (0, 999));
    assert_eq!(harness.checkpoint(), (0, 0));
    harness.batch(&rows(995..1_004, 6));
    assert_eq!(harness.checkpoint(), (4, 9));
    harness.batch(&rows(0..1, 100));
    assert_eq!(harness.checkpoint(), (1, 2), "with all sessions of the key");
    harness.batch(&rows(2_000..2_003, 7));
    harness.watermark(50);
    assert_eq!(counted(&harness), 999 + 9 + 3);
    assert_eq!(harness.checkpoint(), (1_004, 1), "of sessions that come and go between two checkpoints none knows");
    harness.crash_and_restore(3);
    assert_eq!(harness.rows_in_state(), 1);
    harness.watermark(i64::MAX);
    assert_eq!(counted(&harness), 999 + 9 + 3 + 1);
}

#[test]
fn without_keys_sessions_are_written_as_a_whole() {
    let options = json!({ "compute": ["count(*) as n"] });
    let kind = WindowKind::Session { gap: 10 };
    let plan = super::harness::plan(options, input(Some((kind, false))), OnBadRow::Fail).unwrap();
    assert!(plan.noted().is_empty());
}

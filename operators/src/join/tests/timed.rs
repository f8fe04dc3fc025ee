//! Random input in the modes `interval`, `as_of` and `lookup` against models that know nothing of streams.

use std::collections::BTreeMap;

use millstream_api::{EventTime, Stream};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::harness::{Harness, Row, split};
use super::properties::{CONDITIONS, KINDS, batches, combined, counted, equal, options, row, shown, streams};
use crate::join::{Kind, LATE, MAIN};

/// What the conditions say of the key, and what of pairs with equal keys.
type Parts = [fn(&Row, &Row) -> bool; 2];

const PARTS: [Parts; 5] = [
    [equal, |_, _| true],
    [|left, right| left.key == right.key, |_, _| true],
    [equal, |left, right| left.value < right.value],
    [|left, right| equal(left, right) && left.value == right.value, |_, _| true],
    [|_, _| true, |left, right| left.value + 1 < right.value],
];

/// Everything that a run of rows is cut and moved by.
#[derive(Clone, Debug)]
struct Course {
    rows: Vec<Row>,
    steps: Vec<i64>,
    most: usize,
    parallelism: usize,
    /// Whether keys leave memory, if they may.
    spills: bool,
}

fn course() -> impl Strategy<Value = Course> {
    (prop::collection::vec(row(), 0..60), prop::collection::vec(0..8i64, 60), 1..7usize, 1..4usize, any::<bool>())
        .prop_map(|(rows, steps, most, parallelism, spills)| Course { rows, steps, most, parallelism, spills })
}

/// Sends all rows, with a restart at another parallelism in the middle. The result is the harness and the rows that were not late.
fn run(course: &Course, options: Value, streams: [Stream; 2], keyed: bool) -> (Harness, Vec<Row>) {
    let parallelism = if keyed { course.parallelism } else { 1 };
    let mut harness = Harness::new(options, streams, parallelism);
    if course.spills {
        harness.spill();
    }
    let (mut node, mut in_time) = (EventTime(-20), Vec::new());
    let all = batches(&course.rows, course.most);
    let mut late = [0i64; 2];
    for (index, batch) in all.iter().enumerate() {
        if index == all.len() / 2 {
            harness.restart(if keyed { 5 - parallelism } else { 1 });
        }
        harness.rows(batch);
        for row in *batch {
            match row.time < row.mark.max(node.0) {
                true => late[row.side] += 1,
                false => in_time.push(row.clone()),
            }
        }
        node = EventTime(node.0 + course.steps[index]);
        harness.watermark(node);
    }
    harness.watermark(EventTime::MAX);
    for side in [0, 1] {
        assert_eq!(harness.applied(LATE + side).values().sum::<i64>(), late[side]);
    }
    assert_eq!(harness.fates.total(), course.rows.len() as u64);
    assert_eq!(harness.rows_in_state(), 0);
    (harness, in_time)
}

fn timed() -> [Stream; 2] {
    streams(|stream| Stream { event_time: true, ..stream })
}

proptest! {
    #[test]
    fn interval_joins_give_what_the_definition_says(
        course in course(),
        (kind, condition, before, after) in (0..6usize, 0..5usize, 0..15i64, 0..15i64),
    ) {
        let (kind, (on, holds)) = (KINDS[kind], CONDITIONS[condition]);
        let mut options = options("interval", kind, on, false);
        options["before"] = json!(format!("{before}us"));
        options["after"] = json!(format!("{after}us"));
        let (harness, rows) = run(&course, options, timed(), condition != 4);
        let near = |left: &Row, right: &Row| left.time - before <= right.time && right.time <= left.time + after;
        let rows: Vec<&Row> = rows.iter().collect();
        let expected = combined(kind.0, |left, right| near(left, right) && holds(left, right), &rows);
        let expected = expected.into_iter().map(|(left, right)| {
            let time = left.into_iter().chain(right).map(|row| row.time).max().unwrap();
            format!("{} @{time}", shown(kind.0, left, right, None))
        });
        prop_assert_eq!(harness.applied(MAIN), counted(expected));
    }

    #[test]
    fn as_of_joins_find_the_version_that_was_valid(
        course in course(),
        (kind, condition, from_source) in (0..4usize, 0..5usize, any::<bool>()),
    ) {
        let (kind, on) = ([KINDS[0], KINDS[1], KINDS[4], KINDS[5]][kind], CONDITIONS[condition].0);
        let [same_key, holds] = PARTS[condition];
        let streams = timed().map(|stream| Stream { from_source, ..stream });
        let (harness, rows) = run(&course, options("as_of", kind, on, false), streams, condition != 4);
        let mut expected = Vec::new();
        for left in rows.iter().filter(|row| row.side == 0) {
            // Of a key that is null, the row that is null comes last among rows of the same time.
            let valid = rows.iter().enumerate().filter(|(_, right)| right.side == 1 && right.time <= left.time && same_key(left, right));
            let newest = valid.max_by_key(|(place, right)| match from_source {
                true => (right.time, i64::from(split(right)), *place as i64),
                false => (right.time, right.key.unwrap_or(i64::MAX), right.value),
            });
            let version = newest.map(|(_, right)| right).filter(|right| holds(left, right));
            match (kind.0, version) {
                (Kind::Inner | Kind::Left, Some(right)) => expected.push((left, Some(right))),
                (Kind::Left | Kind::Anti, None) | (Kind::Semi, Some(_)) => expected.push((left, None)),
                _ => {}
            }
        }
        let expected = expected.into_iter().map(|(left, right)| format!("{} @{}", shown(kind.0, Some(left), right, None), left.time));
        prop_assert_eq!(harness.applied(MAIN), counted(expected));
    }

    #[test]
    fn lookups_find_every_row_of_the_table(
        rows in prop::collection::vec((row(), prop::bool::weighted(0.2)), 0..60),
        (kind, condition, most, parallelism) in (0..4usize, 0..5usize, 1..7usize, 1..4usize),
        (updating, early) in (any::<bool>(), any::<bool>()),
    ) {
        let (kind, (on, holds)) = ([KINDS[0], KINDS[1], KINDS[4], KINDS[5]][kind], CONDITIONS[condition]);
        let [left, right] = streams(|stream| stream);
        let streams = [Stream { event_time: true, updating, ..left }, right];
        let parallelism = if condition == 4 { 1 } else { parallelism };
        let other = if condition == 4 { 1 } else { 5 - parallelism };
        let mut harness = Harness::new(options("lookup", kind, on, false), streams, parallelism);
        let rows: Vec<Row> = rows.into_iter().map(|(row, gone)| Row { weight: if gone && updating { -1 } else { 1 }, ..row }).collect();
        let side = |side: usize| rows.iter().filter(|row| row.side == side).cloned().collect::<Vec<Row>>();
        let [left, right] = [side(0), side(1)];
        let half = right.len() / 2;
        batches(&right[..half], most).into_iter().for_each(|batch| harness.rows(batch));
        if early {
            harness.restart(other);
        }
        batches(&right[half..], most).into_iter().for_each(|batch| harness.rows(batch));
        harness.end(1);
        let half = left.len() / 2;
        batches(&left[..half], most).into_iter().for_each(|batch| harness.rows(batch));
        if !early {
            harness.restart(other);
            harness.end(1);
        }
        batches(&left[half..], most).into_iter().for_each(|batch| harness.rows(batch));
        harness.watermark(EventTime::MAX);
        let all: Vec<&Row> = rows.iter().collect();
        let mut expected = BTreeMap::new();
        for (left, right) in combined(kind.0, holds, &all) {
            let row = left.unwrap();
            *expected.entry(format!("{} @{}", shown(kind.0, left, right, None), row.time)).or_default() += i64::from(row.weight);
        }
        expected.retain(|_, count| *count != 0);
        prop_assert_eq!(harness.applied(MAIN), expected);
        prop_assert_eq!(harness.fates.taken, rows.len() as u64);
    }
}

/// Rows of a second of event time that ever goes on, with keys that never come again.
fn second(second: i64) -> Vec<Row> {
    let row = |side: usize, n: i64| Row {
        side,
        key: (n % 7 != 0).then_some((second * 40 + n / 2) * 1_000_003),
        value: n,
        time: second * 100 + n * 37 % 100,
        mark: i64::MIN,
        weight: 1,
    };
    (0..2).flat_map(|side| (0..40).map(move |n| row(side, n))).collect()
}

#[test]
fn state_leaves_with_the_watermark() {
    for kind in KINDS {
        let mut options = options("interval", kind, CONDITIONS[2].0, false);
        options["before"] = json!("150us");
        options["after"] = json!("50us");
        let mut harness = Harness::new(options, timed(), 1);
        let mut sizes = Vec::new();
        for n in 0..60 {
            batches(&second(n), 16).into_iter().for_each(|batch| harness.rows(batch));
            harness.watermark(EventTime(n * 100));
            sizes.push((harness.rows_in_state(), harness.state_bytes()));
        }
        let (rows, bytes) = sizes[10];
        assert!(sizes[10..].iter().all(|size| size.0 <= rows + 8 && size.1 < bytes + bytes / 2), "{kind:?}: {sizes:?}");
        harness.watermark(EventTime::MAX);
        assert_eq!(harness.rows_in_state(), 0);
    }
}

#[test]
fn of_each_key_one_version_stays() {
    let mut harness = Harness::new(options("as_of", KINDS[1], CONDITIONS[0].0, false), timed(), 1);
    let mut sizes = Vec::new();
    for n in 0..60 {
        // Rows of the left side have keys that never come again, versions are of twenty keys.
        let rows = second(n).into_iter().map(|row| if row.side == 1 { Row { key: Some(row.value % 20), ..row } } else { row });
        batches(&rows.collect::<Vec<_>>(), 16).into_iter().for_each(|batch| harness.rows(batch));
        harness.watermark(EventTime((n + 1) * 100));
        assert_eq!(harness.rows_in_state(), 20);
        sizes.push(harness.state_bytes());
    }
    let early = sizes[10];
    assert!(sizes[10..].iter().all(|size| *size < early + early / 2), "{sizes:?}");
}

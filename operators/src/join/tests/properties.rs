//! Random input against models that know nothing of streams: all rows of both sides, compared one by one.

use std::collections::BTreeMap;

use millstream_api::stream::{Judge, WindowKind, Windowed};
use millstream_api::{EventTime, Stream};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::harness::{Harness, Row};
use crate::join::{Kind, LATE, MAIN};
use crate::testing::schema;

pub(super) const KINDS: [(Kind, &str); 6] = [
    (Kind::Inner, "inner"),
    (Kind::Left, "left"),
    (Kind::Right, "right"),
    (Kind::Full, "full"),
    (Kind::Semi, "semi"),
    (Kind::Anti, "anti"),
];

/// The length of windows, in microseconds.
const SIZE: i64 = 10;

/// Conditions, and what they mean.
pub(super) type Condition = (&'static str, fn(&Row, &Row) -> bool);

pub(super) fn equal(left: &Row, right: &Row) -> bool {
    left.key.is_some() && left.key == right.key
}

pub(super) const CONDITIONS: [Condition; 5] = [
    ("left.k = users.k", equal),
    ("right.k is not distinct from orders.k", |left, right| left.key == right.key),
    ("left.k = right.k and v < w", |left, right| equal(left, right) && left.value < right.value),
    ("v = w and left.k = right.k", |left, right| equal(left, right) && left.value == right.value),
    ("v + 1 < w", |left, right| left.value + 1 < right.value),
];

pub(super) fn streams(change: impl Fn(Stream) -> Stream) -> [Stream; 2] {
    ["k bigint, v bigint not null", "k bigint, w bigint not null"].map(|columns| change(Stream::plain(schema(columns))))
}

pub(super) fn options(mode: &str, kind: (Kind, &str), on: &str, windowed: bool) -> Value {
    let mut columns = vec!["left.k as lk", "v"];
    if kind.0.pairs() {
        columns.extend(["users.k as rk", "w"]);
    }
    if windowed {
        columns.push("window_start");
        if kind.0.pairs() {
            columns.extend(["left.window_start as ls", "right.window_end as re"]);
        }
    }
    json!({ "mode": mode, "kind": kind.1, "on": on, "columns": columns })
}

/// A row of the result as text.
pub(super) fn shown(kind: Kind, left: Option<&Row>, right: Option<&Row>, window: Option<i64>) -> String {
    let number = |value: Option<i64>| value.map_or("null".to_owned(), |value| value.to_string());
    let [lk, v] = [left.and_then(|row| row.key), left.map(|row| row.value)].map(number);
    let [rk, w] = [right.and_then(|row| row.key), right.map(|row| row.value)].map(number);
    let mut text = format!("{{\"lk\":{lk},\"v\":{v}");
    if kind.pairs() {
        text += &format!(",\"rk\":{rk},\"w\":{w}");
    }
    if let Some(start) = window {
        let time = |micros: i64| format!("\"{}\"", millstream_api::time::rfc3339(micros));
        text += &format!(",\"window_start\":{}", time(start));
        if kind.pairs() {
            let of = |row: Option<&Row>, micros: i64| row.map_or("null".to_owned(), |_| time(micros));
            text += &format!(",\"ls\":{},\"re\":{}", of(left, start), of(right, start + SIZE));
        }
    }
    text + "}"
}

/// The join of rows that are all there, by its definition: what each row of the result is made of.
pub(super) fn combined<'a>(kind: Kind, holds: impl Fn(&Row, &Row) -> bool, rows: &[&'a Row]) -> Vec<(Option<&'a Row>, Option<&'a Row>)> {
    let side = |side: usize| rows.iter().copied().filter(move |row| row.side == side);
    let mut result = Vec::new();
    for left in side(0) {
        let partners: Vec<&Row> = side(1).filter(|right| holds(left, right)).collect();
        match kind {
            Kind::Semi if !partners.is_empty() => result.push((Some(left), None)),
            Kind::Anti | Kind::Left | Kind::Full if partners.is_empty() => result.push((Some(left), None)),
            Kind::Semi | Kind::Anti => {}
            _ => result.extend(partners.iter().map(|right| (Some(left), Some(*right)))),
        }
    }
    if matches!(kind, Kind::Right | Kind::Full) {
        result.extend(side(1).filter(|right| !side(0).any(|left| holds(left, right))).map(|right| (None, Some(right))));
    }
    result
}

fn joined(kind: Kind, holds: fn(&Row, &Row) -> bool, rows: &[&Row], window: Option<i64>) -> Vec<String> {
    combined(kind, holds, rows).into_iter().map(|(left, right)| shown(kind, left, right, window)).collect()
}

pub(super) fn counted(rows: impl IntoIterator<Item = String>) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    rows.into_iter().for_each(|row| *counts.entry(row).or_default() += 1);
    counts
}

pub(super) fn row() -> impl Strategy<Value = Row> {
    let mark = prop_oneof![3 => Just(i64::MIN), 1 => 0..60i64];
    (0..2usize, prop::option::weighted(0.8, 0..4i64), 0..4i64, 0..60i64, mark).prop_map(|(side, key, value, time, mark)| Row {
        side,
        key,
        value,
        time,
        mark,
        weight: 1,
    })
}

/// Rows of one side that follow each other, at most `most` at a time.
pub(super) fn batches(rows: &[Row], most: usize) -> Vec<&[Row]> {
    rows.chunk_by(|a, b| a.side == b.side).flat_map(|run| run.chunks(most)).collect()
}

proptest! {
    #[test]
    fn window_joins_give_what_the_definition_says(
        rows in prop::collection::vec(row(), 0..60),
        steps in prop::collection::vec(0..8i64, 60),
        (kind, condition, most, parallelism, hop) in (0..6usize, 0..5usize, 1..7usize, 1..4usize, any::<bool>()),
    ) {
        let (kind, (on, holds)) = (KINDS[kind], CONDITIONS[condition]);
        let (size, slide) = (SIZE, if hop { 4 } else { SIZE });
        let windows = WindowKind::hop(size, slide, 0);
        let windowed = Windowed { windows, judge: Judge::Reader, explicit: false };
        let streams = streams(|stream| Stream { event_time: true, windowed: Some(windowed.clone()), ..stream });
        let parallelism = if condition == 4 { 1 } else { parallelism };
        let mut harness = Harness::new(options("window", kind, on, true), streams, parallelism);
        let mut node = EventTime(-20);
        let mut in_windows: BTreeMap<i64, Vec<&Row>> = BTreeMap::new();
        let mut late = [0i64; 2];
        let all = batches(&rows, most);
        for (index, batch) in all.iter().enumerate() {
            if index == all.len() / 2 {
                harness.restart(if condition == 4 { 1 } else { 5 - parallelism });
            }
            harness.rows(batch);
            for row in *batch {
                let open = |start: i64| row.mark.max(node.0) < start + size;
                let starts = (-20..60).map(|n| n * slide).filter(|start| *start <= row.time && row.time < start + size);
                let starts: Vec<i64> = starts.filter(|start| open(*start)).collect();
                late[row.side] += i64::from(starts.is_empty());
                starts.into_iter().for_each(|start| in_windows.entry(start).or_default().push(row));
            }
            node = EventTime(node.0 + steps[index]);
            harness.watermark(node);
        }
        harness.watermark(EventTime::MAX);
        let expected = in_windows.iter().flat_map(|(start, rows)| {
            joined(kind.0, holds, rows, Some(*start)).into_iter().map(move |row| format!("{row} @{}", start + size - 1))
        });
        prop_assert_eq!(harness.applied(MAIN), counted(expected));
        for side in [0, 1] {
            prop_assert_eq!(harness.applied(LATE + side).values().sum::<i64>(), late[side]);
        }
        prop_assert_eq!(harness.fates.total(), rows.len() as u64);
        prop_assert_eq!((harness.rows_in_state(), harness.state_bytes()), (0, 0));
    }

    #[test]
    fn changes_give_what_is_left_of_the_definition(
        rows in prop::collection::vec((row(), any::<u16>(), prop::option::of(any::<u16>())), 0..60),
        (kind, condition, most, parallelism) in (0..6usize, 0..5usize, 1..9usize, 1..4usize),
    ) {
        let (kind, (on, holds)) = (KINDS[kind], CONDITIONS[condition]);
        let parallelism = if condition == 4 { 1 } else { parallelism };
        let mut harness = Harness::new(options("changes", kind, on, false), streams(|stream| Stream { updating: true, ..stream }), parallelism);
        let came = rows.iter().map(|(row, at, _)| (*at, row.clone()));
        let gone = rows.iter().filter_map(|(row, _, gone)| gone.map(|at| (at, Row { weight: -1, ..row.clone() })));
        let mut events: Vec<(u16, Row)> = came.chain(gone).collect();
        events.sort_by_key(|(at, _)| *at);
        let events: Vec<Row> = events.into_iter().map(|(_, row)| row).collect();
        let all = batches(&events, most);
        for (index, batch) in all.iter().enumerate() {
            if index == all.len() / 2 {
                harness.restart(if condition == 4 { 1 } else { 5 - parallelism });
            }
            harness.rows(batch);
        }
        let left: Vec<&Row> = rows.iter().filter(|(_, _, gone)| gone.is_none()).map(|(row, ..)| row).collect();
        prop_assert_eq!(harness.applied(MAIN), counted(joined(kind.0, holds, &left, None)));
        prop_assert_eq!(harness.fates.taken, events.len() as u64);
    }

    #[test]
    fn changes_of_rows_that_only_come_give_what_the_definition_says(
        rows in prop::collection::vec(row(), 0..60),
        (kind, condition, most, parallelism, changed) in (0..6usize, 0..5usize, 1..9usize, 1..4usize, 0..3usize),
    ) {
        let (kind, (on, holds)) = (KINDS[kind], CONDITIONS[condition]);
        let parallelism = if condition == 4 { [1, 1] } else { [parallelism, 5 - parallelism] };
        let plain = || (options("changes", kind, on, false), streams(|stream| stream));
        let (options, of_before) = plain();
        let updating = || streams(|stream| Stream { updating: true, ..stream });
        let mut harness = Harness::new(options, if changed == 2 { updating() } else { of_before }, parallelism[0]);
        let all = batches(&rows, most);
        for (index, batch) in all.iter().enumerate() {
            if index == all.len() / 2 {
                // What is kept is the same whether rows may be withdrawn or not.
                let (options, streams) = plain();
                harness.replan(options, if changed == 1 { updating() } else { streams }, parallelism[1]);
            }
            harness.rows(batch);
        }
        let refs: Vec<&Row> = rows.iter().collect();
        prop_assert_eq!(harness.applied(MAIN), counted(joined(kind.0, holds, &refs, None)));
        prop_assert_eq!(harness.fates.taken, rows.len() as u64);
        if changed == 1 && all.len() > 1 {
            let gone: Vec<Row> = rows.iter().map(|row| Row { weight: -1, ..row.clone() }).collect();
            batches(&gone, most).into_iter().for_each(|batch| harness.rows(batch));
            prop_assert_eq!(harness.applied(MAIN), BTreeMap::new());
        }
    }

    #[test]
    fn rows_that_are_forgotten_change_nothing_any_more(
        rows in prop::collection::vec((row(), 0..40i64, prop::option::of(1..40i64)), 0..60),
        (condition, most, parallelism) in (0..4usize, 1..9usize, 1..4usize),
    ) {
        let (on, holds) = CONDITIONS[condition];
        let mut options = options("changes", KINDS[0], on, false);
        options["state_ttl"] = json!("10us");
        let mut harness = Harness::new(options, streams(|stream| Stream { updating: true, ..stream }), parallelism);
        let mut expected: BTreeMap<String, i64> = BTreeMap::new();
        let (mut kept, mut expired): (Vec<(Row, i64)>, u64) = (Vec::new(), 0);
        for now in 0..90 {
            harness.clock(now);
            kept.retain(|(_, came)| came + 10 > now);
            // Rows have numbers for values, so that none is equal to another.
            let changed = rows.iter().enumerate().filter_map(|(n, (row, came, gone))| {
                let weight = if *came == now { 1 } else { -1 };
                let row = Row { value: row.value + 4 * n as i64, weight, ..row.clone() };
                (*came == now || gone.is_some_and(|gone| came + gone == now)).then_some(row)
            });
            let changed: Vec<Row> = changed.collect();
            batches(&changed, most).into_iter().for_each(|batch| harness.rows(batch));
            for row in changed.iter().filter(|row| row.key.is_some() || condition == 1) {
                let same = |other: &Row| other.side == row.side && other.value == row.value;
                match kept.iter().position(|(other, _)| same(other)) {
                    Some(place) => drop(kept.remove(place)),
                    None if row.weight < 0 => {
                        expired += 1;
                        continue;
                    }
                    None => {}
                }
                for (other, _) in kept.iter().filter(|(other, _)| other.side != row.side) {
                    let (left, right) = if row.side == 0 { (row, other) } else { (other, row) };
                    if holds(left, right) {
                        *expected.entry(shown(Kind::Inner, Some(left), Some(right), None)).or_default() += i64::from(row.weight);
                    }
                }
                kept.extend((row.weight > 0).then(|| (row.clone(), now)));
            }
            if now == 20 {
                harness.restart(5 - parallelism);
            }
        }
        expected.retain(|_, count| *count != 0);
        prop_assert_eq!(harness.applied(MAIN), expected);
        prop_assert_eq!(harness.fates.expired, expired);
    }

    #[test]
    fn inner_changes_of_rows_with_a_time_have_the_later_one(
        rows in prop::collection::vec(row(), 0..50),
        most in 1..9usize,
    ) {
        let streams = streams(|stream| Stream { event_time: true, ..stream });
        let mut harness = Harness::new(options("changes", KINDS[0], CONDITIONS[0].0, false), streams, 2);
        for batch in batches(&rows, most) {
            harness.rows(batch);
        }
        let side = |side: usize| rows.iter().filter(move |row| row.side == side);
        let pairs = side(0).flat_map(|left| side(1).filter(move |right| equal(left, right)).map(move |right| (left, right)));
        let expected =
            pairs.map(|(left, right)| format!("{} @{}", shown(Kind::Inner, Some(left), Some(right), None), left.time.max(right.time)));
        prop_assert_eq!(harness.applied(MAIN), counted(expected));
    }
}

#[test]
fn what_has_gone_leaves_no_state() {
    let streams = streams(|stream| Stream { updating: true, ..stream });
    let mut harness = Harness::new(options("changes", KINDS[3], CONDITIONS[2].0, false), streams, 1);
    let rows = |round: i64, weight: i8| -> Vec<Row> {
        let row = |side: usize, n: i64| Row { side, key: (n % 5 != 0).then_some(round * 40 + n), value: n, time: 0, mark: 0, weight };
        (0..2).flat_map(|side| (0..40).map(move |n| row(side, n))).collect()
    };
    let mut sizes = Vec::new();
    for round in 0..6 {
        for weight in [1, -1] {
            batches(&rows(round, weight), 16).into_iter().for_each(|batch| harness.rows(batch));
        }
        sizes.push(harness.state_bytes());
    }
    assert_eq!(harness.applied(MAIN), BTreeMap::new());
    // Tables may keep some room; 40 rows of each side are about as much again.
    assert!(sizes[5] < sizes[1] + sizes[1] / 4, "{sizes:?}");
}
